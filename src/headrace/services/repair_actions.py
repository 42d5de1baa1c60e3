"""The repair of an incident, derived from its kind and the current state of its partitions.

Steps that only a person can do are named as such.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Sequence

import msgspec

from headrace.checks.facts import ValueDifferenceKind
from headrace.incidents.closing import SHOWN_US
from headrace.incidents.diagnosis.candidates import HISTORY
from headrace.incidents.diagnosis.evidence import (
    DECLARED_AT,
    DISK,
    NO_WORKER,
    FailureCategory,
    failure_said,
    says_denied,
)
from headrace.incidents.evidence.deadlines import LOOKED
from headrace.incidents.messages import clause
from headrace.incidents.repairs import except_paused, is_made_of
from headrace.model import Asset, Project, Source
from headrace.model.causes import HEADRACE, CauseKind
from headrace.model.connectors import origin_of
from headrace.model.intervals import from_us
from headrace.model.partitions import SEPARATOR, WHOLE, command_line, order_of, partition_argument
from headrace.plan import Compiled
from headrace.plan.backfills import Mode
from headrace.runtime.recomputation import checks_changed, differs, shared_and_damaged, unchanged
from headrace.services.backfill_planning import BackfillArguments
from headrace.services.repair_texts import repair_text
from headrace.services.repairs import (
    BrokenPartition,
    after_correcting,
    asked_by_its_error,
    asked_for_access,
    before_deciding,
    before_reading_again,
    decided_at,
    installed,
    lacking,
    of_lost,
    of_resources,
    other_choices,
    repairs,
)
from headrace.services.responses.incidents import IncidentRepairRow
from headrace.services.runs import broken_of
from headrace.slo.declared_promises import declared_promises
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.store import Transaction
from headrace.store.clock import last_written
from headrace.store.queries import (
    attempts,
    ingestion,
    lake_maintenance,
    partition_states,
    publications,
    quality,
    quarantine,
    scheduling,
)
from headrace.store.queries import evidence as stored_evidence
from headrace.store.queries import incidents as stored
from headrace.store.queries.changes import newest_withheld
from headrace.store.queries.incidents import Incident

# Incidents that one repair ends: one command decides a renamed column and its changed values.

_DECIDED = (CauseKind.SCHEMA_CHANGE, CauseKind.DISTRIBUTION_SHIFT)
_OF_VALUES = (ValueDifferenceKind.SCALE, ValueDifferenceKind.SIGN)


def repaired_together(
    tx: Transaction, incident: Incident, accepting: str, reread: Collection[str]
) -> tuple[str, ...]:
    """Return the open incidents that one decision about renames and values ends, including this.

    The decision is about the source's delivery of the partition `accepting`; the partitions
    `reread` are then re-ingested. Empty if it ends no other incident.
    """
    beside = [
        item
        for item in stored.open_incidents(tx)
        if item.node == incident.node and item.kind in _DECIDED and item.columns
    ]
    if len(beside) < 2:
        return ()
    from headrace.services.renames import proposed_renames  # imports the SQL parser

    mappings = proposed_renames(
        tx, incident.node, quality.newest_drift(tx, incident.node, accepting)
    )
    decided = {
        CauseKind.SCHEMA_CHANGE: {mapping.column for mapping in mappings},
        CauseKind.DISTRIBUTION_SHIFT: {
            mapping.column
            for mapping in mappings
            if any(each.kind in _OF_VALUES for each in mapping.differs)
        },
    }
    results = {
        item.id: item.shown
        for item in stored.open_incidents(tx)
        if (item.node, item.state) == (incident.node, "open")
        and item.columns
        and set(item.columns) <= decided.get(CauseKind(item.kind), set())
        and set(item.affected.partitions) <= set(reread)
    }
    return tuple(results.values()) if incident.id in results and len(results) > 1 else ()


class RepairAction(enum.StrEnum):
    """One action of a repair."""

    RESUME = "resume"
    MAP = "map"
    LOOK = "look"
    BUILD = "build"
    RETRY = "retry"
    AGAIN = "again"


class Mending(msgspec.Struct, frozen=True, kw_only=True):
    """The repair of an incident: `acts` in order, or a person's `first` step and `commands`."""

    acts: tuple[RepairAction, ...] = ()
    accepting: str = ""
    """`SOURCE@K`: the held delivery whose proposed renames are accepted."""
    reread: tuple[str, ...] = ()
    """The partitions of the source whose deliveries are re-ingested."""
    build: BackfillArguments | None = None
    first: str = ""
    commands: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    """The node's partitions that are recomputed or re-ingested."""
    earlier: str = ""
    """The incident that must be repaired before this one."""
    given_up: tuple[str, ...] = ()
    """Damaged files shared by several of these partitions, by path in the lake.

    They are never used again, even if someone restores them.
    """
    by_itself: str = ""
    """How the incident ends without any action: no data is held, and nothing is to be computed."""
    together: tuple[str, ...] = ()
    """The incidents that this repairs, if there are several: `INC-1`, …"""
    same: bool = False
    """Whether nothing upstream has changed, so that recomputing gives the same rows.

    `--again` recomputes nevertheless.
    """


_LOOK_AGAIN = (
    CauseKind.LATE_SOURCE,
    CauseKind.MISSING_SOURCE,
    CauseKind.SOURCE_UNAVAILABLE,
    CauseKind.ACCESS_DENIED,
    CauseKind.RUNTIME_DOWN,
)
_PASSING = (CauseKind.WORKER_LOST, CauseKind.RESOURCE_EXHAUSTED, CauseKind.SLOW_RUN)
"""Causes that may disappear without any change."""
_GIVEN = (
    CauseKind.STALE_DATA,
    CauseKind.DUPLICATE_ROWS,
    CauseKind.VOLUME_ANOMALY,
    CauseKind.NULL_SPIKE,
    CauseKind.DISTRIBUTION_SHIFT,
    CauseKind.REFERENCE_BROKEN,
    CauseKind.REPORTED,
    CauseKind.CODE_ERROR,
)
"""Causes that persist until data or code changes."""
_WITH_OTHER_CHOICES = (
    CauseKind.REFERENCE_BROKEN,
    CauseKind.DISTRIBUTION_SHIFT,
    CauseKind.SCHEMA_CHANGE,
    CauseKind.TYPE_CHANGE,
    CauseKind.FORMAT_CHANGE,
)
"""Causes with further choices (`other_choices`) than to request other data."""
_OF_FORM = (CauseKind.SCHEMA_CHANGE, CauseKind.TYPE_CHANGE, CauseKind.FORMAT_CHANGE)
"""Causes in the form of a delivery: it can be ingested, but downstream code may fail over it."""
PLACES_MAX = 200
NAMED_MAX = 5
"""Maximum number of other assets with the same cause that are named."""
PROPOSED_MAX = 10_000
"""Maximum number of partitions, recomputed only on request, that are searched."""
_STUCK = ("failed", "rejected", "held")
_AUTOMATIC = (
    CauseKind.LATE_SOURCE,
    CauseKind.MISSING_SOURCE,
    CauseKind.SOURCE_UNAVAILABLE,
    CauseKind.DESTINATION_UNAVAILABLE,
    CauseKind.RUNTIME_DOWN,
    CauseKind.RESTATEMENT,
    *_PASSING,
)
"""Causes that Headrace retries by itself: it observes, runs, reads or writes again."""


_DISK = (FailureCategory.SPACE, DISK)
"""Details of `resource_exhausted` that only a person can end.

Waiting partitions then continue by themselves; failed ones don't.
"""
_A_PATH = re.compile(r"(?:^|[\s'\"(=:])/[^\s'\"]")
"""A path in the observation, which names the disk."""


def repair_of(tx: Transaction, compiled: Compiled, incident: Incident) -> IncidentRepairRow | None:
    """Return the command that repairs an incident, or with which a person begins.

    None if none is needed.
    """
    row = None if incident.state == "resolved" else _repair_of(tx, compiled, incident)
    if row is None:
        return None
    paused = except_paused(tx, incident, last_written(tx)) if row.automatic else ""
    return msgspec.structs.replace(row, text=repair_text(row, incident, paused))


def _repair_of(tx: Transaction, compiled: Compiled, incident: Incident) -> IncidentRepairRow | None:
    how = find_repair(tx, compiled, incident)
    if how.by_itself:
        return _row(how.commands, automatic=True, note=f"{how.by_itself}; {how.first}")
    if not how.acts:
        if not how.commands:
            return None
        return _row(how.commands, automatic=False, first=how.first, same=how.same)
    alone = incident.state == "recovering" or (
        incident.kind in _AUTOMATIC and not _stuck(tx, _places(tx, incident))
    )
    alone = alone or (incident.kind == CauseKind.PAUSED and how.acts == (RepairAction.LOOK,))
    if (
        alone
        and (incident.kind == CauseKind.RESTATEMENT or incident.state == "recovering")
        and _asked_for(tx, incident)
    ):
        alone = False
    if alone and incident.state == "recovering" and _withdrawn(tx, compiled.project, incident):
        alone = False
    if (
        incident.state != "recovering"
        and incident.kind == CauseKind.RESOURCE_EXHAUSTED
        and incident.detail in _DISK
    ):
        return _row([f"headrace fix {incident.shown}"], automatic=False, first=_of_disk(incident))
    if (
        not alone
        and incident.state != "recovering"
        and (first := _given_up(tx, compiled.project, incident)) is not None
    ):
        return _row(
            ["headrace apply", f"headrace fix {incident.shown}"], automatic=False, first=first
        )
    if (
        incident.state != "recovering"
        and incident.kind == CauseKind.DESTINATION_UNAVAILABLE
        and _is_denied(incident)
    ):
        first = "look at the target, and at the rights with which it is written"
        return _row([f"headrace fix {incident.shown}"], automatic=False, first=first)
    if incident.state != "recovering" and incident.kind == CauseKind.ACCESS_DENIED:
        return _row(
            [f"headrace fix {incident.shown}"],
            automatic=False,
            first=asked_for_access(incident.node),
        )
    text = f"one command repairs {' and '.join(how.together)}" if how.together else None
    return _row([f"headrace fix {incident.shown}"], automatic=alone, text=text)


def _given_up(tx: Transaction, project: Project, incident: Incident) -> str | None:
    """Return the first step for an asset that lost its worker or lacked resources in all attempts.

    None for other incidents.
    """
    if incident.kind == CauseKind.WORKER_LOST:
        names = {partition.node: None for partition in _stuck(tx, _places(tx, incident))}
        assets = [project.assets[name] for name in names if name in project.assets]
        return of_lost(assets) if assets else None
    asset = project.assets.get(incident.node)
    if asset is None or incident.kind != CauseKind.RESOURCE_EXHAUSTED:
        return None
    said = [evidence.observed for evidence in incident.evidence]
    limits = [item for item in said if failure_said("", item) is FailureCategory.LIMIT]
    failure = next(
        (item for item in FailureCategory if item == incident.detail), FailureCategory.OTHER
    )
    return of_resources(project, asset, failure, (limits or said or [""])[0])


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
    text: str | None = None,
) -> IncidentRepairRow:
    return IncidentRepairRow(
        command=commands[0],
        automatic=automatic,
        first=first,
        note=note,
        same=same,
        commands=list(commands),
        text=text,
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
                first=(
                    "nobody can approve a plan yet: cancel it; if it is wanted, change"
                    " `backfill_approval` in headrace.toml and plan it again"
                ),
                commands=tuple(
                    command_line("backfills", "cancel", fromkey, "--reason", "TEXT")
                    for fromkey in dict.fromkeys(numbers)
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
                    f"promise what can be kept ({_place(project, incident.node)}), or {earlier}:"
                    f" {incident.summary}"
                ),
                commands=("headrace apply", "headrace tick"),
            )
        case CauseKind.DATA_CORRUPTED if project.source_or_asset(incident.node) is not None:
            return _of_damage(tx, compiled, incident, again=again)
        case CauseKind.REPORTED if incident.node in project.assets:
            return _of_reported(tx, compiled, incident, again=again)
        case _:
            return _refused_below(tx, incident) or _of_data(tx, compiled, incident)


def _of_machine(tx: Transaction, incident: Incident) -> Mending | None:
    """Return the repair if Headrace itself can't work; None for every other incident."""
    if incident.node == HEADRACE and incident.kind == CauseKind.RESOURCE_EXHAUSTED:
        return Mending(first=_of_disk(incident), commands=("headrace tick",))
    if (
        incident.kind == CauseKind.RUNTIME_DOWN
        and incident.detail == NO_WORKER
        and lake_maintenance.worker_problem(tx) is not None
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
    keys = [key for _, key in _places(tx, incident)]
    symptoms = [
        (symptom.node, symptom.partition or WHOLE)
        for symptom in stored.symptoms_of(tx, incident.id)
    ]
    readers = [(name, key) for name in incident.affected.assets for key in keys]
    below = _stuck(tx, list(dict.fromkeys([*symptoms, *readers])))
    if not below:
        return None
    first = below[0]
    where = partition_argument(first.node, first.partition)
    known = stored.open_at(tx, first.node, "" if first.partition == WHOLE else first.partition)
    if first.state == "failed" and known is not None and known.id != incident.id:
        return Mending(
            first=(
                f"{where} failed over it ({known.shown}): correct {first.node}, or ask"
                f" {incident.owner} for the data as it was"
            ),
            commands=(command_line("incident", known.shown),),
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
        key for name, key in _places(tx, incident) if name == node and _is_failed(tx, name, key)
    ]
    if not failed and _worked_as_declared(tx, project, incident):
        first = f"ask {project.sources[node].owner} what became of it, or correct {declared}"
        return Mending(first=first, commands=("headrace apply", "headrace tick"))
    if not failed:
        return Mending(first=f"correct {declared}", commands=("headrace apply", "headrace tick"))
    commands = after_correcting(node, failed, is_asset=node in project.assets)
    return Mending(first=asked_by_its_error(declared), commands=tuple(commands))


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


def _is_failed(tx: Transaction, node: str, key: str) -> bool:
    row = partition_states.get(tx, node, key)
    return row is not None and row.state == "failed"


def _of_damage(tx: Transaction, compiled: Compiled, incident: Incident, *, again: bool) -> Mending:
    """Return the repair of damaged files: recompute assets, re-ingest sources from their raw bytes.

    Source partitions that can't be re-ingested wait for a person; `again` retries them.
    """
    node = incident.node
    keys = tuple(key for name, key in stored.wrong_keys(tx, incident.id) if name == node)
    if incident.state == "recovering" or not keys:
        return Mending(acts=(RepairAction.LOOK,))
    for other in stored.open_incidents(tx):
        if (
            other.kind == CauseKind.DATA_CORRUPTED
            and other.state == "open"
            and _reads_of(tx, compiled, node, keys, other)
        ):
            return Mending(
                earlier=other.shown,
                first=f"{node} reads {other.node}, which is damaged too",
                commands=(f"headrace fix {other.shown}", f"headrace fix {incident.shown}"),
            )
    given_up = tuple(shared_and_damaged(tx, node))
    failed = [key for key in keys if _is_stuck(tx, node, key)]
    if again or given_up or len(failed) < len(keys) or node not in compiled.project.sources:
        return Mending(acts=(RepairAction.AGAIN,), again=keys, given_up=given_up)
    row = partition_states.get(tx, node, failed[0])
    more = f" (nor can {len(failed) - 1} more)" if len(failed) > 1 else ""
    reason = row.reason if row is not None and row.reason else "its attempt failed"
    withdraw = command_line(
        "unpublish",
        partition_argument(node, failed[0]),
        "--reason",
        f"{incident.shown}: its rows are lost",
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


def _is_stuck(tx: Transaction, node: str, key: str) -> bool:
    row = partition_states.get(tx, node, key)
    return row is not None and row.state in _STUCK


def _is_waiting(tx: Transaction, node: str, key: str) -> bool:
    """Whether the next tick attempts the partition again, because its code was corrected.

    A corrected declaration counts as well.
    """
    row = partition_states.get(tx, node, key)
    return row is not None and row.state == "waiting" and not row.failures


def _is_paused(tx: Transaction, node: str) -> bool:
    return any(pause.node == node for pause in scheduling.pauses_in_force(tx, last_written(tx)))


def _is_declared_anew(tx: Transaction, project: Project, incident: Incident) -> bool:
    """Whether the next tick tries the corrected declaration, or observes its new location."""
    source = project.sources.get(incident.node)
    if source is not None and ingestion.last_place(tx, source.name) not in ("", origin_of(source)):
        return True
    places = [(node, key) for node, key in _places(tx, incident) if node == incident.node]
    return bool(places) and all(_is_waiting(tx, node, key) for node, key in places)


def _of_reported(
    tx: Transaction, compiled: Compiled, incident: Incident, *, again: bool
) -> Mending:
    """Return the repair of reported or withdrawn rows: recompute them if the result can differ."""
    project, node = compiled.project, compiled.project.assets[incident.node]
    withdrawn = _withdrawn(tx, project, incident)
    if not again and incident.state == "recovering" and not withdrawn:
        return _built(project, incident, Mode.MISSING)
    wrong = (
        withdrawn
        if incident.state == "recovering"
        else stored.wrong_keys(tx, incident.id) or _places(tx, incident)
    )
    keys = [key for name, key in wrong if name == node.name]
    if again or len(unchanged(tx, compiled, node.name, keys)) < len(keys) or not keys:
        return _built(project, incident, Mode.ALL)
    return Mending(
        first=f"correct {_place(project, node.name)}, or what it reads",
        commands=("headrace apply", f"headrace fix {incident.shown}"),
        same=True,
    )


def _of_data(tx: Transaction, compiled: Compiled, incident: Incident) -> Mending:
    project = compiled.project
    node = project.source_or_asset(incident.node)
    if node is None:
        return Mending(
            first=f"{incident.node} has no data of its own, or isn't declared any more",
            commands=("headrace status",),
        )
    if lapsed := stored_evidence.lapsed_of(tx, incident.id):
        return _of_lapsed(tx, project, incident, lapsed)
    if (
        incident.state == "recovering"
        and (withdrawn := _of_withdrawn(tx, project, incident)) is not None
    ):
        return withdrawn
    keys = _ordered(project, incident) or _whole(node)
    if incident.detail == HISTORY and any(newest_withheld(tx, node.name, key) for key in keys):
        return Mending(first=before_deciding(node.owner), commands=(decided_at(node.name),))
    renamed = [
        key for key in keys if isinstance(node, Source) and quality.renames_wait(tx, node.name, key)
    ]
    if renamed:
        return _of_renamed(tx, project, incident, node, renamed)
    stuck = _stuck(tx, [(node.name, key) for key in keys])
    waiting = [key for key in keys if _is_waiting(tx, node.name, key)]
    if not stuck and not waiting and incident.kind in _GIVEN and incident.state == "open":
        state = "warned" if _failed_checks(incident, node) else "published"
        stuck = [BrokenPartition(node.name, key, state) for key in keys]
    if stuck and (corrected := _of_corrected(tx, compiled, incident, stuck)) is not None:
        return corrected
    if packages := _lacking(tx, project, incident):
        return packages
    if stuck and (isinstance(node, Source) or incident.kind not in _PASSING):
        alike = [] if isinstance(node, Source) else _stuck_elsewhere(tx, project, incident)
        mine = [_put_down(tx, project, incident, partition) for partition in (*stuck, *alike)]
        first, commands = _of_each(project, incident, mine)
        memory = (
            isinstance(node, Source)
            and incident.kind == CauseKind.RESOURCE_EXHAUSTED
            and incident.detail == FailureCategory.MEMORY
        )
        first = first or (before_reading_again(node.owner) if memory else "look at why it failed")
        return Mending(first=first, commands=commands)
    elsewhere = _stuck_elsewhere(tx, project, incident)
    if (
        isinstance(node, Source)
        and (read := _of_readers(tx, project, incident, node, elsewhere)) is not None
    ):
        return read
    warned = None if elsewhere else _of_warned(tx, compiled, incident, node)
    if warned is not None:
        return warned
    kept = [
        name
        for name, key in _places(tx, incident)
        if project.source_or_asset(name) is not None and _is_waiting(tx, name, key)
    ]
    others = {
        name: None
        for name in (*(partition.node for partition in elsewhere), *kept)
        if name != node.name
    }
    return _built(project, incident, Mode.MISSING, also=tuple(others))


def _of_renamed(
    tx: Transaction,
    project: Project,
    incident: Incident,
    node: Source | Asset,
    renamed: Sequence[str],
) -> Mending:
    """Return the repair of deliveries with undecided renames.

    It accepts the renames if these are the incident's cause; otherwise a person asks the owner for
    other data.
    """
    together = repaired_together(tx, incident, renamed[0], renamed)
    if not together and (names := _renaming(tx, incident)) is not None:
        asked = (
            f"ask {node.owner} for the data as it was agreed: {names.shown} only accepts its new"
            " names"
        )
        return Mending(first=asked, commands=(command_line("tick"),))
    result = _built(project, incident, Mode.MISSING)
    return msgspec.structs.replace(
        result,
        acts=(RepairAction.MAP, *result.acts),
        accepting=f"{node.name}@{renamed[0]}",
        reread=tuple(renamed),
        together=together,
    )


def _renaming(tx: Transaction, incident: Incident) -> Incident | None:
    """Return the other incident whose repair accepts the renames of the same deliveries."""
    if incident.kind == CauseKind.SCHEMA_CHANGE:
        return None
    places = set(_places(tx, incident))
    others = (
        item
        for item in stored.open_incidents(tx)
        if (item.kind, item.node) == (CauseKind.SCHEMA_CHANGE, incident.node)
    )
    return next((incident for incident in others if places <= set(_places(tx, incident))), None)


def _put_down(
    tx: Transaction, project: Project, incident: Incident, partition: BrokenPartition
) -> BrokenPartition:
    others = (
        other_choices(tx, project, partition.node, partition.partition)
        if incident.kind in _WITH_OTHER_CHOICES
        else ""
    )
    return msgspec.structs.replace(partition, incident=incident.shown, others=others)


def _of_corrected(
    tx: Transaction, compiled: Compiled, incident: Incident, stuck: Sequence[BrokenPartition]
) -> Mending | None:
    """Return the repair by an asset's corrected code or checks; None if neither was corrected."""
    states = {partition.state for partition in stuck}
    if states == {"rejected"} and _is_checked_otherwise(tx, compiled, stuck):
        return _built(compiled.project, incident, Mode.FAILED)
    if states <= {"published", "warned"} and _is_recoded(tx, compiled, incident):
        return _built(compiled.project, incident, Mode.MISSING)
    return None


def _is_recoded(tx: Transaction, compiled: Compiled, incident: Incident) -> bool:
    """Whether all wrong partitions of a time-partitioned asset are stale and from old code."""
    node = compiled.project.assets.get(incident.node)
    if node is None or node.partition.grain is None or node.name not in compiled.nodes:
        return False
    places = stored.wrong_keys(tx, incident.id) or _places(tx, incident)
    keys = [key for name, key in places if name == node.name]
    rows = [partition_states.get(tx, node.name, key) for key in keys]
    if not keys or not all(row is not None and row.stale for row in rows):
        return False
    known: dict[tuple[int, str], str | None] = {}
    newest = [attempts.of_partition(tx, node.name, key, limit=1) for key in keys]
    versions = [results[0].version if results else None for results in newest]
    return all(
        version is not None and differs(tx, compiled, node.name, version, known)
        for version in versions
    )


def _is_checked_otherwise(
    tx: Transaction, compiled: Compiled, stuck: Sequence[BrokenPartition]
) -> bool:
    """Whether the checks of a time-partitioned asset changed since they rejected its partitions."""
    node = compiled.project.assets.get(stuck[0].node)
    if node is None or node.partition.grain is None:
        return False
    newest = [
        attempts.of_partition(tx, partition.node, partition.partition, limit=1)
        for partition in stuck
    ]
    used = {results[0].version for results in newest if results}
    return bool(used) and all(checks_changed(tx, compiled, node.name, version) for version in used)


def _failed_checks(incident: Incident, node: Source | Asset) -> bool:
    """Whether the incident is about a failed check that is still declared."""
    names = incident.detail.split(",")
    return any(check.name in names for check in node.checks)


def _lacking(tx: Transaction, project: Project, incident: Incident) -> Mending | None:
    """Return the repair of missing packages: install all of them, then retry each asset.

    None if that isn't the cause.
    """
    if incident.kind != CauseKind.CODE_ERROR or incident.detail != FailureCategory.ENVIRONMENT:
        return None
    places = [(node, key) for node, key in _places(tx, incident) if node in project.assets]
    packages = lacking(broken_of(tx, node, key, "failed") for node, key in places)
    if not packages:
        return None
    if stuck := _stuck(tx, places):
        commands = [
            command_line("retry", name)
            for name in dict.fromkeys(partition.node for partition in stuck)
        ]
    else:  # a backfill tried them; readers see the earlier publications
        seen = [BrokenPartition(node, key, "published") for node, key in places]
        commands = [
            row.commands[-1]
            for row in repairs(project, seen, f"{incident.shown}: {clause(incident)}")
        ]
    return Mending(first=installed(packages), commands=tuple(commands))


def _of_lapsed(
    tx: Transaction, project: Project, incident: Incident, lapsed: Sequence[tuple[str, str]]
) -> Mending:
    """Return the repair of data published by a lapsed exception: a person decides again.

    Nothing is computed. Renames of columns are decided first.
    """
    name, key = lapsed[0]
    at, node = partition_argument(name, key or WHOLE), project.source_or_asset(name)
    other = (
        f"ask {node.owner} for other data"
        if isinstance(node, Source)
        else f"correct {_place(project, name)} or its input"
    )
    text = command_line("quarantine", at)
    renamed = next(
        (each for each in lapsed if quality.renames_published(tx, each[0], each[1] or WHOLE)), None
    )
    if renamed is not None:
        return Mending(
            first=f"accept the new names, or {other}, or take it back ({text} gives the command)",
            commands=(
                command_line(
                    "contract", "accept", partition_argument(renamed[0], renamed[1] or WHOLE)
                ),
                "headrace tick",
            ),
        )
    more = f" and {len(lapsed) - 1} more" if len(lapsed) > 1 else ""
    return Mending(
        first=(
            f"{other}, take it back{more} ({text} gives the command), or look whether it can be"
            " accepted again"
        ),
        commands=(
            command_line(
                "quarantine",
                "accept",
                at if not more else incident.shown,
                "--reason",
                "TEXT",
                "--until",
                "T",
            ),
        ),
    )


def _of_withdrawn(tx: Transaction, project: Project, incident: Incident) -> Mending | None:
    """Return the repair of withdrawn data if readers still see downstream partitions.

    None otherwise.
    """
    taken_back = [
        (node, key) for node, key in _places(tx, incident) if _is_withdrawn(tx, node, key)
    ]
    keys = {key for _, key in taken_back}
    computed = [
        partition_argument(name, key)
        for name in incident.affected.assets
        if any(name != node for node, _ in taken_back)
        for key in partition_states.stale_keys(tx, name)
        if key in keys and not _is_withdrawn(tx, name, key)
    ]
    if not computed:
        return None
    more = f" (and {len(computed) - 1} more)" if len(computed) > 1 else ""
    node = project.source_or_asset(incident.node)
    other = f"ask {node.owner} for other data, or " if isinstance(node, Source) else ""
    return Mending(
        first=(
            f"{other}take back what was computed from {partition_argument(*taken_back[0])}:"
            f" {computed[0]}{more}"
        ),
        commands=(command_line("unpublish", computed[0], "--reason", "TEXT"),),
    )


def _withdrawn(tx: Transaction, project: Project, incident: Incident) -> list[tuple[str, str]]:
    """Return the withdrawn partitions of assets; nothing recomputes these by itself."""
    return [
        place
        for place in _places(tx, incident)
        if place[0] in project.assets and _is_withdrawn(tx, *place)
    ]


def _is_withdrawn(tx: Transaction, node: str, key: str) -> bool:
    row = partition_states.get(tx, node, key)
    return row is not None and row.state == "withdrawn"


def _of_readers(
    tx: Transaction,
    project: Project,
    incident: Incident,
    source: Source,
    elsewhere: Sequence[BrokenPartition],
) -> Mending | None:
    """Return what a person must do about code that fails over published rows.

    None if there is none.
    """
    if elsewhere and incident.kind not in _AUTOMATIC:
        return _of_unnoticed(project, incident, source, elsewhere)
    below = _stuck(
        tx,
        [
            (symptom.node, symptom.partition or WHOLE)
            for symptom in stored.symptoms_of(tx, incident.id)
        ],
    )
    failed = [
        partition
        for partition in below
        if partition.node in project.assets and partition.state == "failed"
    ]
    if not failed or incident.kind not in _OF_FORM or incident.state != "open":
        return None
    return _of_read_as_it_is(tx, project, incident, source, failed)


def _of_unnoticed(
    project: Project, incident: Incident, source: Source, failed: Sequence[BrokenPartition]
) -> Mending:
    """Return the repair of downstream failures attributed to an unremarkable delivery.

    Recomputing gives the same result until code or data changes.
    """
    correct, commands = _of_each(project, incident, failed)
    first = (
        f"ask {source.owner} whether the data of {source.name} is as agreed, else"
        f" {correct or f'look at why {failed[0].node} fails'}"
    )
    return Mending(first=first, commands=commands)


def _of_each(
    project: Project, incident: Incident, broken: Sequence[BrokenPartition]
) -> tuple[str | None, tuple[str, ...]]:
    """Return a person's first step for several assets with the same cause, and all their commands.

    The step describes the first asset and names the others.
    """
    rows = repairs(project, broken, f"{incident.shown}: {clause(incident)}")
    others = [name for name in dict.fromkeys(row.node for row in rows) if name != rows[0].node]
    first = rows[0].first
    if first is not None and others:
        more = f" and {len(others) - NAMED_MAX} more" if len(others) > NAMED_MAX else ""
        first = f"{first}; likewise {', '.join(others[:NAMED_MAX])}{more}"
    return first, tuple(dict.fromkeys(command for row in rows for command in row.commands))


def _of_read_as_it_is(
    tx: Transaction,
    project: Project,
    incident: Incident,
    source: Source,
    failed: Sequence[BrokenPartition],
) -> Mending:
    """Return the repair of code that fails over data published with a warning: change either."""
    seen = [
        broken_of(tx, partition.node, partition.partition, partition.state) for partition in failed
    ]
    row = repairs(project, seen, f"{incident.shown}: {clause(incident)}")[0]
    first = (
        f"ask {source.owner} for the right data, or {row.first or f'look at why {row.node} fails'}"
    )
    return Mending(first=first, commands=tuple(row.commands))


def _of_warned(
    tx: Transaction, compiled: Compiled, incident: Incident, node: Source | Asset
) -> Mending | None:
    """Return the repair of data published with a warning, with nothing left to compute.

    None for anything else.
    """
    project = compiled.project
    last = stored_evidence.warned_last(tx, incident.id)
    if (
        incident.state != "open"
        or last is None
        or stored_evidence.is_active(tx, incident.id)
        or _asked_for(tx, incident)
    ):
        return None
    if stored.wrong_keys(tx, incident.id) or _is_stale_below(tx, compiled, incident):
        return None
    ends = from_us(last + SHOWN_US, project.settings.timezone)
    asked = (
        f"ask {node.owner} for other data"
        if isinstance(node, Source)
        else f"correct {_place(project, node.name)} or its input"
    )
    renamed = next(
        (
            key
            for key in _ordered(project, incident)
            if quality.renames_published(tx, node.name, key)
        ),
        None,
    )
    if renamed is not None:
        asked = (
            "accept the new names"
            f" ({command_line('contract', 'accept', partition_argument(node.name, renamed))}), or"
            f" {asked}"
        )
    look = (
        command_line("deliveries", node.name)
        if isinstance(node, Source)
        else command_line("logs", partition_argument(node.name, incident.partition or WHOLE))
    )
    if incident.kind == CauseKind.SLOW_RUN:
        code = (
            ""
            if isinstance(node, Source)
            else f"at {_place(project, node.name)} if its code has changed, "
        )
        return Mending(
            by_itself=(
                f"its data was published, and it ends by itself on {ends:%Y-%m-%d} at {ends:%H:%M},"
                " unless it is slow again"
            ),
            first=f"look {code}at the machine, and at the size of what {node.name} reads",
            commands=(look,),
        )
    return Mending(
        by_itself=(
            f"readers see its data, and it ends by itself on {ends:%Y-%m-%d} at {ends:%H:%M},"
            " unless it is seen again"
        ),
        first=f"if the data isn't right, {asked}",
        commands=(look,),
    )


def _is_stale_below(tx: Transaction, compiled: Compiled, incident: Incident) -> bool:
    """Whether partitions computed from the incident's are still stale."""
    stale = [
        (name, key)
        for name in incident.affected.assets
        for key in partition_states.stale_keys(tx, name)
    ]
    if not stale:
        return False
    context = EvaluationContext(declared_promises(compiled), StoredFacts(tx))
    keys = {key for node, key in _places(tx, incident) if node == incident.node}
    return any(is_made_of(context, name, key, incident.node, keys) for name, key in stale)


def _whole(node: Source | Asset) -> list[str]:
    """Return the one partition of an unpartitioned node, which causes don't name."""
    spec = node.partition
    return [WHOLE] if spec.grain is None and spec.key is None else []


def _places(tx: Transaction, incident: Incident) -> list[tuple[str, str]]:
    """Return the partitions of the cause itself, also of other nodes if they share the cause."""
    return [
        (node, key or WHOLE) for node, key in stored.partitions_of(tx, incident.id)[:PLACES_MAX]
    ]


def _stuck(tx: Transaction, places: Sequence[tuple[str, str]]) -> list[BrokenPartition]:
    """Return the partitions that stay failed, rejected or held until something changes."""
    results = ((node, key, partition_states.get(tx, node, key)) for node, key in places)
    stuck = [
        (node, key, row.state)
        for node, key, row in results
        if row is not None and row.state in _STUCK
    ]
    return [
        BrokenPartition(node, key, "dropped" if _is_dropped(tx, node, key, state) else state)
        for node, key, state in stuck
    ]


def _is_dropped(tx: Transaction, node: str, key: str, state: str) -> bool:
    """Whether a person dropped the quarantined data, so that it can't be accepted any more."""
    return state in ("held", "rejected") and quarantine.dropped(tx, node, key) is not None


def _stuck_elsewhere(
    tx: Transaction, project: Project, incident: Incident
) -> list[BrokenPartition]:
    """Return the stuck partitions of other assets with the same cause."""
    return [
        partition
        for partition in _stuck(tx, _places(tx, incident))
        if partition.node in project.assets and partition.node != incident.node
    ]


def _asked_for(tx: Transaction, incident: Incident) -> bool:
    """Whether an affected asset has stale partitions that are recomputed only on request.

    These are older than their source's `restate_within`.
    """
    keys = {key or WHOLE for _, key in _places(tx, incident)}
    waiting = publications.proposed_recomputations(tx, limit=PROPOSED_MAX)
    return any(node in incident.affected.assets and key in keys for node, key in waiting)


def _built(project: Project, incident: Incident, mode: Mode, also: tuple[str, ...] = ()) -> Mending:
    """Return a backfill from the first to the last affected partition with everything downstream.

    For a node that isn't partitioned by time it is a tick.
    """
    node = project.source_or_asset(incident.node)
    keys = [key.partition(SEPARATOR)[0] for key in _ordered(project, incident)]
    if node is None or node.partition.grain is None or not keys:
        return Mending(acts=(RepairAction.LOOK,))
    reason = f"{incident.shown}: {incident.summary}"
    arguments = BackfillArguments(
        [f"{name}+" for name in (incident.node, *also)],
        [],
        keys[0],
        keys[-1],
        None,
        mode.value,
        reason,
    )
    return Mending(acts=(RepairAction.BUILD,), build=arguments)


def _ordered(project: Project, incident: Incident) -> list[str]:
    """Return the affected partitions of its node, oldest first."""
    node = project.source_or_asset(incident.node)
    if node is None:
        return list(incident.affected.partitions)
    zone = node.timezone or project.settings.timezone
    return sorted(incident.affected.partitions, key=lambda key: order_of(key, node.partition, zone))


def _place(project: Project, name: str) -> str:
    node = project.node(name)
    return "headrace.toml" if node is None else f"{node.place.file}:{node.place.line}"


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
    contract = project.contracts.get(source.contract or source.name) if source is not None else None
    columns = contract.columns if contract is not None else ()
    places = (column.place for column in columns if column.name in incident.columns)
    names = incident.detail.split(",")
    checks = (
        spec.place for spec in (source.checks if source is not None else ()) if spec.name in names
    )
    result = next(checks, None) or next((item for item in places if item is not None), None)
    return _place(project, incident.node) if result is None else f"{result.file}:{result.line}"
