"""The plan of an `apply`: one value that is shown, agreed to, performed and recorded.

Nothing derives it a second time.

    the applied project + the files' contents + facts from the store → steps in the order of
    execution → plan_id

The id is a hash of decisions: the environment, the version that the plan starts from, the path and
content of every file, and each step. Time, estimates and counts that grow by themselves aren't part
of it, so a delivery that arrives meanwhile doesn't change it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.model import Asset, Project, ProjectError, Source, Value
from headrace.model.export_problems import exported
from headrace.plan.comparison import renames
from headrace.plan.compiled import ChangeKind, Compiled, NodeChange
from headrace.plan.invalidation import Invalidation, invalidated_nodes
from headrace.plan.node_graph import NodeGraph
from headrace.plan.steps import (
    NO_PARTITIONS,
    Declare,
    Invalidate,
    PartitionRangeSummary,
    Promote,
    Remap,
    Rename,
    Repartition,
    Retire,
    Retype,
    Step,
    Unpin,
    Weaken,
    kind_of,
    range_of,
)
from headrace.plan.weakening import RETAIN, Weakened, weakened

PLAN_ID = re.compile(r"p-[0-9a-f]{16}")
RECORDED_MAX = 100
"""Maximum number of steps and of files of a plan in one entry of the audit trail."""
KEPT = "what is published is kept"
"""The aspect of a node whose new code keeps publications by other code fresh."""
CODE = "code"
"""The aspect of a file that belongs to no node: a module, or a file named by a command."""


class PlannedFile(Value):
    """A file as the plan would apply it.

    `sha256` is None for a removed file, `change` None for an unchanged one.
    """

    path: str
    sha256: str | None
    change: str | None


class PlannedChanges(Value):
    """What changes from one compiled project to another; the steps of a plan follow from it."""

    nodes: tuple[NodeChange, ...] = ()
    weakened: tuple[Weakened, ...] = ()
    invalidated: Invalidation = Invalidation()


def planned_changes(
    old: Compiled | None,
    new: Compiled,
    changes: Sequence[NodeChange],
    invalidated: Invalidation = Invalidation(),  # noqa: B008 - frozen
) -> PlannedChanges:
    """Return what changes: `changes` by node, weakened promises, and `invalidated` data."""
    return PlannedChanges(
        nodes=tuple(changes), weakened=tuple(weakened(old, new)), invalidated=invalidated
    )


class PlanFacts(Value):
    """Facts from the store on which steps depend; nodes have their applied names."""

    published: Mapping[str, PartitionRangeSummary] = {}
    """Visible publications by node; nodes without publications may be missing."""
    returning: Mapping[str, PartitionRangeSummary] = {}
    """Asset some of whose visible partitions were published by the new code → its other visible
    partitions."""
    renamed_deliveries: Mapping[str, tuple[str, ...]] = {}
    """Source → partitions whose deliveries are re-ingested with other column names."""
    withheld_deliveries: Mapping[str, tuple[str, ...]] = {}
    """Source or asset → held, rejected or failed partitions whose declaration changed."""
    removed: Mapping[str, PartitionRangeSummary] = {}
    """Node with a new or shortened `retain` → its published partitions that are older."""
    retyped: Mapping[str, tuple[tuple[str, str, str], ...]] = {}
    """Published node → its columns that get another type: name, type before, type after."""
    promoted: tuple[Promote, ...] = ()


class Plan(Value):
    """The actions of `apply`; `base_version` is None if nothing is applied yet."""

    environment: str
    base_version: int | None
    files: tuple[PlannedFile, ...]
    steps: tuple[Step, ...]
    changes: PlannedChanges = PlannedChanges()
    """What the steps follow from; not part of the decision."""
    plan_id: str = ""

    @property
    def manifest(self) -> dict[str, str]:
        """Path → SHA-256 of the files to apply."""
        return {file.path: file.sha256 for file in self.files if file.sha256 is not None}


def plan_project(
    environment: str,
    base_version: int | None,
    manifests: tuple[Mapping[str, str], Mapping[str, str]],
    compiled: tuple[Compiled | None, Compiled],
    changes: PlannedChanges,
    facts: PlanFacts,
) -> Plan:
    """Return the plan from the applied project to the files.

    Both are given as their SHA-256 by path, and compiled. Raises ProjectError for an asset renamed
    from a name that doesn't exist.
    """
    files = tuple(_files(*manifests))
    steps = tuple(_steps(files, *compiled, changes, facts))
    plan = Plan(
        environment=environment,
        base_version=base_version,
        files=files,
        steps=steps,
        changes=changes,
    )
    return msgspec.structs.replace(plan, plan_id=plan_id_of(decisions(plan)))


def needing_approval(plan: Plan, nodes: Collection[str]) -> Plan:
    """Return the same plan, in which policy requires an approval to recompute these nodes."""
    steps = tuple(
        msgspec.structs.replace(step, needs_approval=True)
        if isinstance(step, Invalidate) and step.node in nodes
        else step
        for step in plan.steps
    )
    return msgspec.structs.replace(plan, steps=steps)


def decisions(plan: Plan) -> dict[str, Any]:
    """Return what a person approves with a plan."""
    steps = [
        {"kind": str(kind_of(step)), "node": step.node, **step.decision} for step in plan.steps
    ]
    return {
        "environment": plan.environment,
        "base_version": plan.base_version,
        "files": plan.manifest,
        "steps": steps,
    }


class PlannedStep(Value, kw_only=True, omit_defaults=False, rename={"first": "from", "last": "to"}):
    """A step in `plan --json`, the version and the audit trail.

    `partitions` is None for a step that affects none directly. `needs_approval`: policy requires an
    approval to recompute what the step invalidates.
    """

    n: int
    kind: str
    node: str
    first: str | None
    last: str | None
    partitions: int | None
    detail: str
    needs_approval: bool


def planned_steps(plan: Plan) -> list[PlannedStep]:
    """Return the steps of a plan for display and storage."""
    steps = []
    for n, step in enumerate(plan.steps, start=1):
        range_ = range_of(step)
        steps.append(
            PlannedStep(
                n=n,
                kind=kind_of(step),
                node=step.node,
                detail=step.detail,
                needs_approval=isinstance(step, Invalidate) and step.needs_approval,
                first=range_.first if range_ is not None else None,
                last=range_.last if range_ is not None else None,
                partitions=range_.partitions if range_ is not None else None,
            )
        )
    return steps


def recorded(plan: Plan) -> dict[str, Any]:
    """Return the audit trail's record of a plan: its id, its first steps, and the changed files.

    The version holds all steps.
    """
    steps = [msgspec.to_builtins(row) for row in planned_steps(plan)]
    return {
        "plan_id": plan.plan_id,
        "base_version": plan.base_version,
        "steps": steps[:RECORDED_MAX],
        "steps_total": len(steps),
        "files": [[file.path, file.sha256] for file in plan.files if file.change is not None][
            :RECORDED_MAX
        ],
    }


def plan_id_of(decided: Mapping[str, Any]) -> str:
    """Return the id of a decision: a hash of its RFC 8785 JSON.

    The audit trail's canonical JSON isn't used, because it shortens and cleans text for users, and
    two decisions must never look the same.
    """
    text = json.dumps(_ordered(decided), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"p-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _ordered(value: Any) -> Any:
    """Return the value with the names of each object in the order of RFC 8785, by UTF-16 units."""
    if isinstance(value, Mapping):
        return {
            name: _ordered(value[name])
            for name in sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        }
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def _files(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[PlannedFile]:
    for path in sorted({*before, *after}):
        change = "added" if path not in before else "removed" if path not in after else "changed"
        yield PlannedFile(
            path=path,
            sha256=after.get(path),
            change=None if before.get(path) == after.get(path) else change,
        )


def _steps(
    files: Sequence[PlannedFile],
    before: Compiled | None,
    after: Compiled,
    planned: PlannedChanges,
    facts: PlanFacts,
) -> Iterator[Step]:
    """Yield the steps in the order of their execution."""
    old, changes = before.project if before is not None else None, planned.nodes
    yield from _declared(files, before, after, changes)
    for item in planned.weakened:
        yield Weaken(
            node=item.node,
            what=item.what,
            before=item.before,
            after=item.after,
            range=facts.removed.get(item.node) if item.what == RETAIN else None,
        )
    for change in changes:
        if change.change is ChangeKind.SCHEMA:
            yield Unpin(node=change.node, learnt=change.node in after.project.sources)
    former = _renamed(before, after)
    yield from _retyped(former, facts)
    for name, was in former.items():
        yield Rename(node=name, former=was)
    if old is not None:
        yield from _repartitioned(old, after.project, facts)
    for name in sorted({*facts.renamed_deliveries, *facts.withheld_deliveries}):
        renamed = facts.renamed_deliveries.get(name, ())
        keys = sorted({*renamed, *facts.withheld_deliveries.get(name, ())})
        yield Remap(node=name, keys=tuple(keys), names=bool(renamed))
    yield from _invalidated(old, after, changes, former, facts)
    for change in changes:
        if change.change is ChangeKind.REMOVED and old is not None:
            yield Retire(
                node=change.node,
                what=_what(old, change.node),
                range=facts.published.get(change.node, NO_PARTITIONS),
            )
    yield from facts.promoted


def _retyped(former: Mapping[str, str], facts: PlanFacts) -> Iterator[Retype]:
    for name, columns in sorted(facts.retyped.items()):
        range_ = facts.published.get(former.get(name, name), NO_PARTITIONS)
        yield Retype(node=name, columns=columns, range=range_)


def _declared(
    files: Sequence[PlannedFile],
    before: Compiled | None,
    after: Compiled,
    changes: Sequence[NodeChange],
) -> Iterator[Declare]:
    """Yield one step per node, and one for each changed code file that no node's step covers."""
    declared: dict[str, list[NodeChange]] = {}
    for change in changes:
        if change.change is not ChangeKind.REMOVED:
            declared.setdefault(change.node, []).append(change)
    for name, node_changes in declared.items():
        yield Declare(node=name, aspects=_aspects(node_changes))
    yield from _declared_files(files, before, after, changes)


def _aspects(changes: Sequence[NodeChange]) -> tuple[str, ...]:
    """Return what differs at one node."""
    marks = [KEPT for change in changes if change.kept]
    return tuple(dict.fromkeys([*(change.change for change in changes), *marks]))


def _declared_files(
    files: Sequence[PlannedFile],
    before: Compiled | None,
    after: Compiled,
    changes: Sequence[NodeChange],
) -> Iterator[Declare]:
    """Yield a step for each changed code file that no node's step covers."""
    old = before.project if before is not None else None
    spoken_for = {
        item.place.file
        for name in {change.node for change in changes}
        for item in _both(old, after.project, name)
    }
    spoken_for |= {file.path for change in changes for file in change.files}
    used = {*after.code.files, *(before.code.files if before is not None else ())}
    for file in files:
        if (
            file.change is not None
            and (is_code(file.path) or file.path in used)
            and file.path not in spoken_for
        ):
            yield Declare(node=file.path, aspects=(f"{CODE} {file.change}",))


def _both(old: Project | None, new: Project, name: str) -> list[Any]:
    nodes = [project.node(name) for project in (old, new) if project is not None]
    return [node for node in nodes if node is not None]


def is_code(path: str) -> bool:
    """Return whether a file is Python, or no declaration and stored because a command names it."""
    return path.endswith(".py") or not path.endswith((".sql", ".yaml", ".yml", ".toml"))


def _renamed(before: Compiled | None, after: Compiled) -> dict[str, str]:
    """Return new name → former name; raises ProjectError for a former name that doesn't exist."""
    if before is None:
        return {}
    results = renames(before, after)
    for asset in after.project.assets.values():
        if (
            asset.renamed_from is not None
            and asset.name not in results
            and asset.name not in before.project.assets
        ):
            raise ProjectError(
                f"{asset.place.file}: {asset.name} is renamed_from: {asset.renamed_from}, and no"
                " asset is called so",
                hint="take renamed_from out; `headrace ls` shows what there is",
            )
    return results


def _repartitioned(old: Project, new: Project, facts: PlanFacts) -> Iterator[Repartition]:
    """Yield nodes whose published keys become meaningless.

    Sources and assets by name, then exports.
    """
    for name in sorted({*new.sources, *new.assets}):
        was, now = old.source_or_asset(name), new.source_or_asset(name)
        if was is not None and now is not None and _cut(was) != _cut(now):
            yield Repartition(
                node=name,
                before=_cut(was),
                after=_cut(now),
                range=facts.published.get(name, NO_PARTITIONS),
            )
    for name in sorted(new.consumers):
        before, after = exported(old, name), exported(new, name)
        if before is not None and after is not None and before.partition != after.partition:
            range_ = facts.published.get(name, NO_PARTITIONS)
            yield Repartition(
                node=name, before=_partition(before), after=_partition(after), range=range_
            )


def _cut(node: Source | Asset) -> str:
    """Return the meaning of a node's publications.

    Its partitioning, and whether all share one table.
    """
    return _partition(node) + (
        " in one table" if isinstance(node, Asset) and node.accumulates else ""
    )


def _partition(node: Any) -> str:
    spec = node.partition
    parts = [
        spec.grain.value if spec.grain is not None else "",
        f"key {spec.key}" if spec.key else "",
    ]
    return (
        " and ".join(part for part in [*parts, "delivery" if spec.by_delivery else ""] if part)
        or "unpartitioned"
    )


def _invalidated(
    old: Project | None,
    after: Compiled,
    changes: Sequence[NodeChange],
    former: Mapping[str, str],
    facts: PlanFacts,
) -> Iterator[Invalidate]:
    """Yield nodes to be recomputed entirely."""
    stale = invalidated_nodes(changes)
    consumers = NodeGraph(after, data_only=True).consumers_by_node() if stale else {}
    for name in dict.fromkeys(change.node for change in changes):
        if name in stale:
            asset = after.project.assets.get(name)
            yield Invalidate(
                node=name,
                asks=asset is not None and asks(old, asset),
                consumers=tuple(sorted(consumers.get(name, ()))),
                range=facts.returning.get(
                    name, facts.published.get(former.get(name, name), NO_PARTITIONS)
                ),
            )


def asks(old: Project | None, asset: Asset) -> bool:
    """Return whether readers keep the results of other code until somebody requests new ones.

    Not if a merge table changes its materialisation, since it builds on rows of its own kind, and
    not for exports, which are sent again.
    """
    was = old.assets.get(asset.name) if old is not None else None
    return not asset.accumulates or was is None or was.materialize == asset.materialize


def _what(project: Project, name: str) -> str:
    return (
        "source" if name in project.sources else "asset" if name in project.assets else "consumer"
    )
