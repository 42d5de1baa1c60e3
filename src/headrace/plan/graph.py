"""The dependency graph: inputs of every node, unknown names, cycles, layers, checked columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from headrace.model import (
    Asset,
    CheckSpec,
    InputMode,
    InputSpec,
    PartitionSpec,
    Place,
    Problem,
    ProblemLevel,
    Project,
    Source,
    SqlBody,
)
from headrace.model.errors import did_you_mean, shown
from headrace.model.linking import find_cycles
from headrace.plan.compiled import Columns
from headrace.sql.values import TYPE_NAMES, Analysis, Reference

SUGGESTIONS_MAX = 200


class Names:
    """Sources and assets by lower-case name, with suggestions for misspelt names."""

    def __init__(self, project: Project) -> None:
        self._canonical = {name.lower(): name for name in (*project.sources, *project.assets)}
        self._consumers = {name.lower() for name in project.consumers}
        self._suggestions = 0

    def canonical(self, name: str) -> str | None:
        return self._canonical.get(name.lower())

    def unknown(self, name: str, place: Place, where: str) -> Problem:
        """Return the problem of a name that no source or asset has."""
        if name.lower() in self._consumers:
            return Problem(
                code="unknown_input",
                message=f"{shown(name)} in {where} is a consumer",
                hint="read what it reads",
                place=place,
            )
        self._suggestions += 1
        hint = (
            did_you_mean(name, self._canonical.values())
            if self._suggestions <= SUGGESTIONS_MAX
            else ""
        )
        return Problem(
            code="unknown_input",
            message=f"unknown asset {shown(name)} in {where}" + (f"; {hint}" if hint else ""),
            hint=hint or "declare it as a source in sources/, or as an asset in assets/",
            place=place,
        )


def inputs_of(
    asset: Asset, analysis: Analysis, names: Names, problems: list[Problem]
) -> tuple[InputSpec, ...]:
    """Return the inputs that the SQL names, each with its options from `inputs:`."""
    declared = {spec.node.lower(): spec for spec in asset.inputs}
    specs: list[InputSpec] = []
    for name, line in zip(analysis.inputs, analysis.input_lines, strict=True):
        place = Place(file=analysis.file, line=line)
        node = names.canonical(name)
        if node is None:
            problems.append(names.unknown(name, place, "the SQL"))
        elif node == asset.name:
            problems.append(_reads_itself(name, place))
        else:
            specs.append(declared.get(node.lower()) or InputSpec(node=node, place=place))
    if analysis.usable and declared:
        unread = declared.keys() - {spec.node.lower() for spec in specs}
        problems.extend(_unread(asset, spec) for name, spec in declared.items() if name in unread)
    return tuple(specs)


def _reads_itself(name: str, place: Place) -> Problem:
    return Problem(
        code="cycle",
        message=f"{shown(name)} reads itself",
        hint="write `$self` for its own previous partition",
        place=place,
    )


def _unread(asset: Asset, spec: InputSpec) -> Problem:
    hint = f"`depends: [{spec.node}]` adds an order without data"
    message = f"{shown(spec.node)} is in `inputs` of {shown(asset.name)}, whose SQL doesn't read it"
    return Problem(
        code="unread_input",
        message=message,
        hint=hint,
        place=spec.place,
        level=ProblemLevel.WARNING,
    )


def unreadable(specs: Iterable[InputSpec], project: Project) -> list[Problem]:
    """Return problems for inputs without a table to read."""
    problems = []
    for spec in specs:
        asset = project.assets.get(spec.node)
        if asset is not None and not asset.readable:
            message = (
                f"{shown(spec.node)} has `materialize: {asset.materialize}`: there is no table to"
                " read"
            )
            problems.append(
                Problem(
                    code="nothing_to_read",
                    message=message,
                    hint=f"`depends: [{spec.node}]` adds an order without data",
                    place=spec.place,
                )
            )
    return problems


def placeholder_problems(
    asset: Asset, analysis: Analysis, parameters: Mapping[str, object]
) -> list[Problem]:
    """Return problems for placeholders without a value."""
    known = {name.lower(): name for name in parameters}
    problems = []
    for reference in analysis.placeholders:
        place = Place(file=analysis.file, line=reference.line)
        if reference.name in ("partition_start", "partition_end"):
            if asset.partition.grain is None:
                message = (
                    f"`${reference.name}` in {shown(asset.name)}, which isn't partitioned by time"
                )
                problems.append(
                    Problem(
                        code="no_interval",
                        message=message,
                        hint="add `partition: day`",
                        place=place,
                    )
                )
        elif reference.name == "partition_key":
            if asset.partition.key is None:
                message = (
                    f"`$partition_key` in {shown(asset.name)}, which isn't partitioned by a key"
                )
                problems.append(
                    Problem(
                        code="no_key",
                        message=message,
                        hint="add `partition: {key: region}`",
                        place=place,
                    )
                )
        elif reference.name not in known:
            problems.append(_unknown_parameter(reference, place, list(known.values())))
    return problems


def _unknown_parameter(reference: Reference, place: Place, known: list[str]) -> Problem:
    near = did_you_mean(
        reference.name, [*known, "partition_start", "partition_end", "partition_key", "self"]
    )
    hint = (
        near.replace("`", "`$", 1)
        if near
        else f"add `parameters: {{{reference.name}: …}}` to the asset or to headrace.toml"
    )
    return Problem(
        code="unknown_parameter",
        message=f"unknown parameter `${reference.name}`",
        hint=hint,
        place=place,
    )


def cycles(
    edges: Mapping[str, Sequence[str]], project: Project, known: Iterable[Problem]
) -> list[Problem]:
    """Return a problem for each cycle that isn't already known, with the path around it."""
    known_messages = {problem.message for problem in known if problem.code == "cycle"}
    problems = []
    for cycle in find_cycles(edges):
        message = f"these assets wait for each other: {' → '.join(cycle)}"
        if message not in known_messages:
            place = project.assets[cycle[0]].place
            problems.append(
                Problem(
                    code="cycle", message=message, hint="take one of the arrows out", place=place
                )
            )
    return problems


def check_cycles(
    edges: Mapping[str, Sequence[str]], checked: Mapping[str, Collection[str]], project: Project
) -> list[Problem]:
    """Return a problem for each node whose checks read data computed from the node itself.

    Neither could run first. `edges` are those of the data alone; `checked` maps each node to the
    nodes that its checks read.
    """
    if not checked:
        return []
    problems: list[Problem] = []
    both = {
        name: list(dict.fromkeys([*edges.get(name, ()), *sorted(checked.get(name, ()))]))
        for name in {**edges, **checked}
    }
    for walk in find_cycles(both):
        results = [
            (item, other)
            for item, other in pairwise(walk)
            if other in checked.get(item, ()) and other not in edges.get(item, ())
        ]
        if not results:  # a cycle of the data alone
            continue
        node, target = results[0]
        declared = project.node(node)
        assert declared is not None
        message = (
            f"a check of {shown(node)} reads {shown(target)}, which waits for {shown(node)}:"
            f" {' → '.join(walk)}"
        )
        hint = (
            f"put the check on {shown(target)}, or let it read what {shown(target)} is computed"
            " from"
        )
        problems.append(Problem(code="cycle", message=message, hint=hint, place=declared.place))
    return problems


def layers(  # complexipy: ignore (the algorithm of Kahn, in one piece)
    edges: Mapping[str, Sequence[str]], names: Iterable[str]
) -> list[list[str]]:
    """Return all names in layers: each after its dependencies, independent names together.

    Cycles are broken at an arbitrary edge. Within a layer the names keep their input order.
    """
    waiting: dict[str, int] = {}
    readers: dict[str, list[str]] = {}
    every = list(names)
    known = set(every)
    for name in every:
        before = {other for other in edges.get(name, ()) if other in known and other != name}
        waiting[name] = len(before)
        for other in before:
            readers.setdefault(other, []).append(name)
    result: list[list[str]] = []
    ready = [name for name in every if waiting[name] == 0]
    placed = set(ready)
    while len(placed) < len(every) or ready:
        if not ready:
            ready = [next(name for name in every if name not in placed)]
            placed.update(ready)
        result.append(ready)
        following: list[str] = []
        for name in ready:
            for reader in readers.get(name, ()):
                waiting[reader] -= 1
                if waiting[reader] == 0 and reader not in placed:
                    placed.add(reader)
                    following.append(reader)
        ready = following
    return result


def is_read_by_partition(asset: Asset, spec: InputSpec, project: Project) -> bool:
    """Return whether an asset reads only matching partitions of an input, not the whole of it."""
    if spec.mode is InputMode.ALL or asset.partition.whole:
        return False
    node = project.source_or_asset(spec.node)
    if node is None or (isinstance(node, Asset) and node.accumulates):
        return False
    return not node.partition.whole


# An asset whose keys grow with the data needs an input that is partitioned by the same key.


def type_problems(asset: Asset) -> Iterator[Problem]:
    """Yield the problems of declared types that no column has; each would be detected instead."""
    if isinstance(asset.body, SqlBody):
        return
    from headrace.sql.types import unknown_in  # imports sqlglot

    for column, kind in (asset.columns or {}).get("writes", {}).items():
        if isinstance(kind, str) and (unknown := unknown_in(kind)):
            yield Problem(
                code="wrong_value",
                message=f"{shown(unknown)} of the column {shown(column)} isn't a type",
                hint=did_you_mean(unknown.upper(), TYPE_NAMES)
                or "write a type of DuckDB: BIGINT, DECIMAL(18,2), VARCHAR, TIMESTAMP, BIGINT[] …",
                place=asset.place,
            )


def partition_key_problems(
    asset: Asset, inputs: Sequence[InputSpec], project: Project
) -> Iterator[Problem]:
    """Yield the problem of an asset whose set of partitions can't be determined."""
    key = asset.partition.key
    if key is None or asset.partition.values is not None:
        return
    if any(_has_same_key(spec, asset.partition, project) for spec in inputs):
        return
    by = "by time and by" if asset.partition.grain is not None else "by"
    message = (
        f"{shown(asset.name)} is partitioned {by} {shown(key)}, and no input that it requires is:"
        " nothing says which keys there are"
    )
    yield Problem(
        code="unknown_keys",
        message=message,
        hint=f"list them: {{key: {key}, values: […]}}, or cut an input {by} {key}",
        place=asset.place,
    )


def _has_same_key(spec: InputSpec, partition: PartitionSpec, project: Project) -> bool:
    node = project.source_or_asset(spec.node)
    return (
        node is not None
        and node.partition.key == partition.key
        and (partition.grain is None or node.partition.grain is not None)
        and spec.mode is not InputMode.ALL
        and not spec.optional
    )


# Checks against known columns: unknown names, and the nodes that SQL checks read.


def check_columns(check: CheckSpec) -> tuple[str, ...]:
    """Return the columns that a check names in its arguments."""
    listed = check.arguments.get("columns")
    item = check.arguments.get("column")
    names = listed if isinstance(listed, list | tuple) else [item]
    return tuple(name for name in names if isinstance(name, str))


def unknown_columns(node: Asset | Source, names: Sequence[str] | None) -> Iterator[Problem]:
    """Yield problems for columns in checks that the node doesn't have."""
    if names is None or not node.checks:
        return
    known = {name.lower() for name in names}
    for check in node.checks:
        for column in check_columns(check):
            if column.lower() not in known:
                hint = did_you_mean(column, names) or f"its columns are: {', '.join(names[:12])}"
                message = (
                    f"the check {shown(check.name)} of {shown(node.name)} names the unknown column"
                    f" {shown(column)}"
                )
                yield Problem(
                    code="unknown_check_column", message=message, hint=hint, place=check.place
                )


def conversion_problems(source: Source, project: Project) -> Iterator[Problem]:
    """Yield problems for expressions that the contract may not contain."""
    contract = project.contracts.get(source.contract or "")
    for column in contract.columns if contract is not None else ():
        for entry in column.conversions:
            from headrace.sql.parsing import (
                InvalidSelect,
                parse_conversion,  # loads the SQL parser
            )

            try:
                parse_conversion(str(entry["expression"]))
            except InvalidSelect as why:
                yield Problem(
                    code="contract_invalid",
                    message=(
                        f"`headrace.convert` of {shown(column.name)} can't be used: {why.message}"
                    ),
                    hint=why.hint or "write an expression over a delivery's columns",
                    place=contract.place if contract is not None else source.place,
                )


def check_references(
    node: Asset | Source,
    analyses: Sequence[Analysis],
    names: Names,
    columns: dict[str, Columns | None],
    problems: list[Problem],
) -> tuple[str, ...]:
    """Return the nodes that the checks read, sorted; unknown names are added to `problems`."""
    targets = [
        _referenced_node(check, names, columns, problems)
        for check in node.checks
        if check.kind == "references"
    ]
    results = {target for target in targets if target is not None}
    for analysis in analyses:
        problems.extend(analysis.problems)
        for name, line in zip(analysis.inputs, analysis.input_lines, strict=True):
            known = names.canonical(name)
            if known is None:
                problems.append(
                    names.unknown(
                        name,
                        Place(file=analysis.file, line=line),
                        f"the check {shown(analysis.name)}",
                    )
                )
            else:
                results.add(known)
    return tuple(sorted(results))


def read_besides(node: Asset | Source, analyses: Sequence[Analysis], names: Names) -> set[str]:
    """Return the existing nodes, other than the node itself, that the checks read."""
    written = [
        str(check.arguments.get("to", "")).partition(".")[0]
        for check in node.checks
        if check.kind == "references"
    ]
    written += [name for analysis in analyses for name in analysis.inputs]
    known = (names.canonical(name) for name in written)
    return {name for name in known if name is not None and name != node.name}


def _referenced_node(
    check: CheckSpec, names: Names, columns: dict[str, Columns | None], problems: list[Problem]
) -> str | None:
    written, _, column = str(check.arguments.get("to", "")).partition(".")
    node = names.canonical(written)
    if node is None:
        problems.append(names.unknown(written, check.place, f"the check {shown(check.name)}"))
        return None
    known = [name for name, _ in columns.get(node) or ()]
    if known and column.lower() not in {name.lower() for name in known}:
        hint = did_you_mean(column, known) or f"its columns are: {', '.join(known[:12])}"
        message = (
            f"the check {shown(check.name)} refers to the unknown column"
            f" {shown(f'{node}.{column}')}"
        )
        problems.append(
            Problem(code="unknown_check_column", message=message, hint=hint, place=check.place)
        )
    return node
