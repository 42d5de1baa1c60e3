"""The nodes beside a node as a picture: what it reads on the left, who reads it on the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headrace_docs.markup import Html, tag

SIDE_MAX = 12
"""Boxes on one side; the lists beside the picture have all."""
_WIDTH, _HEIGHT, _GAP, _BETWEEN = 220, 34, 12, 90
_LETTERS_MAX = 26


class Box(NamedTuple):
    """A node in the picture. `style` is `source`, `asset`, `consumer` or `more`."""

    name: str
    style: str


def lineage_picture(node: Box, reads: Sequence[Box], read_by: Sequence[Box]) -> Html:
    """Return the picture of a node and its neighbours as SVG."""
    sides = [side for side in (_side(reads), [node], _side(read_by)) if side]
    subject = 1 if reads else 0
    height = max(map(len, sides)) * (_HEIGHT + _GAP) + _GAP
    middles = [_middles(len(side), height) for side in sides]
    (centre,) = middles[subject]
    lines = [
        *(_line(subject - 1, y, centre) for y in (middles[0] if subject else ())),
        *(_line(subject, centre, y) for y in (middles[subject + 1] if read_by else ())),
    ]
    boxes = [
        _box(box, column * (_WIDTH + _BETWEEN), y, is_subject=column == subject)
        for column, (side, ys) in enumerate(zip(sides, middles, strict=True))
        for box, y in zip(side, ys, strict=True)
    ]
    width = len(sides) * (_WIDTH + _BETWEEN) - _BETWEEN
    label = f"{node.name} reads {len(reads)} and is read by {len(read_by)}; the lists name them"
    picture = tag(
        "svg",
        *lines,
        *boxes,
        viewBox=f"-2 0 {width + 4} {height}",
        width=width + 4,
        role="img",
        aria_label=label,
        class_="lineage",
    )
    return tag(
        "div", picture, class_="table", role="region", aria_label="Lineage, drawn", tabindex=0
    )


def _side(boxes: Sequence[Box]) -> list[Box]:
    if len(boxes) <= SIDE_MAX:
        return list(boxes)
    return [*boxes[: SIDE_MAX - 1], Box(f"{len(boxes) - SIDE_MAX + 1:,} more", "more")]


def _middles(count: int, height: int) -> list[float]:
    """Return where the boxes of a column have their middles."""
    first = (height - count * (_HEIGHT + _GAP)) / 2 + (_HEIGHT + _GAP) / 2
    return [first + at * (_HEIGHT + _GAP) for at in range(count)]


def _line(column: int, begin: float, end: float) -> Html:
    left = column * (_WIDTH + _BETWEEN) + _WIDTH
    right, bend = left + _BETWEEN, left + _BETWEEN / 2
    path = f"M{left} {begin:g}C{bend:g} {begin:g} {bend:g} {end:g} {right} {end:g}"
    return tag("path", d=path)


def _box(box: Box, x: float, y: float, *, is_subject: bool) -> Html:
    name = box.name
    letters = name if len(name) <= _LETTERS_MAX else f"{name[: _LETTERS_MAX - 1]}…"
    top = y - _HEIGHT / 2
    return tag(
        "g",
        tag("title", name),
        tag("rect", x=f"{x:g}", y=f"{top:g}", width=_WIDTH, height=_HEIGHT, rx=4),
        tag("text", letters, x=f"{x + 10:g}", y=f"{y + 4.5:g}"),
        class_=f"{box.style} own" if is_subject else box.style,
    )
