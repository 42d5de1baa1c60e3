"""Responses of `run`, `tick`, `runs`, `logs` and `quarantine`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.responses.base import (
    CheckRow,
    CodeRow,
    ColumnRow,
    ErrorRow,
    RepairRow,
    Response,
)
from headrace.responses.plans import CountsRow


class AttemptRow(Response, frozen=True, kw_only=True):
    """One attempt of a run. `asset` is the node: an asset, or the source that was ingested."""

    id: str
    asset: str
    partitions: list[str]
    state: str
    rows: int | None = None
    queued_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    published_at: datetime | None = None
    verdict: str | None = None
    reason: str | None = None
    error: ErrorRow | None = None


class PublishedRow(Response, frozen=True, kw_only=True):
    """One partition that a run made visible, with the lake snapshot that did it."""

    asset: str
    partition: str
    rows: int
    snapshot: int
    verdict: str | None = None
    identical: bool = False
    """Same content as the publication before, so nothing that depends on it was computed again."""


class RejectedRow(Response, frozen=True, kw_only=True):
    """One partition that didn't get through: `state` is `held`, `rejected` or `failed`."""

    asset: str
    partition: str
    state: str
    reason: str | None = None
    rows: int | None = None


class RestatedRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The past changed: partitions of a node that readers had seen were published again with other
    rows. `cause` is `restatement` (`because` names the sources that delivered again), `correction`
    (the same, of an exception, or of what an incident says was wrong), `arrival` (`because` names
    what was optional and came only then), `code`, or `again` (somebody asked, or `because` names
    sources whose deliveries were ingested once more). `at` is the last time."""

    node: str
    partitions: int
    from_: str
    to: str
    rows_before: int | None
    """Null, as `rows_after`, of an asset without a table (`materialize: files` or `none`)."""
    rows_after: int | None
    at: datetime
    cause: str
    because: list[str]
    consumers: list[str]
    """Who reads it."""


class ProposedRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Partitions of a node that are stale and are recomputed only on request, with the
    command that asks. `own_code`: because the node's own code changed; else something that it reads
    was published again. `incident`: that code has only failed so far, and is corrected first, as
    `command` says."""

    node: str
    partitions: int
    from_: str
    to: str
    command: str | None
    own_code: bool = False
    incident: str | None = None


class RepairedRow(Response, frozen=True, kw_only=True):
    """Partitions of a node that a run published and that had failed, been held, rejected or lost
    before. `still_wrong` is how many others of the node stand wrong; `assets` and `consumers` are
    all that reads it, through others too."""

    node: str
    partitions: list[str]
    still_wrong: int
    assets: list[str]
    consumers: list[str]


class DisagreedRow(Response, frozen=True, kw_only=True):
    """A delivery that doesn't show what the others show: of a column, the first value that isn't of
    their type and its line; without a column, another header."""

    values_of_rows = ("value",)

    delivery: str
    column: str | None
    type: str | None
    value: str | None
    line: int | None
    text: str


class LearntRow(Response, frozen=True, kw_only=True):
    """What was learnt at a source's first publication, and from which deliveries. `by` is
    `contract` where a contract says the types, else `deliveries`; `header` says whether the names
    of the columns are the delivery's own."""

    source: str
    read_as: str = ""
    """In words: `CSV, UTF-8, semicolon, header, decimal comma`."""
    by: str
    format: str
    encoding: str
    declared_encoding: str | None
    """What the source declares, where the first delivery is in another encoding."""
    delimiter: str | None
    header: bool
    decimal: str
    date_format: str | None
    timestamp_format: str | None
    columns: list[ColumnRow]
    deliveries: list[str]
    disagreed: list[DisagreedRow]
    undecided: list[str]
    """Columns that are text because as many deliveries show text as show another type."""
    warnings: list[str]
    attempt: str


class RunResponse(Response, frozen=True, kw_only=True):
    """`run` and `tick`. `state` is `succeeded`, `failed`, `partial`, `nothing_due`, or `cancelled`
    by somebody meanwhile."""

    now: datetime
    run_id: str | None
    state: str
    attempts: list[AttemptRow]
    published: list[PublishedRow]
    rejected: list[RejectedRow]
    incidents_opened: list[str] = []
    """The incidents that were found, or opened again, at the end of it."""
    clock: str = "live"
    reason: str | None = None
    """Why nothing was due, or what stopped the run."""
    repairs: list[RepairRow] = []
    """What repairs what is in `rejected`."""
    repaired: list[RepairedRow] = []
    restated: list[RestatedRow] = []
    """What the run published in the place of what readers had seen."""
    proposed: list[ProposedRow] = []
    """What is stale after it, and waits for somebody to ask."""
    learnt: list[LearntRow] = []
    """What the sources are held to that were published for the first time."""
    counts: CountsRow | None = None
    """How many partitions `run --again` and `retry` announced before they began; null
    for others."""
    unapplied: str | None = None
    """Which edits `run` and `retry` ran without, and how to apply them; null where there are none.
    """


class RunRow(Response, frozen=True, kw_only=True):
    """One partition of one attempt of one run; a run that attempted nothing has one row whose node
    is null."""

    run_id: str
    run_kind: str
    run_state: str
    actor: str
    attempt: str | None
    node: str | None
    partition: str | None
    state: str
    verdict: str | None
    at: datetime
    """When it was last known to change: finished, else started, else queued."""
    reason: str | None
    rows: int | None = None
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    """The most memory that its worker used during the attempt; null if it wasn't measured."""
    run_started_at: datetime
    run_finished_at: datetime | None = None
    error: ErrorRow | None = None
    repair: RepairRow | None = None
    """What repairs it, where it didn't get through and nothing has come of it since."""
    cancelled_at: datetime | None = None
    """When a person took the run back, where one did; `run_state` is `cancelled` then."""
    cancelled_by: str | None = None
    cancel_reason: str | None = None
    version: int | None = None
    """The version of the project that the attempt ran."""
    code: CodeRow | None = None
    """Of an attempt at an asset, where one run was asked for: the code that it ran."""


class LogRow(Response, frozen=True, kw_only=True):
    """One captured line of one attempt, with what became of the attempt; `number` is the line's in
    the whole log.
    """

    node: str
    partition: str
    attempt: str
    state: str
    verdict: str | None
    at: datetime
    reason: str | None
    number: int
    stream: str
    level: str
    text: str


class QuarantineRow(Response, frozen=True, kw_only=True):
    """Held or rejected data that waits, readable, with the reason."""

    node: str
    partition: str
    state: str
    verdict: str
    at: datetime
    reason: str
    owner: str | None
    rows: int | None
    path: str | None
    """Where the data is, relative to the project; null where nothing could be kept."""
    delivery: str | None
    """The vendor's file, relative to the project."""
    sample: list[dict[str, Any]]
    checks: list[CheckRow]
    attempt: str
    todo: str
    """What to do about it, in one line."""
    repair: RepairRow | None = None
    decide: list[str] = []
    """What publishes it as it is, and what says that it never will be."""
    published: bool = False
    """Whether readers see rows of the partition: of an earlier publication, or by exception."""
