"""Changes of the graph's states in a window, from which a browser replays a night."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from headrace.extension import SEE, ProjectSession, Response, UsageError, command
from headrace.model.intervals import DAY_US
from headrace_ui.queries import graph_history
from headrace_ui.views.graph_groups import GROUPINGS, group_of
from headrace_ui.views.graph_past import (
    ATTEMPTS_MAX,
    compiled_at,
    past_time,
    states_between,
    version_at,
)

CHANGES_MAX = 2_000
WINDOW_US_MAX = 8 * DAY_US
"""8 days: what is older than that before the window's end is left out."""
VERSIONS_MAX = 20
"""A window begins at the earliest with the last but this many versions applied in it."""


class GraphChangesQuery(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A window of past times, and what the view is grouped by.

    Of more than `limit` changes, the newest are returned.
    """

    from_: str
    to: str
    by: str | None = None
    limit: Annotated[int, Meta(ge=1, le=CHANGES_MAX)] = CHANGES_MAX


class GraphChange(Response, frozen=True, kw_only=True):
    """The state of a node or a consumer from a time on, and the state before.

    `group` is its group by the query's `by`; null without one.
    """

    at: datetime
    node: str
    was: str
    state: str
    group: str | None


class AppliedChange(Response, frozen=True, kw_only=True):
    """A version that was applied: from then on the graph has other nodes."""

    at: datetime
    version: int


class GraphChangesResponse(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The changes in a window, oldest first. `from` is later than asked for if there were more
    or the window is longer than 8 days (`more`), or if nothing had been applied before. An apply
    itself is no change of a node's state: the view at that time shows what changed with it."""

    from_: datetime
    to: datetime
    more: bool
    applied: list[AppliedChange]
    changes: list[GraphChange]


@command("graph changes", SEE, lists=True, http="GET /graph/changes graph_changes")
def changes(session: ProjectSession, query: GraphChangesQuery) -> GraphChangesResponse:
    """Return which nodes and consumers changed their state in a window of past times.

    Raise UsageError for a time that hasn't come yet, a window without length or an unknown
    grouping.
    """
    from_us, to_us = past_time(session, query.from_, "from"), past_time(session, query.to, "to")
    if from_us >= to_us:
        raise UsageError("the window is empty", hint="`from` is before `to`")
    if query.by is not None and query.by not in GROUPINGS:
        raise UsageError(f"{query.by[:40]!r} is no grouping", hint=f"one of {', '.join(GROUPINGS)}")
    segments, limited = _segments(session, from_us, to_us)
    rows = sorted(
        (change for segment in segments for change in _of_segment(session, query.by, segment)),
        key=lambda change: (change.at, change.node),
    )
    begin = session.instant(segments[0].from_us if segments else from_us)
    newest = rows[-query.limit :]
    if len(newest) < len(rows):
        begin = rows[-query.limit - 1].at
        newest = [change for change in newest if change.at > begin]
    return GraphChangesResponse(
        from_=begin,
        to=session.instant(to_us),
        more=len(newest) < len(rows) or limited,
        applied=[
            AppliedChange(at=at, version=segment.version)
            for segment in segments[1:]
            if (at := session.instant(segment.from_us)) > begin
        ],
        changes=newest,
    )


class _Segment(NamedTuple):
    """A part of the window in which one version was in force. Times are microseconds."""

    version: int
    from_us: int
    to_us: int


def _segments(session: ProjectSession, from_us: int, to_us: int) -> tuple[list[_Segment], bool]:
    """Return the segments, oldest first, and whether limits left out the earliest ones.

    None before the first apply.
    """
    version = version_at(session, to_us)
    if session.store is None or version is None:
        return [], False
    begin_us = max([from_us, to_us - WINDOW_US_MAX, *_limits(session, from_us, to_us)])
    with session.store.read() as tx:
        applied = graph_history.versions_between(tx, begin_us, to_us, VERSIONS_MAX)
        first = graph_history.version_at(tx, begin_us)
    many = len(applied) == VERSIONS_MAX
    starts = applied if many or first is None else [(first, begin_us), *applied]
    ends = [*(at for _, at in starts[1:]), to_us]
    segments = [_Segment(number, at, end) for (number, at), end in zip(starts, ends, strict=True)]
    return segments, many or begin_us > from_us


def _limits(session: ProjectSession, from_us: int, to_us: int) -> Iterator[int]:
    """Yield for each store the time before which it has more attempts than are read."""
    for store in (session.store, session.production and session.production.store):
        if store:
            with store.read() as tx:
                at = graph_history.nth_newest_end(tx, from_us, to_us, ATTEMPTS_MAX)
            if at is not None:
                yield at


def _of_segment(session: ProjectSession, by: str | None, segment: _Segment) -> list[GraphChange]:
    compiled = compiled_at(session, segment.version)
    states = states_between(session, compiled, segment.version, segment.from_us, segment.to_us)
    return [
        GraphChange(
            at=session.instant(at),
            node=name,
            was=was,
            state=state,
            group=None if by is None else group_of(compiled.project, name, by),
        )
        for name, steps in states.items()
        if session.shows(name)
        for (_, was), (at, state) in pairwise(steps)
    ]
