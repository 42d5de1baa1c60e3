"""The scores of a source by week, each over the window that ends with a day."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.extension import SEE, ProjectSession, Source, command
from headrace.model import UnknownName
from headrace.model.intervals import bounds_us, key_at_us, previous_key, to_us
from headrace.model.nodes import Grain
from headrace.project.status_facts import window_began
from headrace.runtime.garbage import RetentionPolicy
from headrace.runtime.history_retention import cut
from headrace.services.figures import OWN_WINDOW, figuring_of
from headrace.slo.availability import AvailabilityWindow
from headrace.slo.declared_promises import Node
from headrace.slo.goodput import DELIVERIES_LEAST
from headrace.standing.figure_inputs import Figuring, deliveries_of, scored
from headrace_ui.responses.trends import SourceScoresPoint, SourceScoresResponse

SPAN = OWN_WINDOW["sources"]
WEEKS = 13
"""The number of points: today, and the same day of the weeks before."""
_WEEK_DAYS = 7


@command("source scores", SEE, of="source", http="GET /sources/{source}/scores source_scores")
def source_scores(session: ProjectSession, source: str) -> SourceScoresResponse:
    """Return the scores of a source by week, oldest first; the last window ends now.

    They are of all that is known now: a delivery that was released since counts as accepted. The
    last point is of what is stored, even where retention has removed a part of its window. There
    are no points before the first apply. Raise UnknownName for an unknown source.
    """
    if not isinstance(session.project().node(source), Source):
        raise UnknownName(f"there is no source {source[:60]!r}")
    now_us = to_us(session.now()) if session.store is None else session.clock.now_us()
    windows = list(_windows(now_us, session.timezone))
    began = windows[0][1][0]
    over = AvailabilityWindow(SPAN, began, now_us, session.timezone)
    points: list[SourceScoresPoint] = []
    with figuring_of(session, over, frozenset({source})) as figuring:
        node = None if figuring is None else figuring.declared.nodes.get(source)
        if figuring is not None and node is not None:
            points = list(_points(figuring, node, windows))
    return SourceScoresResponse(
        now=session.now(),
        source=source,
        window=SPAN,
        timezone=session.timezone,
        deliveries_min=DELIVERIES_LEAST,
        points=points,
    )


def _windows(now_us: int, timezone: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield a day of each of the last weeks with the bounds of the window that ends with it."""
    today = key_at_us(now_us, Grain.DAY, timezone)
    days = [today]
    while len(days) <= (WEEKS - 1) * _WEEK_DAYS:
        days.append(previous_key(days[-1], Grain.DAY, timezone))
    for day in days[::-_WEEK_DAYS]:
        until = now_us if day == today else bounds_us(day, Grain.DAY, timezone)[1]
        yield day, (window_began(SPAN, until, timezone), until)


def _points(
    figuring: Figuring, node: Node, windows: list[tuple[str, tuple[int, int]]]
) -> Iterator[SourceScoresPoint]:
    """Yield the scores of each window; none where retention may have removed a part of it.

    Those of the last window, which ends now, are always yielded.
    """
    whole_from = max(cut(RetentionPolicy.declared(figuring.project), figuring.until).values())
    for day, window in windows:
        row = scored(deliveries_of(figuring, node, window))
        whole = window[0] >= whole_from or window[1] == figuring.until
        yield SourceScoresPoint(
            date=day,
            stability=float(row.stability) if whole and row.stability else None,
            quality=float(row.quality) if whole and row.quality else None,
        )
