"""The plan of `fix`: an incident, its repair, and the response that shows each step."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.access.agreements import InputsUnchanged, identified
from headrace.model import Project, Refused
from headrace.plan.backfill_planning import INGESTED
from headrace.project.session import ProjectSession
from headrace.project.status_facts import unapplied, unapplied_note
from headrace.repairs.backfill_planning import plan
from headrace.repairs.backfill_views import planned_response
from headrace.repairs.contract_updates import UNDECIDED, ContractUpdate, ValueDecision, prepared
from headrace.repairs.incident_rows import found_in, number_of, row_of
from headrace.repairs.plan_inputs import count_partitions
from headrace.repairs.repair_actions import find_repair
from headrace.repairs.repair_steps import Mending, RepairAction
from headrace.responses.backfills import BackfillResponse
from headrace.responses.incidents import IncidentRow
from headrace.responses.repairs import FixResponse, FixStep
from headrace.slo.times import days
from headrace.store.queries import quarantine
from headrace.store.queries.incidents import Incident

NAMED_MAX = 20
"""Maximum number of partitions of a step that are named."""


class PlannedFix(msgspec.Struct, frozen=True):
    """An incident with its repair, the contract to be written, and the backfill to be run."""

    incident: Incident
    row: IncidentRow
    how: Mending
    project: Project
    accepted: ContractUpdate | None = None
    rows: int = 0
    """Number of rows in the deliveries to be re-ingested."""
    build: BackfillResponse | None = None
    decision: ValueDecision = UNDECIDED


def plan_fix(
    session: ProjectSession,
    target: str,
    *,
    resolved_only: bool = False,
    again: bool = False,
    decision: ValueDecision = UNDECIDED,
) -> PlannedFix:
    """Return the incident with its repair plan. Raise Refused if only a person can repair it."""
    number = number_of(target)
    if session.store is None or session.compiled is None:
        raise Refused("nothing has run yet, so nothing is wrong", hint="headrace tick")
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        incident = found_in(tx, number)
        row = row_of(session, session.compiled, tx, incident, now_us)
        if incident.state == "resolved" or resolved_only:
            return PlannedFix(incident, row, Mending(), session.compiled.project)
        how = find_repair(tx, session.compiled, incident, again=again)
        waiting = [
            item.rows or 0
            for item in quarantine.waiting(tx, node=incident.node)
            if item.partition in how.reread
        ]
    _refuse_unapplied(session, incident)
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
    return PlannedFix(
        incident, row, how, session.compiled.project, accepted, sum(waiting), build, decision
    )


def _refuse_unapplied(session: ProjectSession, incident: Incident) -> None:
    """Raise Refused if an asset was edited since: the code that failed would run again."""
    is_asset = incident.node in session.project().assets
    if is_asset and incident.node in (unapplied(session) or ()):
        raise Refused(f"{incident.label}: {unapplied_note(session)}", hint="headrace apply")


_SHOWS = {"deliveries": " shows what came", "logs": " shows what it wrote"}
"""Explanation of a command's output, by the command's name."""


def _refused(incident: Incident, how: Mending) -> Refused:
    """Return the error that says why a person must act first, and how."""
    if how.by_itself:
        command = how.commands[0]
        shows = _SHOWS.get(command.split()[1], "")
        return Refused(
            f"{incident.label} needs no repair: {how.by_itself}",
            hint=f"{how.first}; {command}{shows}",
        )
    if how.earlier:
        return Refused(
            f"{incident.label} isn't repaired yet: {how.first}", hint=", then ".join(how.commands)
        )
    commands = f"then {', then '.join(how.commands)}" if how.commands else ""
    if not how.same:
        return Refused(f"{incident.label} isn't a machine's to repair: {how.first}", hint=commands)
    reason = (
        f"neither the code of {incident.node} nor its inputs have changed since the wrong rows were"
        " published"
    )
    return InputsUnchanged(
        f"{incident.label} isn't repaired: {reason}, so computing it again gives the same rows",
        hint=(
            f"{how.first}; {commands}. To compute it all the same: headrace fix {incident.label}"
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
        now=session.now(),
        clock=session.clock.kind,
    )
    return identified(session, response, session.version)


def fix_response(planned: PlannedFix, state: str) -> FixResponse:
    """Return the incident's row with the plan's steps and the `fix` state."""
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


def _steps(planned: PlannedFix) -> list[FixStep]:
    return [step for act in planned.how.acts for step in _step(planned, act)]


def _step(planned: PlannedFix, act: RepairAction) -> Sequence[FixStep]:
    node = planned.incident.node
    match act:
        case RepairAction.MAP:
            assert planned.accepted is not None
            names = ", ".join(
                f"{mapping.column} ← {mapping.convert or mapping.to}"
                for mapping in planned.accepted.mappings
            )
            text = f"{names}, from {planned.accepted.first} on"
            mapped = FixStep(act=act, what=planned.accepted.path.as_posix(), text=text)
            text = f"{days(len(planned.how.reread), 'partition')}, {days(planned.rows, 'row')}"
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
            text = f"{days(count, 'partition')} again, from inputs or the kept raw bytes: {named}"
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
    build = FixStep(act="build", what=counts.nodes, text=days(counts.partitions, "partition"))
    return (build, FixStep(act="publish", what=response.publishes, text=response.reason))
