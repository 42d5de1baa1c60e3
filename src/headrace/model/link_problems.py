"""Validates references between declarations: pools, triggers, and what tests name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace.model.errors import Problem, UsageError, did_you_mean, shown
from headrace.model.intervals import parse_key
from headrace.model.nodes import (
    Asset,
    AssetTest,
    Project,
)

# Validation of pools, which must exist and have enough slots, and of the nodes that triggers name.


def scheduling_problems(project: Project) -> Iterator[Problem]:
    """Yield the problems with pools and triggers of all assets."""
    for asset in project.assets.values():
        yield from _pool_problems(asset, project.settings.pools)
        if asset.trigger is not None:
            yield from _trigger_problems(asset, project)


def _pool_problems(asset: Asset, pools: Mapping[str, int]) -> Iterator[Problem]:
    for pool, slots in asset.pools.items():
        if pool not in pools:
            hint = (
                did_you_mean(pool, pools)
                or f"add {pool} = {max(4, slots)} to [pools] in headrace.toml"
            )
            yield _scheduling_error(
                asset, "unknown_pool", f"unknown pool {shown(pool)} of {shown(asset.name)}", hint
            )
        elif slots > pools[pool]:
            what = (
                f"{shown(asset.name)} takes {slots} slots of the pool {shown(pool)}, which has"
                f" {pools[pool]}"
            )
            yield _scheduling_error(
                asset, "pool_too_small", what, f"write {pool} = {slots} in [pools], or take less"
            )


def _trigger_problems(asset: Asset, project: Project) -> Iterator[Problem]:
    trigger, name = asset.trigger or {}, shown(asset.name)
    if asset.materialize == "view":
        what = f"{name} is a view and has a `trigger`: a view is never computed"
        yield _scheduling_error(
            asset, "conflicting_fields", what, "take `trigger` out, or write materialize: table"
        )
    source, upstream = trigger.get("arrival"), trigger.get("upstream")
    if isinstance(source, str) and source not in project.sources:
        hint = (
            did_you_mean(source, project.sources)
            or "`arrival` names a source; for an asset write upstream: NAME"
        )
        yield _scheduling_error(
            asset, "unknown_node", f"unknown source {shown(source)} in `trigger` of {name}", hint
        )
    if (
        isinstance(upstream, str)
        and upstream not in project.sources
        and upstream not in project.assets
    ):
        known = [*project.sources, *project.assets]
        hint = did_you_mean(upstream, known) or "`headrace ls` shows the nodes that there are"
        yield _scheduling_error(
            asset, "unknown_node", f"unknown node {shown(upstream)} in `trigger` of {name}", hint
        )
    elif isinstance(upstream, str) and upstream == asset.name:
        yield _scheduling_error(
            asset, "wrong_value", f"{name} is its own trigger", "name another node"
        )


def _scheduling_error(asset: Asset, code: str, message: str, hint: str) -> Problem:
    return Problem(code=code, message=message, hint=hint, place=asset.place)


# Validation of tests: the asset, inputs and partition that a test names must exist.


def problems_of_tests(project: Project) -> Iterator[Problem]:
    """Yield the problems of all tests whose asset exists."""
    readable = [*project.sources, *project.assets]
    for test in project.tests:
        asset = project.assets.get(test.asset)
        if asset is not None:
            yield from _given_problems(test, readable)
            yield from _partition_problems(test, asset)


def _given_problems(test: AssetTest, readable: list[str]) -> Iterator[Problem]:
    known = {name.lower() for name in readable}
    for name in test.given:
        if name.lower() not in known:
            hint = (
                did_you_mean(name, readable)
                or "give rows of sources and assets that the asset reads"
            )
            message = f"unknown node {shown(name)} in `given` of the test {shown(test.name)}"
            yield Problem(code="unknown_node", message=message, hint=hint, place=test.place)


def _partition_problems(test: AssetTest, asset: Asset) -> Iterator[Problem]:
    grain, key = asset.partition.grain, test.partition
    if key is None or key == "*":
        if grain is not None or asset.partition.key is not None:
            message = (
                f"the test {shown(test.name)} doesn't say which partition of {shown(asset.name)} is"
                " computed"
            )
            hint = (
                f"add partition: with a {grain.value if grain is not None else asset.partition.key}"
            )
            yield Problem(code="missing_field", message=message, hint=hint, place=test.place)
        return
    if grain is None or asset.partition.key is not None:
        return
    try:
        parse_key(key, grain, asset.timezone)
    except UsageError as error:
        message = f"`partition` of the test {shown(test.name)}: {error}"
        yield Problem(code="wrong_value", message=message, hint=error.hint, place=test.place)
