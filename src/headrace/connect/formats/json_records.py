"""Records of a JSON document, one by one: the document may be larger than memory, a record may not.

A record's text stays as it was written, but numbers that a double can't hold are quoted, because
DuckDB's reader turns every fraction into a double.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from headrace.connect.deliveries import CannotRead, UnreadableFile, printable
from headrace.connect.formats.json_text import (
    decoded,
    loaded,
    problem_of,
    require_characters,
    without_trailing_commas,
)
from headrace.lake.exact_json import OBJECT_BYTES_MAX, exact
from headrace.model.texts import quoted

CHUNK_CHARACTERS = 1 << 18
_SPACE = re.compile(r"[ \t\r\n]*")


def records(path: Path, steps: Sequence[str], key: str | None = None) -> Iterator[tuple[int, str]]:
    """Yield each object in the array at `steps` as one line of text, with the line where it begins.

    A single object is one record; with `key`, each of its members is one, whose own key comes first
    under that name. Raises CannotRead, with the line, for invalid JSON and for
    records that aren't objects.
    """
    with path.open(encoding="utf-8", newline="") as file:
        document = _Document(file)
        try:
            yield from _at(document, list(steps), "$", key)
            document.require_end()
        except RecursionError as error:
            raise CannotRead(
                f"line {document.line}: nested too deeply", line=document.line
            ) from error


def broken_array(path: Path) -> UnreadableFile | None:
    """Return the first error, with its line, in a file that should be one array of objects."""
    try:
        for line, text in records(path, ()):
            if (problem := _repeated(text)) is not None:
                return UnreadableFile(f"line {line}: {problem}", line)
    except CannotRead as error:
        return error.value
    return None


def _repeated(text: str) -> str | None:
    try:
        loaded(text, unique)
    except ValueError as error:
        return printable(error, 120)
    return None


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's pairs as a dict; raise ValueError for a repeated key."""
    results = dict(pairs)
    if len(results) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key `{printable(twice)}` comes twice in an object")
    return results


def as_text(value: Any) -> str | None:
    """Return a value as the text that a text column holds."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class _Document:
    """A moving window over the document's text."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text, self._at, self._ended = "", 0, False
        self.line = 1
        """The line of the window's current position, from 1."""

    def sign(self) -> str:
        """Return the next character that isn't blank; empty at the end."""
        while True:
            blank = _SPACE.match(self._text, self._at)
            assert blank is not None
            self._pass(blank.end())
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, expected: str) -> None:
        """Skip the expected character; raise CannotRead if another one follows."""
        result = self.sign()
        if result != expected:
            if not result:
                raise self._cut_off(f"where {expected!r} is expected")
            raise self.error(f"{expected!r} expected, not {quoted(printable(result))}")
        self._pass(self._at + 1)

    def value(self) -> tuple[Any, str]:
        """Return the next value and its text."""
        self.sign()
        while True:
            problem: ValueError | None = None
            try:
                value, end = self._decoded()
            except ValueError as error:
                problem, value, end = error, None, len(self._text)
            if problem is None and (end < len(self._text) or self._ended):
                text = self._text[self._at : end]
                self._pass(end)
                return value, text
            if len(self._text) - self._at > OBJECT_BYTES_MAX:
                raise self.error(f"a value of more than {OBJECT_BYTES_MAX:,} characters")
            if not self._more() and problem is not None:
                raise self._described(problem) from problem

    def _decoded(self) -> tuple[Any, int]:
        try:
            return decoded(self._text, self._at)
        except json.JSONDecodeError as error:
            # only these may be, or follow, a comma after a last value
            if self._text[error.pos : error.pos + 1] not in {",", "}", "]"}:
                raise
        self._text, self._at = without_trailing_commas(self._text[self._at :]), 0
        return decoded(self._text, self._at)

    def require_end(self) -> None:
        """Raise CannotRead if anything but blanks follows."""
        if result := self.sign():
            raise self.error(f"the document goes on after its end: {quoted(printable(result))}")

    def error(self, reason: str) -> CannotRead:
        """Return an error at the current line."""
        return CannotRead(f"line {self.line}: {reason}", line=self.line)

    def _described(self, error: ValueError) -> CannotRead:
        if isinstance(error, json.JSONDecodeError):
            line = self.line + self._text.count("\n", self._at, error.pos)
            if not self._text.rstrip().endswith(("}", "]")):  # the whole file has been read by now
                return self._cut_off("within a value")
            return CannotRead(f"line {line}: {problem_of(error)}", line=line)
        return self.error(printable(error, 120))

    def _cut_off(self, where: str) -> CannotRead:
        line = self.line + self._text.count("\n", self._at)
        reason = f"the file is cut off: it ends in line {line}, {where}"
        return CannotRead(reason, line=line, code="delivery_truncated")

    def _pass(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to

    def _more(self) -> bool:
        """Read at least twice the unread characters, so that large values are parsed less often."""
        if self._ended:
            return False
        left = self._text[self._at :]
        read = self._file.read(max(CHUNK_CHARACTERS, 2 * len(left)))
        self._ended = not read
        self._text, self._at = left + read, 0
        return True


def _at(
    document: _Document, steps: list[str], where: str, key: str | None
) -> Iterator[tuple[int, str]]:
    """Yield the records below the next value."""
    if steps and document.sign() == "{":
        yield from _in_member(document, steps, where, key)
    elif steps:
        raise document.error(f"{where} isn't an object; {printable(steps[0])} isn't there")
    elif key is not None:
        for name in _keys(document):
            yield _record(document, {key: name})
    elif document.sign() == "[":
        yield from _in_array(document)
    else:
        yield _record(document)


def _keys(document: _Document, once: str | None = None) -> Iterator[str]:
    """Yield the keys of an object; each time, the document is before the key's value.

    Raises CannotRead for a key that comes twice, `once` if that is given.
    """
    seen = set[str]()
    document.take("{")
    while document.sign() != "}":
        key, _ = document.value()
        if not isinstance(key, str):
            raise document.error("a key that isn't text")
        if key in seen and once in {None, key}:
            raise document.error(f"key `{printable(key)}` comes twice in an object")
        seen.add(key)
        document.take(":")
        yield key
        if document.sign() != "}":
            document.take(",")
    document.take("}")


def _in_member(
    document: _Document, steps: list[str], where: str, key: str | None
) -> Iterator[tuple[int, str]]:
    result = False
    for name in _keys(document, steps[0]):
        if name == steps[0]:
            result = True
            yield from _at(document, steps[1:], f"{where}.{printable(name)}", key)
        else:
            document.value()
    if not result:
        raise CannotRead(f"there is no `{printable(steps[0])}` in {where}", code="delivery_records")


def _in_array(document: _Document) -> Iterator[tuple[int, str]]:
    document.take("[")
    if document.sign() != "]":
        yield _record(document)
        while document.sign() != "]":
            document.take(",")
            yield _record(document)
    document.take("]")


def _record(
    document: _Document, first: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, str]:
    """Return the next value, with the line where it begins; the values of `first` come first."""
    document.sign()
    line = document.line
    value, text = document.value()
    try:
        require_characters(text, value)
    except ValueError as error:
        raise CannotRead(f"line {line}: {error}", line=line) from error
    if not isinstance(value, dict):
        kind = "an array" if isinstance(value, list) else "a plain value"
        raise CannotRead(f"line {line}: {kind}; each record must be an object", line=line)
    if twice := {*map(str.lower, first)} & {*map(str.lower, value)}:
        raise CannotRead(
            f"line {line}: the record has `{printable(min(twice))}` itself; declare another name,"
            " such as json: {keys: record_key}",
            line=line,
            code="delivery_records",
        )
    for name, text_of_key in first.items():
        pair = f"{json.dumps(name)}: {json.dumps(text_of_key)}"
        text = f"{{{pair}{', ' if value else ''}{text[1:]}"
    return line, exact(text.replace("\r", " ").replace("\n", " "))
