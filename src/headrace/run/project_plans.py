"""The plan of an `apply`, with what the store knows in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace.model import Project
from headrace.model.contents import ProjectFiles
from headrace.model.export_links import exported
from headrace.model.nodes import PartitionSpec
from headrace.plan import ChangeKind, Compiled, NodeChange
from headrace.plan.comparing import renames
from headrace.plan.project_plan import Plan, PlanFacts, plan_project
from headrace.plan.steps import NOWHERE, PartitionRangeSummary, Promote
from headrace.run import remapping
from headrace.run.applying import contents_of, manifest_of
from headrace.run.unchanged import returned
from headrace.store import Transaction
from headrace.store.queries import applying, versions


def plan_of(
    tx: Transaction | None,
    files: ProjectFiles,
    before: Compiled | None,
    after: Compiled,
    changes: Sequence[NodeChange],
    *,
    environment: str,
    promoted: Iterable[Promote] = (),
    approved_first: frozenset[str] = frozenset(),
) -> Plan:
    """What `apply` does now. `tx` reads the state that `before` is applied in; None where there is no
    state. `approved_first` are the nodes that policy lets nobody compute again without an approval.

    Raises ProjectError for a module or a command's file that can't be read, and for a former name that nothing has.
    """
    manifest = manifest_of(contents_of(files, after))
    newest = versions.newest(tx) if tx is not None else None
    was = newest.manifest if newest is not None else {}
    facts = _facts(tx, before, after, changes, promoted, approved_first)
    return plan_project(environment, newest.id if newest else None, (was, manifest), (before, after), changes, facts)


def _facts(
    tx: Transaction | None,
    before: Compiled | None,
    after: Compiled,
    changes: Sequence[NodeChange],
    promoted: Iterable[Promote],
    approved_first: frozenset[str],
) -> PlanFacts:
    if tx is None or before is None:
        return PlanFacts(promoted=tuple(promoted))
    projects = (before.project, after.project)
    former = renames(before, after)
    names = {former.get(change.node, change.node) for change in changes}
    published = {name: results for name in names if (results := applying.published_range(tx, name)) is not None}
    added = {change.node for change in changes if change.change is ChangeKind.ADDED}
    returning = {name: keys for name in names if name in after.nodes and (keys := returned(tx, after, name))}
    left = {name: applying.published_range(tx, name, besides=keys) for name, keys in returning.items()}
    return PlanFacts(
        published={name: _range(projects, name, *results, applying.taken_back(tx, name)) for name, results in published.items()},
        returning={name: NOWHERE if item is None else _range(projects, name, *item, ()) for name, item in left.items()},
        heard_of=frozenset(name for name in added if applying.heard_of(tx, name)),
        renamed_deliveries={name: tuple(keys) for name, keys in remapping.touched(tx, *projects).items()},
        withheld_deliveries={name: tuple(keys) for name, keys in remapping.withheld(tx, *projects).items()},
        promoted=tuple(promoted),
        approved_first=approved_first,
    )


def _range(
    projects: Sequence[Project],
    node: str,
    first: str,
    last: str,
    partitions: int,
    taken_back: Iterable[str],
) -> PartitionRangeSummary:
    ordered = _ordered(projects, node)
    return PartitionRangeSummary(
        first=first, last=last, partitions=partitions, ordered=ordered, taken_back=tuple(taken_back)
    )  # fmt: skip


def _ordered(projects: Sequence[Project], node: str) -> bool:
    """Whether its partitions follow each other in time alone."""
    for project in projects:
        spec = _partition(project, node)
        if spec is not None:
            return spec.grain is not None and spec.key is None
    return False


def _partition(project: Project, name: str) -> PartitionSpec | None:
    node = project.source_or_asset(name) or exported(project, name)
    return node.partition if node is not None else None
