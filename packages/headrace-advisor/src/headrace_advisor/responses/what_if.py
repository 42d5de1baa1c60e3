"""Response of `what-if`: what consumers get as things are, and with a change."""

from __future__ import annotations

from datetime import date, datetime

from headrace.extension import Response


class DeliveredRow(Response, frozen=True, kw_only=True):
    """When a consumer's intervals are delivered, in seconds after their end, and how often in time.

    `kept` is the percentage of intervals that are delivered by their deadline. `p50_at` and
    `p95_at` are local times of day, after a number of days where that isn't the next one: null for
    hourly consumers. All are null where nothing can be simulated."""

    p50: float | None = None
    p95: float | None = None
    kept: str | None = None
    p50_at: str | None = None
    p95_at: str | None = None


class WhatIfConsumerRow(Response, frozen=True, kw_only=True):
    """One consumer as things are (`now`; null for a consumer that is only simulated), and with the
    changes (`then`). `due` is its deadline in the simulation as declared. `due_text` is the same in
    words: a time of day as in `p50_at`, or a time after the interval. It isn't `predictable` if too
    few of its past deliveries were within the interval that should hold 80 %: its share of
    deliveries in time isn't shown."""

    now: DeliveredRow | None
    then: DeliveredRow
    due: str | None
    due_text: str
    text: str
    predictable: bool = True


class NextBottleneckRow(Response, frozen=True, kw_only=True):
    """What takes most of the time between the arrival of data and its delivery.

    `kind` is `source` (its data is ingested), `asset`, `pool` or `workers`; `percent` is its part
    of that time."""

    kind: str
    name: str
    percent: str
    text: str


class BacktestRow(Response, frozen=True, kw_only=True):
    """How far forecasts of past days would have been off, in percent of the real duration.

    Tested is the time from the last arrival to the delivery. `naive_error` is that of the forecast
    that it takes as long as a week before; null without a week before. `coverage80` is the
    percentage of deliveries within the interval that should hold 80 %, to the second; if that is
    too low for chance, they aren't `predictable` together."""

    median_error: str
    naive_error: str | None
    coverage80: str
    deliveries: int
    days: int
    predictable: bool = True


class LoadRow(Response, frozen=True, kw_only=True):
    """The workers' time per day, in seconds."""

    now: float
    then: float


class SlotCostRow(Response, frozen=True, kw_only=True):
    """What busy worker slots cost in 30 days, by `slot_hour` in `[costs]`."""

    now: float
    then: float
    currency: str


class KeepRow(Response, frozen=True, kw_only=True):
    """The answer to `--keep`: the cheapest change that delivers by `due` in `percent` of the cases.

    `changes` are empty if nothing has to change. If `reached` is false, they are those of the best
    way, and `kept` is its share. `possible` is the share if all work took no time."""

    due: str
    percent: str
    consumers: list[str]
    reached: bool
    kept: str | None
    possible: str | None
    changes: list[str]
    tried: int
    text: str


class BackfillLateRow(Response, frozen=True, kw_only=True):
    """A consumer that is late because of a backfill: in how many samples, and in percent."""

    consumer: str
    samples: int
    percent: str


class WhatIfBackfillRow(Response, frozen=True, kw_only=True):
    """The answer to `--backfill`: when the backfill is done, and who is late because of it.

    `done_p50` and `done_p95` are null if it isn't done within the simulated days in half of the
    samples, or in 5 % of them; `not_done` is the number of such samples. `late` lists consumers of
    which the backfill delays an interval past its deadline that is in time without it."""

    select: list[str]
    first: str | None
    last: str | None
    at: datetime
    partitions: int
    done_p50: datetime | None
    done_p95: datetime | None
    seconds_p50: float | None
    not_done: int
    late: list[BackfillLateRow]
    text: str
    late_text: str
    command: str | None


class WhatIfResponse(Response, frozen=True, kw_only=True):
    """What would change on the days from `begins` on.

    `lacking` names what isn't known of the past, `notes` what is assumed."""

    now: datetime
    clock: str
    seed: int
    begins: date
    days: int
    samples: int
    changes: list[str]
    consumers: dict[str, WhatIfConsumerRow]
    next_bottleneck: NextBottleneckRow | None
    backtest: BacktestRow | None
    busy_seconds: LoadRow | None
    cost_month: SlotCostRow | None = None
    """Null without a rate."""
    keep: KeepRow | None = None
    """Null without `--keep`, and where nothing can be simulated."""
    backfill: WhatIfBackfillRow | None = None
    """Null without `--backfill`, and where nothing can be simulated."""
    lacking: list[str]
    notes: list[str]


class WhatIfPage(Response, frozen=True, kw_only=True):
    """A simulation for a page, and the command with the same answer."""

    command: str | None
    """Null for readers who may not run it."""
    simulated: WhatIfResponse
