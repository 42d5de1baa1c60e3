"""What is paused: nothing of these nodes is started before somebody resumes them, or their time is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from headrace.store.database import Transaction

_COLUMNS = "node, reason, actor, since, until"


class Pause(msgspec.Struct, frozen=True):
    """A node that is paused, why, by whom, since when; `until` ends it by itself. Times are microseconds of the store's clock."""

    node: str
    reason: str
    actor: str
    since: int
    until: int | None

    def holds(self, now_us: int) -> bool:
        """Whether its time isn't over."""
        return self.until is None or now_us < self.until


def in_force(tx: Transaction, now_us: int) -> list[Pause]:
    """All that hold now, by node's name."""
    rows = tx.execute(f"select {_COLUMNS} from pause where until is null or until > :now order by node", {"now": now_us})
    return [Pause(*row) for row in rows]


def all_of(tx: Transaction) -> list[Pause]:
    """All that were said, those whose time is over among them."""
    return [Pause(*row) for row in tx.execute(f"select {_COLUMNS} from pause order by node")]


def put(tx: Transaction, pauses: Sequence[Pause]) -> None:
    """Pause nodes; what was said before about one that is paused already is replaced, but for since when it is."""
    tx.executemany(
        f"insert into pause ({_COLUMNS}) values (?, ?, ?, ?, ?) on conflict (node) do update set reason = excluded.reason, "
        "actor = excluded.actor, until = excluded.until, "
        "since = case when pause.until is null or pause.until > excluded.since then pause.since else excluded.since end",
        [(one.node, one.reason, one.actor, one.since, one.until) for one in pauses],
    )


def end(tx: Transaction, nodes: Iterable[str]) -> None:
    """These aren't paused any more."""
    tx.executemany("delete from pause where node = ?", [(node,) for node in nodes])


def end_those_over(tx: Transaction, now_us: int) -> None:
    """Forget those whose time is over."""
    tx.execute("delete from pause where until <= :now", {"now": now_us})
