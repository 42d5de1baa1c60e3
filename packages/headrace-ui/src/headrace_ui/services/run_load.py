"""Why a run took as long as it did: its critical path, and the slots and pools meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.extension import SEE, Argument, ProjectSession, Response, command
from headrace.ledger.inputs import PartitionRef
from headrace.project.caches import cached_by_version
from headrace.project.snapshots import project_state
from headrace.responses.interventions import LedgerRow
from headrace.services.runs import number_of, unknown_run
from headrace.slo.declared_promises import NodeTraits, traits
from headrace.standing.delay_ledger import Ledgers
from headrace.store import Transaction
from headrace.store.lease import holder
from headrace.store.queries import ledger, runs
from headrace.store.queries.runs import Run
from headrace_ui.queries import run_load
from headrace_ui.queries.run_load import LastAttempt, LoadRow

_KEYS = msgspec.json.Decoder(list[str])


class RunPath(Response, frozen=True, kw_only=True):
    """The critical path of a run: what it waited for until its last attempt ended.

    `ledger` goes back from the partition of the last attempt to the input that let it start, and so
    on until the run's start. It is null before an attempt ended, and if nodes on the path are
    hidden.
    """

    run_id: str
    ledger: LedgerRow | None
    attempts: list[str]
    """The run's attempts on the path, in order."""
    hidden: bool
    """Whether nodes on the path are hidden from this role."""


@command("runs path", SEE, lists=True, http="GET /runs/{run}/path run_path")
def run_path(session: ProjectSession, run: Annotated[str, Argument("RUN")]) -> RunPath:
    """Return the critical path of a run. Raise UsageError for an unknown run."""
    number = number_of(run)
    if session.store is None or session.compiled is None:
        raise unknown_run(run)
    compiled = session.compiled
    with project_state(session, session.clock.now_us()) as snapshot:
        tx = snapshot.tx
        record = visible_run(session, tx, run)
        last = _last(session, tx, number)
        if last is None:
            return RunPath(run_id=run, ledger=None, attempts=[], hidden=False)
        partition = _KEYS.decode(last.partitions)[0]
        there = last.published_at is not None
        ended = last.published_at if last.published_at is not None else last.finished_at
        ledgers = Ledgers(session, tx, compiled, snapshot.context, ended)
        row = ledgers.of_run(
            f"run {number}",
            PartitionRef(last.node, partition),
            record.started_at,
            ended,
            there=there,
        )
        places = dict.fromkeys((segment.node, segment.partition) for segment in row.segments)
        names = {node for node, _ in places} | {item.lacking or last.node for item in row.segments}
        if not all(map(session.shows, names)):
            return RunPath(run_id=run, ledger=None, attempts=[], hidden=True)
        ids = {
            item.id for place in places for item in ledgers.attempts(*place) if item.run == number
        }
    return RunPath(
        run_id=run,
        ledger=row,
        attempts=[f"{epoch}.{n}" for epoch, n in sorted(ids)],
        hidden=False,
    )


def visible_run(session: ProjectSession, tx: Transaction, run: str) -> Run:
    """Return a run with an attempt at a visible node. Raise UsageError for others."""
    record = runs.get(tx, number_of(run))
    if record is None:
        raise unknown_run(run)
    if session.visible is not None and not any(
        session.shows(node) for node in run_load.nodes_of_run(tx, record.id)
    ):
        raise unknown_run(run)
    return record


def _last(session: ProjectSession, tx: Transaction, run: int) -> LastAttempt | None:
    """Return the attempt at a visible node that ended last."""
    ended = run_load.last_ended(tx, run)
    return next((attempt for attempt in ended if session.shows(attempt.node)), None)


# Slots and pools over the time of a run, as means over equal steps.

STEPS_MAX = 240
SLOTS = "slots"


class LoadLane(Response, frozen=True, kw_only=True):
    """Means per step of what was busy and what waited.

    `busy` counts slots in use by all runs, `by_run` those of this run, `waiting` attempts that were
    ready and hadn't begun.
    """

    name: str
    """`slots` of the leader, or the name of a pool."""
    size: int | None
    """Number of slots; null if the leader's journal was deleted."""
    busy: list[float]
    by_run: list[float]
    waiting: list[float]


class RunLoad(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Slots and pools from a run's start to its end, in equal steps.

    An attempt is recorded once it is given to a worker. Of a run under way, partitions that still
    wait aren't counted. Pools are those of the applied project.
    """

    run_id: str
    from_: datetime
    to: datetime
    step_seconds: float
    lanes: list[LoadLane]
    limited: bool
    """Whether it counts only attempts at nodes that this role may see."""


@command("runs slots", SEE, lists=True, http="GET /runs/{run}/slots run_slots")
def run_slots(
    session: ProjectSession,
    run: Annotated[str, Argument("RUN")],
    steps: Annotated[int, Meta(ge=1, le=STEPS_MAX)] = 120,
) -> RunLoad:
    """Return the slots and pools in use while a run lasted. Raise UsageError for an unknown run."""
    if session.store is None or session.compiled is None:
        raise unknown_run(run)
    compiled, now_us = session.compiled, session.clock.now_us()
    node_traits = cached_by_version(session, "traits", lambda: traits(compiled))
    with session.store.read() as tx:
        record = visible_run(session, tx, run)
        leader = holder(tx)
        open_until = now_us if leader is not None and record.finished_at is None else None
        last = run_load.last_ended(tx, record.id)
        ended = record.finished_at or open_until or (last[0].finished_at if last else None)
        from_us, to_us = record.started_at, max(record.started_at, ended or record.started_at)
        spans = run_load.spans_of_run(tx, record.id)
        sizes = [ledger.slots(tx, epoch) for epoch, _, _ in spans]
        rows = [
            row for row in run_load.during(tx, record.id, from_us, to_us) if session.shows(row.node)
        ]
    axis = _Axis(from_us, to_us, steps)
    size = max((size for size in sizes if size is not None), default=None)
    lanes = [_lane(SLOTS, size, axis, record.id, [(row, 1) for row in rows])]
    lanes += _pools(axis, record.id, rows, node_traits)
    return RunLoad(
        run_id=run,
        from_=session.instant(from_us),
        to=session.instant(to_us),
        step_seconds=axis.step_us / 1e6,
        lanes=lanes,
        limited=session.visible is not None,
    )


def _pools(
    axis: _Axis, run: int, rows: Sequence[LoadRow], node_traits: Mapping[str, NodeTraits]
) -> list[LoadLane]:
    """Return the lanes of the pools that any of these attempts needed."""
    sizes: dict[str, int] = {}
    takers: dict[str, list[tuple[LoadRow, int]]] = {}
    for row in rows:
        for pool, slots, size in node_traits.get(row.node, NodeTraits()).takes:
            sizes[pool] = size
            takers.setdefault(pool, []).append((row, slots))
    return [_lane(pool, sizes[pool], axis, run, takers[pool]) for pool in sorted(takers)]


def _lane(
    name: str, size: int | None, axis: _Axis, run: int, rows: Iterable[tuple[LoadRow, int]]
) -> LoadLane:
    busy, by_run, waiting = (_Mean(axis) for _ in range(3))
    for row, slots in rows:
        begun = row.started_at if row.started_at is not None else row.finished_at
        waiting.add(row.queued_at, begun, 1)
        if row.started_at is not None:
            busy.add(row.started_at, row.finished_at, slots)
            if row.run_id == run:
                by_run.add(row.started_at, row.finished_at, slots)
    return LoadLane(
        name=name,
        size=size,
        busy=busy.means(size),
        by_run=by_run.means(size),
        waiting=waiting.means(),
    )


class _Axis:
    """Equal steps between two times in microseconds."""

    def __init__(self, from_us: int, to_us: int, steps: int) -> None:
        self.from_us, self.to_us, self.steps = from_us, to_us, steps
        self.step_us = max(to_us - from_us, 1) / steps


class _Mean:
    """A number that changes over time, as its mean over each step."""

    def __init__(self, axis: _Axis) -> None:
        self._axis = axis
        self._parts = [0.0] * axis.steps
        self._changes = [0] * (axis.steps + 1)

    def add(self, from_us: int, to_us: int | None, number: int) -> None:
        """Add `number` from one time until before another; None: until the end."""
        axis = self._axis
        begin = (max(from_us, axis.from_us) - axis.from_us) / axis.step_us
        last = axis.to_us if to_us is None else min(to_us, axis.to_us)
        end = (last - axis.from_us) / axis.step_us
        if end <= begin:
            return
        first, beyond = int(begin), min(int(end), axis.steps - 1)
        if first == beyond:
            self._parts[first] += number * (end - begin)
            return
        self._parts[first] += number * (first + 1 - begin)
        self._parts[beyond] += number * (end - beyond)
        self._changes[first + 1] += number
        self._changes[beyond] -= number

    def means(self, most: int | None = None) -> list[float]:
        """Return the mean of each step, at most `most`.

        A result is recorded a moment after its slot is free, so attempts may overlap by that.
        """
        level, results = 0, []
        for part, change in zip(self._parts, self._changes, strict=False):
            level += change
            mean = round(level + part, 3)
            results.append(mean if most is None else min(mean, float(most)))
        return results
