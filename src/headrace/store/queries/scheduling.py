"""The scheduler's data that outlives a leader: its event log, pauses and trigger firings."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from headrace.store.transaction import Transaction, json_list

# The core's event log: the events that each transaction of a leader passed to the core, and a
# digest of what the core decided.

PLAIN_BYTES_MAX = 4096
"""Larger records, such as a core's initial state, are compressed."""
_ZLIB = 0x78
"""First byte of compressed records; a msgpack array of events never begins with it."""


class JournalRow(msgspec.Struct, frozen=True, gc=False):
    """One loop iteration. `events` is msgpack, `decisions` a hash (`scheduler.core`)."""

    epoch: int
    slots: int
    at: int
    events: bytes
    decisions: bytes
    plan: int = 0
    """The plan of the core; 0 for production's."""


def append_events(tx: Transaction, rows: Sequence[JournalRow]) -> None:
    """Insert loop iterations, oldest first."""
    tx.executemany(
        "insert into journal (epoch, slots, at, events, decisions, plan_id) values (?, ?, ?, ?,"
        " ?, ?)",
        [(r.epoch, r.slots, r.at, stored_events(r.events), r.decisions, r.plan) for r in rows],
    )


def events_of_epoch(tx: Transaction, epoch: int, plan: int = 0) -> Iterator[JournalRow]:
    """Yield the loop iterations of one leader's core, in order: production's, or a plan's."""
    rows = tx.execute(
        "select epoch, slots, at, events, decisions, plan_id from journal where epoch = ? and"
        " plan_id = ? order by seq",
        (epoch, plan),
    )
    for epoch_of, slots, at, events, decisions, plan_of in rows:
        yield JournalRow(
            epoch_of, slots, at, plain_events(bytes(events)), bytes(decisions), plan_of
        )


def stored_events(events: bytes) -> bytes:
    """Return events as a record stores them: compressed if they are long."""
    return zlib.compress(events, 1) if len(events) > PLAIN_BYTES_MAX else events


def plain_events(events: bytes) -> bytes:
    """Return events of a record as msgpack."""
    return zlib.decompress(events) if events[:1] == bytes([_ZLIB]) else events


# Pauses: no attempt of a paused node starts until a user resumes it or its pause ends.

_PAUSE_COLUMNS = "node, reason, actor, since, until"
_KEEP = (
    "insert into pause_past (node, since, until, reason, actor) "
    "select node, since, case when until < :now then until else :now end, reason, actor from pause"
)
"""Statement that stores ended pauses with their start and end."""


class Pause(msgspec.Struct, frozen=True):
    """A pause of a node, which ends at `until`. Times are microseconds of the store's clock."""

    node: str
    reason: str
    actor: str
    since: int
    until: int | None

    def holds(self, now_us: int) -> bool:
        """Return whether the pause hasn't expired."""
        return self.until is None or now_us < self.until


def pauses_in_force(tx: Transaction, now_us: int) -> list[Pause]:
    """Return the pauses in force, by node."""
    rows = tx.execute(
        f"select {_PAUSE_COLUMNS} from pause where until is null or until > :now order by node",
        {"now": now_us},
    )
    return [Pause(*row) for row in rows]


def all_pauses(tx: Transaction) -> list[Pause]:
    """Return all pauses that weren't ended, including expired ones."""
    return [Pause(*row) for row in tx.execute(f"select {_PAUSE_COLUMNS} from pause order by node")]


def put_pauses(tx: Transaction, pauses: Sequence[Pause]) -> None:
    """Pause nodes. The pause of a paused node is replaced, except for its start."""
    tx.executemany(
        f"insert into pause ({_PAUSE_COLUMNS}) values (?, ?, ?, ?, ?) on conflict (node) do update"
        " set reason = excluded.reason, actor = excluded.actor, until = excluded.until, since ="
        " case when pause.until is null or pause.until > excluded.since then pause.since else"
        " excluded.since end",
        [(pause.node, pause.reason, pause.actor, pause.since, pause.until) for pause in pauses],
    )


def end_pauses(tx: Transaction, nodes: Iterable[str], now_us: int) -> None:
    """End the pauses of nodes."""
    ended = [{"node": node, "now": now_us} for node in nodes]
    tx.executemany(f"{_KEEP} where node = :node on conflict (node, since) do nothing", ended)
    tx.executemany("delete from pause where node = :node", ended)


def end_expired_pauses(tx: Transaction, now_us: int) -> None:
    """End expired pauses."""
    tx.execute(f"{_KEEP} where until <= :now on conflict (node, since) do nothing", {"now": now_us})
    tx.execute("delete from pause where until <= :now", {"now": now_us})


def pauses_between(
    tx: Transaction, nodes: Sequence[str], from_us: int, to_us: int
) -> dict[str, list[Pause]]:
    """Return each node's pauses between two times, oldest first; a current one keeps `until`."""
    of_nodes = "node in (select value from json_each(:nodes)) and since < :to and"
    pauses: dict[str, list[Pause]] = {node: [] for node in nodes}
    for row in tx.execute(
        f"select {_PAUSE_COLUMNS} from pause_past where {of_nodes} until > :from union all select"
        f" {_PAUSE_COLUMNS} from pause where {of_nodes} (until is null or until > :from) order by"
        " since",
        {"nodes": json_list(nodes), "from": from_us, "to": to_us},
    ):
        pauses[row[0]].append(Pause(*row))
    return pauses


def last_pause_end(tx: Transaction, node: str, now_us: int) -> int | None:
    """Return when a node's newest pause ended, in microseconds; None without one."""
    row = tx.execute(
        "select max(until) from (select until from pause_past where node = :node union all"
        " select until from pause where node = :node) p where until <= :now",
        {"node": node, "now": now_us},
    ).fetchone()
    return None if row[0] is None else int(row[0])


# The last time that each node's triggers fired. The next leader doesn't fire them again for that
# time.


def last_firings(tx: Transaction) -> list[tuple[str, int]]:
    """Return (node, microseconds of the store's clock) of last firings."""
    return [
        (str(node), int(at)) for node, at in tx.execute("select node, at from firing order by node")
    ]


def record_firings(tx: Transaction, fired: Iterable[tuple[str, int]]) -> None:
    """Record firings of triggers; the last one per node counts."""
    tx.executemany(
        "insert into firing (node, at) values (?, ?) on conflict (node) do update set at ="
        " excluded.at",
        list(dict(fired).items()),
    )
