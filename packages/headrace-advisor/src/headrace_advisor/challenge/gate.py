"""The audit of mutated rows: declared checks, and the other questions of an audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace.checks import metrics, placement, profile_plan
from headrace.checks.anomalies.evaluated_partition import EvaluatedPartition
from headrace.checks.anomalies.evaluation import evaluate_partition
from headrace.checks.anomalies.explanations import Peer
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.metric_anomalies import (
    IGNORE,
    apply_policy,
    milder_for_computed,
    without_unread_columns,
)
from headrace.checks.anomalies.row_anomalies import PublishedContent
from headrace.checks.audits_of_queries import About, QueryRows, results_of, subject_of
from headrace.checks.check_kinds import ONLY
from headrace.checks.evaluation import Item, guarded
from headrace.checks.facts import Fact, FactSeverity
from headrace.checks.metrics import REPEATED_ROWS_MAX, Metrics, StoredMetrics
from headrace.checks.results import CheckState
from headrace.lake.sqltext import quote
from headrace.lake.staging import hash_aggregate, hash_text
from headrace.model import CheckSpec, Grain
from headrace_advisor.challenge.mutations import TABLE, Mutation

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession


def is_routed(session: DuckDBSession, about: About, select: str, rows: int) -> bool:
    """Return whether all rows belong to their partition, as every audit checks."""
    if about.routing is None:
        return True
    column, grain, key = about.routing
    item = guarded(
        Item(placement.CHECK),
        lambda: placement.rows_outside(subject_of(about, rows), column, grain, key),
    )
    (check_result,) = results_of(session, about, [item], select, rows)
    return check_result.outcome is not CheckState.FAILED


# The questions of an audit besides declared checks: the contract, the expected number of rows, and
# whether the rows are like those of earlier partitions. The functions and limits of an audit
# (`checks/anomalies`) answer them.


class Usual(msgspec.Struct, frozen=True):
    """The context in which an audit evaluates a node's rows."""

    grain: Grain | None = None
    past: tuple[StoredMetrics, ...] = ()
    """The earlier partitions, oldest first."""
    versions: tuple[PublishedContent, ...] = ()
    peers: tuple[Peer, ...] = ()
    calendar: str = ""
    sources: int = 20
    on_anomaly: str | None = None
    of_columns: Mapping[str, str] = {}
    used: tuple[str, ...] | None = None
    classified: tuple[str, ...] = ()
    promised: tuple[CheckSpec, ...] = ()
    """The checks that a source's contract implies."""
    rows_min: int | None = None
    rows_max: int | None = None
    delivered: bool = False
    """Whether the node is a source.

    A delivery without rows is held if others had some, and its rows are compared with one another.
    """


class ChallengeGate:
    """The gate of one partition: finds anomalies of mutated rows that the original rows lack."""

    def __init__(self, session: DuckDBSession, about: About, usual: Usual) -> None:
        self._session, self._about, self._usual = session, about, usual
        self._history = MetricHistory(usual.past, usual.grain)
        self._judges = usual.grain is not None and (
            usual.on_anomaly != IGNORE or bool(usual.of_columns)
        )
        self._as_is: Metrics | None = None
        self._known: dict[tuple[str, str], FactSeverity] = {}

    def measure(self, select: str, rows: int) -> None:
        """Measure the original rows. Raises `duckdb.Error`."""
        if self._judges and rows:
            self._as_is = self._measured(select, rows, list(self._about.columns))
            self._known = {
                (fact.kind, fact.column): fact.severity for fact in self._facts(self._as_is, None)
            }

    def says(self, mutation: Mutation, select: str, rows: int) -> tuple[str, ...]:
        """Return the kinds of problems for which the gate holds or warns of the mutated rows.

        Raises `duckdb.Error`.
        """
        return (*self._unexpected(rows), *self._anomalous(mutation, select, rows))

    def _unexpected(self, rows: int) -> Iterator[str]:
        low, high = self._usual.rows_min, self._usual.rows_max
        if (low is not None and rows < low) or (high is not None and rows > high):
            yield "rows"
        elif not rows and self._usual.delivered:  # published rows show that there are some
            yield "empty"

    def _anomalous(self, mutation: Mutation, select: str, rows: int) -> Iterator[str]:
        if self._as_is is None or not rows:
            return
        columns = list(mutation.columns) or list(self._about.columns)
        result = self._measured(select, rows, columns)
        content = self._content(select, rows) if mutation.source != TABLE else None
        whole = msgspec.structs.replace(result, columns={**self._as_is.columns, **result.columns})
        for fact in self._facts(whole, content):
            before = self._known.get((fact.kind, fact.column))
            if before is None or (
                before is not FactSeverity.HOLD and fact.severity is FactSeverity.HOLD
            ):
                yield fact.kind

    def _facts(self, measured: Metrics, content: str | None) -> Sequence[Fact]:
        usual = self._usual
        partition = EvaluatedPartition(
            key=self._about.key,
            metrics=measured,
            content_hash=content,
            versions=usual.versions,
            sources=usual.sources,
            peers=usual.peers,
            calendar=usual.calendar,
        )
        facts = evaluate_partition(partition, self._history)
        mild = (
            without_unread_columns(facts, usual.used)
            if usual.delivered
            else milder_for_computed(facts, ())
        )
        return tuple(apply_policy(mild, usual.on_anomaly, usual.of_columns))

    def _measured(self, select: str, rows: int, columns: Sequence[str]) -> Metrics:
        """Return the metrics of some columns, as an audit computes them."""
        types = {name: self._about.columns[name] for name in columns}
        described = profile_plan.planned(
            types,
            {},
            [rows],
            several=False,
            one_file=True,
            timezone=self._about.timezone,
            classified=self._usual.classified,
        )
        aggregates = list(described.aggregates)
        compared = self._usual.delivered and 1 < rows <= REPEATED_ROWS_MAX
        if compared:
            aggregates.append(
                "count(*) - count(DISTINCT"
                f" hash({', '.join(quote(name) for name in self._about.columns)}))"
            )
        staged = QueryRows(self._session, self._about, select)
        staged.sample(described.every)
        values = staged.aggregates(aggregates)[ONLY] if aggregates else ()
        result = metrics.measured(
            described.profile(rows, values[: described.aggregate_count]), rows
        )
        return msgspec.structs.replace(result, repeated=int(values[-1])) if compared else result

    def _content(self, select: str, rows: int) -> str:
        staged = QueryRows(self._session, self._about, select)
        return hash_text(
            rows, staged.aggregates([hash_aggregate(staged.columns)])[ONLY][0], staged.columns
        )
