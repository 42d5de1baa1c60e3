"""Differences between the files and the applied project: one `NodeChange` per node and aspect."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.model import Asset, Consumer, ContractColumn, Project, Settings, Source
from headrace.model.access import ACCESS_FILE, AccessRules
from headrace.model.settings import PRODUCTION
from headrace.plan.compiled import (
    ChangeKind,
    Code,
    CodeChange,
    Columns,
    Compiled,
    CompiledNode,
    NodeChange,
    changed_files,
    own_file,
)
from headrace.plan.node_graph import NodeGraph
from headrace.plan.requirements import lock_path

SETTINGS = "headrace.toml"
"""The name for changes of settings; owners are reported under `owners.yaml`, calendars under their
own name."""
OWNERS = "owners.yaml"

_NOT_WRITTEN = ("place", "on_restatement", "clear")
"""Fields of an export that change neither its target nor its content, or are compared apart."""

_Node = Source | Asset | Consumer
_ASPECTS: dict[type, dict[ChangeKind, tuple[str, ...]]] = {
    Source: {
        ChangeKind.CHECKS: ("checks", "on_fail", "on_anomaly", "on_drift"),
        ChangeKind.PROMISE: (
            "expect",
            "complete",
            "start",
            "calendar",
            "restate_within",
            "ignore_in_comparison",
        ),
    },
    Asset: {
        ChangeKind.CHECKS: ("checks", "on_fail", "on_anomaly"),
        ChangeKind.PROMISE: ("start", "calendar"),
    },
    Consumer: {
        ChangeKind.PROMISE: (
            "reads",
            "due",
            "max_age",
            "since",
            "per",
            "calendar",
            "timezone",
            "export",
        )
    },
}
_CODE_ASPECTS = {
    Source: ("partition", "timezone", "files", "connector", "contract"),
    Asset: (
        "body",
        "partition",
        "timezone",
        "inputs",
        "materialize",
        "merge_keys",
        "columns",
        "contract",
        "environment",
    ),
    Consumer: (),
}
"""Fields that the fingerprint and the columns cover."""


def changes(old: Compiled | None, new: Compiled) -> list[NodeChange]:
    """Return all differences by node; if nothing is applied, every node is added.

    A different position of a declaration in its file isn't a difference.
    """
    applied = as_in(old.project, new.project) if old is not None else None
    nodes_before, nodes_now = _nodes(applied), _nodes(new.project)
    compiled_before = old.nodes if old is not None else {}
    former_names = renames(old, new)
    node_changes: list[NodeChange] = []
    # A renamed node is compared under its new name, so its former name isn't "removed".
    for name in sorted({*nodes_before, *nodes_now} - set(former_names.values())):
        if name in former_names:
            was = compiled_before.get(former_names[name])
            node_changes.append(NodeChange(node=name, change=ChangeKind.METADATA))
            node_changes += _of_compiled(was, new.nodes.get(name), asset=True)
        elif name not in nodes_before:
            node_changes.append(NodeChange(node=name, change=ChangeKind.ADDED))
        elif name not in nodes_now:
            node_changes.append(NodeChange(node=name, change=ChangeKind.REMOVED))
        else:
            pair = nodes_before[name], nodes_now[name]
            declared = list(_of_node(*pair, compiled_before.get(name), new.nodes.get(name)))
            node_changes += [*declared, *_of_promised(*pair, applied, new.project, declared)]
    if old is not None:
        node_changes = _without_learnt(node_changes, old, new, former_names)
        node_changes.extend(_of_the_rest(as_in(old.project, new.project), new.project))
    return [
        _with_files(change, old, new, former_names.get(change.node, change.node))
        for change in node_changes
    ]


def as_in(applied: Project, project: Project) -> Project:
    """Return the applied project restricted to this environment: only production has exports."""
    if project.settings.environment == PRODUCTION:
        return applied
    consumers = {
        name: msgspec.structs.replace(consumer, export=None)
        for name, consumer in applied.consumers.items()
    }
    return msgspec.structs.replace(applied, consumers=consumers)


def _with_files(change: NodeChange, old: Compiled | None, new: Compiled, former: str) -> NodeChange:
    """Return a changed query or code with the files of its code that changed."""
    asset = new.project.assets.get(change.node)
    if (
        old is None
        or asset is None
        or change.change is not ChangeKind.BODY
        or former not in old.project.assets
    ):
        return change
    before = old.code if former == change.node else old.code.renamed(former, change.node)
    results = changed_files(before, new.code, change.node, own_file(asset))
    files = [CodeChange(path=link.path, change=kind, via=link.via) for link, kind in results]
    for name in asset.code_packages:
        was, now = before.installed.get(name), new.code.installed.get(name)
        if name in before.installed and was != now:
            via = f"code_packages, {was or 'not installed'} → {now or 'not installed'}"
            files.append(CodeChange(path=name, change="changed", via=via))
    files += _of_locks(before, new.code, former, change.node)
    return msgspec.structs.replace(change, files=tuple(files))


def _of_locks(before: Code, now: Code, former: str, name: str) -> Iterator[CodeChange]:
    """Yield the packages of an asset's `requirements` whose versions changed."""
    old, new = before.locked.get(lock_path(former), {}), now.locked.get(lock_path(name), {})
    for package in sorted({*old, *new}):
        if old.get(package) != new.get(package):
            via = f"requirements, {old.get(package, 'none')} → {new.get(package, 'none')}"
            yield CodeChange(path=package, change="changed", via=via)


def keeping(changes: Sequence[NodeChange], names: Collection[str]) -> list[NodeChange]:
    """Return the same changes, but those of `names` don't make publications stale."""
    return [
        msgspec.structs.replace(change, stale=False, kept=True)
        if change.stale and change.node in names
        else change
        for change in changes
    ]


def heard_before(changes: Sequence[NodeChange], names: Collection[str]) -> list[NodeChange]:
    """Return the same changes, but those that add one of `names` make its publications stale.

    `names` are nodes with partitions of an earlier declaration, which other code computed.
    """
    return [
        msgspec.structs.replace(change, stale=True)
        if change.change is ChangeKind.ADDED and change.node in names
        else change
        for change in changes
    ]


def renames(old: Compiled | None, new: Compiled) -> dict[str, str]:
    """Return new name → former name of assets with `renamed_from` that isn't applied yet."""
    if old is None:
        return {}
    declared = {
        name: asset.renamed_from
        for name, asset in new.project.assets.items()
        if asset.renamed_from and name not in old.project.assets
    }
    return {
        name: former
        for name, former in declared.items()
        if former in old.project.assets and former not in new.project.assets
    }


def _nodes(project: Project | None) -> dict[str, _Node]:
    return {} if project is None else {**project.sources, **project.assets, **project.consumers}


def _of_node(
    was: _Node, now: _Node, before: CompiledNode | None, after: CompiledNode | None
) -> Iterator[NodeChange]:
    if type(was) is not type(now):
        yield NodeChange(node=now.name, change=ChangeKind.BODY, stale=True)
        return
    yield from _of_compiled(before, after, asset=isinstance(now, Asset))
    if was == now:
        return
    aspects = _ASPECTS[type(now)]
    for kind, fields in aspects.items():
        if _differ(was, now, fields):
            yield NodeChange(
                node=now.name,
                change=kind,
                stale=kind is ChangeKind.PROMISE and _goes_elsewhere(was, now),
            )
    handled_fields = {
        "place",
        "name",
        *_CODE_ASPECTS[type(now)],
        *(field for fields in aspects.values() for field in fields),
    }
    if _differ(
        was, now, tuple(field for field in now.__struct_fields__ if field not in handled_fields)
    ):
        yield NodeChange(node=now.name, change=ChangeKind.METADATA)


def _of_promised(
    was: _Node, now: _Node, before: Project | None, after: Project, known: Sequence[NodeChange]
) -> Iterator[NodeChange]:
    """Yield changes of a contract's columns beyond names and types: checks and stored values.

    Kinds of change that are `known` already are left out.
    """
    if before is None or isinstance(was, Consumer) or isinstance(now, Consumer):
        return
    old, new = _promised(was, before), _promised(now, after)
    kinds = {item.change for item in known}
    if ChangeKind.CHECKS not in kinds and _checked_columns(old) != _checked_columns(new):
        yield NodeChange(node=now.name, change=ChangeKind.CHECKS)
    if ChangeKind.METADATA not in kinds and _classifications(old) != _classifications(new):
        yield NodeChange(node=now.name, change=ChangeKind.METADATA)


def _without_learnt(
    changes: list[NodeChange], old: Compiled, new: Compiled, former_names: Mapping[str, str]
) -> list[NodeChange]:
    """Return the changes without columns that nodes only learnt from data meanwhile.

    Sources and Python assets learn them, and assets below follow. They are no change of the files.
    If they were, applying any other change would drop the pinned columns, and the next delivery
    would define them without a comparison.
    """
    edited = {item.node for item in changes if item.change is ChangeKind.BODY}
    altered: set[str] = set()
    for name in new.order:
        was, now = old.nodes.get(former_names.get(name, name)), new.nodes[name]
        if (was is None or was.columns != now.columns) and (
            name in edited
            or _declared_types(name, old.project) != _declared_types(name, new.project)
            or any(spec.node in altered for spec in now.inputs)
        ):
            altered.add(name)
    return [
        item for item in changes if item.change is not ChangeKind.SCHEMA or item.node in altered
    ]


def _declared_types(source: str, project: Project) -> list[tuple[str, str | None]]:
    """Return the columns that a source's contract declares; empty for other nodes."""
    node = project.sources.get(source)
    columns = () if node is None else _promised(node, project)
    return [(column.name, column.type) for column in columns]


def _checked_columns(columns: Sequence[ContractColumn]) -> dict[str, tuple[bool, bool, bool]]:
    """Return column → required, unique, primary key; without columns that promise none of them."""
    return {
        column.name: (column.required, column.unique, column.primary_key)
        for column in columns
        if column.required or column.unique or column.primary_key
    }


def _classifications(columns: Sequence[ContractColumn]) -> dict[str, str]:
    return {column.name: column.classification for column in columns if column.classification}


def _promised(node: Source | Asset, project: Project) -> tuple[ContractColumn, ...]:
    contract = project.contracts.get(node.contract or node.name)
    return () if contract is None else contract.columns


def _goes_elsewhere(was: _Node, now: _Node) -> bool:
    """Return whether a consumer gets a different export, or gets it at a different place."""
    if not isinstance(was, Consumer) or not isinstance(now, Consumer) or now.export is None:
        return False
    return _written(was) != _written(now) or _differ(was, now, ("reads", "per", "timezone"))


def _written(consumer: Consumer) -> dict[str, Any]:
    """Return what an export's declaration says about its target and its content."""
    export = consumer.export or {}
    fields = {name: value for name, value in export.items() if name not in _NOT_WRITTEN}
    return fields | {"clear": sorted(export.get("clear", ()))}


def _of_compiled(
    was: CompiledNode | None, now: CompiledNode | None, *, asset: bool
) -> Iterator[NodeChange]:
    if was is None or now is None:
        return
    if was.fingerprint != now.fingerprint:
        yield NodeChange(
            node=now.name,
            change=ChangeKind.BODY,
            columns=_changed_columns(was.columns, now.columns),
            stale=asset,
        )
    elif was.columns != now.columns and was.columns is not None and now.columns is not None:
        yield NodeChange(
            node=now.name,
            change=ChangeKind.SCHEMA,
            columns=_changed_columns(was.columns, now.columns),
        )


def _changed_columns(was: Columns | None, now: Columns | None) -> tuple[str, ...]:
    """Return the columns that were added, dropped, or changed their type."""
    if was is None or now is None:
        return ()
    before, after = dict(was), dict(now)
    return tuple(name for name in {**before, **after} if before.get(name) != after.get(name))


def _differ(was: _Node, now: _Node, fields: tuple[str, ...]) -> bool:
    return any(
        getattr(was, field) != getattr(now, field)
        and without_places(getattr(was, field)) != without_places(getattr(now, field))
        for field in fields
    )


def without_places(value: Any) -> Any:
    """Return a value as plain data, without files and lines."""
    return _stripped(msgspec.to_builtins(value))


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stripped(item) for key, item in value.items() if key != "place"}
    if isinstance(value, list | tuple):
        return [_stripped(item) for item in value]
    return value


def _of_the_rest(was: Project, now: Project) -> Iterator[NodeChange]:
    """Yield changes that belong to no node."""
    if _settings(was) != _settings(now):
        yield NodeChange(node=SETTINGS, change=ChangeKind.METADATA)
    if without_places(was.owners) != without_places(now.owners):
        yield NodeChange(node=OWNERS, change=ChangeKind.METADATA)
    if _access(was) != _access(now):
        yield NodeChange(node=ACCESS_FILE, change=ChangeKind.METADATA)
    for name in sorted({*was.calendars, *now.calendars}):
        if _dates(was, name) != _dates(now, name):
            yield NodeChange(node=name, change=ChangeKind.PROMISE)


def _settings(project: Project) -> Settings:
    """Return the settings without the lines of their rules."""
    settings = project.settings
    rules = (msgspec.structs.replace(rule, line=1) for rule in settings.policy_rules)
    tests = (msgspec.structs.replace(test, line=1) for test in settings.policy_tests)
    return msgspec.structs.replace(
        settings, selectors={}, policy={}, rules=tuple(rules), policy_tests=tuple(tests)
    )


def _access(project: Project) -> AccessRules | None:
    return None if project.access is None else project.access.without_lines()


def _dates(project: Project, name: str) -> tuple[str, ...]:
    calendar = project.calendars.get(name)
    return calendar.dates if calendar is not None else ()


# Nodes that an environment needn't compute: those that equal production's are read from
# production, without a copy.

_HARMLESS = (ChangeKind.METADATA, ChangeKind.PROMISE)


def borrowed(production: Compiled | None, here: Compiled) -> frozenset[str]:
    """Return the nodes with the same data and checks in both, whose inputs are the same as well.

    Empty if nothing is applied in production.
    """
    if production is None:
        return frozenset()
    changed = {
        change.node for change in changes(production, here) if change.change not in _HARMLESS
    } | _with_other_connection(production, here)
    computed = NodeGraph(here).downstream(changed)
    return frozenset(name for name in here.order if name not in computed)


def _with_other_connection(production: Compiled, here: Compiled) -> set[str]:
    """Return the sources whose connection differs in this environment."""
    theirs, ours = production.project.settings.connections, here.project.settings.connections
    return {
        source.name
        for source in here.project.sources.values()
        if (name := source.connector.get("connection")) is not None
        and theirs.get(name) != ours.get(name)
    }
