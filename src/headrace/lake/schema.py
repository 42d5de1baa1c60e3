"""Compare computed columns with a table's: propose a table, cast values, refuse mismatches."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from headrace.lake.sqltext import NOT_IN_PARQUET, literal, quote
from headrace.lake.tables import PARTITION_COLUMN, LakeColumn, LakeTable
from headrace.lake.types import (
    Type,
    field_count,
    parse,
    storable,
    widens,
    widens_where_exact,
    wider_number,
    with_room,
)
from headrace.model.errors import LakeError, shown
from headrace.model.texts import marked

COLUMNS_MAX = 10_000
WRITTEN = "headrace-written-"
"""Begins the error for a value that a program wrote and that doesn't fit.

How deeply it is nested follows, the length of its column's name, that name, and the value.
"""
_LOSSY = re.compile(
    rf"Invalid Input Error: (?:headrace-(lossy|carried)-(\d+)|{WRITTEN}(\d+)-(\d+) (.*))", re.DOTALL
)
_AS_TEXT = {("ENUM", "VARCHAR"), ("BIT", "VARCHAR"), ("JSON", "VARCHAR"), ("BIGNUM", "VARCHAR")}
_LIMITS = {
    "INTERVAL": ": it keeps up to 49 days in whole milliseconds, and nothing below 0",
    "TIME": ": it keeps microseconds, and no offset",
    "TIME WITH TIME ZONE": ": it keeps microseconds, and no offset",
}
"""What a message says of types that keep less than their names say."""


class SchemaMismatch(LakeError):
    """Computed columns that don't fit their table. `columns` names the columns in question."""

    code = "schema_mismatch"

    def __init__(self, message: str, *, columns: Sequence[str] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.columns = tuple(columns)


Given = tuple[tuple[str, str], ...]
"""The columns of a query's result: name and DuckDB type."""


class ValueMismatch(SchemaMismatch):
    """Values that the column's type can't hold. `columns` names that column, `kind` is its type.

    `value` is the text of one of them, if a program wrote it as text; `level` is how deeply it is
    nested in the column's value.
    """

    def __init__(
        self,
        message: str,
        *,
        column: str,
        kind: str,
        hint: str = "",
        value: str = "",
        level: int = 0,
    ) -> None:
        super().__init__(message, columns=(column,), hint=hint)
        self.kind = kind
        self.value = value
        self.level = level


class CodeTypes(msgspec.Struct, frozen=True):
    """Rules for the types of columns that code (Python, a command) computes.

    Code derives types from one day's values, SQL from the types of its inputs. Types in `declared`
    (column name to DuckDB type) are fixed; other numeric types widen where no value is lost.
    """

    declared: tuple[tuple[str, str], ...] = ()


def _check_names(table_name: str, columns: Given) -> None:
    """Raise SchemaMismatch for column names or a number of columns that a table can't have.

    Refused are empty names, names that differ only in case, the system column's name, and no or too
    many columns.
    """
    names = [name.lower() for name, _ in columns]
    twice = (
        sorted({name for name in names if names.count(name) > 1})
        if len(set(names)) < len(names)
        else []
    )
    if twice:
        raise SchemaMismatch(
            f"`{table_name}` gives column {_list(twice)} more than once (case doesn't count)",
            columns=twice,
            hint="give each output column a name of its own with AS",
        )
    if PARTITION_COLUMN in names:
        raise SchemaMismatch(
            f"`{table_name}` gives a column `{PARTITION_COLUMN}`, which is Headrace's own",
            columns=(PARTITION_COLUMN,),
            hint="leave it out or give it another name",
        )
    if not names or "" in names or len(names) > COLUMNS_MAX:
        raise SchemaMismatch(
            f"`{table_name}` gives {len(names)} columns, or one without a name; a table has 1 to"
            f" {COLUMNS_MAX}"
        )


class TargetTable(NamedTuple):
    """The table that rows are computed for: a new one called `name`, or `table`.

    With `evolve` it changes to fit the rows. `code` is given if Python or a command computes them.
    """

    name: str
    table: LakeTable | None = None
    evolve: bool = False
    code: CodeTypes | None = None

    def fitting(self, columns: Given) -> LakeTable:
        """Return the table for these columns: a new one, `table` itself, or `table` changed.

        Without `evolve`, wider numbers alone change it, and only with `code`. Raises
        SchemaMismatch for names that a table can't have and for columns that are missing or new
        and may not be, and UnsupportedType.
        """
        _check_names(self.name, columns)
        target_columns = _wanted(columns, self.code)
        if self.table is None:
            partition = LakeColumn(PARTITION_COLUMN, "VARCHAR", 1)
            return LakeTable(self.name, _numbered([partition], target_columns, 2))
        if self.evolve:
            return _evolved(self.table, target_columns)
        _check_same_names(self.table, target_columns)
        if self.code is None:
            return self.table
        return _widened(self.table, {name.lower(): kind for name, kind in target_columns})


def _check_same_names(table: LakeTable, wanted: list[tuple[str, Type]]) -> None:
    has, gives = (
        {column.name.lower() for column in table.columns[1:]},
        {name.lower() for name, _ in wanted},
    )
    if has != gives:
        new = [name for name, _ in wanted if name.lower() not in has]
        gone = [column.name for column in table.columns[1:] if column.name.lower() not in gives]
        raise _differs(table, new, gone)


def _wanted(given: Given, code: CodeTypes | None) -> list[tuple[str, Type]]:
    """Return the columns in storable types; those that `code` leaves open get room to grow."""
    if code is None:
        return [(name, storable(parse(text), name)) for name, text in given]
    declared = {name.lower(): text for name, text in code.declared}
    wanted = []
    for name, text in given:
        kind = storable(parse(declared.get(name.lower(), text)), name)
        wanted.append((name, kind if name.lower() in declared else with_room(kind)))
    return wanted


def _widened(table: LakeTable, types: Mapping[str, Type]) -> LakeTable:
    """Widen the table's numeric columns to the given types, where that loses no value.

    Every other difference is left to the cast, which checks each value.
    """
    columns = [table.columns[0]]
    for column in table.columns[1:]:
        wider = wider_number(parse(column.type), types[column.name.lower()])
        columns.append(
            column if wider is None else msgspec.structs.replace(column, type=wider.text)
        )
    return _changed(table, tuple(columns))


def _changed(table: LakeTable, columns: tuple[LakeColumn, ...]) -> LakeTable:
    """Return the table with other columns, or itself."""
    if columns == table.columns:
        return table
    return LakeTable(
        table.name,
        columns,
        table.next_id,
        folder=table.folder,
        changed_from=table.changed_from or table.columns,
    )


def _differs(table: LakeTable, new: Sequence[str], missing: Sequence[str]) -> SchemaMismatch:
    parts = ([f"it has {_list(new)}, which the table lacks"] if new else []) + (
        [f"it lacks {_list(missing)}"] if missing else []
    )
    return SchemaMismatch(
        f"what was computed doesn't have the columns of table `{table.name}`: {'; '.join(parts)}",
        columns=(*new, *missing),
        hint="if this is meant, change the asset and `headrace apply`",
    )


def _evolved(table: LakeTable, target_columns: Sequence[tuple[str, Type]]) -> LakeTable:
    """Keep columns of the same name, in a type that holds the new values.

    That is the column's own type where it is the wider one. Published values are carried into
    another type when the change is published (`carried`).
    """
    gives = {name.lower(): (name, kind) for name, kind in target_columns}
    lake_columns, next_id = [table.columns[0]], table.next_id
    for column in table.columns[1:]:
        name, kind = gives.get(column.name.lower(), ("", None))
        if kind is None:
            continue
        was = parse(column.type)
        if kind == was or widens(kind, was) or widens_where_exact(kind, was):
            lake_columns.append(msgspec.structs.replace(column, name=name))
            continue
        inner = tuple(range(next_id, next_id + field_count(kind) - 1))
        next_id += len(inner)
        lake_columns.append(LakeColumn(name, kind.text, column.id, inner))
    have = {column.name.lower() for column in lake_columns}
    columns = _numbered(
        lake_columns,
        [(name, kind) for name, kind in target_columns if name.lower() not in have],
        next_id,
    )
    return _changed(table, columns)


def _numbered(
    lake_columns: Sequence[LakeColumn], new: Sequence[tuple[str, Type]], first_id: int
) -> tuple[LakeColumn, ...]:
    columns, column_id = list(lake_columns), first_id
    for name, kind in new:
        columns.append(LakeColumn(name, kind.text, column_id))
        column_id += field_count(kind)
    return tuple(columns)


def cast_columns(query_columns: Given, table: LakeTable) -> list[str]:
    """Return the expressions that cast a query's columns to the table's, without `_partition`."""
    sources = {name.lower(): (name, text) for name, text in query_columns}
    results = []
    for number, column in enumerate(table.columns[1:], 1):
        name, source = sources[column.name.lower()]
        value = _cast(f"lossy-{number}", quote(name), source, parse(column.type))
        results.append(f"{value} AS {quote(column.name)}")
    return results


def carried(values: Mapping[int, tuple[str, str]], table: LakeTable) -> list[str]:
    """Return an expression for each of the table's columns, from published values.

    `values` has an SQL expression and its type by column id. A column without one is NULL. A value
    that would change raises an error (`carried_column`).
    """
    return [
        _cast(f"carried-{number}", *values.get(column.id, ("NULL", "NULL")), parse(column.type))
        for number, column in enumerate(table.columns)
    ]


def _cast(mark: str, value: str, source: str, target: Type) -> str:
    """Return the cast; one that could change values is checked for each value.

    A value that doesn't survive the cast there and back raises an error. `source` is DuckDB's own
    name of the type, so DuckDB can parse it.
    """
    if parse(source) == target:
        changed = NOT_IN_PARQUET.get(target.name)
        return value if changed is None else _checked(mark, changed.format(value), value)
    if _fits(parse(source), target):
        return f"CAST({value} AS {target.text})"
    if _no_field_in_common(parse(source), target):
        return _checked(mark, f"{value} IS NOT NULL", f"CAST(NULL AS {target.text})")
    there = f"TRY_CAST({value} AS {target.text})"
    return _checked(mark, f"TRY_CAST({there} AS {source}) IS DISTINCT FROM {value}", there)


def _checked(mark: str, lossy: str, value: str) -> str:
    return f"CASE WHEN {lossy} THEN error({literal(f'headrace-{mark}')}) ELSE {value} END"


def _no_field_in_common(source: Type, target: Type) -> bool:
    """Whether DuckDB refuses to write a cast, because a STRUCT in it keeps no field's name."""
    theirs = {name.lower(): kind for name, kind in target.fields}
    mine = {name.lower(): kind for name, kind in source.fields}
    return bool(mine and theirs and mine.keys().isdisjoint(theirs)) or any(
        _no_field_in_common(mine[name], theirs[name]) for name in mine.keys() & theirs
    )


def _fits(source: Type, target: Type) -> bool:
    """Whether `target` holds every value of `source`, so that no value needs a check."""
    if source.fields and target.fields:
        lists = {"ARRAY", "LIST"}
        alike = source.name == target.name or (
            {source.name, target.name} == lists and target.name == "LIST"
        )
        return (
            alike
            and [name for name, _ in source.fields] == [name for name, _ in target.fields]
            and all(
                _fits(was, now)
                for (_, was), (_, now) in zip(source.fields, target.fields, strict=True)
            )
        )
    return (
        source == target
        or source.name == "NULL"
        or widens(source, target)
        or (source.name, target.name) in _AS_TEXT
    )


def value_mismatch(message: str, table: LakeTable) -> ValueMismatch | None:
    """Return what an error of `cast_columns`, `carried` or `WRITTEN` says; None for others."""
    if (match := _LOSSY.fullmatch(message.strip())) is None:
        return None
    length = int(match[4] or 0)
    written, value = (match[5] or "")[:length], (match[5] or "")[length:]
    named = (
        column
        for number, column in enumerate(table.columns)
        if str(number) == match[2] or column.name.lower() == written.lower()
    )
    if (column := next(named, None)) is None:
        return None
    if match[1] == "carried":
        return ValueMismatch(
            f"column `{column.name}` of table `{table.name}` is to become {column.type}, and"
            " published values can't be written so without a change",
            column=column.name,
            kind=column.type,
            hint=(
                "recompute all that is published (`headrace backfill` with `--mode all` and the"
                " whole range), or give the column of the new type another name"
            ),
        )
    return ValueMismatch(
        f"column `{column.name}` of table `{table.name}` is {column.type}, which"
        f" {marked(shown(value)) if written else 'a computed value'} doesn't fit"
        f"{_LIMITS.get(column.type, '')}",
        column=column.name,
        kind=column.type,
        value=value,
        level=int(match[3] or 0),
        hint=(
            "cast it in the body, or change the table's type with `headrace apply`"
            f" (`{column.name}::{'DECIMAL(38,0)' if column.type == 'BIGINT' else '…'}`)"
        ),
    )


def _list(names: Sequence[str]) -> str:
    text = ", ".join(f"`{name}`" for name in names[:8])
    return text if len(names) <= 8 else f"{text} and {len(names) - 8} more"
