"""Structures of objects and arrays inside records: pinned types, and what a later delivery lacks.

A structure is what DuckDB's `json_group_structure` returns for all values of a column.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from headrace.connect.deliveries import CannotRead, Inside
from headrace.lake.sqltext import literal
from headrace.lake.types import Type, parse

if TYPE_CHECKING:
    import duckdb


# The type that a structure is pinned as, and whether a later structure still fits.
#
# A structure is JSON: a dict for an object, a list with one element for an array, otherwise the
# name of a kind (`NULL` if there were only nulls, `JSON` if there were several kinds).

LEVELS_MAX = 16
"""Maximum nesting of lists of text: DuckDB's time for them doubles with each level.

20 levels take it a second, 30 a quarter of an hour.
"""
LONG = "whole numbers of 16 digits or more"
"""The kind of whole numbers that a double may not hold."""
KINDS = {
    "NULL": "VARCHAR",
    LONG: "BIGINT",
    "UBIGINT": "BIGINT",
    "BIGINT": "BIGINT",
    "DOUBLE": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "VARCHAR": "VARCHAR",
}
FITTING = {
    "BIGINT": {"UBIGINT", "BIGINT", LONG},
    "DOUBLE": {"UBIGINT", "BIGINT", "DOUBLE"},
    "BOOLEAN": {"BOOLEAN"},
    "VARCHAR": {"VARCHAR", "UBIGINT", "BIGINT", "DOUBLE", LONG},
}
"""Pinned type of a nested value → the kinds that it holds without loss."""


def type_of(  # complexipy: ignore (a case per kind of structure)
    structure: Any, levels: int = LEVELS_MAX
) -> Type | None:
    """Return the type to pin for a structure.

    None if only JSON holds all values, because they disagree or have more than `levels` levels.
    """
    if isinstance(structure, dict | list) and not levels:
        return None
    if isinstance(structure, dict):
        fields = [(name, type_of(inner, levels - 1)) for name, inner in structure.items()]
        if not all(name for name, _ in fields) or len({name.lower() for name, _ in fields}) < len(
            fields
        ):
            return None
        known = tuple((name, inner) for name, inner in fields if inner is not None)
        return Type("STRUCT", known) if len(known) == len(fields) else None
    if isinstance(structure, list):
        element = Type("JSON") if structure[0] == "NULL" else type_of(structure[0], levels - 1)
        return None if element is None else Type("LIST", (("element", element),))
    name = KINDS.get(structure)
    return None if name is None else Type(name)


def together(  # complexipy: ignore (a case per pair of kinds)
    item: Type, other: Type
) -> Type | None:
    """Return the type that holds the values of both; None if only JSON does.

    It has all fields of both; where one side saw only nulls, the other side's type counts.
    """
    if item == other or other.name == "JSON":
        return item
    if item.name == "JSON":
        return other
    if item.name == other.name == "LIST":
        element = together(item.fields[0][1], other.fields[0][1])
        return None if element is None else Type("LIST", (("element", element),))
    if item.name == other.name == "STRUCT":
        theirs = dict(other.fields)
        fields = [
            (name, together(inner, theirs.pop(name)) if name in theirs else inner)
            for name, inner in item.fields
        ]
        known = tuple(
            (name, inner) for name, inner in [*fields, *theirs.items()] if inner is not None
        )
        return Type("STRUCT", known) if len(known) == len(fields) + len(theirs) else None
    scalars = {item.name, other.name}
    if scalars == {"BIGINT", "DOUBLE"}:
        return Type("DOUBLE")
    return (
        Type("VARCHAR")
        if not item.fields and not other.fields and "BOOLEAN" not in scalars
        else None
    )


def target_structure(pinned: Type) -> Any:
    """Return the structure with which `from_json` gives a value this type."""
    if pinned.name == "STRUCT":
        return {name: target_structure(inner) for name, inner in pinned.fields}
    if pinned.name == "LIST":
        return [target_structure(pinned.fields[0][1])]
    return pinned.text


def misfit(  # complexipy: ignore (a case per kind of structure)
    structure: Any, pinned: Type, where: str
) -> str | None:
    """Return a clause about the first part that the pinned type can't hold.

    None if it holds all.
    """
    if structure == "NULL" or pinned.name == "JSON":
        return None
    if isinstance(structure, dict) and pinned.name == "STRUCT":
        inside = dict(pinned.fields)
        for name, inner in structure.items():
            if name not in inside:
                return f"{where}.{name} is new"
            if result := misfit(inner, inside[name], f"{where}.{name}"):
                return result
        return None
    if isinstance(structure, list) and pinned.name == "LIST":
        return misfit(structure[0], pinned.fields[0][1], f"{where}[]")
    if isinstance(structure, str) and structure in FITTING.get(pinned.name, ()):
        return None
    return f"{where} is {_word(structure)}, {pinned.text} is pinned"


def leaves(
    structure: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield all values inside objects with their paths; an array is a value."""
    for name, inner in structure.items():
        if isinstance(inner, dict):
            yield from leaves(inner, (*path, name))
        else:
            yield (*path, name), inner


def pointer(path: tuple[str, ...]) -> str:
    """Return the path as a JSON pointer, whatever characters its keys have."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def _word(structure: Any) -> str:
    if isinstance(structure, dict):
        return "an object"
    return (
        "an array"
        if isinstance(structure, list)
        else "of several kinds"
        if structure == "JSON"
        else json.dumps(structure).strip('"')
    )


# The keys in every object of a column, the kinds of their values, and the keys that a later
# delivery lacks or has with another kind.

RECORD_LEVELS_MAX = 1_000
_NUMBER = re.compile('"(DOUBLE|U?BIGINT)"')
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_BRACKETS = re.compile(rf"{_QUOTED}|[\[\]{{}}]")
"""Brackets, and quoted texts, which may contain brackets."""
_SAID = {
    "object": "an object",
    "array": "an array",
    "VARCHAR": "text",
    "BOOLEAN": "true or false",
    "JSON": "of several kinds",
}


def structures(
    connection: duckdb.DuckDBPyConnection, objects: str, keys: Sequence[str]
) -> list[str]:
    """Return the structure of each key's values over all `objects`, in one pass.

    `objects` is a FROM clause with the column `j`.
    """
    if not keys:
        return []
    require_shallow(connection, objects)
    rows = extracted(objects, [(key,) for key in keys])
    numbers = range(1, len(keys) + 1)
    results = _facts(connection, rows, [f"json_group_structure(v[{n}])" for n in numbers])
    return _with_long(connection, rows, [str(structure) for structure in results])


def _with_long(connection: duckdb.DuckDBPyConnection, rows: str, results: list[str]) -> list[str]:
    """Return the structures with the `LONG` numbers in them; fractions beside those stay JSON."""
    numeric = [at for at, structure in enumerate(results) if _NUMBER.search(structure)]
    if numeric:
        texts = [f"CAST(v[{at + 1}] AS VARCHAR)" for at in numeric]
        flags = _facts(connection, rows, [_has_long(text) for text in texts])
        for at in itertools.compress(numeric, flags):
            fractions_out = results[at].replace('"DOUBLE"', '"JSON"')
            results[at] = re.sub('"U?BIGINT"', f'"{LONG}"', fractions_out)
    return results


def _facts(connection: duckdb.DuckDBPyConnection, rows: str, facts: Sequence[str]) -> list[Any]:
    row = connection.execute(f"SELECT {', '.join(facts)} FROM ({rows})").fetchone()
    assert row is not None
    return list(row)


def _has_long(text: str) -> str:
    """Return SQL for whether JSON has a whole number of 16 digits or more, outside of its texts."""
    bare = f"regexp_replace({text}, {literal(_QUOTED)}, '', 'g')"
    return f"bool_or(regexp_matches({bare}, '(^|[^0-9.])[0-9]{{16,}}([^0-9.eE]|$)'))"


def learnt(
    connection: duckdb.DuckDBPyConnection, objects: str, columns: Iterable[tuple[str, str, str]]
) -> tuple[Inside, ...]:
    """Return the structures of a first delivery's columns, given as (name, key, structure)."""
    return tuple(
        Inside(name, structure, _always(connection, objects, key, structure))
        for name, key, structure in columns
    )


def merged(item: Inside, other: Inside) -> Inside:
    """Merge the structures of two deliveries."""
    structure = json.dumps(_together(json.loads(item.structure), json.loads(other.structure)))
    return Inside(
        item.column, structure, tuple(path for path in item.always if path in set(other.always))
    )


def now_known(was: Inside, structure: str) -> Inside:
    """Return the structure to expect after a delivery with this structure was published."""
    now = json.loads(structure)
    known = json.dumps(_together(json.loads(was.structure), now))
    return Inside(
        was.column, known, tuple(path for path in was.always if _lacks(now, path) is None)
    )


def missing_keys_clause(was: Inside, structure: str) -> str | None:
    """Return a clause about keys that every object had and none has any more.

    None if there are none. It also names the new keys at the same place.
    """
    now = json.loads(structure)
    lost = dict.fromkeys(path for path in (_lacks(now, path) for path in was.always) if path)
    if not lost:
        return None
    then = json.loads(was.structure)
    added = dict.fromkeys(
        (*path[:-1], key)
        for path in lost
        for key in _at(now, path[:-1])
        if key not in _at(then, path[:-1])
    )
    new = f", {_listed(was.column, added)} new" if added else ""
    return f"column {_listed(was.column, lost)} gone{new}"


def otherwise(was: Inside, structure: str) -> str | None:
    """Return a clause about the first value of another kind than before; None if there is none.

    All numbers are one kind.
    """
    return _of_another_kind(
        json.loads(was.structure), json.loads(structure), f"column {was.column}"
    )


def extracted(objects: str, paths: Sequence[tuple[str, ...]]) -> str:
    """Return a query for the list `v` of the values at these paths, for each object."""
    return f"SELECT json_extract(j, {pointers(paths)}) AS v FROM {objects}"


def pointers(paths: Sequence[tuple[str, ...]]) -> str:
    """Return the paths as DuckDB's list of JSON pointers."""
    return "[" + ", ".join(literal(pointer(path)) for path in paths) + "]"


def require_shallow(connection: duckdb.DuckDBPyConnection, objects: str) -> None:
    """Raise CannotRead for records of more than RECORD_LEVELS_MAX levels.

    DuckDB finds structures by recursion, and that many levels crash the worker. Only records with
    that many brackets are inspected one by one.
    """
    brackets = "length(t) - length(replace(replace(t, '{', ''), '[', ''))"
    result = connection.execute(
        f"SELECT t FROM (SELECT CAST(j AS VARCHAR) AS t FROM {objects}) WHERE {brackets} >"
        f" {RECORD_LEVELS_MAX}"
    )
    while row := result.fetchone():
        if _levels(row[0]) > RECORD_LEVELS_MAX:
            raise CannotRead("nested too deeply")


def _levels(text: str) -> int:
    """Return the maximum nesting of a record."""
    level = most = 0
    for token in _BRACKETS.finditer(text):
        level += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        most = max(most, level)
    return most


def _always(
    connection: duckdb.DuckDBPyConnection, objects: str, key: str, structure: str
) -> tuple[tuple[str, ...], ...]:
    """Return the paths inside that every object of the column has; arrays aren't followed."""
    shape = json.loads(structure)
    paths = [path for path, _ in leaves(shape)] if isinstance(shape, dict) else []
    if not paths:
        return ()
    facts = ", ".join(f"count(v[{position}])" for position in range(2, len(paths) + 2))
    query = extracted(objects, [(key,), *((key, *path) for path in paths)])
    row = connection.execute(
        f"SELECT count(*), {facts} FROM ({query}) WHERE json_type(v[1]) = 'OBJECT'"
    ).fetchone()
    assert row is not None
    return tuple(path for path, count in zip(paths, row[1:], strict=True) if count == row[0])


def _lacks(structure: Any, path: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the path up to the first key that no object has; None if nothing is missing.

    Nulls on the way don't count as missing.
    """
    for depth, key in enumerate(path, 1):
        if not isinstance(structure, dict):
            return None
        if key not in structure:
            return path[:depth]
        structure = structure[key]
    return None


def _at(structure: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """Return the object at a path; empty if there is none."""
    for key in path:
        structure = structure.get(key) if isinstance(structure, dict) else None
    return structure if isinstance(structure, dict) else {}


def _listed(column: str, paths: Iterable[tuple[str, ...]]) -> str:
    names = [".".join((column, *path)) for path in paths]
    return (
        f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        f" {'is' if len(names) == 1 else 'are'}"
    )


def _together(item: Any, other: Any) -> Any:  # complexipy: ignore (a case per pair of kinds)
    if isinstance(item, dict) and isinstance(other, dict):
        return {
            key: (
                _together(item[key], other[key])
                if key in item and key in other
                else item.get(key, other.get(key))
            )
            for key in {**item, **other}
        }
    if isinstance(item, list) and isinstance(other, list):
        return [_together(item[0], other[0])]
    if "NULL" in (item, other):
        return other if item == "NULL" else item
    return item if _kind(item) == _kind(other) else "JSON"


def _of_another_kind(then: Any, now: Any, where: str) -> str | None:
    if isinstance(then, dict) and isinstance(now, dict):
        common = [key for key in then if key in now]
        result = (_of_another_kind(then[key], now[key], f"{where}.{key}") for key in common)
        return next(filter(None, result), None)
    if isinstance(then, list) and isinstance(now, list):
        return _of_another_kind(then[0], now[0], f"{where}[]")
    was, is_now = _kind(then), _kind(now)
    if was in (is_now, "NULL", "JSON") or is_now == "NULL":
        return None
    return f"{where} is {_SAID.get(is_now, 'a number')}, it was {_SAID.get(was, 'a number')}"


def _kind(structure: Any) -> str:
    if isinstance(structure, dict | list):
        return "object" if isinstance(structure, dict) else "array"
    return structure if structure in (*_SAID, "NULL") else "number"


NO_VALUES = "NULL"
"""The type of a column without any value, as long as types of several files are compared."""


def wider_type(item: str, other: str) -> str:
    """Return the narrowest type that holds the values of both, VARCHAR if no other does."""
    if other in (item, NO_VALUES):
        return item
    if item == NO_VALUES:
        return other
    if any(
        name == "JSON" or (name.endswith(("]", ")")) and not name.startswith("DECIMAL"))
        for name in (item, other)
    ):
        result = together(parse(item), parse(other))
        return result.text if result else "JSON"
    pair = {item, other}
    if pair == {"BIGINT", "DOUBLE"}:
        return "DOUBLE"
    if pair == {"DATE", "TIMESTAMP"}:
        return "TIMESTAMP"
    return "VARCHAR"
