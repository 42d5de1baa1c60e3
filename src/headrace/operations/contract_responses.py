"""Documents of `contract accept` and `contract infer`."""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.operations.responses import CountsRow, NeededRow, RefusedRow, Response, StaleRow


class DiffersRow(Response, frozen=True, kw_only=True):
    """How the values of a renamed column are other than they were. `kind` is `type`, `scale`, `sign` or
    `nulls`; `factor` is a decimal, of a scale."""

    kind: str
    text: str
    factor: str | None = None


class MappingRow(Response, frozen=True, kw_only=True):
    """A column, and what files call it from the first interval on. `score` is None where a person named the pair.

    Where the values differ, `proposed` is the expression that undoes it, if one is known; `convert` is the
    one that was decided on (the name alone: as it is)."""

    column: str
    to: str
    score: float | None = None
    evidence: list[str]
    used_by: list[str]
    differs: list[DiffersRow] = msgspec.field(default_factory=list)
    proposed: str | None = None
    convert: str | None = None


class AcceptResponse(Response, frozen=True, kw_only=True):
    """`contract accept`. `state` is `accepted`, `patch` (nothing was written), `refused` or `declined`;
    `diff` is what changes in `file`."""

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
    """`contract infer`: a contract's text, by what was observed. `written` says whether it is in `file` now."""

    now: datetime
    clock: str = "live"
    source: str
    file: str
    text: str
    rows: int
    partitions: int
    written: bool = False
