"""All that is odd about one partition: exact tests first, then numbers, and of several symptoms of one thing only the thing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation

import msgspec

from headrace.quality.anomalies import duplicates, groups, truncation
from headrace.quality.anomalies.alone import HELD as HELD_ALONE
from headrace.quality.anomalies.alone import UnsharedNulls, alone
from headrace.quality.anomalies.copies import DuplicateRows, copied
from headrace.quality.anomalies.earlier import earlier
from headrace.quality.anomalies.facts import EXACT, NEVER, kind_of, number, percent, told
from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.anomalies.limits import HISTORY_HOLD_MIN, HISTORY_WARN_MIN, limits, nats
from headrace.quality.anomalies.names import Unfamiliar, unfamiliar
from headrace.quality.anomalies.occasions import beside_holiday
from headrace.quality.anomalies.odd import MetricAnomaly, odd
from headrace.quality.anomalies.peers import Peer, shared_move
from headrace.quality.anomalies.recoded import Recoded, recoded
from headrace.quality.anomalies.regrained import NEW_MIN, Regrained, regrained
from headrace.quality.anomalies.remaining import ONE_EACH, MovedRows, emptied, moved, remains, weighed
from headrace.quality.anomalies.shapes import faulty
from headrace.quality.anomalies.stale import ROWS_MIN, PublishedContent, same_as
from headrace.quality.anomalies.tied import Tied, tied
from headrace.quality.anomalies.together import together
from headrace.quality.anomalies.turned import Turned, turned
from headrace.quality.anomalies.unknown_keys import UnknownKeys, unknown_keys
from headrace.quality.anomalies.young import fewer, multiplied, settled, young
from headrace.quality.facts import Fact, FactSeverity
from headrace.quality.metrics import MetricId, Metrics

ONE_FACTOR = 0.2
"""Columns whose sizes, as logarithms, have moved by so nearly the same were multiplied by one number."""
FEW_TIMES = math.log(4)
"""By no more than that rows are multiplied mostly: two columns of another unit are off by more."""
STEADY = 3.0
"""Sizes that are off by so many times as much as ever don't move with the world: distances are as they are in every storm."""
ON_HOLIDAYS = 2.0
"""So much further than on other days rows, their hours and sizes must be off on and beside a public holiday to be held."""
ENDS_MIN = 3
"""So many files say how a source's files end."""
ENDS_NEAR = 7
"""A file that is cut off has fewer rows than the last few before it."""
UNSURE = 6.0
"""Nats of a column that named only two intervals so far, and names another one."""
_OF_TIME = ("hour_mean", "hour_q95")
_OF_RHYTHM = ("rows", "location", *_OF_TIME)
"""What another rhythm moves: a time of the day may be written as a number too."""
_OF_VOLUME = ("rows", "distinct")
_OF_NAMES = ("share", "distinct", "length", "location", "spread")
"""What moves where categories have other names."""
ANOTHER_GRAIN = "another grain: most of what was named is gone, and something else is there"
OTHER_NAMES = "other names: most of what was named is gone, and as much else is there"
NEW_NAMES = "other names: many that the interval before hadn't"
UNKNOWN_KEYS = "unknown keys"
NOTATION = "written otherwise: "
NAMES_TOLD = 3
HALF = 0.5
"""Where half of the rows are too many, other names may be theirs."""


class EvaluatedPartition(msgspec.Struct, frozen=True):
    """What is judged: a partition, what it measured, and what its content is known by."""

    key: str
    metrics: Metrics
    content_hash: str | None = None
    versions: Sequence[PublishedContent] = ()
    """What was published of all partitions so far, newest first."""
    sources: int = 20
    """Of the project: the more there are, the more improbable a false alarm has to be."""
    peers: Sequence[Peer] = ()
    """Sources of other owners, and how many rows they had."""
    calendar: str = ""
    """Of public holidays: a name that the `holidays` package knows; empty where none is known."""
    fed: bool = False
    """Whether all that it was computed from has rows."""


def judge(one: EvaluatedPartition, history: MetricHistory) -> tuple[Fact, ...]:
    """What is odd about a partition, the worst first. One without rows is odd only where as many rows were computed each time, and
    there is what to compute them from."""
    if not one.metrics.rows:
        gone = fewer(0, history) if one.fed and settled(one.key, history) else None
        return () if gone is None else (_fact(gone, one, frozenset(), "", history),)
    bound = tied(one.key, one.metrics, history, history.grain)
    stale = _stale(one) or _of_another(one, bound) or _of_other_times(one, history)
    if stale is not None and stale.strength > UNSURE:
        return (stale,)
    one = msgspec.structs.replace(one, metrics=_without(one.metrics, bound.columns))
    cut = _cut_off(one, history)
    copies = copied(one.metrics, history)
    twice = [_several_times(one, copies)] if copies else _repeated(one, history)
    if copies is not None:  # once each row is there once, and without its keys, which are others now
        once = _without(one.metrics, frozenset(copies.apart))
        once = msgspec.structs.replace(once, rows=once.rows // copies.times)
        one = msgspec.structs.replace(one, metrics=once)
    numbers = _numbers(one, history)
    of_rows = [*cut, *twice, *(fact for fact, _ in numbers)]
    found = [*([stale] if stale else []), *cut, *twice, *weighed(of_rows, numbers)]
    return tuple(sorted(found, key=lambda fact: (fact.severity is not FactSeverity.HOLD, -fact.strength)))


def _stale(one: EvaluatedPartition) -> Fact | None:
    same = same_as(one.key, one.content_hash, one.versions)
    if same is None:
        return None
    return Fact(
        kind="stale_data",
        severity=FactSeverity.HOLD if one.metrics.rows >= ROWS_MIN else FactSeverity.WARN,
        expected=f"rows of {one.key}",
        observed=f"exactly the rows of {same}",
        strength=_sure(one),
        detail=f"equals {same}",
        partition=one.key,
    )


def _of_another(one: EvaluatedPartition, bound: Tied) -> Fact | None:
    """A column that always said which interval its rows are of, and says another one."""
    if not bound.wrong:
        return None
    column, wrong = min(bound.wrong.items(), key=lambda each: not each[1].sure)
    held = one.metrics.rows >= ROWS_MIN and wrong.sure
    return Fact(
        kind="stale_data",
        column=column,
        severity=FactSeverity.HOLD if held else FactSeverity.WARN,
        expected=wrong.expected,
        observed=wrong.observed,
        strength=_sure(one) if wrong.sure else UNSURE,
        detail="rows of another interval",
        partition=one.key,
    )


def _of_other_times(one: EvaluatedPartition, history: MetricHistory) -> Fact | None:
    """A column of times that were of their interval, all of which lie in an earlier one."""
    found = next(earlier(one.key, one.metrics.columns, history), None)
    if found is None:
        return None
    sure = found.sure and not beside_holiday(one.key, history.grain, one.calendar)
    return Fact(
        kind="stale_data",
        column=found.column,
        severity=FactSeverity.HOLD if sure and one.metrics.rows >= ROWS_MIN else FactSeverity.WARN,
        expected=f"times from {found.expected} on",
        observed=f"{found.first} to {found.last}",
        strength=_sure(one) if sure else UNSURE,
        detail="rows of another interval",
        partition=one.key,
    )


def _sure(one: EvaluatedPartition) -> float:
    """Few rows may be the same again, or name another interval, by chance."""
    return EXACT * min(1.0, one.metrics.rows / ROWS_MIN)


def _cut_off(one: EvaluatedPartition, history: MetricHistory) -> list[Fact]:
    """A file whose last line has no end, where the last line of all before it had one: it may be cut
    off. It is held where it has fewer rows than any of the last few as well: who edits a file by hand
    leaves out a line end, too."""
    known = history.ends
    if not one.metrics.open_end or len(known) < ENDS_MIN or any(known):
        return []
    least = min((each.rows for _, each in history.newest(ENDS_NEAR)), default=0)
    fewer = one.metrics.rows < least
    cut = "the file ends within its last line: it is cut off"
    return [
        Fact(
            kind="volume_anomaly",
            severity=FactSeverity.HOLD if fewer else FactSeverity.WARN,
            expected=f"a line end after the last row, as {len(known)} files before had",
            observed=cut if fewer else "none: the last value may be cut off",
            strength=EXACT if fewer else UNSURE,
            detail="cut off" if fewer else "open end",
            partition=one.key,
        )
    ]


def _without(metrics: Metrics, columns: frozenset[str]) -> Metrics:
    """What is left to be judged by numbers."""
    return msgspec.structs.replace(metrics, columns={name: own for name, own in metrics.columns.items() if name not in columns})


def _repeated(one: EvaluatedPartition, history: MetricHistory) -> list[Fact]:
    found = duplicates.repeated(one.metrics, history)
    if found is None or one.metrics.repeated is None or emptied(one.metrics, history):
        return []
    severity, most = found
    rows = one.metrics.repeated
    return [
        Fact(
            kind="duplicate_rows",
            severity=severity,
            expected=f"at most {percent(most)} of the rows" if most else "no row twice",
            observed=f"{rows} of {one.metrics.rows} rows are identical to others",
            strength=EXACT,
            partition=one.key,
        )
    ]


def _several_times(one: EvaluatedPartition, found: DuplicateRows) -> Fact:
    rows = one.metrics.rows // found.times
    others = f" and {len(found.apart) - NAMES_TOLD} more" if len(found.apart) > NAMES_TOLD else ""
    keys = ", ".join(found.apart[:NAMES_TOLD]) + others
    return Fact(
        kind="duplicate_rows",
        severity=found.severity,
        expected="each row once",
        observed=f"each of {rows:,} rows {found.times} times, the same but for {keys}",
        strength=EXACT,
        detail=f"each row {found.times} times, under other {keys}",
        partition=one.key,
    )


def _numbers(one: EvaluatedPartition, history: MetricHistory) -> list[tuple[Fact, bool]]:
    """What is odd in numbers, once repeated rows are taken out, and without what a cut or a missing group explains; each with whether
    rows that are missing or too many leave it odd."""
    repeated = 0 if emptied(one.metrics, history) else one.metrics.repeated or 0
    rows = one.metrics.rows - repeated
    values = msgspec.structs.replace(one.metrics, rows=rows).values()
    found = young(one.key, values, rows, history)
    found += odd(one.key, values, rows, history, one.sources)
    steady = multiplied(rows, history) or fewer(rows, history)
    if steady is not None and not any(each.metric == steady.metric and each.severity is FactSeverity.HOLD for each in found):
        found = [each for each in found if each.metric != steady.metric] + [steady]
    renamed = recoded(one.key, one.metrics, history)
    known = len(history) >= HISTORY_WARN_MIN or settled(one.key, history)
    facts, explained, lost = _shapes(one, history, renamed) if known else ([], set(), 0.0)
    if not known and (other := regrained(one.metrics, history)) is not None:
        explained |= {(family, other.column) for family in _OF_NAMES}
        facts.append(_of_another_grain(one.key, other, FactSeverity.HOLD))
    grained = {fact.column for fact in facts if fact.detail in (OTHER_NAMES, ANOTHER_GRAIN)}
    for names in renamed:
        if names.column not in grained:
            explained |= {(family, names.column) for family in _OF_NAMES}
            facts.append(_of_other_list(one, names) if names.listed else _of_other_codes(one, names))
    by = moved(one.metrics.rows, repeated, found, lost)
    found = [each for each in found if (each.metric.family, each.metric.column) not in explained]
    found = [each for each in found if each.metric.family not in explained or remains(each, by, history)]
    found = _of_the_world([_sized(each, one, history) for each in found if not _counts_rows(each, found, one)])
    events = together(found, one.metrics, history)
    numbers = [(_fact(each, one, events, shared_move(each, one.peers), history), remains(each, by, history)) for each in _leading(found)]
    return [(fact, _is_of_names(fact, by)) for fact in facts] + numbers


def _is_of_names(fact: Fact, by: MovedRows) -> bool:
    """Whether a shape is one that no choice of rows makes: other names, other hours."""
    if fact.detail.startswith("category mix"):
        return fact.observed.startswith("none") or by.more < HALF
    return fact.detail.startswith(("hours of the day:", "other names: ", NOTATION)) or fact.detail == UNKNOWN_KEYS


def _shapes(one: EvaluatedPartition, history: MetricHistory, renamed: Sequence[Recoded]) -> tuple[list[Fact], set[object], float]:
    """What is missing as a whole, the families of numbers (of a column, or all) that this
    explains, and which share of the rows is missing. `renamed`: columns whose categories only have
    other names."""
    known = len(history) >= HISTORY_HOLD_MIN or settled(one.key, history)
    severity = FactSeverity.HOLD if known else FactSeverity.WARN
    cut = truncation.cut(one.key, one.metrics, history)
    facts, explained, lost = [], set[object](), 0.0
    if cut is not None:
        lost = cut.missing
        explained |= {*_OF_TIME, *_OF_VOLUME, "share"}
        facts.append(
            Fact(
                kind="volume_anomaly", column=cut.column, severity=severity, expected="rows until the end of the day",
                observed=f"hardly any from {cut.hour}:00 on", strength=cut.strength, partition=one.key,
                detail=f"truncated: about {percent(cut.missing)} of the rows are missing",
            )
        )  # fmt: skip
    for off in turned(one.metrics, history):
        explained |= {(family, off.column) for family in _OF_TIME}
        facts.append(_of_turned(one.key, off, severity))
    other_names = {each.column for each in renamed}
    of_groups = [each for each in _of_groups(one, history, severity) if each[0].column not in other_names]
    of_groups += [(_of_missing(one, each.column, each.gone, each.missing, severity), each.missing) for each in renamed if each.gone]
    for fact, share in of_groups:
        if cut is not None and fact.kind == "volume_anomaly":
            continue
        lost = max(lost, share)
        explained |= {("share", fact.column), ("distinct", fact.column)}
        facts.append(fact)
    other = regrained(one.metrics, history) if cut is None else None
    if other is not None:
        explained |= {"rows", *((family, other.column) for family in ("nulls", "distinct", "length"))}
        facts.append(_of_another_grain(one.key, other, severity, lost))
    unknown = list(unknown_keys(one.metrics, history)) if other is None else []
    for keys in unknown:
        explained |= {(family, keys.column) for family in ("distinct", "length")}
        facts.append(_of_unknown_keys(one, keys))
    held = any(fact.severity is FactSeverity.HOLD for fact in facts)
    for names in unfamiliar(one.metrics, history) if other is None else ():
        # Rows that are missing, or have other codes, bring no names.
        if names.column not in other_names | {keys.column for keys in unknown} and (not explained or names.new):
            explained.add(("distinct", names.column))
            facts.append(_of_other_names(one.key, names, beside=held and bool(lost)))
    for each in alone(one.metrics, history):
        explained.add(("nulls", each.column))
        facts.append(_emptied_alone(one, each, severity))
    return facts, explained, lost


def _of_groups(one: EvaluatedPartition, history: MetricHistory, severity: FactSeverity) -> Iterator[tuple[Fact, float]]:
    """Groups that are gone, that have another name now, and that never were; each with the share of the rows that is missing."""
    renamed = set[tuple[str, str]]()
    for gone in groups.missing(one.metrics, history):
        if not gone.now:
            yield _of_missing(one, gone.column, (gone.value,), gone.share, severity), gone.share
            continue
        renamed.add((gone.column, gone.now))
        fact = Fact(
            kind="distribution_shift", column=gone.column, partition=one.key,
            severity=severity if gone.share >= groups.HELD_SHARE else FactSeverity.WARN, strength=_by_rows(gone.share, one),
            expected=f"at least {percent(gone.share)} of the rows with {gone.value!r}",
            observed=f"none, and so many more with {gone.now!r}", detail=f"category mix: {gone.value!r} is {gone.now!r}",
        )  # fmt: skip
        yield fact, 0.0
    for came in groups.new(one.metrics, history):
        if (came.column, came.value) not in renamed:
            fact = Fact(
                kind="distribution_shift", column=came.column, severity=severity, strength=_by_rows(came.share, one), partition=one.key,
                expected=f"no {came.value!r}, as ever", observed=f"{percent(came.share)} of the rows with it",
                detail=f"category mix: {came.value!r} is new",
            )  # fmt: skip
            yield fact, 0.0


def _of_missing(one: EvaluatedPartition, column: str, values: Sequence[str], share: float, severity: FactSeverity) -> Fact:
    """A group without rows; `values`: which it is, or which it may be."""
    names = " or ".join(repr(value) for value in values[:NAMES_TOLD])
    names += " or another one" if len(values) > NAMES_TOLD else ""
    return Fact(
        kind="volume_anomaly", column=column, partition=one.key, strength=_by_rows(share, one),
        severity=severity if share >= groups.HELD_SHARE else FactSeverity.WARN,
        expected=f"at least {percent(share)} of the rows with {names}", observed="none", detail=f"group missing: {names}",
    )  # fmt: skip


def _of_other_codes(one: EvaluatedPartition, found: Recoded) -> Fact:
    if all(_is_same_number(was, now) for was, now in found.names):
        return _of_other_notation(one, found)
    (was, now), more = found.names[0], len(found.names) - NAMES_TOLD
    names = ", ".join(f"{old!r} is {new!r}" if old else f"{new!r} is new" for old, new in found.names[:NAMES_TOLD])
    return Fact(
        kind="distribution_shift", column=found.column, severity=found.severity, strength=EXACT, partition=one.key,
        expected=f"{was!r}, as in all deliveries so far" if was else "the categories of all deliveries so far",
        observed=f"{now!r} in its place: as many rows, another name" if was else f"{now!r} and others in their place",
        detail=f"category mix: {names}{f' and {more} more' if more > 0 else ''}",
    )  # fmt: skip


def _of_other_notation(one: EvaluatedPartition, found: Recoded) -> Fact:
    """Of texts that are numbers, written otherwise."""
    (was, now), more = found.names[0], len(found.names) - NAMES_TOLD
    names = ", ".join(f"{old!r} is {new!r}" for old, new in found.names[:NAMES_TOLD])
    return Fact(
        kind="format_change",
        column=found.column,
        severity=found.severity,
        partition=one.key,
        strength=EXACT if found.severity is FactSeverity.HOLD else UNSURE,
        expected=f"numbers written as {was!r}, as in all deliveries so far",
        observed=f"the same numbers written as {now!r}",
        detail=f"{NOTATION}{names}{f' and {more} more' if more > 0 else ''}",
    )


def _is_same_number(was: str, now: str) -> bool:
    try:
        return Decimal(was.replace(",", ".")) == Decimal(now.replace(",", "."))
    except InvalidOperation:
        return False


def _of_other_list(one: EvaluatedPartition, found: Recoded) -> Fact:
    """Of a list in which each name is there once, which of several is which can't be told."""
    gone, came = _some([was for was, _ in found.names]), _some([now for _, now in found.names])
    return Fact(
        kind="distribution_shift", column=found.column, severity=found.severity, strength=EXACT, partition=one.key,
        expected=f"{gone}, as in all deliveries so far", observed=f"{came} instead", detail=f"other names: {came} instead of {gone}",
    )  # fmt: skip


def _some(values: Sequence[str]) -> str:
    more = len(values) - NAMES_TOLD
    return ", ".join(map(repr, values[:NAMES_TOLD])) + (f" and {more} more" if more > 0 else "")


def _of_turned(key: str, found: Turned, severity: FactSeverity) -> Fact:
    off = f"{abs(found.hours)} hours {'late' if found.hours > 0 else 'early'}"
    return Fact(
        kind="distribution_shift",
        column=found.column,
        severity=severity,
        expected="hours of the day as on the days before",
        observed=f"the same hours, all {off}: {percent(found.share)} of the rows are in others",
        strength=EXACT,
        detail=f"hours of the day: {off}",
        partition=key,
    )


def _of_other_names(key: str, found: Unfamiliar, *, beside: bool) -> Fact:
    """`beside`: the delivery is held for rows that are missing, so that nothing made of it will show whether its names are known."""
    said = "that the interval before hadn't" if found.new else "of the interval before are gone"
    held = beside and found.new and found.share - found.most >= NEW_MIN
    return Fact(
        kind="distribution_shift", column=found.column, partition=key, severity=FactSeverity.HOLD if held else FactSeverity.WARN,
        strength=EXACT if held else number(nats(found.sigmas)), expected=f"at most {percent(found.most)} names {said}",
        observed=f"{percent(found.share)}", detail=NEW_NAMES if held else "other names",
    )  # fmt: skip


def _emptied_alone(one: EvaluatedPartition, found: UnsharedNulls, severity: FactSeverity) -> Fact:
    apart = found.nulls - found.expected
    return Fact(
        kind="null_spike", column=found.column, severity=severity if apart >= HELD_ALONE else FactSeverity.WARN,
        strength=_by_rows(apart, one), expected=f"{percent(found.expected)} nulls, as many as {found.other} has, as ever",
        observed=f"{percent(found.nulls)} nulls", detail=f"without {found.other}", partition=one.key,
    )  # fmt: skip


def _by_rows(share: float, one: EvaluatedPartition) -> float:
    """In nats: each row of what never came so by chance counts."""
    return min(share * one.metrics.rows, 100.0)


def _of_another_grain(key: str, other: Regrained, severity: FactSeverity, lost: float = 0.0) -> Fact:
    """`lost`: which share of the rows is missing, which may have had names of their own."""
    return Fact(
        kind="distribution_shift", column=other.column, severity=severity, strength=EXACT, partition=key,
        expected=f"at least {percent(other.least)} of the values of the interval before",
        observed=f"{percent(other.kept)} of them, and {percent(other.new)} of its values are new",
        detail=OTHER_NAMES if other.as_many(lost) else ANOTHER_GRAIN,
    )  # fmt: skip


def _of_unknown_keys(one: EvaluatedPartition, found: UnknownKeys) -> Fact:
    return Fact(
        kind="reference_broken", column=found.column, severity=FactSeverity.HOLD, strength=_by_rows(found.share, one), partition=one.key,
        expected=f"at most {percent(found.most)} of the rows with keys that the intervals before hadn't",
        observed=f"{percent(found.share)} of the rows", detail=UNKNOWN_KEYS,
    )  # fmt: skip


def _sized(one: MetricAnomaly, partition: EvaluatedPartition, history: MetricHistory) -> MetricAnomaly:
    """As severe as its shape says."""
    if one.severity is not FactSeverity.HOLD:
        return one
    moves_on_holidays = one.metric.family in _OF_RHYTHM and abs(one.off) < ON_HOLIDAYS * limits(one.metric.family).hold
    if moves_on_holidays and not _is_steady(one) and beside_holiday(partition.key, history.grain, partition.calendar):
        return one._replace(severity=FactSeverity.WARN)
    about = [MetricId(family, one.metric.column) for family in ("spread", "location", "negative", "zero")]
    usual = {metric: value for metric in about if (value := history.usual(metric)) is not None}
    highest = max(history.series(one.metric).values, default=one.expected)
    is_fault = faulty(one, partition.metrics.columns.get(one.metric.column), usual, highest)
    return one if is_fault else one._replace(severity=FactSeverity.WARN)


def _counts_rows(one: MetricAnomaly, found: Sequence[MetricAnomaly], partition: EvaluatedPartition) -> bool:
    """Whether it is of the sizes of numbers that begin anew in each partition, as many as there are rows: fewer rows, smaller numbers."""
    if one.metric.family != "location":
        return False
    rows = next((each.off for each in found if each.metric.family == "rows"), 0.0)
    different = partition.metrics.columns[one.metric.column].distinct or 0.0
    return bool(rows) and abs(one.off - rows) < ONE_FACTOR and math.exp(different) >= ONE_EACH * partition.metrics.rows


def _of_the_world(found: Sequence[MetricAnomaly]) -> list[MetricAnomaly]:
    """Sizes that move by different factors, and zeros in several columns, are of the world: another unit is one factor, a fault one
    column; sizes that never move nearly so far aren't moved by it either. Fewer rows have fewer distinct values, which is no news."""
    moves = [one.off for one in found if one.metric.family == "location"]
    gradual = {"location"} if moves and max(moves) - min(moves) > ONE_FACTOR else set()
    gradual |= {"zero"} if sum(one.metric.family == "zero" for one in found) > 1 else set()
    rows = next((one.off for one in found if one.metric.family == "rows"), 0.0)
    return [
        one._replace(severity=FactSeverity.WARN) if one.metric.family in gradual and not _is_steady(one) else one
        for one in found
        if not (one.metric.family == "distinct" and rows * one.off > 0)
    ]


def _is_steady(one: MetricAnomaly) -> bool:
    """Whether it is of sizes that no storm and no holiday moved nearly so far, and much at that."""
    return one.metric.family == "location" and abs(one.off) >= max(STEADY * one.record, limits("location").hold)


def _leading(found: Sequence[MetricAnomaly]) -> list[MetricAnomaly]:
    """Of each column, and of each kind of cause, one: the worst. Sizes of values of which none are left say nothing."""
    emptied = {one.metric.column for one in found if one.metric.family == "nulls" and one.off > 0}
    best: dict[tuple[str, str], MetricAnomaly] = {}
    for one in found:
        if one.metric.column in emptied and one.metric.family not in ("nulls", *_OF_TIME, "location"):
            continue
        at = (kind_of(one.metric.family), one.metric.column)
        if at not in best or _rank(one) > _rank(best[at]):
            best[at] = one
    return list(best.values())


def _rank(one: MetricAnomaly) -> tuple[bool, float]:
    return one.severity is FactSeverity.HOLD, one.strength


def _moved_as_rows(one: MetricAnomaly, today: Metrics, history: MetricHistory) -> bool:
    """Whether rows explain by which factor a column's sizes moved: there are as many times as many, or they are in the totals, of which
    another column, as a count is, moved by the same small factor."""
    usual = history.usual(MetricId("rows"))
    moves = [] if usual is None else [math.log(today.rows + 1) - usual]
    if abs(one.off) < FEW_TIMES:
        for name, column in today.columns.items():
            before = history.usual(MetricId("location", name)) if name != one.metric.column else None
            moves += [] if before is None or column.location is None else [column.location - before]
    return any(abs(move - one.off) <= ONE_FACTOR / 2 for move in moves)


def _fact(one: MetricAnomaly, partition: EvaluatedPartition, events: frozenset[str], peers: str, history: MetricHistory) -> Fact:
    """As a fact; what an event in the world explains, or other sources saw too, is no reason to hold."""
    kind, expected, observed, detail = told(
        one, of_rows=one.metric.family == "location" and _moved_as_rows(one, partition.metrics, history)
    )
    never = NEVER if one.metric.family == "nulls" and not max(history.series(one.metric).values) else ""
    event = f"together with {', '.join(sorted(events - {one.metric.column})[:4])}" if one.metric.column in events else ""
    explained = bool(event) or (bool(peers) and one.metric == MetricId("rows"))
    return Fact(
        kind=kind,
        column=one.metric.column,
        severity=FactSeverity.WARN if explained else one.severity,
        expected=expected,
        observed=observed,
        strength=number(one.strength),
        detail="; ".join(filter(None, [never, detail, event and f"an event: {event}", peers])),
        partition=partition.key,
    )
