"""Text, colours, tables and errors on a terminal.

Every string from users, vendors or files passes `clean` before it is printed, so that it can't
control the terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import NamedTuple, TextIO

from rich.cells import cell_len, set_cell_size

from headrace.model.errors import HeadraceError, Problem

# Control and invisible characters are printed as escapes; the terminal never acts on them.

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, ANSI's escape among them
    # invisible characters, and those that change the direction of text
    "\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
    "\ud800-\udfff"  # bytes of a file name that isn't UTF-8
    "\u2028\u2029]"
)
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def clean(text: str) -> str:
    """Return `text` on one line, with control and invisible characters as escapes (`\\x1b`)."""
    return _UNSAFE.sub(_escape, text)


def clean_lines(text: str) -> str:
    """Return `text` as `clean` does, but keep line breaks and expand tabs to spaces."""
    return "\n".join(clean(line.expandtabs(8)) for line in text.split("\n"))


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    number = ord(character)
    return _SHORT_ESCAPES.get(character) or (
        f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
    )


def can_print_symbols() -> bool:
    """Whether standard output's encoding has the symbols `✓` and `…`."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "✓✗…━".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def plural(n: int, item: str, many: str | None = None) -> str:
    """Return a count with its noun and thousands separators: `1 day`, `3,000 days`."""
    return f"{n:,} {item if n == 1 else many or item + 's'}"


def joined(names: list[str], names_max: int = 5) -> str:
    """Return at most `names_max` names as a phrase, the rest as a count: `a, b and 3 more`."""
    if len(names) <= names_max:
        return ", ".join(names)
    return f"{', '.join(names[: names_max - 1])} and {len(names) - names_max + 1} more"


# A stream: its width, its colours, and the symbols that it can print.

_COLOUR_CODES = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "bold": "1"}
_ASCII_SYMBOLS = str.maketrans(
    {"✓": "+", "✗": "x", "…": "~", "·": "-", "←": "<-", "→": "->", "━": "=", "–": "-"}
)
NATURAL = 10_000
"""The width of a stream without a limit: it isn't a terminal, and COLUMNS isn't set."""


def width_of(stream: TextIO) -> int:
    """Return the width of a stream in columns.

    COLUMNS takes precedence; without it, output to a pipe or a file isn't limited.
    """
    if not os.environ.get("COLUMNS", "").isdecimal() and not stream.isatty():
        return NATURAL
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def colour_wanted(stream: TextIO, no_color: bool) -> bool:
    """Whether to use colours: on a terminal, unless --no-color, NO_COLOR or TERM=dumb is set."""
    return (
        stream.isatty()
        and not no_color
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


class Screen:
    """Writes lines to one stream. Callers escape the text with `clean` first."""

    def __init__(self, stream: TextIO | None = None, *, no_color: bool = False) -> None:
        self.stream = stream or sys.stdout
        self.width = width_of(self.stream)
        self.colour = colour_wanted(self.stream, no_color)
        self._symbols = can_print_symbols()

    def style(self, text: str, style: str) -> str:
        """Return `text` coloured as `good`, `bad`, `warn`, `dim` or `bold`, if colours are used."""
        code = _COLOUR_CODES.get(style)
        return f"\x1b[{code}m{text}\x1b[0m" if code and self.colour and text else text

    def line(self, text: str = "", style: str = "") -> None:
        """Write one line without wrapping or cutting it."""
        self.stream.write(self.style(self.fit(text.rstrip()), style) + "\n")

    def fit(self, text: str) -> str:
        """Return `text`, with ASCII for symbols that the stream's encoding lacks."""
        return text if self._symbols else text.translate(_ASCII_SYMBOLS)


# Tables that fit the screen. Columns have their natural width if there is enough space; otherwise
# they shrink in the order of `gives`, and cut text ends with `…`.

GAP = 2
INDENT = 2
CELL_MAX = 200
"""Maximum characters of a cell, on a screen of any width."""


class ColumnLayout(NamedTuple):
    """How a column behaves in a table that doesn't fit.

    Columns with `gives` shrink to at least `least` characters, the highest `gives` first. Then
    columns with `drops` are left out, the highest `drops` first. If the line is still too long, the
    widest columns are cut. `right` aligns the text to the right.
    """

    title: str
    gives: int = 0
    least: int = 6
    drops: int = 0
    right: bool = False


class StyledCell(NamedTuple):
    """The text of a cell with a style; a plain string is a cell without one."""

    text: str
    style: str = ""


Row = Sequence[str | StyledCell]


def table(
    screen: Screen, columns: Sequence[ColumnLayout], rows: Sequence[Row], *, header: bool = True
) -> None:
    """Print rows below the column titles, each on one line of at most the screen's width."""
    texts = [[_cell_text(cell) for cell in row] for row in rows]
    titles = [clean(column.title) if header else "" for column in columns]
    natural = [
        max([cell_len(titles[i]), *(cell_len(row[i]) for row in texts)])
        for i in range(len(columns))
    ]
    visible, widths = fit_columns(columns, natural, screen.width)
    if header:
        screen.line(_line(titles, columns, visible, widths), "dim")
    for row, text in zip(rows, texts, strict=True):
        screen.line(_styled_line(screen, row, text, columns, visible, widths))


def fit_columns(
    columns: Sequence[ColumnLayout], natural: Sequence[int], width: int
) -> tuple[list[int], list[int]]:
    """Return the indexes of the visible columns, and the widths of all columns.

    A line of the visible columns takes at most `width` characters, unless columns of 3 characters
    need more. Columns without content are hidden.
    """
    widths = [min(n, CELL_MAX) for n in natural]
    visible = [i for i in range(len(columns)) if natural[i]]
    if width >= NATURAL:
        return visible, widths
    _shrink(columns, visible, widths, width)
    for i in sorted(visible, key=lambda i: -columns[i].drops):
        if _line_width(visible, widths) <= width or not columns[i].drops:
            break
        visible.remove(i)
    while (over := _line_width(visible, widths) - width) > 0:
        widest = max(visible, key=lambda i: widths[i])
        if widths[widest] <= 3:
            break
        widths[widest] = max(3, widths[widest] - over, widths[widest] // 2)
    _grow(columns, visible, widths, natural, width)
    return visible, widths


def _shrink(
    columns: Sequence[ColumnLayout], visible: list[int], widths: list[int], width: int
) -> None:
    for i in sorted((i for i in visible if columns[i].gives), key=lambda i: -columns[i].gives):
        over = _line_width(visible, widths) - width
        if over <= 0:
            return
        widths[i] = max(min(columns[i].least, widths[i]), widths[i] - over)


def _grow(
    columns: Sequence[ColumnLayout],
    visible: list[int],
    widths: list[int],
    natural: Sequence[int],
    width: int,
) -> None:
    for i in sorted(visible, key=lambda i: columns[i].gives):
        spare = width - _line_width(visible, widths)
        widths[i] = min(natural[i], CELL_MAX, widths[i] + max(0, spare))


def _line_width(visible: list[int], widths: list[int]) -> int:
    return INDENT + sum(widths[i] for i in visible) + GAP * max(0, len(visible) - 1)


def _cell_text(cell: str | StyledCell) -> str:
    return clean(cell if isinstance(cell, str) else cell.text)


def cut(text: str, width: int) -> str:
    """Return `text` in at most `width` terminal cells, ending with `…` if it was cut."""
    return (
        text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)).rstrip() + "…"
    )


def _padded(text: str, width: int, right: bool) -> str:
    fitted = cut(text, width)
    padding = " " * (width - cell_len(fitted))
    return padding + fitted if right else fitted + padding


def _line(
    texts: Sequence[str], columns: Sequence[ColumnLayout], visible: list[int], widths: list[int]
) -> str:
    return " " * INDENT + (" " * GAP).join(
        _padded(texts[i], widths[i], columns[i].right) for i in visible
    )


def _styled_line(
    screen: Screen,
    row: Row,
    texts: Sequence[str],
    columns: Sequence[ColumnLayout],
    visible: list[int],
    widths: list[int],
) -> str:
    placed = [_padded(texts[i], widths[i], columns[i].right) for i in visible]
    placed[-1:] = [text.rstrip() for text in placed[-1:]]
    cells = [row[i] for i in visible]
    styled = [
        screen.style(text, cell.style) if isinstance(cell, StyledCell) else text
        for text, cell in zip(placed, cells, strict=True)
    ]
    return " " * INDENT + (" " * GAP).join(styled)


def paragraph(screen: Screen, text: str, *, indent: int = 0, style: str = "") -> None:
    """Print a paragraph, wrapped between words at the screen's width.

    Further lines are indented.
    """
    width = screen.width if screen.width < NATURAL else CELL_MAX * 50
    lines = textwrap.wrap(
        clean(text),
        max(20, width),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_on_hyphens=False,
    )
    for line in lines or [""]:
        screen.line(line.replace(_NO_BREAK_SPACE, " "), style)


_NO_BREAK_SPACE = "\u00a0"
"""A space at which `paragraph` doesn't break lines."""


def facts(screen: Screen, parts: Sequence[str], *, style: str = "") -> None:
    """Print parts on one line, separated by `·`; a line that is too long breaks between parts."""
    paragraph(
        screen,
        " · ".join(part.replace(" ", _NO_BREAK_SPACE) for part in parts if part),
        style=style,
    )


# Errors on standard error: one line, a hint and a place. A traceback is printed only with `-v`.

PROBLEMS_SHOWN_MAX = 20


def report_error(error: BaseException, *, verbose: bool, no_color: bool = False) -> int:
    """Print an error to standard error and return its exit code.

    With `verbose` it prints the traceback, too.
    """
    screen = Screen(sys.stderr, no_color=no_color)
    if verbose:
        import traceback

        sys.stderr.writelines(traceback.format_exception(error))
    if isinstance(error, HeadraceError):
        _print_known(screen, error)
        return error.exit_code
    where = "" if verbose else "; the same with -v shows where"
    print_error(
        screen,
        _unexpected_message(error),
        hint=f"`headrace db check` says whether the state is whole{where}",
    )
    return 1


def print_error(screen: Screen, message: str, *, hint: str = "", where: str = "") -> None:
    """Print `error: …`, and below it the hint and the place."""
    paragraph(screen, f"error: {message}", style="bad")
    if hint:
        paragraph(screen, f"hint: {hint}", indent=2)
    if where:
        screen.line(f"  at {clean(where)}")


def _print_known(screen: Screen, error: HeadraceError) -> None:
    problems: tuple[Problem, ...] = tuple(getattr(error, "problems", ()))
    place = getattr(error, "place", None)
    print_error(
        screen, str(error), hint=error.hint, where=f"{place.file}:{place.line}" if place else ""
    )
    for problem in problems[:PROBLEMS_SHOWN_MAX]:
        paragraph(screen, f"{problem.place.file}:{problem.place.line}  {problem.message}", indent=2)
        if problem.hint:
            paragraph(screen, f"hint: {problem.hint}", indent=4)
    if len(problems) > PROBLEMS_SHOWN_MAX:
        screen.line(f"  and {len(problems) - PROBLEMS_SHOWN_MAX} more: headrace validate")


def _unexpected_message(error: BaseException) -> str:
    """Return the message for an error that isn't Headrace's own.

    An operating system error is one that the user can fix; others are failures of Headrace.
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if type(error).__module__.partition(".")[0] in ("sqlite3", "psycopg"):
        return (
            f"the state database refused a statement of Headrace's ({type(error).__name__}:"
            f" {error})"
        )
    return f"headrace failed: {type(error).__name__}: {error}"
