"""The applied project as the core needs it: what each node reads, takes, and is promised to whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from headrace.model import Asset, Source
from headrace.model.days_off import days_off
from headrace.model.times import parse_duration
from headrace.plan import Compiled, CompiledNode
from headrace.plan.pooling import pools_of, takes_of
from headrace.plan.triggers import trigger_of
from headrace.plan.views import expanded, expanded_names, is_view
from headrace.run.exporting import export_nodes
from headrace.run.promised import with_promises
from headrace.schedule import Graph, GraphNode

SOURCE_TIMEOUT = "1h"
BATCH_MAX = 64
"""So many partitions one attempt computes at most: their rows are one file, of which restating one partition rewrites the rest."""
_SECOND_US = 1_000_000


def graph_of(compiled: Compiled, seconds: Mapping[str, float] | None = None, apart: Collection[str] = ()) -> Graph:
    """The applied project as the core needs it, in topological order: exports come last. `seconds` is how long attempts at each node
    take (p95), as far as that is known: deadlines of consumers reach nodes by it. Of the nodes `apart` several partitions at once came to
    something else than one alone."""
    nodes = [_node(compiled, compiled.nodes[name], apart=name in apart) for name in compiled.order if not is_view(compiled.project, name)]
    nodes += export_nodes(compiled)
    return Graph(with_promises(compiled, nodes, seconds or {}), pools_of(compiled.project))


def _node(compiled: Compiled, node: CompiledNode, *, apart: bool) -> GraphNode:
    declared = compiled.project.sources.get(node.name) or compiled.project.assets[node.name]
    asset = declared if isinstance(declared, Asset) else None
    return GraphNode(
        name=node.name,
        is_source=isinstance(declared, Source),
        partition=declared.partition,
        timezone=declared.timezone,
        inputs=expanded(compiled, node.inputs),
        depends=expanded_names(compiled, node.depends),
        checked_against=_checked_against(compiled, node),
        start=declared.start,
        attempts_max=asset.attempts_max if asset else 5,
        timeout_us=int(parse_duration(asset.timeout if asset else SOURCE_TIMEOUT).total_seconds() * _SECOND_US),
        rebuild_on_reference=asset is not None and asset.on_reference_change == "rebuild",
        chained=asset is not None and (node.uses_self or asset.accumulates) and not declared.partition.whole,
        days_off=days_off(compiled.project, declared.calendar),
        takes=takes_of(compiled.project, declared),
        batch_max=BATCH_MAX if asset and not apart and _separable(asset, node) else 1,
        priority=asset.priority if asset else None,
        trigger=trigger_of(compiled.project, asset) if asset else None,
        **_promises(declared),
    )


def _checked_against(compiled: Compiled, node: CompiledNode) -> tuple[str, ...]:
    """What has to be published before a node's checks can be evaluated, and those of views that its audit evaluates, too."""
    views = [other for name, other in compiled.nodes.items() if is_view(compiled.project, name) and other.check_references]
    read = [node.check_references, *(view.check_references for view in views if node.name in expanded_names(compiled, [view.name]))]
    inputs = {spec.node for spec in expanded(compiled, node.inputs)}
    names = dict.fromkeys(name for item in read for name in expanded_names(compiled, item))
    return tuple(name for name in names if name != node.name and name not in inputs)


def _separable(asset: Asset, node: CompiledNode) -> bool:
    """Whether an attempt may compute several partitions, and the rows of each can be told from the others'."""
    by_time = asset.partition.grain is not None and asset.partition.key is None
    return node.separable and by_time and asset.materialize in ("table", "append")


def _promises(declared: Source | Asset) -> dict[str, Any]:
    """What only sources say: by when, when an interval is complete, and how long it may be restated."""
    if isinstance(declared, Asset):
        return {}
    return {
        "expect_by": declared.expect.by,
        "watermark": declared.complete.watermark is not None,
        "complete_after": declared.complete.after,
        "restate_within": declared.restate_within,
    }
