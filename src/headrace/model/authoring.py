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
    a batch; `output_directory` is where an asset with `materialize: files` writes.
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


def asset(**declared: Any) -> Callable[[Function], Function]:
    """Declare a function as an asset: `@asset(owner="flight-data", partition="day", inputs=["flights_clean"])`."""

    def mark(function: Function) -> Function:
        setattr(function, MARK, dict(declared))
        return function

    return mark
