"""Each state's mark and colour, always with the word beside it."""

from __future__ import annotations

from headrace.cli.tables import StyledCell

_MARKS = {
    "good": ("✓", "served fresh published passed succeeded applied done resolved"),
    "bad": ("✗", "late wrong rejected failed lost stale open"),
    "warn": (
        "!",
        "at_risk never unknown behind held warned partial withdrawn waived cancelled unchecked waiting missing recovering dropped",
    ),
    "": ("·", "nothing_due skipped queued running superseded nothing declined"),
}
_OF = {state: (mark, style) for style, (mark, states) in _MARKS.items() for state in states.split()}


def mark(state: str) -> str:
    """`✗ late`: the mark and the word, underscores as spaces."""
    symbol, _ = _OF.get(state, ("·", ""))
    return f"{symbol} {state.replace('_', ' ')}"


def cell(state: str) -> StyledCell:
    """The same, coloured."""
    return StyledCell(mark(state), _OF.get(state, ("·", ""))[1])
