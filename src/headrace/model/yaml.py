"""YAML as declarations use it: 1.2 core scalars, a line for every key and item, and no way to make it explode.

`NO`, `07:00`, `2013-02-11` and `1_000` are text. Duplicate keys are problems. Tags are refused. Aliases work as long as
what they stand for stays within `VALUES_MAX`. PyYAML's C parser delivers events, which are put together here without
recursion, so that neither deep nor recursive documents can exhaust the stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from headrace.model.documents import Items, LocatedMapping
from headrace.model.reporting import Report, shown

DEPTH_MAX = 40
"""Levels of nesting; a declaration needs about six."""
VALUES_MAX = 100_000
"""Values in one document, aliases counted as what they stand for."""
KEY_CHARACTERS_MAX = 200

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": float("inf"), ".Inf": float("inf"), ".INF": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"),
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip
_NUMERIC_START = frozenset("0123456789-+.")
_INTEGER_LIMIT = 1 << 63


class _Refused(Exception):
    """The document can't be read further."""

    def __init__(self, code: str, line: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.problem = (code, line, message, hint)


def load(text: str, report: Report, *, line: int = 1) -> Any:
    """The one document in `text`, whose first line is line `line` of the file. None where it is empty or can't be read
    (then `report` says why). Mappings are `LocatedMapping`s and lists are `Items`."""
    import yaml  # 20 ms: only who reads YAML pays for it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(report, line).build(yaml.parse(text, Loader=loader))
    except _Refused as refused:
        report.error(*refused.problem)
    except yaml.MarkedYAMLError as error:
        report.error(*_syntax(error, text, line))
    except yaml.YAMLError as error:  # the reader's: characters that YAML doesn't allow
        report.error("yaml_syntax", line, f"this isn't YAML: {error}", "remove characters that can't be seen")
    return None


def scalar(text: str) -> Any:
    """What a plain (unquoted) scalar means in YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC_START or len(text) > 40:
        return text
    if _INTEGER.fullmatch(text):
        number = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        return number if -_INTEGER_LIMIT <= number < _INTEGER_LIMIT else text
    return float(text) if _FLOAT.fullmatch(text) else text


class _Frame:
    """A mapping or list that isn't closed yet."""

    __slots__ = ("anchor", "before", "container", "key", "key_line")

    def __init__(self, container: LocatedMapping | Items, anchor: str | None, before: int) -> None:
        self.container = container
        self.anchor = anchor
        self.before = before
        self.key: str | None = None
        self.key_line = 0


class _Builder:
    """Puts one document together from events."""

    def __init__(self, report: Report, line: int) -> None:
        self._report = report
        self._offset = line
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0
        self._documents = 0
        self._result: Any = None

    def build(self, events: Iterator[Any]) -> Any:
        handlers = {
            "ScalarEvent": self._scalar, "MappingStartEvent": self._mapping, "SequenceStartEvent": self._sequence,
            "MappingEndEvent": self._close, "SequenceEndEvent": self._close, "AliasEvent": self._alias,
            "DocumentStartEvent": self._document,
        }  # fmt: skip
        for event in events:
            handler = handlers.get(type(event).__name__)
            if handler is not None:
                handler(event)
        return self._result

    def _line(self, event: Any) -> int:
        return int(event.start_mark.line) + self._offset

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _Refused(
                "yaml_syntax", self._line(event), "a second document begins here (`---`)", "write one document a file, or a list"
            )

    def _scalar(self, event: Any) -> None:
        line = self._line(event)
        if event.tag is not None and event.tag not in ("!", "tag:yaml.org,2002:str"):
            self._refuse_tag(event.tag, line)
        text: str = event.value
        if "\0" in text:
            raise _Refused("not_text", line, "a value holds a NUL character", "remove `\\0`")
        if self._wants_key():
            self._key(text, line)
        else:
            self._add(scalar(text) if event.implicit[0] else text, line, event.anchor, 1)

    def _refuse_tag(self, tag: str, line: int) -> None:
        raise _Refused("yaml_tag", line, f"the tag {shown(tag)} isn't read", "write the plain value, in quotes where it is text")

    def _wants_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].container, LocatedMapping) and self._stack[-1].key is None

    def _key(self, text: str, line: int) -> None:
        frame = self._stack[-1]
        if not text or len(text) > KEY_CHARACTERS_MAX:
            raise _Refused("yaml_key", line, f"{shown(text)} can't be a key", "a key is a short name before a colon")
        frame.key, frame.key_line = text, line

    def _mapping(self, event: Any) -> None:
        self._open(LocatedMapping(self._line(event)), event)

    def _sequence(self, event: Any) -> None:
        self._open(Items(self._line(event)), event)

    def _open(self, container: LocatedMapping | Items, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            self._refuse_tag(event.tag, container.line)
        if self._wants_key():
            raise _Refused(
                "yaml_key", container.line, "a list or mapping stands where a key is expected", "quote it if it is meant as text"
            )
        if len(self._stack) >= DEPTH_MAX:
            raise _Refused("yaml_too_deep", container.line, f"more than {DEPTH_MAX} levels of nesting", "a declaration needs about six")
        self._stack.append(_Frame(container, event.anchor, self._count))

    def _close(self, _: Any) -> None:
        frame = self._stack.pop()
        self._add(frame.container, frame.container.line, frame.anchor, 1, self._count - frame.before)

    def _alias(self, event: Any) -> None:
        line = self._line(event)
        if event.anchor not in self._anchors:
            raise _Refused("yaml_syntax", line, f"the alias {shown('*' + event.anchor)} has no anchor before it", "write the value itself")
        if self._wants_key():
            raise _Refused("yaml_key", line, "an alias stands where a key is expected", "write the key itself")
        value, size = self._anchors[event.anchor]
        self._add(value, line, None, size)

    def _add(self, value: Any, line: int, anchor: str | None, size: int, inside: int = 0) -> None:
        """Put a finished value where it belongs. `inside` values of a container have been counted already."""
        self._count += size
        if self._count > VALUES_MAX:
            raise _Refused(
                "yaml_too_many_values", line, f"more than {VALUES_MAX:,} values, aliases expanded", "keep data in files that sources read"
            )
        if anchor is not None:
            self._anchors[anchor] = (value, size + inside)
        if not self._stack:
            self._result = value
            return
        frame = self._stack[-1]
        if isinstance(frame.container, Items):
            frame.container.put(value, line)
            return
        self._put(frame, value)

    def _put(self, frame: _Frame, value: Any) -> None:
        key, frame.key = frame.key, None
        block = frame.container
        assert isinstance(block, LocatedMapping)
        assert key is not None
        if key in block:
            first = block.lines[key]
            message = f"the key {shown(key)} is here twice (first on line {first})"
            self._report.error("yaml_duplicate_key", frame.key_line, message, "keep one of them")
            return
        block.put(key, value, frame.key_line)


def _syntax(error: Any, text: str, offset: int) -> tuple[str, int, str, str]:
    """A parser's complaint as a problem; most are tabs, missing quotes, or a wrong indentation."""
    mark = error.problem_mark or error.context_mark
    index = mark.line if mark is not None else 0
    lines = text.splitlines()
    written = lines[index] if index < len(lines) else ""
    indentation = written[: len(written) - len(written.lstrip())]
    if "\t" in indentation:
        return "yaml_tab", index + offset, "a tab stands in the indentation", "use spaces; YAML doesn't take tabs"
    said = " ".join(part for part in (error.context, error.problem) if part)
    return "yaml_syntax", index + offset, f"this isn't YAML: {said}", _syntax_hint(written)


def _syntax_hint(written: str) -> str:
    stripped = written.strip()
    if stripped.startswith(("*", "&", "@", "%", "`", "{{")) or ": " in stripped.partition(": ")[2]:
        return "put text with special characters in quotes"
    return "check indentation, colons and quotes here and on the line before"
