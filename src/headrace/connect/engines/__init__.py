"""Databases as sources: one file per database system. Each reads in one read-only transaction; `engine` has what they share."""
