"""What formats of JSON refuse that Python's reader takes: repeated keys, NaN, half characters."""

from __future__ import annotations

from typing import Any

HALVED = "holds half of a character: \\ud800 to \\udfff alone"


def is_halved(value: Any) -> bool:
    """Return whether a text has half of a character that is written as two."""
    if not isinstance(value, str) or value.isascii():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object. Raise ValueError for a key that is there twice."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key is there twice in an object")
    return values


def no_number(text: str) -> None:
    """Raise ValueError: `NaN` and `Infinity` aren't numbers of JSON."""
    raise ValueError(f"{text} is no number of JSON")
