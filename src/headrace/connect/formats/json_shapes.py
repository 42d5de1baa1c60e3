"""The keys of a file's objects if they are as simple as most: flat, with few different lists of
keys, all of which the first objects have.
"""

from __future__ import annotations

import json
import mmap
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.lake.exact_json import OBJECT_BYTES_MAX
from headrace.lake.sqltext import literal

if TYPE_CHECKING:
    import duckdb

CHUNK_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 18
SAMPLE_OBJECTS = 2_000
SHAPES_MAX = 8
"""With more lists of keys, comparing each object with all of them isn't cheaper any more."""

Shapes = list[tuple[list[str], int]]
"""Lists of keys, each with its number of objects, from the most frequent one on."""


def flat_shapes(
    connection: duckdb.DuckDBPyConnection, objects: str, path: Path, *, array: bool
) -> Shapes | None:
    """Return the lists of keys of all objects in a file without nested values.

    `objects` is the FROM clause for the file at `path`, with the column `j`. None if the file isn't
    certainly flat, or if an object has other keys than the first ones; nothing is known then.

    Raises DuckDB's error for invalid JSON.
    """
    sample = [] if array else _sampled_keys(path)
    braces = _braces(path) if sample else None
    if braces is None:
        return None
    counts = ", ".join(
        f"count(*) FILTER (k = [{', '.join(map(literal, keys))}])" for keys in sample
    )
    row = connection.execute(
        f"SELECT count(*), {counts} FROM (SELECT json_keys(j) AS k FROM {objects})"
    ).fetchone()
    assert row is not None
    total, *each = row
    # Only objects have keys, and each has at least one brace: with as many braces as objects, none
    # has another one inside.
    if total != sum(each) or total != braces:
        return None
    shapes = zip(map(list, sample), each, strict=True)
    return sorted(shapes, key=lambda shape: -shape[1])


def keys_with_values(path: Path) -> frozenset[str]:
    """Return the keys that have a value in one of the first objects; none if they aren't simple."""
    objects = _sampled(path)
    return frozenset(key for pairs in objects for key, value in pairs if value is not None)


def _sampled_keys(path: Path) -> list[tuple[str, ...]]:
    """Return the different lists of keys of the first objects; none if they aren't simple."""
    shapes = list(dict.fromkeys(tuple(key for key, _ in pairs) for pairs in _sampled(path)))
    return shapes if len(shapes) <= SHAPES_MAX and all(map(_is_simple, shapes)) else []


def _sampled(path: Path) -> list[tuple[tuple[str, Any], ...]]:
    """Return the pairs of the first objects; none if they aren't all flat objects with keys."""
    with path.open("rb") as file:
        data = file.read(SAMPLE_BYTES)
        whole = data.rfind(b"\n") + 1 if file.read(1) else len(data)
    lines = (line for line in data[:whole].split(b"\n") if line.strip())
    try:
        objects = [
            json.loads(line, object_pairs_hook=tuple) for line in islice(lines, SAMPLE_OBJECTS)
        ]
    except (ValueError, RecursionError):
        return []
    flat = all(
        isinstance(pairs, tuple)
        and pairs
        and not any(isinstance(value, tuple | list) for _, value in pairs)
        for pairs in objects
    )
    return objects if flat else []


def _is_simple(keys: tuple[str, ...]) -> bool:
    return len(set(keys)) == len(keys) and all(
        key.isprintable() and "\\" not in key for key in keys
    )


def _braces(path: Path) -> int | None:
    """Return the number of braces that open, in texts as well; None if there may be an array."""
    braces = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if b"[" in chunk:
                return None
            braces += chunk.count(b"{")
    return braces


def object_bytes_max(path: Path) -> int:
    """Return a limit for objects in a file of lines: DuckDB gives a thread twice that at a time.

    With the limit for all files it would give 32 MiB, and often nothing to another thread.
    """
    size = path.stat().st_size
    if not size:
        return OBJECT_BYTES_MAX
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        # a line end in each whole block: only the bytes up to there are read
        ends = (
            data.find(b"\n", start, start + CHUNK_BYTES)
            for start in range(0, size - CHUNK_BYTES + 1, CHUNK_BYTES)
        )
        return 2 * CHUNK_BYTES if all(end >= 0 for end in ends) else OBJECT_BYTES_MAX
