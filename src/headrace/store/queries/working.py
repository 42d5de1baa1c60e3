"""How long attempts took, for sums that follow a window: what came into it and what went out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headrace.store.database import Transaction

_COLUMNS = "epoch, n, node, started_at, finished_at"


class Worked(NamedTuple):
    """An attempt; times are microseconds of the store's clock, `finished_at` None while it is under way."""

    epoch: int
    n: int
    node: str
    started_at: int | None
    finished_at: int | None

    @property
    def took_us(self) -> int:
        """From its beginning to its end; nothing for one that was never begun or isn't over."""
        return 0 if self.started_at is None or self.finished_at is None else self.finished_at - self.started_at


def newest(tx: Transaction) -> tuple[int, int]:
    """The newest attempt."""
    row = tx.execute("select epoch, n from attempt order by epoch desc, n desc limit 1").fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def under_way(tx: Transaction) -> list[Worked]:
    """Those that aren't over."""
    return [Worked(*row) for row in tx.execute(f"select {_COLUMNS} from attempt where state in ('queued', 'running')")]


def after(tx: Transaction, place: tuple[int, int]) -> list[Worked]:
    """Those after one of them."""
    rows = tx.execute(f"select {_COLUMNS} from attempt where epoch > ? or (epoch = ? and n > ?)", (place[0], *place))
    return [Worked(*row) for row in rows]


def of(tx: Transaction, places: Sequence[tuple[int, int]]) -> list[Worked]:
    """Some of them."""
    result = (tx.execute(f"select {_COLUMNS} from attempt where epoch = ? and n = ?", place).fetchone() for place in places)
    return [Worked(*row) for row in result if row is not None]


def ended(tx: Transaction, from_us: int, until_us: int) -> list[Worked]:
    """Those that ended in a window (without its beginning)."""
    rows = tx.execute(f"select {_COLUMNS} from attempt where finished_at > ? and finished_at <= ?", (from_us, until_us))
    return [Worked(*row) for row in rows]
