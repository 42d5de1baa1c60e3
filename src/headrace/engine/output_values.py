"""Values that a command wrote as CSV or JSON lines, read in a column's type without a change.

DuckDB's own reading rounds: `10.75` is 11 as BIGINT, a date loses its time of day, and a TIMESTAMP
its offset (1.5.5). Here such a value is an error: it is read as text, also inside of lists and
objects, and its text says whether the type holds it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from headrace.engine.failures import BodyFailed, failed
from headrace.lake.schema import WRITTEN
from headrace.lake.sqltext import literal, quote
from headrace.lake.strict_casts import is_code, is_rounded
from headrace.lake.type_inference import INSTANT
from headrace.lake.types import Type, digits, parse

TEXT, JSON = Type("VARCHAR"), Type("JSON")
_EXPONENT = r"\s*[+-]?\d+\.?(\d*)[eE]([+-]?\d{1,4})\s*"
_LONG_WHOLE = r"\s*[+-]?\d{16,20}\s*"
"""Whole numbers that a DOUBLE may round; of longer ones everybody expects it."""
_FRACTION_DIGITS = {
    "INTERVAL": 6,
    "TIME": 6,
    "TIME WITH TIME ZONE": 6,
    "TIMESTAMP": 6,
    "TIMESTAMP WITH TIME ZONE": 6,
    "TIMESTAMP_S": 0,
    "TIMESTAMP_MS": 3,
    "TIMESTAMP_NS": 9,
}
"""Type → digits of a fraction of a second that it keeps."""
_KEEPS_OFFSETS = ("INTERVAL", "TIME WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE")
_OFFSET, _NO_OFFSET = r":\d\d.*[+-]\d\d(:?\d\d)*\s*$", r"[+-]00(:?00)*\s*$"
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
    return Type(
        "BIGINT" if structure in _WHOLE else TEXT.name if structure == "NULL" else structure
    )


def learnt_type(seen: Type, inferred: str) -> str:
    """Return the type of a new column of JSON; `inferred` is that of its texts unless nested."""
    if seen.fields:
        return seen.text if _is_storable(seen) else "JSON"
    if seen.name == "BIGINT":
        return "BIGINT" if inferred == "BIGINT" else TEXT.name
    if seen.name == "DOUBLE":
        return "DOUBLE" if inferred in ("BIGINT", "DOUBLE") else TEXT.name
    if seen == TEXT:
        return inferred if inferred in _DATES else TEXT.name
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


def exact_text(name: str, known: KnownType) -> str:
    """Return the expression of a column that was read as text, from CSV.

    A value that the type doesn't hold as it was written raises an error. Nothing in quotes is an
    empty text, and no value of other types. `007` is a code unless the type is declared.
    """
    value = quote(name) if known.type in (TEXT.name, "BLOB") else f"nullif({quote(name)}, '')"
    return f"{_Column(name, known).read(value, parse(known.type), TEXT)[1]} AS {quote(name)}"


def exact(name: str, known: KnownType, seen: Type) -> tuple[str, str]:
    """Return the type in which DuckDB is to read a column of JSON, and the column's expression.

    A value that the type doesn't hold as it was written raises an error.
    """
    read, value = _Column(name, known).read(quote(name), parse(known.type), seen)
    return read.text, f"{value} AS {quote(name)}"


class _Column(NamedTuple):
    name: str
    known: KnownType

    def read(self, value: str, kind: Type, seen: Type, level: int = 0) -> tuple[Type, str]:
        """Return in which type values are read that are of `seen` in JSON, and one in `kind`.

        The former is that of texts, nested as the values are. `value` is SQL for one of them as it
        was read, `level` is how deeply it is nested. `seen` is TEXT for CSV.
        """
        if not kind.fields:
            return (JSON if kind == JSON else TEXT), self._scalar(value, kind, seen, level)
        if seen != JSON and seen.name != ("LIST" if kind.name == "LIST" else "STRUCT"):
            return self._parsed(value, kind, level)
        if kind.name == "STRUCT":
            return self._struct(value, kind, seen, level)
        item, inside = f"v{level}", _together([part for _, part in seen.fields])
        if kind.name == "LIST":
            element, each = self.read(item, kind.fields[0][1], inside, level + 1)
            values = f"list_transform({value}, lambda {item}: {each})"
            return Type("LIST", (("element", element),)), values
        (_, of_key), (_, of_value) = kind.fields
        key, key_text = self.read(f"{item}.key", of_key, TEXT, level + 1)
        held, held_text = self.read(f"{item}.value", of_value, inside, level + 1)
        pair = f"lambda {item}: {{'key': {key_text}, 'value': {held_text}}}"
        pairs = f"map_from_entries(list_transform(map_entries({value}), {pair}))"
        return Type("MAP", (("key", key), ("value", held))), pairs

    def _parsed(self, value: str, kind: Type, level: int) -> tuple[Type, str]:
        """Read nested values from texts, as DuckDB writes them, one level at a time.

        A cast of all levels is NULL inside for whatever it can't read.
        """
        texts = Type(
            "LIST" if kind.name == "LIST" else "STRUCT",
            tuple((name, TEXT) for name, _ in kind.fields),
        )
        parsed = f"TRY_CAST({value} AS {Type(kind.name, texts.fields).text})"
        repeats = _repeats_key(value, kind) if kind.name == "STRUCT" else "false"
        lost = f"{parsed} IS NULL OR {repeats}"
        return TEXT, self._held(value, lost, self.read(parsed, kind, texts, level)[1], level)

    def _struct(self, value: str, kind: Type, seen: Type, level: int) -> tuple[Type, str]:
        others = {name.lower(): (name, part) for name, part in seen.fields}
        if len(others) < len(seen.fields):
            raise _alike_keys(seen, kind)
        read, values = [], []
        for name, part in kind.fields:
            spelling, inside = others.pop(name.lower(), (name, JSON))
            texts, held = self.read(
                f"struct_extract({value}, {literal(spelling)})", part, inside, level + 1
            )
            read.append((spelling, texts))
            values.append(f"{quote(name)} := {held}")
        names = [name for name, _ in others.values()]
        lost = " OR ".join(
            ("false", *(f"struct_extract({value}, {literal(name)}) IS NOT NULL" for name in names))
        )
        held = self._held(value, lost, f"struct_pack({', '.join(values)})", level)
        return Type("STRUCT", (*read, *((name, TEXT) for name in names))), held

    def _scalar(self, value: str, kind: Type, seen: Type, level: int) -> str:
        if kind == TEXT:
            return value
        held = f"TRY_CAST({value} AS {kind.text})"
        lost = _lost(value, held, kind)
        if not self.known.is_declared and (
            digits(kind) is not None or kind.name in ("DOUBLE", "FLOAT")
        ):
            lost += f" OR {is_code(value)}" if seen.name != "DOUBLE" else ""
            if kind.name == "DOUBLE":
                lost += f" OR {is_rounded(value, held, kind.name, shortest=True)}"
        return self._held(value, f"{held} IS NULL OR {lost}", held, level)

    def _held(self, value: str, lost: str, held: str, level: int) -> str:
        mark = literal(f"{WRITTEN}{level}-{len(self.name)} {self.name}")
        return (
            f"CASE WHEN {value} IS NULL THEN NULL WHEN {lost}"
            f" THEN error({mark} || CAST({value} AS VARCHAR)) ELSE {held} END"
        )


def _repeats_key(value: str, kind: Type) -> str:
    """Return whether a text of a struct has a key twice: DuckDB takes the last value (1.5.5).

    A list is split at the same commas, and loses the quotes of the keys.
    """
    inside = rf"regexp_extract({value}, '(?s)\{{(.*)\}}', 1)"
    pattern = rf"^({'|'.join(re.escape(name) for name, _ in kind.fields)})\s*:"
    key = f"regexp_extract(field, {literal(pattern)}, 1)"
    keys = f"list_transform(TRY_CAST('[' || {inside} || ']' AS VARCHAR[]), lambda field: {key})"
    return f"len({keys}) > list_unique({keys})"


def _together(parts: Sequence[Type]) -> Type:
    """Return what values of several keys are; JSON if that isn't known."""
    kinds = {part.name for part in parts if part.fields}
    if len(kinds) != 1:
        return parts[0] if parts and not kinds else JSON
    inside: dict[str, list[Type]] = {}
    for name, part in (field for each in parts for field in each.fields):
        inside.setdefault(name, []).append(part)
    return Type(kinds.pop(), tuple((name, _together(each)) for name, each in inside.items()))


def _alike_keys(seen: Type, kind: Type) -> BodyFailed:
    names = ", ".join(f"`{name}`" for name, _ in seen.fields)
    return failed(
        f"{names}: keys of an object that differ in case are one field of {kind.text}",
        code="columns_changed",
        hint="give each key a name of its own, or declare the column as JSON",
    )


def _lost(value: str, held: str, kind: Type) -> str:
    """Return the condition for a text that a type changes, which is `held` in it."""
    if (size := digits(kind)) is not None:
        return _is_rounded(value, size[1])
    if kind.name in ("DOUBLE", "FLOAT"):
        return _is_other_number(value, held, kind.name)
    if kind.name in _FRACTION_DIGITS:
        return _is_other_time(value, kind.name)
    return f"NOT {_is(value, _DAY)}" if kind.name == "DATE" else "false"


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
    return f"({infinite} OR {rounded} OR contains({value}, '_'))"


def _is_other_time(value: str, kind: str) -> str:
    """Return whether a text has a fraction of a second, an offset or a date that a type drops."""
    fraction = _has(value, rf"\.\d{{{_FRACTION_DIGITS[kind]}}}\d*[1-9]")
    if kind in _KEEPS_OFFSETS:
        return fraction
    offset = f"{_has(value, _OFFSET)} AND NOT {_has(value, _NO_OFFSET)}"
    other = f" OR NOT {_is(value, _TIME)}" if kind == "TIME" else ""
    return f"({fraction} OR {offset}{other})"


def _is(value: str, pattern: str) -> str:
    return f"regexp_full_match({value}, {literal(pattern)})"


def _has(value: str, pattern: str) -> str:
    return f"regexp_matches({value}, {literal(pattern)})"
