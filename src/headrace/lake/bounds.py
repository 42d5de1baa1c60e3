"""Minimum and maximum as text: shortened where they are long, compared and merged as their type orders them.

A bound may be wider than the truth, never narrower: readers skip files and even answer from bounds alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

BOUND_CHARACTERS_MAX = 512
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}
_DATED = re.compile(r"(\d+)-(\d\d-\d\d)( \(BC\))?(.*)")


def lower_bound(text: str) -> str:
    """`text`, or a prefix of it: before a NUL (which not every catalog can hold) and at most `BOUND_CHARACTERS_MAX` long."""
    return text[:BOUND_CHARACTERS_MAX].split("\0", 1)[0]


def upper_bound(text: str) -> str | None:
    """`text`, or where it is long or has a NUL something short that sorts after all that begins like it; None if there is none."""
    prefix = lower_bound(text)
    return text if prefix == text else _after(prefix)


def _after(prefix: str) -> str | None:
    """The first text after all texts that begin with `prefix`."""
    for end in range(len(prefix), 0, -1):
        point = ord(prefix[end - 1]) + 1
        if point == 0xD800:
            point = 0xE000
        if point <= 0x10FFFF:
            return prefix[: end - 1] + chr(point)
    return None


def is_text(type_name: str) -> bool:
    """Whether values of the type are ordered as text."""
    return type_name in ("VARCHAR", "JSON")


@cache
def ordering(type_name: str) -> Callable[[str], Any]:
    """What values of the type, given as text, are ordered by."""
    if type_name in _INTEGERS:
        return int
    if type_name.startswith("DECIMAL"):
        return Decimal
    if type_name in ("FLOAT", "DOUBLE"):
        return float
    if type_name.startswith(("DATE", "TIMESTAMP")):
        return _instant
    return str


def _instant(text: str) -> tuple[float, str, str]:
    """Years of more than four digits and before Christ sort as numbers, the rest as text; infinities at the ends."""
    match = _DATED.fullmatch(text)
    if match is None:
        return (-math.inf if text.startswith("-") else math.inf, "", "")
    year = int(match[1])
    return (1 - year if match[3] else year, match[2], match[4].removesuffix("+00"))
