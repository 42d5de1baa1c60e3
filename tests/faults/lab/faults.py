"""What a fault is: what is done on the morning of the first day after the clean ones, and what it
should be put down to."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, time

from lab.driving import Driver
from lab.month import Lab, Shaped

EARLY = time(0, 40)
"""When somebody applies a change, pauses something: before the deliveries of the day."""


@dataclass
class Stage:
    """Where a fault plays."""

    lab: Lab
    driver: Driver
    chance: random.Random
    mended: date
    """The morning on which those whose fault it is mend it."""

    def command(self, day: date, at: time, *arguments: str) -> None:
        self.driver.command(self.lab.moment(day, at), *arguments)


Act = Callable[[Stage], None]


class Unfit(Exception):
    """A fault can't be played at what it is aimed at."""


def nothing(_: Stage) -> None:
    """Nothing is done."""


@dataclass(frozen=True)
class Fault:
    """One fault with the parameters that were drawn for it."""

    name: str
    """What it is to be called, and after that which of its kind it is."""
    node: str
    """Where it is."""
    what: str
    """Its parameters, for people."""
    shaped: dict[str, Shaped] = field(default_factory=dict)
    """What is done to the deliveries of the day."""
    strike: Act = nothing
    """What is done before the first look of the morning."""
    late: Act = nothing
    """What is done at nine o'clock of the same morning, before the last look."""
    mend: Act = nothing
    """What is done on the next morning by those whose fault it is."""
    resent: bool = True
    """On the next morning the delivery comes as it should have been."""
    by_itself: bool = True
    """No person has to do anything with Headrace for readers to be served again once it
    is mended."""
    findable: bool = True
    """The contract or the history could have shown it; else false green isn't held against
    Headrace."""
    observed_between: bool = False
    """Somebody looks before the first deadline as well: what comes late comes then."""
    skipped: int = 0
    """So many mornings nobody looks."""
    moves: str = ""
    """The number (`findable.numbers`) that it moves, where it is seen by nothing else; else it can
    be told exactly."""
    about: str = ""
    """Of faults of deliveries that can be read: the `schema`, the `rows`, or the `values`; two of
    different ones can be told apart."""
    gone: str = ""
    """A column that it takes away."""
    shown_in: frozenset[str] = frozenset()
    """The columns that it is seen in."""
    also: str = ""
    """What else it may be called, where the interface's words leave it open."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it may be called."""
        return tuple(filter(None, (self.name.partition(" ")[0], self.also)))


Make = Callable[[Lab, random.Random], Fault]
