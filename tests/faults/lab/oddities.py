"""What isn't a fault: a holiday, a storm, growth, a file that is touched, a column more, a name
that wasn't there before."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta

from lab.deliveries import Delivery
from lab.month import Lab, Shaped
from lab.shapes import Source

DAYS = 30


@dataclass(frozen=True)
class Oddity:
    """What is different on a day, and for people what it is."""

    factors: dict[str, float]
    shaped: dict[str, Shaped]
    what: str


def month(lab: Lab) -> dict[date, Oddity]:
    """The odd days of the month after the clean weeks; nothing of it is wrong."""
    chance = random.Random(f"oddities {lab.world.seed}")
    every = [source.name for source in lab.world.events]
    grows, grown = chance.choice(every), chance.choice((1.004, 1.008))
    holiday, storm = sorted(chance.sample(range(3, 22), 2))
    adds, added, sent_again = (
        chance.choice(lab.world.events),
        chance.randrange(8, 14),
        chance.choice(lab.world.events),
    )
    days = {}
    for number in range(DAYS):
        factors, shaped, what = {grows: grown**number}, dict[str, Shaped](), ""
        if number == holiday:
            factors |= {name: factors.get(name, 1.0) * 0.55 for name in every}
            what = "a holiday: 45 % less everywhere"
        if number == storm:
            factors |= {name: factors.get(name, 1.0) * chance.uniform(0.6, 0.7) for name in every}
            what = "a storm: a third less everywhere"
        if number >= added:
            shaped[adds.name] = _with_column(added)
            what = what or ("a column more" if number == added else "")
        if number == 25:
            shaped[sent_again.name] = _later(shaped.get(sent_again.name))
            what = "a delivery 15 minutes later than ever"
        days[lab.day + timedelta(number)] = Oddity(factors, shaped, what)
    return days


def _with_column(number: int) -> Shaped:
    def shaped(made: Delivery, _: Source | None) -> None:
        made.header = [*made.header, f"extra_{number}"]
        for row in made.rows:
            row[f"extra_{number}"] = "a"

    return shaped


def _later(before: Shaped | None) -> Shaped:
    def shaped(made: Delivery, source: Source | None) -> None:
        if before is not None:
            before(made, source)
        made.delay = timedelta(minutes=15)

    return shaped
