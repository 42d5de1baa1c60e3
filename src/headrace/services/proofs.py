"""`optimize --prove`: measure the changes of findings on published partitions."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from headrace.advisor.advice import Verdict
from headrace.advisor.project_tables import ProjectTables
from headrace.advisor.trials import Interval, Side, Trial, TrialVerdict
from headrace.model import HeadraceError
from headrace.model.partitions import command_line
from headrace.plan import Compiled, changes, comparison
from headrace.services import plans
from headrace.services.changed_assets import ChangedProject
from headrace.services.dismissed import is_dismissed
from headrace.services.finding_changes import FindingChange, change_of
from headrace.services.optimize import asset_advice, optimize
from headrace.services.parameters import Excluded, Selected
from headrace.services.permissions import authorised
from headrace.services.responses.optimize import (
    EqualityRow,
    MeasuredRow,
    OptimizeRow,
    PremiseRow,
    SavingRow,
)
from headrace.services.session import Progress, ProjectSession, usable
from headrace.services.trial_inputs import (
    chosen_partitions,
    idle_slots,
    side_settings,
    suitable_store,
    trial_partitions,
)
from headrace.services.trial_outcomes import saved_seconds
from headrace.services.trial_records import RecordArguments, record
from headrace.services.trials import Budget, NumberOfPartitions, budget_seconds

if TYPE_CHECKING:
    from headrace.store import Store

INCONCLUSIVE = "its durations are inconclusive: --budget allows more runs"
"""Why a change isn't offered although its rows are equal and its runs were timed."""
PART_ENDED = "its part of the budget has ended: --budget allows more"
DISMISSED = "it was dismissed"
_RANKS = {"proven": 0, "unknown": 1}


@authorised
def prove(
    session: ProjectSession,
    select: Selected = (),
    exclude: Excluded = (),
    *,
    partitions: NumberOfPartitions = 3,
    budget: Budget = "60s",
    progress: Progress,
) -> list[OptimizeRow]:
    """List the findings of `optimize`, and measure the change of each on published partitions.

    Proven findings come first. A row that wasn't measured says why. Raise what `optimize` raises,
    and UsageError for an invalid budget.
    """
    deadline = time.monotonic() + budget_seconds(budget)
    rows = optimize(session, select, exclude, progress=progress)
    compiled = usable(session.declared_exactly(progress)[1])
    tables = ProjectTables(compiled)
    dismissed = {row.id for row in rows if is_dismissed(row.dismissal)}
    measurable = editable(session, tables, rows) - dismissed
    rows = [
        replace(row, unmeasured=DISMISSED if row.id in dismissed else unmeasurable(row, measurable))
        for row in rows
    ]
    order = sorted(
        (n for n, row in enumerate(rows) if row.id in measurable),
        key=lambda n: _RANKS.get(rows[n].verdict, 2),
    )
    progress.start("findings measured", len(order))
    try:
        for place, number in enumerate(order):
            until = time.monotonic() + (deadline - time.monotonic()) / (len(order) - place + 1)
            rows[number] = _proved(session, tables, rows[number], partitions, until, progress)
            progress.advance(1)
    finally:
        progress.finish()
    return _with_common_commands(session, tables, rows, partitions, deadline, progress)


def _with_common_commands(
    session: ProjectSession,
    tables: ProjectTables,
    rows: list[OptimizeRow],
    partitions: int,
    until: float,
    progress: Progress,
) -> list[OptimizeRow]:
    """Return the rows with the command that applies all findings of an asset, if there are several.

    They are measured together: what each alone changes is often too little to be told from noise.
    """
    ids: dict[str, list[str]] = {}
    for row in reversed(rows):  # the last in the file first, so that the others stay where they are
        if row.asset is not None and _may_go_with_others(row):
            ids.setdefault(row.asset, []).append(row.id)
    common = {
        asset: command_line("optimize", "apply", *names)
        for asset, names in ids.items()
        if len(names) > 1
        and _measured_together(session, tables, asset, names, partitions, until, progress)
    }
    return [
        replace(row, asset_command=common.get(row.asset or "")) if _may_go_with_others(row) else row
        for row in rows
    ]


def _may_go_with_others(row: OptimizeRow) -> bool:
    """Whether a finding is proven, has equal rows, and isn't slower alone."""
    equal = row.equality is not None and row.equality.equal
    slower = row.measured is not None and row.measured.ci95[0] > 0
    return row.verdict == Verdict.PROVEN and equal and row.measured is not None and not slower


def _measured_together(
    session: ProjectSession,
    tables: ProjectTables,
    asset: str,
    names: Sequence[str],
    partitions: int,
    until: float,
    progress: Progress,
) -> bool:
    """Return whether all changes hold together and aren't slower; store the trial if so."""
    if time.monotonic() >= until:
        return False
    base, contents, now = tables.compiled, dict[str, bytes](), tables
    try:
        for name in names:
            change = change_of(session, now, asset, name, contents)
            if not change.is_proven:
                return False
            contents, now = change.contents, ProjectTables(change.changed.compiled)
        trial = trial_together(session, base, now.compiled, asset, partitions, until, progress)
    except HeadraceError:
        return False
    if is_applicable(trial):
        record(session, record_together(base, now.compiled, asset, names, trial), progress)
    return is_applicable(trial)


def trial_together(
    session: ProjectSession,
    base: Compiled,
    after: Compiled,
    asset: str,
    partitions: int,
    until: float,
    progress: Progress,
) -> Trial:
    """Return a trial of the changes of several findings of an asset at once."""
    store = suitable_store(session, ProjectTables(base), asset)
    keys = chosen_partitions(store, base.project.assets[asset], None, partitions)
    return run_trial(session, store, (base, after), asset, keys, until, progress)


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


def editable(
    session: ProjectSession, tables: ProjectTables, rows: Sequence[OptimizeRow]
) -> set[str]:
    """Return the ids of findings in the query of one asset that have an edit."""
    names = {row.asset for row in rows if row.asset is not None and row.diff is not None}
    return {
        item.id
        for name in names
        for item in asset_advice(session.root, tables, name).items
        if item.diff is not None
    }


def unmeasurable(row: OptimizeRow, measurable: Collection[str]) -> str | None:
    """Return why a finding can't be measured; None if it can, or is refuted."""
    if row.id in measurable or row.verdict == Verdict.REFUTED:
        return None
    if row.diff is None:
        return "it has no diff"
    return "its diff isn't one of a query alone, which has to give the same rows"


def _proved(
    session: ProjectSession,
    tables: ProjectTables,
    row: OptimizeRow,
    partitions: int,
    until: float,
    progress: Progress,
) -> OptimizeRow:
    """Return a row with what its change came to, or with why it wasn't measured."""
    asset = row.asset
    assert asset is not None
    if row.verdict == Verdict.REFUTED:
        return row
    if time.monotonic() >= until:
        return replace(row, unmeasured="the budget has ended: --budget allows more")
    try:
        tried = _tried(session, tables, asset, row.id, partitions, until, progress)
    except HeadraceError as error:
        return replace(row, unmeasured=str(error))
    trial = tried.trial
    row = replace(row, waited_seconds=trial.waited_s)
    if not trial.compared:
        return replace(row, unmeasured=PART_ENDED)
    measured = _with_trial(session, row, trial)
    if tried.change.is_proven and is_applicable(trial):
        measured = _with_command(session, measured, asset, tried.change.changed)
    elif trial.equal and trial.interval and trial.verdict is TrialVerdict.INCONCLUSIVE:
        measured = replace(measured, unmeasured=INCONCLUSIVE)
    if trial.equal and tried.change.checks and tried.change.is_proven:
        measured = replace(measured, adds_checks=[str(check) for check in tried.change.checks])
    arguments = RecordArguments(
        node=asset,
        finding=row.id,
        change=tried.change.text,
        code_before=tables.compiled.nodes[asset].fingerprint,
        code_after=tried.change.changed.compiled.nodes[asset].fingerprint,
        trial=trial,
        proven=measured.command is not None,
    )
    record(session, arguments, progress)
    return measured


def is_applicable(trial: Trial) -> bool:
    """Whether a trial allows its change: equal rows, and durations that say it isn't slower."""
    return trial.verdict in (TrialVerdict.FASTER, TrialVerdict.NO_EFFECT)


class _Tried(NamedTuple):
    change: FindingChange
    trial: Trial


def _tried(
    session: ProjectSession,
    tables: ProjectTables,
    asset: str,
    finding: str,
    partitions: int,
    until: float,
    progress: Progress,
) -> _Tried:
    """Run the trial of a finding's change."""
    compiled = tables.compiled
    store = suitable_store(session, tables, asset)
    change = change_of(session, tables, asset, finding)
    keys = chosen_partitions(store, compiled.project.assets[asset], None, partitions)
    sides = (compiled, change.changed.compiled)
    return _Tried(change, run_trial(session, store, sides, asset, keys, until, progress))


def run_trial(
    session: ProjectSession,
    store: Store,
    sides: tuple[Compiled, Compiled],
    asset: str,
    keys: Sequence[str],
    until: float,
    progress: Progress,
    *,
    timed: bool = True,
) -> Trial:
    """Compare both sides over partitions, until a point of the monotonic clock.

    Timed rounds begin while a worker slot is idle; a comparison alone doesn't wait.
    """
    from headrace.advisor.trial_runs import TrialRunner

    same = side_settings(session)
    both = trial_partitions(session, store, sides, asset, keys, (same, same))
    with idle_slots(session, progress) if timed else nullcontext() as slots:
        runner = TrialRunner(session.folders, session.timezone, until, slots)
        return runner.run(both, timed=timed, done=lambda: None)


def _with_trial(session: ProjectSession, row: OptimizeRow, trial: Trial) -> OptimizeRow:
    """Return a row with the verdict, the equality and the times of a trial."""
    equality = EqualityRow(
        partitions=[item.partition for item in trial.compared],
        rows=trial.rows,
        equal=trial.equal is True,
    )
    if trial.equal is False:
        premise = PremiseRow(text=f"measured, the rows differ in {trial.difference}", guard=None)
        return replace(
            row,
            verdict=Verdict.REFUTED,
            equality=equality,
            premises=[*row.premises, premise],
        )
    if trial.equal is None:
        return replace(row, equality=replace(equality, equal=True), unmeasured="no rows compared")
    verdict = row.verdict if row.verdict == Verdict.PROVEN else str(Verdict.MEASURED_EQUAL)
    interval = trial.interval
    measured = None if interval is None else _measured(trial, interval)
    return replace(
        row,
        verdict=verdict,
        equality=equality,
        measured=measured,
        saves_month=SavingRow(seconds=_saved(session, row, trial)),
        unmeasured=None if measured else "equal rows, but the budget had no time for enough runs",
    )


def _measured(trial: Trial, interval: Interval) -> MeasuredRow:
    return MeasuredRow(
        before_ms=[run.ms for run in trial.runs if run.side is Side.BEFORE],
        after_ms=[run.ms for run in trial.runs if run.side is Side.AFTER],
        change_percent=interval.percent,
        ci95=[interval.low, interval.high],
    )


def _saved(session: ProjectSession, row: OptimizeRow, trial: Trial) -> float | None:
    assert session.store is not None
    assert row.asset is not None
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        return saved_seconds(tx, row.asset, trial, now_us)


def _with_command(
    session: ProjectSession, row: OptimizeRow, asset: str, changed: ChangedProject
) -> OptimizeRow:
    try:
        plan_id = plan_id_of(session, changed, asset)
    except HeadraceError as error:
        return replace(row, unmeasured=f"it can't be applied: {error}")
    return replace(row, plan_id=plan_id, command=command_line("optimize", "apply", row.id))


def plan_id_of(session: ProjectSession, changed: ChangedProject, asset: str) -> str:
    """Return the id of the plan that applies a change, and keeps what is published of the asset."""
    base = plans.applied(session)
    node_changes = comparison.keeping(changes(base.compiled, changed.compiled), (asset,))
    prepared = plans.prepare(session, changed.compiled, base, node_changes)
    planned = plans.plan_of_apply(
        session, changed.files, changed.compiled, prepared, base, (asset,)
    )
    return planned.plan_id
