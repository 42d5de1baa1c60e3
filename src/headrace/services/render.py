"""`render`: the code that an asset runs for one partition, with bound values and its inputs."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from headrace.access.permissions import SEE, command
from headrace.lake import PARTITION_COLUMN
from headrace.lake import catalog as lake
from headrace.model import (
    Asset,
    CommandBody,
    Grain,
    InputMode,
    InputSpec,
    PartitionSpec,
    Project,
    PythonBody,
    SqlBody,
    UsageError,
)
from headrace.model.errors import did_you_mean
from headrace.model.intervals import interval_of, key_at, previous_key
from headrace.model.partitions import join, required, split
from headrace.plan import Compiled, CompiledNode
from headrace.project import targets
from headrace.project.parameters import Argument, ParameterValues
from headrace.project.session import ProjectSession, usable
from headrace.responses import ColumnRow, RenderInput, RenderResponse
from headrace.standing.node_rows import body_kind
from headrace.store.queries import publications

# `--set k=v`: other parameter values for one invocation that publishes nothing.


def with_parameters(compiled: Compiled, overrides: Mapping[str, str]) -> Compiled:
    """Return the project with these parameters, converted to the types of their defaults.

    Raise UsageError for an unknown parameter or an invalid value.
    """
    if not overrides:
        return compiled
    known = defaults(compiled.project)
    names = {name.lower(): name for name in known}
    for name in overrides:
        if name.lower() not in names:
            hint = did_you_mean(name, known) or f"known: {', '.join(sorted(known)) or 'none'}"
            raise UsageError(f"there is no parameter {name[:60]!r}", hint=hint)
    return _replaced(compiled, {names[name.lower()]: text for name, text in overrides.items()})


def defaults(project: Project) -> dict[str, Any]:
    """Return all parameters with defaults; the project's take precedence over assets'."""
    results: dict[str, Any] = {}
    for asset in project.assets.values():
        results.update(asset.parameters)
    return {**results, **project.settings.parameters}


def _replaced(compiled: Compiled, overrides: Mapping[str, str]) -> Compiled:
    project, settings = compiled.project, compiled.project.settings
    project_parameters = {
        name: typed(name, text, settings.parameters[name])
        for name, text in overrides.items()
        if name in settings.parameters
    }
    assets = {
        name: msgspec.structs.replace(asset, parameters=_of_asset(asset.parameters, overrides))
        if asset.parameters
        else asset
        for name, asset in project.assets.items()
    }
    settings = msgspec.structs.replace(
        settings, parameters={**settings.parameters, **project_parameters}
    )
    changed: Project = msgspec.structs.replace(project, settings=settings, assets=assets)
    return msgspec.structs.replace(compiled, project=changed)


def _of_asset(parameters: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: typed(name, overrides[name], value) if name in overrides else value
        for name, value in parameters.items()
    }


def typed(name: str, text: str, default: Any) -> Any:
    """Return text as a value of the default's type.

    Examples: `15`, `0.5`, `true`; `a,b` or `["a", "b"]` for lists.
    """
    match default:
        case bool():
            return _flag(name, text)
        case int():
            return _number(name, text, whole=True)
        case float():
            return _number(name, text, whole=False)
        case list():
            return _listed(text, default)
        case None:
            return guessed(text)
        case _:
            return text


def guessed(text: str) -> Any:
    """Return text as a number, true or false if it looks like one, else as it is."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)


def _flag(name: str, text: str) -> bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise UsageError(f"--set {name}={text[:40]}: it is true or false", hint=f"--set {name}=true")


def _number(name: str, text: str, *, whole: bool) -> int | float:
    try:
        value = guessed(text) if whole else float(text)
    except ValueError:
        value = text
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"--set {name}={text[:40]}: it is a number", hint=f"--set {name}=15")
    return value


def _listed(text: str, default: list[Any]) -> list[Any]:
    if text.lstrip().startswith("["):
        try:
            result = json.loads(text)
        except ValueError:
            raise UsageError(f"{text[:40]!r} is no list", hint='write a,b or ["a", "b"]') from None
        return list(result)
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [typed("…", word, default[0]) for word in words] if default else words


@command(
    "render",
    SEE,
    of="target",
    http="GET /render/{target:path} render",
    session="render",
    group="change",
    summary="print the SQL of an asset as it will run",
)
def render(
    session: ProjectSession,
    target: Annotated[str, Argument("ASSET[@K]", help="an asset, and which partition")],
    parameters: ParameterValues = None,
) -> RenderResponse:
    """Show the SQL of an asset as it will run: its text, the values bound to it, and the
    partitions of its inputs.

    Without K, it is for the newest ended partition.

    Raise InvalidProject if the files have errors, UsageError for an unknown asset or partition.
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
        text=_text(session.root, asset),
        parameters=_parameters(compiled.project, asset, key),
        inputs=[
            _input(session, compiled.project, asset, key, spec)
            for spec in node.inputs
            if session.shows(spec.node)
        ],
        columns=_columns(session, name, node),
        file=asset.body.file,
        line=asset.body.line,
    )


def newest_key(session: ProjectSession, spec: PartitionSpec, timezone: str) -> str:
    """Return the newest partition that has ended by the store's clock; `*` for unpartitioned data.

    Raise UsageError for data partitioned by key, because the key can't be guessed.
    """
    if spec.grain is None and spec.key is None:
        return "*"
    ended = (
        previous_key(key_at(session.now(), spec.grain, timezone), spec.grain, timezone)
        if spec.grain is not None
        else ""
    )
    if spec.key is not None:
        example = join(ended, (spec.values or (spec.key.upper(),))[0])
        raise UsageError(
            f"which {spec.key} is meant? It has a partition for each",
            hint=f"name one: ASSET@{example}",
        )
    return ended


def _text(root: Path, asset: Asset) -> str:
    if isinstance(asset.body, SqlBody):
        return asset.body.text.strip("\n")
    if isinstance(asset.body, CommandBody):
        return " ".join(asset.body.command)
    return _function_text(root, asset.body)


def _function_text(root: Path, body: PythonBody) -> str:
    """Return the text of a function with its decorators; its name if the file can't be read."""
    name = f"{body.function} in {body.file}"
    try:
        text = (root / body.file).read_text(encoding="utf-8")
        statements = ast.parse(text).body
    except (OSError, ValueError, SyntaxError):
        return name
    for item in statements:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name == body.function:
            first = min(part.lineno for part in (item, *item.decorator_list))
            return "\n".join(text.split("\n")[first - 1 : item.end_lineno])
    return name


def _parameters(project: Project, asset: Asset, key: str) -> dict[str, Any]:
    """Return the values that `$name` is bound to."""
    values = {**project.settings.parameters, **asset.parameters}
    spec = asset.partition
    if spec.key is not None:
        values["partition_key"] = split(key, spec)[1]
    if spec.grain is not None:
        interval = interval_of(split(key, spec)[0], spec.grain, asset.timezone)
        hours = spec.grain is Grain.HOUR
        values["partition_start"] = (
            interval.start.isoformat() if hours else interval.start.date().isoformat()
        )
        values["partition_end"] = (
            interval.end.isoformat() if hours else interval.end.date().isoformat()
        )
    return values


def _input(
    session: ProjectSession, project: Project, asset: Asset, key: str, spec: InputSpec
) -> RenderInput:
    source = project.sources.get(spec.node) or project.assets[spec.node]
    keys = required(
        asset.partition, asset.timezone, key, source.partition, source.timezone, spec
    ).keys
    mode = (
        spec.mode.value
        if spec.mode is not InputMode.REQUIRED or not spec.lookback
        else f"lookback {spec.lookback}"
    )
    return RenderInput(
        node=spec.node,
        mode=mode,
        partitions=None if keys is None else list(keys),
        published=_published(session, spec.node, keys),
    )


def _published(session: ProjectSession, node: str, keys: tuple[str, ...] | None) -> int:
    if session.store is None:
        return 0
    with session.store.read() as tx:
        if keys is None:
            return len(publications.of_node(tx, node, limit=1_000_000))
        return sum(publications.current(tx, node, key) is not None for key in keys)


def _columns(session: ProjectSession, name: str, node: CompiledNode) -> list[ColumnRow] | None:
    """Return an asset's columns, if need be those that the same code has published."""
    columns: Sequence[tuple[str, str]] | None = node.columns
    applied = None if session.compiled is None else session.compiled.nodes.get(name)
    if columns is None and applied is not None and applied.fingerprint == node.fingerprint:
        columns = typed_columns(session, name, None) or None
    rows = [ColumnRow(name=column, type=kind) for column, kind in columns or ()]
    return None if columns is None else rows


def typed_columns(
    session: ProjectSession, name: str, compiled: Compiled | None
) -> Sequence[tuple[str, str]]:
    """Return a node's columns with their types: those of its table, or else the compiled ones."""
    table = None
    if session.store is not None:
        with session.store.read() as tx:
            table = lake.table(tx, name)
    if table is not None:
        columns = (column for column in table.columns if column.name != PARTITION_COLUMN)
        return [(column.name, column.type) for column in columns]
    known = compiled.nodes.get(name) if compiled is not None else None
    return () if known is None else known.columns or ()
