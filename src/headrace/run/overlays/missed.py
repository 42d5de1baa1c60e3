"""What production has published while nobody followed it for a plan: between leaders, and after a plan had ended."""

from __future__ import annotations

from headrace.schedule import Event, Refreshed, TakenBack
from headrace.store import Transaction
from headrace.store.queries import plans


def missed(tx: Transaction, plan: int) -> list[Event]:
    """All that isn't in what the newest of the plan's attempts read, oldest first. What was followed and is told once more changes
    nothing: what had read it doesn't count since."""
    read = plans.newest_snapshot_read(tx, plan)
    if read is None:
        return []
    seen: list[Event] = [Refreshed(node, key) for node, key in plans.published_after(tx, read)]
    return [*seen, *(TakenBack(node, key, "withdrawn") for node, key in plans.withdrawn_after(tx, read))]
