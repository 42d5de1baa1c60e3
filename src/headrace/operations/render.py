"""`render`: what an asset will run for one partition, with its bound values and the inputs that it will see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.model import Asset, CommandBody, Grain, InputMode, InputSpec, PartitionSpec, Project, SqlBody, UsageError
from headrace.model.intervals import interval_of, key_at, previous_key
from headrace.model.required import join, required, split
from headrace.operations import targets
from headrace.operations.ls import body_kind
from headrace.operations.parameters import with_parameters
from headrace.operations.responses import ColumnRow, RenderInput, RenderResponse
from headrace.operations.session import ProjectSession, usable
from headrace.plan import CompiledNode
from headrace.store.queries import publications


def render(session: ProjectSession, target: str, parameters: Mapping[str, str] | None = None) -> RenderResponse:
    """What the files say that `ASSET[@K]` runs; without K, for the newest partition that has ended.

    Raises InvalidProject where the files have errors, UsageError for an asset or a partition that there isn't.
    """
    compiled = with_parameters(usable(session.declared()), parameters or {})
    name, key = targets.target(target, compiled.project, kinds=(Asset,))
    asset, node = compiled.project.assets[name], compiled.nodes[name]
    if key is None:
        key = newest_key(session, asset.partition, asset.timezone)
    return RenderResponse(
        asset=name,
        partition=key,
        body=body_kind(asset),
        text=_text(asset),
        parameters=_parameters(compiled.project, asset, key),
        inputs=[_input(session, compiled.project, asset, key, spec) for spec in node.inputs],
        columns=_columns(node),
        file=asset.body.file,
        line=asset.body.line,
    )


def newest_key(session: ProjectSession, spec: PartitionSpec, timezone: str) -> str:
    """The newest partition that has ended by the store's now; `*` where the data isn't cut by time. UsageError where it is cut by
    key: which of them is meant can't be guessed."""
    if spec.grain is None and spec.key is None:
        return "*"
    ended = previous_key(key_at(session.now(), spec.grain, timezone), spec.grain, timezone) if spec.grain is not None else ""
    if spec.key is not None:
        example = join(ended, (spec.values or (spec.key.upper(),))[0])
        raise UsageError(f"which {spec.key} is meant? It has a partition for each", hint=f"name one: ASSET@{example}")
    return ended


def _text(asset: Asset) -> str:
    if isinstance(asset.body, SqlBody):
        return asset.body.text.strip("\n")
    if isinstance(asset.body, CommandBody):
        return " ".join(asset.body.command)
    return asset.body.source or f"{asset.body.function} in {asset.body.file}"


def _parameters(project: Project, asset: Asset, key: str) -> dict[str, Any]:
    """The values that `$name` is bound to."""
    values = {**project.settings.parameters, **asset.parameters}
    spec = asset.partition
    if spec.key is not None:
        values["partition_key"] = split(key, spec)[1]
    if spec.grain is not None:
        interval = interval_of(split(key, spec)[0], spec.grain, asset.timezone)
        hours = spec.grain is Grain.HOUR
        values["partition_start"] = interval.start.isoformat() if hours else interval.start.date().isoformat()
        values["partition_end"] = interval.end.isoformat() if hours else interval.end.date().isoformat()
    return values


def _input(session: ProjectSession, project: Project, asset: Asset, key: str, spec: InputSpec) -> RenderInput:
    source = project.sources.get(spec.node) or project.assets[spec.node]
    keys = required(asset.partition, asset.timezone, key, source.partition, source.timezone, spec).keys
    mode = spec.mode.value if spec.mode is not InputMode.REQUIRED or not spec.lookback else f"lookback {spec.lookback}"
    return RenderInput(
        node=spec.node, mode=mode, partitions=None if keys is None else list(keys), published=_published(session, spec.node, keys)
    )


def _published(session: ProjectSession, node: str, keys: tuple[str, ...] | None) -> int:
    if session.store is None:
        return 0
    with session.store.read() as tx:
        if keys is None:
            return len(publications.of_node(tx, node, limit=1_000_000))
        return sum(publications.current(tx, node, key) is not None for key in keys)


def _columns(node: CompiledNode) -> list[ColumnRow] | None:
    return None if node.columns is None else [ColumnRow(name=name, type=kind) for name, kind in node.columns]
