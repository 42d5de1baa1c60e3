"""What the objects and arrays of a column hold: which keys are in every one of them, of which kinds their values are, and what of
that a later delivery lacks or has otherwise.

A structure is what DuckDB's `json_group_structure` says of all values of a column (see `nested`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from headrace.connect.deliveries import CannotRead, Inside
from headrace.connect.formats.nested import leaves, pointer
from headrace.lake.sqltext import literal

if TYPE_CHECKING:
    import duckdb

LEVELS_MAX = 1_000
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
    result = connection.execute(f"SELECT t FROM (SELECT CAST(j AS VARCHAR) AS t FROM {objects}) WHERE {brackets} > {LEVELS_MAX}")
    while row := result.fetchone():
        if _levels(row[0]) > LEVELS_MAX:
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
