"""Names of assets, sources, owners and pools for those of an Airflow project."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from headrace.model.fields import SQL_KEYWORDS, is_system
from headrace_import.importers.airflow.statements_sql import TableName

NAME_CHARACTERS_MAX = 63


def cleaned(text: str) -> str:
    """A name of Headrace for any text: letters, digits and `_`."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower() or "unnamed"
    if name[0].isdigit():
        name = f"t_{name}"
    name = name[:NAME_CHARACTERS_MAX].rstrip("_")
    return (
        f"{name[: NAME_CHARACTERS_MAX - 6]}_table"
        if name in SQL_KEYWORDS or is_system(name)
        else name
    )


class Names:
    """Gives each thing a name of its own, in the order in which it is asked."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def take(self, *candidates: str) -> str:
        """Return the first candidate that is free, cleaned; else the last one with a number."""
        for candidate in candidates:
            name = cleaned(candidate)
            if name not in self._used:
                self._used.add(name)
                return name
        base, number = cleaned(candidates[-1]), 2
        while f"{base[: NAME_CHARACTERS_MAX - 5]}_{number}" in self._used:
            number += 1
        name = f"{base[: NAME_CHARACTERS_MAX - 5]}_{number}"
        self._used.add(name)
        return name


def whole_names(tables: Iterable[TableName]) -> Mapping[TableName, TableName]:
    """Map each table's name to its longest form in the project, if that is the only one.

    `orders` and `shop.orders` are one table unless there is another `….orders`.
    """
    by_last: dict[str, set[TableName]] = {}
    for table in tables:
        by_last.setdefault(table[-1], set()).add(table)
    return {table: _longest(table, same) for same in by_last.values() for table in same}


def _longest(table: TableName, same: set[TableName]) -> TableName:
    longer = [other for other in same if len(other) > len(table) and _ends(other, table)]
    longest = [name for name in longer if all(_ends(name, other) for other in longer)]
    return longest[0] if len(longest) == 1 else table


def _ends(name: TableName, end: TableName) -> bool:
    return name[-len(end) :] == end


def owner_name(text: str) -> str:
    """A name of owners.yaml."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", text.partition("@")[0]).strip("-.")
    return name[:NAME_CHARACTERS_MAX] or "airflow"
