"""`optimize apply`: write the change of proven and measured findings, and apply it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec

from headrace.extension import (
    CHANGE,
    Argument,
    HeadraceError,
    Progress,
    ProjectSession,
    Refused,
    UsageError,
    command,
    command_line,
    did_you_mean,
)
from headrace.model.times import duration
from headrace.plan import Compiled
from headrace.plan.trials import Trial, TrialVerdict
from headrace.project.session import Silent, usable
from headrace.responses import ApplyResponse, PlanResponse
from headrace.store.queries import trials
from headrace.store.queries.trials import StoredTrial
from headrace_advisor.analysis.project_tables import ProjectTables
from headrace_advisor.services.dismissed import Dismissals, dismissals_of, refuse_dismissed
from headrace_advisor.services.finding_changes import (
    FindingChange,
    change_of,
    check_for,
    checks_in,
)
from headrace_advisor.services.finding_trials import is_applicable, record_together, trial_of_change
from headrace_advisor.services.optimize import optimize
from headrace_advisor.services.proofs import INCONCLUSIVE, NO_DIFF, is_measurable, plan_id_of
from headrace_advisor.services.trial_records import record
from headrace_advisor.services.written_changes import refuse_other_changes, write_and_apply

CHECKED_PARTITIONS = 5
"""The rows of this many partitions are compared again before anything is written."""
CHECKED_S = 600.0
TOGETHER_PARTITIONS = 3
TOGETHER_S = 60.0
"""Several findings are measured together over this many partitions, for this many seconds."""


@command("optimize apply", CHANGE, not_for_agents="it writes files of the project")
def apply_findings(
    session: ProjectSession,
    *,
    ids: Annotated[Sequence[str], Argument("ID...", "findings, as `headrace optimize` lists")],
    confirm: Callable[[PlanResponse], bool],
    progress: Progress,
) -> ApplyResponse:
    """Write the changes of findings into the project's files, and apply them.

    Only what is proven and was measured is applied. The basis is checked again first: the query is
    the measured one, each premise has its guard, and both queries give equal rows now. Published
    partitions stay as they are. If the plan isn't confirmed, the files stay as they were.

    Raise Refused, with the reason, for a finding that isn't measured, not proven, withdrawn or
    dismissed, and for files with other changes; whatever `confirm` raises.
    """
    base = usable(session.declared_exactly(progress)[1])
    refuse_other_changes(session, progress)
    names = list(dict.fromkeys(ids))
    dismissals = dismissals_of(session, base)
    for name in names:
        refuse_dismissed(name, dismissals.of(name))
    stored = [_stored(session, name) for name in names]
    _refuse_of_project(stored, dismissals)
    asset = stored[0].node
    if any(item.node != asset for item in stored):
        raise UsageError(
            "these findings are of several assets", hint="apply those of one asset at a time"
        )
    for item in stored:
        _require_measured(item, base, alone=len(names) == 1)
    tables = ProjectTables(base)
    change = _change_of_all(session, tables, stored)
    _require_each_measured(session, base, change, stored)
    _require_equal(session, base, change, _measuring(stored[0]))
    if len(names) > 1:
        _require_measured_together(session, base, change, asset, names, progress)
    plan_id = plan_id_of(session, change)
    return write_and_apply(
        session,
        change.contents,
        confirm,
        progress,
        reason=f"{', '.join(names)}: proven, and measured to give equal rows",
        plan_id=plan_id,
        keep=change.assets,
    )


def _change_of_all(
    session: ProjectSession, tables: ProjectTables, stored: Sequence[StoredTrial]
) -> FindingChange:
    """Return the change of all findings; each is proven in the project with those before it.

    Raise Refused for one whose premises lost a guard since it was measured.
    """
    change: FindingChange | None = None
    for item in stored:
        assert item.finding is not None
        contents = {}
        if change is not None:
            contents, tables = change.contents, ProjectTables(change.changed.compiled)
        change = change_of(session, tables, item.node, item.finding, contents)
        if change.splits:
            raise Refused(
                f"{item.finding} isn't applied by this command: {item.node} gets other partitions,"
                " and what is published of it would be unpublished",
                hint="edit the file by hand, then `headrace plan`",
            )
        _require_proven(tables.compiled, item.finding, change)
        if checks_in(change.text) != checks_in(item.change):
            raise Refused(
                f"{item.finding} is withdrawn: the checks that guard its premises aren't those of"
                " the measurement any more",
                hint=command_line("optimize", item.node, "--prove"),
            )
    assert change is not None
    return change


def _refuse_of_project(stored: Sequence[StoredTrial], dismissals: Dismissals) -> None:
    """Raise Refused for a finding that is dismissed as one about its asset.

    Raise UsageError if it is to be applied with others, whose queries it may change.
    """
    for item in stored:
        proposal = _trial_of(item).proposal
        if proposal is None:
            continue
        refuse_dismissed(proposal, dismissals.of(proposal))
        if len(stored) > 1:
            raise UsageError(f"{item.finding} changes other assets, too", hint="apply it alone")


def _require_each_measured(
    session: ProjectSession, base: Compiled, change: FindingChange, stored: Sequence[StoredTrial]
) -> None:
    """Raise Refused unless the trials of a finding were of each asset that it changes now."""
    measured = {item.node for item in stored}
    with session.existing_store.read() as tx:
        others = {
            asset: trials.of_finding(tx, change.advice.id, asset)
            for asset in change.assets
            if asset not in measured
        }
    for asset, item in others.items():
        if item is None:
            raise Refused(
                f"{change.advice.id} wasn't measured for {asset}",
                hint=command_line("optimize", "--prove"),
            )
        _require_measured(item, base, alone=True)


def _stored(session: ProjectSession, name: str) -> StoredTrial:
    stored = None
    if session.store is not None:
        with session.store.read() as tx:
            stored = trials.of_finding(tx, name)
    if stored is None or not session.shows(stored.node):
        raise _unmeasured(session, name)
    return stored


def _unmeasured(session: ProjectSession, name: str) -> HeadraceError:
    """Return the error for a finding without a trial: unknown, not measured, or not measurable."""
    rows = optimize(session, progress=Silent())
    row = next((row for row in rows if row.id == name), None)
    if row is None or row.asset is None:
        return UsageError(
            f"there is no finding {name[:40]!r}",
            hint=did_you_mean(name, [row.id for row in rows])
            or "headrace optimize lists the findings",
        )
    if not is_measurable(row):
        reason = NO_DIFF if row.diff is None else "it doesn't hold"
        return Refused(
            f"{name} can't be applied by this command: {reason}",
            hint=row.command or f"edit {row.file}, then headrace plan",
        )
    return Refused(f"{name} wasn't measured", hint=command_line("optimize", row.asset, "--prove"))


def _require_measured_together(
    session: ProjectSession,
    base: Compiled,
    change: FindingChange,
    asset: str,
    names: Sequence[str],
    progress: Progress,
) -> None:
    """Measure several findings at once, unless `optimize --prove` has done that.

    Raise Refused if they are slower together, or if it can't be told.
    """
    after = change.changed.compiled
    with session.existing_store.read() as tx:
        stored = trials.of_finding(tx, " ".join(names))
    codes = (base.nodes[asset].fingerprint, after.nodes[asset].fingerprint)
    same_code = stored is not None and (stored.code_before, stored.code_after) == codes
    if stored is not None and same_code and is_applicable(_trial_of(stored)):
        return
    until = time.monotonic() + TOGETHER_S
    progress.start(f"measuring {asset}", None)
    try:
        tried = trial_of_change(session, base, change, TOGETHER_PARTITIONS, until, progress)
    finally:
        progress.finish()
    trial = tried.trial
    if not is_applicable(trial):
        raise Refused(
            f"{', '.join(names)} aren't applied: measured together, {_reason(trial)}",
            hint=command_line("optimize", asset, "--prove"),
        )
    record(session, record_together(base, after, asset, names, trial), progress)


def _trial_of(stored: StoredTrial) -> Trial:
    return msgspec.json.decode(stored.content, type=Trial)


def _require_measured(stored: StoredTrial, base: Compiled, *, alone: bool) -> None:
    """Raise Refused if a trial wasn't of the query as it is, or didn't give equal rows.

    `alone`: its durations count, too; those of several findings are measured together.
    """
    node = base.nodes.get(stored.node)
    if node is not None and node.fingerprint == stored.code_after != stored.code_before:
        raise Refused(
            f"{stored.finding} is applied already: {stored.node} has the measured query",
            hint="headrace ab lists the trials, with the durations of the runs since then",
        )
    if node is None or node.fingerprint != stored.code_before:
        raise Refused(
            f"{stored.finding} is withdrawn: {stored.node} has changed since it was measured",
            hint=_measuring(stored),
        )
    trial = _trial_of(stored)
    fits = trial.equal is True and trial.verdict is not TrialVerdict.SLOWER
    if not (is_applicable(trial) if alone else fits):
        raise Refused(
            f"{stored.finding} isn't applied: {_reason(trial)}",
            hint=_measuring(stored),
        )


def _measuring(stored: StoredTrial) -> str:
    """Return the command that measures a finding again."""
    is_of_node = _trial_of(stored).proposal is None
    return command_line("optimize", *([stored.node] if is_of_node else []), "--prove")


def _reason(trial: Trial) -> str:
    if trial.equal is False:
        return f"measured, the rows differ in {trial.difference}"
    if trial.verdict is TrialVerdict.SLOWER:
        return "measured, it is slower"
    if trial.interval is not None:
        return INCONCLUSIVE
    if not trial.compared:
        waited = f"; {trial.waited_s:.0f} s of it no slot was idle" if trial.waited_s >= 1 else ""
        return f"nothing was compared in its time{waited}"
    if not trial.rows:
        return "its query gives no rows to compare"
    return "it was compared without enough timed runs; --budget allows more"


def _require_proven(compiled: Compiled, name: str, change: FindingChange) -> None:
    """Raise Refused for a premise without a guard, with the check that would guard it."""
    if change.is_proven:
        return
    finding = change.advice.finding
    premise = next((p for p in sorted(finding.premises, key=str) if p.guard is None), None)
    text = "it depends on the data" if premise is None else f"nothing guards that {premise.text}"
    check = None if premise is None else check_for(compiled, premise)
    then = "then `headrace plan`" if change.leaves_out else "and compare with `headrace ab`"
    raise Refused(
        f"{name} isn't proven: {text}",
        hint=f"add the check {check}" if check is not None else f"edit the file by hand, {then}",
    )


def _require_equal(
    session: ProjectSession, base: Compiled, change: FindingChange, hint: str
) -> None:
    """Compare the rows once more. Raise Refused if they differ, or can't be compared in time."""
    until = time.monotonic() + CHECKED_S
    tried = trial_of_change(session, base, change, CHECKED_PARTITIONS, until, Silent(), timed=False)
    trial, asset = tried.trial, ", ".join(change.assets)
    if trial.equal is False:
        raise Refused(
            f"the change of {asset} is withdrawn: the rows aren't equal now ({trial.difference})",
            hint=hint,
        )
    if trial.unreached:
        limit = duration(round(CHECKED_S * 1_000_000))
        raise Refused(
            f"the change of {asset} isn't applied: its rows couldn't be compared within {limit}",
            hint=hint,
        )
    if any(part.equal is None for part in tried.parts.values()):
        raise Refused(
            f"the change of {asset} isn't applied: its query gives no rows to compare",
            hint=hint,
        )
