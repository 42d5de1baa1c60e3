"""The graph as it stood at a past time: the version then in force, and the last attempts by then.

Whether a partition was stale or behind isn't stored for past times. So each node has the state of
its last attempt, and each consumer the state that was known of it then.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from headrace.extension import ProjectSession, UsageError
from headrace.model import Project
from headrace.model.intervals import to_us
from headrace.plan import Compiled
from headrace.plan.compiled import is_view
from headrace.project.caches import cached_by_version
from headrace.project.snapshots import project_state
from headrace.slo.timeline import timeline
from headrace.store import Transaction
from headrace.store.queries import applied_versions, scheduling
from headrace.store.queries.incidents import display_id
from headrace_ui.queries import graph_history
from headrace_ui.queries.graph_history import PastAttempt

NEVER, UNKNOWN, NOT_DUE, RUNNING = "never", "unknown", "not_due", "running"
WORST_FIRST = (
    "wrong", "failed", "lost", "rejected", "late", "held", "stale", "behind", "at_risk", RUNNING,
    NEVER, UNKNOWN, "cancelled", "skipped", NOT_DUE, "fresh", "published", "served",
)  # fmt: skip
"""States of nodes and consumers, now and at past times, the most urgent first.

A view and a card of several nodes have the first that one of them has.
"""
Steps = list[tuple[int, str]]
"""The states of a node or a consumer: since when (µs), and which. The first is of the begin."""


def past_time(session: ProjectSession, text: str, option: str) -> int:
    """Return a time as typed, in microseconds. Raise UsageError for one that hasn't come yet."""
    at_us = to_us(session.parse_time(text, option))
    if at_us > session.clock.now_us():
        raise UsageError(f"{option} {text[:40]} hasn't come yet", hint="ask for a time until now")
    return at_us


def version_at(session: ProjectSession, at_us: int) -> int | None:
    """Return the version in force at a time; None before the first apply."""
    if session.store is None or session.compiled is None:
        return None
    with session.store.read() as tx:
        return graph_history.version_at(tx, at_us)


def compiled_at(session: ProjectSession, version: int) -> Compiled:
    """Return an applied version's project."""
    if version == session.version and session.compiled is not None:
        return session.compiled

    def load() -> Compiled:
        with session.existing_store.read() as tx:
            return msgspec.msgpack.decode(applied_versions.compiled(tx, version), type=Compiled)

    return cached_by_version(session, "earlier version", load, str(version))


def states_between(
    session: ProjectSession, compiled: Compiled, version: int, from_us: int, to_us: int
) -> dict[str, Steps]:
    """Return the states of all nodes and consumers of a version from one time to another."""
    steps = {**_node_steps(session, compiled, version, from_us, to_us)}
    for name in compiled.order:
        if is_view(compiled.project, name):
            steps[name] = _worst_of([steps[node] for node in _inputs(compiled, name)], from_us)
    return {**steps, **_consumer_steps(session, compiled.project, from_us, to_us)}


def state_at(steps: Sequence[tuple[int, str]], at_us: int) -> str:
    """Return the state at a time that isn't before the first."""
    return steps[bisect_right(steps, at_us, key=lambda step: step[0]) - 1][1]


def _inputs(compiled: Compiled, view: str) -> list[str]:
    return [spec.node for spec in compiled.nodes[view].inputs]


def _worst_of(inputs: Sequence[Steps], from_us: int) -> Steps:
    """Return the states of a view; one that reads nothing is published."""
    times = sorted({from_us, *(at for steps in inputs for at, _ in steps)})
    return _changes(
        (at, min((state_at(steps, at) for steps in inputs), key=_rank, default="published"))
        for at in times
    )


def _rank(state: str) -> int:
    return WORST_FIRST.index(state)


def _changes(states: Iterable[tuple[int, str]]) -> Steps:
    """Return the states without repetitions; of several at one time the last."""
    results: Steps = []
    for at, state in states:
        if results and results[-1][0] == at:
            results.pop()
        if not results or results[-1][1] != state:
            results.append((at, state))
    return results


# Nodes: from their attempts, each read from the store that holds it.


def _node_steps(
    session: ProjectSession, compiled: Compiled, version: int, from_us: int, to_us: int
) -> dict[str, Steps]:
    names = [name for name in compiled.order if not is_view(compiled.project, name)]
    borrowed = [name for name in names if name in session.borrowed]
    others = [name for name in names if name not in session.borrowed]
    without = _without_attempts(session, names, version)
    with session.existing_store.read() as tx:
        steps = _steps_of(tx, others, without, from_us, to_us)
    production = session.production
    if version != session.version or production is None or production.store is None:
        return {**steps, **{name: [(from_us, UNKNOWN)] for name in borrowed}}
    with production.store.read() as tx:
        return {**steps, **_steps_of(tx, borrowed, without, from_us, to_us)}


def _without_attempts(
    session: ProjectSession, names: Iterable[str], version: int
) -> dict[str, str]:
    """Return the state of each node if no attempt of it is stored.

    A removed node's attempts may be stored under its new name. What an earlier version of an
    environment borrowed isn't stored.
    """
    if session.production is not None and version != session.version:
        return dict.fromkeys(names, UNKNOWN)
    current = session.compiled.nodes if session.compiled is not None else {}
    return {name: NEVER if name in current else UNKNOWN for name in names}


def _steps_of(
    tx: Transaction, names: Collection[str], without: Mapping[str, str], from_us: int, to_us: int
) -> dict[str, Steps]:
    """Return the states of nodes; `without` are those of nodes that were never attempted."""
    if not names:
        return {}
    attempts: dict[str, list[PastAttempt]] = {}
    for attempt in _attempts(tx, from_us, to_us):
        attempts.setdefault(attempt.node, []).append(attempt)
    results = {}
    for name in names:
        base = graph_history.last_ended(tx, name, from_us)
        if graph_history.is_removed(tx, name, base and base.ended_at, to_us):
            results[name] = [(from_us, UNKNOWN)]
        else:
            of_node = attempts.get(name, ())
            results[name] = _changes(_swept(base, without[name], of_node, from_us, to_us))
    return results


ATTEMPTS_MAX = 20_000
"""At most this number of attempts is read for one window."""


def _attempts(tx: Transaction, from_us: int, to_us: int) -> Iterator[PastAttempt]:
    yield from graph_history.running_at(tx, to_us)
    if from_us < to_us:
        yield from graph_history.ended_between(tx, from_us, to_us, ATTEMPTS_MAX)
        yield from graph_history.published_later(tx, from_us, to_us, ATTEMPTS_MAX)


def _swept(
    base: PastAttempt | None,
    without: str,
    attempts: Iterable[PastAttempt],
    from_us: int,
    to_us: int,
) -> Iterator[tuple[int, str]]:
    """Yield (time, state): running while an attempt runs, else as the newest that has ended."""
    newest, state = (base.key, base.state) if base is not None else ((-1, -1), without)
    running = 0
    yield from_us, state
    for at, change, attempt in _events(attempts, from_us, to_us):
        running += change if attempt.started_at is not None else 0
        if change < 0 and attempt.key >= newest:
            newest, state = attempt.key, attempt.state
        yield at, RUNNING if running else state


def _events(
    attempts: Iterable[PastAttempt], from_us: int, to_us: int
) -> list[tuple[int, int, PastAttempt]]:
    """Return (time, 1, attempt) for each start and (time, -1, attempt) for each end, in order."""
    events: list[tuple[int, int, PastAttempt]] = []
    for attempt in attempts:
        if attempt.started_at is not None:
            events.append((max(attempt.started_at, from_us), 1, attempt))
        if attempt.ended_at is not None and attempt.ended_at <= to_us:
            events.append((attempt.ended_at, -1, attempt))
    return sorted(events, key=lambda event: event[:2])


# Consumers: from the obligations and wrong data that were known at each time.


def _consumer_steps(
    session: ProjectSession, project: Project, from_us: int, to_us: int
) -> dict[str, Steps]:
    now_us = session.clock.now_us()
    with project_state(session, now_us) as snapshot:
        pasts = snapshot.evaluation(session, (from_us, now_us)).pasts()
    known = {past.consumer: past for past in pasts}
    results: dict[str, Steps] = {}
    for name in project.consumers:
        if name not in known:
            results[name] = [(from_us, UNKNOWN)]
            continue
        states: Steps = [(from_us, NOT_DUE)]
        for period in timeline(known[name], from_us, to_us + 1, then=True):
            states += [(period.from_us, period.state.value), (period.until_us, NOT_DUE)]
        results[name] = _changes(step for step in states if step[0] <= to_us)
    return results


class PastCard(NamedTuple):
    """What is known of one node besides its state."""

    name: str
    data_through: str | None
    quarantined: bool


class PastCards:
    """The cards of the graph as it stood at a time; as `node_cards.Cards` are for now."""

    def __init__(self, session: ProjectSession, at_us: int, version: int) -> None:
        self.compiled = compiled_at(session, version)
        self.project, self.version, self.at_us = self.compiled.project, version, at_us
        self._session = session
        steps = states_between(session, self.compiled, version, at_us, at_us)
        self.states: dict[str, str] = {name: state_at(of, at_us) for name, of in steps.items()}
        with session.existing_store.read() as tx:
            self._incidents: dict[str, str] = {}
            for number, node in graph_history.incidents_at(tx, at_us):
                self._incidents.setdefault(node, display_id(number))

    def consumer_states(self) -> dict[str, str]:
        """Return no further states: `states` has those of consumers, too."""
        return {}

    def of(self, names: Iterable[str]) -> list[PastCard]:
        """Return the cards of some sources and assets."""
        return [PastCard(name, self._data_through(name), self._quarantined(name)) for name in names]

    def any_quarantined(self, names: Iterable[str]) -> bool:
        """Return whether the last attempt of any of the nodes was held or rejected."""
        return any(map(self._quarantined, names))

    def _quarantined(self, name: str) -> bool:
        return self.states.get(name) in ("held", "rejected")

    @property
    def has_incidents(self) -> bool:
        """Whether any incident was open."""
        return bool(self._incidents)

    def incident(self, name: str) -> str | None:
        """Return the oldest incident open then that had affected the node by then."""
        return self._incidents.get(name)

    def is_cause(self, _: str) -> bool:
        """Return false: where an incident arose isn't kept for past times."""
        return False

    def owner(self, name: str) -> str | None:
        """Return the node's owner by the version then in force."""
        node = self.project.node(name)
        return node.owner if node is not None else None

    def paused(self, name: str) -> bool:
        """Return whether the node was paused then."""
        with self._session.existing_store.read() as tx:
            return bool(scheduling.pauses_between(tx, [name], self.at_us, self.at_us + 1)[name])

    def _data_through(self, name: str) -> str | None:
        node = self.project.sources.get(name) or self.project.assets.get(name)
        if node is None or node.partition.grain is None:
            return None
        production = self._session.production
        session = production if production and name in self._session.borrowed else self._session
        if session.store is None:
            return None
        with session.store.read() as tx:
            return graph_history.data_through(tx, name, self.at_us)
