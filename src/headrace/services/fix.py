"""`fix`: plan the repair of an incident, ask for confirmation, and do it as one operation.

New column names are accepted, deliveries are re-ingested, and all downstream assets are recomputed
alongside production and published at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec

from headrace.access import agreements
from headrace.access.agreements import PlanChanged, ValuesDiffer, agreed_id, changed, identified
from headrace.access.permissions import OPERATE, SEE, command
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.incidents.commands import ACT, REPAIR_BEGUN
from headrace.model import HeadraceError, Refused
from headrace.model.causes import CauseKind
from headrace.model.partitions import WHOLE, command_line, partition_argument
from headrace.project.parameters import Agreed, AsIs, Conversions, IncidentId, Option
from headrace.project.session import Progress, ProjectSession, Silent
from headrace.repairs.contract_updates import UNDECIDED, ValueDecision
from headrace.repairs.fix_plans import PlannedFix, fix_response, plan_fix
from headrace.repairs.incident_rows import found_in
from headrace.repairs.renames import undecided_renames
from headrace.repairs.repair_steps import RepairAction
from headrace.responses import RefusedRow, Response
from headrace.responses.backfills import BackfillResponse
from headrace.responses.incidents import IncidentRow
from headrace.responses.repairs import FixResponse, RecomputedRow, StillRow
from headrace.runtime.recomputation import give_up
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.services.backfills import backfill
from headrace.services.contract_accept import accept
from headrace.services.incident_records import fix_ended
from headrace.services.pause import resume
from headrace.services.run import retry, run
from headrace.services.run_results import tick
from headrace.services.status import status
from headrace.store import Transaction
from headrace.store.queries import incidents as stored
from headrace.store.queries import publications
from headrace.store.queries.incidents import BEGINS, Happened, Incident

WENT_WELL = ("succeeded", "nothing_due")
"""States of a backfill that did everything in its plan."""
Confirm = Callable[[FixResponse], bool]
"""Shows a plan and asks for confirmation; raises Refused where no person can be asked."""


class FixArguments(msgspec.Struct, frozen=True):
    """The incident to repair, and the actions; with `again`, even if the same rows are expected."""

    number: int
    acts: list[str]
    again: bool = False
    plan_id: str | None = None
    reason: str = ""
    decision: ValueDecision = UNDECIDED


class FixNoted(Response, frozen=True, kw_only=True):
    """Confirms that the start of a repair is recorded, or holds the reason of its refusal."""

    number: int
    refused: RefusedRow | None = None


@command("fix", OPERATE)
def fix(  # noqa: PLR0913 - how it is shown, agreed to and decided; all are named where it is called
    session: ProjectSession,
    target: str,
    *,
    dry_run: bool,
    confirm: Confirm,
    progress: Progress,
    again: bool = False,
    plan_id: str | None = None,
    reason: str | None = None,
    decision: ValueDecision = UNDECIDED,
) -> FixResponse:
    """Plan an incident's repair, ask for confirmation, and do it; with a `plan_id`, only that plan.

    With `dry_run` it only plans. `again` repairs even if neither inputs nor code have changed since
    the wrong rows were published.

    Raise UsageError for an unknown incident, Refused if a person must act first or policy requires
    an approval, PlanChanged if the plan differs from `plan_id`, and ValuesDiffer if accepted
    columns have changed values that `decision` doesn't cover.
    """
    agreements.checked_id(plan_id)
    planned = plan_fix(session, target, again=again, decision=decision)
    if planned.incident.state == "resolved":
        return _of_resolved(session, planned, decision)
    response = _planned_response(session, planned)
    _refuse_if_changed(response, _changed(session, planned, response, plan_id), plan_id)
    if dry_run:
        return response
    _refuse_undecided(planned, response)
    if not confirm(response):
        return msgspec.structs.replace(response, fix="declined")
    before = _hashes(session, planned) if again else {}
    acts = [act.value for act in planned.how.acts]
    arguments = FixArguments(
        planned.incident.id, acts, again, response.plan_id, (reason or "").strip(), decision
    )
    noted: FixNoted = _noted.perform(session, progress, arguments)
    _refuse_if_changed(response, noted.refused, response.plan_id)
    try:
        built = _do(session, planned, progress)
    except HeadraceError:
        _note_end(
            session,
            planned,
            progress,
            f"tried to repair it with {_command(planned)}: it was stopped by an error",
            failed=True,
        )
        raise
    after = _after(session, planned, response, built, before if again else None)
    if response.repair is None or not response.repair.automatic:
        after = msgspec.structs.replace(after, waited_seconds=_waited(after))
    if after.fix != "done":
        failed = after.state == "open" or _part_failed(built)
        _note_end(
            session, planned, progress, _outcome(planned, after, failed=failed), failed=failed
        )
        return _with_timeline(session, planned, after)
    return after


def _of_resolved(
    session: ProjectSession, planned: PlannedFix, decision: ValueDecision
) -> FixResponse:
    """Return a resolved incident's state; raise Refused if something is to be decided about it."""
    if decision.convert or decision.as_is:
        raise Refused(
            f"{planned.incident.label} is resolved, so nothing is decided about its values",
            hint=f"change the contract of {planned.incident.node}, then headrace apply",
        )
    return _planned_response(session, planned)


def _refuse_undecided(planned: PlannedFix, response: FixResponse) -> None:
    """Raise ValuesDiffer or Refused if a person must decide or approve before the repair."""
    if response.refused is not None:
        refused = msgspec.structs.replace(response, fix="refused")
        raise ValuesDiffer(response.refused, refused)
    if planned.build is not None and planned.build.approval is not None:
        rule = planned.build.approval
        label = planned.incident.label
        accept = [command_line("contract", "accept", label)] if planned.accepted else []
        steps = ", then ".join(filter(None, [*accept, planned.build.command]))
        raise Refused(
            f"this repair needs an approval: {rule}",
            hint=f"{steps}: another person approves that plan",
        )


def _command(planned: PlannedFix) -> str:
    return f"`{command_line('fix', planned.incident.label)}`"


def _outcome(planned: PlannedFix, after: FixResponse, *, failed: bool) -> str:
    """Return the outcome of an unfinished repair in one line."""
    if not failed:
        return f"repaired with {_command(planned)}; those affected aren't all served yet"
    if after.state == "resolved" and after.backfill is not None and not after.backfill.published:
        return f"tried to repair it with {_command(planned)}: nothing could be published"
    if after.state == "resolved":
        return f"repaired with {_command(planned)}, but a part of the repair failed"
    still = "it is still open" if after.state == "open" else "it isn't over yet"
    return f"tried to repair it with {_command(planned)}: {still}"


def _note_end(
    session: ProjectSession, planned: PlannedFix, progress: Progress, outcome: str, *, failed: bool
) -> None:
    fresh = session.again(session.actor)
    try:
        fix_ended.perform(fresh, progress, planned.incident.id, outcome, failed)
    finally:
        fresh.close()


def _waited(response: FixResponse) -> float | None:
    """Return the seconds from the incident's last opening to the start of its last repair."""
    begun = next(
        (line.at for line in reversed(response.timeline) if line.what.startswith(REPAIR_BEGUN)),
        None,
    )
    if begun is None:
        return None
    opened = (
        line.at for line in response.timeline if line.what.startswith(BEGINS) and line.at <= begun
    )
    return (begun - max(opened, default=response.opened_at)).total_seconds()


def _with_timeline(
    session: ProjectSession, planned: PlannedFix, response: FixResponse
) -> FixResponse:
    """Return the response with the current timeline."""
    fresh = session.again(session.actor)
    try:
        row = plan_fix(fresh, planned.incident.label, resolved_only=True).row
        return msgspec.structs.replace(response, timeline=row.timeline)
    finally:
        fresh.close()


def _planned_response(session: ProjectSession, planned: PlannedFix) -> FixResponse:
    """Return the plan with its id; for a resolved incident its current state."""
    if planned.incident.state == "resolved":
        return fix_response(planned, "done")
    response = identified(
        session, fix_response(planned, "planned"), session.version, _written(planned)
    )
    command = f"headrace fix {planned.incident.label}"
    refused = undecided_renames(response.mappings, command, response.plan_id)
    return msgspec.structs.replace(response, refused=refused)


def _written(planned: PlannedFix) -> dict[str, str]:
    """Return the SHA-256 of the contract to be written, by path."""
    if planned.accepted is None:
        return {}
    return {
        planned.accepted.path.as_posix(): (
            hashlib.sha256(planned.accepted.after.encode()).hexdigest()
        )
    }


def _changed(
    session: ProjectSession, planned: PlannedFix, response: FixResponse, plan_id: str | None
) -> RefusedRow | None:
    return changed(session, response, plan_id, session.version, _written(planned))


def _refuse_if_changed(response: FixResponse, row: RefusedRow | None, plan_id: str | None) -> None:
    """Raise PlanChanged if the current plan differs from the confirmed one."""
    if row is not None:
        refused = msgspec.structs.replace(response, fix="refused", refused=row, plan_id=plan_id)
        raise PlanChanged(plan_id or "", row, refused, f"headrace fix {response.id} --dry-run")


def _after(
    session: ProjectSession,
    planned: PlannedFix,
    response: FixResponse,
    built: BackfillResponse | None,
    before: Mapping[str, str | None] | None,
) -> FixResponse:
    """Return the outcome, by the same evaluation as `status`."""
    fresh = session.again(session.actor)
    try:
        after = plan_fix(fresh, planned.incident.label, resolved_only=True)
        still = [*_failed_at(fresh, after.incident, built), *_still(fresh, after.incident)]
        recomputed = (
            None if before is None else _recomputed(planned, before, _hashes(fresh, planned))
        )
    finally:
        fresh.close()
    over = after.incident.state == "resolved" or (_ends_by_itself(after.row) and not still)
    state = "done" if over and not _part_failed(built) else "open"
    return msgspec.structs.replace(
        fix_response(after, state),
        steps=response.steps,
        mappings=response.mappings,
        file=response.file,
        backfill=built,
        still=still,
        recomputed=recomputed,
        plan_id=response.plan_id,
    )


def _part_failed(built: BackfillResponse | None) -> bool:
    return built is not None and built.state not in WENT_WELL


def _failed_at(
    session: ProjectSession, incident: Incident, built: BackfillResponse | None
) -> list[StillRow]:
    """Return other incidents at which the repair's own attempts failed: one partition of each."""
    if built is None or session.store is None:
        return []
    rows: dict[int, StillRow] = {}
    with session.store.read() as tx:
        for row in built.failures:
            other = stored.open_at(tx, row.asset, "" if row.partition == WHOLE else row.partition)
            if other is not None and other.id != incident.id and other.node == row.asset:
                text = f"{other.label}, {other.kind}: {other.summary}"
                failed = StillRow(
                    what=partition_argument(row.asset, row.partition),
                    state=row.state,
                    text=text,
                    command=f"headrace incident {other.label}",
                )
                rows.setdefault(other.id, failed)
    return list(rows.values())


def _ends_by_itself(row: IncidentRow) -> bool:
    """Whether the incident resolves without further work: nothing is held or to be computed."""
    return row.repair is not None and row.repair.note is not None


def _still(session: ProjectSession, incident: Incident) -> list[StillRow]:
    """Return the affected consumers that aren't served, and wrong partitions that readers see."""
    affected = set(incident.affected.consumers)
    rows = status(session).consumers if affected else []
    still_rows = [
        StillRow(what=row.name, state=row.state, text=row.reason, command=row.next)
        for row in rows
        if row.name in affected and row.state not in ("served", "at_risk")
    ]
    if incident.state == "resolved" or session.store is None:
        return still_rows
    with session.store.read() as tx:
        wrong = stored.wrong_keys(tx, incident.id)
    if wrong:
        node, key = wrong[0]
        more = f" (and those of {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        text = f"readers still see the rows{more} that {incident.label} says are wrong"
        if incident.kind == CauseKind.DATA_CORRUPTED:
            text = f"its rows{more} can't be read"
        still_rows.append(
            StillRow(
                what=partition_argument(node, key),
                state="wrong",
                text=text,
                command=f"headrace incident {incident.label}",
            )
        )
    return still_rows


def _hashes(session: ProjectSession, planned: PlannedFix) -> dict[str, str | None]:
    """Return the content hashes of the incident's partitions as readers see them."""
    with session.existing_store.read() as tx:
        keys = [
            key
            for node, key in stored.partitions_of(tx, planned.incident.id)
            if node == planned.incident.node
        ]
        return publications.hashes(tx, planned.incident.node, [key or WHOLE for key in keys])


def _recomputed(
    planned: PlannedFix, before: Mapping[str, str | None], after: Mapping[str, str | None]
) -> RecomputedRow:
    same = sum(
        before.get(key) is not None and before[key] == result for key, result in after.items()
    )
    return RecomputedRow(node=planned.incident.node, same=same, differ=len(after) - same)


# Execution


@leader_command("fix", FixNoted)
def _noted(context: CommandContext, arguments: FixArguments) -> FixNoted:
    """Record the start of a repair in the incident's timeline and in the audit trail.

    The leader plans again from the current state, and refuses a plan that differs from the
    confirmed one.
    """
    refused = _checked(context, arguments)
    if refused is not None:
        return FixNoted(number=arguments.number, refused=refused)

    def write(tx: Transaction, now: int) -> None:
        if RepairAction.AGAIN in arguments.acts:
            give_up(tx, found_in(tx, arguments.number).node, now)
        begun = f"{REPAIR_BEGUN}{', '.join(arguments.acts)}" + (
            f" ({arguments.reason})" if arguments.reason else ""
        )
        number = append(
            tx,
            now,
            AuditEvent(
                action=Action.INCIDENT_FIXED,
                actor=context.actor,
                object=Object("incident", str(arguments.number)),
                reason=arguments.reason,
                after={
                    "plan_id": arguments.plan_id,
                    "acts": list(arguments.acts),
                    **({"again": True} if arguments.again else {}),
                },
            ),
        )
        stored.happened(
            tx, arguments.number, [Happened(now, begun, context.actor.id, f"{ACT}{number}")]
        )

    context.tell(write=write)
    return FixNoted(number=arguments.number)


def _checked(context: CommandContext, arguments: FixArguments) -> RefusedRow | None:
    if arguments.plan_id is None:
        return None
    fresh = context.session.again(context.session.actor)
    try:
        text, decision = f"INC-{arguments.number}", arguments.decision
        planned = plan_fix(fresh, text, again=arguments.again, decision=decision)
        return _changed(fresh, planned, _planned_response(fresh, planned), arguments.plan_id)
    finally:
        fresh.close()


def _do(
    session: ProjectSession, planned: PlannedFix, progress: Progress
) -> BackfillResponse | None:
    """Do each action by the same operation as its own command."""
    built: BackfillResponse | None = None
    for act in planned.how.acts:
        fresh = session.again(session.actor)
        try:
            built = _act(fresh, planned, act, progress) or built
        finally:
            fresh.close()
    return built


def _pass(session: ProjectSession, progress: Progress) -> None:
    """Run a tick on the store's current state."""
    fresh = session.again(session.actor)
    try:
        tick(fresh, progress=progress)
    finally:
        fresh.close()


def _act(
    session: ProjectSession, planned: PlannedFix, act: RepairAction, progress: Progress
) -> BackfillResponse | None:
    node, because = planned.incident.node, f"{planned.incident.label}: {planned.incident.summary}"
    match act:
        case RepairAction.MAP:
            accept(
                session,
                planned.how.accepting,
                pairs=(),
                patch=False,
                yes=False,
                progress=progress,
                decision=planned.decision,
            )
        case RepairAction.LOOK:
            tick(session, progress=progress)
        case RepairAction.RESUME:
            resume(session, [node], exclude=(), reason=because, progress=progress)
            _pass(session, progress)
        case RepairAction.RETRY:
            retry(session, node, reason=because, progress=progress)
            _pass(session, progress)  # corrected code is due now, and so are its downstream nodes
        case RepairAction.AGAIN:
            keys = [key for key in planned.how.again if key != WHOLE]
            run(
                session,
                [node],
                exclude=(),
                partitions=keys,
                first=None,
                last=None,
                again=True,
                reason=because,
                progress=progress,
            )
        case RepairAction.BUILD:
            assert planned.how.build is not None
            return backfill(
                session,
                planned.how.build,
                dry_run=False,
                confirm=lambda _: True,
                progress=progress,
                # accepted names have created another version, so the confirmed plan id no longer
                # fits
                plan_id=(
                    None
                    if planned.build is None or RepairAction.MAP in planned.how.acts
                    else planned.build.plan_id
                ),
            )
    return None


Again = Annotated[
    bool,
    Option("--again", help="compute it although neither code nor inputs have changed since"),
]


@command(
    "fix preview",
    SEE,
    http="GET /incidents/{incident}/repair repair",
    of_files=True,
    session="preview_fix",
)
def preview_fix(
    session: ProjectSession,
    incident: IncidentId,
    *,
    again: Again = False,
    convert: Conversions = (),
    as_is: AsIs = False,
) -> FixResponse:
    """Return the plan that repairs an incident. Raise as `fix` does."""
    return fix(
        session,
        incident,
        dry_run=True,
        confirm=lambda _: False,
        progress=Silent(),
        again=again,
        decision=ValueDecision(tuple(convert), as_is),
    )


@command("fix", OPERATE, http="POST /incidents/{incident}/fix do_fix", session="fix")
def run_fix(
    session: ProjectSession,
    incident: IncidentId,
    *,
    agreed: Agreed = None,
    again: Again = False,
    convert: Conversions = (),
    as_is: AsIs = False,
    reason: Annotated[
        str | None,
        Option("--reason", metavar="TEXT", help="recorded in the timeline and the audit trail"),
    ] = None,
    progress: Progress,
) -> FixResponse:
    """Repair an incident.

    `agreed` is the id of a plan of `preview_fix` with the same options: only that plan is run.
    Raise as `fix` does.
    """
    return fix(
        session,
        incident,
        dry_run=False,
        confirm=lambda _: True,
        progress=progress,
        again=again,
        plan_id=agreed_id(agreed),
        reason=reason,
        decision=ValueDecision(tuple(convert), as_is, reason),
    )
