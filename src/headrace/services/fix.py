"""`fix`: plan the repair of an incident, ask for confirmation, and do it as one operation.

New column names are accepted, deliveries are re-ingested, and all downstream assets are recomputed
alongside production and published at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import msgspec

from headrace.incidents.closing import BEGINS
from headrace.incidents.commands import ACT, REPAIR_BEGUN
from headrace.model import HeadraceError, Project, Refused
from headrace.model.causes import CauseKind
from headrace.model.partitions import WHOLE, command_line, partition_argument
from headrace.plan.backfill_planning import INGESTED
from headrace.runtime.recomputation import give_up
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.services import agreements
from headrace.services.agreements import (
    InputsUnchanged,
    PlanChanged,
    ValuesDiffer,
    agreed_id,
    changed,
    identified,
)
from headrace.services.backfill_planning import plan
from headrace.services.backfill_views import planned_response
from headrace.services.backfills import backfill
from headrace.services.commands import CommandContext, leader_command, perform
from headrace.services.contract_accept import (
    UNDECIDED,
    ContractUpdate,
    ValueDecision,
    accept,
    prepared,
)
from headrace.services.incident_records import FixEnded
from headrace.services.incidents import found_in, number_of, row_of
from headrace.services.parameters import Argument, Reason
from headrace.services.pause import resume
from headrace.services.plan_inputs import count_partitions
from headrace.services.renames import undecided_renames
from headrace.services.repair_actions import find_repair
from headrace.services.repair_steps import Mending, RepairAction
from headrace.services.responses import RefusedRow, Response
from headrace.services.responses.backfills import BackfillResponse
from headrace.services.responses.incidents import IncidentRow
from headrace.services.responses.repairs import FixResponse, FixStep, RecomputedRow, StillRow
from headrace.services.run import retry, run
from headrace.services.run_results import tick
from headrace.services.session import Progress, ProjectSession, Silent
from headrace.services.status import status
from headrace.store import Transaction
from headrace.store.queries import incidents as stored
from headrace.store.queries import publications, quarantine
from headrace.store.queries.incidents import Happened, Incident

NAMED_MAX = 20
"""Maximum number of partitions of a step that are named."""
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


class _Planned(msgspec.Struct, frozen=True):
    incident: Incident
    row: IncidentRow
    how: Mending
    project: Project
    accepted: ContractUpdate | None = None
    rows: int = 0
    """Number of rows in the deliveries to be re-ingested."""
    build: BackfillResponse | None = None
    decision: ValueDecision = UNDECIDED


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
    planned = _plan(session, target, again=again, decision=decision)
    if planned.incident.state == "resolved" and (decision.convert or decision.as_is):
        raise Refused(
            f"{planned.incident.shown} is resolved, so nothing is decided about its values",
            hint=f"change the contract of {planned.incident.node}, then headrace apply",
        )
    response = _shown(session, planned)
    if planned.incident.state != "resolved":
        _same(response, _changed(session, planned, response, plan_id), plan_id)
    if dry_run or planned.incident.state == "resolved":
        return response
    if response.refused is not None:
        refused = msgspec.structs.replace(response, fix="refused")
        raise ValuesDiffer(response.refused, refused)
    if planned.build is not None and planned.build.approval is not None:
        rule = planned.build.approval
        raise Refused(
            f"this repair needs an approval: {rule.file}:{rule.line} backfill_approval ="
            f" {rule.rule!r}",
            hint=(
                f"nobody can approve it yet: change {rule.file}:{rule.line}, then headrace fix"
                f" {planned.incident.shown}"
            ),
        )
    if not confirm(response):
        return msgspec.structs.replace(response, fix="declined")
    before = _hashes(session, planned) if again else {}
    acts = [act.value for act in planned.how.acts]
    arguments = FixArguments(
        planned.incident.id, acts, again, response.plan_id, (reason or "").strip(), decision
    )
    noted: FixNoted = perform(session, "fix", arguments, progress)
    _same(response, noted.refused, response.plan_id)
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
        _note_end(session, planned, progress, _came(planned, after, failed=failed), failed=failed)
        return _with_timeline(session, planned, after)
    return after


def _command(planned: _Planned) -> str:
    return f"`{command_line('fix', planned.incident.shown)}`"


def _came(planned: _Planned, after: FixResponse, *, failed: bool) -> str:
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
    session: ProjectSession, planned: _Planned, progress: Progress, said: str, *, failed: bool
) -> None:
    fresh = session.again(session.actor)
    try:
        perform(fresh, "fix_ended", FixEnded(planned.incident.id, said, failed), progress)
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
    session: ProjectSession, planned: _Planned, response: FixResponse
) -> FixResponse:
    """Return the response with the current timeline."""
    fresh = session.again(session.actor)
    try:
        row = _plan(fresh, planned.incident.shown, resolved_only=True).row
        return msgspec.structs.replace(response, timeline=row.timeline)
    finally:
        fresh.close()


def _shown(session: ProjectSession, planned: _Planned) -> FixResponse:
    """Return the plan with its id; for a resolved incident its current state."""
    if planned.incident.state == "resolved":
        return _response(planned, "done")
    response = identified(
        session, _response(planned, "planned"), session.version, _written(planned)
    )
    command = f"headrace fix {planned.incident.shown}"
    refused = undecided_renames(response.mappings, command, response.plan_id)
    return msgspec.structs.replace(response, refused=refused)


def _written(planned: _Planned) -> dict[str, str]:
    """Return the SHA-256 of the contract to be written, by path."""
    if planned.accepted is None:
        return {}
    return {
        planned.accepted.path.as_posix(): (
            hashlib.sha256(planned.accepted.after.encode()).hexdigest()
        )
    }


def _changed(
    session: ProjectSession, planned: _Planned, response: FixResponse, asked: str | None
) -> RefusedRow | None:
    return changed(session, response, asked, session.version, _written(planned))


def _same(response: FixResponse, row: RefusedRow | None, asked: str | None) -> None:
    """Raise PlanChanged if the current plan differs from the confirmed one."""
    if row is not None:
        refused = msgspec.structs.replace(response, fix="refused", refused=row, plan_id=asked)
        raise PlanChanged(asked or "", row, refused, f"headrace fix {response.id} --dry-run")


def _after(
    session: ProjectSession,
    planned: _Planned,
    response: FixResponse,
    built: BackfillResponse | None,
    before: Mapping[str, str | None] | None,
) -> FixResponse:
    """Return the outcome, by the same evaluation as `status`."""
    fresh = session.again(session.actor)
    try:
        after = _plan(fresh, planned.incident.shown, resolved_only=True)
        still = [*_failed_at(fresh, after.incident, built), *_still(fresh, after.incident)]
        recomputed = (
            None if before is None else _recomputed(planned, before, _hashes(fresh, planned))
        )
    finally:
        fresh.close()
    over = after.incident.state == "resolved" or (_ends_by_itself(after.row) and not still)
    state = "done" if over and not _part_failed(built) else "open"
    return msgspec.structs.replace(
        _response(after, state),
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
                text = f"{other.shown}, {other.kind}: {other.summary}"
                failed = StillRow(
                    what=partition_argument(row.asset, row.partition),
                    state=row.state,
                    text=text,
                    command=f"headrace incident {other.shown}",
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
        text = f"readers still see the rows{more} that {incident.shown} says are wrong"
        if incident.kind == CauseKind.DATA_CORRUPTED:
            text = f"its rows{more} can't be read"
        still_rows.append(
            StillRow(
                what=partition_argument(node, key),
                state="wrong",
                text=text,
                command=f"headrace incident {incident.shown}",
            )
        )
    return still_rows


def _hashes(session: ProjectSession, planned: _Planned) -> dict[str, str | None]:
    """Return the content hashes of the incident's partitions as readers see them."""
    assert session.store is not None
    with session.store.read() as tx:
        keys = [
            key
            for node, key in stored.partitions_of(tx, planned.incident.id)
            if node == planned.incident.node
        ]
        return publications.hashes(tx, planned.incident.node, [key or WHOLE for key in keys])


def _recomputed(
    planned: _Planned, before: Mapping[str, str | None], after: Mapping[str, str | None]
) -> RecomputedRow:
    same = sum(
        before.get(key) is not None and before[key] == result for key, result in after.items()
    )
    return RecomputedRow(node=planned.incident.node, same=same, differ=len(after) - same)


def _plan(
    session: ProjectSession,
    target: str,
    *,
    resolved_only: bool = False,
    again: bool = False,
    decision: ValueDecision = UNDECIDED,
) -> _Planned:
    """Return the incident with its repair plan. Raise Refused if only a person can repair it."""
    number = number_of(target)
    if session.store is None or session.compiled is None:
        raise Refused("nothing has run yet, so nothing is wrong", hint="headrace tick")
    with session.store.read() as tx:
        incident = found_in(tx, number)
        row = row_of(session, session.compiled, tx, incident)
        if incident.state == "resolved" or resolved_only:
            return _Planned(incident, row, Mending(), session.compiled.project)
        how = find_repair(tx, session.compiled, incident, again=again)
        waiting = [
            item.rows or 0
            for item in quarantine.waiting(tx, node=incident.node)
            if item.partition in how.reread
        ]
    if not how.acts:
        raise _refused(incident, how)
    accepted = (
        prepared(session, how.accepting, (), decision) if RepairAction.MAP in how.acts else None
    )
    build = _preview(session, incident, how)
    if how.acts == (RepairAction.BUILD,) and build is not None and build.partitions_total == 0:
        how, build = (
            Mending(acts=(RepairAction.LOOK,)),
            None,
        )  # nothing is missing: the rest waits for a source
    return _Planned(
        incident, row, how, session.compiled.project, accepted, sum(waiting), build, decision
    )


_SHOWS = {"deliveries": " shows what came", "logs": " shows what it wrote"}
"""Explanation of a command's output, by the command's name."""


def _refused(incident: Incident, how: Mending) -> Refused:
    """Return the error that says why a person must act first, and how."""
    if how.by_itself:
        command = how.commands[0]
        shows = _SHOWS.get(command.split()[1], "")
        return Refused(
            f"{incident.shown} needs no repair: {how.by_itself}",
            hint=f"{how.first}; {command}{shows}",
        )
    if how.earlier:
        return Refused(
            f"{incident.shown} isn't repaired yet: {how.first}", hint=", then ".join(how.commands)
        )
    commands = f"then {', then '.join(how.commands)}" if how.commands else ""
    if not how.same:
        return Refused(f"{incident.shown} isn't a machine's to repair: {how.first}", hint=commands)
    reason = (
        f"neither the code of {incident.node} nor its inputs have changed since the wrong rows were"
        " published"
    )
    return InputsUnchanged(
        f"{incident.shown} isn't repaired: {reason}, so computing it again gives the same rows",
        hint=(
            f"{how.first}; {commands}. To compute it all the same: headrace fix {incident.shown}"
            " --again"
        ),
    )


def _preview(session: ProjectSession, incident: Incident, how: Mending) -> BackfillResponse | None:
    if how.build is None or session.compiled is None:
        return None
    again = {incident.node: how.reread} if how.reread else {}
    draft_backfill = plan(
        session,
        session.store,
        session.compiled,
        session.version,
        how.build,
        now=session.now(),
        reread=again,
    )
    response = planned_response(
        session,
        draft_backfill,
        how.build,
        state="planned",
        now=session.now(),
        clock=session.clock.kind,
    )
    return identified(session, response, session.version)


# Response


def _response(planned: _Planned, state: str) -> FixResponse:
    mappings = [] if planned.accepted is None else list(planned.accepted.mappings)
    fields = {name: getattr(planned.row, name) for name in planned.row.__struct_fields__}
    return FixResponse(
        **fields,
        fix=state,
        steps=_steps(planned),
        mappings=mappings,
        file=None if planned.accepted is None else planned.accepted.path.as_posix(),
        backfill=planned.build,
        still=[],
        recomputed=None,
    )


def _steps(planned: _Planned) -> list[FixStep]:
    return [step for act in planned.how.acts for step in _step(planned, act)]


def _step(planned: _Planned, act: RepairAction) -> Sequence[FixStep]:
    node = planned.incident.node
    match act:
        case RepairAction.MAP:
            assert planned.accepted is not None
            names = ", ".join(
                f"{mapping.column} ← {mapping.convert or mapping.to}"
                for mapping in planned.accepted.mappings
            )
            ends = f"; repairs {' and '.join(planned.how.together)}" if planned.how.together else ""
            text = f"{names}, from {planned.accepted.first} on{ends}"
            mapped = FixStep(act=act, what=planned.accepted.path.as_posix(), text=text)
            count = len(planned.how.reread)
            text = f"{count} {'partition' if count == 1 else 'partitions'}, {planned.rows:,} rows"
            return (mapped, FixStep(act="read", what=node, text=text))
        case RepairAction.BUILD:
            return _built(planned.project, planned.build) if planned.build is not None else ()
        case RepairAction.LOOK:
            return (
                FixStep(
                    act=act,
                    what=node,
                    text="look again; what has arrived is ingested, and what waits for it runs",
                ),
            )
        case RepairAction.RESUME:
            return (FixStep(act=act, what=node, text="it may run again"),)
        case RepairAction.AGAIN:
            count = len(planned.how.again)
            named = ", ".join(planned.how.again[:NAMED_MAX]) + (" …" if count > NAMED_MAX else "")
            text = (
                f"{count} {'partition' if count == 1 else 'partitions'} again, from inputs or the"
                f" kept raw bytes: {named}"
            )
            again = FixStep(act=act, what=node, text=text, partitions=list(planned.how.again))
            return (*map(_given_up, planned.how.given_up), again)
        case RepairAction.RETRY:
            return (FixStep(act=act, what=node, text="what failed, again, and what waits for it"),)


def _given_up(path: str) -> FixStep:
    text = (
        "damaged, and several partitions share it: a copy that is put back from now on isn't used"
    )
    return FixStep(act="give_up", what=path, text=text)


def _built(project: Project, response: BackfillResponse) -> Sequence[FixStep]:
    """Return the steps for assets and exports; ingestion has a step of its own."""
    rows = [row for row in response.assets if row.how != INGESTED]
    if not rows:
        return ()
    counts = count_partitions(project, ((row.asset, row.partitions) for row in rows))
    count = f"{counts.partitions:,} {'partition' if counts.partitions == 1 else 'partitions'}"
    build = FixStep(act="build", what=counts.nodes, text=count)
    return (build, FixStep(act="publish", what=response.publishes, text=response.reason))


# Execution


@leader_command("fix", FixArguments, FixNoted)
def _noted(context: CommandContext, arguments: FixArguments, progress: Progress) -> FixNoted:
    """Record the start of a repair in the incident's timeline and in the audit trail.

    The leader plans again from the current state, and refuses a plan that differs from the
    confirmed one.
    """
    del progress
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
        planned = _plan(fresh, text, again=arguments.again, decision=decision)
        return _changed(fresh, planned, _shown(fresh, planned), arguments.plan_id)
    finally:
        fresh.close()


def _do(session: ProjectSession, planned: _Planned, progress: Progress) -> BackfillResponse | None:
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
    session: ProjectSession, planned: _Planned, act: RepairAction, progress: Progress
) -> BackfillResponse | None:
    node, because = planned.incident.node, f"{planned.incident.shown}: {planned.incident.summary}"
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
            arguments = planned.how.build
            return backfill(
                session,
                arguments.select,
                exclude=(),
                first=arguments.first,
                last=arguments.last,
                since=None,
                mode=arguments.mode,
                reason=arguments.reason,
                only=False,
                allow_partial=False,
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


# The same for programs, which can't be asked for confirmation.


def preview_fix(
    session: ProjectSession,
    incident: Annotated[str, Argument("INC-N")],
    *,
    again: bool = False,
    convert: Sequence[str] = (),
    as_is: bool = False,
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


def run_fix(
    session: ProjectSession,
    incident: Annotated[str, Argument("INC-N")],
    *,
    agreed: str | None = None,
    again: bool = False,
    convert: Sequence[str] = (),
    as_is: bool = False,
    reason: Reason = None,
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
