"""Goodput and waste: what became of the rows that attempts staged. Each row is in exactly one place. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

GOOD, RETRY, REJECTED, SUPERSEDED, IDENTICAL, WRONG, WAITING = (
    "good", "retry", "rejected", "superseded", "identical", "wrong", "waiting",
)  # fmt: skip
PLACES = (GOOD, RETRY, REJECTED, SUPERSEDED, IDENTICAL, WRONG, WAITING)
"""`retry`: of attempts that failed or were lost. `rejected`: of what didn't pass. `superseded`: replaced or taken back since. `identical`:
the same as what was there. `wrong`: named by an incident. `waiting`: of a plan that isn't published."""
_OF_STATE = {"held": REJECTED, "rejected": REJECTED, "staged": WAITING, "queued": WAITING, "running": WAITING}


class Made(msgspec.Struct, frozen=True):
    """A publication of an attempt, and how it stood when the window ended."""

    partition: str
    rows: int
    identical: bool
    ended: bool
    wrong: bool


class Staged(msgspec.Struct, frozen=True):
    """An attempt that ended in the window: its state, the rows that it staged, and what of them was published."""

    node: str
    attempt: str
    state: str
    at_us: int
    rows: int
    made: tuple[Made, ...] = ()


class Goodput(msgspec.Struct, frozen=True):
    """Of one node: rows staged, and where they went. The places sum to `staged`."""

    node: str
    attempts: int
    staged: int
    places: dict[str, int]

    @property
    def good(self) -> int:
        """Rows of publications that are sound and still stand."""
        return self.places[GOOD]


def places(one: Staged) -> dict[str, int]:
    """Where the rows of one attempt went."""
    found = dict.fromkeys(PLACES, 0)
    if one.state != "published":
        found[_OF_STATE.get(one.state, RETRY)] += one.rows
        return found
    for made in one.made:
        found[_place(made)] += made.rows
    found[REJECTED] += max(0, one.rows - sum(made.rows for made in one.made))
    return found


def _place(made: Made) -> str:
    if made.wrong:
        return WRONG
    if made.identical:
        return IDENTICAL
    return SUPERSEDED if made.ended else GOOD


def by_node(rows: Iterable[Staged]) -> list[Goodput]:
    """Per node, in the order in which they come first."""
    found: dict[str, list[Staged]] = {}
    for one in rows:
        found.setdefault(one.node, []).append(one)
    return [_sum(node, attempts) for node, attempts in found.items()]


def _sum(node: str, attempts: Sequence[Staged]) -> Goodput:
    total = dict.fromkeys(PLACES, 0)
    for one in attempts:
        for place, rows in places(one).items():
            total[place] += rows
    return Goodput(node, len(attempts), sum(total.values()), total)
