"""Stored trials: recording one, listing them, and what their changes came to in real runs."""

from __future__ import annotations

from functools import cache, partial

import msgspec

from headrace.extension import (
    SEE,
    CommandContext,
    Progress,
    ProjectSession,
    command,
    leader_command,
)
from headrace.plan.trials import Trial
from headrace.store import Transaction
from headrace.store.queries import applied_versions, trials
from headrace.store.queries.trials import StoredTrial
from headrace_advisor.responses.trials import (
    FollowedUpRow,
    RecordedTrial,
    StoredBytesRow,
    TrialRow,
    TrialRunRow,
)
from headrace_advisor.services.trial_outcomes import FollowUp, followed_up

LISTED_MAX = 100
"""At most this many of the newest trials are listed."""


class RecordArguments(msgspec.Struct, frozen=True):
    """A finished trial. `code_before` and `code_after` are fingerprints of the asset's code.

    `proven`: `optimize apply` can apply the change.
    """

    node: str
    finding: str | None
    change: str
    code_before: str
    code_after: str
    trial: Trial
    proven: bool = False


def record(session: ProjectSession, arguments: RecordArguments, progress: Progress) -> TrialRow:
    """Store a trial; return it as a row."""
    recorded: RecordedTrial = _record.perform(session, progress, arguments)
    with session.existing_store.read() as tx:
        stored = trials.get(tx, recorded.number)
    return _row(session, stored, None)  # nothing has run since


@leader_command("record_trial", RecordedTrial)
def _record(context: CommandContext, arguments: RecordArguments) -> RecordedTrial:
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
                    proven=int(arguments.proven),
                ),
            )
        )

    context.tell(write=write)
    return RecordedTrial(number=numbers[0])


@command("ab list", SEE, lists=True, session="trials")
def list_trials(session: ProjectSession) -> list[TrialRow]:
    """List the newest trials of changes, each with what the real runs came to afterwards.

    Their single runs are left out.
    """
    if session.store is None:
        return []
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        visible = [item for item in trials.newest(tx, LISTED_MAX) if session.shows(item.node)]
        fingerprints = cache(partial(applied_versions.fingerprints, tx))
        rows = [
            _row(session, item, followed_up(tx, item, now_us, fingerprints)) for item in visible
        ]
    return [msgspec.structs.replace(row, runs=[]) for row in rows]


def _row(session: ProjectSession, stored: StoredTrial, follow_up: FollowUp | None) -> TrialRow:
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
        waited_seconds=trial.waited_s,
        by=stored.actor,
        at=session.instant(stored.at),
        stored_bytes=_stored_bytes(trial),
        followed_up=None
        if follow_up is None
        else FollowedUpRow(days=follow_up.days, percent=follow_up.percent),
    )


def _stored_bytes(trial: Trial) -> StoredBytesRow | None:
    sizes = [
        (item.before_bytes, item.after_bytes)
        for item in trial.compared
        if item.before_bytes is not None and item.after_bytes is not None
    ]
    if not sizes:
        return None
    return StoredBytesRow(
        before=sum(before for before, _ in sizes), after=sum(after for _, after in sizes)
    )
