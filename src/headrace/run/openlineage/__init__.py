"""Telling those who collect lineage what attempts did: from what is committed, in a thread that the leader never waits for."""
