"""The columns that `import diff` compares: those of both sides, in the types of the asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.extension import literal, quote
from headrace.lake import LakeColumn
from headrace.lake import comparison as lake_comparison
from headrace.lake.reading import QueryTable
from headrace.lake.session import DuckDBSession

DIGITS = 10
"""Floating-point numbers are rounded to this number of digits."""
SHORT_DIGITS = 5
"""Those of four bytes on either side: they have about 7 digits, and sums of them fewer."""
HERE = "__here__"
SHORT_FLOATS = frozenset(("FLOAT", "REAL"))
FLOATS = frozenset((*SHORT_FLOATS, "DOUBLE"))


def both_sides(
    both: DuckDBSession, here: QueryTable, parquet: Path
) -> tuple[tuple[LakeColumn, ...], list[str], list[str]]:
    """Create the two sides as views of the columns that both have, in the types of the asset.

    Return these columns, and the names that only the origin or only the asset has.
    """
    rows = f"read_parquet({literal(str(parquet))})"
    described = both.connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()
    there = {str(name).lower(): (str(name), str(kind)) for name, kind, *_ in described}
    common = _comparable(both, here.columns, there, rows)
    of_origin, of_asset = [], []
    for column in common:
        name, kind = there[column.name.lower()]
        of_origin.append(_selected(column, name, kind))
        of_asset.append(_selected(column, column.name, kind))
    for view, relation, selected in (
        (lake_comparison.BEFORE, rows, of_origin),
        (lake_comparison.AFTER, quote(HERE), of_asset),
    ):
        columns = ", ".join(selected) or "1 AS nothing"
        both.connection.execute(f"CREATE VIEW {quote(view)} AS SELECT {columns} FROM {relation}")
    names = {column.name.lower() for column in here.columns}
    only_there = [name for lower, (name, _) in there.items() if lower not in names]
    only_here = [column.name for column in here.columns if column.name.lower() not in there]
    return common, only_there, only_here


def _comparable(
    both: DuckDBSession,
    columns: Sequence[LakeColumn],
    there: Mapping[str, tuple[str, str]],
    rows: str,
) -> tuple[LakeColumn, ...]:
    """Return the columns of both sides, each with the type in which they are compared.

    That is the asset's, unless a value of the origin isn't the same in it (`A-1` as a number, a
    time as a date): then both sides are compared as text.
    """
    common = [column for column in columns if column.name.lower() in there]
    lossy = [_is_lossy(column, *there[column.name.lower()]) for column in common]
    if not lossy:
        return ()
    changes = both.connection.execute(f"SELECT {', '.join(lossy)} FROM {rows}").fetchone() or ()
    return tuple(
        msgspec.structs.replace(column, type="VARCHAR") if changed else column
        for column, changed in zip(common, changes, strict=True)
    )


def _is_lossy(column: LakeColumn, origin: str, kind: str) -> str:
    """Return SQL for whether a value of the origin isn't the same in the asset's type."""
    name = quote(origin)
    cast = f"TRY_CAST({name} AS {column.type})"
    back = "" if column.type.upper() in FLOATS else f" OR TRY_CAST({cast} AS {kind}) <> {name}"
    return f"bool_or({name} IS NOT NULL AND ({cast} IS NULL{back}))"


def _selected(column: LakeColumn, name: str, kind: str) -> str:
    """Return a column of a side; floating-point numbers rounded to their first digits.

    `kind` is the origin's type.
    """
    digits = SHORT_DIGITS if SHORT_FLOATS & {column.type.upper(), kind.upper()} else DIGITS
    value = f"TRY_CAST({quote(name)} AS {column.type})"
    if column.type.upper() in FLOATS:
        value = f"CAST(format('{{:.{digits - 1}e}}', CAST({value} AS DOUBLE)) AS {column.type})"
    return f"{value} AS {quote(column.name)}"
