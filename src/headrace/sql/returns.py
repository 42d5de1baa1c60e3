"""What DuckDB's functions return where that depends on what they get. What isn't here and isn't in the table is UNKNOWN."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headrace.sql.catalogue import RETURNS
from headrace.sql.types import (
    NULL,
    TIMESTAMPTZ,
    element,
    is_decimal,
    is_integer,
    is_number,
    is_time,
    settled,
    unify,
    widest_integer,
)
from headrace.sql.values import UNKNOWN

Rule = Callable[[Sequence[str]], str]


def return_type(name: str, arguments: Sequence[str]) -> str:
    """The type of `name(arguments)`; types of arguments in the order in which they are written."""
    rule = _RULES.get(name)
    if rule is not None:
        return UNKNOWN if not arguments or (NULL in arguments and rule is not _unified) else rule(arguments)
    return RETURNS.get(name, UNKNOWN)


def _first(arguments: Sequence[str]) -> str:
    return settled(arguments[0])


def _list_of_first(arguments: Sequence[str]) -> str:
    return UNKNOWN if arguments[0] in (UNKNOWN, NULL) else f"{settled(arguments[0])}[]"


def _unified(arguments: Sequence[str]) -> str:
    result = arguments[0]
    for other in arguments[1:]:
        result = unify(result, other)
    return result


def _sum(arguments: Sequence[str]) -> str:
    kind = settled(arguments[0])
    if is_decimal(kind):
        return f"DECIMAL(38,{kind[:-1].split(',')[1]})"
    if kind in ("HUGEINT", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT"):
        return "HUGEINT"
    return "DOUBLE" if kind in ("FLOAT", "DOUBLE") else UNKNOWN


def _average(arguments: Sequence[str]) -> str:
    return "DOUBLE" if is_number(arguments[0]) else UNKNOWN


def _extreme(arguments: Sequence[str]) -> str:
    """`min(x)`, `max(x)`; with a count, a list."""
    return _first(arguments) if len(arguments) == 1 else _list_of_first(arguments)


def _at_extreme(arguments: Sequence[str]) -> str:
    """`arg_max(x, by)`; with a count, a list."""
    return _first(arguments) if len(arguments) == 2 else _list_of_first(arguments)


def _same_integer(arguments: Sequence[str]) -> str:
    if not all(is_integer(kind) for kind in arguments):
        return UNKNOWN
    result = arguments[0]
    for other in arguments[1:]:
        result = widest_integer(result, other)
    return settled(result)


def _absolute(arguments: Sequence[str]) -> str:
    return _first(arguments) if is_number(arguments[0]) else UNKNOWN


def _floor(arguments: Sequence[str]) -> str:
    kind = settled(arguments[0])
    if is_decimal(kind):
        return f"{kind.split(',')[0]},0)"
    return "FLOAT" if kind == "FLOAT" else "DOUBLE" if kind == "DOUBLE" or is_integer(kind) else UNKNOWN


def _round(arguments: Sequence[str]) -> str:
    """Decimals take the number of places into their type, which isn't followed here."""
    kind = settled(arguments[0])
    if is_decimal(kind):
        return f"{kind.split(',')[0]},0)" if len(arguments) == 1 else UNKNOWN
    return kind if is_number(kind) and kind[:1] != "U" else UNKNOWN


def _truncated(arguments: Sequence[str]) -> str:
    kind = next((kind for kind in arguments if is_time(kind) or kind == "INTERVAL"), UNKNOWN)
    return "TIMESTAMP" if kind == "DATE" else kind


def _bucket(arguments: Sequence[str]) -> str:
    return next((kind for kind in arguments if is_time(kind)), UNKNOWN)


def _date_add(arguments: Sequence[str]) -> str:
    kind = _bucket(arguments)
    return "TIMESTAMP" if kind == "DATE" and "INTERVAL" in arguments else UNKNOWN


def _zoned(arguments: Sequence[str]) -> str:
    kind = _bucket(arguments)
    return {"TIMESTAMP": TIMESTAMPTZ, "DATE": TIMESTAMPTZ, TIMESTAMPTZ: "TIMESTAMP"}.get(kind, UNKNOWN)


def _median(arguments: Sequence[str]) -> str:
    kind = settled(arguments[0])
    if is_integer(kind):
        return "DOUBLE"
    return kind if is_decimal(kind) or kind in ("FLOAT", "DOUBLE") else UNKNOWN


def _disc(arguments: Sequence[str]) -> str:
    return UNKNOWN if len(arguments) < 2 or not is_number(arguments[1]) else _first(arguments)


def _cont(arguments: Sequence[str]) -> str:
    return UNKNOWN if len(arguments) < 2 or not is_number(arguments[1]) else _median(arguments)


def _concatenated(arguments: Sequence[str]) -> str:
    return UNKNOWN if any(kind.endswith("[]") or kind in (UNKNOWN, "BLOB", "BIT") for kind in arguments) else "VARCHAR"


def _repeated(arguments: Sequence[str]) -> str:
    return "VARCHAR" if settled(arguments[0]) == "VARCHAR" else UNKNOWN


def _element(arguments: Sequence[str]) -> str:
    return element(arguments[0])


def _nullif(arguments: Sequence[str]) -> str:
    return settled(arguments[0])


def _epoch_ms(arguments: Sequence[str]) -> str:
    return "TIMESTAMP" if is_integer(arguments[0]) else "BIGINT" if is_time(arguments[0]) else UNKNOWN


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("sum",), _sum),
    **dict.fromkeys(("avg", "mean"), _average),
    **dict.fromkeys(("min", "max"), _extreme),
    **dict.fromkeys(("arg_min", "arg_max", "argmin", "argmax", "min_by", "max_by"), _at_extreme),
    **dict.fromkeys(("any_value", "first", "last", "arbitrary", "mode", "lag", "lead", "first_value", "last_value", "nth_value"), _first),
    **dict.fromkeys(("array_agg", "list"), _list_of_first),
    **dict.fromkeys(("list_sort", "list_distinct", "list_reverse", "list_filter", "array_sort", "array_distinct", "array_filter"), _first),
    **dict.fromkeys(("coalesce", "ifnull", "greatest", "least"), _unified),
    **dict.fromkeys(("mod", "xor"), _same_integer),
    **dict.fromkeys(("ceil", "ceiling", "floor"), _floor),
    **dict.fromkeys(("date_trunc", "datetrunc"), _truncated),
    **dict.fromkeys(("quantile_disc", "quantile", "percentile_disc"), _disc),
    **dict.fromkeys(("quantile_cont", "percentile_cont"), _cont),
    **dict.fromkeys(("array_extract", "list_extract", "list_element"), _element),
    "split_part": lambda _arguments: "VARCHAR",
    "repeat": _repeated,
    "abs": _absolute,
    "round": _round,
    "time_bucket": _bucket,
    "date_add": _date_add,
    "timezone": _zoned,
    "median": _median,
    "concat": _concatenated,
    "nullif": _nullif,
    "epoch_ms": _epoch_ms,
}
