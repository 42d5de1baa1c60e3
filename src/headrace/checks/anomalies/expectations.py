"""Expected values of metrics, and the deviation from which on a value is anomalous. Pure."""

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
PLACES_KEPT = 4096
"""The number of partitions whose phase and place are cached: histories of two days overlap."""


@lru_cache(PLACES_KEPT)
def season(partition: str, grain: Grain | None) -> int:
    """Return the phase of a partition in its rhythm.

    It is the same for all partitions if eight weeks don't show a rhythm of the grain.
    """
    interval = partition.partition(SEPARATOR)[0]
    try:
        if grain is Grain.DAY:
            return date.fromisoformat(interval[:10]).weekday()
        if grain is Grain.HOUR:
            return int(interval[11:13])
    except ValueError:
        return NO_RHYTHM
    return NO_RHYTHM


_NUMBERS = re.compile(r"\d+")
_A_YEAR = {Grain.MONTH: 12, Grain.QUARTER: 4, Grain.YEAR: 1}


@lru_cache(PLACES_KEPT)
def place(partition: str, grain: Grain | None) -> float | None:
    """Return the number of intervals before a partition, from an origin common to its grain.

    None if the key doesn't say.
    """
    interval = partition.partition(SEPARATOR)[0]
    try:
        if grain is Grain.DAY:
            return float(date.fromisoformat(interval[:10]).toordinal())
        if grain is Grain.HOUR:
            return datetime.fromisoformat(interval).timestamp() / 3600
        if grain is Grain.WEEK:
            return date.fromisoformat(f"{interval}-1").toordinal() / 7
        if grain in _A_YEAR:
            year, *within = (int(item) for item in _NUMBERS.findall(interval))
            return float(year * _A_YEAR[grain] + (within[0] if within else 0))
    except ValueError:
        return None
    return None


# Days that differ from their weekday: public holidays of the local calendar, and the first and last
# day of a month. Eight weeks of history have one or two of each, so holidays come from a calendar,
# and the end of a month is compared with the previous one.

_DAY = timedelta(days=1)
_TABLE = "zone.tab"


def near_holiday(partition: str, grain: Grain | None, calendar: str) -> bool:
    """Return whether a day is a public holiday of a calendar, or right before or after one.

    It imports `holidays`, so call it only if something is about to be held.
    """
    day = _day(partition, grain)
    return (
        bool(calendar)
        and day is not None
        and any(is_holiday(calendar, day + near * _DAY) for near in (0, -1, 1))
    )


def month_edge(partition: str, grain: Grain | None) -> str:
    """Return `first` or `last` for a day at an end of its month, else an empty text."""
    day = _day(partition, grain)
    if day is None:
        return ""
    return "first" if day.day == 1 else "last" if (day + _DAY).day == 1 else ""


@lru_cache(64)
def country_of(timezone: str) -> str:
    """Return the country of a time zone (`America/New_York`: US); its holidays apply to the data.

    Empty for UTC, and if the machine's zone data doesn't say.
    """
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


# Forecasts of a metric. A value is anomalous only if every forecaster that was about right so far
# calls it so: one of them expects a level shift, one a trend, one a rhythm of weekdays. The
# credible forecast nearest to the observed value is reported.

RECENT = 14
"""The number of partitions that form a level."""
SAME_SEASON = 4
"""The number of recent partitions of the same weekday that a forecast uses."""
BACKTEST = 28
"""The number of newest partitions that are forecast from earlier ones, to measure the errors."""
CREDIBLE = 2.0
"""The maximum ratio of a credible forecaster's error to that of the best one."""
REFUTED = 5.0
"""The multiple of the usual error from which on a forecaster uses a wrong level."""
PRIOR_WEIGHT = 8
"""The weight of the prior error, in partitions."""
_SIGMAS = 1.4826
"""The ratio of standard deviation to median absolute deviation for normal errors."""


_TAILS = 0.8
"""The factor on the root mean square error, for mostly small errors with a few large ones."""


Forecasts = tuple[float, float, float, float]
"""The forecast of each forecaster for one partition."""


class Seasonal(NamedTuple):
    """The values of one metric, oldest first, with their phases in the rhythm."""

    values: Sequence[float]
    seasons: Sequence[int]
    excepted: frozenset[int] = frozenset()
    """Indexes of accepted anomalies: the level may change there, and their errors don't count."""
    places: Sequence[float] = ()
    """The number of each interval from a common origin; empty if unknown."""
    forecasts: dict[int, Forecasts] | None = None
    """Index → its forecasts from the values before it, if they are kept for later partitions."""


class MetricForecast(NamedTuple):
    """The chosen forecast: the value, its usual error, and its largest error so far."""

    expected: float
    scale: float
    record: float


def forecast(past: Seasonal, season: int, observed: float, prior: float) -> MetricForecast:
    """Return the forecast for the partition after `past`.

    `prior` is the usual error of forecasts of this family of metrics.
    """
    places = _places(past)
    errors = _errors(past, places)
    spreads = [_median([abs(error) for error in series]) for series in errors]
    credible_until = CREDIBLE * min(spreads) + prior / 10
    forecasts = _forecasts(past.values, past.seasons, season)
    credible = [n for n in range(len(forecasts)) if spreads[n] <= credible_until]
    credible = [n for n in credible if not _refuted(past, errors[n], prior)] or credible
    chosen = min(credible, key=lambda n: abs(observed - forecasts[n]))
    lasting = [
        error
        for at, error in zip(places, errors[chosen], strict=True)
        if at - 1 not in past.excepted
    ] or errors[chosen]
    count, spread = (
        len(lasting),
        max(spreads[chosen] * _SIGMAS, _TAILS * _root_mean_square(lasting)),
    )
    scale = ((PRIOR_WEIGHT * prior**2 + count * spread**2) / (PRIOR_WEIGHT + count)) ** 0.5
    return MetricForecast(forecasts[chosen], scale, max(abs(error) for error in lasting))


def _refuted(past: Seasonal, errors: Sequence[float], prior: float) -> bool:
    """Return whether the newest partition shows that a forecaster uses a wrong level.

    This applies only after an accepted anomaly. The wrong level is that before a permanent change,
    or that of the one anomalous day.
    """
    newest = len(past.values) - 1
    since = max(past.excepted, default=newest)
    return newest - BACKTEST < since < newest and abs(errors[-1]) > REFUTED * prior


def _places(past: Seasonal) -> Sequence[int]:
    """Return the newest partitions for measuring errors, without accepted anomalies if possible."""
    newest = range(max(len(past.values) - BACKTEST, min(7, len(past.values) - 1)), len(past.values))
    return [at for at in newest if at not in past.excepted] or newest


def _errors(past: Seasonal, places: Sequence[int]) -> list[list[float]]:
    """Return the errors of each forecaster at these partitions, each forecast from earlier ones."""
    errors: list[list[float]] = [[], [], [], []]
    for at in places:
        for series, predicted in zip(errors, _forecasts_of(past, at), strict=True):
            series.append(past.values[at] - predicted)
    return errors


def _forecasts_of(past: Seasonal, at: int) -> Forecasts:
    """Return the forecasts of one partition; the values before it never change."""
    values, seasons = past.values, past.seasons
    known = None if past.forecasts is None else past.forecasts.get(at)
    if known is None:
        known = _forecasts(values[:at], seasons[:at], seasons[at])
        if past.forecasts is not None:
            past.forecasts[at] = known
    return known


def _forecasts(values: Sequence[float], seasons: Sequence[int], season: int) -> Forecasts:
    """Return four forecasts: level with rhythm; last value with trend; same weekdays; median."""
    middle = _median(values)
    effects = _effects(values, seasons, middle)
    recent = [
        value - effects[phase]
        for value, phase in zip(values[-RECENT:], seasons[-RECENT:], strict=True)
    ]
    drift = (
        _median([later - earlier for earlier, later in itertools.pairwise(recent)])
        if len(recent) > 1
        else 0.0
    )
    effect = effects.get(season, 0.0)
    alike = [value for value, phase in zip(values, seasons, strict=True) if phase == season][
        -SAME_SEASON:
    ]
    return _median(recent) + effect, recent[-1] + drift + effect, _median(alike or values), middle


def _effects(values: Sequence[float], seasons: Sequence[int], middle: float) -> dict[int, float]:
    """Return each weekday's difference from the middle, reduced if there were few of it."""
    grouped: dict[int, list[float]] = {}
    for value, phase in zip(values, seasons, strict=True):
        grouped.setdefault(phase, []).append(value)
    return {
        phase: (_median(alike) - middle) * len(alike) / (len(alike) + 1)
        for phase, alike in grouped.items()
    }


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _root_mean_square(values: Sequence[float]) -> float:
    return float((sum(value * value for value in values) / len(values)) ** 0.5)


# Values that rise from interval to interval, such as ids and cumulative counts. A rise at the same
# pace isn't anomalous, however far back the newest known interval is. A history that is loaded at
# once is evaluated before neighbouring intervals are published, so a rise is measured per interval
# rather than per known partition.

KNOWN_MIN = 3
"""The minimum number of partitions that show a rise."""
MOSTLY = 0.9
"""The minimum share of steps that go up, and of the total distance that goes up."""
FASTER = 4.0
"""The maximum ratio of a step in the same rise to the longest step so far."""


def goes_on(places: Sequence[float], values: Sequence[float], place: float, value: float) -> bool:
    """Return whether `value` at `place` continues a rise.

    `places` count intervals; values aren't logarithms.
    """
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


# The deviation from which on a value is anomalous, and how improbable it must be, given the number
# of metrics. Deviations are in the metric's own unit: logarithms for rows, size, spread and
# distinct values, shares from 0 to 1, hours of the day.

DEGREES = 12
"""Degrees of freedom of Student's t, whose heavy tails model the errors of forecasts."""
HOLDS_A_MONTH = 0.5
"""The accepted number of false holds per project in 30 days."""
WARNINGS_A_MONTH = 10.0
DAYS = 30
HISTORY_HOLD_MIN = 28
"""The minimum number of sound partitions before anomalies hold data."""
HISTORY_WARN_MIN = 14
"""The minimum number of sound partitions before anomalies are reported."""
RECORD_FACTOR = 1.5
"""The minimum ratio of a held deviation to the largest error of the history."""
QUIET_FACTOR = 3.0
"""The same ratio for deviations below the usual limit for holding, …"""
QUIET_LEAST = 1.4
"""… which must also be this multiple of the limit for warnings, …"""
QUIET_ROWS = 20
"""… and affect at least this number of rows."""
COUNTS = frozenset({"rows", "distinct"})
SHARES = frozenset({"nulls", "empty", "negative", "zero", "share"})


class AnomalyLimits(NamedTuple):
    """The limits of a family of metrics: deviations that hold and warn, and the prior error."""

    hold: float
    warn: float
    prior: float

    @property
    def quiet(self) -> float:
        """Return the deviation that holds in a series that never moved nearly that far."""
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
WARNED = {family: known.warn for family, known in _LIMITS.items()}
"""Family of metrics → the deviation that warns; families without one aren't evaluated."""


def limits(family: str) -> AnomalyLimits:
    """Return the limits of a family. Raises KeyError for a family that isn't evaluated."""
    return _LIMITS[family]


def noise(family: str, expected: float, rows: int, usual: int) -> float:
    """Return the error of a metric by chance alone, for that number of rows.

    For averages it is only the additional error of having fewer rows than `usual`: errors of
    forecasts include the rest.
    """
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
    """Return the error of a count below its mean, in logarithms.

    Logarithms of small counts are far apart, while square roots scatter evenly (Anscombe,
    Biometrika 35, 1948).
    """
    if mean - rows < 1e-6 * mean:  # rounding of an equal count: the quotient's limit
        return math.sqrt(rows + 3 / 8) / (rows + 1)
    errors = 2 * (math.sqrt(mean + 3 / 8) - math.sqrt(rows + 3 / 8))
    return math.log((mean + 1) / (rows + 1)) / errors


@cache
def threshold(alarms_a_month: float, sources: int, metrics: int) -> float:
    """Return the number of standard errors that makes a value anomalous.

    A project with that number of sources and of metrics per source and day then has at most
    `alarms_a_month` false alarms in 30 days.
    """
    return _quantile(alarms_a_month / (2 * DAYS * max(sources, 1) * max(metrics, 1)))


def nats(z: float) -> float:
    """Return the improbability of a deviation of `z` standard errors, in nats."""
    return -math.log(max(2 * _tail(abs(z)), 1e-300))


def _quantile(tail: float) -> float:
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(middle) > tail else (low, middle)
    return (low + high) / 2


def _tail(t: float) -> float:
    """Return P(T > t) of Student's t with `DEGREES` (even) degrees of freedom.

    It is exact unless it is tiny; then it is the leading term.
    """
    cos2 = DEGREES / (DEGREES + t * t)
    if cos2 < 0.02:  # the closed form would subtract two nearly equal numbers
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
