"""Two faults at once: in one delivery, at a source and at an asset that is made of it, at two
sources of one asset, or anywhere.

A word says which: `15` is one fault, `same:4+16` are two in one delivery, `below:0+27`, `two:1+12`,
`any:3+30`. What is aimed at is drawn from the seed and the word.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from lab.delivered import DELIVERED
from lab.deliveries import Delivery
from lab.faults import Fault, Make, Unfit
from lab.made import MADE
from lab.month import Lab

ALL: tuple[Make, ...] = (*DELIVERED, *MADE)
WAYS = {"same": 4, "below": 3, "two": 2, "any": 1}
"""How often a seed plays each."""
SAME, BELOW = "same:", "below:"
_TOLD_LATER = ("reported", "restatement")
"""Faults of which only a person tells, or of another day."""
_RUNS = ("code_error", "resource_exhausted", "worker_lost always")
"""Faults of an asset that last until somebody mends them."""


def drawn(lab: Lab, word: str) -> list[Fault]:
    """The faults of a scenario, with their parameters. Raises Unfit for two that can't be played
    together.
    """
    way, _, numbers = word.rpartition(":")
    makes = [ALL[int(number)] for number in numbers.split("+")]
    aims = _aims(lab, way, random.Random(f"{lab.world.seed} {word}"))
    try:
        faults = []
        for number, make in enumerate(makes):
            lab.aimed = aims[number] if aims else frozenset()
            faults.append(
                make(lab, random.Random(f"{lab.world.seed} {word.removeprefix('any:')} {number}"))
            )
    finally:
        lab.aimed = frozenset()
    missed = any(item.node not in aim for item, aim in zip(faults, aims, strict=False))
    if missed or (len(faults) > 1 and not _fit(lab, way, *faults)):
        raise Unfit
    return faults


def pairs(lab: Lab) -> list[str]:
    """Two at once, other ones for each seed."""
    chance = random.Random(f"pairs {lab.world.seed}")
    result: list[str] = []
    for way, count in WAYS.items():
        wanted = len(result) + count
        while len(result) < wanted:
            item, other = chance.sample(range(len(ALL)), 2)
            word = f"{way}:{item}+{other}"
            try:
                drawn(lab, word)
            except Unfit:
                continue
            result.append(word)
    return result


def _aims(lab: Lab, way: str, chance: random.Random) -> Sequence[frozenset[str]]:
    """At what each of two faults is aimed."""
    sources = [event.name for event in lab.world.events]
    source = chance.choice(sources)
    if way == "same":
        return frozenset({source}), frozenset({source})
    if way == "below":
        return frozenset({source}), frozenset(
            asset.name for asset in lab.graph.assets if source in lab.graph.above(asset.name)
        )
    if way != "two":
        return ()
    asset = chance.choice(lab.graph.assets)
    above = [event for event in lab.world.events if event.name in lab.graph.above(asset.name)]
    if len(above) < 2:
        raise Unfit
    item, other = chance.sample(above, 2)
    if item.owner == other.owner:  # what all sources of an owner have at once is one cause
        raise Unfit
    return frozenset({item.name}), frozenset({other.name})


def _fit(lab: Lab, way: str, item: Fault, other: Fault) -> bool:
    """Whether each of two faults can be told of beside the other."""
    if any(fault.name in _TOLD_LATER for fault in (item, other)) and way != "any":
        return False
    if way == "same":
        apart = (
            bool(item.about and other.about)
            and item.about != other.about
            and not (_lost(item, other) or _lost(other, item))
        )
        return apart and _both_strike(lab, item, other)
    if way == "below":
        return other.name.startswith(_RUNS) and item.node != other.node
    return not (_hides(lab, item, other) or _hides(lab, other, item))


def _both_strike(lab: Lab, item: Fault, other: Fault) -> bool:
    """Whether each of two faults of one delivery changes it beside the other: a group whose name is
    another can't be left out by its name."""
    source = next(each for each in lab.world.events if each.name == item.node)

    def made(*faults: Fault) -> Delivery:
        delivery = lab.days.events(source, lab.day)
        for fault in faults:
            fault.shaped[source.name](delivery, source)
        return delivery

    both = made(item, other)
    return both not in (made(item), made(other))


def _lost(item: Fault, other: Fault) -> bool:
    """Whether one takes away the column that shows the other."""
    return bool(item.gone) and item.gone in other.shown_in


def _hides(lab: Lab, upper: Fault, lower: Fault) -> bool:
    """Whether all that an asset is made of goes through where another fault is."""
    made = {asset.name for asset in lab.graph.assets}
    return upper.node == lower.node or (
        lower.node in made and upper.node in lab.graph.above(lower.node)
    )
