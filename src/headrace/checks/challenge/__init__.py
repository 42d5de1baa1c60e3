"""Challenges: faults are made in published data, and each check shows whether it notices them."""
