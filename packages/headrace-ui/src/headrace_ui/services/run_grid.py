"""The grid of runs: nodes × days, each cell with the outcome of the last attempt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.extension import SEE, ProjectSession, Response, UsageError, command
from headrace.model import Grain
from headrace.model.intervals import day_start_us, key_of_date, start_us
from headrace.model.partitions import SEPARATOR
from headrace.project.caches import cached_by_version, state_of
from headrace.scheduler.states import AttemptState
from headrace.slo.declared_promises import Node
from headrace.store import Transaction
from headrace.store.lease import holder
from headrace_ui.queries import run_grid as stored
from headrace_ui.queries.run_grid import GridAttempt, OfRuns
from headrace_ui.services.run_pages import nodes_named, owned_nodes

_KEYS = msgspec.json.Decoder(list[str])
DAYS_MAX = 60
_FIRST = date(1970, 4, 1)
"""The state has no times before 1970."""
ROWS_MAX = 100
EXAMINED_MAX = 500
"""With a filter by state, at most this number of nodes that may fit is examined."""
_WORST_FIRST = (
    AttemptState.FAILED,
    AttemptState.LOST,
    AttemptState.REJECTED,
    AttemptState.HELD,
    AttemptState.RUNNING,
    AttemptState.QUEUED,
    AttemptState.CANCELLED,
    AttemptState.SKIPPED,
    AttemptState.STAGED,
    AttemptState.PUBLISHED,
)
_RANK: dict[str, int] = {state: rank for rank, state in enumerate(_WORST_FIRST)}
BROKEN = frozenset(_WORST_FIRST[:4])
_OPEN = frozenset((AttemptState.RUNNING, AttemptState.QUEUED))
STATES = tuple(state.value for state in _WORST_FIRST[:-1])
"""The states that rows are filtered by; `running` includes `queued`."""


class RunGridQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which nodes and days a grid has.

    `state` and `failed` leave nodes with such a cell; `failed` is any of failed, lost, rejected and
    held. `kind` and `actor` are of the runs whose attempts count; nodes are left that such runs
    attempted since the first day. `until` is the last local date.
    """

    node: str | None = None
    owner: str | None = None
    state: str | None = None
    failed: bool = False
    kind: str | None = None
    actor: str | None = None
    since: date | None = None
    until: date | None = None
    days: Annotated[int, Meta(ge=1, le=DAYS_MAX)] = DAYS_MAX


class GridRow(Response, frozen=True, kw_only=True):
    """A node with one value per column; null where nothing was attempted.

    If a cell has several partitions, it has the worst of their states and an attempt in that state:
    `counts` of `partitions` are in it.
    """

    node: str
    kind: str
    """`source`, `asset` or `export`."""
    owner: str
    states: list[str | None]
    runs: list[str | None]
    attempts: list[str | None]
    counts: list[int]
    partitions: list[int]
    truncated: bool
    """Whether older attempts were left out, because there are too many."""


class RunGrid(Response, frozen=True, kw_only=True):
    """Some rows of a grid, in the order in which data flows.

    A partition stands in the column of its first day, an attempt without a time partition in that
    of the day on which it was queued.
    """

    days: list[date]
    """The columns, oldest first."""
    first: int
    """Number of the first of `rows`, from 0."""
    rows: list[GridRow]
    total: int
    """Number of all rows that fit the filters."""
    more: bool
    """Whether more nodes may fit than were examined."""


@command("runs grid", SEE, lists=True, http="GET /runs/grid run_grid")
def run_grid(
    session: ProjectSession,
    query: RunGridQuery,
    *,
    first: Annotated[int, Meta(ge=0)] = 0,
    limit: Annotated[int, Meta(ge=1, le=ROWS_MAX)] = 50,
) -> RunGrid:
    """Return rows of the grid of nodes and days, from row `first`.

    Raise UsageError for an unknown state.
    """
    if query.state is not None and query.state not in STATES:
        raise UsageError(
            f"{query.state[:40]!r} is no state of an attempt to filter by",
            hint=f"one of {', '.join(STATES)}",
        )
    if session.store is None or session.compiled is None:
        return RunGrid(days=[], first=first, rows=[], total=0, more=False)
    # before the transaction: a store runs one read at a time
    nodes, state, today = _nodes(session, query), state_of(session), session.now().date()
    with session.store.read() as tx:
        cells = _Cells(session, tx, query, today)
        word = f"{session.visible and sorted(session.visible)} {query!r} {cells.days} {state}"
        nodes, more = cached_by_version(session, "run grid", lambda: _fitting(cells, nodes), word)
        return RunGrid(
            days=cells.days,
            first=first,
            rows=[cells.row(node) for node in nodes[first : first + limit]],
            total=len(nodes),
            more=more,
        )


def _fitting(cells: _Cells, nodes: list[Node]) -> tuple[list[Node], bool]:
    """Return the nodes that fit the filters by attempts, and whether not all were examined."""
    candidates = cells.candidates()
    if candidates is None:
        return nodes, False
    likely = [node for node in nodes if node.name in candidates]
    if cells.wanted is None:
        return likely, False
    return [node for node in likely[:EXAMINED_MAX] if cells.fits(node)], len(likely) > EXAMINED_MAX


def _nodes(session: ProjectSession, query: RunGridQuery) -> list[Node]:
    """Return the nodes of an owner or a name that are attempted here, in the order of the graph.

    They are the applied ones without views, and without those that are read from production.
    """
    declared, borrowed = session.declared_promises, session.borrowed
    named = None if query.node is None else nodes_named(session, query.node)
    owned = None if query.owner is None else owned_nodes(session, query.owner)
    return [
        node
        for node in (*declared.nodes.values(), *declared.exports.values())
        if node.name not in borrowed
        and all(names is None or node.name in names for names in (named, owned))
        and session.shows(node.name)
    ]


class _Cells:
    """The cells of one grid."""

    def __init__(
        self, session: ProjectSession, tx: Transaction, query: RunGridQuery, today: date
    ) -> None:
        self._session, self._tx, self._query = session, tx, query
        self._runs = OfRuns(query.kind, query.actor)
        leader = holder(tx)
        self._epoch = None if leader is None else leader.epoch
        self.days = _days(session, tx, query, today)
        self._columns = {day.isoformat(): column for column, day in enumerate(self.days)}

    def _owner(self, name: str) -> str:
        assert self._session.compiled is not None
        node = self._session.compiled.project.node(name)
        return "" if node is None else node.owner

    def candidates(self) -> set[str] | None:
        """Return the nodes that may fit the filters by attempts; None without such filters."""
        if not self.days:
            return set()
        wanted, since_us = self.wanted, self._day_us(self.days[0])
        sets = []
        if wanted is not None:
            sets.append(self._in_states(wanted, since_us))
        if not self._runs.all:
            sets.append(stored.nodes_of_runs(self._tx, self._runs, since_us))
        return set.intersection(*sets) if sets else None

    def _in_states(self, states: frozenset[str], since_us: int) -> set[str]:
        """Return the nodes that may have a cell in one of these states, and others."""
        if states <= _OPEN:
            return stored.nodes_under_way(self._tx)
        if states <= BROKEN:
            return stored.unpublished_nodes(self._tx, since_us)
        return stored.nodes_in_states(self._tx, sorted(states))

    @property
    def wanted(self) -> frozenset[str] | None:
        """The states of which a row needs a cell; None: it needs none."""
        state, failed = self._query.state, self._query.failed
        if state is None:
            return BROKEN if failed else None
        states = _OPEN if state == AttemptState.RUNNING else frozenset((state,))
        return states & BROKEN if failed else states

    def fits(self, node: Node) -> bool:
        """Return whether a node has a cell in a wanted state."""
        last = self._last(node, self._attempts(node))
        return self.wanted is None or any(item.state in self.wanted for _, item in last)

    def row(self, node: Node) -> GridRow:
        """Return the row of a node."""
        attempts = self._attempts(node)
        by_column: list[list[GridAttempt]] = [[] for _ in self.days]
        for column, attempt in self._last(node, attempts):
            by_column[column].append(attempt)
        worst = [
            min(cell, key=lambda item: (_RANK[item.state], -item.epoch, -item.n)) if cell else None
            for cell in by_column
        ]
        return GridRow(
            node=node.name,
            kind=self._kind(node),
            owner=self._owner(node.name),
            states=[attempt and attempt.state for attempt in worst],
            runs=[attempt and str(attempt.run_id) for attempt in worst],
            attempts=[attempt and f"{attempt.epoch}.{attempt.n}" for attempt in worst],
            counts=[
                sum(item.state == attempt.state for item in cell) if attempt else 0
                for attempt, cell in zip(worst, by_column, strict=True)
            ],
            partitions=[len(cell) for cell in by_column],
            truncated=len(attempts) >= stored.NODE_MAX,
        )

    def _kind(self, node: Node) -> str:
        if node.is_source:
            return "source"
        return "export" if node.name in self._session.declared_promises.exports else "asset"

    def _last(self, node: Node, attempts: list[GridAttempt]) -> Iterator[tuple[int, GridAttempt]]:
        """Yield (column, last attempt) of each partition in the grid."""
        last: dict[str, GridAttempt] = {}
        keys: dict[str, list[str]] = {}
        for attempt in sorted(attempts):
            if attempt.partitions not in keys:
                keys[attempt.partitions] = _KEYS.decode(attempt.partitions)
            for key in keys[attempt.partitions]:
                # without intervals there is a cell for each day on which something was tried
                cell = key if node.partition.grain else f"{self._day(node, key, attempt)}/{key}"
                last[cell] = attempt
        for cell, attempt in last.items():
            column = self._columns.get(self._day(node, cell.partition(SEPARATOR)[0], attempt))
            if column is not None:
                yield column, self._as_known(attempt)

    def _as_known(self, attempt: GridAttempt) -> GridAttempt:
        """Return an attempt; as lost if it was under way when its leader died."""
        lost = attempt.state in _OPEN and attempt.epoch != self._epoch
        return attempt._replace(state=AttemptState.LOST.value) if lost else attempt

    def _attempts(self, node: Node) -> list[GridAttempt]:
        if not self.days:
            return []
        first, last, grain = self.days[0], self.days[-1], node.partition.grain
        if grain is None:
            beyond_us = self._day_us(last + timedelta(days=1))
            span = self._day_us(first), beyond_us
            return stored.between(self._tx, node.name, *span, self._runs)
        ends = _keys_of_days(first, last, grain)
        return stored.at_intervals(self._tx, node.name, *ends, self._runs)

    def _day_us(self, day: date) -> int:
        return day_start_us(day, self._session.timezone)

    def _day(self, node: Node, interval: str, attempt: GridAttempt) -> str:
        match node.partition.grain:
            case None:
                return self._session.instant(attempt.queued_at).date().isoformat()
            case Grain.HOUR | Grain.DAY:
                return interval[:10]
            case grain:
                return _first_day(interval, grain)


def _first_day(interval: str, grain: Grain) -> str:
    """Return the first day of a week or longer; empty for a key of another grain."""
    try:
        start = start_us(interval, grain, "UTC")
    except UsageError:
        return ""
    return (date(1970, 1, 1) + timedelta(microseconds=start)).isoformat()


def _keys_of_days(first: date, last: date, grain: Grain) -> tuple[str, str]:
    """Return the keys of the partitions in which two days lie; of an hour, those of its day."""
    cut = Grain.DAY if grain is Grain.HOUR else grain
    return key_of_date(first, cut), key_of_date(last, cut)


def _days(session: ProjectSession, tx: Transaction, query: RunGridQuery, today: date) -> list[date]:
    """Return the days of the columns: at most `days` of them, the newest that fit.

    The last one is `until`, at most today. Without `until` it is today, or the newest day of the
    newest attempts at visible nodes if these are all at older partitions.
    """
    if query.until is not None:
        last = min(query.until, today)
    else:
        attempted = _attempted_days(session, tx)
        newest = max((day for day in attempted if day <= today), default=today)
        last = newest if newest <= today - timedelta(days=query.days) else today
    if last < _FIRST:
        return []
    number = query.days
    if query.since is not None:
        number = min(number, (last - query.since).days + 1)
    return [last - timedelta(days=back) for back in reversed(range(max(number, 0)))]


def _attempted_days(session: ProjectSession, tx: Transaction) -> list[date]:
    """Return the days of the newest attempts at visible nodes."""
    return [
        _attempted(session, partitions, queued_at)
        for node, partitions, queued_at in stored.newest(tx)
        if session.shows(node)
    ]


def _attempted(session: ProjectSession, partitions: str, queued_at: int) -> date:
    """Return the day of an attempt's last partition if its key begins with one, else its own."""
    keys = _KEYS.decode(partitions)
    try:
        return date.fromisoformat(keys[-1][:10])
    except (ValueError, IndexError):
        return session.instant(queued_at).date()
