"""Queries and writes of the state, one module per subject.

Each function takes a transaction, so that a caller reads from one snapshot, and returns structs.
Every query uses an index or has a limit: none reads the whole history. `leader_writes` contains
writes that only the leader makes.
"""
