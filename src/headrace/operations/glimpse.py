"""The first rows of a delivery that is held: its raw bytes were kept, its rows never became a table."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

ROWS_MAX = 5
BYTES_MAX = 64 * 1024
CHARACTERS_MAX = 200
"""Of one value."""
COLUMNS_MAX = 200
_SEPARATED = (".csv", ".tsv", ".txt", ".psv")
_JSON_LINES = (".jsonl", ".ndjson", ".json")


def glimpse(data_folder: Path, path: str | None, delivery: str | None) -> list[dict[str, Any]]:
    """A few rows of a text delivery as text; none where the file is gone or of another kind. Never raises for what is in it."""
    if path is None or delivery is None or not path.startswith("raw/"):
        return []
    ending = PurePosixPath(delivery.removesuffix(".gz")).suffix.lower()
    lines = _lines(data_folder / path, packed=delivery.endswith(".gz"))
    if ending in _SEPARATED:
        return _separated_rows(lines)
    records = lines and lines[0].startswith("{")  # what an API gave is kept as JSON lines, whatever its URL ends with
    return _json_rows(lines) if records or ending in _JSON_LINES else []


def _lines(path: Path, *, packed: bool) -> list[str]:
    """The first whole lines of the file."""
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            data = file.read(BYTES_MAX)
    except (OSError, EOFError, zlib.error):
        return []
    lines = data.decode("utf-8-sig", "backslashreplace").replace("\0", "\\0").splitlines()
    return [line for line in lines if line.strip()][: ROWS_MAX + 1]


def _separated_rows(lines: list[str]) -> list[dict[str, Any]]:
    if not lines:
        return []
    delimiter = max(",;\t|", key=lines[0].count)
    try:
        header, *rows = csv.reader(lines, delimiter=delimiter)
    except (csv.Error, ValueError):
        return []
    return [{name: _cut(value) for name, value in list(zip(header, row, strict=False))[:COLUMNS_MAX]} for row in rows[:ROWS_MAX]]


def _json_rows(lines: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for line in lines[:ROWS_MAX]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return rows
        if isinstance(value, dict):
            rows.append({name: _cut(str(item)) for name, item in list(value.items())[:COLUMNS_MAX]})
    return rows


def _cut(value: str) -> str:
    return value if len(value) <= CHARACTERS_MAX else value[: CHARACTERS_MAX - 1] + "…"
