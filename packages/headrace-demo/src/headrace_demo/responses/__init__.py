"""The responses of `demo`."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response
from headrace.responses import Counts


class DemoEvent(Response, frozen=True, kw_only=True):
    """One thing of the replay that a person should know. `injected` marks what the demo itself did
    wrong on purpose.
    """

    partition: str
    state: str
    node: str
    message: str
    injected: bool = False


class DemoResponse(Response, frozen=True, kw_only=True):
    """`demo`: where it is, what the replay did, where its clock stands. Of `demo resume`: what the
    days came to that flowed since.
    """

    directory: str
    now: datetime
    resumed: bool
    """It was there already and wasn't replayed again."""
    counts: Counts
    owners: int
    first: str
    last: str
    days: int
    days_published: int
    rows: int
    """Flights published."""
    seconds: float
    """That the replay took."""
    data: str = ""
    """Where the data comes from, with its licence."""
    data_seconds: float | None = None
    events: list[DemoEvent] = []
    fault: str = "rename"
    """What the vendor does on the 11th of February: `rename` or `none`."""
    went_on: bool = False
    """It was stopped before, and the rest of its days flowed."""
    incidents: int = 0
    """How many were opened in the days that flowed since."""
    next: str | None = None


class ChallengeResponse(Response, frozen=True, kw_only=True):
    """`demo --challenge`: which morning it is, what was answered, and the points so far."""

    directory: str
    now: datetime
    number: int
    """Of the fault, from 1; of the last one once all are repaired."""
    faults: int
    day: str | None
    """The day whose data is wrong; null once all are repaired."""
    points: int
    points_max: int
    """That there were for the mornings that are over."""
    answers: list[str]
    """What came of looking or asking, a sentence each."""
    next: str | None = None
