"""Categories under other names: one that is called otherwise now, two that changed places, all of
them rewritten.

A column whose values are the same few in every delivery is a closed set. Where one of them is gone
and exactly
one that never was has its share, nothing but its name changed: that takes no forecast, and a week
of history.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headrace.quality.anomalies.groups import ROWS_MIN
from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.facts import FactSeverity
from headrace.quality.metrics import ColumnMetrics, Metrics

WARN_MIN = 3
"""From so many partitions on something is said."""
HOLD_MIN = 7
"""From so many on it is held: a week shows each weekday once."""
HELD_SHARE = 0.03
"""Smaller ones may end and begin on one day."""
MOSTLY = 0.75
"""A column has categories where so many of its partitions have them."""
CHANCE = 3.0
"""A share may be so many standard errors beyond all that it ever was, …"""
WIDTH = 0.5
"""… or by that part of how far it ever was from itself."""
APART = 2.0
"""Two categories have changed places only if their shares lie so many times as far apart as chance
moves them."""
ALIKE, CHANCE_ALIKE = 0.05, 2.0
"""Shares and rows that are off by no more than that from those that fit best may fit as well; of few
rows, by that part of what chance makes of one."""
_DIGITS = re.compile(r"\d+")


class Recoded(NamedTuple):
    """A column, and which of its categories have which name now, the greatest first; with an empty
    old name where that can't be told. `share` is what they usually had of the rows. `gone`: beside
    that one category has no rows at all, the likeliest first where it may be one of several;
    `missing` is what it had of the rows at least."""

    column: str
    names: tuple[tuple[str, str], ...]
    share: float
    severity: FactSeverity
    gone: tuple[str, ...] = ()
    missing: float = 0.0
    listed: bool = False
    """Each category is there once: which of several has which name can't be told."""


class _Usual(NamedTuple):
    """The share of a category so far: the least, the greatest, and that in the middle."""

    low: float
    high: float
    middle: float

    def slack(self, rows: int) -> float:
        """How far beyond what it was so far a share may be by chance, in so many rows."""
        share = min(max(self.middle, 0.0), 1.0)
        return max(CHANCE * math.sqrt(share * (1 - share) / rows) + 0.5 / rows, WIDTH * (self.high - self.low))

    def without(self, gone: float) -> _Usual:
        """The same where a category that has that share isn't there."""
        return _Usual(*(min(share / (1 - gone), 1.0) for share in self))

    def near(self, share: float, rows: int) -> bool:
        """Whether a share is about what it was so far."""
        return self.low - self.slack(rows) <= share <= self.high + self.slack(rows)


def recoded(partition: str, today: Metrics, history: MetricHistory) -> list[Recoded]:
    """The columns some of whose categories have another name than ever."""
    if len(history) < WARN_MIN or not today.rows:
        return []
    alike = [past.rows for at in history.like(partition) if (past := history.metrics(at)) is not None]
    usual = statistics.median(alike or [past.rows for past in history.all()] or [today.rows])
    results = (_of(name, column, (today.rows, usual), history) for name, column in today.columns.items() if _shares(column))
    return [item for item in results if item is not None]


def _shares(column: ColumnMetrics) -> Mapping[str, float]:
    """The share of each category; of a list the same for all."""
    return column.shares or dict.fromkeys(column.names, 1 / max(len(column.names), 1))


def _of(name: str, column: ColumnMetrics, counted: tuple[int, float], history: MetricHistory) -> Recoded | None:
    """`counted`: how many rows there are, and are usual."""
    (rows, usual_rows), today = counted, _shares(column)
    past = [column_metrics for metrics in history.all() if (column_metrics := metrics.columns.get(name)) is not None]
    shares = [results for metrics in past if (results := _shares(metrics))]
    if len(shares) < max(WARN_MIN, MOSTLY * len(history)):
        return None
    core = {value: _usual(value, shares) for value in shares[-1] if all(value in share for share in shares)}
    if len(core) < 2:  # one value alone may be a part of the date, or a version
        return None
    known = {value for share in shares for value in share}
    # the same values in each delivery, each as often, or none of them now: then one row is no chance
    fixed = len(shares) >= HOLD_MIN and known == set(core) and all(usual.low == usual.high for usual in core.values())
    listed = not column.shares
    if listed and not fixed:
        return None
    pairs: tuple[tuple[str, str], ...] = ()
    gone: tuple[str, ...] = ()
    for least in (1,) if fixed else (ROWS_MIN,) if known & today.keys() else (ROWS_MIN, 1):
        pairs = pairs or _pairs(core, known, today, rows, least)
        if not pairs:
            pairs, gone = _beside_a_missing_one(core, known, today, rows, usual_rows, least)
    if not pairs or (column.negative is not None and not _is_set(pairs, core, known, today)):
        return None
    share = sum(today[now] for _, now in pairs) if gone else sum(core[was].middle for was, _ in pairs)
    sure = len(shares) >= HOLD_MIN and share >= HELD_SHARE and _closed(shares, history)
    olds = [was for was, _ in pairs if was] or list(gone)
    held = sure and not _count_on(olds, [now for _, now in pairs], today)
    missing = min((core[value].low for value in gone), default=0.0)
    severity = FactSeverity.HOLD if held else FactSeverity.WARN
    return Recoded(name, pairs, share, severity, gone, missing, listed)


def _usual(value: str, shares: Sequence[Mapping[str, float]]) -> _Usual:
    own = sorted(share[value] for share in shares)
    return _Usual(own[0], own[-1], own[len(own) // 2])


def _pairs(core: Mapping[str, _Usual], known: set[str], today: Mapping[str, float], rows: int, least: int) -> tuple[tuple[str, str], ...]:
    """Which category has which name now, the greatest first; nothing where that doesn't come out
    even. A category has `least` rows or more."""
    lost = [value for value, usual in core.items() if _is_off(usual, today.get(value), rows, least)]
    came = [value for value, share in today.items() if _is_news(value, share, core, known, rows, least)]
    if not lost or len(lost) != len(came):
        return ()
    lost.sort(key=lambda value: -core[value].middle)
    came.sort(key=lambda value: -today[value])
    pairs = tuple(zip(lost, came, strict=True))
    if any(was == now or not core[was].near(today[now], rows) for was, now in pairs):
        return ()
    return pairs if _certain(pairs, core, today, rows) else ()


def _beside_a_missing_one(
    core: Mapping[str, _Usual], known: set[str], today: Mapping[str, float], rows: int, usual_rows: float, least: int
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Which category has which name now where one more is gone with its rows: what would come out even
    if that had never been there. And which one that is: of several that it may be, all, the likeliest
    first; then only what all of them agree upon is said of the names."""
    results = []
    for value, usual in core.items():
        if value in today or not 0 < usual.middle < 1 or rows * usual.low / (1 - usual.low) < ROWS_MIN:
            continue
        left = {name: own.without(usual.middle) for name, own in core.items() if name != value}
        pairs = _pairs(left, known, today, rows, least)
        if pairs:
            off = sum(abs(today[now] - left[was].middle) for was, now in pairs)
            results.append((off + abs(math.log(rows / usual_rows / (1 - usual.middle))), value, pairs))
    if not results:
        return (), ()
    results.sort()
    fitting = [item for item in results if item[0] <= results[0][0] + max(ALIKE, CHANCE_ALIKE / math.sqrt(rows))]
    best = fitting[0][2]
    agreed = tuple(pair for pair in best if all(pair in pairs for _, _, pairs in fitting))
    return agreed or tuple(("", now) for _, now in best), tuple(value for _, value, _ in fitting)


def _is_off(usual: _Usual, share: float | None, rows: int, least: int) -> bool:
    """Whether a category is gone, and not by chance, or has quite another share."""
    if share is None:
        return round(usual.low * rows, 6) >= least
    return not usual.near(share, rows)


def _is_news(value: str, share: float, core: Mapping[str, _Usual], known: set[str], rows: int, least: int) -> bool:
    """Whether a category never was, in so many rows, or has quite another share."""
    if value in core:
        return not core[value].near(share, rows)
    return value not in known and round(share * rows, 6) >= least


def _certain(pairs: Sequence[tuple[str, str]], core: Mapping[str, _Usual], today: Mapping[str, float], rows: int) -> bool:
    """Whether names that were there before have changed places by more than days differ: shares
    that moved far, to
    just where another one was."""
    places = [core[was] for was, now in pairs if now in core]
    if not places:
        return True
    moved = [abs(today[now] - core[now].middle) for _, now in pairs if now in core]
    widest = max(usual.slack(rows) for usual in places)
    return min(moved) >= APART * widest and min(moved) * rows >= ROWS_MIN


def _is_set(pairs: Sequence[tuple[str, str]], core: Mapping[str, _Usual], known: set[str], today: Mapping[str, float]) -> bool:
    """Of numbers: whether they are codes. Measurements of which there are few come and go, and
    move from one to another."""
    return known == set(core) and not any(now in known for _, now in pairs) and len(today) == len(core)


def _closed(shares: Sequence[Mapping[str, float]], history: MetricHistory) -> bool:
    """Whether the last week brought no category that never was, in more than a few rows."""
    rows = [metrics.rows for metrics in history.all()]
    first = len(shares) - HOLD_MIN
    known = {value for share in shares[:first] for value in share} or set(shares[0])
    least = min(rows[-HOLD_MIN:], default=0)
    for item in shares[max(first, 1) :]:
        if any(share * least >= ROWS_MIN for value, share in item.items() if value not in known):
            return False
        known |= set(item)
    return True


def _count_on(gone: Sequence[str], came: Sequence[str], today: Mapping[str, float]) -> bool:
    """Whether the names are numbers that go on, as months do that lie in a window: the smallest
    go, greater ones come."""
    left = [_number(value) for value in today if value not in came]
    news, olds = [_number(value) for value in came], [_number(value) for value in gone]
    if any(not number for number in (*left, *news, *olds)):
        return False
    return max(olds) < min([*left, *news]) and min(news) > max([*left, *olds])


def _number(value: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in _DIGITS.findall(value))
