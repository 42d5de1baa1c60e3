"""Values that a command wrote as CSV or JSON lines, read in a column's type without a change.

DuckDB's own reading rounds: `10.75` is 11 as BIGINT, a date loses its time of day, and a TIMESTAMP
its offset (1.5.5). Here such a value is an error: it is read as text, and its text says whether
the type holds it. Nested values of JSON lines are read with their own numbers, which the cast into
the table checks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from headrace.engine.failures import BodyFailed, failed
from headrace.lake.schema import WRITTEN
from headrace.lake.sqltext import literal, quote
from headrace.lake.strict_casts import is_code
from headrace.lake.type_inference import INSTANT
from headrace.lake.types import Type, digits, parse

TEXT = "VARCHAR"
_JSON_DIGITS_MAX = 15
"""Digits of a fraction that DuckDB keeps, which reads those of JSON as DOUBLE."""
_EXPONENT = r"\s*[+-]?\d+\.?(\d*)[eE]([+-]?\d{1,4})\s*"
_LONG_WHOLE = r"\s*[+-]?\d{16,20}\s*"
"""Whole numbers that a DOUBLE may round; of longer ones everybody expects it."""
_FRACTION_DIGITS = {
    "TIME": 6,
    "TIMESTAMP": 6,
    "TIMESTAMP WITH TIME ZONE": 6,
    "TIMESTAMP_S": 0,
    "TIMESTAMP_MS": 3,
    "TIMESTAMP_NS": 9,
}
"""Type → digits of a fraction of a second that it keeps."""
_OFFSET, _NO_OFFSET = r":\d\d.*[+-]\d\d(:?\d\d)?\s*$", r"[+-]00(:?00)?\s*$"
_TIME = r"\s*\d{1,2}:\d\d(:\d\d(\.\d*)?)?\s*(Z|[+-]00(:?00)?)?\s*"
"""All of a time of day; DuckDB reads no further than it understands, as in `10:00 PM`."""
_DAY = (
    r"\s*(?:-?\d+[-/\\]\d{1,2}[-/\\]\d{1,2}(?:[T ]00:00(:00(\.0*)?)?\s*(Z|[+-]00(:?00)?)?)?"
    r"|(?i:[+-]?infinity))\s*"
)
"""All of a date, without a time of day; DuckDB reads no further than the date."""


_DATES = ("DATE", "TIMESTAMP", INSTANT)
_WHOLE = ("UBIGINT", "BIGINT", "HUGEINT")
_LEVELS_MAX = 16
"""Maximum nesting of a type: DuckDB's time for lists of text doubles with each level."""


class KnownType(NamedTuple):
    """The type of a column that is declared, or that the asset's table has."""

    type: str
    is_declared: bool


def seen_type(structure: Any) -> Type:
    """Return the type of a column's values in JSON, from DuckDB's `json_group_structure` of them.

    An object's keys are the fields; those of one name that differ in case are several.
    """
    if isinstance(structure, dict):
        return Type("STRUCT", tuple((name, seen_type(part)) for name, part in structure.items()))
    if isinstance(structure, list):
        return Type("LIST", (("element", seen_type(structure[0])),))
    return Type("BIGINT" if structure in _WHOLE else TEXT if structure == "NULL" else structure)


def learnt_type(seen: Type, inferred: str) -> str:
    """Return the type of a new column of JSON; `inferred` is that of its values' texts."""
    if seen.fields:
        return seen.text if _is_storable(seen) else "JSON"
    if seen.name == "BIGINT":
        return "BIGINT" if inferred == "BIGINT" else TEXT
    if seen.name == "DOUBLE":
        return "DOUBLE" if inferred in ("BIGINT", "DOUBLE") else TEXT
    if seen.name == TEXT:
        return inferred if inferred in _DATES else TEXT
    return seen.name


def _is_storable(kind: Type, levels: int = _LEVELS_MAX) -> bool:
    """Whether a type holds all values: their kinds agree, and so do the keys' names in any case."""
    names = {name.lower() for name, _ in kind.fields}
    return (
        levels > 0
        and kind.name != "JSON"
        and "" not in names
        and len(names) == len(kind.fields)
        and all(_is_storable(part, levels - 1) for _, part in kind.fields)
    )


def read_type(kind: str, seen: Type) -> str:
    """Return the type in which DuckDB is to read a column of JSON, whose values are of `seen`."""
    if _is_text_first(kind, seen):
        return TEXT
    return kind if seen.name == TEXT else _as_seen(seen, parse(kind)).text


def exact_text(name: str, kind: str, *, learnt: bool) -> str:
    """Return the expression of a column that was read as text, from CSV.

    A value that the type doesn't hold as it was written raises an error. Nothing in quotes is an
    empty text, and no value of other types. In a column whose type was `learnt`, `007` is a code.
    """
    if kind == TEXT:
        return quote(name)
    value = quote(name) if kind == "BLOB" else f"nullif({quote(name)}, '')"
    return _held(name, value, kind, _lost_in_text(value, kind, learnt=learnt))


def exact(name: str, kind: str, seen: Type, *, learnt: bool) -> str:
    """Return the expression of a column of JSON that was read as `read_type` says.

    A value that the type doesn't hold as it was written raises an error.
    """
    value = quote(name)
    if not _is_text_first(kind, seen):
        return value
    lost = _lost_in_text(value, kind, learnt=learnt and seen.name == TEXT)
    if seen.name == "DOUBLE" and (kind == TEXT or digits(parse(kind)) is not None):
        number = f"trim(translate(split_part({value}, 'e', 1), '+-.', ''), '0')"
        rounded = f"{_has(value, '[.e]')} AND length({number}) > {_JSON_DIGITS_MAX}"
        lost = f"({rounded} OR {lost or 'false'})"
    return _held(name, value, kind, lost)


def _lost_in_text(value: str, kind: str, *, learnt: bool) -> str:
    target = parse(kind)
    lost = _lost(value, _tried(value, kind), target)
    is_number = digits(target) is not None or target.name in ("DOUBLE", "FLOAT")
    return f"({is_code(value)} OR {lost})" if learnt and is_number else lost


def _held(name: str, value: str, kind: str, lost: str) -> str:
    held = _tried(value, kind)
    error = f"error({literal(f'{WRITTEN}{len(name)} {name}')} || {value})"
    return (
        f"CASE WHEN {value} IS NULL THEN NULL WHEN {held} IS NULL OR {lost or 'false'}"
        f" THEN {error} ELSE {held} END AS {quote(name)}"
    )


def _tried(value: str, kind: str) -> str:
    return f"TRY_CAST({value} AS {kind})"


def _is_text_first(kind: str, seen: Type) -> bool:
    target = parse(kind)
    if kind == TEXT:
        return seen.name == "DOUBLE"  # whose text isn't the one that was written
    if kind == "BLOB":
        return seen.name == TEXT  # DuckDB would take the letters of an escape for bytes
    return bool(_lost("", "", target)) and (seen.name == TEXT or not target.fields)


def _lost(value: str, held: str, target: Type) -> str:
    """Return the condition for a text that the type changes; empty if it changes none."""
    size = digits(target)
    if target.fields:
        loose = _loose(target)
        return (
            ""
            if loose == target
            else f"{_tried(value, loose.text)} IS DISTINCT FROM {_tried(held, loose.text)}"
        )
    if size is not None:
        return _is_rounded(value, size[1])
    if target.name in ("DOUBLE", "FLOAT"):
        return _is_other_number(value, held, target.name)
    if target.name in _FRACTION_DIGITS:
        return _is_other_time(value, target.name)
    if target.name == "DATE":
        return f"NOT {_is(value, _DAY)}"
    return "false" if target.name == "BOOLEAN" else ""


def _is_rounded(value: str, scale: int) -> str:
    """Return whether a text has more digits behind the point than a decimal or whole number."""
    plain = rf"\s*[+-]?\d*(\.\d{{0,{scale}}}0*)?\s*"
    behind = f"length(rtrim(regexp_extract({value}, {literal(_EXPONENT)}, 1), '0'))"
    power = f"CAST(regexp_extract({value}, {literal(_EXPONENT)}, 2) AS INTEGER)"
    return (
        f"CASE WHEN {_is(value, plain)} THEN false"
        f" WHEN {_is(value, _EXPONENT)} THEN {behind} - {power} > {scale} ELSE true END"
    )


def _is_other_number(value: str, held: str, kind: str) -> str:
    """Return whether a text is a whole number that a floating type rounds, or beyond its range.

    A fraction is rounded by whoever writes it: the type's shortest text is the number, or what the
    type holds.
    """
    whole = f"TRY_CAST({value} AS HUGEINT) IS DISTINCT FROM TRY_CAST({held} AS HUGEINT)"
    infinite = f"isinf({held}) AND NOT {_has(value, '(?i)inf')}"
    numbers = f"TRY_CAST(CAST({held} AS VARCHAR) AS DOUBLE), CAST({held} AS DOUBLE)"
    shorter = f"TRY_CAST({value} AS DOUBLE) NOT IN ({numbers})"
    rounded = f"{_is(value, _LONG_WHOLE)} AND {whole}" if kind == "DOUBLE" else shorter
    return f"({infinite} OR {rounded})"


def _is_other_time(value: str, kind: str) -> str:
    """Return whether a text has a fraction of a second, an offset or a date that a type drops."""
    fraction = _has(value, rf"\.\d{{{_FRACTION_DIGITS[kind]}}}\d*[1-9]")
    offset = f"{_has(value, _OFFSET)} AND NOT {_has(value, _NO_OFFSET)}"
    date = _has(value, r"\d-\d+-")
    if kind == "TIMESTAMP WITH TIME ZONE":
        return fraction
    return (
        f"({fraction} OR {offset} OR {date} OR NOT {_is(value, _TIME)})"
        if kind == "TIME"
        else (f"({fraction} OR {offset})")
    )


def _is(value: str, pattern: str) -> str:
    return f"regexp_full_match({value}, {literal(pattern)})"


def _has(value: str, pattern: str) -> str:
    return f"regexp_matches({value}, {literal(pattern)})"


def _loose(target: Type) -> Type:
    """Return a nested type in which fractions and times of day are kept, to compare with it."""
    if target.fields:
        return Type(target.name, tuple((name, _loose(part)) for name, part in target.fields))
    if digits(target) is not None:
        return Type("DOUBLE")
    return Type("TIMESTAMP") if target.name == "DATE" else target


def _as_seen(seen: Type, target: Type) -> Type:
    """Return a type in which nothing of JSON's values is rounded or left out.

    It has their numbers, dates as texts, and fields besides those of the target.
    """
    if target.fields:
        return _parts_as_seen(seen, target)
    is_number = digits(seen) is not None or seen.name == "DOUBLE"
    changes_numbers = digits(target) is not None or target.name in ("DOUBLE", "BOOLEAN")
    is_text = seen.name == TEXT and target.name in ("DATE", "BLOB")  # of which DuckDB takes less
    return seen if (is_number and changes_numbers) or is_text else target


def _alike_keys(seen: Type, target: Type) -> BodyFailed:
    names = ", ".join(f"`{name}`" for name, _ in seen.fields)
    return failed(
        f"{names}: keys of an object that differ in case are one field of {target.text}",
        code="columns_changed",
        hint="give each key a name of its own, or declare the column as JSON",
    )


def _parts_as_seen(seen: Type, target: Type) -> Type:
    if seen.name == target.name:
        parts = {name.lower(): (name, part) for name, part in seen.fields}
        if len(parts) < len(seen.fields):
            raise _alike_keys(seen, target)
        fields = []
        for name, part in target.fields:
            spelling, is_now = parts.pop(name.lower(), (name, part))
            fields.append((spelling, _as_seen(is_now, part)))
        return Type(target.name, (*fields, *parts.values()))
    if (target.name, seen.name) == ("MAP", "STRUCT"):
        key, (value, kind) = target.fields
        of_double = next((part for _, part in seen.fields if part.name == "DOUBLE"), kind)
        return Type("MAP", (key, (value, _as_seen(of_double, kind))))
    return target
