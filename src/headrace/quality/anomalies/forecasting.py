"""What a number was expected to be, told by several forecasters of which the credible one nearest to what came speaks.

A number is odd only where it is odd under every forecaster that has been about right so far: a level that moved, a trend and a
rhythm of weekdays are each expected by one of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

RECENT = 14
"""So many partitions are a level."""
SAME_SEASON = 4
"""So many of the same weekday are what it is like."""
BACKTEST = 28
"""So many of the newest partitions are forecast, from those before each, to see how far forecasters are off."""
CREDIBLE = 2.0
"""A forecaster that is off by up to that much more than the best is credible."""
REFUTED = 5.0
"""So many times as far off as usual is a forecaster that goes by a wrong level."""
PRIOR_WEIGHT = 8
"""So many partitions weighs what is known beforehand of how far forecasts are off."""
_SIGMAS = 1.4826
"""Standard deviations in a median absolute deviation, where errors are normal."""


_TAILS = 0.8
"""So much of the root mean square error counts, where most errors are small and some are large."""


class Seasonal(NamedTuple):
    """One metric's numbers, oldest first, each with where in its rhythm it stands."""

    values: Sequence[float]
    seasons: Sequence[int]
    excepted: frozenset[int] = frozenset()
    """Where somebody accepted what was odd: the level is news from there on, and how odd it was is no measure of the next."""
    places: Sequence[float] = ()
    """Of which interval each is, counted from a common beginning; empty where that isn't known."""


class MetricForecast(NamedTuple):
    """What the speaking forecaster said: the number, how far such forecasts are off, and how far it was at most."""

    expected: float
    scale: float
    record: float


def forecast(past: Seasonal, season: int, observed: float, prior: float) -> MetricForecast:
    """What was expected of the partition after `past`. `prior` is how far forecasts of this kind of metric are off usually."""
    places = _places(past)
    errors = _errors(past, places)
    spreads = [_median([abs(error) for error in own]) for own in errors]
    credible_until = CREDIBLE * min(spreads) + prior / 10
    said = _forecasts(past.values, past.seasons, season)
    credible = [n for n in range(len(said)) if spreads[n] <= credible_until]
    credible = [n for n in credible if not _refuted(past, errors[n], prior)] or credible
    chosen = min(credible, key=lambda n: abs(observed - said[n]))
    lasting = [error for at, error in zip(places, errors[chosen], strict=True) if at - 1 not in past.excepted] or errors[chosen]
    count, spread = len(lasting), max(spreads[chosen] * _SIGMAS, _TAILS * _root_mean_square(lasting))
    scale = ((PRIOR_WEIGHT * prior**2 + count * spread**2) / (PRIOR_WEIGHT + count)) ** 0.5
    return MetricForecast(said[chosen], scale, max(abs(error) for error in lasting))


def _refuted(past: Seasonal, errors: Sequence[float], prior: float) -> bool:
    """Whether the newest partition, where it came after one that somebody accepted, has shown that a forecaster goes by a level that is
    no more, or by one that never was: by what was before a change for good, or by the one odd day itself."""
    newest = len(past.values) - 1
    since = max(past.excepted, default=newest)
    return newest - BACKTEST < since < newest and abs(errors[-1]) > REFUTED * prior


def _places(past: Seasonal) -> Sequence[int]:
    """The newest partitions that forecasters are measured by: what somebody accepted was odd, nobody could have forecast it."""
    newest = range(max(len(past.values) - BACKTEST, min(7, len(past.values) - 1)), len(past.values))
    return [at for at in newest if at not in past.excepted] or newest


def _errors(past: Seasonal, places: Sequence[int]) -> list[list[float]]:
    """How far each forecaster was off at these partitions, each forecast from those before it."""
    values, seasons = past.values, past.seasons
    errors: list[list[float]] = [[], [], [], []]
    for at in places:
        for own, said in zip(errors, _forecasts(values[:at], seasons[:at], seasons[at]), strict=True):
            own.append(values[at] - said)
    return errors


def _forecasts(values: Sequence[float], seasons: Sequence[int], season: int) -> tuple[float, float, float, float]:
    """Level with rhythm; the last one, carried on; the same weekdays; the median of all."""
    middle = _median(values)
    effects = _effects(values, seasons, middle)
    recent = [value - effects[own] for value, own in zip(values[-RECENT:], seasons[-RECENT:], strict=True)]
    drift = _median([later - earlier for earlier, later in itertools.pairwise(recent)]) if len(recent) > 1 else 0.0
    effect = effects.get(season, 0.0)
    alike = [value for value, own in zip(values, seasons, strict=True) if own == season][-SAME_SEASON:]
    return _median(recent) + effect, recent[-1] + drift + effect, _median(alike or values), middle


def _effects(values: Sequence[float], seasons: Sequence[int], middle: float) -> dict[int, float]:
    """How far each weekday lies from the middle; less sure the fewer of it there were."""
    grouped: dict[int, list[float]] = {}
    for value, own in zip(values, seasons, strict=True):
        grouped.setdefault(own, []).append(value)
    return {own: (_median(alike) - middle) * len(alike) / (len(alike) + 1) for own, alike in grouped.items()}


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _root_mean_square(values: Sequence[float]) -> float:
    return float((sum(value * value for value in values) / len(values)) ** 0.5)
