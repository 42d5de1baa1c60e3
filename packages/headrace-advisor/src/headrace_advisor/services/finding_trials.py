"""Trials of the changes of findings: of one asset's query, or of several at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

from msgspec.structs import replace

from headrace.extension import Progress, ProjectSession
from headrace.plan import Compiled
from headrace.plan.trials import Trial, TrialVerdict
from headrace_advisor.analysis.project_tables import ProjectTables
from headrace_advisor.services.finding_changes import FindingChange
from headrace_advisor.services.trial_inputs import (
    chosen_partitions,
    idle_slots,
    input_partitions,
    side_settings,
    suitable_store,
    trial_partitions,
)
from headrace_advisor.services.trial_records import RecordArguments


class FindingTrial(NamedTuple):
    """A trial of a finding's change. `parts` are what it came to for each asset that it changes."""

    change: FindingChange
    trial: Trial
    parts: dict[str, Trial]

    @property
    def equal(self) -> bool | None:
        """Whether the rows of each asset are equal; None if no rows of one were compared."""
        results = [part.equal for part in self.parts.values()]
        if False in results:
            return False
        return True if all(results) else None

    @property
    def is_applicable(self) -> bool:
        """Whether the trial allows the change, for each asset."""
        return all(map(is_applicable, self.parts.values()))

    @property
    def is_inconclusive(self) -> bool:
        """Whether the durations of an asset don't tell whether it is slower."""
        return any(part.verdict is TrialVerdict.INCONCLUSIVE for part in self.parts.values())


def is_applicable(trial: Trial) -> bool:
    """Whether a trial allows its change: equal rows, and durations that say it isn't slower."""
    return trial.verdict in (TrialVerdict.FASTER, TrialVerdict.NO_EFFECT)


def trial_of_change(
    session: ProjectSession,
    base: Compiled,
    change: FindingChange,
    partitions: int,
    until: float,
    progress: Progress,
    *,
    timed: bool = True,
) -> FindingTrial:
    """Compare each asset before and after a change, until a point of the monotonic clock.

    Timed rounds begin while a worker slot is idle; a comparison alone doesn't wait. The partitions
    of several assets are ASSET@PARTITION. Raise Refused for an asset that can't be tried.
    """
    from headrace_advisor.analysis.trial_runs import TrialRunner

    after, same = change.changed.compiled, side_settings(session)
    both = []
    for asset in change.assets:
        store = suitable_store(session, ProjectTables(base), asset)
        suitable_store(session, ProjectTables(after), asset)
        keys = (
            input_partitions(store, after, asset, partitions)
            if change.splits
            else chosen_partitions(store, base.project.assets[asset], (), partitions)
        )
        prefix = _prefix(asset, change.assets)
        both += [
            item._replace(key=prefix + item.key)
            for item in trial_partitions(
                session,
                store,
                (base, after),
                asset,
                keys,
                (same, same),
                change.leaves_out,
                splits=change.splits,
            )
        ]
    with idle_slots(session, progress) if timed else nullcontext() as slots:
        runner = TrialRunner(session.folders, session.timezone, until, slots)
        trial = runner.run(both, timed=timed, done=lambda: None)
    parts = {name: trial.part(_prefix(name, change.assets)) for name in change.assets}
    return FindingTrial(change, trial, parts)


def _prefix(asset: str, assets: Sequence[str]) -> str:
    return f"{asset}@" if len(assets) > 1 else ""


def records_of(
    finding: str, base: Compiled, tried: FindingTrial, *, proven: bool, proposal: str
) -> list[RecordArguments]:
    """Return what is stored of a finding's trial: one record for each asset that it changes.

    `proposal` is the id by which the finding is dismissed.
    """
    after = tried.change.changed.compiled
    return [
        RecordArguments(
            node=name,
            finding=finding,
            change=tried.change.text,
            code_before=base.nodes[name].fingerprint,
            code_after=after.nodes[name].fingerprint,
            trial=replace(trial, proposal=None if proposal == finding else proposal),
            proven=proven,
        )
        for name, trial in tried.parts.items()
    ]


def record_together(
    base: Compiled, after: Compiled, asset: str, names: Sequence[str], trial: Trial
) -> RecordArguments:
    """Return what is stored of a trial of several findings; its `finding` has all their ids."""
    return RecordArguments(
        node=asset,
        finding=" ".join(names),
        change=f"{len(names)} findings together: {', '.join(names)}",
        code_before=base.nodes[asset].fingerprint,
        code_after=after.nodes[asset].fingerprint,
        trial=trial,
        proven=True,
    )
