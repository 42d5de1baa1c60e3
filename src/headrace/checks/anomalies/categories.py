"""Anomalies of categories: missing and new groups of rows, and renamed categories."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from headrace.checks.anomalies.history import CategoryShares, MetricHistory, shares_of
from headrace.checks.facts import FactSeverity
from headrace.checks.metrics import ColumnMetrics, Metrics

# Groups of rows that always existed and are missing, and groups that never existed: one carrier,
# one region, one kind of record.

ROWS_MIN = 20
"""The minimum number of rows of a group; a smaller one may be missing, or new, by chance."""
MISSING_HELD_SHARE = 0.05
"""The share of the rows from which on a missing or new group holds the delivery."""
MEANT = 14
"""The number of partitions that show the usual share of a group."""
_SCARCE = 1e-6
_OTHERS_LEAST = 0.1


class MissingCategory(NamedTuple):
    """A category without rows, and its smallest share so far.

    `now` is the name under which its rows appear, or empty if they are gone.
    """

    column: str
    value: str
    share: float
    now: str = ""


class New(NamedTuple):
    """A category that no earlier partition had, and its share."""

    column: str
    value: str
    share: float


def missing_groups(today: Metrics, history: MetricHistory) -> list[MissingCategory]:
    """Return the categories that all earlier partitions had and this one lacks."""
    newest = history.metrics(len(history) - 1) if len(history) else None
    if newest is None:
        return []
    results: list[MissingCategory] = []
    for name in today.columns:
        missing = _missing_of_column(name, today, newest, history)
        if missing:
            results += _with_names(missing, today, history)
    return results


def _missing_of_column(
    name: str, today: Metrics, newest: Metrics, history: MetricHistory
) -> list[MissingCategory]:
    """Return the missing categories of one column that would have enough rows.

    `newest` are the metrics of the last partition.
    """
    shares = today.columns[name].shares
    if not shares or name not in newest.columns or not history.recurring(name):
        return []
    results = []
    for value, share in newest.columns[name].shares.items():
        # The last partition rules most categories out, before all partitions are searched.
        if value in shares or _due(share, today.rows) < ROWS_MIN:
            continue
        least = _least(name, value, history)
        if _due(least, today.rows) >= ROWS_MIN:
            results.append(MissingCategory(name, value, least))
    return results


def _due(share: float, rows: int) -> float:
    """Return the expected rows of a group, given that all existing rows belong to others."""
    return rows * share / max(1 - share, _OTHERS_LEAST)


def new_groups(today: Metrics, history: MetricHistory) -> list[New]:
    """Return new categories with a large share, in columns with a recurring set of values."""
    news = [
        New(name, value, share)
        for name, column in today.columns.items()
        if _is_code(column)
        and any(share >= MISSING_HELD_SHARE for share in column.shares.values())
        and history.recurring(name)
        for value, share in column.shares.items()
        if share >= MISSING_HELD_SHARE and share * today.rows >= ROWS_MIN
    ]
    return [
        new
        for new in news
        if not any(
            new.value in past.columns[new.column].shares for past in _having(new.column, history)
        )
    ]


def _is_code(column: ColumnMetrics) -> bool:
    """Return whether values are codes; few distinct numbers may still be measurements."""
    return column.negative is None


def _with_names(
    missing: Sequence[MissingCategory], today: Metrics, history: MetricHistory
) -> list[MissingCategory]:
    """Return the missing categories of one column, with their new names if they have one.

    If several may be renamed, the best match is taken first; the others are then matched as if that
    category had always had its new name.
    """
    column = missing[0].column
    past = [
        (metrics.rows, metrics.columns[column].shares)
        for metrics in _having(column, history)[-MEANT:]
    ]
    usual, now = _mean([shares for _, shares in past]), today.columns[column].shares
    ratio = today.rows / (sum(rows for rows, _ in past) / len(past))
    left, names = [category.value for category in missing], dict[str, str]()
    while named := {value: name for value in left if (name := _named(value, usual, now, ratio))}:
        best = min(named, key=lambda value: _apart(value, named[value], usual, now, left))
        names[best] = name = named[best]
        usual[name] = usual.get(name, 0.0) + usual.pop(best)
        left.remove(best)
    return [category._replace(now=names.get(category.value, "")) for category in missing]


def _apart(
    value: str,
    name: str,
    usual: Mapping[str, float],
    now: Mapping[str, float],
    missing: Sequence[str],
) -> float:
    """Return how far a name's share is from the expected share of the renamed category.

    The other missing categories are either gone with their rows or renamed, whichever fits better.
    """
    share = usual[value] + usual.get(name, 0.0)
    others = sum(usual[other] for other in missing if other != value)
    return min(abs(now[name] - share), abs(now[name] - share / max(1 - others, _SCARCE)))


def _named(
    category: str, usual: Mapping[str, float], now: Mapping[str, float], ratio: float
) -> str:
    """Return the category that probably took over a missing one's rows; empty if they are gone.

    If a group is gone, the other shares grow in proportion; if it was renamed, one share grows.
    Other groups without rows have other names or are gone, too, whichever fits better. `ratio` is
    the number of rows relative to the usual number.
    """
    left = {value: share for value, share in usual.items() if value != category}
    lost = usual[category]
    best = max(now, key=lambda value: now[value] - usual.get(value, 0.0), default="")
    moved = {**left, best: left.get(best, 0.0) + lost}
    if (
        now.keys() == left.keys() == {best}
    ):  # one category left has all rows either way: their number decides
        return best if abs(math.log(ratio)) < abs(math.log(ratio / max(1 - lost, _SCARCE))) else ""
    others = [value for value in left if value not in now]

    def apart(shares: Mapping[str, float]) -> float:
        return min(_distance(now, _thinned(shares, gone)) for gone in ([], others))

    return best if apart(moved) < apart(_thinned(usual, [category])) else ""


def _thinned(usual: Mapping[str, float], gone: Sequence[str]) -> dict[str, float]:
    """Return the shares of the other categories once some are gone with their rows."""
    rest = max(1 - sum(usual.get(value, 0.0) for value in gone), _SCARCE)
    return {value: share / rest for value, share in usual.items() if value not in gone}


def _mean(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean share of each category: single partitions differ by chance."""
    values = {value for share in shares for value in share}
    return {value: sum(share.get(value, 0.0) for share in shares) / len(shares) for value in values}


def _distance(item: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(
        abs(item.get(value, 0.0) - other.get(value, 0.0)) for value in item.keys() | other.keys()
    )


def _least(column: str, value: str, history: MetricHistory) -> float:
    """Return the smallest share that a category ever had; 0 if it was ever absent."""
    return min(
        (metrics.columns[column].shares.get(value, 0.0) for metrics in _having(column, history)),
        default=0.0,
    )


def _having(column: str, history: MetricHistory) -> list[Metrics]:
    return [metrics for metrics in history.all() if column in metrics.columns]


# Renamed categories: one is renamed, two are swapped, or all are rewritten. A column with the same
# few values in every delivery is a closed set. If one of them is gone and exactly one new value has
# its share, only its name has changed; a week of history shows that without a forecast.

WARN_MIN = 3
"""The minimum number of partitions for a warning."""
HOLD_MIN = 7
"""The minimum number of partitions for a hold: a week has each weekday once."""
RECODED_HELD_SHARE = 0.03
"""The minimum share of held categories; smaller ones may end and begin on the same day."""
MOSTLY = 0.75
"""The minimum share of partitions that have categories in a column of categories."""
CHANCE = 3.0
"""The tolerance of a share beyond its range so far: this many standard errors, …"""
WIDTH = 0.5
"""… or this part of the width of that range."""
APART = 2.0
"""The minimum distance of the shares of swapped categories, as a multiple of chance."""
ALIKE, CHANCE_ALIKE = 0.05, 2.0
"""Matches whose error exceeds that of the best by no more than this may be right too.

With few rows, the second value divided by the square root of the rows applies.
"""
_DIGITS = re.compile(r"\d+")


class Recoded(NamedTuple):
    """A column and its renamed categories as (old name, new name), the largest first.

    An old name is empty if it is unknown. `share` is their usual share of the rows. `removed` has
    the category that also lost all of its rows, or all that it may be, the most probable first;
    `missing` is the smallest share that it had.
    """

    column: str
    names: tuple[tuple[str, str], ...]
    share: float
    severity: FactSeverity
    removed: tuple[str, ...] = ()
    missing: float = 0.0
    listed: bool = False
    """Whether each category occurs once, so that old and new names can't be paired."""


class _Usual(NamedTuple):
    """The share of a category so far: minimum, maximum and median."""

    low: float
    high: float
    middle: float

    def slack(self, rows: int) -> float:
        """Return how far a share may lie outside its range by chance, for that number of rows."""
        share = min(max(self.middle, 0.0), 1.0)
        return max(
            CHANCE * math.sqrt(share * (1 - share) / rows) + 0.5 / rows,
            WIDTH * (self.high - self.low),
        )

    def without(self, removed: float) -> _Usual:
        """Return the usual shares after a category with the share `removed` is removed."""
        return _Usual(*(min(share / (1 - removed), 1.0) for share in self))

    def near(self, share: float, rows: int) -> bool:
        """Return whether a share is about as usual."""
        if self.low <= share <= self.high:
            return True
        slack = self.slack(rows)
        return self.low - slack <= share <= self.high + slack


_Pairs = tuple[tuple[str, str], ...]
"""Renamed categories as (old name, new name)."""


class _Categories(NamedTuple):
    """The categories of one column, earlier and in the evaluated partition."""

    core: Mapping[str, _Usual]
    """The categories that all partitions had."""
    known: AbstractSet[str]
    """The categories that any partition had."""
    today: Mapping[str, float]
    """The share of each category in the evaluated partition."""
    rows: int
    usual_rows: float

    @property
    def fixed(self) -> bool:
        """Return whether each category had the same share in all partitions."""
        return self.known == set(self.core) and all(
            usual.low == usual.high for usual in self.core.values()
        )


def recoded_columns(partition: str, today: Metrics, history: MetricHistory) -> list[Recoded]:
    """Return the columns with renamed categories."""
    if len(history) < WARN_MIN or not today.rows:
        return []
    alike = [
        past.rows for at in history.like(partition) if (past := history.metrics(at)) is not None
    ]
    usual = statistics.median(alike or [past.rows for past in history.all()] or [today.rows])
    results = (
        _recoded(name, column, (today.rows, usual), history)
        for name, column in today.columns.items()
        if shares_of(column)
    )
    return [item for item in results if item is not None]


def _recoded(
    name: str, column: ColumnMetrics, counted: tuple[int, float], history: MetricHistory
) -> Recoded | None:
    """Return the renamed categories of a column; None if there are none or too little is known.

    `counted` has the number of rows and the usual number of rows.
    """
    earlier = history.categories(name)
    shares = earlier.each
    if len(shares) < max(WARN_MIN, MOSTLY * len(history)):
        return None
    if _are_as_usual(earlier, shares_of(column), counted[0]):
        return None
    categories = _compared(earlier, shares_of(column), *counted)
    if len(categories.core) < 2:  # a single value may be part of the date, or a version
        return None
    # The same values equally often in each delivery, or all replaced: then one row isn't chance.
    fixed = len(shares) >= HOLD_MIN and categories.fixed
    listed = not column.shares
    if listed and not fixed:
        return None
    pairs, removed = _renamed(categories, fixed=fixed)
    if not pairs or (column.negative is not None and not _is_set(pairs, categories)):
        return None
    share = _share_of(pairs, removed, categories)
    held = (
        share >= RECODED_HELD_SHARE
        and _closed(shares, history)
        and not _count_on(pairs, removed, categories.today)
    )
    severity = FactSeverity.HOLD if held else FactSeverity.WARN
    missing = min((categories.core[value].low for value in removed), default=0.0)
    return Recoded(name, pairs, share, severity, removed, missing, listed)


def _are_as_usual(earlier: CategoryShares, today: Mapping[str, float], rows: int) -> bool:
    """Return whether no category is new, and those of all partitions are here, each about as large.

    Then none is renamed. Nearly all partitions end here.
    """
    if not today.keys() <= earlier.ordered.keys():
        return False
    partitions = len(earlier.each)
    for value in earlier.each[-1]:
        shares, share = earlier.ordered[value], today.get(value)
        if len(shares) < partitions:
            continue
        if share is None:
            return False
        if not shares[0] <= share <= shares[-1]:
            usual = _Usual(shares[0], shares[-1], shares[partitions // 2])
            if not usual.near(share, rows):
                return False
    return True


def _share_of(pairs: _Pairs, removed: Sequence[str], categories: _Categories) -> float:
    """Return the usual share of renamed categories.

    If others are gone, it is today's share, since the old names may be unknown.
    """
    if removed:
        return sum(categories.today[now] for _, now in pairs)
    return sum(categories.core[was].middle for was, _ in pairs)


def _compared(
    earlier: CategoryShares, today: Mapping[str, float], rows: int, usual_rows: float
) -> _Categories:
    partitions, ordered = len(earlier.each), earlier.ordered
    core = {
        value: _Usual(shares[0], shares[-1], shares[partitions // 2])
        for value in earlier.each[-1]
        if len(shares := ordered[value]) == partitions
    }
    return _Categories(core, ordered.keys(), today, rows, usual_rows)


def _renamed(categories: _Categories, *, fixed: bool) -> tuple[_Pairs, tuple[str, ...]]:
    """Return the renamed categories, and those that may be gone with their rows.

    One row suffices if the shares are `fixed`; also if all names are new and no larger categories
    match.
    """
    if fixed:
        rows_min: tuple[int, ...] = (1,)
    elif categories.known & categories.today.keys():
        rows_min = (ROWS_MIN,)
    else:
        rows_min = (ROWS_MIN, 1)
    for least in rows_min:
        pairs = _pairs(categories, least)
        if pairs:
            return pairs, ()
        pairs, removed = _beside_a_missing_one(categories, least)
        if pairs:
            return pairs, removed
    return (), ()


def _pairs(categories: _Categories, least: int) -> _Pairs:
    """Return (old name, new name) pairs, the largest category first.

    Nothing if lost and new categories don't match. A category has at least `least` rows.
    """
    core, _, today, rows, _ = categories
    lost = [value for value, usual in core.items() if _is_off(usual, today.get(value), rows, least)]
    added = [value for value, share in today.items() if _is_news(value, share, categories, least)]
    if not lost or len(lost) != len(added):
        return ()
    lost.sort(key=lambda value: -core[value].middle)
    added.sort(key=lambda value: -today[value])
    pairs = tuple(zip(lost, added, strict=True))
    if any(was == now or not core[was].near(today[now], rows) for was, now in pairs):
        return ()
    return pairs if _certain(pairs, categories) else ()


class _Renaming(NamedTuple):
    """The pairs that match if the category `removed` is gone with its rows.

    `off` is the sum of their errors; of two renamings, the smaller one is more probable.
    """

    off: float
    removed: str
    pairs: _Pairs


def _beside_a_missing_one(categories: _Categories, least: int) -> tuple[_Pairs, tuple[str, ...]]:
    """Return renamed categories, and the category that is also gone with its rows.

    Tries each missing category as the one that is gone. If several fit, all are returned, the most
    probable first, with only the pairs on which they agree.
    """
    tried = [_renaming_without(value, categories, least) for value in categories.core]
    results = sorted(renaming for renaming in tried if renaming is not None)
    if not results:
        return (), ()
    best = results[0]
    tolerance = max(ALIKE, CHANCE_ALIKE / math.sqrt(categories.rows))
    fitting = [renaming for renaming in results if renaming.off <= best.off + tolerance]
    removed = tuple(renaming.removed for renaming in fitting)
    agreed = tuple(
        pair for pair in best.pairs if all(pair in renaming.pairs for renaming in fitting)
    )
    return agreed or tuple(("", now) for _, now in best.pairs), removed


def _renaming_without(value: str, categories: _Categories, least: int) -> _Renaming | None:
    """Return the pairs that match if a category is gone with its rows; None if nothing matches."""
    core, _, today, rows, usual_rows = categories
    usual = core[value]
    if value in today or not 0 < usual.middle < 1:
        return None
    if rows * usual.low / (1 - usual.low) < ROWS_MIN:
        return None
    left = {name: shares.without(usual.middle) for name, shares in core.items() if name != value}
    pairs = _pairs(categories._replace(core=left), least)
    if not pairs:
        return None
    off = sum(abs(today[now] - left[was].middle) for was, now in pairs)
    off_rows = abs(math.log(rows / usual_rows / (1 - usual.middle)))
    return _Renaming(off + off_rows, value, pairs)


def _is_off(usual: _Usual, share: float | None, rows: int, least: int) -> bool:
    """Return whether a category is gone, beyond chance, or has a very different share."""
    if share is None:
        return round(usual.low * rows, 6) >= least
    return not usual.near(share, rows)


def _is_news(value: str, share: float, categories: _Categories, least: int) -> bool:
    """Return whether a category is new with enough rows, or has a very different share."""
    core, known, _, rows, _ = categories
    if value in core:
        return not core[value].near(share, rows)
    return value not in known and round(share * rows, 6) >= least


def _certain(pairs: _Pairs, categories: _Categories) -> bool:
    """Return whether swapped categories moved by more than days differ.

    Their shares must move far, and to where another category's share was.
    """
    core, _, today, rows, _ = categories
    places = [core[was] for was, now in pairs if now in core]
    if not places:
        return True
    moved = [abs(today[now] - core[now].middle) for _, now in pairs if now in core]
    widest = max(usual.slack(rows) for usual in places)
    return min(moved) >= APART * widest and min(moved) * rows >= ROWS_MIN


def _is_set(pairs: _Pairs, categories: _Categories) -> bool:
    """Return whether numbers are codes: few measurements come, go and change their shares."""
    core, known, today, _, _ = categories
    return (
        known == set(core) and not any(now in known for _, now in pairs) and len(today) == len(core)
    )


def _closed(shares: Sequence[Mapping[str, float]], history: MetricHistory) -> bool:
    """Return whether at least a week is known, without a new category of more than a few rows."""
    if len(shares) < HOLD_MIN:
        return False
    rows = [metrics.rows for metrics in history.all()]
    first = len(shares) - HOLD_MIN
    known = {value for share in shares[:first] for value in share} or set(shares[0])
    least = min(rows[-HOLD_MIN:], default=0)
    for item in shares[max(first, 1) :]:
        if any(share * least >= ROWS_MIN for value, share in item.items() if value not in known):
            return False
        known |= set(item)
    return True


def _count_on(pairs: _Pairs, removed: Sequence[str], today: Mapping[str, float]) -> bool:
    """Return whether names are numbers that advance, as months in a sliding window do.

    Then the smallest go and greater ones come.
    """
    old_values = [was for was, _ in pairs if was] or removed
    new_values = [now for _, now in pairs]
    left = [_number(value) for value in today if value not in new_values]
    news, olds = [_number(value) for value in new_values], [_number(value) for value in old_values]
    if any(not number for number in (*left, *news, *olds)):
        return False
    return max(olds) < min([*left, *news]) and min(news) > max([*left, *olds])


def _number(value: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in _DIGITS.findall(value))
