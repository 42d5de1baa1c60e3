"""What formats of JSON refuse that Python's reader takes: repeated keys, and NaN for a number."""

from __future__ import annotations

from typing import Any


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object. Raise ValueError for a key that is there twice."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key is there twice in an object")
    return values


def no_number(text: str) -> None:
    """Raise ValueError: `NaN` and `Infinity` aren't numbers of JSON."""
    raise ValueError(f"{text} is no number of JSON")
