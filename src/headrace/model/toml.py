"""TOML with lines: `tomllib` reads it, and a look at headers and keys says where things stand."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, time
from typing import Any

from headrace.model.documents import Items, LocatedMapping
from headrace.model.reporting import Report

DEPTH_MAX = 20
"""Levels of tables; settings need three."""
PARTS_MAX = 20
_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_HEADER = re.compile(r"\s*\[+([^\[\]#]+)\]+")
_KEY = re.compile(r"\s*((?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*'))*)\s*=")
_DOTTED = re.compile(r"\"([^\"\n]*)\"|'([^'\n]*)'|([A-Za-z0-9_-]+)")
_LONG_DOTTED = re.compile(rf"(?:[\w\"'-]+[ \t]*\.[ \t]*){{{PARTS_MAX}}}")
_INTEGER_LIMIT = 1 << 63


def load(text: str, report: Report) -> LocatedMapping | None:
    """The document; None if it isn't TOML, and then `report` says why and where."""
    text = text.replace("\r\n", "\n")
    long_key = _LONG_DOTTED.search(text)  # tomllib takes quadratic time for them
    if long_key is not None:
        report.error(
            "toml_syntax", text.count("\n", 0, long_key.start()) + 1, f"a key has more than {PARTS_MAX} parts", "settings need three"
        )
        return None
    try:
        document = tomllib.loads(text)
        return _block(document, (), _lines(text), 1, 0)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        at = _AT.search(said)
        line = int(at.group(1)) if at is not None and at.group(1) else text.count("\n") + 1
        report.error("toml_syntax", line, f"this isn't TOML: {_AT.sub('', said)}", 'texts stand in quotes: name = "flights"')
    except (RecursionError, ValueError) as error:
        said = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        report.error("toml_syntax", 1, f"this can't be read: {said}", "settings need three levels")
    return None


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Where each table and key stands, as far as a look at the lines tells (a multi-line text may mislead it)."""
    results: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), start=1):
        header = _HEADER.match(line)
        if header is not None and "=" not in line.partition("]")[0]:
            table = _parts(header.group(1))
            _remember(results, table, number)
        elif (key := _KEY.match(line)) is not None:
            _remember(results, table + _parts(key.group(1)), number)
    return results


def _remember(results: dict[tuple[str, ...], int], path: tuple[str, ...], number: int) -> None:
    for length in range(1, len(path) + 1):
        results.setdefault(path[:length], number)


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(next(part for part in match if part) for match in _DOTTED.findall(dotted) if any(match))


def _block(table: dict[str, Any], path: tuple[str, ...], lines: dict[tuple[str, ...], int], line: int, depth: int) -> LocatedMapping:
    if depth > DEPTH_MAX:
        raise RecursionError
    block = LocatedMapping(line)
    for key, value in table.items():
        at = lines.get((*path, key), line)
        block.put(key, _value(value, (*path, key), lines, at, depth), at)
    return block


def _value(value: Any, path: tuple[str, ...], lines: dict[tuple[str, ...], int], line: int, depth: int) -> Any:
    if isinstance(value, dict):
        return _block(value, path, lines, line, depth + 1)
    if isinstance(value, list):
        if depth > DEPTH_MAX:
            raise RecursionError
        items = Items(line)
        for item in value:
            items.put(_value(item, path, lines, line, depth + 1), line)
        return items
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, int) and not isinstance(value, bool) and not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        return str(value)
    return value
