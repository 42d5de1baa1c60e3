"""Responses of the advisor: where time goes, what it costs, and what can go."""

from __future__ import annotations

from datetime import datetime

from headrace.services.responses.base import Response


class DelayShareRow(Response, frozen=True, kw_only=True):
    """A part of a consumer's waits. The parts add up to `wait_seconds`, and to 100.00 percent.

    `kind` is that of the delay ledger's segments, as `why` has them; `group` says what it was spent
    on: `source`, `quality` (data that was held, rejected or wrong, and work redone because of it),
    `repair`, `retry`, `approval`, `paused`, `capacity`, `ingest`, `compute`, `checks`,
    `publication`, `export` or `headrace`. `node` is where the cause is. Of `quality`, `owner` is
    that of the data; `decider` is who could have ended the wait with one command, null if nobody.
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


class DelayWeekRow(Response, frozen=True, kw_only=True):
    """The waits for the obligations that fell due in one week, Monday to Sunday."""

    week: str
    obligations: int
    wait_seconds: float


class BottleneckRow(Response, frozen=True, kw_only=True):
    """Where the waits of one consumer went, for the obligations that fell due in a window.

    `obligations` counts those with a known wait. `wait_seconds` is the sum of their waits; waits
    that overlap count each. `limited`: only the newest obligations are included.
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
