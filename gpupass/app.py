"""The only wiring of observe → plan → apply → verify; one function per verb."""
