"""The outcome of an audit as values: verdict, results of checks, profiles of columns."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.model import Severity


class Verdict(enum.StrEnum):
    """What the audit of a partition came to (SEMANTICS §5)."""

    PASSED = "passed"
    WARNED = "warned"
    HELD = "held"
    REJECTED = "rejected"
    UNCHECKED = "unchecked"


class CheckState(enum.StrEnum):
    """What one check came to. `unchecked`: there were no rows to check."""

    PASSED = "passed"
    FAILED = "failed"
    UNCHECKED = "unchecked"


class CheckResult(msgspec.Struct, frozen=True):
    """One check on one staged file. `failing` counts rows (or values) that break it; `sample` holds at most
    `SAMPLE_ROWS_MAX` of them, as JSON-able dicts."""

    name: str
    kind: str
    severity: Severity
    outcome: CheckState
    rows: int
    failing: int
    detail: str = ""
    """What a person reads: `origin: 3 rows not in EWR, JFK, LGA (XXX, YYY)`."""
    sample: tuple[dict[str, Any], ...] = ()
    partitions: tuple[str, ...] = ()
    """Where it failed: in which of the partitions of a batch."""

    @property
    def said(self) -> str:
        """What it says where it stands alone. What a query looks for is only in its name: `parts_add_up: 2 rows returned`."""
        named = self.kind == "sql" and self.name != self.kind and self.detail
        return f"{self.name}: {self.detail}" if named else self.detail or self.name


class ColumnProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one scan learnt about one column. Decimals, dates and times as text; of a classified column counts alone."""

    rows: int
    nulls: int
    distinct: int | None = None
    minimum: str | None = None
    maximum: str | None = None
    mean: float | None = None
    sampled: int | None = None
    """Of how many rows quantiles, top values, lengths, patterns and hours come, where these weren't all; `distinct` is an estimate then."""
    empty: int | None = None
    """Texts of no characters, or of spaces alone."""
    negative: int | None = None
    zero: int | None = None
    location: float | None = None
    """Mean of ln|x| between the 5th and the 95th of a hundred, without zeros."""
    spread: float | None = None
    """ln of the distance between the quartiles of ln|x|, without zeros."""
    quantiles: tuple[float, float, float, float, float] | None = None
    """Of numbers: the 5th, 25th, 50th, 75th and 95th of a hundred."""
    top: tuple[tuple[str, int], ...] = ()
    """The most frequent values and how often they are there; all of them where the column is `categorical`."""
    categorical: bool = False
    lengths: tuple[int, float, int] | None = None
    """Of texts: characters of the shortest, on average, of the longest."""
    patterns: tuple[tuple[str, int], ...] = ()
    """Of texts: the most frequent shapes (`Aa-99`: capital letters, small ones, digits) and how often they are there."""
    hours: tuple[int, ...] = ()
    """Of instants: how many lie in each hour of the day, local time."""
    between: tuple[int, int] | None = None
    """Of instants: eight of ten lie between these, to the quarter of an hour; minutes since 1970, local time."""
    listed: tuple[str, ...] = ()
    """Of a short list of texts, each there once: all of them, in order."""


class PartitionAudit(msgspec.Struct, frozen=True, array_like=True):
    """What the audit of a batch came to for one of its partitions: as if it had been computed alone."""

    verdict: Verdict
    results: tuple[CheckResult, ...]
    content_hash: str | None = None
    metrics: bytes = b""
    """`checks.metrics.Metrics` as they are kept; empty where the partition wasn't described."""


class Audit(msgspec.Struct, frozen=True):
    """All that was found out about one staged file before it may be published."""

    verdict: Verdict
    results: tuple[CheckResult, ...]
    profile: dict[str, ColumnProfile]
    seconds: float
    content_hash: str | None = None
    """Of a file of one partition, from the same scan; None for several partitions and for large files."""
    partitions: dict[str, PartitionAudit] = {}
    """Of a batch: what it came to for each partition."""
    profiles: dict[str, dict[str, ColumnProfile]] = {}
    """Of a batch: each partition's profile."""
    metrics: bytes = b""
    """Of a file of one partition: `checks.metrics.Metrics` as they are kept."""

    def of(self, key: str) -> Audit:
        """The audit of one partition. Of a file of one partition, and where parts weren't told apart, that is all of it."""
        audit = self.partitions.get(key)
        if audit is None:
            return self
        return Audit(audit.verdict, audit.results, self.profiles.get(key, {}), self.seconds, audit.content_hash, metrics=audit.metrics)

    def hashes(self) -> dict[str, str]:
        """The content hashes that this scan took of a batch's partitions."""
        return {key: audit.content_hash for key, audit in self.partitions.items() if audit.content_hash is not None}

    def with_warning(self) -> Audit:
        """The audit of something that is published with something to say, if it is published."""
        parts = {key: msgspec.structs.replace(audit, verdict=_warned(audit.verdict)) for key, audit in self.partitions.items()}
        return msgspec.structs.replace(self, verdict=_warned(self.verdict), partitions=parts)

    def with_results(self, results: Sequence[CheckResult]) -> Audit:
        """The audit with results that are about all of its partitions together."""
        parts = {key: msgspec.structs.replace(audit, results=(*audit.results, *results)) for key, audit in self.partitions.items()}
        return msgspec.structs.replace(self, results=(*self.results, *results), partitions=parts)


def _warned(verdict: Verdict) -> Verdict:
    return Verdict.WARNED if verdict in (Verdict.PASSED, Verdict.UNCHECKED) else verdict
