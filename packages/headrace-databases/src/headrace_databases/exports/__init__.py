"""Writing tables: one file per database system, and `tables` with their shared code."""
