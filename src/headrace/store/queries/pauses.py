"""What is paused: nothing of these nodes is started before somebody resumes them, or their time is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from headrace.store.database import Transaction

_COLUMNS = "node, reason, actor, since, until"
_KEEP = (
    "insert into pause_past (node, since, until, reason, actor) "
    "select node, since, case when until < :now then until else :now end, reason, actor from pause"
)
"""What is over is kept: from when until when."""


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
        [(pause.node, pause.reason, pause.actor, pause.since, pause.until) for pause in pauses],
    )


def end(tx: Transaction, nodes: Iterable[str], now_us: int) -> None:
    """These aren't paused any more."""
    ended = [{"node": node, "now": now_us} for node in nodes]
    tx.executemany(f"{_KEEP} where node = :node on conflict (node, since) do nothing", ended)
    tx.executemany("delete from pause where node = :node", ended)


def end_those_over(tx: Transaction, now_us: int) -> None:
    """Those whose time is over are past."""
    tx.execute(f"{_KEEP} where until <= :now on conflict (node, since) do nothing", {"now": now_us})
    tx.execute("delete from pause where until <= :now", {"now": now_us})


def of_node(tx: Transaction, node: str, from_us: int, to_us: int) -> list[Pause]:
    """When a node was paused between two times, oldest first; of one that holds `until` is what was said."""
    rows = tx.execute(
        f"select {_COLUMNS} from pause_past where node = :node and since < :to and until > :from "
        f"union all select {_COLUMNS} from pause where node = :node and since < :to and (until is null or until > :from) order by since",
        {"node": node, "from": from_us, "to": to_us},
    )
    return [Pause(*row) for row in rows]


def ended_last(tx: Transaction, node: str, now_us: int) -> int | None:
    """When the newest pause of a node was over, microseconds; None where none was."""
    row = tx.execute(
        "select max(until) from (select until from pause_past where node = :node union all"
        " select until from pause where node = :node) p where until <= :now",
        {"node": node, "now": now_us},
    ).fetchone()
    return None if row[0] is None else int(row[0])
