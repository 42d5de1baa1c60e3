"""The dialect of a CSV file, and its lines that are neither a header nor rows: titles and comments
above the header, and Excel's `sep=;`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import dropwhile, islice
from pathlib import Path
from typing import Any

from headrace.connect.deliveries import LINES_ABOVE_MAX, Format

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_BYTES = 1 << 16
SAMPLE_ROWS = 200
TITLES_MAX = 9
"""A header below more titles that are as wide isn't told from rows of texts."""
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ \t]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
_COMMENTS = "#%;!"
_NUMBER = re.compile(r"[-+]?[0-9]*[.,]?[0-9]+")
_NUMBER_OR_DATE = re.compile(
    r"[-+]?[0-9]*[.,]?[0-9]+([eE][-+]?[0-9]+)?|[0-9]{1,4}([-./])[0-9]{1,2}\2[0-9]{1,4}([ T].*)?"
)
_NO_VALUES = {"missing", "n/a", "na", "nan", "none", "null", "unknown"}
_YEAR = re.compile(r"(19|20)[0-9]{2}")


def beginning(path: Path, limit: int = SAMPLE_BYTES) -> str:
    """Return the first `limit` bytes as text, without a byte order mark or a partial character."""
    with path.open("rb") as file:
        data = file.read(limit)
    return data.decode("utf-8-sig", errors="ignore")


def dialect(text: str) -> Format:
    """Return the delimiter and escape that give the first rows most columns of equal number."""
    return _scored(text)[1]


def _scored(text: str) -> tuple[tuple[float, int], Format]:
    if len(text) >= SAMPLE_BYTES // 4 and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    best, form = (0.0, 0), Format(kind="csv")
    for escape in ('"', "\\"):
        for delimiter in DELIMITERS:
            candidate = Format(kind="csv", delimiter=delimiter, escape=escape)
            score = _score(text, candidate)
            if score > best:
                best, form = score, candidate
    return best, form


def _score(text: str, form: Format) -> tuple[float, int]:
    """Return the share of sample rows as wide as the header, and the header's width.

    Both are 0 for a single column, or if the rows can't be split.
    """
    try:
        widths = [len(row) for row in islice(rows_of(text, form), SAMPLE_ROWS) if row]
    except csv.Error:
        return 0.0, 0
    if not widths or widths[0] < 2:
        return 0.0, 0
    return sum(width == widths[0] for width in widths) / len(widths), widths[0]


def rows_of(text: str, form: Format) -> Iterator[list[str]]:
    """Yield the cells of each row; raise csv.Error for rows that can't be split."""
    doubled = form.escape == form.quote
    return csv.reader(
        io.StringIO(text, newline=""),
        delimiter=form.delimiter,
        quotechar=form.quote,
        doublequote=doubled,
        escapechar=None if doubled else form.escape,
        strict=True,
    )


def lines_above(options: Mapping[str, Any]) -> int:
    """Return the declared number of lines above the header."""
    header = options.get("header", True)
    return int(options.get("skip", 0 if isinstance(header, bool) else header - 1))


def from_header(text: str, skip: int, comment: str) -> str:
    """Return text without its first lines and without the comments and blank lines after them."""
    lines = text.splitlines(keepends=True)[skip:]
    return "".join(
        dropwhile(
            lambda line: not line.strip() or bool(comment and line.startswith(comment)), lines
        )
    )


def above_header(
    text: str, *, above_numbers: bool = False, besides: int = 0
) -> tuple[dict[str, Any], int] | None:
    """Return what `csv:` should declare for lines above a header, and the header's line (from 1).

    None unless, from that line on, all rows have as many cells, and not as many as `besides`.
    `above_numbers`: only a header with a name above numbers counts.
    """
    lines = text.splitlines(keepends=True)
    sign = lines[0][:1] if lines and lines[0][0] in _COMMENTS else ""
    for number in range(1, min(LINES_ABOVE_MAX, len(lines) - 2) + 1):
        line = lines[number]
        if line.strip() and not (sign and line.startswith(sign)):
            rows = _even_rows("".join(lines[number:]))
            if (
                _is_filled(rows)
                and not _is_title(rows)
                and len(rows[0]) != besides
                and (not above_numbers or _is_above_numbers(rows))
            ):
                return _declared(lines[:number], sign), number + 1
    return None


def _declared(above: Sequence[str], sign: str) -> dict[str, Any]:
    comments = sign and all(line.startswith(sign) for line in above if line.strip())
    return {"comment": sign} if comments else {"skip": len(above)}


def _even_rows(text: str) -> list[list[str]]:
    """Return the first rows if all of them have as many cells; else none."""
    (share, _), form = _scored(text)
    rows = islice(rows_of(text, form), SAMPLE_ROWS) if share == 1 else ()
    return [row for row in rows if row]


def hidden_header(cells: Sequence[str], text: str) -> tuple[dict[str, Any], int] | None:
    """Return `above_header` if the first row, `cells`, is a title or a comment; None if not.

    Certainly a title are cells of which most, or all but the first, are empty, and two lines of one
    cell above rows of several; and certainly comments are two lines with `#`. Otherwise the numbers
    below names show which row is the header.
    Blank lines before the first row say nothing.
    """
    rows = text.lstrip("\r\n")
    above = _above_row(cells, rows)
    blank = len(text.splitlines()) - len(rows.splitlines())
    if above is None or not blank:
        return above
    options, line = above
    return {"skip": options["skip"] + blank} if "skip" in options else options, line + blank


def titled(text: str) -> tuple[dict[str, Any], int] | None:
    """Return `above_header` if the first of the rows, all of as many cells, seems to be a title, or
    to name groups of columns.

    Rows may look like that by chance: names of the columns that are known from elsewhere decide.
    """
    rows = _even_rows(text)
    if len(rows) > 2 and names_below_groups(*rows[:2]):
        above = len(text.splitlines()) - len(text.lstrip("\r\n").splitlines()) + 1
        return {"skip": above}, above + 1
    return above_header(text) if _is_title(rows) else None


def names_below_groups(names: Sequence[str], row: Sequence[str]) -> bool:
    """Return whether a row is the rest of a header whose first row, `names`, names groups.

    A name stands for a group if it comes again, or if columns without a name follow it. The rest of
    the header names each column of a group, and nothing else; rows seldom do so by chance.
    """
    groups: list[str] = []
    for name in names:
        groups.append(name or (groups[-1] if groups else ""))
    grouped = [group != "" and groups.count(group) > 1 for group in groups]
    below = [(group, cell) for group, cell in zip(groups, row, strict=True) if cell != ""]
    return (
        any(grouped)
        and not all(grouped)
        and [cell != "" for cell in row] == grouped
        and len(set(below)) == len(below)
        and all(cell[0].isalpha() for _, cell in below)
    )


def _is_title(rows: Sequence[Sequence[str]]) -> bool:
    """Whether one of the next `TITLES_MAX` rows names the columns, rather than the first one."""
    if len(rows) < 3 or len(rows[0]) < 2:
        return False
    cells = [[cell.strip() for cell in row] for row in rows]
    return any(
        _follows_odd(cells[:at], cells[at])
        or _names_columns(cells[:at], cells[at], cells[at + 1 :])
        for at in range(1, min(TITLES_MAX, len(cells) - 2) + 1)
    )


def _follows_odd(above: Sequence[Sequence[str]], row: Sequence[str]) -> bool:
    """Whether a row of texts and years follows empty names, or a single number or date each.

    An index of a data frame has no name either: it is the first column.
    """
    names = [cell for cell in row if not _YEAR.fullmatch(cell)]
    named = row[0] in names and all(map(is_name, names)) and _are_distinct(row)
    return named and all(
        "" in cells[1:] or sum(bool(_NUMBER_OR_DATE.fullmatch(cell)) for cell in cells) == 1
        for cells in above
    )


def _names_columns(
    above: Sequence[Sequence[str]], row: Sequence[str], below: Sequence[Sequence[str]]
) -> bool:
    """Whether each cell is a text of its own, and numbers or dates are below texts only.

    Columns without others have at least two of them. The row isn't one of those above again.
    """
    folded = {tuple(map(str.casefold, cells)) for cells in above}
    if tuple(map(str.casefold, row)) in folded or not _are_distinct(row):
        return False
    columns = zip(zip(*above, strict=True), zip(*below, strict=True), strict=True)
    numbers = (
        [cell for cell in cells if cell]
        for titles, cells in columns
        if not any(map(_NUMBER_OR_DATE.fullmatch, titles))
    )
    typed = sum(len(cells) for cells in numbers if all(map(_NUMBER_OR_DATE.fullmatch, cells)))
    return all(map(is_name, row)) and typed > 1


def _are_distinct(cells: Sequence[str]) -> bool:
    return len({cell.casefold() for cell in cells}) == len(cells)


def is_name(cell: str) -> bool:
    """Whether a cell may name a column: it begins like a word, and isn't one for no value."""
    return (cell[:1].isalpha() or cell[:1] == "_") and cell.casefold() not in _NO_VALUES


def _above_row(cells: Sequence[str], text: str) -> tuple[dict[str, Any], int] | None:
    filled = [bool(cell.strip()) for cell in cells]
    few = sum(filled) == 1 or sum(filled) * 2 <= len(filled)
    first, *others = text.splitlines() or [""]
    comments = first.startswith("#") and others[:1] and others[0].startswith("#")
    if comments or (len(filled) > 1 and few and filled[0]):
        return above_header(text)
    if len(cells) == 1 and (above := above_header(text)) is not None and above[1] > 2:
        return above
    if len(cells) == 1 or first.startswith("#") or (others and not others[0].strip()):
        return above_header(text, above_numbers=True)
    return None


def _is_filled(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row's cells are names or differ, and none but the last is empty."""
    if not rows:
        return False
    cells = [cell.strip() for cell in rows[0]]
    return all(cells[:-1]) and (len(set(cells)) == len(cells) or all(map(is_name, cells)))


def _is_above_numbers(rows: Sequence[Sequence[str]]) -> bool:
    header, *others = rows
    below = (
        (name, [cell for cell in cells if cell])
        for name, cells in zip(header, zip(*others, strict=False), strict=False)
    )
    return any(
        cells and all(map(_NUMBER.fullmatch, cells)) and not _NUMBER.fullmatch(name)
        for name, cells in below
    )


def declaration(options: Mapping[str, Any], kind: str = "csv") -> str:
    """Return options as they are written in a source: `csv: {skip: 4}`."""
    written = (f"{name}: {json_text(value)}" for name, value in options.items())
    return f"{kind}: {{{', '.join(written)}}}"


def json_text(value: str | int) -> str:
    """Return a scalar as JSON that YAML reads as well: signs that it doesn't allow are escaped."""
    return json.dumps(value, ensure_ascii=not str(value).isprintable())
