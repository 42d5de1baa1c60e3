"""Incidents: one cause, with its evidence, owner, affected consumers and timeline.

`evidence` turns rows of the store into evidence, `gathering` collects the new evidence, `diagnosis`
finds causes, `updates` matches causes with the open incidents, and `closing` ends incidents whose
evidence is gone and whose consumers are served again. `notifications`, `messages` and `digest`
decide who is notified and in which words.
"""
