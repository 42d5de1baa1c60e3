"""What the changes of stored trials come to in real runs: savings, and what was promised."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import NamedTuple

from headrace.ledger.compute_time import MONTH_US, saved_seconds
from headrace.model.intervals import DAY_US
from headrace.plan.trials import Trial
from headrace.store import Transaction
from headrace.store.queries.trials import StoredTrial
from headrace_advisor.queries import single_attempts

FOLLOWED_RUNS_MIN = 5
"""A change is followed up from this many real runs before and after it."""
BEFORE_US = MONTH_US
"""Real runs before a trial are those of the 30 days before it."""
FingerprintsOf = Callable[[int], Mapping[str, str]]
"""Version → node → fingerprint of its code."""


def saved_in_all(tx: Transaction, trial_of: Mapping[str, Trial], now_us: int) -> float | None:
    """Return the seconds a month that a change saves in all assets; None if one isn't known."""
    saved = [saved_seconds(tx, asset, trial, now_us) for asset, trial in trial_of.items()]
    known = [seconds for seconds in saved if seconds is not None]
    return round(sum(known), 3) if len(known) == len(saved) else None


class FollowUp(NamedTuple):
    """How much the real runs changed after a change was applied, and over how many days."""

    days: int
    percent: float


def followed_up(
    tx: Transaction, stored: StoredTrial, now_us: int, fingerprints: FingerprintsOf
) -> FollowUp | None:
    """Return how the durations of real runs changed; None before there are enough of them."""
    if stored.code_before == stored.code_after:
        return None  # a setting: runs don't say with which one they ran
    runs = _real_runs(tx, stored, now_us, fingerprints)
    if runs.first_at is None or min(len(runs.before_us), len(runs.after_us)) < FOLLOWED_RUNS_MIN:
        return None
    before, after = statistics.median(runs.before_us), statistics.median(runs.after_us)
    if not before:
        return None
    return FollowUp((now_us - runs.first_at) // DAY_US, round((after / before - 1) * 100, 2))


class _RealRuns(NamedTuple):
    before_us: list[int]
    after_us: list[int]
    first_at: int | None


def _real_runs(
    tx: Transaction, stored: StoredTrial, now_us: int, fingerprints: FingerprintsOf
) -> _RealRuns:
    before, after, first_at = list[int](), list[int](), None
    from_us = stored.at - BEFORE_US
    for attempt in single_attempts.of_single_partitions(tx, stored.node, from_us, now_us):
        if attempt.version is None:
            continue
        fingerprint = fingerprints(attempt.version).get(stored.node)
        took = attempt.run_us - attempt.processor_wait_us
        if fingerprint == stored.code_before:
            before.append(took)
        elif fingerprint == stored.code_after and attempt.finished_at > stored.at:
            after.append(took)
            first_at = attempt.finished_at if first_at is None else first_at
    return _RealRuns(before, after, first_at)
