"""Pools as the core needs them: those that are declared, and what nodes and owners are limited to."""

from __future__ import annotations

from headrace.model import Asset, Project, Source
from headrace.schedule import Take
from headrace.schedule.pools import OF_NODE, OF_OWNER


def pools_of(project: Project) -> dict[str, int]:
    """Name → slots. Limits are pools of which every attempt takes one slot."""
    nodes: list[Source | Asset] = [*project.sources.values(), *project.assets.values()]
    limits = {f"{OF_OWNER}{owner.name}": owner.concurrency for owner in project.owners.values()}
    limits |= {f"{OF_NODE}{node.name}": node.concurrency for node in nodes}
    return {**project.settings.pools, **{name: slots for name, slots in limits.items() if slots is not None}}


def takes_of(project: Project, node: Source | Asset) -> tuple[Take, ...]:
    """What an attempt at a node takes."""
    takes = [Take(pool, slots) for pool, slots in sorted(node.pools.items())] if isinstance(node, Asset) else []
    owner = project.owners.get(node.owner)
    if owner is not None and owner.concurrency is not None:
        takes.append(Take(f"{OF_OWNER}{owner.name}"))
    if node.concurrency is not None:
        takes.append(Take(f"{OF_NODE}{node.name}"))
    return tuple(takes)
