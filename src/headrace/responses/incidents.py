"""Responses of `incidents` and `incident` (INTERFACE §3)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.responses.base import Response


class EvidenceRow(Response, frozen=True, kw_only=True):
    """One thing that was seen. Names and figures, never values of classified columns."""

    what: str
    expected: str
    observed: str
    at: datetime
    attempts: list[str] = msgspec.field(default_factory=list)
    """Of an attempt that failed: its id, and those of the attempts at the same partition that
    failed before it, one after the other, since the evidence above."""


class CauseRow(Response, frozen=True, kw_only=True):
    """What an incident is put down to. `node` is a source, an asset, a consumer (its export), or
    `headrace` itself."""

    kind: str
    detail: str
    node: str
    partition: str | None
    columns: list[str]
    summary: str
    evidence: list[EvidenceRow]
    evidence_limited: bool = False
    """There may be more of it: as many pieces as an incident keeps are here."""
    confidence: float
    certainty: str = ""
    """The confidence in a word: `established`, `likely` or `not established`."""


class MeasuredRow(Response, frozen=True, kw_only=True):
    """What one partition came to; `value` is null where it has no such figure. `odd`: the incident
    is about it.
    """

    partition: str
    value: float | None
    odd: bool


class IncidentFigureRow(Response, frozen=True, kw_only=True):
    """A figure that an incident's evidence is of, over time, oldest first. `figure` is a family of
    metrics (`nulls`, `rows`, `location`: the size of the values, …), `category` the value whose
    share it is (`…` for somebody who may not read rows), `unit` one of share (0 to 1), number and
    hours. `expected` and `observed` are of `partition`, the first that is odd."""

    values_of_rows = ("category",)

    node: str
    column: str | None
    figure: str
    category: str | None
    unit: str
    partition: str
    expected: float
    observed: float
    points: list[MeasuredRow]


class RivalRow(Response, frozen=True, kw_only=True):
    """A new column that came close to being proposed instead. `why` is null where it resembles the
    missing column in nothing in particular."""

    column: str
    score: float
    why: str | None


class RenameRow(Response, frozen=True, kw_only=True):
    """A column that the delivery lacks, and the new column that is proposed for it. `rivals` are
    the other new columns that came close, the best score first; null where they weren't compared,
    or where the delivery was read before they were kept."""

    column: str
    to: str
    score: float | None
    rivals: list[RivalRow] | None


class AffectedRow(Response, frozen=True, kw_only=True):
    """What it holds back or makes wrong; `partitions` are the cause's own."""

    assets: list[str]
    consumers: list[str]
    partitions: list[str]


class IncidentRepairRow(Response, frozen=True, kw_only=True):
    """What repairs it; `automatic`: Headrace does it by itself. `first` is what a person does
    before the command, `commands` all that is typed then, in order: the first of them is `command`.

    `same`: neither code nor inputs have changed, so `fix --again` would compute the same rows."""

    command: str | None
    automatic: bool
    first: str | None = None
    note: str | None = None
    """When it ends without anybody, and what may be done all the same; then `command`
    only looks."""
    same: bool = False
    commands: list[str] = msgspec.field(default_factory=list)
    expected_at: datetime | None = None
    """When Headrace has repaired it by itself at the earliest; null: nothing says when."""
    text: str | None = None
    """What a person does before the commands, when it ends by itself, or which incidents the
    command repairs; null: the command repairs this one."""


class SymptomRow(Response, frozen=True, kw_only=True):
    """What it brought about elsewhere."""

    node: str
    partition: str | None
    what: str
    at: datetime


class HappenedRow(Response, frozen=True, kw_only=True):
    """One line of its timeline."""

    at: datetime
    what: str
    by: str


class RecurrenceRow(Response, frozen=True, kw_only=True):
    """The time before: when that was, and what was done then."""

    id: str
    began_at: datetime
    restored_at: datetime | None
    done: list[str]


class MuteRow(Response, frozen=True, kw_only=True):
    """Who muted it, when, why and until when; null: until somebody unmutes it."""

    by: str
    since: datetime
    until: datetime | None
    reason: str


class IncidentRow(Response, frozen=True, kw_only=True):
    """One cause. `began_at` is the earliest evidence, `restored_at` when those affected were served
    again.
    """

    id: str
    state: str
    cause: CauseRow
    owner: str
    contact: list[str] = msgspec.field(default_factory=list)
    """How its owner is reached, as owners.yaml says."""
    assignee: str | None = None
    """Who handles it, as somebody has set it; it may be a name that the project doesn't know."""
    ticket: str | None = None
    """The address of its ticket in another system, with http or https. Headrace never opens it.
    Null, too, if it names a node that the reader may not see."""
    muted: MuteRow | None = None
    """Whether messages about it are held back; null also if it is resolved."""
    began_at: datetime
    opened_at: datetime
    opened_again_at: datetime | None = None
    """When it was opened for the last time; null of one that was opened once."""
    restored_at: datetime | None
    resolved_at: datetime | None
    detect_seconds: float = 0.0
    """From when it was so to when it was known."""
    restore_seconds: float | None = None
    """From when it was so to when all were served again, without the time between two periods in
    which it was open; null while it isn't resolved."""
    ended: str | None = None
    """How it ended, in a sentence; null while it isn't resolved."""
    affected: AffectedRow
    repair: IncidentRepairRow | None
    renames: list[RenameRow] = msgspec.field(default_factory=list)
    """The undecided renames of the newest changed delivery of the cause's partition."""
    recurrence_of: str | None
    before: RecurrenceRow | None
    """Of a recurrence: the time before."""
    symptoms: list[SymptomRow]
    timeline: list[HappenedRow]
    timeline_limited: bool = False
    """There are more lines: older ones that neither open nor end it are left out."""
