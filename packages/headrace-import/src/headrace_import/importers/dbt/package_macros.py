"""Macros of dbt and dbt_utils that are pure text, written for DuckDB."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlglot import exp

from headrace_import.importers.dbt.dialects import DUCKDB, in_dialect
from headrace_import.importers.dbt.stars import star
from headrace_import.importers.dbt.templates import NotStatic
from headrace_import.importers.dbt.values import Star


def _key(columns: Sequence[str]) -> str:
    """`generate_surrogate_key`: as dbt_utils writes it, nulls and all."""
    return _hashed(columns, "_dbt_utils_surrogate_key_null_")


def _old_key(columns: Sequence[str], *more: str) -> str:
    """`surrogate_key` of dbt_utils before 1.0 (later ones stop there): nulls as empty texts."""
    return _hashed([columns, *more] if isinstance(columns, str) else [*columns, *more], "")


def _hashed(columns: Sequence[str], null: str) -> str:
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
    *,
    dialect: str,
) -> str:
    lines = []
    for value in values:
        literal = exp.Literal.string(str(value)).sql(dialect)
        name = f"{prefix}{value}{suffix}"
        quoted = exp.to_identifier(name, quoted=True).sql(dialect)
        label = quoted if quote_identifiers else _slugify(name)
        what = "distinct " if distinct else ""
        case = f"case when {column} {cmp} {literal} then {then_value} else {else_value} end"
        lines.append(f"{agg}({what}{case})" + (f" as {label}" if alias else ""))
    return ",\n    ".join(lines)


def _slugify(string: object) -> str:
    text = re.sub("[ -]+", "_", str(string or "").lower())
    text = re.sub("[^a-z0-9_]+", "", text)
    return f"_{text}" if text[:1].isdigit() else text


def _spine(datepart: str, start_date: str, end_date: str, *, dialect: str, stops: bool) -> str:
    """Return the query of `date_spine`: each period that begins between two dates.

    dbt counts the periods by `datediff`, so the last one may end after `end_date`. With `stops`, it
    stops where there is none.
    """
    part = _part(datepart)
    periods = _datediff(start_date, end_date, part, dialect=dialect)
    if stops:
        why = "date_spine: the end must come after the start"
        periods = f"case when {periods} > 0 then {periods} else error('{why}') end"
    return (
        f"select date_{part} from (\n"
        f"    select {_dateadd(part, 'n - 1', start_date)} as date_{part}\n"
        f"    from (select unnest(generate_series(1, {periods})) as n) as numbers\n"
        f") as periods where date_{part} <= {end_date}"
    )


def _date_spine(datepart: str, start_date: str, end_date: str, *, dialect: str) -> str:
    """`date_spine` of dbt itself: dbt-duckdb gives no rows where there is no period."""
    return _spine(datepart, start_date, end_date, dialect=dialect, stops=dialect != DUCKDB)


_QUALIFY = {"bigquery", "databricks", "redshift", "snowflake"}
"""Dialects for which dbt_utils takes the first row of a key, nulls or not."""


def _deduplicate(relation: object, partition_by: str, order_by: str, *, dialect: str) -> str:
    """`deduplicate`, by dialect: the default joins each row to itself, so rows with nulls go."""
    number = f"row_number() over (partition by {partition_by} order by {order_by})"
    if dialect in _QUALIFY:
        return f"select * from {relation} as tt\nqualify {number} = 1"
    if dialect == "postgres":
        return (
            f"select distinct on ({partition_by}) * from {relation}\n"
            f"order by {partition_by}, {order_by}"
        )
    return (
        "with row_numbered as (\n"
        f"    select _inner.*, {number} as rn from {relation} as _inner\n"
        ")\n"
        f"select distinct data.* from {relation} as data\n"
        "natural join row_numbered where row_numbered.rn = 1"
    )


def _generate_series(upper_bound: object) -> str:
    """`generate_series` of dbt_utils, which adds up powers of two: its numbers are doubles."""
    if isinstance(upper_bound, bool) or not isinstance(upper_bound, int) or upper_bound <= 0:
        raise NotStatic("`dbt_utils.generate_series` needs a positive number")
    numbers = f"unnest(generate_series(1, {upper_bound}))"
    return f"select cast({numbers} as double) as generated_number"


def _added(sign: str, fields: Sequence[str]) -> str:
    """`safe_add` and `safe_subtract`: nulls count as zero."""
    if not isinstance(fields, list | tuple):
        raise NotStatic("`dbt_utils.safe_add` and `safe_subtract` need a list of fields")
    return sign.join(f"coalesce({field}, 0)" for field in fields)


def _refused(name: str, why: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> str:
        raise NotStatic(f"`{name}` {why}")

    return refuse


_QUERIES = "asks the warehouse when dbt runs"

_UTILS: dict[str, Callable[..., Any]] = {
    "generate_surrogate_key": _key,
    "group_by": _group_by,
    "pivot": _pivot,
    "date_spine": partial(_spine, stops=True),
    "deduplicate": _deduplicate,
    "safe_divide": lambda numerator, denominator: f"({numerator}) / nullif(({denominator}), 0)",
    "safe_add": lambda field_list: _added(" + ", field_list),
    "safe_subtract": lambda field_list: _added(" - ", field_list),
    "generate_series": _generate_series,
    "slugify": _slugify,
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


def _datediff(first_date: str, second_date: str, datepart: str, *, dialect: str) -> str:
    part = _part(datepart)
    first, second = f"cast({first_date} as timestamp)", f"cast({second_date} as timestamp)"
    if part != "week":
        return f"date_diff('{part}', {first}, {second})"
    if dialect != DUCKDB:
        raise NotStatic("`dbt.datediff` in weeks begins them on another day by warehouse")
    return (
        f"(date_diff('day', {first}, {second}) // 7 + case"
        f" when date_part('dow', {first}) <= date_part('dow', {second})"
        f" then case when {first_date} <= {second_date} then 0 else -1 end"
        f" else case when {first_date} <= {second_date} then 1 else 0 end end)"
    )


def _part(name: str) -> str:
    part = str(name).strip("'\"").lower()
    if not part.isidentifier():
        raise NotStatic("a date part isn't a word")
    return part


def _split_part(string_text: str, delimiter_text: str, part_number: int, *, dialect: str) -> str:
    if dialect == DUCKDB:  # null for a part that isn't there, where split_part gives an empty text
        return f"string_split({string_text}, {delimiter_text})[{part_number}]"
    if dialect not in ("postgres", "redshift", "snowflake"):
        raise NotStatic("`dbt.split_part` gives another value by warehouse for a missing part")
    return f"split_part({string_text}, {delimiter_text}, {part_number})"


_CASTS = {
    DUCKDB: "cast",
    "postgres": "cast",
    "redshift": "cast",
    "bigquery": "try_cast",
    "snowflake": "try_cast",
}


def _safe_cast(field: str, type: str, *, dialect: str) -> str:  # noqa: A002 (dbt's name)
    """`dbt.safe_cast`: most adapters write a plain cast, which fails where this gives null."""
    if dialect not in _CASTS:
        raise NotStatic("whether `dbt.safe_cast` gives null or fails depends on the warehouse")
    return f"{_CASTS[dialect]}({field} as {type})"


def _any_value(expression: str, *, dialect: str) -> str:
    """`dbt.any_value`: that of dbt-duckdb may be a null."""
    return f"{'arbitrary' if dialect == DUCKDB else 'any_value'}({expression})"


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
    "any_value": _any_value,
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

_BY_DIALECT = frozenset(
    (_pivot, _deduplicate, _date_spine, _datediff, _split_part, _safe_cast, _any_value)
)
"""Macros that are another query in another dialect."""
_AS_WRITTEN = frozenset(
    (
        *("pivot", "deduplicate", "safe_divide", "safe_add", "safe_subtract"),
        *("slugify", "group_by", "cast", "safe_cast"),
    )
)
"""Macros whose text is that of dbt, in the dialect of the model."""


def packages(dialect: str) -> dict[str, dict[str, Callable[..., Any]]]:
    """Return package → its macros that are known: each returns text, or raises NotStatic.

    `dialect` is that of the models that call them.
    """
    return {
        package: {name: _in_models(name, call, dialect) for name, call in macros.items()}
        for package, macros in (("dbt", _DBT), ("dbt_utils", _UTILS))
    }


def _in_models(name: str, macro: Callable[..., Any], dialect: str) -> Callable[..., Any]:
    known = dialect or DUCKDB
    options = {"dialect": known} if macro in _BY_DIALECT or isinstance(macro, partial) else {}

    def call(*args: Any, **kwargs: Any) -> Any:
        value = macro(*args, **kwargs, **options)
        if name in _AS_WRITTEN or isinstance(value, Star):
            return value
        return in_dialect(value, dialect)

    return call
