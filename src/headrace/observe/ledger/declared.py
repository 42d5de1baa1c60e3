"""What the ledger has to know of nodes besides how they are cut and what they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from headrace.model import Asset, Project, Source
from headrace.plan.pooling import pools_of, takes_of
from headrace.plan.views import is_view

if TYPE_CHECKING:
    from headrace.plan import Compiled


class NodeTraits(msgspec.Struct, frozen=True, gc=False):
    """Of one node. `chained`: each partition builds on the one before it; `pooled`: it needs more than a worker; `late`: of a source,
    an interval is complete only after something else has happened than its delivery."""

    owner: str = ""
    decider: str = ""
    """Who decides about what is held of it: its owner, or, as a vendor can't, the nearest manager who isn't one."""
    attempts_max: int = 5
    chained: bool = False
    pooled: bool = False
    late: str = ""
    takes: tuple[tuple[str, int, int], ...] = ()
    """The concurrency pools that it needs: name, slots that it takes, slots that there are."""


def traits(compiled: Compiled) -> dict[str, NodeTraits]:
    """Of each source, asset and consumer (as the name of its export)."""
    project, node_traits = compiled.project, {}
    sizes = pools_of(project)
    for name, source in project.sources.items():
        complete = source.complete
        late = f"after {complete.after}" if complete.after else "with a later delivery" if complete.watermark else ""
        takes = _takes(project, source, sizes)
        who = decider(project, source.owner)
        node_traits[name] = NodeTraits(source.owner, who, pooled=bool(takes), late=late, takes=takes)
    for name, asset in project.assets.items():
        if is_view(project, name) or name not in compiled.nodes:
            continue
        chained = (compiled.nodes[name].uses_self or asset.accumulates) and not asset.partition.whole
        takes = _takes(project, asset, sizes)
        who = decider(project, asset.owner)
        node_traits[name] = NodeTraits(asset.owner, who, asset.attempts_max, chained, pooled=bool(takes), takes=takes)
    for name, consumer in project.consumers.items():
        node_traits[name] = NodeTraits(consumer.owner)
    return node_traits


def decider(project: Project, owner: str) -> str:
    """Who of a project can decide in place of an owner; empty where a vendor has no manager in it."""
    seen = set[str]()
    while owner in project.owners and owner not in seen:
        seen.add(owner)
        if project.owners[owner].kind != "vendor":
            return owner
        owner = project.owners[owner].manager or ""
    return ""


def _takes(project: Project, node: Source | Asset, sizes: Mapping[str, int]) -> tuple[tuple[str, int, int], ...]:
    return tuple((take.pool, take.slots, sizes[take.pool]) for take in takes_of(project, node) if take.pool in sizes)
