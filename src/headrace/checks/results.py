"""Results of audits: verdicts, results of checks and profiles of columns."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.model import Severity


class Verdict(enum.StrEnum):
    """The result of the audit of a partition (SEMANTICS §5)."""

    PASSED = "passed"
    WARNED = "warned"
    HELD = "held"
    REJECTED = "rejected"
    UNCHECKED = "unchecked"


class CheckState(enum.StrEnum):
    """The state of one check. `unchecked`: there were no rows to check."""

    PASSED = "passed"
    FAILED = "failed"
    UNCHECKED = "unchecked"


class CheckResult(msgspec.Struct, frozen=True):
    """The result of one check on one staged file.

    `failing` is the number of rows (or values) that fail; `sample` holds at most `SAMPLE_ROWS_MAX`
    of them, as dictionaries that JSON can hold.
    """

    name: str
    kind: str
    severity: Severity
    outcome: CheckState
    rows: int
    failing: int
    detail: str = ""
    """A text for people: `origin: 3 rows not in EWR, JFK, LGA (XXX, YYY)`."""
    sample: tuple[dict[str, Any], ...] = ()
    partitions: tuple[str, ...] = ()
    """The partitions of a batch in which the check failed."""

    @property
    def summary(self) -> str:
        """Return the result as one line that is complete without context.

        The detail of a `sql` check needs the check's name: `parts_add_up: 2 rows returned`.
        """
        named = self.kind == "sql" and self.name != self.kind and self.detail
        return f"{self.name}: {self.detail}" if named else self.detail or self.name


class ColumnProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The profile of one column, from one scan.

    Decimals, dates and times are text. The profile of a classified column has counts, and location
    and spread if the column has many distinct values.
    """

    rows: int
    nulls: int
    distinct: int | None = None
    minimum: str | None = None
    maximum: str | None = None
    mean: float | None = None
    sampled: int | None = None
    """The number of sampled rows, or None if all rows were read.

    Quantiles, top values, lengths, patterns and hours come from the sample; `distinct` is then an
    estimate.
    """
    empty: int | None = None
    """The number of texts that are empty or consist of spaces."""
    negative: int | None = None
    zero: int | None = None
    location: float | None = None
    """The mean of ln|x| between the 5th and the 95th percentile, without zeros."""
    spread: float | None = None
    """ln of the interquartile range of ln|x|, without zeros."""
    quantiles: tuple[float, float, float, float, float] | None = None
    """The 5th, 25th, 50th, 75th and 95th percentile of a column of numbers."""
    top: tuple[tuple[str, int], ...] = ()
    """The most frequent values and their counts; all values if the column is `categorical`."""
    categorical: bool = False
    lengths: tuple[int, float, int] | None = None
    """The shortest, mean and longest length of texts, in characters."""
    patterns: tuple[tuple[str, int], ...] = ()
    """The most frequent shapes of texts and their counts.

    In the shape `Aa-99`, `A` is a capital letter, `a` a small one, `9` a digit.
    """
    hours: tuple[int, ...] = ()
    """The number of times in each hour of the day, in local time."""
    between: tuple[int, int] | None = None
    """The 10th and 90th percentile of times, in minutes since 1970 local time, multiples of 15."""
    time_quantiles: tuple[int, ...] | None = None
    """The 5th, 25th, 50th, 75th and 95th percentile of dates and times, as `between`.

    Not in profiles of earlier versions.
    """
    listed: tuple[str, ...] = ()
    """All texts of a short list in which each occurs once, in order."""


class PartitionAudit(msgspec.Struct, frozen=True, array_like=True):
    """The audit of one partition of a batch, with the same result as if it were computed alone."""

    verdict: Verdict
    results: tuple[CheckResult, ...]
    content_hash: str | None = None
    metrics: bytes = b""
    """`checks.metrics.Metrics`, encoded for storage; empty if the partition wasn't profiled."""


class Audit(msgspec.Struct, frozen=True):
    """The result of the audit of one staged file, before it may be published."""

    verdict: Verdict
    results: tuple[CheckResult, ...]
    profile: dict[str, ColumnProfile]
    seconds: float
    content_hash: str | None = None
    """The content hash of a file of one partition; None for several partitions and large files."""
    partitions: dict[str, PartitionAudit] = {}
    """The audit of each partition of a batch."""
    profiles: dict[str, dict[str, ColumnProfile]] = {}
    """The profile of each partition of a batch."""
    metrics: bytes = b""
    """`checks.metrics.Metrics` of a file of one partition, encoded for storage."""

    def of(self, key: str) -> Audit:
        """Return the audit of one partition, or the whole audit if it has no parts."""
        audit = self.partitions.get(key)
        if audit is None:
            return self
        return Audit(
            audit.verdict,
            audit.results,
            self.profiles.get(key, {}),
            self.seconds,
            audit.content_hash,
            metrics=audit.metrics,
        )

    def with_profile_of(self, key: str, other: Audit) -> Audit:
        """Return the audit with a partition's profile and metrics from another audit of it."""
        if key not in self.partitions:
            return msgspec.structs.replace(
                self, profile=other.profile, metrics=other.metrics, seconds=other.seconds
            )
        part = msgspec.structs.replace(self.partitions[key], metrics=other.partitions[key].metrics)
        return msgspec.structs.replace(
            self,
            partitions={**self.partitions, key: part},
            profiles={**self.profiles, key: other.profiles[key]},
            seconds=other.seconds,
        )

    def hashes(self) -> dict[str, str]:
        """Return the content hashes of a batch's partitions, where the scan computed them."""
        return {
            key: audit.content_hash
            for key, audit in self.partitions.items()
            if audit.content_hash is not None
        }

    def with_warning(self) -> Audit:
        """Return the audit with `warned` in place of the verdicts `passed` and `unchecked`."""
        parts = {
            key: msgspec.structs.replace(audit, verdict=_warned(audit.verdict))
            for key, audit in self.partitions.items()
        }
        return msgspec.structs.replace(self, verdict=_warned(self.verdict), partitions=parts)

    def with_results(self, results: Sequence[CheckResult]) -> Audit:
        """Return the audit with further results, which apply to each of its partitions."""
        parts = {
            key: msgspec.structs.replace(audit, results=(*audit.results, *results))
            for key, audit in self.partitions.items()
        }
        return msgspec.structs.replace(self, results=(*self.results, *results), partitions=parts)


def _warned(verdict: Verdict) -> Verdict:
    return Verdict.WARNED if verdict in (Verdict.PASSED, Verdict.UNCHECKED) else verdict
