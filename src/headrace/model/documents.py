"""What a parsed YAML text, TOML table or Python literal looks like here: plain values that remember their lines."""

from __future__ import annotations

from typing import Any


class LocatedMapping(dict[str, Any]):
    """A mapping; `lines` holds the line of each key, `line` where it begins."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}

    def put(self, key: str, value: Any, line: int) -> None:
        """Set a key that stands on `line`."""
        self[key] = value
        self.lines[key] = line


class Items(list[Any]):
    """A list; `lines` holds the line of each item, `line` where it begins."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []

    def put(self, value: Any, line: int) -> None:
        """Append an item that stands on `line`."""
        self.append(value)
        self.lines.append(line)


def plain(value: Any) -> Any:
    """The same value as ordinary dicts and lists, to be kept in a declaration."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def kind_of(value: object) -> str:
    """What a value is, in the words of somebody who writes YAML."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, (list, tuple)) else "a mapping"
