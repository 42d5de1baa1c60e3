"""What a project's Python files import: the decorator `asset`, and the `Context` that a function may ask for.

Headrace finds assets in the syntax tree, without importing anything; the decorator therefore only marks the function.
Its arguments are the fields of any asset and must be literals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
MARK = "__headrace_asset__"
"""Attribute of a decorated function: the decorator's arguments."""


@dataclass(frozen=True, slots=True)
class Context:
    """What one attempt is for, as a Python asset sees it (first parameter `ctx`).

    `start` and `end` are aware datetimes, and None for data that isn't cut by time; `partitions` holds more than one key only in
    a batch; `partition_key` is the key of data that is cut by one; `output_directory` is where an asset with `materialize: files` writes.
    """

    asset: str
    partition: str = "*"
    partitions: tuple[str, ...] = ("*",)
    start: datetime | None = None
    end: datetime | None = None
    timezone: str = "UTC"
    attempt: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    output_directory: Path | None = None
    partition_key: str | None = None

    def log(self, message: str, level: str = "info") -> None:
        """A line in the attempt's log: `debug`, `info`, `warning`, `error` or `critical`. Raises ValueError for other levels.

        Python's `logging` and `print` work as well; `print` has no levels."""
        import logging

        number = logging.getLevelNamesMapping().get(level.upper())
        if number is None:
            raise ValueError(f"{level!r} is no level: debug, info, warning, error or critical")
        logging.getLogger(f"headrace.asset.{self.asset}").log(number, "%s", message)

    def progress(self, fraction: float, message: str = "") -> None:
        """How far the attempt is, from 0 to 1, as a line in its log."""
        self.log(f"progress {min(max(fraction, 0.0), 1.0):.0%} {message}".rstrip())


def asset(**declared: Any) -> Callable[[Function], Function]:
    """Declare a function as an asset: `@asset(owner="flight-data", partition="day", inputs=["flights_clean"])`."""

    def mark(function: Function) -> Function:
        setattr(function, MARK, dict(declared))
        return function

    return mark
