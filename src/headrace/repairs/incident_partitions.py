"""The partitions of an incident: which are stuck, waiting, withdrawn or stale on request."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model import Asset, Project, Source
from headrace.model.partitions import WHOLE, order_of
from headrace.repairs.repairs import BrokenPartition
from headrace.store import Transaction
from headrace.store.queries import incidents as stored
from headrace.store.queries import partition_states, publications, quality, quarantine
from headrace.store.queries.incidents import Incident

PLACES_MAX = 200
"""Maximum number of an incident's partitions that its repair looks at."""
PROPOSED_MAX = 10_000
"""Maximum number of partitions, recomputed only on request, that are searched."""
STUCK_STATES = ("failed", "rejected", "held")
"""States that last until somebody acts, or until data or code changes."""


def is_failed(tx: Transaction, node: str, key: str) -> bool:
    """Whether the partition has failed."""
    row = partition_states.get(tx, node, key)
    return row is not None and row.state == "failed"


def is_stuck(tx: Transaction, node: str, key: str) -> bool:
    """Whether the partition stays failed, rejected or held until something changes."""
    row = partition_states.get(tx, node, key)
    return row is not None and row.state in STUCK_STATES


def is_waiting(tx: Transaction, node: str, key: str) -> bool:
    """Whether the next tick attempts the partition again, because its code was corrected.

    A corrected declaration counts as well.
    """
    row = partition_states.get(tx, node, key)
    return row is not None and row.state == "waiting" and not row.failures


def withdrawn_of(tx: Transaction, project: Project, incident: Incident) -> list[tuple[str, str]]:
    """Return the withdrawn partitions of assets; nothing recomputes these by itself."""
    return [
        place
        for place in places_of(tx, incident)
        if place[0] in project.assets and is_withdrawn(tx, *place)
    ]


def is_withdrawn(tx: Transaction, node: str, key: str) -> bool:
    """Whether a person withdrew the published partition."""
    row = partition_states.get(tx, node, key)
    return row is not None and row.state == "withdrawn"


def whole_key(node: Source | Asset) -> list[str]:
    """Return the one partition of an unpartitioned node, which causes don't name."""
    spec = node.partition
    return [WHOLE] if spec.grain is None and spec.key is None else []


def places_of(tx: Transaction, incident: Incident) -> list[tuple[str, str]]:
    """Return the partitions of the cause itself, also of other nodes if they share the cause."""
    return [
        (node, key or WHOLE) for node, key in stored.partitions_of(tx, incident.id)[:PLACES_MAX]
    ]


def let_through_of(tx: Transaction, incident: Incident) -> list[tuple[str, str]]:
    """Return the cause's partitions with anomalies that a policy let through, not yet accepted."""
    return [place for place in places_of(tx, incident) if quality.let_through_at(tx, *place)]


def stuck_among(tx: Transaction, places: Sequence[tuple[str, str]]) -> list[BrokenPartition]:
    """Return the partitions that stay failed, rejected or held until something changes."""
    known = partition_states.states_at(tx, places)
    stuck = [
        (*place, known[place][0])
        for place in places
        if place in known and known[place][0] in STUCK_STATES
    ]
    unacceptable = quarantine.unacceptable(tx, places) if stuck else ()
    dropped = quarantine.dropped_partitions(tx, places) if stuck else ()
    return [
        BrokenPartition(
            node,
            key,
            "dropped" if (node, key) in dropped else state,
            acceptable=(node, key) not in unacceptable,
        )
        for node, key, state in stuck
    ]


def stuck_elsewhere(tx: Transaction, project: Project, incident: Incident) -> list[BrokenPartition]:
    """Return the stuck partitions of other assets with the same cause."""
    return [
        partition
        for partition in stuck_among(tx, places_of(tx, incident))
        if partition.node in project.assets and partition.node != incident.node
    ]


def recomputed_on_request(tx: Transaction, incident: Incident) -> bool:
    """Whether an affected asset has stale partitions that are recomputed only on request.

    These are older than their source's `restate_within`.
    """
    keys = {key or WHOLE for _, key in places_of(tx, incident)}
    waiting = publications.proposed_recomputations(tx, limit=PROPOSED_MAX)
    return any(node in incident.affected.assets and key in keys for node, key in waiting)


def ordered_keys(project: Project, incident: Incident) -> list[str]:
    """Return the affected partitions of its node, oldest first."""
    node = project.source_or_asset(incident.node)
    if node is None:
        return list(incident.affected.partitions)
    zone = node.timezone or project.settings.timezone
    return sorted(incident.affected.partitions, key=lambda key: order_of(key, node.partition, zone))
