"""Responses over time: a node's publications and figures, and how consumers were served."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response


class PublishedPointRow(Response, frozen=True, kw_only=True):
    """A partition as readers see it, and what publishing it took."""

    partition: str
    rows: int
    bytes: int
    seconds: float | None
    """Duration of the attempt that published it; null if retention has taken the attempt."""
    shared: int
    """The number of partitions that this attempt made."""
    cost: float | None
    """What this attempt's work and reading cost, divided by its partitions, in `currency`; null if
    that isn't known. Storage doesn't count."""
    published_at: datetime
    after_seconds: float | None
    """From the end of its interval to its publication; null for partitions without an interval."""
    version: int
    """The applied version whose code made it."""
    verdict: str


class HistoryMarkRow(Response, frozen=True, kw_only=True):
    """Something that happened at a partition: `kind` is `code` (another version of the node's
    code made it) or `incident` (`text` is its id)."""

    partition: str
    kind: str
    text: str


class ColumnPointRow(Response, frozen=True, kw_only=True):
    """A figure of one partition. `low` and `high` are the values between which it is usual, given
    the earlier partitions; null while too few are known. `odd`: it was reported as an anomaly."""

    partition: str
    value: float | None
    low: float | None
    high: float | None
    odd: bool


class RowsPointRow(Response, frozen=True, kw_only=True):
    """The number of rows of one partition: of what is published, else of what was last measured.
    `low` and `high` are the values between which it is usual, given the earlier partitions; null
    while too few are known. `odd`: it was reported as an anomaly."""

    partition: str
    rows: int
    published: bool
    low: float | None
    high: float | None
    odd: bool


class ColumnFigureRow(Response, frozen=True, kw_only=True):
    """One figure of a column over time, oldest first. `figure` is a family of metrics (`nulls`,
    `distinct`, `location`: the size of the values, …), `category` the value whose share it is
    (`…` for somebody who may not read rows), `unit` one of share (0 to 1), hours and number."""

    values_of_rows = ("category",)

    figure: str
    category: str | None
    unit: str
    points: list[ColumnPointRow]


class HistoryResponse(Response, frozen=True, kw_only=True):
    """The newest published partitions of a node, oldest first."""

    now: datetime
    node: str
    timezone: str
    key: str | None
    """The second part of the partitions' keys, for data that is partitioned by one too."""
    keys: list[str]
    """The second parts of the newest partitions' keys."""
    currency: str | None
    """That of `[costs]` in headrace.toml; null without a rate of work or reading there."""
    points: list[PublishedPointRow]
    rows: list[RowsPointRow]
    """Also of partitions that are held, oldest first."""
    marks: list[HistoryMarkRow]
    columns: list[str]
    """The columns whose figures are stored and may be shown."""
    column: str | None
    figures: list[ColumnFigureRow]
    """Of `column`; empty without one."""


class DelaySegmentRow(Response, frozen=True, kw_only=True):
    """The part of a wait of one kind of segment that one owner had; `owner` is empty if unknown.
    `awaits_trigger` says whether a node waited for its own trigger."""

    kind: str
    owner: str
    awaits_trigger: bool
    seconds: float


class PastDeliveryRow(Response, frozen=True, kw_only=True):
    """An interval of a consumer against its deadline; `state` and `late_seconds` are those of
    `ServedInterval`. `wait_seconds` is from the interval's end until it was met; null before that
    end. `segments` say what it was spent on, as the delay ledger does; those of hidden nodes are
    left out."""

    interval: str
    due_at: datetime
    met_at: datetime | None
    state: str
    late_seconds: float | None
    wait_seconds: float | None
    segments: list[DelaySegmentRow]


class ServiceDayRow(Response, frozen=True, kw_only=True):
    """How a consumer was served on a day. `state` is the worst of `seconds`: wrong, never, late,
    unknown (a source wasn't observed), excepted (served only by an exception of somebody other than
    the owner), served; null if nothing was promised or due yet. `seconds` has the time in each
    state."""

    date: str
    state: str | None
    seconds: dict[str, float]


class ConsumerHistoryResponse(Response, frozen=True, kw_only=True):
    """How a consumer was served over the last days, oldest first.

    `deliveries` are the intervals whose deadlines are in these days or later; `limited`: older ones
    are left out. `days` are days of `timezone`, the project's."""

    now: datetime
    consumer: str
    timezone: str
    deliveries: list[PastDeliveryRow]
    limited: bool
    days: list[ServiceDayRow]


class ConsumerDaysRow(Response, frozen=True, kw_only=True):
    """How a consumer was served on each of the days of the response: its worst state, as in
    `ServiceDayRow`, and the minutes that weren't served."""

    consumer: str
    states: list[str | None]
    lost_minutes: list[int]


class UpcomingRow(Response, frozen=True, kw_only=True):
    """A deadline that comes. `state` is `at_risk` (`reason` says why), `due`, or, if the interval
    needs nothing any more, `met` or `waived`.

    At risk, `predicted_at` is when it will be met at the earliest; null if somebody has to act
    first. Otherwise it is the usual time of past deliveries, and eight of ten of them were between
    `earliest_at` and `latest_at`; null with fewer than five."""

    consumer: str
    owner: str
    interval: str
    due_at: datetime
    state: str
    met_at: datetime | None
    predicted_at: datetime | None
    earliest_at: datetime | None
    latest_at: datetime | None
    deliveries: int
    """The number of past deliveries behind the prediction."""
    reason: str


class TodayResponse(Response, frozen=True, kw_only=True):
    """How consumers were served on the last days, oldest first, and the deadlines of the next
    `hours` hours, soonest first; `limited`: later ones are left out."""

    now: datetime
    timezone: str
    dates: list[str]
    consumers: list[ConsumerDaysRow]
    hours: int
    deadlines: list[UpcomingRow]
    limited: bool
