"""Tables that fit: columns keep their natural width while they can, then give way in a stated order, cut with `…`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from headrace.cli.screen import NATURAL, Screen
from headrace.cli.text import clean

GAP = 2
INDENT = 2
CELL_MAX = 200
"""No cell is longer, however wide the screen."""


class ColumnLayout(NamedTuple):
    """How a column behaves. `gives` orders who is cut first (0: never before all others were); a column with
    `drops` may go altogether where nothing else helps, the highest first."""

    title: str
    gives: int = 0
    least: int = 6
    drops: int = 0
    right: bool = False


class StyledCell(NamedTuple):
    """A styled cell; a plain string is one without a style."""

    text: str
    style: str = ""


Row = Sequence[str | StyledCell]


def table(screen: Screen, columns: Sequence[ColumnLayout], rows: Sequence[Row], *, header: bool = True) -> None:
    """Prints `rows` below the columns' titles, each on one line of at most the screen's width."""
    texts = [[_text(cell) for cell in row] for row in rows]
    titles = [clean(column.title) if header else "" for column in columns]
    natural = [max([cell_len(titles[i]), *(cell_len(row[i]) for row in texts)]) for i in range(len(columns))]
    kept, widths = fit(columns, natural, screen.width)
    if header:
        screen.line(_line(titles, columns, kept, widths), "dim")
    for row, text in zip(rows, texts, strict=True):
        screen.line(_styled(screen, row, text, columns, kept, widths))


def fit(columns: Sequence[ColumnLayout], natural: Sequence[int], width: int) -> tuple[list[int], list[int]]:
    """Which columns are shown and how wide each is (of all columns), so that a line takes at most `width`."""
    widths = [min(n, CELL_MAX) for n in natural]
    kept = [i for i in range(len(columns)) if natural[i]]
    if width >= NATURAL:
        return kept, widths
    _shrink(columns, kept, widths, width)
    for i in sorted(kept, key=lambda i: -columns[i].drops):
        if _total(kept, widths) <= width or not columns[i].drops:
            break
        kept.remove(i)
    while (over := _total(kept, widths) - width) > 0:
        widest = max(kept, key=lambda i: widths[i])
        if widths[widest] <= 3:
            break
        widths[widest] = max(3, widths[widest] - over, widths[widest] // 2)
    _grow(columns, kept, widths, natural, width)
    return kept, widths


def _shrink(columns: Sequence[ColumnLayout], kept: list[int], widths: list[int], width: int) -> None:
    for i in sorted((i for i in kept if columns[i].gives), key=lambda i: -columns[i].gives):
        over = _total(kept, widths) - width
        if over <= 0:
            return
        widths[i] = max(min(columns[i].least, widths[i]), widths[i] - over)


def _grow(columns: Sequence[ColumnLayout], kept: list[int], widths: list[int], natural: Sequence[int], width: int) -> None:
    for i in sorted(kept, key=lambda i: columns[i].gives):
        spare = width - _total(kept, widths)
        widths[i] = min(natural[i], CELL_MAX, widths[i] + max(0, spare))


def _total(kept: list[int], widths: list[int]) -> int:
    return INDENT + sum(widths[i] for i in kept) + GAP * max(0, len(kept) - 1)


def _text(cell: str | StyledCell) -> str:
    return clean(cell if isinstance(cell, str) else cell.text)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, the last of them `…` where something was cut."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def _place(text: str, width: int, right: bool) -> str:
    shown = cut(text, width)
    padding = " " * (width - cell_len(shown))
    return padding + shown if right else shown + padding


def _line(texts: Sequence[str], columns: Sequence[ColumnLayout], kept: list[int], widths: list[int]) -> str:
    return " " * INDENT + (" " * GAP).join(_place(texts[i], widths[i], columns[i].right) for i in kept)


def _styled(screen: Screen, row: Row, texts: Sequence[str], columns: Sequence[ColumnLayout], kept: list[int], widths: list[int]) -> str:
    placed = [_place(texts[i], widths[i], columns[i].right) for i in kept]
    placed[-1:] = [text.rstrip() for text in placed[-1:]]
    cells = [row[i] for i in kept]
    styled = [screen.style(text, cell.style) if isinstance(cell, StyledCell) else text for text, cell in zip(placed, cells, strict=True)]
    return " " * INDENT + (" " * GAP).join(styled)


def paragraph(screen: Screen, text: str, *, indent: int = 0, style: str = "") -> None:
    """Prose, broken between words so that no line is longer than the screen's width; continued lines are indented."""
    room = screen.width if screen.width < NATURAL else CELL_MAX * 50
    lines = textwrap.wrap(
        clean(text), max(20, room), initial_indent=" " * indent, subsequent_indent=" " * (indent + 2), break_on_hyphens=False
    )
    for line in lines or [""]:
        screen.line(line.replace(_TOGETHER, " "), style)


_TOGETHER = "\u00a0"
"""A blank at which no line is broken."""


def facts(screen: Screen, parts: Sequence[str], *, style: str = "") -> None:
    """Parts on one line, `·` between them; where they need more, broken between parts."""
    paragraph(screen, " · ".join(part.replace(" ", _TOGETHER) for part in parts if part), style=style)
