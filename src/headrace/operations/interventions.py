"""The documents of verbs with which people intervene: `pause`, `resume`, `cancel`, `withdraw`; and of `why`, which tells them where."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from headrace.operations.documents import Document


class PauseRow(Document, frozen=True, kw_only=True):
    """A node that is paused: nothing of it is started. `until` ends it by itself; null: until somebody resumes it."""

    node: str
    kind: str | None
    """`source`, `asset` or `consumer`; null for one that isn't declared any more."""
    reason: str
    by: str
    since: datetime
    until: datetime | None


class PauseDocument(Document, frozen=True, kw_only=True):
    """`pause` and `resume`: the nodes that this changed, and all that are paused now."""

    now: datetime
    clock: str
    changed: list[str]
    paused: list[PauseRow]


class CancelDocument(Document, frozen=True, kw_only=True):
    """`cancel`: `state` is `cancelled`, or what a run that wasn't under way any more had come to."""

    now: datetime
    clock: str
    run_id: str
    state: str
    by: str | None = None
    reason: str | None = None
    ended_at: datetime | None = None


class StaleRow(Document, frozen=True, kw_only=True):
    """Partitions of one node that are stale now, the newest at most a hundred."""

    node: str
    partitions: list[str]


class WithdrawDocument(Document, frozen=True, kw_only=True):
    """`withdraw`: `state` is `withdrawn`; `rows` are those that readers saw, `stale` what was made of them."""

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
    stale: list[StaleRow]
    consumers: list[str]
    """Who reads it."""


class WaitingRow(Document, frozen=True, kw_only=True):
    """One thing that is waited for, in the order in which it helps to know it. `text` is the clause for people."""

    kind: str
    """`delivery`, `partition`, `running`, `paused`, `backoff`, `stopped`, `pool`, `slot`, `trigger`, `decision`, `time`, `leader`."""
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


class WhyDocument(Document, frozen=True, kw_only=True):
    """`why`: what a consumer's or an asset's interval waits for. The delay ledger's fields are null until it is built."""

    now: datetime
    clock: str
    subject: str
    interval: str | None
    state: str
    """Where it stands: of a consumer as in `status`, else the partition's state."""
    verdict: str
    """One sentence."""
    waiting_for: list[WaitingRow]
    also_waiting: int = 0
    """How many other partitions of the asset wait, where none was named."""
    next: str | None = None
    wait_seconds: float | None = None
    from_: datetime | None = msgspec.field(name="from", default=None)
    to: datetime | None = None
    segments: list[dict[str, Any]] | None = None
    overhead_seconds: float | None = None
    shortest_possible_seconds: float | None = None
