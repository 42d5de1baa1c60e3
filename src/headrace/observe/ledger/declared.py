"""What the ledger has to know of nodes besides how they are cut and what they read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.model import Asset, Project, Source
from headrace.plan.views import is_view

if TYPE_CHECKING:
    from headrace.plan import Compiled


class Traits(msgspec.Struct, frozen=True, gc=False):
    """Of one node. `chained`: each partition builds on the one before it; `pooled`: it needs more than a worker; `late`: of a source,
    an interval is complete only after something else has happened than its delivery."""

    owner: str = ""
    attempts_max: int = 5
    chained: bool = False
    pooled: bool = False
    late: str = ""


def traits(compiled: Compiled) -> dict[str, Traits]:
    """Of each source, asset and consumer (as the name of its export)."""
    project, found = compiled.project, {}
    for name, source in project.sources.items():
        complete = source.complete
        late = f"after {complete.after}" if complete.after else "with a later delivery" if complete.watermark else ""
        found[name] = Traits(source.owner, pooled=_limited(project, source), late=late)
    for name, asset in project.assets.items():
        if is_view(project, name) or name not in compiled.nodes:
            continue
        chained = (compiled.nodes[name].uses_self or asset.accumulates) and not asset.partition.whole
        found[name] = Traits(asset.owner, asset.attempts_max, chained, pooled=_limited(project, asset))
    for name, consumer in project.consumers.items():
        found[name] = Traits(consumer.owner)
    return found


def _limited(project: Project, node: Source | Asset) -> bool:
    owner = project.owners.get(node.owner)
    pools = isinstance(node, Asset) and bool(node.pools)
    return pools or node.concurrency is not None or (owner is not None and owner.concurrency is not None)
