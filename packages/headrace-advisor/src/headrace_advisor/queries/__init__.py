"""Reads of the state that only advice needs."""
