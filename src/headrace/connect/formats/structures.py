"""Structures of objects and arrays inside records: pinned types, and what a later delivery lacks.

A structure is what DuckDB's `json_group_structure` returns for all values of a column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from headrace.connect.deliveries import CannotRead, Inside
from headrace.lake.sqltext import literal
from headrace.lake.types import Type

if TYPE_CHECKING:
    import duckdb


# Which type a structure is pinned as, and whether a later one still fits.
#
# A structure is read as JSON: a dict for an object, a list of one for an array, otherwise the
# name of a kind (`NULL` where there were only nulls, `JSON` where there were several).

LEVELS_MAX = 16
"""What DuckDB needs to make lists of text doubles with each level: 20 take it a second, 30 a quarter of an hour."""
KINDS = {"NULL": "VARCHAR", "UBIGINT": "BIGINT", "BIGINT": "BIGINT", "DOUBLE": "DOUBLE", "BOOLEAN": "BOOLEAN", "VARCHAR": "VARCHAR"}
FITTING = {
    "BIGINT": {"UBIGINT", "BIGINT"}, "DOUBLE": {"UBIGINT", "BIGINT", "DOUBLE"}, "BOOLEAN": {"BOOLEAN"},
    "VARCHAR": {"VARCHAR", "UBIGINT", "BIGINT", "DOUBLE"},
}  # fmt: skip
"""Pinned type of a value inside → the kinds that it holds without loss."""


def type_of(structure: Any, levels: int = LEVELS_MAX) -> Type | None:
    """The type to pin; None where values don't agree, or have more levels than that, and only JSON holds them all."""
    if isinstance(structure, dict | list) and not levels:
        return None
    if isinstance(structure, dict):
        fields = [(name, type_of(inner, levels - 1)) for name, inner in structure.items()]
        if not all(name for name, _ in fields) or len({name.lower() for name, _ in fields}) < len(fields):
            return None
        known = tuple((name, inner) for name, inner in fields if inner is not None)
        return Type("STRUCT", known) if len(known) == len(fields) else None
    if isinstance(structure, list):
        element = Type("JSON") if structure[0] == "NULL" else type_of(structure[0], levels - 1)
        return None if element is None else Type("LIST", (("element", element),))
    name = KINDS.get(structure)
    return None if name is None else Type(name)


def together(item: Type, other: Type) -> Type | None:
    """The type that holds the values of both: all fields of both, whatever the one knows where the other only saw nothing; None
    where only JSON holds them."""
    if item == other or other.name == "JSON":
        return item
    if item.name == "JSON":
        return other
    if item.name == other.name == "LIST":
        element = together(item.fields[0][1], other.fields[0][1])
        return None if element is None else Type("LIST", (("element", element),))
    if item.name == other.name == "STRUCT":
        theirs = dict(other.fields)
        fields = [(name, together(inner, theirs.pop(name)) if name in theirs else inner) for name, inner in item.fields]
        known = tuple((name, inner) for name, inner in [*fields, *theirs.items()] if inner is not None)
        return Type("STRUCT", known) if len(known) == len(fields) + len(theirs) else None
    scalars = {item.name, other.name}
    if scalars == {"BIGINT", "DOUBLE"}:
        return Type("DOUBLE")
    return Type("VARCHAR") if not item.fields and not other.fields and "BOOLEAN" not in scalars else None


def wanted(pinned: Type) -> Any:
    """What `from_json` is told to make of a value, so that it has the type."""
    if pinned.name == "STRUCT":
        return {name: wanted(inner) for name, inner in pinned.fields}
    if pinned.name == "LIST":
        return [wanted(pinned.fields[0][1])]
    return pinned.text


def misfit(structure: Any, pinned: Type, where: str) -> str | None:
    """What of a structure the pinned type doesn't hold, in a clause; None if it holds all."""
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


def leaves(structure: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All values inside objects, with their paths; an array is a value."""
    for name, inner in structure.items():
        if isinstance(inner, dict):
            yield from leaves(inner, (*path, name))
        else:
            yield (*path, name), inner


def pointer(path: tuple[str, ...]) -> str:
    """The path as a JSON pointer, whatever its keys hold."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def _word(structure: Any) -> str:
    if isinstance(structure, dict):
        return "an object"
    return "an array" if isinstance(structure, list) else "of several kinds" if structure == "JSON" else json.dumps(structure).strip('"')


# Which keys are in every object of a column, of which kinds their values are, and which of these
# a later delivery lacks or has with another kind.

RECORD_LEVELS_MAX = 1_000
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
"""Brackets, and texts, which may hold some."""
_SAID = {"object": "an object", "array": "an array", "VARCHAR": "text", "BOOLEAN": "true or false", "JSON": "of several kinds"}


def structures(connection: duckdb.DuckDBPyConnection, objects: str, keys: Sequence[str]) -> list[str]:
    """The structure of each of these keys' values, over all `objects` (a FROM clause with the column `j`). One pass."""
    if not keys:
        return []
    require_shallow(connection, objects)
    facts = ", ".join(f"json_group_structure(v[{position}])" for position in range(1, len(keys) + 1))
    row = connection.execute(f"SELECT {facts} FROM ({extracted(objects, [(key,) for key in keys])})").fetchone()
    assert row is not None
    return [str(structure) for structure in row]


def learnt(connection: duckdb.DuckDBPyConnection, objects: str, columns: Iterable[tuple[str, str, str]]) -> tuple[Inside, ...]:
    """What is known of the columns of a first delivery, given as (name, key, structure)."""
    return tuple(Inside(name, structure, _always(connection, objects, key, structure)) for name, key, structure in columns)


def merged(item: Inside, other: Inside) -> Inside:
    """What holds for the deliveries of both."""
    structure = json.dumps(_together(json.loads(item.structure), json.loads(other.structure)))
    return Inside(item.column, structure, tuple(path for path in item.always if path in set(other.always)))


def now_known(was: Inside, structure: str) -> Inside:
    """What a column is held to once a delivery with this structure was published."""
    now = json.loads(structure)
    known = json.dumps(_together(json.loads(was.structure), now))
    return Inside(was.column, known, tuple(path for path in was.always if _lacks(now, path) is None))


def gone(was: Inside, structure: str) -> str | None:
    """Which keys no object has any more that every one had, and what came beside them, in a clause; None where none is gone."""
    now = json.loads(structure)
    lost = dict.fromkeys(path for path in (_lacks(now, path) for path in was.always) if path)
    if not lost:
        return None
    then = json.loads(was.structure)
    came = dict.fromkeys((*path[:-1], key) for path in lost for key in _at(now, path[:-1]) if key not in _at(then, path[:-1]))
    new = f", {_listed(was.column, came)} new" if came else ""
    return f"column {_listed(was.column, lost)} gone{new}"


def otherwise(was: Inside, structure: str) -> str | None:
    """The first value that is of another kind than all were, in a clause; None where none is. All numbers are one kind."""
    return _of_another_kind(json.loads(was.structure), json.loads(structure), f"column {was.column}")


def extracted(objects: str, paths: Sequence[tuple[str, ...]]) -> str:
    """A query for the list `v` of the values at these paths, for each object."""
    return f"SELECT json_extract(j, {pointers(paths)}) AS v FROM {objects}"


def pointers(paths: Sequence[tuple[str, ...]]) -> str:
    """The paths as DuckDB takes several at once."""
    return "[" + ", ".join(literal(pointer(path)) for path in paths) + "]"


def require_shallow(connection: duckdb.DuckDBPyConnection, objects: str) -> None:
    """Raise CannotRead for records of more than LEVELS_MAX levels: DuckDB finds out structures by recursion, and so many end the worker.
    Only what has so many brackets is looked at one by one."""
    brackets = "length(t) - length(replace(replace(t, '{', ''), '[', ''))"
    result = connection.execute(f"SELECT t FROM (SELECT CAST(j AS VARCHAR) AS t FROM {objects}) WHERE {brackets} > {RECORD_LEVELS_MAX}")
    while row := result.fetchone():
        if _levels(row[0]) > RECORD_LEVELS_MAX:
            raise CannotRead("nested too deeply")


def _levels(text: str) -> int:
    """How deep a record is at most."""
    level = most = 0
    for token in _BRACKETS.finditer(text):
        level += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        most = max(most, level)
    return most


def _always(connection: duckdb.DuckDBPyConnection, objects: str, key: str, structure: str) -> tuple[tuple[str, ...], ...]:
    """The paths inside that every object of the column has; what is in arrays isn't followed."""
    shape = json.loads(structure)
    paths = [path for path, _ in leaves(shape)] if isinstance(shape, dict) else []
    if not paths:
        return ()
    facts = ", ".join(f"count(v[{position}])" for position in range(2, len(paths) + 2))
    query = extracted(objects, [(key,), *((key, *path) for path in paths)])
    row = connection.execute(f"SELECT count(*), {facts} FROM ({query}) WHERE json_type(v[1]) = 'OBJECT'").fetchone()
    assert row is not None
    return tuple(path for path, count in zip(paths, row[1:], strict=True) if count == row[0])


def _lacks(structure: Any, path: tuple[str, ...]) -> tuple[str, ...] | None:
    """The beginning of a path up to the key that no object has; None where it leads somewhere, or to nothing but nulls."""
    for depth, key in enumerate(path, 1):
        if not isinstance(structure, dict):
            return None
        if key not in structure:
            return path[:depth]
        structure = structure[key]
    return None


def _at(structure: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """The object at a path; an empty one where there is none."""
    for key in path:
        structure = structure.get(key) if isinstance(structure, dict) else None
    return structure if isinstance(structure, dict) else {}


def _listed(column: str, paths: Iterable[tuple[str, ...]]) -> str:
    names = [".".join((column, *path)) for path in paths]
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''} {'is' if len(names) == 1 else 'are'}"


def _together(item: Any, other: Any) -> Any:
    if isinstance(item, dict) and isinstance(other, dict):
        return {
            key: _together(item[key], other[key]) if key in item and key in other else item.get(key, other.get(key))
            for key in {**item, **other}
        }
    if isinstance(item, list) and isinstance(other, list):
        return [_together(item[0], other[0])]
    if "NULL" in (item, other):
        return other if item == "NULL" else item
    return item if _kind(item) == _kind(other) else "JSON"


def _of_another_kind(then: Any, now: Any, where: str) -> str | None:
    if isinstance(then, dict) and isinstance(now, dict):
        result = (_of_another_kind(inner, now[key], f"{where}.{key}") for key, inner in then.items() if key in now)
        return next((item for item in result if item), None)
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
