"""What is read from the store, one file a subject; `leading` is what the leader writes.

Each function takes a transaction, so that what belongs together comes from one snapshot, and gives structs. Every
one is answered by an index or bounded by a limit: nothing reads a history to its end.
"""
