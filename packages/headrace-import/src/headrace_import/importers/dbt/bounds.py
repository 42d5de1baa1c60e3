"""Limits on the values of templates, so that none of them exhausts time or memory."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from headrace_import.importers.dbt.templates import NotStatic

TEXT_CHARACTERS_MAX = 2_000_000
WORK_MAX = 60_000_000
"""At most this number of characters and items are handled for one template."""
_INTEGER_BITS_MAX = 4096
_NUMBER_CHARACTERS = 20
_DIGITS_MAX = 30
_WIDTH = re.compile(r"%(?:\(\w*\))?[-+ #0]*(?:[\d*]|\.(?:\d{3}|\*))")
"""A width or a long precision of a format, which writes any number of characters."""


class Work:
    """What one template has handled so far."""

    def __init__(self) -> None:
        self._left = WORK_MAX

    def handle(self, values: Iterable[Any], line: int) -> None:
        """Count values that are about to be used. Raise NotStatic if they are too large."""
        size = 0
        for value in values:
            size += _size(value, TEXT_CHARACTERS_MAX - size)
            if size > TEXT_CHARACTERS_MAX:
                raise NotStatic("a value becomes too large", line)
        self._left -= size
        if self._left < 0:
            raise NotStatic("it takes too many steps", line)


def _size(value: Any, limit: int) -> int:
    """Return about how many characters a value has as text; more than `limit` if it is over it."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, int) and value.bit_length() > _INTEGER_BITS_MAX:
        return limit + 1
    if isinstance(value, dict):
        return _size_of_parts((part for pair in value.items() for part in pair), limit)
    if isinstance(value, list | tuple | range):
        return _size_of_parts(value, limit)
    return _NUMBER_CHARACTERS


def _size_of_parts(parts: Iterable[Any], limit: int) -> int:
    total = 0
    for part in parts:
        total += 1 + _size(part, limit - total)
        if total > limit:
            break
    return total


def require_short(name: str, args: list[Any]) -> None:
    """Raise ValueError for `replace` and `join` whose result would be too large."""
    texts = [arg for arg in args if isinstance(arg, str)]
    size = 0
    if name == "replace" and len(texts) > 2:
        size = texts[0].count(texts[1]) * len(texts[2])
    elif name == "join" and texts:
        parts = next((arg for arg in args if not isinstance(arg, str)), args[0])
        size = len(parts) * max(map(len, texts)) if hasattr(parts, "__len__") else 0
    if size > TEXT_CHARACTERS_MAX:
        raise ValueError("its result is too large")


def joined(parts: Iterable[str], line: int) -> str:
    """Return texts as one. Raise NotStatic if it is too large."""
    texts, size = [], 0
    for part in parts:
        size += len(part)
        if size > TEXT_CHARACTERS_MAX:
            raise NotStatic("a value becomes too large", line)
        texts.append(part)
    return "".join(texts)


def power(left: Any, right: Any) -> Any:
    """Return `left ** right`. Raise ValueError if that is too large."""
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if not numbers or abs(right) > 64 or abs(left) > 10**9:
        raise ValueError("the power is too large")
    return left**right


def modulo(left: Any, right: Any) -> Any:
    """Return `left % right`, also of a text. Raise ValueError for formats with a width."""
    if isinstance(left, str) and not isinstance(right, str | int | float | tuple | list):
        raise TypeError("this format isn't read")
    if isinstance(left, str) and _WIDTH.search(left):
        raise ValueError("a width isn't read")
    return left % right


def rounded(value: Any, precision: int = 0, method: str = "common") -> Any:
    """Return a number with `precision` digits, as the filter `round` of Jinja."""
    if method != "common" or abs(precision) > _DIGITS_MAX:
        raise ValueError("this `round` isn't read")
    return round(value, precision)


def without_surrogates(text: str) -> str:
    """Return a text that can be written as UTF-8. Raise NotStatic for any other."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotStatic("it writes half of a character (a surrogate)") from None
    return text
