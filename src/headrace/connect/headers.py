"""Headers: a file's column names, how they differ from the pinned ones, and files that are something else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from headrace.connect.deliveries import CannotRead, Drift, SourceSchema, UnreadableFile, printable
from headrace.connect.formats.registry import FileHeader
from headrace.lake import PARTITION_COLUMN

# A file's header as column names. The same header always gives the same names, whatever is in it.

COLUMNS_MAX = 4_096
NAME_CHARACTERS_MAX = 255


def column_names(cells: Sequence[str]) -> tuple[str, ...]:
    """The columns' names for a header's cells.

    Blanks around a name and runs of blanks or line breaks in it (Excel's two-line headings) count as one space. A cell without
    a name is `column_<position>`. A name that comes again, in whatever case, gets `_2`, `_3`, …, and so does `_partition`,
    which is the lake's own. Raises CannotRead for more columns than `COLUMNS_MAX` or a name that is no name.
    """
    if len(cells) > COLUMNS_MAX:
        raise CannotRead(f"{len(cells):,} columns; a delivery has at most {COLUMNS_MAX:,}", line=1, code="delivery_header")
    said = [_cleaned(cell, position) for position, cell in enumerate(cells, 1)]
    everyone = {name.lower() for name in said}
    taken = {PARTITION_COLUMN}
    numbers: dict[str, int] = {}
    names = []
    for name in said:
        names.append(_free(name, taken, everyone, numbers))
        taken.add(names[-1].lower())
    return tuple(names)


def doubled_names(cells: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What a header says about columns whose name it has already given to another one.

    Each is the column's own name by `column_names`, and a clause for people that names both places.
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


def _cleaned(cell: str, position: int) -> str:
    name = " ".join("".join(char if char.isprintable() else " " for char in cell).split())
    if len(name) > NAME_CHARACTERS_MAX:
        raise CannotRead(
            f"the name of column {position} has {len(name):,} characters, at most {NAME_CHARACTERS_MAX} are a name:"
            f" `{printable(name, 40)}`",
            line=1,
            code="delivery_header",
        )
    return name or f"column_{position}"


def _free(name: str, taken: set[str], everyone: set[str], numbers: dict[str, int]) -> str:
    folded = name.lower()
    if folded not in taken:
        return name
    number = numbers.get(folded, 1) + 1
    while f"{folded}_{number}" in taken or f"{folded}_{number}" in everyone:
        number += 1
    numbers[folded] = number
    return f"{name}_{number}"


# A file's column names against the pinned ones.

NAMES_LISTED = 20


def header_drift(header: FileHeader, pinned: SourceSchema) -> Drift | None:
    """Names that are gone and names that are new; None where there are neither, whatever their order."""
    there, wanted = set(header.names), set(pinned.names)
    gone = tuple(name for name in pinned.names if name not in there and name not in pinned.optional)
    new = tuple(name for name in header.names if name not in wanted)
    if not gone and not new:
        return None
    parts = [f"{word}: {listed(names)}" for word, names in (("gone", gone), ("new", new)) if names]
    if {name.lower() for name in gone} == {name.lower() for name in new}:
        parts.append("only upper and lower case differ")
    elif not there & wanted:
        parts.append("nothing of the pinned header is left; the file may have no header, or be another one")
    return Drift(gone, new, f"{_gone_and_new(gone, new)} ({'; '.join(parts)})")


def _gone_and_new(gone: Sequence[str], new: Sequence[str]) -> str:
    """`2 columns gone, 1 new`: what fits into a clause."""
    (number, _, rest), *more = [f"{len(names)} {word}".partition(" ") for names, word in ((gone, "gone"), (new, "new")) if names]
    return ", ".join([f"{number} column{'' if number == '1' else 's'} {rest}", *map("".join, more)])


def listed(names: Sequence[str]) -> str:
    """The names for people, cut and escaped."""
    more = f" and {len(names) - NAMES_LISTED} more" if len(names) > NAMES_LISTED else ""
    return ", ".join(printable(name) for name in names[:NAMES_LISTED]) + more


# A file in which nothing of the pinned header is left: what it is instead, where its beginning
# tells.

BEGINNING_BYTES = 1 << 16
LINES_BEFORE_MAX = 50
"""A header that comes later than after this many lines isn't looked for."""
_DOCUMENTS = (
    (re.compile(rb"(?i)<(!doctype html|html|head|body)\b"), "an HTML page, as a server's answer may be"),
    (re.compile(rb"<\?xml\b|<[A-Za-z][\w:.-]*[\s>/]"), "an XML document"),
    (re.compile(rb"[\[{]\s*[\[{\"\]}]"), "a JSON document"),
    (re.compile(rb"%PDF-"), "a PDF document"),
)
_BREAKS = re.compile(r"\r\n|\r|\n")


def other_document(opened: str, pinned: SourceSchema) -> UnreadableFile | None:
    """Why a text file with rows has nothing of the pinned header: it is another kind of document, or
    its header comes after lines that are none of its rows. None where neither is so."""
    with Path(opened).open("rb") as file:
        beginning = file.read(BEGINNING_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    known = next((text for like, text in _DOCUMENTS if like.match(beginning)), None)
    if known is not None:
        return UnreadableFile(f"the file is {known}, not rows under a header", 1, code="delivery_header")
    lines = _BREAKS.split(beginning.decode("utf-8", errors="replace"))[: LINES_BEFORE_MAX + 1]
    for before, line in enumerate(lines):
        if before and _is_header(line, pinned):
            item = before == 1
            text = f"{before} line{' comes' if item else 's come'} before the header"
            return UnreadableFile(f"{text}, which is line {before + 1}", before + 1, "delivery_header")
    return None


def _is_header(line: str, pinned: SourceSchema) -> bool:
    form = pinned.format
    cells = [cell.strip().strip(form.quote).strip() for cell in line.split(form.delimiter)]
    return len(cells) > 1 and {*pinned.names} - {*pinned.optional} <= {*cells}
