"""Rules about partitions: full recomputation, and partitions that are too small or too large."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sqlglot import exp

from headrace.extension import Asset, Source
from headrace.model import Grain, InputMode, InputSpec, SqlBody
from headrace.model.fields import bytes_as_text
from headrace.plan.schemas import InputSchema, OutputSchemaRequest
from headrace.plan.sql_analysis import analyse_output
from headrace.sql.analysis import analyse
from headrace.sql.values import values_of
from headrace_advisor.analysis.advice import Edit, Finding, Premise
from headrace_advisor.analysis.project_advice import FileEdits, ProjectFinding, ProjectView
from headrace_advisor.queries.costs import StoredPartitions

SMALL_BYTES = 20_000
SMALL_PARTITIONS_LEAST = 100
LARGE_BYTES = 50_000_000_000
_DAYS = {
    Grain.HOUR: 1 / 24,
    Grain.DAY: 1,
    Grain.WEEK: 7,
    Grain.MONTH: 30,
    Grain.QUARTER: 91,
    Grain.YEAR: 365,
}
_ROW_CHECKS = frozenset(("not_null", "accepted_values", "range", "regex", "references"))
"""Checks of single rows: they mean the same over one partition and over all."""
_OWNER = re.compile(r"^owner:.*\n", re.MULTILINE)


def incremental(view: ProjectView) -> Iterator[ProjectFinding]:
    """Assets that read all partitions of their inputs, though each row needs one of them."""
    for name, asset in view.project.assets.items():
        if asset.materialize != "table" or not asset.partition.whole:
            continue
        inputs = _partitioned_inputs(view, name)
        grain = _common_grain(view, inputs)
        if grain is None:
            continue
        column = _separating_column(view, asset)
        if column is not None and _depends_on_partitions(view, asset, column, inputs):
            yield _by_partition(view, asset, inputs, grain, column)


def _by_partition(
    view: ProjectView, asset: Asset, inputs: list[InputSpec], grain: Grain, column: str
) -> ProjectFinding:
    read = " and ".join(spec.node for spec in inputs)
    message = (
        f"each run of {asset.name} reads every {grain} of {read}, and each row needs one of them:"
        f" partition it by {column}"
    )
    premises = frozenset(_premises_of_partition(view, asset, inputs, grain))
    finding = Finding("incremental", "incremental", 0, message, premises, columns=(column,))
    return ProjectFinding(asset.name, finding, _declared(view, asset, grain, column))


def _common_grain(view: ProjectView, inputs: list[InputSpec]) -> Grain | None:
    nodes = [view.project.source_or_asset(spec.node) for spec in inputs]
    grains = {node.partition.grain for node in nodes if node is not None}
    return grains.pop() if len(grains) == 1 else None


def _partitioned_inputs(view: ProjectView, name: str) -> list[InputSpec]:
    """Return the inputs that are partitioned by time; empty if any can't be read by partition."""
    results = []
    for spec in view.compiled.nodes[name].inputs:
        node = view.project.source_or_asset(spec.node)
        if node is None or not _can_be_read_by_partition(node, spec):
            return []
        if node.partition.grain is not None:
            results.append(spec)
    return results


def _can_be_read_by_partition(node: Asset | Source, spec: InputSpec) -> bool:
    if node.partition.key is not None or node.partition.by_delivery:
        return False
    if isinstance(node, Asset) and node.materialize == "view":
        return False
    modes = (InputMode.REQUIRED, InputMode.ALL)
    return spec.mode in modes and spec.lookback is None and not spec.optional


def _separating_column(view: ProjectView, asset: Asset) -> str | None:
    """Return the output column that routes rows if the query is separable by it; else None."""
    node = view.compiled.nodes[asset.name]
    if node.sql is None or node.uses_self or not isinstance(asset.body, SqlBody):
        return None
    inputs = []
    for spec in node.inputs:
        read, declared = view.compiled.nodes[spec.node], view.project.source_or_asset(spec.node)
        is_cut = declared is not None and declared.partition.grain is not None
        if is_cut and read.partition_column is None:
            return None
        inputs.append(InputSchema(spec.node.lower(), read.columns, read.partition_column, is_cut))
    body = asset.body
    analysis = analyse(body.text, file=body.file, line=body.line, name=asset.name)
    schema, _ = analyse_output(
        OutputSchemaRequest(analysis, tuple(inputs), (), True, None, asset.place, "")
    )
    return None if schema.mixes or schema.problems else schema.partition_column


def _depends_on_partitions(
    view: ProjectView, asset: Asset, column: str, inputs: list[InputSpec]
) -> bool:
    """Return whether each row is there because of rows of a partitioned input.

    Rows that an outer join keeps without a match would be there once in each partition.
    """
    cut = {spec.node.lower() for spec in inputs}
    queries = view.queries(asset.name)
    edges = values_of(view.shape.lineage.of(asset.name).columns.get(column, ()))
    if queries is None or not edges or not all(edge.input in cut for edge in edges):
        return False
    tree = queries.statement.tree
    ctes = {cte.alias.lower(): cte.this for cte in tree.find_all(exp.CTE)}
    return all(_keeps_no_other_rows(select, cut, ctes) for select in tree.find_all(exp.Select))


def _keeps_no_other_rows(select: exp.Select, cut: set[str], ctes: Mapping[str, exp.Expr]) -> bool:
    clause = select.args.get("from_")
    for join in select.args.get("joins") or []:
        if join.side in ("RIGHT", "FULL"):
            return False
        keeps = join.side == "LEFT" or join.kind == "ANTI"
        if keeps and clause is not None and not _reads(clause.this, cut, ctes):
            return False
    return True


def _reads(node: exp.Expr, cut: set[str], ctes: Mapping[str, exp.Expr]) -> bool:
    """Return whether a FROM item reads a partitioned input."""
    names = {table.name.lower() for table in node.find_all(exp.Table)}
    others = {name: query for name, query in ctes.items() if name not in names}
    inside = (_reads(ctes[name], cut, others) for name in names if name in ctes)
    return bool(names & cut - ctes.keys()) or any(inside)


def _premises_of_partition(
    view: ProjectView, asset: Asset, inputs: list[InputSpec], grain: Grain
) -> Iterator[Premise]:
    for spec in inputs:
        node = view.project.source_or_asset(spec.node)
        column = view.compiled.nodes[spec.node].partition_column
        place = "" if node is None else f"{node.place.file}:{node.place.line}"
        text = f"each {grain} of {spec.node} has only rows of that {grain}, by {column}"
        yield Premise(text, f"`partition:` of {spec.node} ({place})")
    text = f"each row of {asset.name} needs rows of one {grain} only"
    yield Premise(text, f"the query of {asset.name} ({asset.place.file})")
    changes = _what_may_change(view, asset, {spec.node for spec in inputs}, grain)
    yield from (Premise(text, None) for text in changes)


def _what_may_change(
    view: ProjectView, asset: Asset, partitioned: set[str], grain: Grain
) -> Iterator[str]:
    """Yield what must not matter when a table is computed by partition."""
    for spec in view.compiled.nodes[asset.name].inputs:
        if spec.node not in partitioned:
            yield f"a new version of {spec.node} needn't change earlier {grain}s of {asset.name}"
    for check in asset.checks:
        if check.kind not in _ROW_CHECKS:
            yield f"check `{check.name}` may hold within each {grain} instead of over all"
    for reader in view.readers[asset.name]:
        if not view.project.assets[reader].partition.whole:
            yield f"{reader} reads all of {asset.name}: `inputs: {{{asset.name}: all}}`"


def _declared(view: ProjectView, asset: Asset, grain: Grain, column: str) -> tuple[FileEdits, ...]:
    """Return the edit that declares the partition; none for an asset declared elsewhere."""
    if not isinstance(asset.body, SqlBody):
        return ()
    text = view.file(asset.body.file)
    heading = "" if text is None else text[: max(text.find(asset.body.text), 0)]
    owner = _OWNER.search(heading)
    if text is None or owner is None or "partition:" in heading:
        return ()
    added = f"partition: {{by: {grain}, column: {column}}}\n"
    return (FileEdits(asset.body.file, text, (Edit(owner.end(), owner.end(), added),)),)


# Sizes


def grain(view: ProjectView) -> Iterator[ProjectFinding]:
    """Assets whose partitions are so small that files cost more than rows, or very large."""
    for name, sizes in view.sizes.items():
        asset = view.project.assets.get(name)
        if asset is None or asset.partition.grain is None or not sizes.partitions:
            continue
        better = better_grain(asset.partition.grain, sizes)
        if better is None:
            continue
        premises = frozenset((Premise("later partitions have about the same size", None),))
        message = f"{name} has {better}"
        yield ProjectFinding(name, Finding("grain", "grain", 0, message, premises, provable=False))


def better_grain(of: Grain, sizes: StoredPartitions) -> str | None:
    """Return what is wrong with the size of partitions and which grain fits; None if nothing is."""
    mean = sizes.bytes // sizes.partitions
    text = f"{sizes.partitions:,} partitions of {bytes_as_text(mean)} in the mean"
    grains = list(_DAYS)
    at = grains.index(of)
    if mean > LARGE_BYTES:
        finer = [grain for grain in grains[:at] if _size(mean, of, grain) <= LARGE_BYTES]
        word = finer[-1] if finer else "a key"
        return f"{text}: by {word}, one would be recomputed faster"
    if not 0 < mean < SMALL_BYTES or sizes.partitions < SMALL_PARTITIONS_LEAST:
        return None
    coarser = grains[at + 1 :]
    if not coarser:
        return f"{text}: unpartitioned, it would be one file"
    large = [grain for grain in coarser if _size(mean, of, grain) >= SMALL_BYTES]
    chosen = large[0] if large else coarser[-1]
    return f"{text}: by {chosen}, they would have about {bytes_as_text(_size(mean, of, chosen))}"


def _size(mean: int, of: Grain, grain: Grain) -> int:
    return round(mean * _DAYS[grain] / _DAYS[of])
