"""A file's header as column names: the same header always gives the same names, whatever is in it."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connect.deliveries import CannotRead
from headrace.connect.shown import shown
from headrace.lake import PARTITION_COLUMN

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
            both = f"both columns {earlier} and {position} `{shown(same)}`"
            spelled = "" if same == text else f" (the second as `{shown(text)}`)"
            doubled.append((name, f"the header names {both}{spelled}"))
    return tuple(doubled)


def _cleaned(cell: str, position: int) -> str:
    name = " ".join("".join(char if char.isprintable() else " " for char in cell).split())
    if len(name) > NAME_CHARACTERS_MAX:
        raise CannotRead(
            f"the name of column {position} has {len(name):,} characters, at most {NAME_CHARACTERS_MAX} are a name: `{shown(name, 40)}`",
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
