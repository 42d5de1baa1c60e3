"""All that the state says of a node, under another name."""

from __future__ import annotations

from headrace.store.database import Transaction
from headrace.store.queries.standings import drop_checkpoint

_TABLES = (
    "attempt", "partition", "publication", "check_result", "profile", "metric", "fact", "quarantine", "accepted", "reshaping", "overlay",
    "overlay_attempt", "batching", "pause", "firing",
)  # fmt: skip
"""Tables that name a node in the column `node`. Audit entries keep what they said."""


def is_known(tx: Transaction, node: str) -> bool:
    """Whether anything was ever published or attempted under a name."""
    return any(tx.execute(f"select 1 from {name} where node = ? limit 1", (node,)).fetchone() for name in ("partition", "publication"))


def rename(tx: Transaction, node: str, new_name: str) -> None:
    """Move everything of a node to a name that nothing has."""
    for name in _TABLES:
        tx.execute(f"update {name} set node = ? where node = ?", (new_name, node))
    drop_checkpoint(tx)
