"""The steps of an incident's repair, and the backfill among them."""

from __future__ import annotations

import enum

import msgspec

from headrace.model import Project
from headrace.model.partitions import SEPARATOR
from headrace.plan.backfills import Mode
from headrace.repairs.backfill_planning import BackfillArguments
from headrace.repairs.incident_partitions import ordered_keys
from headrace.store.queries.incidents import Incident


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
    same: bool = False
    """Whether nothing upstream has changed, so that recomputing gives the same rows.

    `--again` recomputes nevertheless.
    """


def with_backfill(
    project: Project, incident: Incident, mode: Mode, also: tuple[str, ...] = ()
) -> Mending:
    """Return a backfill from the first to the last affected partition with everything downstream.

    For a node that isn't partitioned by time it is a tick.
    """
    node = project.source_or_asset(incident.node)
    keys = [key.partition(SEPARATOR)[0] for key in ordered_keys(project, incident)]
    if node is None or node.partition.grain is None or not keys:
        return Mending(acts=(RepairAction.LOOK,))
    reason = f"{incident.label}: {incident.summary}"
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


def declared_place(project: Project, name: str) -> str:
    """Return file and line of a node's declaration; headrace.toml for an undeclared one."""
    node = project.node(name)
    return "headrace.toml" if node is None else f"{node.place.file}:{node.place.line}"
