"""Pages about runs: the list of runs, and the timeline of one run's attempts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from headrace.extension import SEE, Argument, ProjectSession, Response, command
from headrace.ledger.records import Try
from headrace.ledger.stored_records import try_of
from headrace.model.intervals import day_start_us
from headrace.project.caches import cursor_text, place
from headrace.repairs.broken_partitions import error_row
from headrace.responses import ErrorRow
from headrace.services.runs import number_of, rows_read, unknown_run
from headrace.store import Transaction
from headrace.store.lease import holder
from headrace.store.queries import failures, runs
from headrace.store.queries.ledger import AttemptRecord
from headrace.store.queries.runs import Run, RunFilter
from headrace_ui.queries import run_attempts
from headrace_ui.queries.run_attempts import AttemptFilter, NodeAttempts
from headrace_ui.responses.catalog import CountedRow

# One line per run, in pages: `runs` has a row per partition, which is too much for a list.


NODES_NAMED = 3
"""Maximum number of nodes that a line names for each state."""
_UNSUCCESSFUL = frozenset({"failed", "lost", "held", "rejected", "cancelled"})


class RunHead(Response, frozen=True, kw_only=True):
    """A run without its attempts."""

    run_id: str
    kind: str
    state: str
    actor: str
    started_at: datetime
    finished_at: datetime | None


class StateAttemptsRow(CountedRow, frozen=True, kw_only=True):
    """The number of a run's attempts in a state, with the first `nodes` of them by name."""

    nodes: list[str]
    more: int
    """Number of nodes that aren't named."""


class RunLine(RunHead, frozen=True, kw_only=True):
    """A run with its `attempts` by state: unsuccessful ones first, then the most frequent."""

    reason: str | None
    """Why it was cancelled."""
    attempts: list[StateAttemptsRow]


class RunsResponse(Response, frozen=True, kw_only=True):
    """Runs, newest first; `next` is the cursor of older ones."""

    now: datetime
    runs: list[RunLine]
    next: str | None


class RunListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are listed: those that began on these local dates, both included."""

    failed: bool = False
    kind: str | None = None
    state: str | None = None
    actor: str | None = None
    node: str | None = None
    """A node, or a part of the names of some."""
    owner: str | None = None
    """Runs with an attempt at a node of this owner."""
    since: date | None = None
    until: date | None = None


@command("runs list", SEE, lists=True, http="GET /runs/list run_list")
def run_list(
    session: ProjectSession,
    query: RunListQuery,
    *,
    cursor: str | None = None,
    limit: Annotated[int, Meta(ge=1, le=200)] = 30,
) -> RunsResponse:
    """Return a page of runs that fit the filters; with `failed`, only those that didn't succeed.

    With the name of one node, they are those of its newest attempts; with a part of several names
    or an `owner`, those of the newest 100,000 attempts of all. Raise UsageError for an invalid
    cursor.
    """
    older_than = None if cursor is None else place(cursor, int)
    lines: list[RunLine] = []
    last = None
    if session.store is not None:
        with session.store.read() as tx:
            page = runs.page(tx, _filter(session, query), limit=limit + 1, before=older_than)
            more = len(page) > limit
            last = page[limit - 1].id if more else None
            counted = run_attempts.counts_of_runs(tx, [run.id for run in page[:limit]])
            results = (_line(session, run, counted.get(run.id, ())) for run in page[:limit])
            lines = [line for line in results if line is not None]
    return RunsResponse(
        now=session.now(), runs=lines, next=None if last is None else cursor_text(last)
    )


def _filter(session: ProjectSession, query: RunListQuery) -> RunFilter:
    named = None if query.node is None else nodes_named(session, query.node)
    owned = None if query.owner is None else owned_nodes(session, query.owner)
    single = None if named is None or len(named) != 1 else next(iter(named))
    sets = [names for names in (None if single else named, owned) if names is not None]
    return RunFilter(
        failed=query.failed,
        kind=query.kind,
        state=query.state,
        actor=query.actor,
        node=single,
        nodes=frozenset.intersection(*sets) if sets else None,
        since_us=_begin_us(session, query.since),
        until_us=_begin_us(session, _next_day(query.until)),
    )


def owned_nodes(session: ProjectSession, owner: str) -> frozenset[str]:
    """Return the visible sources, assets and consumers of an owner in the applied project."""
    nodes = () if session.compiled is None else session.compiled.project.nodes()
    return frozenset(
        node.name for node in nodes if node.owner == owner and session.shows(node.name)
    )


def nodes_named(session: ProjectSession, text: str) -> frozenset[str]:
    """Return the visible nodes whose names contain a text, in any case.

    If it is the name of a node, also of one that was removed, they are that node alone.
    """
    nodes = () if session.compiled is None else session.compiled.project.nodes()
    names = {node.name for node in nodes if session.shows(node.name)}
    like = frozenset(name for name in names if text.lower() in name.lower())
    if text in names or (not like and session.shows(text)):
        return frozenset((text,))
    return like


def _next_day(day: date | None) -> date | None:
    return None if day is None or day == date.max else day + timedelta(days=1)


def _begin_us(session: ProjectSession, day: date | None) -> int | None:
    return None if day is None else day_start_us(day, session.timezone)


def _line(session: ProjectSession, run: Run, attempts: Sequence[NodeAttempts]) -> RunLine | None:
    """Return a run with its attempts by state; None if all of them are of hidden nodes."""
    by_state: dict[str, list[NodeAttempts]] = {}
    for item in attempts:
        if session.shows(item.node):
            by_state.setdefault(item.state, []).append(item)
    if session.visible is not None and not by_state:
        return None
    rows = [
        StateAttemptsRow(
            value=state,
            count=sum(item.attempts for item in items),
            nodes=[item.node for item in items[:NODES_NAMED]],
            more=max(len(items) - NODES_NAMED, 0),
        )
        for state, items in by_state.items()
    ]
    rows.sort(key=lambda row: (row.value not in _UNSUCCESSFUL, -row.count, row.value))
    return RunLine(**head(session, run), reason=run.reason, attempts=rows)


def head(session: ProjectSession, run: Run) -> dict[str, Any]:
    """Return the fields of RunHead."""
    return {
        "run_id": str(run.id),
        "kind": run.kind,
        "state": run.shown_state,
        "actor": run.actor,
        "started_at": session.instant(run.started_at),
        "finished_at": None if run.finished_at is None else session.instant(run.finished_at),
    }


# One run with its attempts over time: how long each waited, ran, was checked and was published.

ATTEMPTS_MAX = 500
_UNDER_WAY = ("queued", "running")


class PhaseRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A phase of an attempt.

    `retry` lasts from the end of the previous try in the run, `queue` until a slot is free,
    `dispatch` until a worker starts it; then `run`, `audit` and `publish`. For an attempt under way
    `run` ends now.
    """

    kind: str
    from_: datetime
    to: datetime
    seconds: float


class TimedAttempt(Response, frozen=True, kw_only=True):
    """One attempt with its consecutive phases."""

    id: str
    node: str
    kind: str
    """`take_in` (ingestion), `produce` (computation) or `export`."""
    partitions: list[str]
    state: str
    open: bool
    reason: str | None
    error: ErrorRow | None
    published_since: bool = False
    """With `failed`: whether other attempts have published all its partitions since."""
    rows: int | None
    backfill: str | None
    phases: list[PhaseRow]


class NodePartsRow(Response, frozen=True, kw_only=True):
    """Partitions of a node: number, first and last."""

    node: str
    partitions: int
    first: str
    last: str


class RunTimeline(RunHead, frozen=True, kw_only=True):
    """A run with a page of its attempts.

    `counts` are all its attempts by state, `attempts` those of this page; `next` is the cursor of
    later ones.
    """

    now: datetime
    cancelled_at: datetime | None
    cancelled_by: str | None
    cancel_reason: str | None
    counts: dict[str, int]
    total: int = 0
    """Number of all its attempts."""
    matching: int = 0
    """Number of those in the asked state and at the asked nodes."""
    unpublished: int = 0
    """Number of attempts that failed, were lost, held, rejected or cancelled, or wait for something
    outside, as a disk with space."""
    retryable: int = 0
    """Number of partitions that a retry would run now.

    These are failed, rejected or lost and haven't been published since.
    """
    retries: list[NodePartsRow]
    """Those partitions, by node."""
    under_way: int = 0
    """Number of queued or running attempts, which a cancellation ends."""
    cancels: list[NodePartsRow]
    """Their partitions, by node."""
    attempts: list[TimedAttempt]
    next: str | None


@command("runs show", SEE, lists=True, http="GET /runs/{run} run")
def run_timeline(
    session: ProjectSession,
    run: Annotated[str, Argument("RUN")],
    cursor: str | None = None,
    limit: Annotated[int, Meta(ge=1, le=500)] = 500,
    *,
    failed: bool = False,
    state: str | None = None,
    node: str | None = None,
) -> RunTimeline:
    """Return a page of a run's attempts, in order; with `failed`, only the `unpublished` ones.

    With `state` and `node`, they are those in that state, and at a node or nodes with that part of
    a name.

    Data staged by a backfill and batches ingested in other attempts aren't among them. Raise
    UsageError for an unknown run, also one without a visible node, or an invalid cursor.
    """
    number = number_of(run)
    begin = (0, 0) if cursor is None else place(cursor, tuple[int, int])
    if session.store is None:
        raise unknown_run(run)
    now_us = session.clock.now_us()
    wanted = _wanted(session, state, node, failed)
    with session.store.read() as tx:
        record = runs.get(tx, number)
        if record is None:
            raise unknown_run(run)
        leads = holder(tx)
        rows = _visible_attempts(session, tx, number, begin, limit + 1, wanted)
        at_nodes = _visible_counts(session, tx, number)
        counts = _by_state(at_nodes)
        if session.visible is not None and not counts:
            raise unknown_run(run)
        unpublished = sum(
            count
            for node, count in run_attempts.unpublished_of_run(tx, number)
            if session.shows(node)
        )
        retries = _by_node(session, failures.failed_in_run(tx, number))
        cancels = _by_node(session, run_attempts.under_way_of_run(tx, number))
        page = rows[:limit]
        published = _published_since(tx, number, page) if failed else set()
        before = [run_attempts.tried_before(tx, *row) for row in page]
        counted = [
            rows_read(tx, node, (row.epoch, row.n), row.state, _measures(row)) for node, row in page
        ]
    epoch = leads.epoch if leads is not None else None
    last = page[-1][1] if len(rows) > len(page) else None
    return RunTimeline(
        **head(session, record),
        now=session.instant(now_us),
        cancelled_at=None if record.cancelled_at is None else session.instant(record.cancelled_at),
        cancelled_by=record.cancelled_by,
        cancel_reason=record.reason,
        counts=counts,
        total=sum(counts.values()),
        matching=sum(_by_state(filter(wanted.fits, at_nodes)).values()),
        unpublished=unpublished,
        retryable=sum(retry.partitions for retry in retries),
        retries=retries,
        under_way=sum(counts.get(state, 0) for state in _UNDER_WAY),
        cancels=cancels,
        attempts=[
            msgspec.structs.replace(
                _attempt(session, row, try_of(node, row, now_us, epoch), count, now_us, tried),
                published_since=(row.epoch, row.n) in published,
            )
            for (node, row), count, tried in zip(page, counted, before, strict=True)
        ],
        next=None if last is None else cursor_text((last.epoch, last.n)),
    )


def _published_since(
    tx: Transaction, run: int, page: list[tuple[str, AttemptRecord]]
) -> set[tuple[int, int]]:
    """Return (epoch, n) of the attempts whose partitions others have published since."""
    places = [(row.epoch, row.n) for _, row in page]
    if not places:
        return set()
    return set(places) - run_attempts.open_of_run(tx, run, places[0], places[-1])


def _visible_attempts(
    session: ProjectSession,
    tx: Transaction,
    run: int,
    after: tuple[int, int],
    limit: int,
    wanted: AttemptFilter,
) -> list[tuple[str, AttemptRecord]]:
    """Return at most `limit` (node, attempt) of visible nodes after `after`, in order."""
    rows: list[tuple[str, AttemptRecord]] = []
    while True:
        page = run_attempts.of_run(tx, run, after, limit, wanted)
        rows += [row for row in page if session.shows(row[0])]
        if len(rows) >= limit or len(page) < limit:
            return rows[:limit]
        after = (page[-1][1].epoch, page[-1][1].n)


def _wanted(
    session: ProjectSession, state: str | None, node: str | None, failed: bool
) -> AttemptFilter:
    named = None if node is None else nodes_named(session, node)
    return AttemptFilter(state, named, unpublished=failed)


def _visible_counts(session: ProjectSession, tx: Transaction, run: int) -> list[NodeAttempts]:
    """Return a run's attempts at visible nodes by state and node."""
    counted = run_attempts.counts_of_runs(tx, [run]).get(run, ())
    return [item for item in counted if session.shows(item.node)]


def _by_state(items: Iterable[NodeAttempts]) -> dict[str, int]:
    """Return the number of attempts by state, in the order of states."""
    counts: Counter[str] = Counter()
    for item in items:
        counts[item.state] += item.attempts
    return dict(sorted(counts.items()))


def _by_node(session: ProjectSession, results: Iterable[tuple[str, str]]) -> list[NodePartsRow]:
    keys: dict[str, list[str]] = {}
    for node, key in results:
        if session.shows(node):
            keys.setdefault(node, []).append(key)
    return [
        NodePartsRow(node=node, partitions=len(all_), first=min(all_), last=max(all_))
        for node, all_ in keys.items()
    ]


def _measures(row: AttemptRecord) -> dict[str, Any]:
    return msgspec.json.decode(row.measures, type=dict[str, Any]) if row.measures else {}


def _attempt(
    session: ProjectSession,
    row: AttemptRecord,
    item: Try,
    rows: int | None,
    now_us: int,
    tried_us: int | None,
) -> TimedAttempt:
    error = error_row(msgspec.json.decode(row.error)) if row.error else None
    open_ = item.finished_us is None and item.state != "lost"
    return TimedAttempt(
        id=f"{item.epoch}.{item.n}",
        node=item.node,
        kind=item.kind,
        partitions=msgspec.json.decode(row.partitions, type=list[str]),
        state=item.state,
        open=open_,
        reason=item.reason or (error.message if error is not None else None),
        error=error,
        rows=rows,
        backfill=None if row.plan_id is None else str(row.plan_id),
        phases=[
            PhaseRow(
                kind=kind,
                from_=session.instant(began),
                to=session.instant(ended),
                seconds=(ended - began) / 1_000_000,
            )
            for kind, began, ended in _phases(
                item, now_us if open_ else item.dispatched_us, tried_us
            )
            if ended > began or kind == "run"
        ],
    )


def _phases(item: Try, open_until_us: int, tried_us: int | None) -> Iterator[tuple[str, int, int]]:
    if tried_us is not None:
        yield "retry", tried_us, item.queued_us
    yield "queue", item.queued_us, item.dispatched_us
    if item.finished_us is None:
        yield "run", item.dispatched_us, max(item.dispatched_us, open_until_us)
        return
    published = max(item.began_us, item.finished_us - item.publish_us)
    audited = max(item.began_us, published - item.audit_us)
    yield "dispatch", item.dispatched_us, item.began_us
    yield "run", item.began_us, audited
    yield "audit", audited, published
    yield "publish", published, item.finished_us
