"""Promises that were weakened: what each version promises less than the one before it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from headrace.store.database import Transaction


class Weakening(NamedTuple):
    """One promise that is less than it was, of a node or a consumer: both as declared, who applied it, and when."""

    version: int
    node: str
    what: str
    was: str
    becomes: str
    actor: str
    at: int


def record(tx: Transaction, version: int, rows: Iterable[tuple[str, str, str, str]], actor: str, at: int) -> None:
    """(node, what, was, becomes) of a version that is being applied."""
    tx.executemany(
        "insert into weakened (version, node, what, was, becomes, actor, at) values (?, ?, ?, ?, ?, ?, ?)",
        [(version, *row, actor, at) for row in rows],
    )


def between(tx: Transaction, from_us: int, until_us: int) -> list[Weakening]:
    """What was weakened in a window, oldest first."""
    rows = tx.execute(
        "select version, node, what, was, becomes, actor, at from weakened where at > ? and at <= ? order by at, version, node, what",
        (from_us, until_us),
    )
    return [Weakening(*row) for row in rows]


def count(tx: Transaction, from_us: int, until_us: int) -> int:
    """How many promises were weakened in a window."""
    return int(tx.execute("select count(*) from weakened where at > ? and at <= ?", (from_us, until_us)).fetchone()[0])
