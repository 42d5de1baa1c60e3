"""Values of expressions: JSON values, points in time of a window, and what only a run knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that only a run knows: why, and which activities and variables it comes from."""

    reason: str
    activities: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time of a run: `start` or `end` of its window, `scheduled` or `now`.

    `format` is a .NET format, None for the point in time itself; `shift` is in seconds.
    """

    bound: str
    format: str | None = None
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    """A text that has points in time within."""

    parts: tuple[str | Moment, ...]

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The points in time within."""
        return tuple(part for part in self.parts if isinstance(part, Moment))


OF_TRIGGER = "of the event that starts it"
"""How the reason of an Unknown ends that the event of a trigger determines."""

Value = Any
"""A JSON value, an Unknown, a Moment or a Template; lists and objects may hold them."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may refer to. `item` is None outside of a ForEach and a Filter."""

    pipeline: str = ""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    global_parameters: Mapping[str, Value] = field(default_factory=dict)
    dataset: Mapping[str, Value] = field(default_factory=dict)
    linked_service: Mapping[str, Value] = field(default_factory=dict)
    variables: Mapping[str, Value] = field(default_factory=dict)
    item: tuple[Value] | None = None
    assured: Scope | None = None
    """The same without what only a parameter's default says, which a run may replace."""

    def with_item(self, item: tuple[Value] | None) -> Scope:
        """Return the scope of an item of a ForEach; None for one that only a run knows."""
        inner = self.assured and self.assured.with_item(item)
        return replace(self, item=item, assured=inner)


def unknown_in(value: Value) -> Unknown | None:
    """Return the first Unknown within a value, with the activities and variables of all."""
    unknowns = list(_unknowns(value))
    return merged(unknowns) if unknowns else None


def merged(unknowns: Iterable[Unknown]) -> Unknown:
    """Return one Unknown for several."""
    every = list(unknowns)
    return Unknown(
        every[0].reason,
        frozenset().union(*(unknown.activities for unknown in every)),
        frozenset().union(*(unknown.variables for unknown in every)),
    )


def _unknowns(value: Value) -> Iterable[Unknown]:
    if isinstance(value, Unknown):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _unknowns(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _unknowns(item)


def has_moment(value: Value) -> bool:
    """Whether a value depends on the time of a run."""
    if isinstance(value, Moment | Template):
        return True
    if isinstance(value, list):
        return any(map(has_moment, value))
    return isinstance(value, dict) and any(map(has_moment, value.values()))


def joined(parts: Iterable[str | Moment | Template]) -> str | Template:
    """Return texts and points in time as one text."""
    flat: list[str | Moment] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Template) else (part,):
            _append(flat, piece)
    if any(isinstance(piece, Moment) for piece in flat):
        return Template(tuple(flat))
    return "".join(map(str, flat))


def _append(flat: list[str | Moment], piece: str | Moment) -> None:
    last = flat[-1] if flat else None
    if isinstance(piece, str) and isinstance(last, str):
        flat[-1] = last + piece
    elif piece != "":
        flat.append(piece)
