"""The event log: one record per transaction, chained by SHA-256, from which the tables can be computed again.

`recording` appends in the transaction that a record tells of, `replaying` computes the tables in a second database, `comparing` names what
differs, `checkpoints` replaces old records by a file. Why statements are recorded and not rows: docs/decisions/0094-the-event-log.md.
"""
