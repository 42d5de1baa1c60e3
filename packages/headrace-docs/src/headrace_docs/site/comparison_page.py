"""One page about two periods, to be printed."""

from __future__ import annotations

from collections.abc import Sequence

from headrace_docs.markup import Html, bdi, document, tag
from headrace_docs.responses.comparison import PeriodRow, ProjectComparison, SpreadRow
from headrace_docs.site.frame import own_style, row, table, when

LINES_MAX = 15
"""Files and decisions that are named, so that it stays one page."""


def comparison_page(response: ProjectComparison) -> str:
    """Return the page, with its style in it."""
    main = tag(
        "main",
        tag("h1", "What changed, and did it help"),
        tag("p", bdi(response.project), f", environment {response.env}"),
        tag("p", "Before: ", _period(response.before)),
        tag("p", "After: ", _period(response.after)),
        tag("h2", "Did it help"),
        _figures(response),
        tag("h2", "Who decided"),
        _decisions(response),
        tag("h2", "Which files differ"),
        *(
            _files(title, paths)
            for title, paths in (
                ("Added", response.added),
                ("Changed", response.changed),
                ("Removed", response.removed),
            )
        ),
        tag("footer", f"True at {response.at:%Y-%m-%d %H:%M}, for {response.reader}."),
    )
    return document(f"What changed · {response.project}", own_style(), main)


def _period(period: PeriodRow) -> Html:
    times = (when(period.since), " to ", when(period.until))
    return tag("span", f"{period.point}: ", *times, f", version {period.version}")


def spread_text(spread: SpreadRow) -> str:
    """Return a figure with its median, least and most by day."""
    if spread.median is None:
        return spread.text
    return f"{spread.text} (by day {spread.median:g}, {spread.low:g} to {spread.high:g})"


def _figures(response: ProjectComparison) -> Html:
    rows = [
        row(each.figure, spread_text(each.before), spread_text(each.after), each.verdict)
        for each in response.figures
    ]
    return table("Figures", ("figure", "before", "after", "it is"), rows)


def _decisions(response: ProjectComparison) -> Html:
    decisions = response.decisions
    if decisions is None:
        return tag("p", "The applied versions are for readers who see the whole project.")
    if not decisions:
        return tag("p", "Nothing was applied.")
    rows = [
        row(
            each.version,
            when(each.at),
            bdi(each.by),
            each.plan_id or "none",
            len(each.added) + len(each.changed) + len(each.removed),
        )
        for each in decisions[:LINES_MAX]
    ]
    more = len(decisions) - LINES_MAX
    heads = ("version", "applied", "by", "plan", "files")
    listed = table("Applied versions", heads, rows)
    return tag("div", listed, tag("p", f"and {more:,} more") if more > 0 else None)


def _files(title: str, paths: Sequence[str]) -> Html | None:
    if not paths:
        return None
    more = len(paths) - LINES_MAX
    rest = f" and {more:,} more" if more > 0 else ""
    return tag("p", f"{title}: ", bdi(", ".join(paths[:LINES_MAX])), rest)
