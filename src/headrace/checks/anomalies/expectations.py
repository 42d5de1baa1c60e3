"""What a number was expected to be, and from which distance on it is anomalous. Pure."""

from __future__ import annotations

import itertools
import math
import re
import zoneinfo
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from headrace.model import Grain
from headrace.model.partitions import SEPARATOR
from headrace.model.times import is_holiday

# The rhythm of partitions: the weekday of a day, the hour of an hour.

NO_RHYTHM = 0


def season(partition: str, grain: Grain | None) -> int:
    """Where in its rhythm a partition stands; the same number for all where a grain has none that eight weeks of it show."""
    moment = partition.partition(SEPARATOR)[0]
    try:
        if grain is Grain.DAY:
            return date.fromisoformat(moment[:10]).weekday()
        if grain is Grain.HOUR:
            return int(moment[11:13])
    except ValueError:
        return NO_RHYTHM
    return NO_RHYTHM


_NUMBERS = re.compile(r"\d+")
_A_YEAR = {Grain.MONTH: 12, Grain.QUARTER: 4, Grain.YEAR: 1}


def place(partition: str, grain: Grain | None) -> float | None:
    """How many intervals lie before a partition, from a beginning that is the same for all of a grain;
    None where its key doesn't say."""
    moment = partition.partition(SEPARATOR)[0]
    try:
        if grain is Grain.DAY:
            return float(date.fromisoformat(moment[:10]).toordinal())
        if grain is Grain.HOUR:
            return datetime.fromisoformat(moment).timestamp() / 3600
        if grain is Grain.WEEK:
            return date.fromisoformat(f"{moment}-1").toordinal() / 7
        if grain in _A_YEAR:
            year, *within = (int(item) for item in _NUMBERS.findall(moment))
            return float(year * _A_YEAR[grain] + (within[0] if within else 0))
    except ValueError:
        return None
    return None


# Days that differ from their weekday: public holidays, by the calendar of the place, and the
# first and last day of a month. Eight weeks of history show one or two of each. So a holiday is
# known beforehand, and a month's end is compared with the one before.

_DAY = timedelta(days=1)
_TABLE = "zone.tab"


def near_holiday(partition: str, grain: Grain | None, calendar: str) -> bool:
    """Whether a day is a public holiday of a calendar, or right before or after one. Imports `holidays`: for what is about to be held."""
    day = _day(partition, grain)
    return bool(calendar) and day is not None and any(is_holiday(calendar, day + near * _DAY) for near in (0, -1, 1))


def month_edge(partition: str, grain: Grain | None) -> str:
    """Which end of its month a day is: `first`, `last`, or neither."""
    day = _day(partition, grain)
    if day is None:
        return ""
    return "first" if day.day == 1 else "last" if (day + _DAY).day == 1 else ""


@lru_cache(64)
def country_of(timezone: str) -> str:
    """The country that a time zone is named for (`America/New_York`: US), which is where data of that zone has its holidays; empty
    for UTC and where the machine's zone data doesn't say."""
    for folder in zoneinfo.TZPATH:
        try:
            lines = (Path(folder) / _TABLE).read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        rows = (line.split("\t") for line in lines if not line.startswith("#"))
        return next((row[0] for row in rows if len(row) > 2 and row[2] == timezone), "")
    return ""


def _day(partition: str, grain: Grain | None) -> date | None:
    if grain not in (Grain.DAY, Grain.HOUR):
        return None
    try:
        return date.fromisoformat(partition.partition(SEPARATOR)[0][:10])
    except ValueError:
        return None


# Forecasts of a number. A number is anomalous only if it is so under every forecaster that has
# been about right so far: a level that moved, a trend and a rhythm of weekdays are each expected
# by one of them. The credible forecast nearest to the observed number is reported.

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


# Numbers that rise from interval to interval, such as ids and cumulative counts. A rise at the
# same pace is no news, however far the newest known interval lies back. A history that is loaded
# at once is evaluated before its neighbouring intervals are published, so a rise is measured per
# interval and not per known partition.

KNOWN_MIN = 3
"""So many partitions show a rise."""
MOSTLY = 0.9
"""This part of the steps goes up, and in the sum they go up by this part of all ways."""
FASTER = 4.0
"""… and up to so many times the longest step so far is the same rise."""


def goes_on(places: Sequence[float], values: Sequence[float], place: float, value: float) -> bool:
    """Whether `value` at `place` carries a rise on. `places` count intervals; values aren't
    logarithms."""
    if len(values) < KNOWN_MIN or place <= places[-1]:
        return False
    pairs = itertools.pairwise(zip(places, values, strict=True))
    steps = [(b - a) / (q - p) for (p, a), (q, b) in pairs if q > p]
    up = sum(step for step in steps if step > 0)
    down = -sum(step for step in steps if step < 0)
    rising = sum(step > 0 for step in steps) >= MOSTLY * len(steps) and down <= (1 - MOSTLY) * up
    if not steps or not up or not rising:
        return False
    return 0 <= (value - values[-1]) / (place - places[-1]) <= FASTER * max(steps)


# From which distance on a number is anomalous, and how improbable it has to be, given how many
# numbers are looked at. Distances are in the metric's own unit: logarithms for rows, size, spread
# and distinct values, shares from 0 to 1, hours of the day.

DEGREES = 12
"""Of Student's t, which stands for the errors of a forecast: their tails are heavier than a normal distribution's."""
HOLDS_A_MONTH = 0.5
"""How many false holds a project may have in 30 days."""
WARNINGS_A_MONTH = 10.0
DAYS = 30
HISTORY_HOLD_MIN = 28
"""From so many sound partitions on something is held for being odd."""
HISTORY_WARN_MIN = 14
"""From so many on something is called unusual."""
RECORD_FACTOR = 1.5
"""What is held is off by that much more than a forecast ever was in the history."""
QUIET_FACTOR = 3.0
"""… and by so much more where it is off by less than what is held anyway, …"""
QUIET_LEAST = 1.4
"""… but by so many times what is worth a word."""
QUIET_ROWS = 20
"""… and in so many rows."""
COUNTS = frozenset({"rows", "distinct"})
SHARES = frozenset({"nulls", "empty", "negative", "zero", "share"})


class AnomalyLimits(NamedTuple):
    """Of one family of metrics: from which distance on it is held or warned of, and how far forecasts are off before anything is known."""

    hold: float
    warn: float
    prior: float

    @property
    def quiet(self) -> float:
        """From which distance on it is held where the series never moved nearly that far."""
        return QUIET_LEAST * self.warn


_LIMITS = {
    "rows": AnomalyLimits(math.log(1.4), math.log(1.15), 0.06),
    "nulls": AnomalyLimits(0.10, 0.02, 0.01),
    "empty": AnomalyLimits(0.10, 0.02, 0.01),
    "location": AnomalyLimits(math.log(1.35), math.log(1.1), 0.03),
    "spread": AnomalyLimits(math.log(2), math.log(1.4), 0.08),
    "distinct": AnomalyLimits(math.log(2), math.log(1.4), 0.06),
    "length": AnomalyLimits(math.log(1.35), math.log(1.15), 0.03),
    "share": AnomalyLimits(0.12, 0.05, 0.01),
    "negative": AnomalyLimits(0.10, 0.03, 0.01),
    "zero": AnomalyLimits(0.10, 0.03, 0.01),
    "hour_mean": AnomalyLimits(2.0, 1.0, 0.2),
    "hour_q95": AnomalyLimits(2.0, 1.0, 0.4),
}
FAMILIES = frozenset(_LIMITS)


def limits(family: str) -> AnomalyLimits:
    """What is held or warned of in one family. KeyError for a family that isn't judged."""
    return _LIMITS[family]


def noise(family: str, expected: float, rows: int, usual: int) -> float:
    """What chance alone makes of a metric of so many rows. Of what is averaged over them, only what comes on top for their being fewer
    than `usual`: how far forecasts were off has the rest in it."""
    if rows <= 0:
        return 1.0
    if family in SHARES:
        share = min(max(expected, 0.0), 1.0)
        return math.sqrt(share * (1 - share) / rows) + 0.5 / rows
    match family:
        case "rows" if rows < math.expm1(expected):
            return _fewer(math.expm1(expected), rows)
        case "location" | "spread" | "length":
            return math.sqrt(max(1 / rows - 1 / max(usual, 1), 0.0))
        case "rows" | "distinct":
            return 1 / math.sqrt(rows)
        case _:
            return 6 / math.sqrt(rows)


def _fewer(mean: float, rows: int) -> float:
    """What chance makes of a count that is less than its mean, in logarithms: these are far apart for
    small counts, of which square roots scatter alike (Anscombe, Biometrika 35, 1948)."""
    errors = 2 * (math.sqrt(mean + 3 / 8) - math.sqrt(rows + 3 / 8))
    return math.log((mean + 1) / (rows + 1)) / errors


@cache
def threshold(alarms_a_month: float, sources: int, metrics: int) -> float:
    """How many standard errors off a number must be, so that a project of so many sources, each with so many metrics a day, has no more
    false alarms than that in a month."""
    return _quantile(alarms_a_month / (2 * DAYS * max(sources, 1) * max(metrics, 1)))


def nats(z: float) -> float:
    """What it costs to explain a distance of `z` standard errors by chance."""
    return -math.log(max(2 * _tail(abs(z)), 1e-300))


def _quantile(tail: float) -> float:
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(middle) > tail else (low, middle)
    return (low + high) / 2


def _tail(t: float) -> float:
    """P(T > t) of Student's t with `DEGREES` (even) degrees of freedom, exactly where it isn't tiny, by its leading term where it is."""
    cos2 = DEGREES / (DEGREES + t * t)
    if cos2 < 0.02:  # the closed form would subtract two numbers that are nearly 1
        return _leading(cos2)
    term = total = 1.0
    for k in range(1, DEGREES // 2):
        term *= cos2 * (2 * k - 1) / (2 * k)
        total += term
    return max((1 - math.sqrt(1 - cos2) * total) / 2, _leading(cos2))


def _leading(cos2: float) -> float:
    half = DEGREES / 2
    log_beta = math.lgamma(half) + math.lgamma(0.5) - math.lgamma(half + 0.5)
    return 0.5 * math.exp(half * math.log(cos2) - log_beta) / half
