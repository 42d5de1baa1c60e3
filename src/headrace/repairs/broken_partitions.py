"""Partitions that failed or are held, with the incidents and repairs that are open about them."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.incidents.diagnosis.candidates import HISTORY
from headrace.model import Project
from headrace.model.causes import CauseKind
from headrace.repairs.repairs import BrokenPartition, other_choices, repairs
from headrace.responses import CheckRow, ErrorRow, RepairRow
from headrace.scheduler.events import failed_like
from headrace.slo.broken_facts import BrokenFacts
from headrace.store import Transaction
from headrace.store.queries import (
    deliveries,
    failures,
    quality,
    quarantine,
)
from headrace.store.queries.attempts import Attempt
from headrace.store.queries.changes import newest_withheld
from headrace.store.queries.incidents import OpenIncidents

BROKEN = ("failed", "lost", "rejected", "held")
"""States of attempts that need somebody: nothing is published until a cause is gone."""


OPEN_MAX = 200
"""Maximum number of failed, held or rejected partitions whose repair is listed."""


def open_repairs(tx: Transaction, project: Project, opened: OpenIncidents) -> list[RepairRow]:
    """Return the repairs of all failed, held or rejected partitions, with their open incidents.

    Dropped data needs no repair, unless an incident is still open about it.
    """
    broken = failures.failed_held_or_rejected(tx, OPEN_MAX)
    known = BrokenFacts(tx, [(node, key) for node, key, _ in broken], opened)
    partitions = [with_incident(known, broken_of(known, *item)) for item in broken]
    dropped = quarantine.dropped_partitions(tx, known.places)
    unresolved = [
        partition
        for partition in partitions
        if partition.incident is not None or (partition.node, partition.partition) not in dropped
    ]
    with_choices = [
        msgspec.structs.replace(
            partition, others=other_choices(known, project, partition.node, partition.partition)
        )
        for partition in unresolved
    ]
    return repairs(project, with_choices, "repair")


def with_incident(known: BrokenFacts, partition: BrokenPartition) -> BrokenPartition:
    """Return the partition with its open incident, which has a repair of its own.

    A partition that wasn't tried because it fails like another one has that one's incident.
    """
    incident = known.opened_at(partition.node, partition.partition)
    if incident is None and partition.state == "failed":
        _, reason = known.states.get((partition.node, partition.partition), ("", ""))
        like = failed_like(reason or "")
        incident = None if like is None else known.opened_at(partition.node, like)
    if incident is None:
        return partition
    listed = incident.detail == HISTORY and incident.node == partition.node
    waits = listed and newest_withheld(known.tx, partition.node, partition.partition) is not None
    history = incident.summary if waits else None
    return msgspec.structs.replace(partition, incident=incident.label, history=history)


def broken_of(known: BrokenFacts, node: str, partition: str, state: str) -> BrokenPartition:
    """Return a failed partition with the error of its last attempt."""
    last = known.last.get((node, partition))
    if last is None:
        return broken_as(known, node, partition, state, None, None)
    state = "lost" if state == "failed" and last.state == "lost" else state
    path = known.path(last.delivery_id)
    return broken_as(known, node, partition, state, error_row(last.error), path)


def broken_as(
    known: BrokenFacts,
    node: str,
    partition: str,
    state: str,
    error: ErrorRow | None,
    path: str | None,
) -> BrokenPartition:
    """Return a partition that failed with an error, over the delivery with a path."""
    place = node, partition
    incident = known.opened_at(node, partition) if state == "lost" else None
    return BrokenPartition(
        node,
        partition,
        state,
        error,
        path,
        place in known.renamed,
        known.declared.get(place, ""),
        place not in known.unacceptable,
        of_code=incident is not None and incident.kind == CauseKind.CODE_ERROR,
    )


def path_of(tx: Transaction, attempt: Attempt) -> str | None:
    """Return the path of the delivery that an attempt ingested."""
    delivery = None if attempt.delivery_id is None else deliveries.get(tx, attempt.delivery_id)
    return None if delivery is None else delivery.path


def error_row(error: dict[str, Any] | None) -> ErrorRow | None:
    """Return a failed attempt's stored error as a row of a response."""
    if error is None:
        return None
    return ErrorRow(
        kind=str(error.get("kind", "deterministic")),
        message=str(error.get("message", "")),
        file=error.get("file"),
        line=error.get("line"),
        hint=error.get("hint") or None,
        code=error.get("code") or None,
    )


def failed_checks(tx: Transaction, attempt: tuple[int, int], partition: str) -> list[CheckRow]:
    """Return the checks that failed for one partition of an attempt, by its epoch and number."""
    return [
        CheckRow(
            name=c.name,
            kind=c.kind,
            severity=c.severity,
            outcome=c.outcome,
            rows=c.rows,
            failing=c.failing,
            detail=c.detail,
        )
        for c in quality.checks_of_attempt(tx, *attempt)
        if c.partition == partition and c.outcome == "failed"
    ]
