"""The response of the calendar."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response


class CalendarRow(Response, frozen=True, kw_only=True):
    """What is expected of one node or consumer on one local day, once or several times.

    `kind` is `deadline` (of a consumer), `delivery` (promised by a source's owner) or `run` (of an
    asset with a trigger by time).
    """

    date: str
    kind: str
    node: str
    owner: str
    first_at: datetime
    last_at: datetime
    times: int
    interval: str | None
    """The first one; null for a run."""
    ends_at: datetime | None
    """When that interval ends. `what-if` of one night simulates those that end tomorrow."""
    state: str | None
    """Of deadlines the most urgent: `at_risk`, `due`, `met` or `waived`; null for the others."""
    predicted_at: datetime | None
    """When the first deadline will be met, as in `today`; null if nothing is predicted."""


class DaysOffRow(Response, frozen=True, kw_only=True):
    """A calendar that nodes or consumers use, and the days on which nothing of theirs is due."""

    calendar: str
    dates: list[str]
    nodes: int
    """The number of nodes and consumers that use it."""


class CalendarPauseRow(Response, frozen=True, kw_only=True):
    """A pause in force."""

    node: str
    until: datetime | None
    """When it ends by itself; null if only a person ends it."""


class CalendarResponse(Response, frozen=True, kw_only=True):
    """What is expected from now until the end of the last of `dates`, soonest first.

    `limited`: later rows are left out.
    """

    now: datetime
    timezone: str
    dates: list[str]
    rows: list[CalendarRow]
    days_off: list[DaysOffRow]
    pauses: list[CalendarPauseRow]
    limited: bool
