"""What materialisations make of a body: the table's columns, and what can't be (SEMANTICS §5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from headrace.model import Asset, Grain, InputMode, InputSpec, PartitionSpec, Problem, Project, SqlBody
from headrace.model.materializing import ADDED_BY_SNAPSHOT
from headrace.model.reporting import did_you_mean, shown
from headrace.plan.values import Columns
from headrace.sql.values import Analysis


def table_columns(asset: Asset, body: Columns | None) -> Columns | None:
    """The columns of an asset's table, from those that its body gives."""
    if body is None:
        return None
    if asset.materialize == "merge" and asset.merge_delete is not None:
        return tuple(column for column in body if column[0].lower() != asset.merge_delete.lower())
    if asset.materialize == "snapshot":
        return (*body, *zip(ADDED_BY_SNAPSHOT, (moment_type(asset), moment_type(asset), "BOOLEAN"), strict=True))
    return body


def moment_type(asset: Asset) -> str:
    """DuckDB's type of `valid_from` and `valid_to`: days and coarser have dates, everything else instants."""
    return "DATE" if asset.partition.grain not in (None, Grain.HOUR) else "TIMESTAMP WITH TIME ZONE"


def problems(
    asset: Asset, inputs: Sequence[InputSpec], body: Columns | None, project: Project, analysis: Analysis | None
) -> Iterator[Problem]:
    """Why an asset can't be materialised as it says."""
    if asset.accumulates:
        yield from _accumulating(asset, body)
    if asset.materialize == "append":
        yield from _append(asset, inputs, project)
    if asset.materialize == "view":
        yield from _view(asset, inputs, analysis)


def _accumulating(asset: Asset, body: Columns | None) -> Iterator[Problem]:
    if asset.partition.key is not None:
        message = f"{shown(asset.name)} is materialised as `{asset.materialize}`, and cut by `{asset.partition.key}`"
        yield _problem(asset, "conflicting_fields", message, f"add `{asset.partition.key}` to the keys, and cut by time or not at all")
    if body is None:
        return
    known = [name for name, _ in body]
    named = (*asset.merge_keys, *((asset.merge_delete,) if asset.merge_delete else ()), *asset.snapshot_columns)
    for name in named:
        if name.lower() not in {column.lower() for column in known}:
            hint = did_you_mean(name, known) or f"its columns are: {', '.join(known[:12])}"
            message = f"`{asset.materialize}` of {shown(asset.name)} names the column {shown(name)}, which the body doesn't give"
            yield _problem(asset, "unknown_merge_column", message, hint)
    taken = {column.lower() for column in known} & set(ADDED_BY_SNAPSHOT) if asset.materialize == "snapshot" else set()
    for name in sorted(taken):
        message = f"the body of {shown(asset.name)} gives `{name}`, which `materialize: snapshot` adds itself"
        yield _problem(asset, "duplicate_column", message, "call it otherwise with AS")


def _append(asset: Asset, inputs: Sequence[InputSpec], project: Project) -> Iterator[Problem]:
    if not asset.partition.by_delivery or delivers(inputs, project) is not None:
        return
    message = f"{shown(asset.name)} is appended to and isn't cut by time, so it needs one input whose deliveries it follows"
    yield _problem(asset, "conflicting_fields", message, "cut it by time, or mark its other inputs as `all`")


def delivers(inputs: Sequence[InputSpec], project: Project) -> InputSpec | None:
    """The one input of an asset that has a partition for each delivery of it; None if there isn't exactly one that can be."""
    required = [spec for spec in inputs if spec.mode is InputMode.REQUIRED and not spec.optional]
    if len(required) != 1:
        return None
    node = project.sources.get(required[0].node) or project.assets.get(required[0].node)
    is_view = isinstance(node, Asset) and node.materialize == "view"
    return required[0] if node is not None and not is_view and (node.partition.whole or node.partition.by_delivery) else None


def following(project: Project, inputs: Mapping[str, Sequence[InputSpec]]) -> Project:
    """The project, in which merges and snapshots that aren't cut take the deliveries of the input that they follow one by one,
    where that has a partition for each."""
    cut = {
        name: msgspec.structs.replace(asset, partition=PartitionSpec(by_delivery=True))
        for name, asset in project.assets.items()
        if asset.accumulates and asset.partition.whole and _by_delivery(delivers(inputs[name], project), project)
    }
    return msgspec.structs.replace(project, assets={**project.assets, **cut}) if cut else project


def _by_delivery(spec: InputSpec | None, project: Project) -> bool:
    node = None if spec is None else project.sources.get(spec.node) or project.assets[spec.node]
    return node is not None and node.partition.by_delivery


def _view(asset: Asset, inputs: Sequence[InputSpec], analysis: Analysis | None) -> Iterator[Problem]:
    name = shown(asset.name)
    if not isinstance(asset.body, SqlBody):
        yield _problem(asset, "wrong_view", f"{name} is a view, and its body isn't SQL", "write a SELECT, or materialize: table")
    if not asset.partition.whole:
        yield _problem(asset, "wrong_view", f"{name} is a view, and has `partition:`", "take it out: a view is cut as what reads it is")
    if analysis is not None and analysis.uses_self:
        yield _problem(asset, "wrong_view", f"{name} is a view, and reads `$self`", "a view has no rows of its own; materialize: table")
    for reference in analysis.placeholders if analysis is not None else ():
        message = f"{name} is a view, and names `${reference.name}`, which only what reads it could say"
        yield _problem(asset, "wrong_view", message, "write the value, or let the reader filter")
    for spec in inputs:
        if spec.mode in (InputMode.PREVIOUS, InputMode.WITHIN):
            message = f"{name} is a view, and reads {shown(spec.node)} as `{spec.mode}`"
            yield _problem(asset, "wrong_view", message, "a view reads what its reader requires, `all`, or with a lookback")


def _problem(asset: Asset, code: str, message: str, hint: str) -> Problem:
    return Problem(code=code, message=message, hint=hint, place=asset.place)
