"""Masked columns in DuckDB: each mask is an expression, so that a query sees masked values only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace.lake.masks import ORDER, ColumnMask, MaskFunction, failure
from headrace.lake.sqltext import quote, relation_sql
from headrace.lake.tables import PARTITION_COLUMN, FileRef, LakeColumn

if TYPE_CHECKING:
    import duckdb

REMEMBERED_VALUES_MAX = 1 << 17
"""Distinct values of a column whose results a reader remembers at a time."""
REPEATED_VALUES_MIN = 0.1
"""Part of the values that must be repeated, or remembering them takes longer than it saves."""


def masked_relation(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[FileRef],
    columns: Sequence[LakeColumn],
    masks: Mapping[str, ColumnMask],
    *,
    with_partition: bool = False,
) -> str:
    """Return `relation_sql` with masked columns; `masks` has names in lower case.

    The functions of the masks are registered in the connection.
    """
    used = [masks[name] for column in columns if (name := column.name.lower()) in masks]
    if not used and ORDER not in masks:
        return relation_sql(files, columns, with_partition=with_partition)
    read = {column.name.lower(): column for column in columns}
    for mask in used:
        read = {column.name.lower(): column for column in mask.needs} | read
    inner = relation_sql(files, list(read.values()), with_partition=True)
    selected = [column for column in columns if column.name != PARTITION_COLUMN]
    if with_partition:
        selected.insert(0, LakeColumn(PARTITION_COLUMN, "VARCHAR", 0))
    return masked_query(connection, inner, selected, masks, by=f"{quote(PARTITION_COLUMN)}, ")


def masked_query(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    columns: Sequence[LakeColumn],
    masks: Mapping[str, ColumnMask],
    *,
    by: str = "",
) -> str:
    """Return a query over another one's clear rows, with masked columns.

    If the masks have ORDER, rows are sorted: first `by` other columns, then by those selected. The
    functions of the masks are registered in the connection.
    """
    selected = []
    for column in columns:
        mask = masks.get(column.name.lower())
        if mask is not None:
            _register(connection, mask)
        selected.append(_selected(column, mask))
    places = ", ".join(map(str, range(1, len(selected) + 1)))
    order = f" ORDER BY {by}{places}" if ORDER in masks else ""
    return f"SELECT {', '.join(selected)} FROM ({query}) AS clear{order}"


def _selected(column: LakeColumn, mask: ColumnMask | None) -> str:
    name = quote(column.name)
    return name if mask is None else f"{mask.expression} AS {name}"


def _register(connection: duckdb.DuckDBPyConnection, mask: ColumnMask) -> None:
    import duckdb
    from duckdb.func import PythonUDFType

    function = mask.function
    if function is None:
        return
    with contextlib.suppress(duckdb.NotImplementedException):  # it is registered already
        connection.create_function(
            function.name,
            _vectorised(function),
            [duckdb.sqltype("VARCHAR")],
            duckdb.sqltype(function.type),
            type=PythonUDFType.ARROW,
        )


def unregister(connection: duckdb.DuckDBPyConnection, masks: Iterable[ColumnMask]) -> None:
    """Remove the functions of masks, with the values that they remember."""
    import duckdb

    for mask in masks:
        if mask.function is not None:
            with contextlib.suppress(duckdb.Error):  # no query has used it yet
                connection.remove_function(mask.function.name)


def _vectorised(function: MaskFunction) -> Callable[[Any], Any]:
    """Return the function for arrays. A value that many rows have is masked once, or seldom."""
    import pyarrow as pa

    results = _Results(function.of)
    kind = pa.string() if function.type == "VARCHAR" else pa.int32()

    def masked(values: Any) -> Any:
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        encoded = array.dictionary_encode()
        try:
            distinct = results.of(encoded.dictionary.cast(pa.binary()).to_pylist())
        except Exception:  # noqa: BLE001 - whatever it is, the value must not be in the message
            raise ValueError(failure(function.column)) from None
        return pa.array(distinct, kind).take(encoded.indices)

    return masked


class _Results:
    """The results of a function, which it remembers as long as values are repeated.

    DuckDB's threads call it in turn: each works with the dictionary that it began with.
    """

    def __init__(self, function: Callable[[Sequence[bytes]], Sequence[Any]]) -> None:
        self._function = function
        self._known: dict[bytes, Any] = {}
        self._asked, self._computed = 0, 0
        self._remembers = True

    def of(self, values: Sequence[bytes]) -> Sequence[Any]:
        """Return the results of distinct values."""
        if not self._remembers:
            return self._function(values)
        results = list(map(self._known.get, values))
        self._asked += len(values)
        if None not in results:
            return results
        new = [value for value, result in zip(values, results, strict=True) if result is None]
        computed = dict(zip(new, self._function(new), strict=True))
        self._remember(computed)
        return [
            computed[value] if result is None else result
            for value, result in zip(values, results, strict=True)
        ]

    def _remember(self, computed: Mapping[bytes, Any]) -> None:
        self._computed += len(computed)
        if len(self._known) + len(computed) > REMEMBERED_VALUES_MAX:
            self._remembers = self._computed <= self._asked * (1 - REPEATED_VALUES_MIN)
            self._known, self._asked, self._computed = {}, 0, 0
        if self._remembers:
            self._known.update(computed)
