"""A random world: five sources of different owners, what their rows look like, how their days
differ, how long it is known.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

SYLLABLES = (
    "ba", "co", "da", "fe", "gor", "hal", "ik", "jo", "ka", "lum", "mer", "nor", "op", "pel",
    "qua", "ri", "sto", "tur", "ul", "ven", "wi", "zan",
)  # fmt: skip
ZONES = ("UTC", "Europe/Zurich", "America/New_York", "Asia/Singapore")
DELIMITERS = (",", ";", "\t", "|")
ROWS = ((20, 100), (100, 600), (600, 3_000), (3_000, 8_000), (8_000, 50_000))
"""Rows a day: four of these in each world."""
KEYS = (15, 400)
HISTORY = (10, 28)
"""So many clean days there are before the fault."""
FAULT = date(2025, 5, 5)
"""The fault is in the week of this Monday. No zone changes its clocks in the months that are looked
at."""
WIDE_MAX = 3_000
"""Larger sources have no more than nine columns of numbers."""
LEVEL_NOISE = 0.015
TWO_OF_ONE = 0.3
"""In so many worlds one owner delivers two sources."""


@dataclass(frozen=True)
class Measure:
    """A column of numbers, some of them missing, some negative."""

    name: str
    location: float
    spread: float
    nulls: float
    negative: float
    whole: bool
    form: str = "amounts"
    """`amounts` are log-normal, `counts` small, `shares` between 0 and 1, `degrees` on both sides
    of zero."""


@dataclass(frozen=True)
class Source:
    """A source of events, a row each, with a key of its own and one into the reference data."""

    name: str
    owner: str
    kind: str
    """file or http."""
    delimiter: str
    key: str
    entity: str
    day: str
    time: str
    category: str
    categories: tuple[tuple[str, float], ...]
    note: str
    measures: tuple[Measure, ...]
    order: tuple[str, ...]
    rows: float
    weekdays: tuple[float, ...]
    noise: float
    peak: int
    arrives: int
    """Minutes after midnight, on the day after."""
    by: str
    """`expect.by`; empty: not declared."""
    keys: str
    """What its own keys look like: whole, prefixed, or digests."""
    flags: tuple[str, ...]
    """More columns, of few values; the last of two may be empty."""
    format: str = "csv"
    """Or `jsonl`, `parquet`."""
    exact: bool = False
    """Whether fractions are decimals where the format has them."""

    @property
    def columns(self) -> dict[str, str]:
        """What each column holds: text, date, time, whole, or number."""
        result = dict.fromkeys(self.order, "text")
        result |= {
            self.day: "date",
            self.time: "time",
            self.key: "whole" if self.keys == "whole" else "text",
        }
        return result | {
            measure.name: "whole" if measure.whole else "number" for measure in self.measures
        }


@dataclass(frozen=True)
class Reference:
    """Reference data: one row an entity."""

    name: str
    owner: str
    entity: str
    region: str
    weight: str
    regions: tuple[str, ...]
    keys: tuple[str, ...]
    daily: bool
    """Each day's state, instead of one file that is written over."""


@dataclass(frozen=True)
class World:
    """All of it."""

    seed: int
    zone: str
    events: tuple[Source, ...]
    reference: Reference
    days: int
    """How many clean days there are before the fault."""
    day: date
    """The first day that isn't clean; what is delivered for it comes on the next morning."""
    joined: int
    """So many sources of events are joined with the reference data."""

    @property
    def first(self) -> date:
        """The first of the clean days."""
        return self.day - timedelta(self.days)


class Names:
    """Words that are nobody's, none of them twice."""

    def __init__(self, chance: random.Random, taken: Iterable[str] = ()) -> None:
        self._chance = chance
        self._taken = {"day", "table", "select", "case", "order", "group", "from", "to", *taken}

    def new(self, syllables: int = 2) -> str:
        while True:
            word = "".join(self._chance.choice(SYLLABLES) for _ in range(syllables))
            if word not in self._taken:
                self._taken.add(word)
                return word


def world(seed: int) -> World:
    """The world of a seed."""
    chance = random.Random(f"lab {seed}")
    names = Names(chance)
    reference = _reference(chance, names)
    kinds, sizes = ["file", "file", "file", "http"], chance.sample(ROWS, 4)
    chance.shuffle(kinds)
    events = [
        _source(chance, names, kind, rows, reference)
        for kind, rows in zip(kinds, sizes, strict=True)
    ]
    if chance.random() < TWO_OF_ONE:
        events[-1] = replace(events[-1], owner=events[0].owner)
    return World(
        seed,
        chance.choice(ZONES),
        tuple(events),
        reference,
        days=chance.randint(*HISTORY),
        day=FAULT + timedelta(chance.randrange(7)),
        joined=chance.randint(1, 3),
    )


def _reference(chance: random.Random, names: Names) -> Reference:
    count = chance.randint(*KEYS)
    stem = names.new(1).upper()[0]
    regions = tuple(names.new() for _ in range(chance.randint(3, 6)))
    keys = tuple(f"{stem}{number:04d}" for number in chance.sample(range(1000, 9999), count))
    return Reference(
        names.new(),
        names.new() + "-" + names.new(),
        names.new() + "_id",
        names.new(),
        names.new(),
        regions,
        keys,
        chance.random() < 0.5,
    )


def _source(
    chance: random.Random, names: Names, kind: str, rows: tuple[int, int], reference: Reference
) -> Source:
    many = chance.choice((1, 2, 3, 4, 9, 30))
    measures = tuple(
        _measure(chance, names) for _ in range(many if rows[1] <= WIDE_MAX else min(many, 9))
    )
    flags = tuple(names.new() for _ in range(chance.choice((0, 0, 1, 2, 6))))
    mix = [chance.gammavariate(2, 1) + 0.3 for _ in range(chance.randint(2, 9))]
    weekend = chance.choice((0.0, 0.0, -0.25, -0.7))
    columns = [
        names.new() + "_no",
        reference.entity if chance.random() < 0.5 else names.new() + "_ref",
        names.new() + "_on",
        names.new() + "_at",
    ]
    category, note = names.new(), names.new()
    order = [*columns, category, note, *flags, *(measure.name for measure in measures)]
    chance.shuffle(order)
    return Source(
        name=names.new(),
        owner=f"{names.new()}-{names.new()}",
        kind=kind,
        delimiter=chance.choice(DELIMITERS),
        key=columns[0],
        entity=columns[1],
        day=columns[2],
        time=columns[3],
        category=category,
        categories=tuple((names.new(), weight / sum(mix)) for weight in mix),
        note=note,
        measures=measures,
        order=tuple(order),
        rows=math.exp(chance.uniform(math.log(rows[0]), math.log(rows[1]))),
        weekdays=tuple(chance.gauss(0, 0.05) + (weekend if day >= 5 else 0.0) for day in range(7)),
        noise=chance.uniform(0.02, 0.06),
        peak=chance.randint(8, 17),
        arrives=chance.randint(60, 240),
        by=chance.choice(("05:00", "05:15", "")),
        keys=chance.choice(("whole", "prefixed", "digests", "padded", "uuids")),
        flags=flags,
        format="csv"
        if kind == "http"
        else chance.choice(("csv", "csv", "csv", "jsonl", "parquet")),
        exact=chance.random() < 0.5,
    )


def _measure(chance: random.Random, names: Names) -> Measure:
    form = chance.choice(("amounts", "amounts", "amounts", "counts", "shares", "degrees"))
    return Measure(
        names.new(),
        chance.gauss(3, 1.2),
        chance.uniform(0.3, 0.9),
        chance.choice((0.0, 0.0, 0.02, 0.06)),
        chance.choice((0.0, 0.0, 0.0, 0.25)) if form == "amounts" else 0.0,
        form == "counts" or (form == "amounts" and chance.random() < 0.3),
        form,
    )
