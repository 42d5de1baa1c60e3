"""Response of `status`: consumers first, then what delays them."""

from __future__ import annotations

from datetime import datetime

from headrace.responses.base import RepairRow, Response
from headrace.responses.retention import (
    HoldRow,
    RebuildableRow,
    RemovedPartitionRow,
    RetentionRow,
)
from headrace.responses.runs import ProposedRow, RestatedRow
from headrace.slo.freshness import AssetStateCounts
from headrace.store.queries.quarantine import QuarantineTotals


class ReadRow(Response, frozen=True, kw_only=True):
    """How one asset that a consumer reads stands."""

    asset: str
    state: str
    data_through: str | None


class ExportRow(Response, frozen=True, kw_only=True):
    """The newest interval of a consumer's export that is due or was written: `exported`,
    `superseded` (what can be read was corrected since), `running`, `waiting`, `failed` or
    `missing`. `at` is when it was written last, `target` the file or table."""

    state: str
    interval: str | None
    at: datetime | None
    target: str
    superseded: list[str] = []
    """Intervals that were corrected after they had been written, and weren't written again."""


class RiskRow(Response, frozen=True, kw_only=True):
    """What will make a consumer late: the node and partition that cause it, the interval, when that
    is due (null without a deadline), and when it will be met (null where nothing says when)."""

    node: str
    partition: str
    interval: str
    due_at: datetime | None
    predicted_at: datetime | None
    reason: str


class PausedRow(Response, frozen=True, kw_only=True):
    """Who paused something, why, and until when; null: until somebody resumes it."""

    node: str
    reason: str
    by: str
    until: datetime | None


class MutedRow(Response, frozen=True, kw_only=True):
    """An open incident about which no messages are sent: who muted it, why, and until when; null:
    until somebody unmutes it."""

    incident: str
    node: str
    reason: str
    by: str
    until: datetime | None


class AvailabilityRow(Response, frozen=True, kw_only=True):
    """How a consumer was served over a window, since its first deadline in it. Percentages are
    rounded down, minutes that are lost up; null: nothing was due yet."""

    honest: str | None
    """Served, as known now; what nobody looked at, and what others than its owner had accepted,
    isn't."""
    claimed: str | None
    """What was said at the time."""
    minutes: int
    """That count."""
    lost_minutes: int
    corrected_minutes: int
    """Said to be served, and known since to have been wrong; `incidents` are why."""
    exception_minutes: int
    """Served only by an exception that somebody else than its owner made."""
    unknown_minutes: int
    promised: int
    """Obligations that fell due in the window."""
    kept: int
    """Those of them that were met in time."""
    incidents: list[str]
    text: str = ""
    """The same in a sentence, with the part of the window that counts."""


class ConsumerRow(Response, frozen=True, kw_only=True):
    """How one consumer is served. `state` is the first that holds of `states`."""

    name: str
    owner: str
    state: str
    states: list[str]
    since: datetime | None
    due_interval: str | None
    data_through: str | None
    backlog: list[str]
    """The older intervals that are due and neither met nor waived, beside `due_interval`."""
    reads: list[ReadRow]
    reason: str
    missing_besides: int = 0
    """How many intervals that are due aren't there, besides those that `reason` is about."""
    incident: str | None = None
    next: str | None = None
    needs: str = ""
    """What was promised, for people: `07:00 daily`, `30 h old`."""
    export: ExportRow | None = None
    """Null where nothing is exported to it."""
    risk: RiskRow | None = None
    """Where it is at risk: what will make it late."""
    paused: PausedRow | None = None
    """Null where the consumer itself isn't paused."""
    availability: AvailabilityRow | None = None


class RemovedRow(Response, frozen=True, kw_only=True):
    """A consumer that was removed within the window: it stays in the figures until the window is
    past.
    """

    name: str
    availability: AvailabilityRow


class FilesRow(Response, frozen=True, kw_only=True):
    """Where a `files` asset that consumers read can be opened: paths relative to the project."""

    asset: str
    partition: str
    paths: list[str]


class LakeFilesRow(Response, frozen=True, kw_only=True):
    """The data files that readers see: how many there are, at how many somebody looked within 24
    hours, and how many are damaged. `elsewhere`: at how many of them nobody can look, because
    another writer registered them by a URL."""

    files: int
    looked_at_24h: int
    damaged: int
    elsewhere: int = 0


class HoldingRow(Response, frozen=True, kw_only=True):
    """The causes that consumers wait for: how many, how many assets and consumers they hold back,
    and what repairs the first (null: Headrace does it by itself)."""

    causes: int
    assets: int
    consumers: int
    command: str | None


class OpenRow(Response, frozen=True, kw_only=True):
    """One kind of open things: `consumer`, `data_corrupted`, `incident`, `quarantine`, `failing`,
    `source_unreachable`, `source_throttled`, `superseded_upstream` (what it reads was restated),
    `stale` (its own code changed), `approval` or `not_applied`.

    `text` is a noun phrase with the count."""

    kind: str
    count: int
    nodes: list[str]
    text: str
    command: str | None


class OutageRow(Response, frozen=True, kw_only=True):
    """A time in which Headrace wasn't there and deadlines were missed through it. It ended within
    the last 24 hours."""

    incident: str
    text: str
    ended_at: datetime


class ObservedRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What the figures about the past really cover: from the first deadline of the worst consumer
    in the window on. `unobserved` are the minutes in it in which nobody observed its sources."""

    from_: datetime
    to: datetime
    minutes: int
    unobserved: int


class StatusResponse(Response, frozen=True, kw_only=True):
    """`status`: consumers first. Of figures about the past null means that there is no data;
    `honest_availability` and `claimed_availability` are those of the worst consumer, `minutes_lost`
    are all consumers' together."""

    project: str
    env: str
    timezone: str
    now: datetime
    observed_at: datetime | None
    runtime: str
    clock: str
    consumers: list[ConsumerRow]
    assets: AssetStateCounts
    quarantine: QuarantineTotals
    lake: LakeFilesRow | None = None
    """Null before anything was applied."""
    files: list[FilesRow]
    paused: list[PausedRow] = []
    """All that is paused, by name."""
    muted: list[MutedRow] = []
    """The open incidents that are muted, oldest first."""
    retention: list[RetentionRow] = []
    """Nodes with `retain:`, and what it removes next."""
    rebuildable: list[RebuildableRow] = []
    """Assets with `retain_rebuildable`, and how much of them is old enough for it."""
    not_rebuilt: list[RemovedPartitionRow] = []
    """At most 50 partitions that `retain_rebuildable` has removed and that aren't rebuilt, or have
    other rows since."""
    holds: list[HoldRow] = []
    """Legal holds that aren't released."""
    availability_text: str = ""
    """The figures about the past in a sentence, with the part of the window that counts; before the
    first deadline that nothing was due yet."""
    corrections: list[str] = []
    """What was claimed, where that was more than is known now; what stands on others'
    exceptions."""
    uptime_text: str = ""
    """Classic uptime in a sentence, with what it leaves out."""
    honest_availability: str | None = None
    honest_mean: str | None = None
    minutes_lost: int | None = None
    minutes_counted: int | None = None
    """All minutes of all consumers together that `minutes_lost` are some of: of each from its first
    deadline in the window on."""
    minutes_unobserved: int | None = None
    """Those of the lost minutes in which nobody observed what a consumer depends on."""
    claimed_availability: str | None = None
    classic_uptime: str | None = None
    """Runs that ended in success of those that started, as other tools count: work that is held
    never starts, so it never fails."""
    runs_started: int = 0
    """Runs that started in the window and ended; those with nothing due aren't counted."""
    obligations_due: int = 0
    """Obligations of all consumers that fell due in the window."""
    obligations_kept: int = 0
    """Those of them that were met in time."""
    worst: str | None = None
    """The consumer that was served least, whose availability is the honest one."""
    promises_weakened: int | None = None
    removed: list[RemovedRow] = []
    window: str = "30d"
    consumers_unserved: int = 0
    """How many of `consumers` aren't served, those at risk not among them."""
    incidents_open: int = 0
    outages: list[OutageRow] = []
    undelivered: int = 0
    """Messages of the last 7 days that couldn't be sent, and aren't tried any more; `notify` says
    which."""
    not_applied: int | None = 0
    """Nodes whose files differ from what is applied; null where the files have errors."""
    headline: str = ""
    """The state of the whole in a few words; nothing like "nothing is wrong" unless `open` is
    empty."""
    open: list[OpenRow] = []
    window_observed: ObservedRow | None = None
    """Null before the first deadline."""
    next: str | None = None
    holding: HoldingRow | None = None
    """What the causes that consumers wait for hold back; null where a consumer that isn't served
    waits for none."""
    repairs: list[RepairRow] = []
    """What repairs what stands failed, held or rejected now, whether a consumer waits for it or
    not."""
    restated: list[RestatedRow] = []
    """What changed of the past in the last seven days."""
    warned: list[str] = []
    """At most 500 partitions that were published with a warning in the last seven days and that
    readers see, newest first: `clean@2013-02-11`."""
    proposed: list[ProposedRow] = []
