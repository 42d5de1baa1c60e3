"""How long a node's partitions take: the past, brought to today's level and volume. Pure."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headrace_advisor.analysis.history import PastComputation
from headrace_advisor.analysis.levels import SIGMA, Levels, levels_of

VOLUME_PAIRS_MIN, VOLUME_PAIRS_MAX = 20, 400
"""Number of pairs of days from which the effect of the volume is learnt."""
VOLUME_DIFFERS = 0.1
"""Smallest difference of the logarithms of two volumes that says anything about the effect."""
VOLUME_POWER_MAX = 2.0
UNKNOWN_POWER = 1.0
"""Effect of the volume where it never varied: twice the data takes twice as long."""
FEW_DAYS = 1.3
"""By how many times one divided by their number few durations spread less than many: the factor by
which 80 % of the distribution of Student is wider than of the normal one, with their deviation."""
WEEKDAY_CHANCE = 2.5
"""Smallest difference of a weekday that counts, in standard errors of its median."""
SHORTEST_SECONDS = 0.001


class DurationModel(NamedTuple):
    """A node's durations in seconds.

    A duration is proportional to the `power` of the volume. `logarithms` are, by computation, those
    of what it would take today at a volume of 1 byte and without the effect of its weekday;
    `weekdays` are the effects of the seven weekdays. `known_power` says whether the power was
    measured, `volumes` are 0 if it wasn't. `doubt` is the standard error of the level.
    """

    computations: Sequence[PastComputation]
    logarithms: Sequence[float]
    volumes: Sequence[float]
    weekdays: Sequence[float]
    power: float
    known_power: bool
    levels: Levels

    def seconds(self, index: int, day: int, volume: float | None = None) -> float:
        """Return the duration that a past computation would have on a day with a volume.

        Without `volume`, the volume is that of the computation.
        """
        return math.exp(self.logarithm(index, day, volume))

    def logarithm(self, index: int, day: int, volume: float | None = None) -> float:
        """Return the logarithm of `seconds`."""
        result = self.logarithms[index] + self.weekdays[day % 7]
        past = self.volumes[index]
        if past:
            result += self.power * math.log(volume or past)
        return result

    def moved(self, index: int, chance: float, deviations: float) -> float:
        """Return by how much a logarithm differs in a sample, for what isn't sure of the level.

        `chance` (from 0 to 1) and `deviations` (normally distributed) are those of the sample. The
        newest durations may be of a new level: if two of them are odd, in half of the samples.
        """
        levels = self.levels
        result = levels.doubt * deviations
        newest = len(self.logarithms) - levels.odd
        if levels.odd and index < newest and chance < levels.odd / (levels.odd + 2):
            result += levels.off
        return result


def duration_model(
    computations: Sequence[PastComputation], volume_of: Mapping[int, float]
) -> DurationModel | None:
    """Return the model of a node's past computations, oldest first; None without any.

    `volume_of` maps days (ordinals) to the volume that its sources delivered.
    """
    if not computations:
        return None
    volumes = [volume_of.get(item.day, 0.0) for item in computations]
    logarithms = [math.log(max(SHORTEST_SECONDS, item.seconds)) for item in computations]
    power = _power(logarithms, volumes)
    rest = logarithms if power is None else _at_usual_volume(logarithms, volumes, power)
    weekdays = _weekdays([item.day for item in computations], rest)
    rest = [value - weekdays[item.day % 7] for value, item in zip(rest, computations, strict=True)]
    levels = levels_of(rest)
    known = volumes if power is not None else [0.0] * len(volumes)
    factor = UNKNOWN_POWER if power is None else power
    wider = FEW_DAYS / len(rest)
    bases = [
        value
        + levels.values[-1]
        - level
        + wider * (usual - level)
        - weekdays[item.day % 7]
        - (factor * math.log(volume) if volume else 0.0)
        for value, usual, level, item, volume in zip(
            logarithms, rest, levels.values, computations, known, strict=True
        )
    ]
    return DurationModel(computations, bases, known, weekdays, factor, power is not None, levels)


def _at_usual_volume(
    logarithms: Sequence[float], volumes: Sequence[float], power: float
) -> list[float]:
    usual = statistics.median(math.log(volume) for volume in volumes if volume)
    return [
        value - power * (math.log(volume) - usual) if volume else value
        for value, volume in zip(logarithms, volumes, strict=True)
    ]


def _power(logarithms: Sequence[float], volumes: Sequence[float]) -> float | None:
    """Return the median slope of the durations over the volumes; None if these hardly vary."""
    known = [
        (math.log(volume), value)
        for value, volume in zip(logarithms, volumes, strict=True)
        if volume > 0
    ]
    if len(known) < 2:
        return None
    draw = random.Random(len(known))  # noqa: S311 - which pairs are compared is the same each time
    slopes = []
    for _ in range(VOLUME_PAIRS_MAX):
        (volume, value), (other_volume, other_value) = draw.sample(known, 2)
        if abs(volume - other_volume) >= VOLUME_DIFFERS:
            slopes.append((value - other_value) / (volume - other_volume))
    if len(slopes) < VOLUME_PAIRS_MIN:
        return None
    return min(VOLUME_POWER_MAX, max(0.0, statistics.median(slopes)))


def _weekdays(days: Sequence[int], logarithms: Sequence[float]) -> list[float]:
    """Return by how much each weekday differs; differences that may be chance count as none."""
    usual = statistics.median(logarithms)
    spread = SIGMA * statistics.median(abs(value - usual) for value in logarithms)
    results = []
    for weekday in range(7):
        of_day = [value for day, value in zip(days, logarithms, strict=True) if day % 7 == weekday]
        effect = statistics.median(of_day) - usual if len(of_day) > 1 else 0.0
        chance = WEEKDAY_CHANCE * spread / math.sqrt(max(1, len(of_day)))
        results.append(effect if abs(effect) > chance else 0.0)
    return results
