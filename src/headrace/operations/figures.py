"""`status --explain FIGURE`: a figure of a window, opened down to the rows that it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headrace.model import UnknownName
from headrace.model.zones import to_us
from headrace.observe.availability.sentences import AvailabilityWindow
from headrace.operations import figure_readers, figure_served, figure_work
from headrace.operations.availability import WINDOW, window_began
from headrace.operations.figure_responses import FIGURES, FigureResponse
from headrace.operations.figuring import Figuring
from headrace.operations.session import ProjectSession
from headrace.operations.standing import standing

WORKED: Mapping[str, Callable[[Figuring], tuple[list[str], Sequence[Any]]]] = {
    "availability": figure_served.spans,
    "promises": figure_served.promises,
    "nodes": figure_served.nodes,
    "owners": figure_served.owners,
    "domains": figure_served.domains,
    "uptime": figure_work.runs,
    "weakened": figure_work.weakened,
    "goodput": figure_work.goodput,
    "incidents": figure_work.incidents,
    "sources": figure_readers.sources,
    "use": figure_readers.use,
}
OWN_WINDOW = {"sources": "90d"}
"""Those that are about another window unless one is asked for."""


def explain(session: ProjectSession, figure: str, selection: Sequence[str] = (), *, window: str | None = None) -> FigureResponse:
    """A figure with its rows; of a selection, only of what it names. UsageError for a figure that there isn't, and for a window that
    is none."""
    if figure not in WORKED:
        raise UnknownName(f"there is no figure {figure[:40]!r}", hint=f"these can be explained: {', '.join(FIGURES)}")
    span = window or OWN_WINDOW.get(figure, WINDOW)
    now_us = to_us(session.now()) if session.store is None else session.clock.now_us()
    began_us = window_began(span, now_us, session.timezone)
    if session.store is None or session.compiled is None:
        return _response(session, figure, span, (began_us, now_us), ["nothing has run yet: no data"], ())
    names = _names(session, selection)
    compiled = session.compiled
    with standing(session, now_us) as snapshot:
        figuring = Figuring(session, snapshot, compiled, AvailabilityWindow(span, began_us, now_us, session.timezone), names)
        said, rows = WORKED[figure](figuring)
    return _response(session, figure, span, (began_us, now_us), said, rows)


def _response(
    session: ProjectSession, figure: str, span: str, window: tuple[int, int], said: list[str], rows: Sequence[Any]
) -> FigureResponse:
    began, until = map(session.instant, window)
    return FigureResponse(figure=figure, window=span, began=began, until=until, said=said, rows=list(rows))


def _names(session: ProjectSession, selection: Sequence[str]) -> frozenset[str] | None:
    if not selection:
        return None
    from headrace.operations.selection import selected

    return frozenset(selected(session, selection, compiled=session.compiled))
