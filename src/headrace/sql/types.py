"""DuckDB's types as text, how operators and branches combine them, and what functions return.

A type is DuckDB's own name for it (`DECIMAL(18,3)`, `INTEGER[]`). Two forms exist only inside an
expression: `#5`, an integer literal that adopts the width of its operand, and `'`, a string literal
that adopts its operand's type. `settled` turns them into the type of a column. `UNKNOWN` combines
to `UNKNOWN`: never a wrong type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib.resources import files

from sqlglot import exp
from sqlglot.errors import ParseError

from headrace.sql.values import UNKNOWN, canonical_type

# Types, and their combination by operators and branches.

NULL = "NULL"
STRING_LITERAL = "'"
TIMESTAMPTZ = "TIMESTAMP WITH TIME ZONE"

_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_UNSIGNED = ("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT")
_BITS = {
    **{name: 8 << i for i, name in enumerate(_SIGNED)},
    **{name: 8 << i for i, name in enumerate(_UNSIGNED)},
}
_DECIMAL_DIGITS = {
    "TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "HUGEINT": 38,
    "UTINYINT": 3, "USMALLINT": 5, "UINTEGER": 10, "UBIGINT": 20, "UHUGEINT": 38,
}  # fmt: skip
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_TIMES = {"DATE": 0, "TIMESTAMP": 1, TIMESTAMPTZ: 2}

_NAMES = {
    "TINYINT": "TINYINT",
    "SMALLINT": "SMALLINT",
    "INT": "INTEGER",
    "BIGINT": "BIGINT",
    "INT128": "HUGEINT",
    "UTINYINT": "UTINYINT",
    "USMALLINT": "USMALLINT",
    "UINT": "UINTEGER",
    "UBIGINT": "UBIGINT",
    "UINT128": "UHUGEINT",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "TEXT": "VARCHAR",
    "VARCHAR": "VARCHAR",
    "CHAR": "VARCHAR",
    "VARBINARY": "BLOB",
    "BLOB": "BLOB",
    "BIT": "BIT",
    "DATE": "DATE",
    "TIME": "TIME",
    "TIMETZ": "TIME WITH TIME ZONE",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMPNTZ": "TIMESTAMP",
    "TIMESTAMPTZ": TIMESTAMPTZ,
    "TIMESTAMP_S": "TIMESTAMP_S",
    "TIMESTAMP_MS": "TIMESTAMP_MS",
    "TIMESTAMP_NS": "TIMESTAMP_NS",
    "INTERVAL": "INTERVAL",
    "UUID": "UUID",
    "JSON": "JSON",
}


def is_integer(type_: str) -> bool:
    """Return whether a type is an integer type; literals count."""
    return type_ in _BITS or type_[:1] == "#"


def is_decimal(type_: str) -> bool:
    """Return whether a type is DECIMAL with its width and scale."""
    return type_.startswith("DECIMAL(") and type_.endswith(")")


def is_number(type_: str) -> bool:
    """Return whether arithmetic accepts a type as a number."""
    return is_integer(type_) or is_decimal(type_) or type_ in ("FLOAT", "DOUBLE")


def is_time(type_: str) -> bool:
    """Return whether values of a type lie in intervals of time.

    These types are DATE, TIMESTAMP and TIMESTAMP WITH TIME ZONE.
    """
    return type_ in _TIMES


def settled(type_: str) -> str:
    """Return the type of a column: literals get their own type, a bare NULL is an INTEGER."""
    if type_[:1] == "#":
        return _literal_width(int(type_[1:]))
    if type_ == STRING_LITERAL:
        return "VARCHAR"
    return "INTEGER" if type_ == NULL else type_


def _literal_width(value: int) -> str:
    for name in ("INTEGER", "BIGINT", "HUGEINT"):
        if -(1 << (_BITS[name] - 1)) <= value < 1 << (_BITS[name] - 1):
            return name
    return "UHUGEINT" if 0 <= value < 1 << 128 else "DOUBLE"


def unify(left: str, right: str) -> str:  # complexipy: ignore (a case per pair of types)
    """Return the common type of two branches, as in CASE, COALESCE or UNION."""
    if left == right:
        return left if left[:1] != "#" else settled(left)
    if UNKNOWN in (left, right):
        return UNKNOWN
    if NULL in (left, right):
        return right if left == NULL else left
    if STRING_LITERAL in (left, right):
        other = right if left == STRING_LITERAL else left
        return UNKNOWN if other[:1] == "#" or "(" in other or other.endswith("]") else other
    if is_number(left) and is_number(right):
        return _unify_numbers(left, right)
    if left in _TIMES and right in _TIMES:
        return max(left, right, key=_TIMES.__getitem__)
    return UNKNOWN


def _unify_numbers(left: str, right: str) -> str:
    if "DOUBLE" in (left, right):
        return "DOUBLE"
    if "FLOAT" in (left, right):
        return "FLOAT"
    if is_decimal(left) or is_decimal(right):
        (p1, s1), (p2, s2) = _digits(left), _digits(right)
        scale = max(s1, s2)
        width = max(p1 - s1, p2 - s2) + scale
        return f"DECIMAL({width},{scale})" if width <= 38 else UNKNOWN
    return widest_integer(left, right)


def widest_integer(left: str, right: str) -> str:  # complexipy: ignore (a case per pair)
    """Return the integer type that holds both; a literal adopts the other type if it fits."""
    if left[:1] == "#" and right[:1] == "#":
        return widest_integer(settled(left), settled(right))
    if left[:1] == "#" or right[:1] == "#":
        literal, other = (left, right) if left[:1] == "#" else (right, left)
        return other if _fits(int(literal[1:]), other) else widest_integer(settled(literal), other)
    if (left in _SIGNED) == (right in _SIGNED):
        return left if _BITS[left] >= _BITS[right] else right
    signed, unsigned = (left, right) if left in _SIGNED else (right, left)
    bits = max(_BITS[signed], _BITS[unsigned] * 2)
    return next((name for name in _SIGNED if _BITS[name] >= bits), "DOUBLE")


def _fits(value: int, type_: str) -> bool:
    bits = _BITS[type_]
    return (
        -(1 << (bits - 1)) <= value < 1 << (bits - 1)
        if type_ in _SIGNED
        else 0 <= value < 1 << bits
    )


def _digits(type_: str) -> tuple[int, int]:
    """Return the width and the scale of a number type as a decimal."""
    match = _DECIMAL.fullmatch(type_)
    return (int(match[1]), int(match[2])) if match else (_DECIMAL_DIGITS[settled(type_)], 0)


def arithmetic(operator: str, left: str, right: str) -> str:
    """Return the type of `left operator right` for `+ - * / // %`."""
    if NULL in (left, right) or UNKNOWN in (left, right):
        return UNKNOWN
    if is_number(left) and is_number(right):
        return _numbers(operator, left, right)
    if operator in "+-":
        return _with_times(operator, left, right)
    if operator == "*" and "INTERVAL" in (left, right) and (is_integer(left) or is_integer(right)):
        return "INTERVAL"
    return UNKNOWN


def _numbers(operator: str, left: str, right: str) -> str:
    if operator == "/":
        return "FLOAT" if "FLOAT" in (left, right) and "DOUBLE" not in (left, right) else "DOUBLE"
    if "DOUBLE" in (left, right) or "FLOAT" in (left, right):
        if operator == "//":
            return UNKNOWN
        return "DOUBLE" if "DOUBLE" in (left, right) else "FLOAT"
    if is_decimal(left) or is_decimal(right):
        return _decimals(operator, left, right)
    return widest_integer(left, right)


def _decimals(operator: str, left: str, right: str) -> str:
    (p1, s1), (p2, s2) = _digits(left), _digits(right)
    if operator == "*":
        width, scale = p1 + p2, s1 + s2
    elif operator in "+-":
        scale = max(s1, s2)
        width = min(max(p1 - s1, p2 - s2) + scale + 1, 38)
    elif operator == "%":
        scale = max(s1, s2)
        width = max(p1 - s1, p2 - s2) + scale
    else:
        return UNKNOWN
    if p1 <= 18 and p2 <= 18 and operator != "%":
        width = min(width, 18)
    return f"DECIMAL({width},{scale})" if scale <= width <= 38 else UNKNOWN


def _with_times(operator: str, left: str, right: str) -> str:
    if operator == "+" and (left == "INTERVAL" or is_integer(left)):
        left, right = right, left
    if right == "INTERVAL":
        return {
            "DATE": "TIMESTAMP",
            "TIMESTAMP": "TIMESTAMP",
            TIMESTAMPTZ: TIMESTAMPTZ,
            "INTERVAL": "INTERVAL",
            "TIME": "TIME",
        }.get(left, UNKNOWN)
    if (
        left == "DATE"
        and is_integer(right)
        and settled(right) in ("TINYINT", "SMALLINT", "INTEGER")
    ):
        return "DATE"
    if operator == "-" and left == right == "DATE":
        return "BIGINT"
    if operator == "-" and left == right and left in _TIMES:
        return "INTERVAL"
    return UNKNOWN


def of_datatype(target: exp.Expr | None) -> str:
    """Return DuckDB's name for the type in a cast; `UNKNOWN` for user-defined types."""
    if not isinstance(target, exp.DataType):
        return UNKNOWN
    kind = target.this.name if isinstance(target.this, exp.DType) else ""
    if kind == "DECIMAL":
        return _decimal_type(target)
    if kind in ("ARRAY", "LIST"):
        return _list_type(target)
    return _NAMES.get(kind, UNKNOWN)


def _decimal_type(target: exp.DataType) -> str:
    digits = [parameter.name for parameter in target.expressions]
    if not digits:
        return "DECIMAL(18,3)"
    if not all(text.isdigit() for text in digits):
        return UNKNOWN
    return f"DECIMAL({digits[0]},{digits[1] if len(digits) > 1 else 0})"


def _list_type(target: exp.DataType) -> str:
    inner = of_datatype(target.expressions[0]) if target.expressions else UNKNOWN
    return f"{inner}[]" if inner != UNKNOWN and target.args.get("values") is None else UNKNOWN


def unknown_in(text: str) -> str:
    """Return what in a declared type is none that columns have; empty if nothing is."""
    if canonical_type(text) != UNKNOWN:
        return ""
    try:
        declared = exp.DataType.build(text, dialect="duckdb")
    except ParseError:
        return text
    if declared.this not in exp.DataType.NESTED_TYPES:
        return text
    parts = (
        part
        for part in declared.find_all(exp.DataType)
        if part.this not in exp.DataType.NESTED_TYPES
    )
    return next(
        (name for part in parts if canonical_type(name := part.sql("duckdb")) == UNKNOWN), ""
    )


def element(type_: str) -> str:
    """Return the type of a list's elements."""
    return type_[:-2] if type_.endswith("[]") else UNKNOWN


def struct_fields(type_: str) -> list[tuple[str, str]] | None:
    """Return the fields of a STRUCT in order; None for other types."""
    if not (type_.startswith("STRUCT(") and type_.endswith(")")):
        return None
    fields = [_field(part) for part in _split(type_[7:-1])]
    return None if None in fields else [field for field in fields if field is not None]


def _split(text: str) -> list[str]:
    parts: list[str] = []
    depth, quoted, start = 0, False, 0
    for at, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "([":
            depth += 1
        elif not quoted and character in ")]":
            depth -= 1
        elif not quoted and depth == 0 and character == ",":
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]


def _field(text: str) -> tuple[str, str] | None:
    match = re.fullmatch(r'(?:"((?:[^"]|"")+)"|(\w+)) (.+)', text, re.DOTALL)
    if not match:
        return None
    return (match[1].replace('""', '"') if match[1] else match[2]), match[3]


# Names of DuckDB's functions: aggregates, volatile functions, and functions with one return type
# for all arguments.

_EXTRA_VOLATILE = {
    "current_timestamp",
    "current_time",
    "localtime",
    "localtimestamp",
    "current_localtime",
    "current_localtimestamp",
    "rand",
}
_DEPENDS_ON_CONSTANTS = {"strptime", "try_strptime"}
"""Functions to which the table gives one type, although a format with a zone gives another."""


def _load_functions() -> tuple[dict[str, str], frozenset[str], frozenset[str], frozenset[str]]:
    returns: dict[str, str] = {}
    known: set[str] = set()
    aggregates: set[str] = set()
    volatile: set[str] = set(_EXTRA_VOLATILE)
    for line in (
        files("headrace.sql").joinpath("functions.txt").read_text(encoding="utf-8").splitlines()
    ):
        if line.startswith("#"):
            continue
        name, kind, result = line.split("|")
        known.add(name)
        if result != "?" and name not in _DEPENDS_ON_CONSTANTS:
            returns[name] = result
        if kind.startswith("aggregate"):
            aggregates.add(name)
        if kind.endswith("volatile"):
            volatile.add(name)
    return returns, frozenset(known), frozenset(aggregates), frozenset(volatile)


RETURN_TYPES, _KNOWN_FUNCTIONS, AGGREGATES, VOLATILE = _load_functions()


def is_known_function(name: str) -> bool:
    """Return whether DuckDB has a function with that lower-case name."""
    return name in _KNOWN_FUNCTIONS


def function_name(node: exp.Func, sql: str) -> str:
    """Return a function's name as written in `sql`, lower-case; sqlglot may use another name."""
    start, end = node.meta.get("start"), node.meta.get("end")
    if start is not None and end is not None:
        return sql[start : end + 1].strip('"').lower()
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    return node.sql_name().lower()


# Return types that depend on the arguments. A function that is neither here nor in the catalogue
# returns `UNKNOWN`.

Rule = Callable[[Sequence[str]], str]


def return_type(name: str, arguments: Sequence[str]) -> str:
    """Return the type of `name(arguments)`; the arguments' types are in the order of the call."""
    rule = _RETURN_RULES.get(name)
    if rule is not None:
        return (
            UNKNOWN
            if not arguments or (NULL in arguments and rule is not _unified)
            else rule(arguments)
        )
    return RETURN_TYPES.get(name, UNKNOWN)


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
    """Return the type of `min(x)` or `max(x)`; with a count, a list."""
    return _first(arguments) if len(arguments) == 1 else _list_of_first(arguments)


def _at_extreme(arguments: Sequence[str]) -> str:
    """Return the type of `arg_max(x, by)`; with a count, a list."""
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
    return (
        "FLOAT"
        if kind == "FLOAT"
        else "DOUBLE"
        if kind == "DOUBLE" or is_integer(kind)
        else UNKNOWN
    )


def _round(arguments: Sequence[str]) -> str:
    """Return the type of `round(x)`.

    For a decimal with a number of places it is `UNKNOWN`: that number isn't followed here.
    """
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
    return {"TIMESTAMP": TIMESTAMPTZ, "DATE": TIMESTAMPTZ, TIMESTAMPTZ: "TIMESTAMP"}.get(
        kind, UNKNOWN
    )


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
    return (
        UNKNOWN
        if any(kind.endswith("[]") or kind in (UNKNOWN, "BLOB", "BIT") for kind in arguments)
        else "VARCHAR"
    )


def _repeated(arguments: Sequence[str]) -> str:
    return "VARCHAR" if settled(arguments[0]) == "VARCHAR" else UNKNOWN


def _element(arguments: Sequence[str]) -> str:
    return element(arguments[0])


def _nullif(arguments: Sequence[str]) -> str:
    return settled(arguments[0])


def _epoch_ms(arguments: Sequence[str]) -> str:
    return (
        "TIMESTAMP" if is_integer(arguments[0]) else "BIGINT" if is_time(arguments[0]) else UNKNOWN
    )


_RETURN_RULES: dict[str, Rule] = {
    **dict.fromkeys(("sum",), _sum),
    **dict.fromkeys(("avg", "mean"), _average),
    **dict.fromkeys(("min", "max"), _extreme),
    **dict.fromkeys(("arg_min", "arg_max", "argmin", "argmax", "min_by", "max_by"), _at_extreme),
    **dict.fromkeys(
        (
            "any_value",
            "first",
            "last",
            "arbitrary",
            "mode",
            "lag",
            "lead",
            "first_value",
            "last_value",
            "nth_value",
        ),
        _first,
    ),
    **dict.fromkeys(("array_agg", "list"), _list_of_first),
    **dict.fromkeys(
        (
            "list_sort",
            "list_distinct",
            "list_reverse",
            "list_filter",
            "array_sort",
            "array_distinct",
            "array_filter",
        ),
        _first,
    ),
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
