"""JSON files of a factory: parsed with the line of every object, however they are encoded."""

from __future__ import annotations

import codecs
import json
import re
from bisect import bisect_right
from typing import Any

DEPTH_MAX = 200
FILE_BYTES_MAX = 50_000_000
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TOKEN = re.compile(
    r'[ \t\r\n]*(?:([{}\[\],:])|("(?:[^"\\\x00-\x1f]|\\.)*")|'
    r"(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null))"
)


class BrokenJsonError(Exception):
    """Text that isn't JSON; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message, self.line = message, line


class JsonObject(dict[str, Any]):
    """An object of a JSON file, with its first line and its own text."""

    __slots__ = ("end", "line", "start", "text")

    def __init__(self, text: str = "", start: int = 0, line: int = 1) -> None:
        super().__init__()
        self.text, self.start, self.end, self.line = text, start, len(text), line

    @property
    def original(self) -> str:
        """The object as it is written in its file."""
        return self.text[self.start : self.end]


def decoded(content: bytes) -> str:
    """Return a file's text, in the encoding of its byte order mark, else as UTF-8 or UTF-16.

    Raise BrokenJsonError for text in neither.
    """
    encoding = next((name for bom, name in _BOMS if content.startswith(bom)), None)
    if encoding is None:
        encoding = "utf-8"
        if content[1:2] == b"\0":
            encoding = "utf-16-le"
        elif content[:1] == b"\0":
            encoding = "utf-16-be"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise BrokenJsonError(f"it isn't text in {encoding.upper()}", 1) from None


def parse(text: str) -> Any:
    """Return the value of a JSON text; objects are JsonObjects.

    Raise BrokenJsonError for other text, for a key that occurs twice in one object, and for
    values nested more than `DEPTH_MAX` deep.
    """
    return _Parser(text).document()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self._lines = [match.end() for match in re.finditer("\n", text)]

    def document(self) -> Any:
        value = self._value(0)
        if self.text[self.at :].strip():
            raise self._broken("something follows the value")
        return value

    def _line(self, at: int) -> int:
        return bisect_right(self._lines, at) + 1

    def _broken(self, message: str) -> BrokenJsonError:
        return BrokenJsonError(message, self._line(self.at))

    def _next(self) -> re.Match[str]:
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            rest = self.text[self.at :].lstrip()
            excerpt = f"`{rest[:20]!s}`" if rest else "the end of the file"
            raise self._broken(f"{excerpt} stands where a value or a sign should")
        self.at = match.end()
        return match

    def _value(self, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise self._broken(f"values are nested more than {DEPTH_MAX} deep")
        return self._from(self._next(), depth)

    def _from(self, token: re.Match[str], depth: int) -> Any:
        sign, string, other = token.groups()
        if string is not None:
            return self._string(string)
        if other is not None:
            return json.loads(other)
        if sign == "{":
            return self._object(token.start(1), depth)
        if sign == "[":
            return self._array(depth)
        raise self._broken(f"`{sign}` stands where a value should")

    def _string(self, written: str) -> str:
        try:
            return str(json.loads(written))
        except ValueError:
            raise self._broken("a text has an escape that JSON doesn't know") from None

    def _object(self, start: int, depth: int) -> JsonObject:
        result = JsonObject(self.text, start, self._line(start))
        token = self._next()
        while token[1] != "}":
            if token[2] is None:
                raise self._broken("a key should stand here")
            key = self._string(token[2])
            if key in result:
                raise self._broken(f"the key `{key}` occurs twice in one object")
            if self._next()[1] != ":":
                raise self._broken("`:` should stand here")
            result[key] = self._value(depth + 1)
            token = self._following("}")
        result.end = self.at
        return result

    def _following(self, end: str) -> re.Match[str]:
        """Return the first token of the next entry, or the end of an object or array."""
        token = self._next()
        if token[1] == end:
            return token
        if token[1] != ",":
            raise self._broken(f"`,` or `{end}` should stand here")
        token = self._next()
        if token[1] == end:
            raise self._broken(f"a comma stands before `{end}`")
        return token

    def _array(self, depth: int) -> list[Any]:
        result: list[Any] = []
        if depth >= DEPTH_MAX:
            raise self._broken(f"values are nested more than {DEPTH_MAX} deep")
        token = self._next()
        while token[1] != "]":
            result.append(self._from(token, depth + 1))
            token = self._following("]")
        return result
