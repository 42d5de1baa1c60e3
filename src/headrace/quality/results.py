"""The outcome of an audit, as values."""

from __future__ import annotations

import enum
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


class Outcome(enum.StrEnum):
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
    outcome: Outcome
    rows: int
    failing: int
    detail: str = ""
    """What a person reads: `origin: 3 rows not in EWR, JFK, LGA (XXX, YYY)`."""
    sample: tuple[dict[str, Any], ...] = ()
    partitions: tuple[str, ...] = ()
    """Where it failed: in which of the partitions of a batch."""


class ColumnProfile(msgspec.Struct, frozen=True):
    """What one scan learnt about one column. Decimals, dates and times as text."""

    rows: int
    nulls: int
    distinct: int | None = None
    minimum: str | None = None
    maximum: str | None = None
    mean: float | None = None


class Audit(msgspec.Struct, frozen=True):
    """All that was found out about one staged file before it may be published."""

    verdict: Verdict
    results: tuple[CheckResult, ...]
    profile: dict[str, ColumnProfile]
    seconds: float
    content_hash: str | None = None
    """Of a file of one partition, taken in the same scan; None for several partitions and for large files."""
