"""Tests of assets against the project that they are about: what they name must be there."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.model.errors import UsageError
from headrace.model.intervals import parse_key
from headrace.model.nodes import Asset, AssetTest, Project
from headrace.model.problems import Problem
from headrace.model.reporting import did_you_mean, shown


def problems_of_tests(project: Project) -> Iterator[Problem]:
    """What is wrong with each test of an asset that there is."""
    readable = [*project.sources, *project.assets]
    for test in project.tests:
        asset = project.assets.get(test.asset)
        if asset is not None:
            yield from _given(test, readable)
            yield from _partition(test, asset)


def _given(test: AssetTest, readable: list[str]) -> Iterator[Problem]:
    known = {name.lower() for name in readable}
    for name in test.given:
        if name.lower() not in known:
            hint = did_you_mean(name, readable) or "give rows of sources and assets that the asset reads"
            message = f"unknown node {shown(name)} in `given` of the test {shown(test.name)}"
            yield Problem(code="unknown_node", message=message, hint=hint, place=test.place)


def _partition(test: AssetTest, asset: Asset) -> Iterator[Problem]:
    grain, key = asset.partition.grain, test.partition
    if key is None or key == "*":
        if grain is not None or asset.partition.key is not None:
            message = f"the test {shown(test.name)} doesn't say which partition of {shown(asset.name)} is computed"
            hint = f"add partition: with a {grain.value if grain is not None else asset.partition.key}"
            yield Problem(code="missing_field", message=message, hint=hint, place=test.place)
        return
    if grain is None or asset.partition.key is not None:
        return
    try:
        parse_key(key, grain, asset.timezone)
    except UsageError as error:
        message = f"`partition` of the test {shown(test.name)}: {error}"
        yield Problem(code="wrong_value", message=message, hint=error.hint, place=test.place)
