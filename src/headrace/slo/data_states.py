"""What a reader of published data has to know of it: wrong, an exception, late, restated or stale.

`read`, `sql`, the HTTP server and `headrace.Session` say it in the same words, because all of them
ask here; exports don't say it. It is about the partitions that are read, as of the snapshot that is
read, and as known now (SEMANTICS §7).
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from headrace.lake import catalog
from headrace.model.partitions import command_line, partition_argument
from headrace.slo.freshness import FreshnessState, freshnesses
from headrace.slo.obligations import EvaluationContext
from headrace.slo.unsound import Carry
from headrace.slo.wrong_periods import Flaw, Wrongness
from headrace.store.queries import incidents, partition_states, publications
from headrace.store.queries.publications import Visible
from headrace.store.transaction import Transaction

STATES_MAX = 50
STALE_MAX = 100
"""Stale partitions that are named, the newest ones."""


class DataStateKind(enum.StrEnum):
    """What holds for data that is read, worst first. Data without any is right.

    `wrong`: an incident covers it, its exception has lapsed, or it was withdrawn or is made from
    withdrawn data. `exception`: somebody accepted it, or what it is made from, although it was
    held or rejected. `late`: data is missing because of an incident. `restated`: it was
    published again since with other rows. `stale`: an input or its code has changed since.
    """

    WRONG = "wrong"
    EXCEPTION = "exception"
    LATE = "late"
    RESTATED = "restated"
    STALE = "stale"


UNSOUND = (DataStateKind.WRONG, DataStateKind.EXCEPTION)
"""States of data that `--only-sound` refuses."""


class DataRead(NamedTuple):
    """Data of a node that is read: some partitions (None: all), some columns (None: all)."""

    node: str
    keys: Sequence[str] | None = None
    columns: Collection[str] | None = None


class DataState(msgspec.Struct, frozen=True):
    """One thing to know of some partitions of a node (none: of the node), and the next command.

    `columns` are affected (empty: all). `cause` is the node that caused it (empty: this node).
    """

    state: DataStateKind
    node: str
    text: str
    command: str | None
    partitions: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    incident: int | None = None
    cause: str = ""


def data_states(
    tx: Transaction,
    context: EvaluationContext,
    carry: Carry,
    times: tuple[int, int | None],
    reads: Sequence[DataRead],
) -> list[DataState]:
    """Return what has to be known of these reads, worst first and at most STATES_MAX.

    `times` are the current time in microseconds, and the snapshot that is read (None: the newest).
    """
    now_us, snapshot = times
    wrongness = Wrongness(tx, context, carry, now_us if snapshot is None else 0, now_us)
    known = [read for read in reads if read.node in context.declared.nodes]
    results: list[DataState] = []
    for read in known:
        if snapshot is None:
            results += _current(tx, context, wrongness, read)
        else:
            seen = _seen(tx, context, read, snapshot)
            results += [*_flawed(wrongness, read, seen), *_restated(tx, read.node, seen)]
    if snapshot is None:
        results += _late(tx, context, known, now_us)
    worst_first = list(DataStateKind)
    return sorted(results, key=lambda item: worst_first.index(item.state))[:STATES_MAX]


def _current(
    tx: Transaction, context: EvaluationContext, wrongness: Wrongness, read: DataRead
) -> Iterator[DataState]:
    if wrongness.touches(read.node):
        yield from _flawed(wrongness, read, _seen(tx, context, read, catalog.newest_snapshot(tx)))
    if read.node in context.facts.stale_nodes():
        keys = partition_states.stale_keys(tx, read.node, STALE_MAX)
        if keys := [key for key in keys if not read.keys or key in read.keys]:
            text = "an input or the code has changed since this was computed"
            why = command_line("why", partition_argument(read.node, keys[-1]))
            yield DataState(DataStateKind.STALE, read.node, text, why, tuple(keys))


def _seen(
    tx: Transaction, context: EvaluationContext, read: DataRead, snapshot: int
) -> dict[str, Visible]:
    """Return the publications that are read.

    A partition of a table that accumulates has what all partitions up to it have left.
    """
    visible = publications.visible(tx, read.node, snapshot)
    if not read.keys:
        return visible
    if context.node(read.node).accumulating:
        return {key: item for key, item in visible.items() if key <= max(read.keys)}
    return {key: visible[key] for key in read.keys if key in visible}


def _flawed(
    wrongness: Wrongness, read: DataRead, seen: Mapping[str, Visible]
) -> Iterator[DataState]:
    groups: dict[tuple[bool, str], list[Flaw]] = {}
    asked = None if read.columns is None else {column.lower() for column in read.columns}
    for flaw in wrongness.flaws(read.node, seen):
        columns = {column.lower() for column in flaw.columns}
        if asked is None or not columns or not asked.isdisjoint(columns):
            groups.setdefault((flaw.accepted, flaw.wronged.clause), []).append(flaw)
    for (accepted, text), flaws in groups.items():
        first = flaws[0]
        yield DataState(
            DataStateKind.EXCEPTION if accepted else DataStateKind.WRONG,
            read.node,
            text,
            first.wronged.next,
            tuple(sorted({flaw.partition for flaw in flaws})),
            columns=tuple(sorted(first.columns)),
            incident=first.wronged.incident,
            cause=first.cause,
        )


def _restated(tx: Transaction, node: str, seen: Mapping[str, Visible]) -> Iterator[DataState]:
    """Yield a state of the publications that others with other rows have replaced."""
    current = publications.visible(tx, node, catalog.newest_snapshot(tx))
    keys = [
        key
        for key, item in sorted(seen.items())
        if key in current
        and None not in (item.content_hash, current[key].content_hash)
        and item.content_hash != current[key].content_hash
    ]
    if keys:
        text = "published again since, with other rows"
        now = command_line("read", partition_argument(node, keys[-1]))
        yield DataState(DataStateKind.RESTATED, node, text, now, tuple(keys))


def _late(
    tx: Transaction, context: EvaluationContext, reads: Sequence[DataRead], now_us: int
) -> Iterator[DataState]:
    """Yield the open incidents that keep data of a node back, if it is behind or never came."""
    opened = incidents.open_incidents(tx)
    held = [
        (read, incident)
        for read in reads
        for incident in opened
        if read.node == incident.node or read.node in incident.affected.assets
    ]
    if not held:
        return
    states, lacking = freshnesses(context, now_us), (FreshnessState.BEHIND, FreshnessState.NEVER)
    wrong = {number for number, *_ in incidents.OpenIncidents(tx).wrong}
    for read, incident in held:
        waited = not read.keys or not _published(tx, read)
        if waited and states[read.node] in lacking and incident.id not in wrong:
            yield DataState(
                DataStateKind.LATE,
                read.node,
                f"{incident.label} {incident.node}: {incident.summary}",
                f"headrace incident {incident.label}",
                incident=incident.id,
                cause=incident.node,
            )


def _published(tx: Transaction, read: DataRead) -> bool:
    return all(publications.current(tx, read.node, key) is not None for key in read.keys or ())
