"""Intervals that won't be met in time, and the node that is the cause (SEMANTICS §7). Pure.

The forecast adds up the remaining critical path from p95 durations, promises of sources, and
pauses. It is a lower bound, because it assumes free workers and pools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from typing import NamedTuple

from headrace.scheduler.dependencies import Network, network_of
from headrace.scheduler.forecast import (
    IS_PAUSED,
    THERE,
    CurrentPartitionState,
    ForecastStep,
    Outlook,
    PartitionForecaster,
    latest,
)
from headrace.scheduler.graph import Graph, GraphNode
from headrace.scheduler.states import PartitionState
from headrace.slo.blockage import short_reason
from headrace.slo.declared_promises import DeclaredPromises, Node, Terms
from headrace.slo.obligations import (
    EvaluationContext,
    Obligation,
    counts_as_empty,
    covered,
    needed,
    paced_inputs,
)
from headrace.slo.times import ago, time_text

_SECOND_US = 1_000_000


class Risk(NamedTuple):
    """An interval that won't be met in time.

    `node` and `partition` will cause it, and `clause` says how. `predicted_us` is when the interval
    will be met (None: unknown), `since_us` when the latest safe start passed (None: a start isn't
    the cause).
    """

    node: str
    partition: str
    predicted_us: int | None
    clause: str
    since_us: int | None


class Obstacle(NamedTuple):
    """What is known to delay an interval that hasn't ended.

    `at_us` is when the interval will be met at the earliest (None: somebody has to act first).
    """

    clause: str
    at_us: int | None


class Outlooks:
    """Forecasts for one point in time."""

    def __init__(self, context: EvaluationContext, now_us: int) -> None:
        self._context, self._now = context, now_us
        self._seconds = _Seconds(context)
        self._paused = {
            name: pause.until_us
            for name, pause in context.facts.pauses().items()
            if pause.holds(now_us)
        }
        self._built: Network | None = None

    @property
    def _network(self) -> Network:
        """Built on first use, since most evaluations have nothing at risk."""
        if self._built is None:
            self._built = network_of(_graph(self._context.declared))
        return self._built

    def risk(self, terms: Terms, obligation: Obligation) -> Risk | None:
        """Return why an unmet obligation will be missed; None if it won't be."""
        outlook = self._outlook(terms, obligation.interval, self._paused)
        if not outlook.steps or (outlook.at is not None and outlook.at <= obligation.due_at_us):
            return None
        first = outlook.steps[0] if outlook.at is not None else outlook.steps[-1]
        due = f", due {time_text(obligation.due_at_us, self._now, self._context.declared.timezone)}"
        passed = (
            None
            if outlook.at is None or first.begins > self._now or self._is_expected(first)
            else self._now - (outlook.at - obligation.due_at_us)
        )
        return Risk(
            first.node,
            first.key,
            outlook.at,
            f"{first.node} {self._clause(first, outlook)}{due}",
            passed,
        )

    def earliest_us(self, terms: Terms, interval: str) -> int | None:
        """Return when an interval can be met at the earliest; None if somebody has to act first."""
        return self._outlook(terms, interval, self._paused).at

    def obstacle(self, terms: Terms, obligation: Obligation) -> Obstacle | None:
        """Return what is known to delay an interval that hasn't ended.

        That is a pause, or a partition that it needs and that somebody has to act on. None if
        there is neither, or if the interval wouldn't be met earlier without the pauses.
        """
        if self._delayed.isdisjoint(node.name for node in self._ends(terms)):
            return None
        outlook = self._outlook(terms, obligation.interval, self._paused)
        if outlook.at is None:
            return Obstacle(self._obstacle_clause(outlook.steps[-1], outlook), None)
        pauses = [step for step in outlook.steps if step.why == IS_PAUSED]
        if not pauses or self._outlook(terms, obligation.interval, {}).at == outlook.at:
            return None
        return Obstacle(self._obstacle_clause(pauses[-1], outlook), outlook.at)

    def _obstacle_clause(self, step: ForecastStep, outlook: Outlook) -> str:
        return f"{step.node} {short_reason(self._clause(step, outlook))}"

    @cached_property
    def _delayed(self) -> set[str]:
        """The nodes that are paused or have a stopped partition, and all downstream of them."""
        declared = self._context.declared
        results = {*self._paused, *self._context.facts.stopped_nodes()}
        if results:
            for node in (*declared.nodes.values(), *declared.exports.values()):
                if any(spec.node in results for spec in node.inputs):
                    results.add(node.name)
        return results

    def _outlook(self, terms: Terms, interval: str, paused: Mapping[str, int | None]) -> Outlook:
        """Return when all that an interval requires will be there, with these nodes paused."""
        forecast = PartitionForecaster(
            self._network,
            partial(self._stand, terms, interval),
            self._now,
            seconds=self._seconds,
            paused=paused,
        )
        return latest([self._of(node, terms, interval, forecast) for node in self._ends(terms)])

    def _ends(self, terms: Terms) -> list[Node]:
        """Return the last nodes of an interval: its export if there is one, else the reads.

        An export waits for all reads.
        """
        export = self._context.declared.exports.get(terms.consumer)
        return [export] if export is not None else self._context.known_reads(terms)

    def _of(
        self, node: Node, terms: Terms, interval: str, forecast: PartitionForecaster
    ) -> Outlook:
        """Return when a node will hold all that an interval requires of it."""
        if covered(node, terms, interval, self._context) is not None:
            return THERE
        keys = needed(node, terms, interval, self._context)
        if keys is not None:
            return forecast.of_all((node.name, key) for key in keys)
        before = latest(
            [
                self._of(source, terms, interval, forecast)
                for source in paced_inputs(node, self._context)
            ]
        )
        if before.at is None:
            return before
        begins = max(before.at, self._now)
        takes = int(self._seconds.get(node.name, 0.0) * _SECOND_US)
        return Outlook(
            begins + takes,
            (
                *before.steps,
                ForecastStep(node.name, "*", begins, begins + takes, f"takes {ago(takes)}"),
            ),
        )

    def _stand(
        self, terms: Terms, interval: str, name: str, key: str
    ) -> CurrentPartitionState | None:
        """Return a partition's state for the forecast of one interval.

        A partition that counts as empty is published.
        """
        node = self._context.node(name)
        if counts_as_empty(node, key, self._context):
            return CurrentPartitionState(PartitionState.PUBLISHED, published=True)
        facts = self._context.facts.partition_state(name, key)
        if facts is None:
            return None
        there = facts.published and not (
            node.partition.whole and covered(node, terms, interval, self._context) is None
        )
        began = facts.since_us if facts.state == "running" else None
        return CurrentPartitionState(
            PartitionState(facts.state), there, began, facts.not_before_us, facts.reason
        )

    def _is_expected(self, step: ForecastStep) -> bool:
        """Return whether a step is a delivery that hasn't arrived."""
        return (
            self._context.node(step.node).is_source
            and self._context.facts.partition_state(step.node, step.key) is None
        )

    def _clause(self, step: ForecastStep, outlook: Outlook) -> str:
        """Return the clause that says how the first step of the chain makes the interval late."""
        pause = self._context.facts.pauses().get(step.node)
        if pause is not None and step.node in self._paused:
            paused = pause.clause(self._now, self._context.declared.timezone)
            return f"is {paused}{self._then(step, outlook)}"
        facts = self._context.facts.partition_state(step.node, step.key)
        if outlook.at is None:
            return step.why
        if self._is_expected(step):
            return f"is expected by {self._end_of(step)}{self._then(step, outlook)}"
        if facts is not None and facts.state == "running":
            return (
                f"runs for {ago(self._now - step.begins)}, what is left needs"
                f" {ago(outlook.at - self._now)}"
            )
        if not step.why.startswith("takes"):
            return f"{step.why} until {self._end_of(step)}{self._then(step, outlook)}"
        return f"hasn't begun, needs {ago(outlook.at - step.begins)}{self._most(step, outlook)}"

    def _end_of(self, step: ForecastStep) -> str:
        return time_text(step.ends, self._now, self._context.declared.timezone)

    def _then(self, step: ForecastStep, outlook: Outlook) -> str:
        """Return the clause about how long the steps after this one take."""
        if outlook.at is None or outlook.at <= step.ends:
            return ""
        return f", what follows needs {ago(outlook.at - step.ends)}"

    def _most(self, first: ForecastStep, outlook: Outlook) -> str:
        """Return the clause about the node that takes longest, unless it is the first."""
        longest = max(outlook.steps, key=lambda step: step.ends - step.begins)
        return "" if longest.node == first.node else f", most of it {longest.node}"


class _Seconds(Mapping[str, float]):
    """Node → p95 duration of an attempt in seconds, loaded on first use."""

    def __init__(self, context: EvaluationContext) -> None:
        self._context = context
        self._known: dict[str, float | None] = {}

    def __getitem__(self, node: str) -> float:
        if node not in self._known:
            self._known[node] = self._context.facts.seconds(node)
        result = self._known[node]
        if result is None:
            raise KeyError(node)
        return result

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _graph(declared: DeclaredPromises) -> Graph:
    """Return the graph for the forecast: nodes in topological order, then exports."""
    nodes = {**declared.nodes, **declared.exports}
    return Graph(tuple(_node(node, nodes) for node in nodes.values()))


def _node(node: Node, nodes: Mapping[str, Node]) -> GraphNode:
    return GraphNode(
        name=node.name,
        is_source=node.is_source,
        partition=node.partition,
        timezone=node.timezone,
        inputs=tuple(spec for spec in node.inputs if spec.node in nodes),
        start=node.start,
        expect_by=node.expect_by,
        days_off=node.no_data.calendar,
        trigger=node.trigger,
    )
