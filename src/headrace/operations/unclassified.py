"""Sample rows without the columns that a contract classifies: who may look at quarantine needn't be allowed to see them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.model import Contract


def shown(rows: Iterable[dict[str, Any]], contract: Contract | None, *, raw: bool) -> list[dict[str, Any]]:
    """The rows without classified columns. Of a delivery as it came (`raw`) only columns whose names are known to be harmless: one that
    was renamed would show its values under the new name."""
    classified = _names(contract, classified=True)
    if not classified:
        return list(rows)
    harmless = _names(contract, classified=False) - classified
    kept = [{name: value for name, value in row.items() if _may_be_shown(name.lower(), classified, harmless, raw=raw)} for row in rows]
    return [row for row in kept if row]


def _may_be_shown(name: str, classified: set[str], harmless: set[str], *, raw: bool) -> bool:
    return name in harmless if raw else name not in classified


def _names(contract: Contract | None, *, classified: bool) -> set[str]:
    """Names of columns, those under which files have them too, in lower case."""
    columns = [column for column in (contract.columns if contract else ()) if bool(column.classification) is classified]
    return {name.lower() for column in columns for name in (column.name, *(str(entry["name"]) for entry in column.names))}
