"""The conditions of an item (level 88), as the values that it may have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any

from headrace.extension.formats import shown
from headrace_legacy.code_pages import NO_LINE_BREAKS
from headrace_legacy.copybooks import CopybookError, Item, Kind

_BEFORE = ("VALUE", "VALUES", "IS", "ARE")
_THROUGH = ("THRU", "THROUGH")
_FIGURATIVE = {
    **dict.fromkeys(("SPACE", "SPACES", "LOW-VALUE", "LOW-VALUES"), "''"),
    **dict.fromkeys(("ZERO", "ZEROS", "ZEROES"), "0"),
}
_HEXADECIMAL = re.compile("X(['\"])(?:[0-9A-F]{2})+\\1")


class Conditions:
    """The values that conditions of an item have. Raises CopybookError for none."""

    def __init__(self, item: Item, encoding: str) -> None:
        self._item, self._encoding = item, encoding
        self.is_text = item.picture is not None and item.picture.kind is Kind.TEXT
        self._ranges = [part for words in item.conditions for part in self._parts(words)]
        if not self._ranges:
            raise CopybookError(item.line, f"{item.name} has no conditions")

    def has(self, value: Any) -> bool:
        """Return whether a condition has a value."""
        key = self._key(value)
        return any(low <= key <= high for low, high in self._ranges)

    def _key(self, value: Any) -> Any:
        """Return what values are compared by: for texts, their bytes in the code page."""
        if not self.is_text:
            return value
        return value.rstrip().ljust(self._item.size).encode(self._encoding, "replace")

    def _parts(self, words: Sequence[str]) -> Iterator[tuple[Any, Any]]:
        """Yield the first and the last value of each range."""
        stated = [word for word in words if word not in _BEFORE]
        if "WHEN" in stated:  # WHEN SET TO FALSE
            del stated[stated.index("WHEN") :]
        while stated:
            is_all = stated[0] == "ALL" and len(stated) > 1
            low = high = self._parsed(stated.pop(is_all), is_all=is_all)
            del stated[:is_all]
            if stated[:1] and stated[0] in _THROUGH:
                high = self._parsed(stated[1] if len(stated) > 1 else "")
                del stated[:2]
            yield low, high

    def _parsed(self, word: str, *, is_all: bool = False) -> Any:
        literal = _FIGURATIVE.get(word, word)
        if not self.is_text:
            with suppress(InvalidOperation):
                return Decimal(literal)
        elif literal == "0":
            return self._key("0" * self._item.size)
        elif literal[:1] in ("'", '"'):
            mark, size = literal[0], self._item.size
            text = literal[1:-1].replace(mark * 2, mark)
            return self._key((text * size)[:size] if is_all else text)
        elif _HEXADECIMAL.fullmatch(literal):
            text = bytes.fromhex(literal[2:-1]).decode(self._encoding).translate(NO_LINE_BREAKS)
            if "\N{REPLACEMENT CHARACTER}" not in text:
                return self._key(text)
        raise CopybookError(self._item.line, f"the condition {shown(word)} isn't read")
