"""`optimize --prove`: measure the changes of findings on published partitions."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from headrace.extension import (
    OPERATE,
    Excluded,
    HeadraceError,
    Progress,
    ProjectSession,
    Selected,
    command,
    command_line,
)
from headrace.plan import changes, comparison
from headrace.plan.trials import Interval, Side, Trial
from headrace.project.session import usable
from headrace.services import plans
from headrace_advisor.analysis.advice import Verdict
from headrace_advisor.analysis.project_advice import ProjectFinding
from headrace_advisor.analysis.project_tables import ProjectTables
from headrace_advisor.responses.optimize import (
    EqualityRow,
    MeasuredRow,
    OptimizeRow,
    PremiseRow,
    SavingRow,
)
from headrace_advisor.services.dismissed import is_dismissed
from headrace_advisor.services.finding_changes import (
    OF_PROJECT_KINDS,
    FindingChange,
    change_of,
    change_of_project,
    measurable_in_project,
)
from headrace_advisor.services.finding_trials import (
    FindingTrial,
    is_applicable,
    record_together,
    records_of,
    trial_of_change,
)
from headrace_advisor.services.optimize import OF_COMPLEXITY, optimize, proposal_of
from headrace_advisor.services.trial_outcomes import saved_in_all
from headrace_advisor.services.trial_records import record
from headrace_advisor.services.trials import Budget, NumberOfPartitions, budget_seconds

INCONCLUSIVE = "its durations are inconclusive: --budget allows more runs"
"""Why a change isn't offered although its rows are equal and its runs were timed."""
PART_ENDED = "its part of the budget has ended: --budget allows more"
DISMISSED = "it was dismissed"
NO_DIFF = "it has no diff"
_RANKS = {"proven": 0, "unknown": 1}


@command(
    "optimize --prove",
    OPERATE,
    of="select",
    session="prove",
    not_for_agents="it runs queries in the process that calls it, for up to an hour",
)
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
    may_be_of_project = any(row.diff and row.kind in OF_PROJECT_KINDS for row in rows)
    of_project = measurable_in_project(session, tables) if may_be_of_project else {}
    rows = [replace(row, unmeasured=_reason(row, dismissed)) for row in rows]
    measurable = {row.id for row in rows if is_measurable(row)} - dismissed
    order = sorted(
        (n for n, row in enumerate(rows) if row.id in measurable),
        key=lambda n: _RANKS.get(rows[n].verdict, 2),
    )
    progress.start("findings measured", len(order))
    try:
        for place, number in enumerate(order):
            until = time.monotonic() + (deadline - time.monotonic()) / (len(order) - place + 1)
            row = rows[number]
            item = of_project.get(row.id)
            rows[number] = _proved(session, tables, row, item, partitions, until, progress)
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
    """Whether a finding of its asset's query is proven, has equal rows, and isn't slower alone."""
    if row.rule in (*OF_COMPLEXITY, "incremental"):
        return False
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
    change: FindingChange | None = None
    try:
        for name in names:
            change = change_of(session, now, asset, name, contents)
            if not change.is_proven:
                return False
            contents, now = change.contents, ProjectTables(change.changed.compiled)
        assert change is not None
        trial = trial_of_change(session, base, change, partitions, until, progress).trial
    except HeadraceError:
        return False
    if is_applicable(trial):
        record(session, record_together(base, now.compiled, asset, names, trial), progress)
    return is_applicable(trial)


def _reason(row: OptimizeRow, dismissed: Collection[str]) -> str | None:
    """Return why a finding isn't measured; None if it is, or is refuted."""
    if row.id in dismissed:
        return DISMISSED
    without_diff = row.diff is None and row.verdict != Verdict.REFUTED
    return row.unmeasured or (NO_DIFF if without_diff else None)


def is_measurable(row: OptimizeRow) -> bool:
    """Whether a finding has a change that can be measured."""
    return row.diff is not None and row.verdict != Verdict.REFUTED


def _proved(
    session: ProjectSession,
    tables: ProjectTables,
    row: OptimizeRow,
    item: ProjectFinding | None,
    partitions: int,
    until: float,
    progress: Progress,
) -> OptimizeRow:
    """Return a row with what its change came to, or with why it wasn't measured.

    `item` is the finding if it is one about the whole project.
    """
    asset = row.asset
    assert asset is not None
    if time.monotonic() >= until:
        return replace(row, unmeasured="the budget has ended: --budget allows more")
    try:
        change = (
            change_of(session, tables, asset, row.id)
            if item is None
            else change_of_project(session, tables, item)
        )
        tried = trial_of_change(session, tables.compiled, change, partitions, until, progress)
    except HeadraceError as error:
        return replace(row, unmeasured=str(error))
    trial = tried.trial
    row = replace(row, waited_seconds=trial.waited_s)
    if not trial.compared:
        return replace(row, unmeasured=PART_ENDED)
    measured = _with_trial(session, row, tried)
    if change.is_proven and tried.is_applicable and not change.splits:
        measured = _with_command(session, measured, change)
    elif tried.equal and trial.interval and tried.is_inconclusive:
        measured = replace(measured, unmeasured=INCONCLUSIVE)
    if tried.equal and change.checks and change.is_proven:
        measured = replace(measured, adds_checks=[str(check) for check in change.checks])
    proven = measured.command is not None
    for arguments in records_of(
        row.id, tables.compiled, tried, proven=proven, proposal=proposal_of(row)
    ):
        record(session, arguments, progress)
    return measured


def _with_trial(session: ProjectSession, row: OptimizeRow, tried: FindingTrial) -> OptimizeRow:
    """Return a row with the verdict, the equality and the times of a trial."""
    trial = tried.trial
    equality = EqualityRow(
        partitions=[item.partition for item in trial.compared],
        rows=trial.rows,
        equal=tried.equal is True,
    )
    if tried.equal is False:
        premise = PremiseRow(text=f"measured, the rows differ in {trial.difference}", guard=None)
        return replace(
            row,
            verdict=Verdict.REFUTED,
            equality=equality,
            premises=[*row.premises, premise],
        )
    if tried.equal is None:
        return replace(row, unmeasured=_not_compared(tried))
    verdict = row.verdict if row.verdict == Verdict.PROVEN else str(Verdict.MEASURED_EQUAL)
    interval = trial.interval
    measured = None if interval is None else _measured(trial, interval)
    return replace(
        row,
        verdict=verdict,
        equality=equality,
        measured=measured,
        saves_month=SavingRow(seconds=_saved(session, tried.parts)),
        unmeasured=None if measured else "equal rows, but the budget had no time for enough runs",
    )


def _not_compared(tried: FindingTrial) -> str:
    """Return of which assets no rows were compared, and why."""
    without = {name: part for name, part in tried.parts.items() if part.equal is None}
    unreached = [name for name, part in without.items() if part.unreached]
    words = f"no rows of {', '.join(unreached or without)} were compared"
    return f"{words}: {PART_ENDED}" if unreached else f"{words}: both queries give none"


def _measured(trial: Trial, interval: Interval) -> MeasuredRow:
    return MeasuredRow(
        before_ms=[run.ms for run in trial.runs if run.side is Side.BEFORE],
        after_ms=[run.ms for run in trial.runs if run.side is Side.AFTER],
        before_peak_bytes=_peak_bytes(trial, Side.BEFORE),
        after_peak_bytes=_peak_bytes(trial, Side.AFTER),
        change_percent=interval.percent,
        ci95=[interval.low, interval.high],
    )


def _peak_bytes(trial: Trial, side: Side) -> int | None:
    peaks = [run.peak_bytes for run in trial.runs if run.side is side]
    return max((peak for peak in peaks if peak is not None), default=None)


def _saved(session: ProjectSession, parts: Mapping[str, Trial]) -> float | None:
    with session.existing_store.read() as tx:
        return saved_in_all(tx, parts, session.clock.now_us())


def _with_command(session: ProjectSession, row: OptimizeRow, change: FindingChange) -> OptimizeRow:
    try:
        plan_id = plan_id_of(session, change)
    except HeadraceError as error:
        return replace(row, unmeasured=f"it can't be applied: {error}")
    return replace(row, plan_id=plan_id, command=command_line("optimize", "apply", row.id))


def plan_id_of(session: ProjectSession, change: FindingChange) -> str:
    """Return the id of the plan that applies a change, and keeps what is published."""
    base, changed, assets = plans.applied(session), change.changed, change.assets
    node_changes = comparison.keeping(changes(base.compiled, changed.compiled), assets)
    prepared = plans.prepare(session, changed.compiled, base, node_changes)
    planned = plans.plan_of_apply(session, changed.files, changed.compiled, prepared, base, assets)
    return planned.plan_id
