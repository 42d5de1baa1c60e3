"""What is said of a check after it was put to the test. Pure: what it noticed, what it came to in the past, what the others are."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from headrace.model import CheckSpec, Severity
from headrace.quality.challenge.trying import Challenged
from headrace.quality.results import CheckState

SHOWN_MAX = 3
ALIKE_MIN = 2
"""Two checks of different kinds have to notice so many mutations, and the same, before one is called the other's duplicate."""


class ChallengeVerdict(enum.StrEnum):
    """INTERFACE §3."""

    EFFECTIVE = "effective"
    CANNOT_FAIL = "cannot_fail"
    DUPLICATE = "duplicate"
    FLAKY = "flaky"
    NEVER_RAN = "never_ran"


class CheckHistory(msgspec.Struct, frozen=True):
    """What a check came to before: in how many attempts it looked at rows, and where it changed its mind about the same data."""

    ran: int = 0
    flips: tuple[str, ...] = ()
    """Partitions."""


class CheckAssessment(msgspec.Struct, frozen=True):
    """The verdict (None where the time was over before any could be found) and what it rests on, in one sentence."""

    verdict: ChallengeVerdict | None
    evidence: str
    caught: tuple[str, ...] = ()
    """What it noticed, in words."""


def judge(check: CheckSpec, others: Sequence[CheckSpec], result: Challenged | None, past: CheckHistory) -> CheckAssessment:
    """What is to be said of one check among the `others` of its node (itself included). `found` is None without published rows."""
    if past.flips:
        return CheckAssessment(ChallengeVerdict.FLAKY, f"it changed its mind about the same data: {_listed(past.flips)}")
    if result is None:
        return CheckAssessment(
            ChallengeVerdict.NEVER_RAN, "nothing is published that it could look at" if not past.ran else "no rows are published now"
        )
    trial, caught = result.asked[check.name], result.caught(check.name)
    said = tuple(trial.mutation.says for trial in caught)
    if trial.first is None:
        return CheckAssessment(None, "the time was over before it had an answer")
    if trial.flaky:
        return CheckAssessment(
            ChallengeVerdict.FLAKY, f"asked {len(trial.results)} times about the same rows, it gave different answers", said
        )
    if trial.first.detail.startswith("can't be checked"):
        return CheckAssessment(ChallengeVerdict.NEVER_RAN, trial.first.detail)
    if not caught:
        return _uncaught(check, result)
    twin = duplicate(check, others, result)
    if twin is not None:
        return CheckAssessment(ChallengeVerdict.DUPLICATE, twin, said)
    if not past.ran:
        return CheckAssessment(ChallengeVerdict.NEVER_RAN, f"no attempt has asked it yet; it would notice {_listed(said)}", said)
    return CheckAssessment(ChallengeVerdict.EFFECTIVE, f"it notices {_listed(said)}", said)


def _uncaught(check: CheckSpec, result: Challenged) -> CheckAssessment:
    first, tried = result.asked[check.name].first, len(result.tried)
    if first is not None and first.outcome is CheckState.FAILED:
        return CheckAssessment(ChallengeVerdict.EFFECTIVE, f"it fails on the rows as they are, in {first.failing:,} of {first.rows:,}")
    if not result.rows:
        return CheckAssessment(ChallengeVerdict.NEVER_RAN, "there are no rows to change")
    if not result.finished:
        return CheckAssessment(None, f"the time was over: it noticed none of the {tried} mutations until then")
    if check.where is not None and first is not None and first.rows == 0:
        return CheckAssessment(ChallengeVerdict.CANNOT_FAIL, f"its `where` is true of none of {result.rows:,} rows")
    return CheckAssessment(ChallengeVerdict.CANNOT_FAIL, f"it noticed none of {tried} mutations of {result.rows:,} rows")


def duplicate(check: CheckSpec, others: Sequence[CheckSpec], result: Challenged) -> str | None:
    """Why the check says nothing that another doesn't say; None where it does. Of two that say the same, it is the later."""
    at = [other.name for other in others].index(check.name)
    for number, other in enumerate(others):
        if number == at or (other.severity is Severity.WARNING and check.severity is Severity.BLOCKING):
            continue
        both_ways = _implied(other, check) and other.severity == check.severity
        if _implied(check, other) and (number < at or not both_ways):
            return f"`{other.name}` fails wherever it does"
        if number < at and _alike(check, other, result):
            return f"`{other.name}` notices the same {len(result.caught(check.name))} mutations"
    return None


def _implied(check: CheckSpec, by: CheckSpec) -> bool:
    """Whether rows that pass `by` pass the check, as their arguments say."""
    if check.kind != by.kind or check.kind not in _IMPLIES:
        return False
    if by.where != check.where and (by.where is not None or check.kind in _OF_ALL_ROWS):
        return False
    return _IMPLIES[check.kind](check.arguments, by.arguments)


def _same_column(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return str(ours["column"]).lower() == str(theirs["column"]).lower()


def _columns(arguments: Mapping[str, Any]) -> frozenset[str]:
    columns = arguments["columns"]
    return frozenset(str(column).lower() for column in columns) if isinstance(columns, list | tuple) else frozenset()


def _wider(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether our bounds let through all that theirs do. Bounds of texts are compared only where they are the same."""
    for name, sign in (("min", 1), ("max", -1)):
        own, other = ours.get(name), theirs.get(name)
        if own is None:
            continue
        if isinstance(own, int | float) and isinstance(other, int | float):
            if sign * own > sign * other:
                return False
        elif own != other:
            return False
    return True


def _values(arguments: Mapping[str, Any]) -> frozenset[str]:
    values = arguments["values"]
    return frozenset(repr(value) for value in values) if isinstance(values, list | tuple) else frozenset()


_IMPLIES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], bool]] = {
    "not_null": lambda ours, theirs: _columns(ours) <= _columns(theirs),
    "unique": lambda ours, theirs: _columns(ours) >= _columns(theirs),
    "range": lambda ours, theirs: _same_column(ours, theirs) and _wider(ours, theirs),
    "row_count": _wider,
    "accepted_values": lambda ours, theirs: _same_column(ours, theirs) and _values(ours) >= _values(theirs),
    "regex": lambda ours, theirs: _same_column(ours, theirs) and bool(ours["pattern"] == theirs["pattern"]),
    "references": lambda ours, theirs: _same_column(ours, theirs) and bool(ours["to"] == theirs["to"]),
    "freshness": lambda ours, theirs: _same_column(ours, theirs) and bool(ours["max_age"] == theirs["max_age"]),
    "sql": lambda ours, theirs: bool(ours["query"] == theirs["query"]),
}


_OF_ALL_ROWS = ("row_count", "freshness")
"""Kinds of which a part of the rows may fail where all of them pass."""


def _alike(check: CheckSpec, other: CheckSpec, result: Challenged) -> bool:
    """Whether two checks, of which one is a query, notice the same mutations in as many rows. Keys that repeat are counted by
    rows or by keys, so of `unique` it is enough that it notices the same."""
    kinds = {check.kind, other.kind}
    if "sql" not in kinds or check.where != other.where:
        return False
    ours, theirs = result.caught(check.name), result.caught(other.name)
    if len(ours) < ALIKE_MIN or [id(trial) for trial in ours] != [id(mutation_trial) for mutation_trial in theirs]:
        return False
    return "unique" in kinds or all(trial.results[check.name].failing == trial.results[other.name].failing for trial in ours)


def _listed(texts: Sequence[str]) -> str:
    text = "; ".join(texts[:SHOWN_MAX])
    return text if len(texts) <= SHOWN_MAX else f"{text}; and {len(texts) - SHOWN_MAX} more"
