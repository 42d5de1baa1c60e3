"""The event log: one record per transaction, chained by SHA-256, from which tables are recomputed.

`store.event_recording` appends a record in the transaction that it describes. `replaying`
recomputes the tables in a second database, and replaces old records by checkpoint files.
`comparing` finds differences. docs/decisions/0094-event-log.md explains why statements are
recorded rather than rows.
"""
