"""The repair of an incident whose data is held, failed, wrong or published with a warning."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.incidents.closing import SHOWN_US
from headrace.incidents.diagnosis.candidates import HISTORY
from headrace.incidents.diagnosis.evidence import FailureCategory
from headrace.incidents.messages import clause
from headrace.incidents.repairs import is_made_of
from headrace.model import Asset, Project, Source
from headrace.model.causes import CauseKind
from headrace.model.intervals import from_us
from headrace.model.partitions import WHOLE, command_line, partition_argument
from headrace.plan import Compiled
from headrace.plan.backfills import Mode
from headrace.repairs.broken_partitions import broken_of
from headrace.repairs.incident_partitions import (
    is_waiting,
    is_withdrawn,
    let_through_of,
    ordered_keys,
    places_of,
    recomputed_on_request,
    stuck_among,
    stuck_elsewhere,
    whole_key,
)
from headrace.repairs.rename_repairs import of_renamed
from headrace.repairs.repair_steps import Mending, declared_place, with_backfill
from headrace.repairs.repairs import (
    NO_CHOICES,
    BrokenPartition,
    before_deciding,
    before_reading_again,
    decided_at,
    installed,
    lacking,
    other_choices,
    repairs,
)
from headrace.runtime.recomputation import checks_changed, differs
from headrace.slo.broken_facts import BrokenFacts
from headrace.slo.declared_promises import declared_promises
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.store import Transaction
from headrace.store.queries import applied_versions, attempts, partition_states, quality
from headrace.store.queries import evidence as stored_evidence
from headrace.store.queries import incidents as stored
from headrace.store.queries.changes import newest_withheld
from headrace.store.queries.incidents import Incident

PASSING = (CauseKind.WORKER_LOST, CauseKind.RESOURCE_EXHAUSTED, CauseKind.SLOW_RUN)
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
NAMED_MAX = 5
"""Maximum number of other assets with the same cause that are named."""
AUTOMATIC = (
    CauseKind.LATE_SOURCE,
    CauseKind.MISSING_SOURCE,
    CauseKind.SOURCE_UNAVAILABLE,
    CauseKind.DESTINATION_UNAVAILABLE,
    CauseKind.RUNTIME_DOWN,
    CauseKind.RESTATEMENT,
    *PASSING,
)
"""Causes that Headrace retries by itself: it observes, runs, reads or writes again."""


def of_data(tx: Transaction, compiled: Compiled, incident: Incident) -> Mending:
    """Return the repair of an incident about the data of a node: the first that applies."""
    node = compiled.project.source_or_asset(incident.node)
    if node is None:
        return Mending(
            first=f"{incident.node} has no data of its own, or isn't declared any more",
            commands=("headrace status",),
        )
    keys = ordered_keys(compiled.project, incident) or whole_key(node)
    mending = (
        _of_decision(tx, compiled.project, incident, node, keys)
        or _of_stuck(tx, compiled, incident, node, keys)
        or _of_published(tx, compiled, incident, node)
    )
    accepted = stored_evidence.excepted_of(tx, incident.id, stored_evidence.ACCEPTED)
    return _or_take_back(_or_accept(mending, incident, let_through_of(tx, incident)), accepted)


def _or_take_back(mending: Mending, accepted: Sequence[tuple[str, str]]) -> Mending:
    """Return the repair with the choice to take back what a person accepted."""
    if not accepted or not mending.first:
        return mending
    node, key = accepted[0]
    command = command_line("unpublish", partition_argument(node, key or WHOLE), "--reason", "TEXT")
    choice = f"take back what was accepted ({command})"
    return msgspec.structs.replace(mending, first=f"{mending.first}, or {choice}")


def _or_accept(
    mending: Mending, incident: Incident, let_through: Sequence[tuple[str, str]]
) -> Mending:
    """Return the repair with the choice to accept anomalies that a policy let through."""
    if not let_through:
        return mending
    is_single = len(let_through) == 1
    what = partition_argument(*let_through[0]) if is_single else incident.label
    command = command_line("quarantine", "accept", what, "--reason", "TEXT")
    choice = f"accept {'it' if is_single else 'them'} as what is normal now ({command})"
    return msgspec.structs.replace(mending, first=f"{mending.first}, or {choice}")


def _of_decision(
    tx: Transaction,
    project: Project,
    incident: Incident,
    node: Source | Asset,
    keys: Sequence[str],
) -> Mending | None:
    """Return the repair of data about which a person decides; None if no decision is due."""
    if lapsed := stored_evidence.excepted_of(tx, incident.id, stored_evidence.LAPSED):
        return _of_lapsed(tx, project, incident, lapsed)
    if incident.state == "recovering":
        withdrawn = _of_withdrawn(tx, project, incident)
        if withdrawn is not None:
            return withdrawn
    if incident.detail == HISTORY and any(newest_withheld(tx, node.name, key) for key in keys):
        return Mending(first=before_deciding(node.owner), commands=(decided_at(node.name),))
    if isinstance(node, Source):
        renamed = _renamed(tx, node, keys)
        if renamed:
            return of_renamed(tx, project, incident, node, renamed)
    return None


def _renamed(tx: Transaction, node: Source, keys: Sequence[str]) -> list[str]:
    """Return the deliveries that wait for the acceptance of renames."""
    waiting = quality.renames_waiting(tx, [(node.name, key) for key in keys])
    return [key for key in keys if (node.name, key) in waiting]


def _of_stuck(
    tx: Transaction,
    compiled: Compiled,
    incident: Incident,
    node: Source | Asset,
    keys: Sequence[str],
) -> Mending | None:
    """Return the repair of partitions that stay as they are until data or code changes.

    None if there are none, or if they may succeed without any change.
    """
    project = compiled.project
    stuck = _lasting_problems(tx, incident, node, keys)
    if stuck and (corrected := _of_corrected(tx, compiled, incident, stuck)) is not None:
        return corrected
    if packages := _lacking(tx, project, incident):
        return packages
    if not stuck or (isinstance(node, Asset) and incident.kind in PASSING):
        return None
    alike = [] if isinstance(node, Source) else stuck_elsewhere(tx, project, incident)
    mine = [_put_down(tx, project, incident, partition) for partition in (*stuck, *alike)]
    first, commands = _of_each(project, incident, mine)
    too_large = (
        isinstance(node, Source)
        and incident.kind == CauseKind.RESOURCE_EXHAUSTED
        and incident.detail == FailureCategory.MEMORY
    )
    first = first or (before_reading_again(node.owner) if too_large else "look at why it failed")
    return Mending(first=first, commands=commands)


def _lasting_problems(
    tx: Transaction, incident: Incident, node: Source | Asset, keys: Sequence[str]
) -> list[BrokenPartition]:
    """Return the stuck partitions, or else the published ones if the cause persists in them.

    Those that somebody dropped count only if there are no others, stuck or waiting.
    """
    stuck = stuck_among(tx, [(node.name, key) for key in keys])
    if undecided := [partition for partition in stuck if partition.state != "dropped"]:
        return undecided
    if any(is_waiting(tx, node.name, key) for key in keys):
        return []
    if stuck or incident.kind not in _GIVEN or incident.state != "open":
        return stuck
    state = "warned" if _failed_checks(incident, node) else "published"
    return [BrokenPartition(node.name, key, state) for key in keys]


def _of_published(
    tx: Transaction, compiled: Compiled, incident: Incident, node: Source | Asset
) -> Mending:
    """Return the repair of data that readers see: a person's step downstream, or a backfill."""
    project = compiled.project
    elsewhere = stuck_elsewhere(tx, project, incident)
    if isinstance(node, Source):
        read = _of_readers(tx, project, incident, node, elsewhere)
        if read is not None:
            return read
    warned = None if elsewhere else _of_warned(tx, compiled, incident, node)
    if warned is not None:
        return warned
    waiting = [
        name
        for name, key in places_of(tx, incident)
        if project.source_or_asset(name) is not None and is_waiting(tx, name, key)
    ]
    others = dict.fromkeys([*(partition.node for partition in elsewhere), *waiting])
    others.pop(node.name, None)
    return with_backfill(project, incident, Mode.MISSING, also=tuple(others))


def _put_down(
    tx: Transaction, project: Project, incident: Incident, partition: BrokenPartition
) -> BrokenPartition:
    place = partition.node, partition.partition
    others = (
        other_choices(BrokenFacts(tx, [place]), project, *place)
        if incident.kind in _WITH_OTHER_CHOICES
        else NO_CHOICES
    )
    return msgspec.structs.replace(partition, incident=incident.label, others=others)


def _of_corrected(
    tx: Transaction, compiled: Compiled, incident: Incident, stuck: Sequence[BrokenPartition]
) -> Mending | None:
    """Return the repair by an asset's corrected code or checks; None if neither was corrected."""
    states = {partition.state for partition in stuck}
    if states == {"rejected"} and _is_checked_otherwise(tx, compiled, stuck):
        return with_backfill(compiled.project, incident, Mode.FAILED)
    if states <= {"published", "warned"} and _is_recoded(tx, compiled, incident):
        return with_backfill(compiled.project, incident, Mode.MISSING)
    return None


def _is_recoded(tx: Transaction, compiled: Compiled, incident: Incident) -> bool:
    """Whether all wrong partitions of a time-partitioned asset are stale and from old code."""
    node = compiled.project.assets.get(incident.node)
    if node is None or node.partition.grain is None or node.name not in compiled.nodes:
        return False
    places = stored.wrong_keys(tx, incident.id) or places_of(tx, incident)
    keys = [key for name, key in places if name == node.name]
    rows = [partition_states.get(tx, node.name, key) for key in keys]
    if not keys or not all(row is not None and row.stale for row in rows):
        return False
    return _used_other_code(tx, compiled, node.name, keys)


def _used_other_code(tx: Transaction, compiled: Compiled, node: str, keys: Sequence[str]) -> bool:
    """Whether the last attempt of each partition ran code that differs from the current code."""
    code = applied_versions.fingerprints_once(tx)
    newest = [attempts.of_partition(tx, node, key, limit=1) for key in keys]
    versions = [results[0].version if results else None for results in newest]
    return all(
        version is not None and differs(code, compiled, node, version) for version in versions
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
    """Return the repair of missing packages: install all of them, then recompute each asset.

    None if that isn't the cause.
    """
    if incident.kind != CauseKind.CODE_ERROR or incident.detail != FailureCategory.ENVIRONMENT:
        return None
    places = [(node, key) for node, key in places_of(tx, incident) if node in project.assets]
    known = BrokenFacts(tx, places)
    packages = lacking(broken_of(known, node, key, "failed") for node, key in places)
    if not packages:
        return None
    commands = _after_installing(tx, project, incident, places)
    return Mending(first=installed(packages), commands=commands)


def _after_installing(
    tx: Transaction, project: Project, incident: Incident, places: Sequence[tuple[str, str]]
) -> tuple[str, ...]:
    """Return the commands that recompute the assets once their packages are installed."""
    if stuck := stuck_among(tx, places):
        names = dict.fromkeys(partition.node for partition in stuck)
        return tuple(command_line("retry", name) for name in names)
    # a backfill tried them; readers see the earlier publications
    seen = [BrokenPartition(node, key, "published") for node, key in places]
    rows = repairs(project, seen, f"{incident.label}: {clause(incident)}")
    return tuple(row.commands[-1] for row in rows)


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
        else f"correct {declared_place(project, name)} or its input"
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
                at if not more else incident.label,
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
    taken_back = [place for place in places_of(tx, incident) if is_withdrawn(tx, *place)]
    computed = _computed_from(tx, incident, taken_back)
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


def _computed_from(
    tx: Transaction, incident: Incident, taken_back: Sequence[tuple[str, str]]
) -> list[str]:
    """Return the stale partitions that readers see and that were computed from withdrawn ones."""
    keys = {key for _, key in taken_back}
    downstream = [
        name for name in incident.affected.assets if any(name != node for node, _ in taken_back)
    ]
    return [
        partition_argument(name, key)
        for name in downstream
        for key in partition_states.stale_keys(tx, name)
        if key in keys and not is_withdrawn(tx, name, key)
    ]


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
    if elsewhere and incident.kind not in AUTOMATIC:
        return _of_unnoticed(project, incident, source, elsewhere)
    below = stuck_among(
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
    rows = repairs(project, broken, f"{incident.label}: {clause(incident)}")
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
    known = BrokenFacts(tx, [(each.node, each.partition) for each in failed])
    seen = [broken_of(known, each.node, each.partition, each.state) for each in failed]
    row = repairs(project, seen, f"{incident.label}: {clause(incident)}")[0]
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
        or recomputed_on_request(tx, incident)
    ):
        return None
    if stored.wrong_keys(tx, incident.id) or _is_stale_below(tx, compiled, incident):
        return None
    ends = from_us(last + SHOWN_US, project.settings.timezone)
    ends_on = f"it ends by itself with the first pass after {ends:%Y-%m-%d %H:%M}"
    command = (
        command_line("deliveries", node.name)
        if isinstance(node, Source)
        else command_line("logs", partition_argument(node.name, incident.partition or WHOLE))
    )
    if incident.kind == CauseKind.SLOW_RUN:
        code = (
            ""
            if isinstance(node, Source)
            else f"at {declared_place(project, node.name)} if its code has changed, "
        )
        return Mending(
            by_itself=f"its data was published, and {ends_on}, unless it is slow again",
            first=f"look {code}at the machine, and at the size of what {node.name} reads",
            commands=(command,),
        )
    return Mending(
        by_itself=f"readers see its data, and {ends_on}, unless it is seen again",
        first=f"if the data isn't right, {_other_data(tx, project, incident, node)}",
        commands=(command,),
    )


def _other_data(tx: Transaction, project: Project, incident: Incident, node: Source | Asset) -> str:
    """Return how a person gets other data, or accepts the new names of renamed columns."""
    asked = (
        f"ask {node.owner} for other data"
        if isinstance(node, Source)
        else f"correct {declared_place(project, node.name)} or its input"
    )
    for key in ordered_keys(project, incident):
        if quality.renames_published(tx, node.name, key):
            accept = command_line("contract", "accept", partition_argument(node.name, key))
            return f"accept the new names ({accept}), or {asked}"
    if incident.kind == CauseKind.RESTATEMENT and isinstance(node, Source) and incident.columns:
        return (
            f"{asked}; if each load changes {', '.join(incident.columns)}, declare"
            f" ignore_in_comparison in {node.place.file}"
        )
    return asked


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
    keys = {key for node, key in places_of(tx, incident) if node == incident.node}
    return any(is_made_of(context, name, key, incident.node, keys) for name, key in stale)
