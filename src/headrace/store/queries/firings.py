"""When the triggers of nodes fired last: the next leader doesn't fire them again for that time."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.store.database import Transaction


def last(tx: Transaction) -> list[tuple[str, int]]:
    """Node → microseconds of the store's clock."""
    return [(str(node), int(at)) for node, at in tx.execute("select node, at from firing order by node")]


def record(tx: Transaction, fired: Iterable[tuple[str, int]]) -> None:
    """Triggers fired; of one that fired more than once, the last counts."""
    tx.executemany(
        "insert into firing (node, at) values (?, ?) on conflict (node) do update set at = excluded.at", list(dict(fired).items())
    )
