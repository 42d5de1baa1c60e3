"""Stored trials: recording one, listing them, and what their changes came to in real runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import NamedTuple

import msgspec

from headrace.advisor.trials import Trial
from headrace.model.intervals import DAY_US
from headrace.services.code_versions import fingerprints_in
from headrace.services.command_context import CommandContext
from headrace.services.commands import leader_command, perform
from headrace.services.permissions import authorised
from headrace.services.responses.base import Response
from headrace.services.responses.trials import FollowedUpRow, TrialRow, TrialRunRow
from headrace.services.session import Progress, ProjectSession
from headrace.store import Transaction
from headrace.store.queries import applied_versions, durations, trials
from headrace.store.queries.trials import StoredTrial

LISTED_MAX = 100
"""At most this many of the newest trials are listed."""
FOLLOWED_RUNS_MIN = 5
"""A change is followed up from this many real runs before and after it."""
BEFORE_US = 30 * DAY_US
"""Real runs before a trial are those of the 30 days before it."""
FingerprintsOf = Callable[[int], Mapping[str, str]]
"""Version → node → fingerprint of its code."""


class RecordArguments(msgspec.Struct, frozen=True):
    """A finished trial. `code_before` and `code_after` are fingerprints of the asset's code."""

    node: str
    finding: str | None
    change: str
    code_before: str
    code_after: str
    trial: Trial


class RecordedTrial(Response, frozen=True, kw_only=True):
    """The number of a stored trial."""

    number: int


def record(session: ProjectSession, arguments: RecordArguments, progress: Progress) -> TrialRow:
    """Store a trial; return it as a row."""
    recorded: RecordedTrial = perform(session, "record_trial", arguments, progress)
    assert session.store is not None
    with session.store.read() as tx:
        stored = trials.get(tx, recorded.number)
    return _row(session, stored, None)  # nothing has run since


@leader_command("record_trial", RecordArguments, RecordedTrial)
def _record(
    context: CommandContext, arguments: RecordArguments, progress: Progress
) -> RecordedTrial:
    del progress
    numbers: list[int] = []

    def write(tx: Transaction, now: int) -> None:
        numbers.append(
            trials.add(
                tx,
                StoredTrial(
                    id=0,
                    node=arguments.node,
                    finding=arguments.finding,
                    change=arguments.change,
                    version=applied_versions.newest_id(tx) or None,
                    code_before=arguments.code_before,
                    code_after=arguments.code_after,
                    actor=context.actor.id,
                    at=now,
                    verdict=arguments.trial.verdict,
                    content=msgspec.json.encode(arguments.trial).decode(),
                ),
            )
        )

    context.tell(write=write)
    return RecordedTrial(number=numbers[0])


@authorised
def list_trials(session: ProjectSession) -> list[TrialRow]:
    """List the newest trials of changes, each with what the real runs came to afterwards.

    Their single runs are left out.
    """
    if session.store is None:
        return []
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        visible = [item for item in trials.newest(tx, LISTED_MAX) if session.shows(item.node)]
        fingerprints = cache(partial(fingerprints_in, tx))
        rows = [
            _row(session, item, _followed_up(tx, item, now_us, fingerprints)) for item in visible
        ]
    return [msgspec.structs.replace(row, runs=[]) for row in rows]


def _row(
    session: ProjectSession, stored: StoredTrial, followed_up: FollowedUpRow | None
) -> TrialRow:
    trial = msgspec.json.decode(stored.content, type=Trial)
    interval = trial.interval
    return TrialRow(
        id=f"t-{stored.id}",
        asset=stored.node,
        finding=stored.finding,
        change=stored.change,
        verdict=stored.verdict,
        change_percent=None if interval is None else interval.percent,
        ci95=None if interval is None else [interval.low, interval.high],
        runs=[
            TrialRunRow(
                partition=run.partition, side=run.side, ms=run.ms, peak_bytes=run.peak_bytes
            )
            for run in trial.runs
        ],
        equal=trial.equal,
        rows=trial.rows,
        partitions=[item.partition for item in trial.compared],
        difference=trial.difference,
        unreached=list(trial.unreached),
        by=stored.actor,
        at=session.instant(stored.at),
        followed_up=followed_up,
    )


class _RealRuns(NamedTuple):
    before_us: list[int]
    after_us: list[int]
    first_at: int | None


def _followed_up(
    tx: Transaction, stored: StoredTrial, now_us: int, fingerprints: FingerprintsOf
) -> FollowedUpRow | None:
    """Return how the durations of real runs changed; None before there are enough of them."""
    if stored.code_before == stored.code_after:
        return None  # a setting: runs don't say with which one they ran
    runs = _real_runs(tx, stored, now_us, fingerprints)
    if runs.first_at is None or min(len(runs.before_us), len(runs.after_us)) < FOLLOWED_RUNS_MIN:
        return None
    before, after = statistics.median(runs.before_us), statistics.median(runs.after_us)
    if not before:
        return None
    return FollowedUpRow(
        days=(now_us - runs.first_at) // DAY_US, percent=round((after / before - 1) * 100, 2)
    )


def _real_runs(
    tx: Transaction, stored: StoredTrial, now_us: int, fingerprints: FingerprintsOf
) -> _RealRuns:
    before, after, first_at = list[int](), list[int](), None
    from_us = stored.at - BEFORE_US
    for attempt in durations.of_single_partitions(tx, stored.node, from_us, now_us):
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
