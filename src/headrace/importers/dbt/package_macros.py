"""Macros of dbt and dbt_utils that are pure text, written for DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headrace.importers.dbt.stars import star
from headrace.importers.dbt.templates import NotStatic


def _key(columns: Sequence[str]) -> str:
    """`generate_surrogate_key`: as dbt_utils writes it, nulls and all."""
    return _hashed(columns, "_dbt_utils_surrogate_key_null_")


def _old_key(columns: Sequence[str], *more: str) -> str:
    """`surrogate_key` of dbt_utils before 1.0 (later ones stop there): nulls as empty texts."""
    return _hashed([columns, *more] if isinstance(columns, str) else [*columns, *more], "")


def _hashed(columns: Sequence[str], null: str) -> str:
    if isinstance(columns, str):
        columns = [columns]
    parts = [f"coalesce(cast({column} as varchar), '{null}')" for column in columns]
    joined = " || '-' || ".join(parts)
    return f"md5(cast({joined} as varchar))"


def _group_by(n: int) -> str:
    return "group by " + ", ".join(str(i) for i in range(1, int(n) + 1))


def _pivot(  # noqa: PLR0913, PLR0917 (the arguments of dbt_utils)
    column: str,
    values: Sequence[object],
    alias: bool = True,
    agg: str = "sum",
    cmp: str = "=",
    prefix: str = "",
    suffix: str = "",
    then_value: object = 1,
    else_value: object = 0,
    quote_identifiers: bool = True,
    distinct: bool = False,
) -> str:
    lines = []
    for value in values:
        literal = str(value).replace("'", "''")
        name = f"{prefix}{value}{suffix}"
        quoted = '"' + name.replace('"', '""') + '"' if quote_identifiers else name
        what = "distinct " if distinct else ""
        case = f"case when {column} {cmp} '{literal}' then {then_value} else {else_value} end"
        lines.append(f"{agg}({what}{case})" + (f" as {quoted}" if alias else ""))
    return ",\n    ".join(lines)


def _date_spine(datepart: str, start_date: str, end_date: str) -> str:
    part = datepart.strip("'\"")
    return (
        f"select unnest(generate_series(cast({start_date} as timestamp),"
        f" cast({end_date} as timestamp) - interval 1 {part}, interval 1 {part})) as date_{part}"
    )


def _deduplicate(relation: object, partition_by: str, order_by: str) -> str:
    return (
        f"select * from {relation}\n"
        f"qualify row_number() over (partition by {partition_by} order by {order_by}) = 1"
    )


def _refused(name: str, why: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> str:
        raise NotStatic(f"`{name}` {why}")

    return refuse


_QUERIES = "asks the warehouse when dbt runs"

_UTILS: dict[str, Callable[..., Any]] = {
    "generate_surrogate_key": _key,
    "group_by": _group_by,
    "pivot": _pivot,
    "date_spine": _date_spine,
    "deduplicate": _deduplicate,
    "safe_divide": lambda numerator, denominator: f"({numerator}) / nullif(({denominator}), 0)",
    "safe_add": lambda fields: " + ".join(f"coalesce({field}, 0)" for field in fields),
    "safe_subtract": lambda fields: " - ".join(f"coalesce({field}, 0)" for field in fields),
    "generate_series": lambda upper_bound: (
        f"select unnest(generate_series(1, {upper_bound})) as generated_number"
    ),
    "slugify": lambda string: "".join(
        char if char.isalnum() or char == "_" else "_" for char in str(string).lower()
    ).strip(),
    "surrogate_key": _old_key,
    "star": star,
    **{
        name: _refused(f"dbt_utils.{name}", _QUERIES)
        for name in (
            "get_column_values",
            "union_relations",
            "unpivot",
            "get_query_results_as_dict",
            "get_relations_by_pattern",
            "get_relations_by_prefix",
            "get_filtered_columns_in_relation",
            "get_single_value",
        )
    },
}


def _date_trunc(datepart: str, date: str) -> str:
    return f"date_trunc('{_part(datepart)}', {date})"


def _dateadd(datepart: str, interval: object, from_date_or_timestamp: str) -> str:
    times, unit = {"quarter": (3, "month"), "week": (7, "day")}.get(
        _part(datepart), (1, _part(datepart))
    )
    factor = f" * {times}" if times > 1 else ""
    return f"({from_date_or_timestamp} + cast({interval} as bigint){factor} * interval 1 {unit})"


def _datediff(first_date: str, second_date: str, datepart: str) -> str:
    part = _part(datepart)
    if part == "week":
        raise NotStatic("`dbt.datediff` in weeks begins them on another day by warehouse")
    return f"date_diff('{part}', cast({first_date} as timestamp), cast({second_date} as timestamp))"


def _part(name: str) -> str:
    part = str(name).strip("'\"").lower()
    if not part.isidentifier():
        raise NotStatic("a date part isn't a word")
    return part


def _split_part(string_text: str, delimiter_text: str, part_number: int) -> str:
    return f"split_part({string_text}, {delimiter_text}, {part_number})"


def _safe_cast(field: str, type: str) -> str:  # noqa: A002 (dbt's name of the argument)
    return f"try_cast({field} as {type})"


def _cast(field: str, type: str) -> str:  # noqa: A002 (dbt's name of the argument)
    return f"cast({field} as {type})"


def _listagg(
    measure: str,
    delimiter_text: str = "','",
    order_by_clause: str | None = None,
    limit_num: int | None = None,
) -> str:
    if limit_num is not None:
        raise NotStatic("`dbt.listagg` with a limit isn't read")
    order = f" {order_by_clause}" if order_by_clause else ""
    return f"string_agg({measure}, {delimiter_text}{order})"


_DBT: dict[str, Callable[..., Any]] = {
    "date_trunc": _date_trunc,
    "dateadd": _dateadd,
    "datediff": _datediff,
    "last_day": lambda date, datepart: (
        f"cast(date_trunc('{_part(datepart)}', {date}) + interval 1 {_part(datepart)}"
        " - interval 1 day as date)"
    ),
    "safe_cast": _safe_cast,
    "cast": _cast,
    "concat": " || ".join,
    "hash": lambda field: f"md5(cast({field} as varchar))",
    "length": lambda expression: f"length({expression})",
    "position": lambda substring_text, string_text: f"position({substring_text} in {string_text})",
    "replace": lambda field, old_chars, new_chars: f"replace({field}, {old_chars}, {new_chars})",
    "right": lambda string_text, length_expression: f"right({string_text}, {length_expression})",
    "split_part": _split_part,
    "string_literal": lambda value: f"'{value}'",
    "escape_single_quotes": lambda expression: str(expression).replace("'", "''"),
    "except": lambda: "except",
    "intersect": lambda: "intersect",
    "any_value": lambda expression: f"any_value({expression})",
    "bool_or": lambda expression: f"bool_or({expression})",
    "listagg": _listagg,
    "current_timestamp": lambda: "current_timestamp",
    "type_string": lambda: "varchar",
    "type_int": lambda: "integer",
    "type_bigint": lambda: "bigint",
    "type_float": lambda: "float",
    "type_numeric": lambda: "numeric(28, 6)",
    "type_boolean": lambda: "boolean",
    "type_timestamp": lambda: "timestamp",
    "date_spine": _date_spine,
}

PACKAGES: dict[str, dict[str, Callable[..., Any]]] = {
    "dbt": _DBT,
    "dbt_utils": _UTILS,
}
"""Package → its macros that are known: each returns text, or raises NotStatic."""
