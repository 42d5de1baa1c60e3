"""Checks put to the test: faults are made in data as it was published, and each check is asked whether it sees them."""
