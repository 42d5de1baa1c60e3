"""The repair of an incident, derived from its kind and the current state of its partitions.

Steps that only a person can do are named as such.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from headrace.incidents.diagnosis.evidence import (
    DECLARED_AT,
    DISK,
    NO_WORKER,
    FailureCategory,
    failure_said,
    says_denied,
)
from headrace.incidents.evidence.deadlines import LOOKED
from headrace.incidents.repairs import except_paused, is_made_of
from headrace.model import Place, Project, Source
from headrace.model.causes import HEADRACE, CauseKind
from headrace.model.connectors import origin_of
from headrace.model.intervals import from_us
from headrace.model.partitions import WHOLE, command_line, partition_argument
from headrace.plan import Compiled
from headrace.plan.backfills import Mode
from headrace.repairs.data_repairs import AUTOMATIC, of_data
from headrace.repairs.incident_partitions import (
    is_failed,
    is_stuck,
    is_waiting,
    places_of,
    recomputed_on_request,
    stuck_among,
    withdrawn_of,
)
from headrace.repairs.repair_forecast import RepairForecast
from headrace.repairs.repair_steps import Mending, RepairAction, declared_place, with_backfill
from headrace.repairs.repair_texts import repair_text
from headrace.repairs.repairs import (
    after_correcting,
    asked_by_its_error,
    asked_for_access,
    of_lost,
    of_resources,
)
from headrace.responses.incidents import IncidentRepairRow
from headrace.runtime.recomputation import shared_and_damaged, unchanged
from headrace.slo.declared_promises import declared_promises
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.slo.times import time_text
from headrace.store import Transaction
from headrace.store.clock import last_written
from headrace.store.queries import incidents as stored
from headrace.store.queries import ingestion, lake_maintenance, partition_states, scheduling
from headrace.store.queries.incidents import Incident

_LOOK_AGAIN = (
    CauseKind.LATE_SOURCE,
    CauseKind.MISSING_SOURCE,
    CauseKind.SOURCE_UNAVAILABLE,
    CauseKind.ACCESS_DENIED,
    CauseKind.RUNTIME_DOWN,
)
_DISK = (FailureCategory.SPACE, DISK)
"""Details of `resource_exhausted` that only a person can end.

Waiting partitions then continue by themselves; failed ones don't.
"""
_A_PATH = re.compile(r"(?:^|[\s'\"(=:])/[^\s'\"]")
"""A path in the observation, which names the disk."""


def repair_of(
    tx: Transaction, compiled: Compiled, incident: Incident, forecast: RepairForecast
) -> IncidentRepairRow | None:
    """Return the command that repairs an incident, or with which a person begins.

    None if none is needed. The text is as of the forecast's time.
    """
    row = None if incident.state == "resolved" else _repair_of(tx, compiled, incident)
    if row is None:
        return None
    now_us = forecast.now_us
    paused = except_paused(tx, incident, now_us) if row.automatic else ""
    if row.automatic and incident.state == "recovering":
        zone = compiled.project.settings.timezone
        at_us = forecast.expected_us(incident)
        if at_us is not None:
            row = msgspec.structs.replace(row, expected_at=from_us(at_us, zone))
            paused = f"{paused}; expected at {time_text(at_us, now_us, zone)} at the earliest"
    return msgspec.structs.replace(row, text=repair_text(row, incident, paused))


def _repair_of(tx: Transaction, compiled: Compiled, incident: Incident) -> IncidentRepairRow | None:
    how = find_repair(tx, compiled, incident)
    if how.by_itself:
        return _row(how.commands, automatic=True, note=f"{how.by_itself}; {how.first}")
    if not how.acts:
        if not how.commands:
            return None
        return _row(how.commands, automatic=False, first=how.first, same=how.same)
    fix = f"headrace fix {incident.label}"
    automatic = _is_automatic(tx, compiled.project, incident, how)
    if incident.state != "recovering":
        if (first := _first_step(incident)) is not None:
            return _row([fix], automatic=False, first=first)
        given_up = None if automatic else _given_up(tx, compiled.project, incident)
        if given_up is not None:
            return _row(["headrace apply", fix], automatic=False, first=given_up)
    return _row([fix], automatic=automatic)


def _is_automatic(tx: Transaction, project: Project, incident: Incident, how: Mending) -> bool:
    """Whether Headrace does the repair by itself."""
    if incident.state == "recovering":
        by_a_person = recomputed_on_request(tx, incident) or withdrawn_of(tx, project, incident)
        return not by_a_person
    if incident.kind == CauseKind.PAUSED:
        return how.acts == (RepairAction.LOOK,)
    if incident.kind not in AUTOMATIC or stuck_among(tx, places_of(tx, incident)):
        return False
    return incident.kind != CauseKind.RESTATEMENT or not recomputed_on_request(tx, incident)


def _first_step(incident: Incident) -> str | None:
    """Return the first step for a disk, a right or an access that only a person can mend.

    None for other incidents.
    """
    match incident.kind:
        case CauseKind.RESOURCE_EXHAUSTED if incident.detail in _DISK:
            return _of_disk(incident)
        case CauseKind.DESTINATION_UNAVAILABLE if _is_denied(incident):
            return "look at the target, and at the rights with which it is written"
        case CauseKind.ACCESS_DENIED:
            return asked_for_access(incident.node)
        case _:
            return None


def _given_up(tx: Transaction, project: Project, incident: Incident) -> str | None:
    """Return the first step for an asset that lost its worker or lacked resources in all attempts.

    None for other incidents.
    """
    if incident.kind == CauseKind.WORKER_LOST:
        stuck = stuck_among(tx, places_of(tx, incident))
        names = dict.fromkeys(partition.node for partition in stuck)
        assets = [project.assets[name] for name in names if name in project.assets]
        return of_lost(assets) if assets else None
    asset = project.assets.get(incident.node)
    if asset is None or incident.kind != CauseKind.RESOURCE_EXHAUSTED:
        return None
    known = (category for category in FailureCategory if category == incident.detail)
    failure = next(known, FailureCategory.OTHER)
    return of_resources(project, asset, failure, _message_of(incident))


def _message_of(incident: Incident) -> str:
    """Return the message of the failure: one that names a limit, or else the first."""
    observed = [evidence.observed for evidence in incident.evidence]
    limits = [text for text in observed if failure_said("", text) is FailureCategory.LIMIT]
    return (limits or observed or [""])[0]


def _is_denied(incident: Incident) -> bool:
    """Whether permissions are missing, which only a person can grant."""
    return any(says_denied(evidence.observed) for evidence in incident.evidence)


def _of_disk(incident: Incident) -> str:
    """Return what a person must do about a disk; it names the disk if the evidence does."""
    known = any(_A_PATH.search(evidence.observed) for evidence in incident.evidence)
    if _is_denied(incident):
        return (
            "give whoever runs Headrace the right to use what"
            f" {'the evidence names' if known else f'{incident.node} writes'}"
        )
    if incident.detail == DISK:
        return (
            "mend the disk"
            f" {'that the evidence names' if known else f'where {incident.node} writes'}"
        )
    return (
        "make room"
        f" {'on the disk that the evidence names' if known else f'where {incident.node} writes'}"
    )


def _row(
    commands: Sequence[str],
    *,
    automatic: bool,
    first: str | None = None,
    note: str | None = None,
    same: bool = False,
) -> IncidentRepairRow:
    return IncidentRepairRow(
        command=commands[0],
        automatic=automatic,
        first=first,
        note=note,
        same=same,
        commands=list(commands),
        text=None,
    )


def find_repair(
    tx: Transaction, compiled: Compiled, incident: Incident, *, again: bool = False
) -> Mending:
    """Return the repair of an unresolved incident; with `again`, even if the rows stay the same."""
    project = compiled.project
    if (machine := _of_machine(tx, incident)) is not None:
        return machine
    match CauseKind(incident.kind):
        case CauseKind.PAUSED if not _is_paused(tx, incident.node):
            return Mending(acts=(RepairAction.LOOK,))
        case CauseKind.PAUSED:
            return Mending(acts=(RepairAction.RESUME,))
        case CauseKind.DESTINATION_UNAVAILABLE:
            return Mending(acts=(RepairAction.RETRY,))
        case kind if kind in _LOOK_AGAIN:
            return _awaited(project, incident)
        case CauseKind.CONFIGURATION_ERROR if _is_declared_anew(tx, project, incident):
            return Mending(acts=(RepairAction.LOOK,))
        case CauseKind.CONFIGURATION_ERROR:
            return _of_declaration(tx, project, incident)
        case CauseKind.APPROVAL_PENDING:
            numbers = [evidence.id.removeprefix("plan:") for evidence in incident.evidence]
            return Mending(
                first="another person than the one who asked decides: approve or reject it",
                commands=tuple(
                    command_line("approve", number, "--reason", "TEXT")
                    for number in dict.fromkeys(numbers)
                ),
            )
        case CauseKind.DEADLINE_INFEASIBLE:
            looked = any(LOOKED in evidence.expected for evidence in incident.evidence)
            earlier = (
                "run `headrace tick` earlier, or `headrace serve`"
                if looked
                else "have it there, or looked at, earlier"
            )
            return Mending(
                first=(
                    f"promise what can be kept ({declared_place(project, incident.node)}),"
                    f" or {earlier}: {incident.summary}"
                ),
                commands=("headrace apply", "headrace tick"),
            )
        case CauseKind.DATA_CORRUPTED if project.source_or_asset(incident.node) is not None:
            return _of_damage(tx, compiled, incident, again=again)
        case CauseKind.REPORTED if incident.node in project.assets:
            return _of_reported(tx, compiled, incident, again=again)
        case _:
            return _refused_below(tx, incident) or of_data(tx, compiled, incident)


def _of_machine(tx: Transaction, incident: Incident) -> Mending | None:
    """Return the repair if Headrace itself can't work; None for every other incident."""
    if incident.node == HEADRACE and incident.kind == CauseKind.RESOURCE_EXHAUSTED:
        return Mending(first=_of_disk(incident), commands=("headrace tick",))
    if (
        incident.kind == CauseKind.RUNTIME_DOWN
        and incident.detail == NO_WORKER
        and lake_maintenance.problem(tx, lake_maintenance.WORKERS) is not None
    ):
        return Mending(
            first=(
                "no worker starts: look at the installation, the interpreter and the memory limits"
                " of the machine that runs Headrace"
            ),
            commands=("headrace doctor", "headrace tick"),
        )
    return None


def _awaited(project: Project, incident: Incident) -> Mending:
    """Return the repair of an incident that waits for data: observe again.

    Code without access is retried. Nothing waits for a node that is no longer declared.
    """
    name = incident.node
    if incident.kind == CauseKind.ACCESS_DENIED and name in project.assets:
        return Mending(acts=(RepairAction.RETRY,))
    if name == HEADRACE or name in project.consumers or project.node(name) is not None:
        return Mending(acts=(RepairAction.LOOK,))
    return Mending(
        by_itself="it ends with the next pass",
        first=f"{name} isn't declared any more",
        commands=("headrace tick",),
    )


def _refused_below(tx: Transaction, incident: Incident) -> Mending | None:
    """Return the repair of restated rows that a downstream check or code refuses: a person decides.

    None for other causes, or if no downstream node refused them.
    """
    if incident.kind != CauseKind.RESTATEMENT:
        return None
    keys = [key for _, key in places_of(tx, incident)]
    symptoms = [
        (symptom.node, symptom.partition or WHOLE)
        for symptom in stored.symptoms_of(tx, incident.id)
    ]
    readers = [(name, key) for name in incident.affected.assets for key in keys]
    below = stuck_among(tx, list(dict.fromkeys([*symptoms, *readers])))
    if not below:
        return None
    first = below[0]
    where = partition_argument(first.node, first.partition)
    known = stored.open_at(tx, first.node, "" if first.partition == WHOLE else first.partition)
    if first.state == "failed" and known is not None and known.id != incident.id:
        return Mending(
            first=(
                f"{where} failed over it ({known.label}): correct {first.node}, or ask"
                f" {incident.owner} for the data as it was"
            ),
            commands=(command_line("incident", known.label),),
        )
    return Mending(
        first=(
            f"{where} is {first.state}: decide about it, correct {first.node}, or ask"
            f" {incident.owner} for the data as it was"
        ),
        commands=(
            command_line("quarantine" if first.state in ("held", "rejected") else "logs", where),
        ),
    )


def _of_declaration(tx: Transaction, project: Project, incident: Incident) -> Mending:
    """Return the repair of a declaration: correct and apply it.

    Afterwards held deliveries are ingested, and failed partitions retried.
    """
    node, declared = incident.node, _declared_at(project, incident)
    failed = [
        key for name, key in places_of(tx, incident) if name == node and is_failed(tx, name, key)
    ]
    if not failed and _worked_as_declared(tx, project, incident):
        first = f"ask {project.sources[node].owner} what became of it, or correct {declared}"
        return Mending(first=first, commands=("headrace apply", "headrace tick"))
    if not failed:
        return Mending(first=f"correct {declared}", commands=("headrace apply", "headrace tick"))
    commands = after_correcting(node, failed, is_asset=node in project.assets)
    return Mending(first=asked_by_its_error(declared, incident.summary), commands=tuple(commands))


def _worked_as_declared(tx: Transaction, project: Project, incident: Incident) -> bool:
    """Whether a location that can't be observed now was readable under the same declaration."""
    source = project.sources.get(incident.node)
    looked = source is not None and any(
        evidence.id.startswith("look:") for evidence in incident.evidence
    )
    return (
        source is not None
        and looked
        and ingestion.last_place_read(tx, source.name) == origin_of(source)
    )


def _of_damage(tx: Transaction, compiled: Compiled, incident: Incident, *, again: bool) -> Mending:
    """Return the repair of damaged files: recompute assets, re-ingest sources from their raw bytes.

    Source partitions that can't be re-ingested wait for a person; `again` retries them.
    """
    node = incident.node
    keys = tuple(key for name, key in stored.wrong_keys(tx, incident.id) if name == node)
    if incident.state == "recovering" or not keys:
        return Mending(acts=(RepairAction.LOOK,))
    damaged_inputs = (
        other
        for other in stored.open_incidents(tx)
        if other.kind == CauseKind.DATA_CORRUPTED
        and other.state == "open"
        and _reads_of(tx, compiled, node, keys, other)
    )
    if (other := next(damaged_inputs, None)) is not None:
        return Mending(
            earlier=other.label,
            first=f"{node} reads {other.node}, which is damaged too",
            commands=(f"headrace fix {other.label}", f"headrace fix {incident.label}"),
        )
    given_up = tuple(shared_and_damaged(tx, node))
    failed = [key for key in keys if is_stuck(tx, node, key)]
    if again or given_up or len(failed) < len(keys) or node not in compiled.project.sources:
        return Mending(acts=(RepairAction.AGAIN,), again=keys, given_up=given_up)
    return _of_lost_rows(tx, incident, failed)


def _of_lost_rows(tx: Transaction, incident: Incident, failed: Sequence[str]) -> Mending:
    """Return the repair of source partitions whose damaged files can't be ingested again."""
    node = incident.node
    row = partition_states.get(tx, node, failed[0])
    more = f" (nor can {len(failed) - 1} more)" if len(failed) > 1 else ""
    reason = row.reason if row is not None and row.reason else "its attempt failed"
    withdraw = command_line(
        "unpublish",
        partition_argument(node, failed[0]),
        "--reason",
        f"{incident.label}: its rows are lost",
    )
    return Mending(
        first=(
            f"{partition_argument(node, failed[0])} can't be ingested again{more}: {reason}. Put"
            " back what was delivered; or, so that the other partitions can be read together"
            f" again: {withdraw}"
        ),
        commands=(command_line("retry", node),),
    )


def _reads_of(
    tx: Transaction, compiled: Compiled, node: str, keys: Sequence[str], other: Incident
) -> bool:
    """Whether partitions are computed directly from those of another incident."""
    if node not in compiled.nodes or other.node not in {
        spec.node for spec in compiled.nodes[node].inputs
    }:
        return False
    damaged = {key for name, key in stored.wrong_keys(tx, other.id) if name == other.node}
    context = EvaluationContext(declared_promises(compiled), StoredFacts(tx))
    return any(is_made_of(context, node, key, other.node, damaged) for key in keys)


def _is_paused(tx: Transaction, node: str) -> bool:
    return any(pause.node == node for pause in scheduling.pauses_in_force(tx, last_written(tx)))


def _is_declared_anew(tx: Transaction, project: Project, incident: Incident) -> bool:
    """Whether the next tick tries the corrected declaration, or observes its new location."""
    source = project.sources.get(incident.node)
    if source is not None and ingestion.last_place(tx, source.name) not in ("", origin_of(source)):
        return True
    places = [(node, key) for node, key in places_of(tx, incident) if node == incident.node]
    return bool(places) and all(is_waiting(tx, node, key) for node, key in places)


def _of_reported(
    tx: Transaction, compiled: Compiled, incident: Incident, *, again: bool
) -> Mending:
    """Return the repair of reported or withdrawn rows: recompute them if the result can differ."""
    project, node = compiled.project, compiled.project.assets[incident.node]
    withdrawn = withdrawn_of(tx, project, incident)
    if not again and incident.state == "recovering" and not withdrawn:
        return with_backfill(project, incident, Mode.MISSING)
    wrong = (
        withdrawn
        if incident.state == "recovering"
        else stored.wrong_keys(tx, incident.id) or places_of(tx, incident)
    )
    keys = [key for name, key in wrong if name == node.name]
    if again or len(unchanged(tx, compiled, node.name, keys)) < len(keys) or not keys:
        return with_backfill(project, incident, Mode.ALL)
    return Mending(
        first=f"correct {declared_place(project, node.name)}, or what it reads",
        commands=("headrace apply", f"headrace fix {incident.label}"),
        same=True,
    )


def _declared_at(project: Project, incident: Incident) -> str:
    """Return file and line of the wrong declaration.

    It is what the evidence cites; else a failed check, a column of the contract, or the node.
    """
    cited = [
        evidence.observed.rpartition(DECLARED_AT)[2]
        for evidence in incident.evidence
        if DECLARED_AT in evidence.observed
    ]
    if cited:
        return cited[-1]
    source = project.sources.get(incident.node)
    result = None if source is None else _declared_in(project, source, incident)
    return (
        declared_place(project, incident.node) if result is None else f"{result.file}:{result.line}"
    )


def _declared_in(project: Project, source: Source, incident: Incident) -> Place | None:
    """Return the place of the source's failed check, or else of a column in its contract."""
    names = incident.detail.split(",")
    for check in source.checks:
        if check.name in names:
            return check.place
    contract = project.contracts.get(source.contract or source.name)
    columns = () if contract is None else contract.columns
    places = (column.place for column in columns if column.name in incident.columns)
    return next((place for place in places if place is not None), None)
