"""Responses of `pause`, `resume`, `cancel`, `unpublish`, quarantine decisions and `why`.

`why` is among them because it names the intervention that is needed.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.responses.base import RepairRow, Response
from headrace.responses.plans import CountsRow
from headrace.responses.runs import PublishedRow, RejectedRow, RestatedRow


class PauseRow(Response, frozen=True, kw_only=True):
    """A node that is paused: nothing of it is started. `until` ends it by itself; null: until
    somebody resumes it.
    """

    node: str
    kind: str | None
    """`source`, `asset` or `consumer`; null for one that isn't declared any more."""
    reason: str
    by: str
    since: datetime
    until: datetime | None


class PauseResponse(Response, frozen=True, kw_only=True):
    """`pause` and `resume`: the nodes that this changed, and all that are paused now."""

    now: datetime
    clock: str
    changed: list[str]
    paused: list[PauseRow]


class CancelResponse(Response, frozen=True, kw_only=True):
    """`cancel`: `state` is `cancelled`, or what a run that wasn't under way any more
    had come to.
    """

    now: datetime
    clock: str
    run_id: str
    state: str
    by: str | None = None
    reason: str | None = None
    ended_at: datetime | None = None


class StalePartitionsRow(Response, frozen=True, kw_only=True):
    """Partitions of one node that are stale now, the newest at most a hundred."""

    node: str
    partitions: list[str]


class WithdrawResponse(Response, frozen=True, kw_only=True):
    """`unpublish`: `state` is `withdrawn`; `rows` are those that readers saw, `stale` what was made
    of them.
    """

    now: datetime
    clock: str
    asset: str
    partition: str
    state: str
    rows: int
    snapshot: int
    """The lake snapshot from which on it isn't there."""
    published_at: datetime
    reason: str
    stale: list[StalePartitionsRow]
    consumers: list[str]
    """Who reads it."""


class UndecidedRow(Response, frozen=True, kw_only=True):
    """One of several partitions of which a decision failed."""

    partition: str
    """`node@partition`."""
    reason: str
    hint: str


class DecisionResponse(Response, frozen=True, kw_only=True):
    """`quarantine accept` and `quarantine drop`: `state` is `published`, `dropped`, `accepted`
    (anomalies of published data), or what it came to where it could not be published; `partial`
    where several came to different states."""

    now: datetime
    clock: str
    asset: str
    partitions: list[str]
    """One, or all of what one file brought."""
    state: str
    rows: int | None
    by: str
    reason: str
    until: datetime | None
    """When the exception lapses; null: never."""
    why: str
    """Why it waited."""
    waived: list[str] = msgspec.field(default_factory=list)
    """The blocking checks that its data fails, and that the exception waives."""
    run_id: str | None = None
    """The run that computed what is made of it."""
    published: list[PublishedRow] = msgspec.field(default_factory=list)
    rejected: list[RejectedRow] = msgspec.field(default_factory=list)
    counts: CountsRow | None = None
    """How many partitions `quarantine accept` announced: what it publishes, and what is computed of
    that; null for `drop`, and where several partitions were decided one after the other."""
    consumers: list[str] = msgspec.field(default_factory=list)
    """Who reads it."""
    undecided: list[UndecidedRow] = msgspec.field(default_factory=list)
    """Of several that were to be decided: those of which it failed. The others are decided."""
    still_waiting: list[str] = msgspec.field(default_factory=list)
    """`node@partition` of what else waits because of the same incident."""
    next: str | None = None


class WaitingRow(Response, frozen=True, kw_only=True):
    """One thing that is waited for, in the order in which it helps to know it. `text` is the clause
    for people."""

    kind: str
    """`delivery`, `partition`, `running`, `paused`, `backoff`, `stopped`, `pool`, `slot`,
    `trigger`, `decision`, `time`, `leader`."""
    node: str | None
    partition: str | None
    state: str | None
    text: str
    waiter: str | None = None
    """`node@partition` of what waits for it."""
    since: datetime | None = None
    until: datetime | None = None
    """When it is expected to end, or when time alone ends it."""
    attempt: str | None = None
    seconds: float | None = None
    """Of what runs: for how long it has."""
    p50_seconds: float | None = None
    p95_seconds: float | None = None
    """How long such attempts take."""
    next: str | None = None
    repair: RepairRow | None = None
    """Of what failed, is held or was rejected: what repairs it. Where it names an incident, that
    one's repair does."""


class SegmentRow(Response, frozen=True, kw_only=True):
    """Where some of the time went. `kind` is one of SEMANTICS §7; `incident` is what explains it,
    where that is known."""

    kind: str
    node: str
    partition: str
    from_: datetime = msgspec.field(name="from")
    to: datetime
    seconds: float
    note: str
    incident: str | None
    decider: str | None = None
    """Of what waits for somebody: who could have ended it with one command; null where something
    had to be mended first."""
    lacking: str | None = None
    """The node that kept it waiting as well, and that no command brings: nobody could have ended
    the wait then."""
    awaits_trigger: bool
    """Whether the node waited for its own trigger: the time of its owner, who declared it."""


class ShareRow(Response, frozen=True, kw_only=True):
    """What of a wait is an owner's (`headrace`: our own), and which part of it that is, 0 to 1.
    `kind` is that of the segments (`hold`, `approval`, `paused`) in which this owner could have
    ended the wait with one command, `schedule` of waits for a trigger that the owner declared, and
    `queue` of the time in Headrace's queue while no slot was free: their time is apart from the
    owner's other time, whose kind is null."""

    owner: str
    kind: str | None = None
    seconds: float
    share: float


class ComparedRow(Response, frozen=True, kw_only=True):
    """The wait of the week before, and by how many seconds each kind differs from it."""

    interval: str
    wait_seconds: float
    changed: dict[str, float]


class LedgerRow(Response, frozen=True, kw_only=True):
    """One wait: the segments follow each other and add up to it exactly."""

    subject: str
    interval: str
    wait_seconds: float
    from_: datetime = msgspec.field(name="from")
    to: datetime
    open: bool
    """It isn't over: it ends now."""
    rebuild: bool
    """It began with what caused it, not with the interval's end."""
    segments: list[SegmentRow]
    overhead_seconds: float
    overhead: dict[str, float]
    """Each part of it alone; of the queue what passed while a slot was free. `schedule` has waits
    for triggers, too, which `shares` give to the owners."""
    work_seconds: float
    shortest_possible_seconds: float | None
    shares: list[ShareRow]
    said: str
    """One sentence."""
    compared: ComparedRow | None
    read: str | None
    """When it was read, as far as that is seen."""
    frozen: bool
    """The rows that it is made of have gone: this is what was kept of it."""


class WhyResponse(Response, frozen=True, kw_only=True):
    """`why`: what a consumer's or an asset's interval waits for, and where the time went that it
    waited, or waits. `wait_seconds` and what follows it are of `interval`; null where no wait of it
    has begun."""

    now: datetime
    clock: str
    subject: str
    interval: str | None
    state: str
    """Where it stands: of a consumer as in `status`, else the partition's state."""
    verdict: str
    """One sentence."""
    waiting_for: list[WaitingRow]
    waiting_limited: bool = False
    """Whether `waiting_for` has as many rows as it may have: it may wait for more."""
    also_waiting: int = 0
    """How many other partitions of the asset wait, where none was named."""
    restated: list[RestatedRow] = msgspec.field(default_factory=list)
    """What changed lately of the past that it is, or reads."""
    next: str | None = None
    wait_seconds: float | None = None
    from_: datetime | None = msgspec.field(name="from", default=None)
    to: datetime | None = None
    segments: list[SegmentRow] | None = None
    overhead_seconds: float | None = None
    shortest_possible_seconds: float | None = None
    overhead: dict[str, float] | None = None
    work_seconds: float | None = None
    open: bool | None = None
    rebuild: bool | None = None
    shares: list[ShareRow] | None = None
    said: str | None = None
    compared: ComparedRow | None = None
    read: str | None = None
    frozen: bool | None = None
    """These are as in `last`."""
    last: LedgerRow | None = None
    """Of a consumer that waits for nothing yet: the wait for what it was served with last."""
