"""Responses of the advisor: where time goes, what it costs, and what can go."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response


class DelayShareRow(Response, frozen=True, kw_only=True):
    """A part of a consumer's waits. The parts add up to `wait_seconds`, and to 100.00 percent.

    `kind` is that of the delay ledger's segments, as `why` has them; `group` says what it was spent
    on: `source`, `quality` (data that was held, rejected or wrong, and work redone because of it),
    `repair`, `retry`, `approval`, `paused`, `capacity`, `ingest`, `compute`, `checks`,
    `publication`, `export`, `trigger` or `headrace`. `node` is where the cause is. Of `quality`,
    `owner` is that of the data; `decider` is who could have ended the wait with one command, null
    if nobody.
    """

    kind: str
    group: str
    node: str
    owner: str
    decider: str | None
    seconds: float
    percent: str


class RegressionCauseRow(Response, frozen=True, kw_only=True):
    """What changed when a node became slower.

    `kind` is `data` (an input was wrong), `schema`, `code`, `volume`, `machine` or `unknown`. `ref`
    is an incident, SOURCE@K, a version, an input, or an attempt; null if it is unknown.
    """

    kind: str
    ref: str | None
    node: str
    owner: str
    text: str


class RegressionRow(Response, frozen=True, kw_only=True):
    """A node that became slower lastingly: its median duration before and since."""

    node: str
    at: datetime
    before_s: float
    after_s: float
    cause: RegressionCauseRow


class DismissalRow(Response, frozen=True, kw_only=True):
    """That somebody dismissed a proposal, and why.

    `command` reopens it; null for a reader whose role may not. `ended` says what has changed
    since, so that the proposal is open again; null while it holds.
    """

    by: str
    at: datetime
    reason: str
    ended: str | None
    command: str | None


class DismissedResponse(Response, frozen=True, kw_only=True):
    """`optimize dismiss` and `optimize reopen`: the proposals, by their ids.

    `dismissal` is null after `reopen`. `until` says what reopens each of the dismissed ones, in the
    order of `ids`.
    """

    ids: list[str]
    until: list[str] = []
    dismissal: DismissalRow | None


class DelayProposalRow(Response, frozen=True, kw_only=True):
    """A trigger that can go: an asset waited for it although all its inputs were there.

    `waits` counts the obligations in the window that waited for it, `median_s` is how long.
    """

    id: str
    node: str
    owner: str
    waits: int
    median_s: float
    text: str
    command: str | None
    dismissal: DismissalRow | None = None


class DelayWeekRow(Response, frozen=True, kw_only=True):
    """The waits for the obligations that fell due in one week, Monday to Sunday."""

    week: str
    obligations: int
    wait_seconds: float


class BottleneckRow(Response, frozen=True, kw_only=True):
    """Where the waits of one consumer went, for the obligations that fell due in a window.

    `obligations` counts those with a known wait. `wait_seconds` is the sum of their waits; waits
    that overlap count each. `limited`: only the newest obligations are included. `proposals` are
    changes by which the consumer waits less, each with its command; `dismissed` are those that
    somebody dismissed.
    """

    consumer: str
    window: str
    obligations: int
    wait_seconds: float
    shares: list[DelayShareRow]
    regressions: list[RegressionRow]
    weeks: list[DelayWeekRow]
    limited: bool
    said: str
    proposals: list[DelayProposalRow] = []
    dismissed: list[DelayProposalRow] = []


class SavingRow(Response, frozen=True, kw_only=True):
    """What a month of 30 days without something saves, by the last 30 days; null: not known.

    `seconds` are of worker slots, `bytes` stored for a month; `cost` is null without rates.
    """

    seconds: float | None
    bytes: int | None
    cost: float | None


class ComplexityRow(Response, frozen=True, kw_only=True):
    """Something that the project could do without.

    `kind` is `unread_asset`, `unread_column`, `duplicate`, `pass_through`, `dead_check`,
    `obvious_check`, `unused_source`, `unused_macro`, `grain`, `no_checks`, `no_contact` or
    `unagreed_contract`. `evidence` begins with `proven` or `measured equal` where it is that.
    `files` belong to it alone.
    """

    id: str
    kind: str
    node: str
    evidence: str
    files: list[str]
    saves_month: SavingRow
    command: str | None
    dismissal: DismissalRow | None = None


class HopsRow(Response, frozen=True, kw_only=True):
    """Assets on the longest path to a consumer; `least` leaves out those that add nothing."""

    actual: int
    least: int


class ComplexityVersionRow(Response, frozen=True, kw_only=True):
    """The counts of one applied version, by its declarations alone."""

    version: int
    counts: dict[str, int]


class ComplexityResponse(Response, frozen=True, kw_only=True):
    """`complexity`: counts by kind, each a list, and the counts of the newest versions.

    `counts` has the kinds that occur. `limited`: there are more than 1,000 findings. `note` says
    which reads can't be seen. `dismissed` are findings that somebody dismissed; `counts` is without
    them.
    """

    counts: dict[str, int]
    findings: list[ComplexityRow]
    hops: dict[str, HopsRow]
    trend: list[ComplexityVersionRow]
    limited: bool
    note: str
    dismissed: list[ComplexityRow] = []


class PruneResponse(Response, frozen=True, kw_only=True):
    """`complexity prune` and `restore`: files that were deleted or written back, and the plan.

    `owners` are those to ask first; `undo` is the command that writes the files back.
    """

    deleted: list[str]
    restored: list[str]
    version: int | None
    plan_id: str | None
    owners: list[str]
    note: str
    next: str | None
    undo: str | None
