"""Headers: a file's column names, their drift, and files that aren't tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace.connect.deliveries import (
    LINES_ABOVE_MAX,
    CannotRead,
    Drift,
    SourceSchema,
    UnreadableFile,
    printable,
)
from headrace.connect.formats.registry import FileHeader
from headrace.lake import PARTITION_COLUMN
from headrace.model.wording import few

# A file's header as column names. The same header always gives the same names, whatever its
# content.

COLUMNS_MAX = 4_096
NAME_CHARACTERS_MAX = 255


def column_names(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the column names for a header's cells.

    Blanks around a name are removed; runs of blanks or line breaks in it (Excel's two-line
    headings) become one space. An empty cell becomes `column_<position>`. A repeated name, compared
    without case, gets `_2`, `_3`, …, and so does `_partition`, which the lake reserves. Raises
    CannotRead for more than `COLUMNS_MAX` columns or a name of more than `NAME_CHARACTERS_MAX`
    characters.
    """
    if len(cells) > COLUMNS_MAX:
        raise CannotRead(
            f"{len(cells):,} columns; a delivery has at most {COLUMNS_MAX:,}",
            line=1,
            code="delivery_header",
        )
    cleaned = [_cleaned(cell, position) for position, cell in enumerate(cells, 1)]
    everyone = {name.lower() for name in cleaned}
    used_names = {PARTITION_COLUMN}
    numbers: dict[str, int] = {}
    names = []
    for name in cleaned:
        names.append(_free(name, used_names, everyone, numbers))
        used_names.add(names[-1].lower())
    return tuple(names)


def doubled_names(cells: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the columns whose name the header has already given to another column.

    Each item is the column's unique name from `column_names`, and a clause that names both
    positions.
    """
    first: dict[str, int] = {}
    doubled = []
    for position, (cell, name) in enumerate(zip(cells, column_names(cells), strict=True), 1):
        text = _cleaned(cell, position)
        earlier = first.setdefault(text.lower(), position)
        if earlier != position and cell.strip():
            same = _cleaned(cells[earlier - 1], earlier)
            both = f"both columns {earlier} and {position} `{printable(same)}`"
            spelled = "" if same == text else f" (the second as `{printable(text)}`)"
            doubled.append((name, f"the header names {both}{spelled}"))
    return tuple(doubled)


BLANKS = " \ufeff"
"""Characters around a name of a header that comes again: joined files have byte order marks."""


def folded(cells: Sequence[Any]) -> tuple[str, ...]:
    """Return the cells of a row to compare it with a header: in lower case, without blanks."""
    return tuple(str(cell or "").strip(BLANKS).lower() for cell in cells)


def _cleaned(cell: str, position: int) -> str:
    name = " ".join("".join(char if char.isprintable() else " " for char in cell).split())
    if len(name) > NAME_CHARACTERS_MAX:
        raise CannotRead(
            f"the name of column {position} has {len(name):,} characters, at most"
            f" {NAME_CHARACTERS_MAX} are a name: `{printable(name, 40)}`",
            line=1,
            code="delivery_header",
        )
    return name or f"column_{position}"


def _free(name: str, used_names: set[str], everyone: set[str], numbers: dict[str, int]) -> str:
    folded = name.lower()
    if folded not in used_names:
        return name
    number = numbers.get(folded, 1) + 1
    while f"{folded}_{number}" in used_names or f"{folded}_{number}" in everyone:
        number += 1
    numbers[folded] = number
    return f"{name}_{number}"


# Comparison of a file's column names with the pinned ones.

NAMES_LISTED = 20


def header_drift(header: FileHeader, pinned: SourceSchema) -> Drift | None:
    """Return the missing and new names as a Drift; None if there are none, whatever the order."""
    there, pinned_names = set(header.names), set(pinned.names)
    missing = tuple(
        name for name in pinned.names if name not in there and name not in pinned.optional
    )
    new = tuple(name for name in header.names if name not in pinned_names)
    if not missing and not new:
        return None
    parts = [
        f"{word}: {listed(names)}" for word, names in (("gone", missing), ("new", new)) if names
    ]
    if set(map(str.lower, missing)) == set(map(str.lower, new)):
        parts.append("only upper and lower case differ")
    elif not there & pinned_names:
        parts.append(
            "nothing of the pinned header is left; the file may have no header, or be another one"
        )
    return Drift(missing, new, f"{_gone_and_new(missing, new)} ({'; '.join(parts)})")


def _gone_and_new(missing: Sequence[str], new: Sequence[str]) -> str:
    """Return a short clause such as `2 columns gone, 1 new`."""
    (number, _, rest), *more = [
        f"{len(names)} {word}".partition(" ")
        for names, word in ((missing, "gone"), (new, "new"))
        if names
    ]
    return ", ".join([f"{number} column{'' if number == '1' else 's'} {rest}", *map("".join, more)])


def listed(names: Sequence[str]) -> str:
    """Return the names for a message: at most `NAMES_LISTED`, cut and escaped."""
    return few(list(map(printable, names)), NAMES_LISTED)


# A file without any name of the pinned header: what it is instead, if its first bytes show that.

BEGINNING_BYTES = 1 << 16
_DOCUMENTS = (
    (
        re.compile(rb"(?i)<(!doctype html|html|head|body)\b"),
        "an HTML page, as a server's answer may be",
    ),
    (re.compile(rb"<\?xml\b|<[A-Za-z][\w:.-]*[\s>/]"), "an XML document"),
    (re.compile(rb"[\[{]\s*[\[{\"\]}]"), "a JSON document"),
    (re.compile(rb"%PDF-"), "a PDF document"),
)
_BREAKS = re.compile(r"\r\n|\r|\n")


def other_document(opened: str, pinned: SourceSchema) -> UnreadableFile | None:
    """Explain why a text file has none of the pinned header's columns.

    It is another kind of document, or other lines precede its header. None if neither applies.
    """
    with Path(opened).open("rb") as file:
        beginning = file.read(BEGINNING_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    known = next((text for like, text in _DOCUMENTS if like.match(beginning)), None)
    if known is not None:
        return UnreadableFile(
            f"the file is {known}, not rows under a header", 1, code="delivery_header"
        )
    lines = _BREAKS.split(beginning.decode("utf-8", errors="replace"))[: LINES_ABOVE_MAX + 1]
    for before, line in enumerate(lines):
        if before and _is_header(line, pinned):
            item = before == 1
            text = f"{before} line{' comes' if item else 's come'} before the header"
            return UnreadableFile(
                f"{text}, which is line {before + 1}; if they always do, declare csv: {{skip:"
                f" {before}}}",
                before + 1,
                "delivery_header",
            )
    return None


def _is_header(line: str, pinned: SourceSchema) -> bool:
    form = pinned.format
    cells = [cell.strip().strip(form.quote).strip() for cell in line.split(form.delimiter)]
    return len(cells) > 1 and {*pinned.names} - {*pinned.optional} <= {*cells}
