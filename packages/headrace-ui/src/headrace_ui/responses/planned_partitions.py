"""The response with the partitions of a backfill."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response


class PlannedPartitionRow(Response, frozen=True, kw_only=True):
    """A partition of a backfill. `state` is as in a calendar, for a plan that is only looked at; of
    one that is kept `published`, `staged` (made, not visible yet), how it ended where it couldn't
    be made, or `planned`. `attempt` made it for this plan."""

    asset: str
    partition: str
    state: str
    attempt: str | None


class PlannedPartitionsResponse(Response, frozen=True, kw_only=True):
    """Partitions of a backfill, asset by asset in the order in which they are made; `next` is the
    cursor of later ones."""

    now: datetime
    partitions: list[PlannedPartitionRow]
    next: str | None
