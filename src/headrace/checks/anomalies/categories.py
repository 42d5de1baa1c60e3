"""Anomalies of categories: missing and new groups of rows, and categories with other names."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.facts import FactSeverity
from headrace.checks.metrics import ColumnMetrics, Metrics

# Groups of rows that were always there and are missing, and groups that never were: one carrier,
# one region, one kind of record.

ROWS_MIN = 20
"""A group that has fewer rows than that may be missing, or new, by chance."""
MISSING_HELD_SHARE = 0.05
"""From this share on, its absence holds the delivery, and so does a group that never was."""
MEANT = 14
"""So many partitions say what share a group usually has."""
_SCARCE = 1e-6
_OTHERS_LEAST = 0.1


class MissingCategory(NamedTuple):
    """A category without rows, the share that it had at least, and under which name its rows are now; empty where they are gone."""

    column: str
    value: str
    share: float
    now: str = ""


class New(NamedTuple):
    """A category that no partition so far had, and its share."""

    column: str
    value: str
    share: float


def missing_groups(today: Metrics, history: MetricHistory) -> list[MissingCategory]:
    """The categories that every partition so far had, and this one hasn't."""
    newest = history.metrics(len(history) - 1) if len(history) else None
    if newest is None:
        return []
    gone = [
        (name, value)
        for name, column in today.columns.items()
        if column.shares and name in newest.columns and history.recurring(name)
        for value, share in newest.columns[name].shares.items()
        if value not in column.shares and _due(share, today.rows) >= ROWS_MIN
    ]
    categories = [MissingCategory(name, value, _least(name, value, history)) for name, value in gone]
    categories = [category for category in categories if _due(category.share, today.rows) >= ROWS_MIN]
    columns = dict.fromkeys(category.column for category in categories)
    return [category for name in columns for category in _with_names([each for each in categories if each.column == name], today, history)]


def _due(share: float, rows: int) -> float:
    """How many rows a group would have beside those that are there, all of which are others'."""
    return rows * share / max(1 - share, _OTHERS_LEAST)


def new_groups(today: Metrics, history: MetricHistory) -> list[New]:
    """The categories that no partition so far had, in columns whose values come again, where they are worth a word."""
    news = [
        New(name, value, share)
        for name, column in today.columns.items()
        if _is_code(column) and any(share >= MISSING_HELD_SHARE for share in column.shares.values()) and history.recurring(name)
        for value, share in column.shares.items()
        if share >= MISSING_HELD_SHARE and share * today.rows >= ROWS_MIN
    ]
    return [new for new in news if not any(new.value in past.columns[new.column].shares for past in _having(new.column, history))]


def _is_code(column: ColumnMetrics) -> bool:
    """Numbers that are few are measurements all the same: today's may be news."""
    return column.negative is None


def _with_names(gone: Sequence[MissingCategory], today: Metrics, history: MetricHistory) -> list[MissingCategory]:
    """The missing categories of one column, each with its new name, where it has one. Of several that may have a name, the one that
    fits best has it, and the others are looked at as if that had been its name ever since."""
    column = gone[0].column
    past = [(metrics.rows, metrics.columns[column].shares) for metrics in _having(column, history)[-MEANT:]]
    usual, now = _mean([shares for _, shares in past]), today.columns[column].shares
    ratio = today.rows / (sum(rows for rows, _ in past) / len(past))
    left, names = [category.value for category in gone], dict[str, str]()
    while named := {value: name for value in left if (name := _named(value, usual, now, ratio))}:
        best = min(named, key=lambda value: _apart(value, named[value], usual, now, left))
        names[best] = name = named[best]
        usual[name] = usual.get(name, 0.0) + usual.pop(best)
        left.remove(best)
    return [category._replace(now=names.get(category.value, "")) for category in gone]


def _apart(value: str, name: str, usual: Mapping[str, float], now: Mapping[str, float], gone: Sequence[str]) -> float:
    """How far a name's share is from what it would be if it were the category's: where the others that are missing are gone with their
    rows, or are there under other names, whichever is nearer."""
    share = usual[value] + usual.get(name, 0.0)
    others = sum(usual[other] for other in gone if other != value)
    return min(abs(now[name] - share), abs(now[name] - share / max(1 - others, _SCARCE)))


def _named(gone: str, usual: Mapping[str, float], now: Mapping[str, float], ratio: float) -> str:
    """The category that took over a missing one's rows: more probable than that they are gone. A group that is gone leaves the others in
    proportion to each other, one with another name makes one of them greater. `ratio`: how many rows there are of one that is usual."""
    left = {value: share for value, share in usual.items() if value != gone}
    lost = usual[gone]
    thinned = {value: share / max(1 - lost, _SCARCE) for value, share in left.items()}
    best = max(now, key=lambda value: now[value] - usual.get(value, 0.0), default="")
    moved = {**left, best: left.get(best, 0.0) + lost}
    if now.keys() == left.keys() == {best}:  # the only one that is left is all in either case: rows tell
        return best if abs(math.log(ratio)) < abs(math.log(ratio / max(1 - lost, _SCARCE))) else ""
    return best if _distance(now, moved) < _distance(now, thinned) else ""


def _mean(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The share of each category over several partitions: those of one of them alone differ by
    chance."""
    values = {value for share in shares for value in share}
    return {value: sum(share.get(value, 0.0) for share in shares) / len(shares) for value in values}


def _distance(item: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(abs(item.get(value, 0.0) - other.get(value, 0.0)) for value in item.keys() | other.keys())


def _least(column: str, value: str, history: MetricHistory) -> float:
    """The smallest share that a category ever had; 0 where it wasn't always there."""
    return min((metrics.columns[column].shares.get(value, 0.0) for metrics in _having(column, history)), default=0.0)


def _having(column: str, history: MetricHistory) -> list[Metrics]:
    return [metrics for metrics in history.all() if column in metrics.columns]


# Categories under other names: one is renamed, two changed places, or all are rewritten. A column
# whose values are the same few in every delivery is a closed set. If one of them is gone and
# exactly one new value has its share, only its name has changed; a week of history is enough to
# say so, without a forecast.

WARN_MIN = 3
"""From so many partitions on something is said."""
HOLD_MIN = 7
"""From so many on it is held: a week shows each weekday once."""
RECODED_HELD_SHARE = 0.03
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


def recoded_columns(partition: str, today: Metrics, history: MetricHistory) -> list[Recoded]:
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
    sure = len(shares) >= HOLD_MIN and share >= RECODED_HELD_SHARE and _closed(shares, history)
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
