"""Texts of open documents, and their positions as the protocol counts them.

The protocol counts lines by CR LF, LF and CR alone, and characters of a line in units of UTF-16
unless client and server agree on another encoding. `pygls` counts lines as `str.splitlines` does
and moves a position beyond the end of a line before its last character, so its own documents
aren't used.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property

from lsprotocol import types

_LINE_ENDS = re.compile(r"\r\n|\n|\r")
_UNIT_BYTES = {"utf-8": 1, "utf-16": 2, "utf-32": 4}
_CODECS = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}


class Text:
    """One version of a document's text. Offsets are code points from 0."""

    def __init__(self, content: str, encoding: str = "utf-16") -> None:
        self.content = content
        self._codec, self._unit = _CODECS[encoding], _UNIT_BYTES[encoding]
        self._encoding = encoding

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(end.end() for end in _LINE_ENDS.finditer(self.content))]

    def line_range(self, number: int) -> tuple[int, int]:
        """Return start and end of a line (from 0), without its line end.

        A line beyond the text is empty, at the end of the text.
        """
        if number >= len(self._starts):
            return len(self.content), len(self.content)
        start = self._starts[number]
        last = number + 1 == len(self._starts)
        end = len(self.content) if last else self._starts[number + 1]
        return start, start + len(self.content[start:end].rstrip("\r\n"))

    def offset(self, position: types.Position) -> int:
        """Return the offset of a position; one beyond a line or the text is at its end.

        A position within a character is before that character.
        """
        start, end = self.line_range(max(0, position.line))
        line = self.content[start:end]
        units = max(0, position.character)
        if line.isascii():
            return min(start + units, end)
        encoded = line.encode(self._codec, "surrogatepass")[: units * self._unit]
        return start + len(encoded.decode(self._codec, "ignore"))

    def position(self, offset: int) -> types.Position:
        """Return the position of an offset."""
        line = bisect_right(self._starts, offset) - 1
        before = self.content[self._starts[line] : offset]
        units = len(before.encode(self._codec, "surrogatepass")) // self._unit
        return types.Position(line, len(before) if before.isascii() else units)

    def range(self, start: int, end: int) -> types.Range:
        """Return the range between two offsets."""
        return types.Range(self.position(start), self.position(end))

    def changed(self, change: types.TextDocumentContentChangeEvent) -> Text:
        """Return the text after a change of a range, or of the whole document."""
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            return Text(change.text, self._encoding)
        start, end = sorted((self.offset(change.range.start), self.offset(change.range.end)))
        return Text(self.content[:start] + change.text + self.content[end:], self._encoding)
