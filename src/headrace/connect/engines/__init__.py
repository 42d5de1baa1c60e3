"""Databases that rows are read from: one file an engine, read only, in one transaction. What they share is in `engine.py`."""
