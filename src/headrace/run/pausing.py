"""What the core is told of pauses when it starts."""

from __future__ import annotations

from collections.abc import Collection

from headrace.schedule import Paused
from headrace.store import Transaction
from headrace.store.queries import pauses


def paused(tx: Transaction, nodes: Collection[str], now: int) -> list[Paused]:
    """The pauses that hold now, of nodes that run."""
    return [Paused((pause.node,), pause.reason, pause.until) for pause in pauses.in_force(tx, now) if pause.node in nodes]
