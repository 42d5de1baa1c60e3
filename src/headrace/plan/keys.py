"""Keys that grow with the data come from an input that is cut by the same key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.model import Asset, InputMode, InputSpec, Problem, Project
from headrace.model.reporting import shown


def problems(asset: Asset, inputs: Sequence[InputSpec], project: Project) -> Iterator[Problem]:
    """Why nobody can say which partitions an asset has."""
    key = asset.partition.key
    if key is None or asset.partition.values is not None:
        return
    if any(_same_key(spec, key, project) for spec in inputs):
        return
    message = f"{shown(asset.name)} is cut by {shown(key)}, and no input that it requires is: nothing says which keys there are"
    hint = f"list them: {{key: {key}, values: […]}}, or cut an input by {key}"
    yield Problem(code="unknown_keys", message=message, hint=hint, place=asset.place)


def _same_key(spec: InputSpec, key: str, project: Project) -> bool:
    node = project.source_or_asset(spec.node)
    return node is not None and node.partition.key == key and spec.mode is not InputMode.ALL and not spec.optional
