"""Attempts as OpenLineage events (spec 2-0-2): pure, from what the store holds of them and what was applied."""
