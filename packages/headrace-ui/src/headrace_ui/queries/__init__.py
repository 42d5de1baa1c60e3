"""Reads of the state that only pages need."""
