"""The documents of `incidents` and `incident` (INTERFACE §3)."""

from __future__ import annotations

from datetime import datetime

from headrace.operations.documents import Document


class EvidenceRow(Document, frozen=True, kw_only=True):
    """One thing that was seen. Names and figures, never values of classified columns."""

    what: str
    expected: str
    observed: str
    at: datetime


class CauseRow(Document, frozen=True, kw_only=True):
    """What an incident is put down to. `node` is a source, an asset, a consumer (its export), or `headrace` itself."""

    kind: str
    detail: str
    node: str
    partition: str | None
    columns: list[str]
    summary: str
    evidence: list[EvidenceRow]
    confidence: float


class AffectedRow(Document, frozen=True, kw_only=True):
    """What it holds back or makes wrong; `partitions` are the cause's own."""

    assets: list[str]
    consumers: list[str]
    partitions: list[str]


class IncidentRepairRow(Document, frozen=True, kw_only=True):
    """What repairs it; `automatic`: Headrace does it by itself. `first` is what a person does before the command."""

    command: str
    automatic: bool
    first: str | None = None


class SymptomRow(Document, frozen=True, kw_only=True):
    """What it brought about elsewhere."""

    node: str
    partition: str | None
    what: str
    at: datetime


class HappenedRow(Document, frozen=True, kw_only=True):
    """One line of its timeline."""

    at: datetime
    what: str
    by: str


class RecurrenceRow(Document, frozen=True, kw_only=True):
    """The time before: when that was, and what was done then."""

    id: str
    began_at: datetime
    restored_at: datetime | None
    done: list[str]


class IncidentRow(Document, frozen=True, kw_only=True):
    """One cause. `began_at` is the earliest evidence, `restored_at` when those affected were served again."""

    id: str
    state: str
    cause: CauseRow
    owner: str
    began_at: datetime
    opened_at: datetime
    restored_at: datetime | None
    resolved_at: datetime | None
    affected: AffectedRow
    repair: IncidentRepairRow | None
    recurrence_of: str | None
    before: RecurrenceRow | None
    """Of a recurrence: the time before."""
    symptoms: list[SymptomRow]
    timeline: list[HappenedRow]
