"""Responses of commands that repair: `contract accept`, `contract infer` and `fix`."""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.responses.backfills import BackfillResponse
from headrace.responses.base import Response
from headrace.responses.incidents import IncidentRow, RivalRow
from headrace.responses.plans import CountsRow, NeededRow, RefusedRow, StaleRow

# Responses of `contract accept` and `contract infer`.


class DiffersRow(Response, frozen=True, kw_only=True):
    """How the values of a renamed column are other than they were. `kind` is `type`, `scale`,
    `sign` or `nulls`; `factor` is a decimal, of a scale."""

    kind: str
    text: str
    factor: str | None = None


class MappingRow(Response, frozen=True, kw_only=True):
    """A column, and what files call it from the first interval on. `score` is None where a person
    named the pair.

    Where the values differ, `proposed` is the expression that undoes it, if one is known; `convert`
    is the one that was decided on (the name alone: as it is)."""

    column: str
    to: str
    score: float | None = None
    evidence: list[str]
    rivals: list[RivalRow] | None = None
    """Other new columns that came close; null where they weren't compared."""
    used_by: list[str]
    differs: list[DiffersRow] = msgspec.field(default_factory=list)
    proposed: str | None = None
    convert: str | None = None


class AcceptResponse(Response, frozen=True, kw_only=True):
    """`contract accept`. `state` is `accepted`, `patch` (nothing was written), `refused` or
    `declined`; `diff` is what changes in `file`."""

    now: datetime
    clock: str = "live"
    plan_id: str | None = None
    refused: RefusedRow | None = None
    """Why nothing was done: the plan isn't the one that was agreed to."""
    source: str
    partition: str
    """The first interval for which the names hold."""
    state: str
    file: str
    made: bool = False
    """Whether the contract's file didn't exist before."""
    mappings: list[MappingRow]
    diff: str
    version: int | None = None
    reread: list[str]
    """Partitions of which the newest delivery is re-ingested by the next `tick`."""
    stale: list[StaleRow]
    """What was made of them already, and follows."""
    backfills: list[NeededRow]
    """What makes that again where it is too old to follow by itself."""
    counts: CountsRow | None = None
    """What the next `tick` makes because of it, re-ingested deliveries among it; null where
    something that was published is recomputed, for that depends on how old it is."""


class InferResponse(Response, frozen=True, kw_only=True):
    """`contract infer`: a contract's text, by what was observed. `written` says whether it is in
    `file` now.
    """

    now: datetime
    clock: str = "live"
    source: str
    file: str
    text: str
    rows: int
    partitions: int
    written: bool = False


# Response of `fix`: the incident (INTERFACE §3), each step of the repair, and its outcome.


class FixStep(Response, frozen=True, kw_only=True):
    """One step: `map` names in a contract, `read` deliveries again, `look` at a source, `build`
    partitions, `publish` them, `resume` a node, `retry` what failed, `give_up` a damaged file,
    compute partitions `again`. `what` is what it is done to, `text` how much of it; `partitions`
    are those that are computed again."""

    act: str
    what: str
    text: str
    partitions: list[str] = msgspec.field(default_factory=list)


class StillRow(Response, frozen=True, kw_only=True):
    """A consumer that the incident affects and that isn't served (`what` is its name, `state` that
    of `status`), a partition whose wrong rows are still read, or one that the repair failed at
    (`command` shows the incident of that)."""

    what: str
    state: str
    text: str
    command: str | None


class RecomputedRow(Response, frozen=True, kw_only=True):
    """How many partitions of the incident's node have the same rows as before the repair, and how
    many others.
    """

    node: str
    same: int
    differ: int


class FixResponse(IncidentRow, frozen=True, kw_only=True):
    """The incident as it is now. `fix` is `planned`, `declined`, `done` (the repair ran to its end
    and the incident is resolved) or `open` (a part of it failed, or the incident isn't over);
    `backfill` is the plan, and what came of it once it ran."""

    fix: str
    plan_id: str | None = None
    """Of what is done, or was agreed to; null for an incident that is resolved."""
    refused: RefusedRow | None = None
    """Why nothing was done: the plan isn't the one that was agreed to, or a person has to decide
    first about values that differ."""
    steps: list[FixStep]
    mappings: list[MappingRow]
    file: str | None
    """The contract that was edited."""
    backfill: BackfillResponse | None
    still: list[StillRow]
    """After a repair: what isn't as it should be, by the evaluation that `status` prints."""
    recomputed: RecomputedRow | None
    """Of a repair with `--again`: whether the rows differ from those that were there."""
    waited_seconds: float | None = None
    """From when the incident was opened, or opened again, to when the repair was begun; null where
    Headrace repairs it by itself, and where nothing was done."""
