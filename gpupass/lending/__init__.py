"""How a slot gets into a domain and back: handover.py is the trip, function.py and mdev.py what differs."""
