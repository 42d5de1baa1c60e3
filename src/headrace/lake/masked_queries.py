"""Masked columns in DuckDB: each mask is an expression, so that a query sees masked values only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace.lake.masks import ColumnMask, MaskFunction, failure
from headrace.lake.sqltext import quote, relation_sql
from headrace.lake.tables import PARTITION_COLUMN, FileRef, LakeColumn

if TYPE_CHECKING:
    import duckdb

CACHED_VALUES_MAX = 1_000_000
"""Distinct values of a column whose tokens a reader remembers."""


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
    if not used:
        return relation_sql(files, columns, with_partition=with_partition)
    read = {column.name.lower(): column for column in columns}
    for mask in used:
        read = {column.name.lower(): column for column in mask.needs} | read
    inner = relation_sql(files, list(read.values()), with_partition=with_partition)
    selected = [column for column in columns if column.name != PARTITION_COLUMN]
    if with_partition:
        selected.insert(0, LakeColumn(PARTITION_COLUMN, "VARCHAR", 0))
    return masked_query(connection, inner, selected, masks)


def masked_query(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    columns: Sequence[LakeColumn],
    masks: Mapping[str, ColumnMask],
) -> str:
    """Return a query over another one's clear rows, with masked columns.

    The functions of the masks are registered in the connection.
    """
    selected = []
    for column in columns:
        mask = masks.get(column.name.lower())
        if mask is not None:
            _register(connection, mask)
        selected.append(_selected(column, mask))
    return f"SELECT {', '.join(selected)} FROM ({query}) AS clear"


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
    """Return the function for arrays. Each distinct value is masked once."""
    import pyarrow as pa

    known: dict[str, Any] = {}
    kind = pa.string() if function.type == "VARCHAR" else pa.int32()

    def masked(values: Any) -> Any:
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        encoded = array.dictionary_encode()
        try:
            results = [_cached(known, function.of, text) for text in encoded.dictionary.to_pylist()]
        except Exception:  # noqa: BLE001 - whatever it is, the value must not be in the message
            raise ValueError(failure(function.column)) from None
        return pa.array(results, kind).take(encoded.indices)

    return masked


def _cached(known: dict[str, Any], of: Callable[[str], Any], text: str) -> Any:
    result = known.get(text)
    if result is None:
        if len(known) >= CACHED_VALUES_MAX:
            known.clear()
        result = known[text] = of(text)
    return result
