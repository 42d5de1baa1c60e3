"""Reading databases: one file per database system, and `engine` with their shared code.

Each reads in one read-only transaction.
"""
