"""Checks against what is known about columns: names that aren't there, and which nodes the checks read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.model import Asset, CheckSpec, Place, Problem, Project, Source
from headrace.model.reporting import did_you_mean, shown
from headrace.plan.graph import Names
from headrace.plan.values import Columns
from headrace.sql.values import Analysis


def columns_of(check: CheckSpec) -> tuple[str, ...]:
    """The columns that a check names in its arguments."""
    listed = check.arguments.get("columns")
    item = check.arguments.get("column")
    names = listed if isinstance(listed, list | tuple) else [item]
    return tuple(name for name in names if isinstance(name, str))


def unknown_columns(node: Asset | Source, names: Sequence[str] | None) -> Iterator[Problem]:
    """Columns that checks name and the node doesn't have."""
    if names is None:
        return
    known = {name.lower() for name in names}
    for check in node.checks:
        for column in columns_of(check):
            if column.lower() not in known:
                hint = did_you_mean(column, names) or f"its columns are: {', '.join(names[:12])}"
                message = f"the check {shown(check.name)} of {shown(node.name)} names the unknown column {shown(column)}"
                yield Problem(code="unknown_check_column", message=message, hint=hint, place=check.place)


def conversions(source: Source, project: Project) -> Iterator[Problem]:
    """Expressions of the contract that may not be in it."""
    contract = project.contracts.get(source.contract or "")
    for column in contract.columns if contract is not None else ():
        for entry in column.conversions:
            from headrace.sql.conversions import conversion  # it loads the SQL parser
            from headrace.sql.parsing import InvalidSelect

            try:
                conversion(str(entry["expression"]))
            except InvalidSelect as why:
                yield Problem(
                    code="contract_invalid",
                    message=f"`headrace.convert` of {shown(column.name)} can't be used: {why.message}",
                    hint=why.hint or "write an expression over a delivery's columns",
                    place=contract.place if contract is not None else source.place,
                )


def references(
    node: Asset | Source, analyses: Sequence[Analysis], names: Names, columns: dict[str, Columns | None], problems: list[Problem]
) -> tuple[str, ...]:
    """The nodes that the checks read, sorted; unknown ones are reported."""
    results: set[str] = set()
    for check in node.checks:
        if check.kind == "references":
            target = _target(check, names, columns, problems)
            if target is not None:
                results.add(target)
    for analysis in analyses:
        problems.extend(analysis.problems)
        for name, line in zip(analysis.inputs, analysis.input_lines, strict=True):
            known = names.canonical(name)
            if known is None:
                problems.append(names.unknown(name, Place(file=analysis.file, line=line), f"the check {shown(analysis.name)}"))
            else:
                results.add(known)
    return tuple(sorted(results))


def read_besides(node: Asset | Source, analyses: Sequence[Analysis], names: Names) -> set[str]:
    """The other nodes that the checks read, as far as there are any of those names."""
    written = [str(check.arguments.get("to", "")).partition(".")[0] for check in node.checks if check.kind == "references"]
    written += [name for analysis in analyses for name in analysis.inputs]
    known = (names.canonical(name) for name in written)
    return {name for name in known if name is not None and name != node.name}


def _target(check: CheckSpec, names: Names, columns: dict[str, Columns | None], problems: list[Problem]) -> str | None:
    written, _, column = str(check.arguments.get("to", "")).partition(".")
    node = names.canonical(written)
    if node is None:
        problems.append(names.unknown(written, check.place, f"the check {shown(check.name)}"))
        return None
    known = [name for name, _ in columns.get(node) or ()]
    if known and column.lower() not in {name.lower() for name in known}:
        hint = did_you_mean(column, known) or f"its columns are: {', '.join(known[:12])}"
        message = f"the check {shown(check.name)} refers to the unknown column {shown(f'{node}.{column}')}"
        problems.append(Problem(code="unknown_check_column", message=message, hint=hint, place=check.place))
    return node
