"""What an audit asks of rows besides declared checks: what the contract promises, how many rows are expected, and whether they are as
those of the partitions before. Judged by the functions that judge a delivery (`quality/anomalies`), of the same figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace.lake.content import hash_aggregate, hash_text
from headrace.lake.session import quote
from headrace.model import CheckSpec, Grain
from headrace.quality import metrics, profiles
from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.anomalies.judge import EvaluatedPartition, judge
from headrace.quality.anomalies.peers import Peer
from headrace.quality.anomalies.policy import IGNORE, decided, milder, unread
from headrace.quality.anomalies.stale import PublishedContent
from headrace.quality.challenge.asking import About, given
from headrace.quality.challenge.mutations import Mutation
from headrace.quality.challenge.sample import TABLE
from headrace.quality.facts import Fact, FactSeverity
from headrace.quality.metrics import REPEATED_ROWS_MAX, Metrics, StoredMetrics
from headrace.quality.scanning import ONLY

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession


class Usual(msgspec.Struct, frozen=True):
    """What a node's rows are judged beside, as an audit of the partition would be given it."""

    grain: Grain | None = None
    past: tuple[StoredMetrics, ...] = ()
    """The partitions before, oldest first."""
    versions: tuple[PublishedContent, ...] = ()
    peers: tuple[Peer, ...] = ()
    calendar: str = ""
    sources: int = 20
    on_anomaly: str | None = None
    of_columns: Mapping[str, str] = {}
    used: tuple[str, ...] | None = None
    classified: tuple[str, ...] = ()
    promised: tuple[CheckSpec, ...] = ()
    """What a source's contract promises of values."""
    rows_min: int | None = None
    rows_max: int | None = None
    delivered: bool = False
    """It is a source: without rows a delivery is held where others had some, and rows are compared with one another."""


class ChallengeGate:
    """The gate before one partition: what it would say of mutated rows that it doesn't say of them as they are."""

    def __init__(self, session: DuckDBSession, about: About, usual: Usual) -> None:
        self._session, self._about, self._usual = session, about, usual
        self._history = MetricHistory(usual.past, usual.grain)
        self._judges = usual.grain is not None and (usual.on_anomaly != IGNORE or bool(usual.of_columns))
        self._as_is: Metrics | None = None
        self._known: dict[tuple[str, str], FactSeverity] = {}

    def measure(self, select: str, rows: int) -> None:
        """Measure the rows as they are. Raises `duckdb.Error`."""
        if self._judges and rows:
            self._as_is = self._measured(select, rows, list(self._about.columns))
            self._known = {(fact.kind, fact.column): fact.severity for fact in self._facts(self._as_is, None)}

    def says(self, mutation: Mutation, select: str, rows: int) -> tuple[str, ...]:
        """The kinds of what holds the mutated rows, or is warned of. Raises `duckdb.Error`."""
        return (*self._unexpected(rows), *self._anomalous(mutation, select, rows))

    def _unexpected(self, rows: int) -> Iterator[str]:
        low, high = self._usual.rows_min, self._usual.rows_max
        if (low is not None and rows < low) or (high is not None and rows > high):
            yield "rows"
        elif not rows and self._usual.delivered:  # the rows that are published say that there are some
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
            if before is None or (before is not FactSeverity.HOLD and fact.severity is FactSeverity.HOLD):
                yield fact.kind

    def _facts(self, measured: Metrics, content: str | None) -> Sequence[Fact]:
        usual = self._usual
        partition = EvaluatedPartition(
            key=self._about.key, metrics=measured, content_hash=content, versions=usual.versions, sources=usual.sources,
            peers=usual.peers, calendar=usual.calendar,
        )  # fmt: skip
        facts = judge(partition, self._history)
        mild = unread(facts, usual.used) if usual.delivered else milder(facts, ())
        return tuple(decided(mild, usual.on_anomaly, usual.of_columns))

    def _measured(self, select: str, rows: int, columns: Sequence[str]) -> Metrics:
        """The figures of some columns, as an audit takes them."""
        types = {name: self._about.columns[name] for name in columns}
        described = profiles.planned(
            types, {}, [rows], several=False, one_file=True, timezone=self._about.timezone, classified=self._usual.classified
        )
        wanted = list(described.aggregates)
        compared = self._usual.delivered and 1 < rows <= REPEATED_ROWS_MAX
        if compared:
            wanted.append(f"count(*) - count(DISTINCT hash({', '.join(quote(name) for name in self._about.columns)}))")
        staged = given(self._session, self._about, select)
        staged.sample(described.every)
        values = staged.aggregates(wanted)[ONLY] if wanted else ()
        result = metrics.measured(described.profile(rows, values[: described.asked]), rows)
        return msgspec.structs.replace(result, repeated=int(values[-1])) if compared else result

    def _content(self, select: str, rows: int) -> str:
        staged = given(self._session, self._about, select)
        return hash_text(rows, staged.aggregates([hash_aggregate(staged.columns)])[ONLY][0], staged.columns)
