"""Rules about assets that others replace: copies of their input, duplicates, unread assets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlglot import exp

from headrace.extension import Asset, Source, command_line
from headrace.model import CheckSpec, InputMode, InputSpec
from headrace_advisor.analysis.advice import Edit, Finding, Premise
from headrace_advisor.analysis.checking import parse_query
from headrace_advisor.analysis.project_advice import (
    FileEdits,
    ProjectFinding,
    ProjectView,
    names_all_columns,
    unstable,
)


def pass_through(view: ProjectView) -> Iterator[ProjectFinding]:
    """Assets that give the rows of their only input unchanged: their readers can read the input."""
    for name, above in view.shape.passed.items():
        narrower = _columns(view, name) != _columns(view, above)
        if name not in view.shape.needed or (narrower and view.consumers(name)):
            continue
        asset = view.project.assets[name]
        guard = f"the query of {name} ({asset.place.file})"
        premises = {
            Premise(f"each partition of {name} has the rows of {above}", guard),
            *_differences(view, asset, above),
        }
        message = f"{name} passes {above} on unchanged: what reads it can read {above}"
        yield _replaced(view, asset, above, "pass_through", message, premises)


def _columns(view: ProjectView, name: str) -> set[str] | None:
    names = view.compiled.nodes[name].column_names
    return None if names is None else {column.lower() for column in names}


def duplicates(view: ProjectView) -> Iterator[ProjectFinding]:
    """Assets with the same code over the same inputs, or over inputs that are duplicates."""
    first: dict[str, str] = {}
    same: dict[str, str] = {}
    for name in view.compiled.order:
        asset = view.project.assets.get(name)
        key = None if asset is None else _code(view, asset, same)
        if asset is None or key is None:
            continue
        other = first.setdefault(key, name)
        if other == name:
            continue
        same[name] = other
        premises = {
            Premise(f"{name} and {other} have the same query over the same inputs", "their SQL"),
            *unstable(view.queries(name)),
            *_differences(view, asset, other),
        }
        message = f"{name} computes the same as {other}: what reads it can read {other}"
        yield _replaced(view, asset, other, "duplicate", message, premises)
    yield from _equal_in_content(view, same)


def _equal_in_content(view: ProjectView, same: Mapping[str, str]) -> Iterator[ProjectFinding]:
    """Yield assets whose published partitions have the rows of another node, each once."""
    replaced = {*same, *view.shape.passed}
    order = {name: number for number, name in enumerate(view.compiled.order)}
    for pair, equality in view.same_rows.items():
        if not set(pair) <= order.keys():
            continue
        other, name = sorted(pair, key=lambda each: order[each])
        asset = view.project.assets.get(name)
        if asset is None or name in replaced:
            continue  # one node in its place is enough
        replaced.add(name)
        number = len(equality.partitions)
        text = f"{name} and {other} have equal rows in later partitions, too"
        message = f"{name} has the same rows as {other} in all {number} partitions of both"
        premises = {Premise(text, None), *_differences(view, asset, other)}
        result = _replaced(view, asset, other, "duplicate", message, premises)
        yield result._replace(equality=equality)


def _code(view: ProjectView, asset: Asset, same: Mapping[str, str]) -> str | None:
    """Return a text that is equal for assets that compute the same; None for one without SQL."""
    node, statement = view.compiled.nodes[asset.name], view.tables.statement(asset.name)
    if statement is None or node.uses_self or asset.materialize != "table":
        return None
    inputs = {spec.node.lower(): spec.node for spec in node.inputs}
    tree = statement.tree.copy()
    for table in tree.find_all(exp.Table):
        read = inputs.get(table.name.lower())
        if read is not None:
            alias = table.alias_or_name
            table.set("this", exp.to_identifier(same.get(read, read)))
            table.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    reads = sorted((same.get(s.node, s.node), s.mode, s.lookback, s.optional) for s in node.inputs)
    options = (asset.partition, asset.timezone, asset.parameters, node.partition_column, reads)
    text = tree.sql("duckdb", comments=False)
    return json.dumps([text, msgspec.to_builtins(options)], sort_keys=True, default=str)


# Replacing an asset by another node


def _replaced(
    view: ProjectView,
    asset: Asset,
    other: str,
    rule: str,
    message: str,
    premises: set[Premise],
) -> ProjectFinding:
    """Return the finding that an asset's readers can read another node, with their diffs."""
    name = asset.name
    for consumer in view.consumers(name):
        premises.add(Premise(f"{consumer} can read {other} instead of {name}", None))
    edits = {reader: _reads_other(view, reader, name, other) for reader in view.readers[name]}
    for reader, edit in edits.items():
        if edit is None:
            text = f"{reader}, whose text can't be edited here, gives the same with {other}"
            premises.add(Premise(text, None))
    possible = tuple(edit for edit in edits.values() if edit is not None)
    unread = not view.readers[name] and not view.consumers(name)
    kind = "drop_asset" if unread else "merge_assets"
    if unread:
        premises.add(view.nobody_else(name))
    finding = Finding(rule, kind, 0, message, frozenset(premises))
    return ProjectFinding(name, finding, possible if len(possible) == len(edits) else ())


def _reads_other(view: ProjectView, reader: str, name: str, other: str) -> FileEdits | None:
    """Return the edits with which a reader reads another node; None if it can't be edited so."""
    text = view.text(reader)
    specs = {spec.node: spec for spec in view.compiled.nodes[reader].inputs}
    if text is None or not _is_plain(specs[name]) or other in specs:
        return None
    if _columns(view, name) != _columns(view, other) and names_all_columns(text.statement):
        return None
    edits = _renamed(text.statement.tree, name, other)
    if not edits or parse_query(text.edited(edits)) is None:
        return None
    result = text.in_file(edits)
    declared = view.project.assets[reader]
    if any(spec.node == name for spec in declared.inputs) or name in declared.depends:
        return None  # its declaration names it, too
    return None if result.after == result.text else result


def _is_plain(spec: InputSpec) -> bool:
    return spec.mode is InputMode.REQUIRED and spec.lookback is None and not spec.optional


def _renamed(tree: exp.Expr, name: str, other: str) -> tuple[Edit, ...]:
    """Return the edits that put another table in the place of one, under its former name."""
    if any(cte.alias.lower() == name.lower() for cte in tree.find_all(exp.CTE)):
        return ()
    edits = []
    for table in tree.find_all(exp.Table):
        if table.name.lower() != name.lower():
            continue
        start, end = table.this.meta.get("start"), table.this.meta.get("end")
        if table.args.get("db") or start is None or end is None:
            return ()
        edits.append(Edit(start, end + 1, other if table.alias else f"{other} as {table.name}"))
    return tuple(edits)


def _differences(view: ProjectView, asset: Asset, other: str) -> Iterator[Premise]:
    """Yield what an asset's declaration adds to its rows, and another node must have as well."""
    node = view.project.source_or_asset(other)
    if node is None:
        return
    missing = _checks(view, asset) - _checks(view, node)
    if missing:
        number = f"{len(missing)} checks" if len(missing) > 1 else "a check"
        yield Premise(f"{other} gets {number} that {asset.name} has", None)
    reasons = (
        (asset.contract and asset.contract != node.contract,
         f"{other} keeps the contract {asset.contract}"),
        (asset.start and asset.start != node.start,
         f"no reader depends on the start {asset.start} of {asset.name}"),
        (asset.retain != node.retain, f"{other} keeps its rows as long as {asset.name}"),
        ((asset.classified, asset.domain) != (node.classified, node.domain),
         f"those who may read {other} may read {asset.name}, and as masked"),
        ((asset.on_fail, asset.on_anomaly) != (node.on_fail, node.on_anomaly),
         f"{other} publishes rows of failed checks as {asset.name} does"),
    )  # fmt: skip
    yield from (Premise(text, None) for differs, text in reasons if differs)


def _checks(view: ProjectView, node: Asset | Source) -> set[str]:
    contract = view.project.contracts.get(node.contract or "")
    checks = (*node.checks, *(() if contract is None else contract.checks))
    return {_check_text(check) for check in checks}


def _check_text(check: CheckSpec) -> str:
    parts: list[Any] = [check.kind, check.arguments, check.severity, check.where]
    return json.dumps(msgspec.to_builtins(parts), sort_keys=True, default=str)


# Assets that nothing needs


def unread_assets(view: ProjectView) -> Iterator[ProjectFinding]:
    """Assets that no consumer needs, directly or not."""
    if not view.project.consumers:
        return  # nobody has said who reads the project
    files = view.shape.own_files()
    for name, asset in view.project.assets.items():
        if name in view.shape.needed or asset.materialize == "none":
            continue
        premises = {
            Premise(f"no consumer and no check of the project needs {name}", "its declarations"),
            view.nobody_else(name),
            *(Premise(f"{reader} is deleted with it", None) for reader in view.readers[name]),
        }
        message = f"no consumer needs {name}: it can be deleted"
        finding = Finding("unread_asset", "drop_asset", 0, message, frozenset(premises))
        prune = command_line("complexity", "prune", f"unread_asset:{name}")
        yield ProjectFinding(name, finding, command=prune if name in files else None)
