"""DuckDB's types as text, and the rules by which operators and branches combine them.

A type is DuckDB's own name for it (`DECIMAL(18,3)`, `INTEGER[]`). Two forms exist only inside an expression: `#5`,
an integer literal that takes on the width of what it meets, and `'`, a string literal that takes on its type.
`settled` turns them into what a column has. `UNKNOWN` combines to `UNKNOWN`: never a wrong type.
"""

from __future__ import annotations

import re

from sqlglot import exp

from headrace.sql.values import UNKNOWN

NULL = "NULL"
STRING_LITERAL = "'"
TIMESTAMPTZ = "TIMESTAMP WITH TIME ZONE"

_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_UNSIGNED = ("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT")
_BITS = {**{name: 8 << i for i, name in enumerate(_SIGNED)}, **{name: 8 << i for i, name in enumerate(_UNSIGNED)}}
_DECIMAL_DIGITS = {
    "TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "HUGEINT": 38,
    "UTINYINT": 3, "USMALLINT": 5, "UINTEGER": 10, "UBIGINT": 20, "UHUGEINT": 38,
}  # fmt: skip
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_TIMES = {"DATE": 0, "TIMESTAMP": 1, TIMESTAMPTZ: 2}

_NAMES = {
    "TINYINT": "TINYINT", "SMALLINT": "SMALLINT", "INT": "INTEGER", "BIGINT": "BIGINT", "INT128": "HUGEINT", "UTINYINT": "UTINYINT",
    "USMALLINT": "USMALLINT", "UINT": "UINTEGER", "UBIGINT": "UBIGINT", "UINT128": "UHUGEINT", "FLOAT": "FLOAT", "DOUBLE": "DOUBLE",
    "BOOLEAN": "BOOLEAN", "TEXT": "VARCHAR", "VARCHAR": "VARCHAR", "CHAR": "VARCHAR", "VARBINARY": "BLOB", "BLOB": "BLOB", "BIT": "BIT",
    "DATE": "DATE", "TIME": "TIME", "TIMETZ": "TIME WITH TIME ZONE", "TIMESTAMP": "TIMESTAMP", "TIMESTAMPNTZ": "TIMESTAMP",
    "TIMESTAMPTZ": TIMESTAMPTZ, "TIMESTAMP_S": "TIMESTAMP_S", "TIMESTAMP_MS": "TIMESTAMP_MS", "TIMESTAMP_NS": "TIMESTAMP_NS",
    "INTERVAL": "INTERVAL", "UUID": "UUID", "JSON": "JSON",
}  # fmt: skip


def is_integer(type_: str) -> bool:
    """Whole numbers, literals included."""
    return type_ in _BITS or type_[:1] == "#"


def is_decimal(type_: str) -> bool:
    """DECIMAL with its width and scale."""
    return type_.startswith("DECIMAL(") and type_.endswith(")")


def is_number(type_: str) -> bool:
    """What arithmetic takes."""
    return is_integer(type_) or is_decimal(type_) or type_ in ("FLOAT", "DOUBLE")


def is_time(type_: str) -> bool:
    """A type whose values belong to an interval of time: DATE, TIMESTAMP, TIMESTAMP WITH TIME ZONE."""
    return type_ in _TIMES


def settled(type_: str) -> str:
    """What a column of this type has: literals take on their own type, a bare NULL is an INTEGER."""
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


def unify(left: str, right: str) -> str:
    """The type of a branch, COALESCE or UNION over both."""
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


def widest_integer(left: str, right: str) -> str:
    """The integer type that holds both; a literal takes the other's type where it fits."""
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
    return -(1 << (bits - 1)) <= value < 1 << (bits - 1) if type_ in _SIGNED else 0 <= value < 1 << bits


def _digits(type_: str) -> tuple[int, int]:
    """Width and scale that a number has as a decimal."""
    match = _DECIMAL.fullmatch(type_)
    return (int(match[1]), int(match[2])) if match else (_DECIMAL_DIGITS[settled(type_)], 0)


def arithmetic(operator: str, left: str, right: str) -> str:
    """The type of `left operator right` for `+ - * / // %`."""
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
        return ("DOUBLE" if "DOUBLE" in (left, right) else "FLOAT") if operator != "//" else UNKNOWN
    if is_decimal(left) or is_decimal(right):
        return _decimals(operator, left, right)
    return widest_integer(left, right)


def _decimals(operator: str, left: str, right: str) -> str:
    (p1, s1), (p2, s2) = _digits(left), _digits(right)
    if operator == "*":
        width, scale = p1 + p2, s1 + s2
    elif operator in "+-":
        scale = max(s1, s2)
        width = max(p1 - s1, p2 - s2) + scale + 1
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
        return {"DATE": "TIMESTAMP", "TIMESTAMP": "TIMESTAMP", TIMESTAMPTZ: TIMESTAMPTZ, "INTERVAL": "INTERVAL", "TIME": "TIME"}.get(
            left, UNKNOWN
        )
    if left == "DATE" and is_integer(right) and settled(right) in ("TINYINT", "SMALLINT", "INTEGER"):
        return "DATE"
    if operator == "-" and left == right == "DATE":
        return "BIGINT"
    if operator == "-" and left == right and left in _TIMES:
        return "INTERVAL"
    return UNKNOWN


def of_datatype(target: exp.Expr | None) -> str:
    """DuckDB's name for the type that a cast names; `UNKNOWN` for user-defined ones."""
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


def element(type_: str) -> str:
    """The type of a list's elements."""
    return type_[:-2] if type_.endswith("[]") else UNKNOWN


def struct_fields(type_: str) -> list[tuple[str, str]] | None:
    """The fields of a STRUCT in order; None for other types."""
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
