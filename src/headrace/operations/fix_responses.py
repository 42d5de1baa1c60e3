"""The response of `fix`: the incident (INTERFACE §3), what is done about it step by step, and what came of it."""

from __future__ import annotations

import msgspec

from headrace.operations.backfill_responses import BackfillResponse
from headrace.operations.contract_responses import MappingRow
from headrace.operations.incident_responses import IncidentRow
from headrace.operations.responses import RefusedRow, Response


class FixStep(Response, frozen=True, kw_only=True):
    """One step: `map` names in a contract, `read` deliveries again, `look` at a source, `build` partitions, `publish` them, `resume` a
    node, `retry` what failed, `give_up` a damaged file, compute partitions `again`. `what` is what it is done to, `text` how much of
    it; `partitions` are those that are computed again."""

    act: str
    what: str
    text: str
    partitions: list[str] = msgspec.field(default_factory=list)


class StillRow(Response, frozen=True, kw_only=True):
    """A consumer that the incident affects and that isn't served (`what` is its name, `state` that of `status`), a partition whose
    wrong rows are still read, or one that the repair failed at (`command` shows the incident of that)."""

    what: str
    state: str
    text: str
    command: str | None


class RecomputedRow(Response, frozen=True, kw_only=True):
    """How many partitions of the incident's node have the same rows as before the repair, and how many others."""

    node: str
    same: int
    differ: int


class FixResponse(IncidentRow, frozen=True, kw_only=True):
    """The incident as it is now. `fix` is `planned`, `declined`, `done` (the repair ran to its end and the incident is resolved) or
    `open` (a part of it failed, or the incident isn't over); `backfill` is the plan, and what came of it once it ran."""

    fix: str
    plan_id: str | None = None
    """Of what is done, or was agreed to; null for an incident that is resolved."""
    refused: RefusedRow | None = None
    """Why nothing was done: the plan isn't the one that was agreed to, or somebody has to decide first
    about values that differ."""
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
