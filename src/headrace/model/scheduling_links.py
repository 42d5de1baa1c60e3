"""What fields about scheduling say of other things: pools that there are and are large enough, triggers that something can fire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace.model.nodes import Asset, Project
from headrace.model.problems import Problem
from headrace.model.reporting import did_you_mean, shown


def scheduling_problems(project: Project) -> Iterator[Problem]:
    """All of them, of the assets of a project."""
    for asset in project.assets.values():
        yield from _pools(asset, project.settings.pools)
        if asset.trigger is not None:
            yield from _trigger(asset, project)


def _pools(asset: Asset, pools: Mapping[str, int]) -> Iterator[Problem]:
    for pool, slots in asset.pools.items():
        if pool not in pools:
            hint = did_you_mean(pool, pools) or f"add {pool} = {max(4, slots)} to [pools] in headrace.toml"
            yield _error(asset, "unknown_pool", f"unknown pool {shown(pool)} of {shown(asset.name)}", hint)
        elif slots > pools[pool]:
            what = f"{shown(asset.name)} takes {slots} slots of the pool {shown(pool)}, which has {pools[pool]}"
            yield _error(asset, "pool_too_small", what, f"write {pool} = {slots} in [pools], or take less")


def _trigger(asset: Asset, project: Project) -> Iterator[Problem]:
    trigger, name = asset.trigger or {}, shown(asset.name)
    if asset.materialize == "view":
        what = f"{name} is a view and has a `trigger`: a view is never computed"
        yield _error(asset, "conflicting_fields", what, "take `trigger` out, or write materialize: table")
    source, upstream = trigger.get("arrival"), trigger.get("upstream")
    if isinstance(source, str) and source not in project.sources:
        hint = did_you_mean(source, project.sources) or "`arrival` names a source; for an asset write upstream: NAME"
        yield _error(asset, "unknown_node", f"unknown source {shown(source)} in `trigger` of {name}", hint)
    if isinstance(upstream, str) and upstream not in project.sources and upstream not in project.assets:
        known = [*project.sources, *project.assets]
        hint = did_you_mean(upstream, known) or "`headrace ls` shows the nodes that there are"
        yield _error(asset, "unknown_node", f"unknown node {shown(upstream)} in `trigger` of {name}", hint)
    elif isinstance(upstream, str) and upstream == asset.name:
        yield _error(asset, "wrong_value", f"{name} is its own trigger", "name another node")


def _error(asset: Asset, code: str, message: str, hint: str) -> Problem:
    return Problem(code=code, message=message, hint=hint, place=asset.place)
