"""Response of `status --explain`: a figure and the rows from which it is computed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from headrace.responses.base import Response
from headrace.responses.status import AvailabilityRow
from headrace.store.queries.availability import RunCounts

FIGURES = (
    "availability",
    "promises",
    "nodes",
    "owners",
    "domains",
    "uptime",
    "weakened",
    "goodput",
    "throughput",
    "incidents",
    "sources",
    "use",
)
"""What can be explained."""


class SpanRow(Response, frozen=True, kw_only=True):
    """How a consumer was served from one moment to another, as known now; `claimed` is what was
    said at the time.
    """

    consumer: str
    since: datetime
    until: datetime
    seconds: float
    state: str
    claimed: str
    by_exception: bool = False
    """It was served only by an exception of others than the consumer's owner: not honestly
    available."""


class ServedRow(Response, frozen=True, kw_only=True):
    """How a consumer, an asset, a source, or all of an owner or a domain was served. Of a node it
    is what its strictest consumer needed of it; of an owner or domain the worst, with the mean
    beside it."""

    of: str
    kind: str
    owner: str | None
    honest: str | None
    mean: str | None
    lost_minutes: int
    worst: str | None
    """Whose figure it is."""
    classic: str | None
    """Attempts that succeeded of those that ran, of nodes."""
    detail: AvailabilityRow | None = None


class PromiseRow(Response, frozen=True, kw_only=True):
    """An obligation that fell due in the window."""

    consumer: str
    interval: str
    due_at: datetime
    met_at: datetime | None
    """By what is sound, as known now."""
    kept: bool
    waived: bool


class WeakenedPromiseRow(Response, frozen=True, kw_only=True):
    """A promise that was made less in the window, by whom."""

    node: str
    what: str
    before: str
    after: str
    by: str
    at: datetime


class GoodputRow(Response, frozen=True, kw_only=True):
    """Of one node: rows that were delivered to it, or that attempts staged, in the window, and
    where they went; `goodput` is the share that is good. Never summed over nodes: the same rows
    pass through many."""

    node: str
    owner: str
    window: str
    attempts: int
    staged: int
    """All rows that attempts were about: the places (`good` to `waiting`) add up to it."""
    delivered: int
    """Of a source each delivery once, however often it was ingested; of an asset the same as
    `staged`."""
    good: int
    retry: int
    held: int
    rejected: int
    superseded: int
    identical: int
    wrong: int
    waiting: int
    reworked: int
    """`retry`, `superseded` and `identical` together."""
    rows_per_second: float | None
    """Good rows in a second of its work; null where none was measured."""
    bytes_per_second: float | None
    slowest: str | None
    """What took the most of its work: `run`, `audit` or `publish`."""
    goodput: str | None
    ratio: str | None
    """The same as `goodput`: percent of what was delivered."""


class ThroughputRow(Response, frozen=True, kw_only=True):
    """Rows and bytes in a second of work of a source, an asset or a domain (`kind`).

    `delivered_…` is null for assets, and bytes of it are those of files. Null where no work was
    measured. `rework_percent` is the share of the processed rows that was redone work."""

    of: str
    kind: str
    window: str
    work_seconds: float
    delivered_rows_per_second: float | None = None
    processed_rows_per_second: float | None = None
    published_rows_per_second: float | None = None
    good_rows_per_second: float | None = None
    delivered_bytes_per_second: float | None = None
    processed_bytes_per_second: float | None = None
    published_bytes_per_second: float | None = None
    good_bytes_per_second: float | None = None
    rework_percent: str | None


class IncidentTimesRow(Response, frozen=True, kw_only=True):
    """How long one cause took to be noticed, and until all were served again; an open one until
    now."""

    id: str
    kind: str
    node: str
    owner: str
    began_at: datetime
    detect_seconds: float
    restore_seconds: float
    open: bool
    recurrence_of: str | None
    found_by_people: bool


class SourceScoreRow(Response, frozen=True, kw_only=True):
    """What a source is worth, and how far it can be relied on: lower bounds, null with fewer than
    ten deliveries."""

    source: str
    owner: str
    deliveries: int
    consumers: int
    reads: int
    stability: str | None
    quality: str | None
    on_time: int
    expected: int
    missing: int
    changed: int
    rows_accepted: int
    rows_refused: int
    rows_missing: int


class UseRow(Response, frozen=True, kw_only=True):
    """Who reads a node. A node that nobody was seen to read has one row without a reader, with what
    it cost all the same.
    """

    node: str
    reader: str | None
    via: str | None
    reads: int
    last_at: datetime | None
    seconds: float
    """What its attempts took in the window."""
    said: str


ROWS = (
    SpanRow,
    ServedRow,
    RunCounts,
    PromiseRow,
    WeakenedPromiseRow,
    GoodputRow,
    ThroughputRow,
    IncidentTimesRow,
    SourceScoreRow,
    UseRow,
)
"""What figures are made of; a schema says so by references, because JSON doesn't say which of them
a row is."""


class FigureResponse(Response, frozen=True, kw_only=True):
    """One figure of a window, what it says, and the rows that it is made of: all of one kind of
    ROWS.
    """

    figure: str
    window: str
    began: datetime
    until: datetime
    said: list[str]
    rows: Annotated[
        list[Any],
        Meta(
            extra_json_schema={
                "items": {
                    "anyOf": [{"$ref": f"#/components/schemas/{row.__name__}"} for row in ROWS]
                }
            }
        ),
    ]
