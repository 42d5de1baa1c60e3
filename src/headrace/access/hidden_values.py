"""Responses for their readers: texts without marks, or without the values that they mark. TRUST Z4.

Asset code, commands and log lines have no marks and stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.model.errors import HeadraceError
from headrace.model.texts import HIDDEN, hidden

if TYPE_CHECKING:
    from headrace.project.session import Progress

_NUMBERS = (int, float, type(None))


class RenderedProgress:
    """A progress whose lines are rendered for their reader."""

    def __init__(self, progress: Progress, render: Callable[[str], str]) -> None:
        self._progress, self._render = progress, render

    def __getattr__(self, name: str) -> Any:
        return getattr(self._progress, name)

    def note(self, line: str) -> None:
        """Display one line."""
        self._progress.note(self._render(line))


def render_error(error: HeadraceError, render: Callable[[str], str]) -> None:
    """Render an error's message for its reader."""
    error.args = tuple(render(item) if isinstance(item, str) else item for item in error.args)


def rendered(value: Any, render: Callable[[str], str], *, rows: bool = False) -> Any:
    """Return a response with its texts rendered: by `hidden`, with its fields of values as well.

    With `rows`, mappings and lists in lists are data, which stays as it is.
    """
    if isinstance(value, str):
        return render(value)
    if isinstance(value, msgspec.Struct):
        return _struct(value, render, rows)
    if isinstance(value, list | tuple):
        return getattr(value, "_make", type(value))(_items(value, render, rows))
    if isinstance(value, dict) and not rows:
        return {key: rendered(item, render) for key, item in value.items()}
    return value


def _items(values: Iterable[Any], render: Callable[[str], str], rows: bool) -> Iterator[Any]:
    data = (dict, list, tuple) if rows else ()
    return (
        item if isinstance(item, data) else rendered(item, render, rows=rows) for item in values
    )


def _struct(value: msgspec.Struct, render: Callable[[str], str], rows: bool) -> msgspec.Struct:
    values = getattr(value, "values_of_rows", ()) if render is hidden else ()
    changed = {}
    for name in value.__struct_fields__:
        before = getattr(value, name)
        if isinstance(before, _NUMBERS):
            continue
        after = _hidden(before) if name in values else rendered(before, render, rows=rows)
        if after is not before and after != before:
            changed[name] = after
    return msgspec.structs.replace(value, **changed) if changed else value


def _hidden(value: Any) -> Any:
    return dict.fromkeys(value, HIDDEN) if isinstance(value, dict) else HIDDEN
