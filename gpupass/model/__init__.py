"""What is known, wanted and planned: frozen data only."""
