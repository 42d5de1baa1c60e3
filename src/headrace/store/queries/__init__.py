"""Queries and writes of the state, one file per aggregate; `leader_writes` is what only the leader writes.

Each function takes a transaction, so that a caller reads from one snapshot, and returns structs. Every query is answered by an index or
has a limit: none reads the whole history.
"""
