"""Checks for what a contract says of single columns, and the statements that nothing checks.

`logicalTypeOptions` and `enum` of a property become checks. Patterns follow ECMA-262, as in JSON
Schema: they may match a part of the value unless they are anchored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from typing import Any, NamedTuple

from headrace.model.errors import shown
from headrace.model.fields import LocatedMapping, plain
from headrace.model.nodes import ContractColumn


class Unenforced(NamedTuple):
    """A statement of the contract that no check covers, and its line."""

    line: int
    text: str


class ColumnRule(NamedTuple):
    """A check of one column: the option that demands it, the check kind and its arguments."""

    option: str
    kind: str
    arguments: dict[str, Any]


Statements = Iterator[ColumnRule | Unenforced]

_HEX = "[0-9A-Fa-f]{1,4}"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_IPV4 = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_IPV6_TAIL = f"(?:{_HEX}|{_IPV4})"
_IPV6 = "|".join(
    [
        f"(?:{_HEX}:){{7}}{_HEX}",
        f"(?:{_HEX}:){{6}}{_IPV4}",
        f"(?:{_HEX}:){{1,7}}:",
        f":(?::{_HEX}){{0,6}}:{_IPV6_TAIL}",
        *(
            f"(?:{_HEX}:){{1,{before}}}(?::{_HEX}){{0,{6 - before}}}:{_IPV6_TAIL}"
            for before in range(1, 7)
        ),
        "::",
    ]
)
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_TEXT_FORMATS = {
    "byte": "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    "email": r"[^@\s]+@[^@\s]+",
    "uuid": "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*:\S*",
    "hostname": rf"{_LABEL}(?:\.{_LABEL})*\.?",
    "ipv4": _IPV4,
    "ipv6": _IPV6,
}
_FLOAT_MAX = 3.4028234663852886e38
_NUMBER_FORMATS = {
    **{f"i{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    "u128": (0, None),
    "f32": (-_FLOAT_MAX, _FLOAT_MAX),
}
_WITHOUT_LIMIT = ("i128", "f64")
_NOT_IN_RE2 = re.compile(
    r"\(\?(?:[=!]|<[=!])|\(\?<|(?<!\\)(?:\\\\)*\\(?:[1-9]|k<|u|c[A-Za-z]|b\])|\[\]|\[\^\]"
)
"""Look-around, back references and escapes of ECMA-262 that DuckDB's regular expressions lack."""
_JDK = {
    "yyyy": "%Y", "uuuu": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S",
    "SSS": "%g", "SSSSSS": "%f",
}  # fmt: skip
"""Parts of a JDK date format and DuckDB's directives."""
_BOUNDS = {"minimum": "min", "maximum": "max"}
_EXCLUSIVE = {"exclusiveMinimum": "<=", "exclusiveMaximum": ">="}
_NESTED = ("properties", "items", "map")


def column_statements(written: LocatedMapping, column: ContractColumn) -> Statements:
    """Yield the checks that a property demands, and its statements that can't be checked."""
    options, line = written.get("logicalTypeOptions"), written.line
    if isinstance(options, LocatedMapping):
        yield from _of_options(options, column, str(written.get("logicalType") or ""))
    elif options:
        yield Unenforced(line, f"`logicalTypeOptions` of {shown(column.name)} without a type")
    if written.get("enum"):
        values = [plain(entry.get("value")) for entry in written["enum"]]
        yield ColumnRule("enum", "accepted_values", {"column": column.name, "values": values})
    for name in (*_NESTED, "relationships"):
        if written.get(name):
            what = "a `references` check says it" if name == "relationships" else "inside a value"
            yield Unenforced(
                written.lines.get(name, line), f"`{name}` of {shown(column.name)}: {what}"
            )


def _of_options(options: LocatedMapping, column: ContractColumn, logical: str) -> Statements:
    rules = {
        "string": _of_text,
        "integer": _of_number,
        "number": _of_number,
        "date": _of_time,
        "timestamp": _of_time,
        "time": _of_time,
        "array": _of_structure,
        "object": _of_structure,
        "vector": _of_structure,
    }.get(logical, _of_nothing)
    values = plain(options)
    covered: set[str] = set()
    for option, rule in rules(values, column):
        covered.add(option)
        if rule is not None:
            yield rule
    for option in values:
        if option not in covered:
            yield Unenforced(
                options.lines.get(option, options.line),
                f"`{option}: {_brief(values[option])}` of {shown(column.name)}",
            )


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


Covered = Iterator[tuple[str, ColumnRule | None]]
"""Options that are covered, with the check that covers them; None if the column's type does."""


def _of_nothing(options: dict[str, Any], column: ContractColumn) -> Covered:
    del options, column
    return iter(())


def _of_text(options: dict[str, Any], column: ContractColumn) -> Covered:
    text = f"length(CAST({quoted(column.name)} AS VARCHAR))"
    for option, operator in (("minLength", "<"), ("maxLength", ">")):
        if option in options:
            yield option, _broken(option, f"{text} {operator} {options[option]}")
    pattern = options.get("pattern")
    if isinstance(pattern, str) and not _NOT_IN_RE2.search(pattern):
        rule = _matching("pattern", column, pattern)
        yield "pattern", rule._replace(arguments=rule.arguments | {"anywhere": True})
    known = _TEXT_FORMATS.get(str(options.get("format")).lower())
    if known is not None:
        yield "format", _matching("format", column, known)


def _matching(option: str, column: ContractColumn, pattern: str) -> ColumnRule:
    return ColumnRule(option, "regex", {"column": column.name, "pattern": pattern})


def _broken(option: str, condition: str) -> ColumnRule:
    """Return a check that no row meets the condition; rows without a value pass."""
    return ColumnRule(option, "sql", {"query": f"SELECT * FROM $self WHERE {condition}"})


def _of_number(options: dict[str, Any], column: ContractColumn) -> Covered:
    if column.type == "VARCHAR":  # numbers don't bound text
        return
    yield from _bounds(options, column, repr)
    factor = options.get("multipleOf")
    name = quoted(column.name)
    if factor is not None and float(factor).is_integer():
        yield "multipleOf", _broken("multipleOf", f"{name} % {int(factor)} <> 0")
    elif factor is not None:
        times = f"CAST({name} AS DOUBLE) / {factor!r}"
        yield "multipleOf", _broken("multipleOf", f"abs({times} - round({times})) > 1e-6")
    size = options.get("format")
    if size in _WITHOUT_LIMIT:
        yield "format", None
    elif size in _NUMBER_FORMATS:
        least, most = _NUMBER_FORMATS[size]
        limits = {"min": least} if most is None else {"min": least, "max": most}
        yield "format", ColumnRule("format", "range", {"column": column.name, **limits})


def _bounds(
    options: dict[str, Any], column: ContractColumn, literal: Callable[[Any], str]
) -> Covered:
    included = {_BOUNDS[name]: options[name] for name in _BOUNDS if name in options}
    if included:
        rule = ColumnRule("range", "range", {"column": column.name, **included})
        first, *others = [name for name in _BOUNDS if name in options]
        yield first, rule
        yield from ((name, None) for name in others)
    for name, operator in _EXCLUSIVE.items():
        if name in options:
            condition = f"{quoted(column.name)} {operator} {literal(options[name])}"
            yield name, _broken(name, condition)


def _of_time(options: dict[str, Any], column: ContractColumn) -> Covered:
    usable = {
        name: value for name, value in options.items() if _is_time(str(value), column.type or "")
    }
    yield from _bounds(usable, column, text_literal)
    form = options.get("format")
    if isinstance(form, str) and column.type is not None and column.type != "VARCHAR":
        yield "format", None  # values of a type have no format, and text that isn't one is refused
    elif isinstance(form, str) and (directives := _duckdb_format(form)) is not None:
        value, written = quoted(column.name), text_literal(directives)
        parsed = f"try_strptime({value}, {written})"
        wrong = f"coalesce(strftime({parsed}, {written}) <> {value}, true)"
        yield "format", _broken("format", f"{value} IS NOT NULL AND {wrong}")
    zoned = options.get("timezone")
    if zoned is not None and zoned == (column.type == "TIMESTAMP WITH TIME ZONE"):
        yield "timezone", None


_ISO = re.compile(r"\d{4}-\d\d-\d\d|\d\d:\d\d", re.ASCII)


def _is_time(text: str, column_type: str) -> bool:
    """Return whether a bound is a date or time as ISO 8601 and SQL write it."""
    if not _ISO.match(text):
        return False
    kind = time if column_type == "TIME" else date if column_type == "DATE" else datetime
    try:
        kind.fromisoformat(text)
    except ValueError:
        return False
    return True


_FORMAT_PART = re.compile(r"'(?P<text>[^']*)'|(?P<letters>([A-Za-z])\3*)|(?P<other>.)", re.DOTALL)


def _duckdb_format(form: str) -> str | None:
    """Return DuckDB's form of a JDK date format; None if it has parts that aren't known."""
    result = ""
    for part in _FORMAT_PART.finditer(form):
        letters, text = part["letters"], part["text"] or part["other"] or ""
        if letters == "T":  # often written without its quotes
            letters, text = None, "T"
        if letters is not None and letters not in _JDK:
            return None
        result += text.replace("%", "%%") if letters is None else _JDK[letters]
    return result


def _of_structure(options: dict[str, Any], column: ContractColumn) -> Covered:
    name = quoted(column.name)
    value = (
        f"CASE WHEN typeof({name}) = 'VARCHAR' THEN TRY_CAST(CAST({name} AS VARCHAR) AS JSON)"
        f" ELSE to_json({name}) END"
    )
    items, keys = f"json_array_length({value})", f"len(json_keys({value}))"
    for option, measure, operator in (
        ("minItems", items, "<"),
        ("maxItems", items, ">"),
        ("dimensions", items, "<>"),
        ("minProperties", keys, "<"),
        ("maxProperties", keys, ">"),
    ):
        if option in options:
            condition = f"{name} IS NOT NULL AND {measure} {operator} {options[option]}"
            yield option, _broken(option, condition)
    if options.get("uniqueItems"):
        distinct = f"len(list_distinct(CAST({value} AS JSON[])))"
        yield "uniqueItems", _broken("uniqueItems", f"{items} <> {distinct}")
    elif "uniqueItems" in options:
        yield "uniqueItems", None
    if options.get("required"):
        missing = " OR ".join(
            f"NOT list_contains(json_keys({value}), {text_literal(str(key))})"
            for key in options["required"]
        )
        yield "required", _broken("required", f"{name} IS NOT NULL AND ({missing})")


def quoted(name: str) -> str:
    """Return a name in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: Any) -> str:
    """Return a text in single quotes."""
    return "'" + str(text).replace("'", "''") + "'"
