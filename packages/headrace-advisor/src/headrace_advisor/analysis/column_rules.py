"""Rules about columns of assets that no consumer needs, and joins that only those need."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from headrace.extension import Asset
from headrace_advisor.analysis.advice import Edit, Finding, Premise
from headrace_advisor.analysis.checking import parse_query
from headrace_advisor.analysis.contexts import enclosing
from headrace_advisor.analysis.edits import edited, remove_projections
from headrace_advisor.analysis.join_rules import unused_join
from headrace_advisor.analysis.project_advice import (
    ProjectFinding,
    ProjectView,
    QueryText,
    names_all_columns,
    takes_rows_as_values,
    unstable,
)
from headrace_advisor.analysis.queries import Queries
from headrace_advisor.analysis.selects import SelectScope
from headrace_advisor.analysis.shape_rules import (
    can_lose_columns,
    clause_names,
    is_plain,
    loses_its_group,
)

LINEAGE = "the column lineage of the project"


def unread_columns(view: ProjectView) -> Iterator[ProjectFinding]:
    """Columns of an asset of which no column that a consumer reads is computed."""
    for name, asset in view.project.assets.items():
        if name not in view.shape.needed:
            continue
        columns = _removable(view, name, view.shape.uses.unused(name))
        if columns:
            yield _without_columns(view, asset, columns)


def _without_columns(view: ProjectView, asset: Asset, columns: list[str]) -> ProjectFinding:
    premises = _premises(view, asset.name, columns)
    text = view.text(asset.name)
    edits = () if text is None else _edits(text.queries, {c.lower() for c in columns})
    listed = ", ".join(columns)
    finding = Finding(
        "unread_column",
        "drop_column",
        0,
        f"no consumer needs {listed} of {asset.name}: no column that one reads is computed from it",
        premises,
        columns=tuple(columns),
    )
    return ProjectFinding(asset.name, finding, (text.in_file(edits),) if text and edits else ())


def _premises(view: ProjectView, name: str, columns: list[str]) -> frozenset[Premise]:
    uses = "no consumer, export, check, contract, key or view of the project uses the columns"
    premises = {Premise(uses, LINEAGE), view.nobody_else(name), *unstable(view.queries(name))}
    for reader in view.readers[name]:
        mentioned = [column for column in columns if _mentions(view, reader, column)]
        if mentioned:
            text = f"{reader} stops reading {', '.join(mentioned)} first"
            premises.add(Premise(text, None))
    return frozenset(premises)


def _mentions(view: ProjectView, reader: str, column: str) -> bool:
    """Return whether a reader's query has a column's name; others may always have it."""
    names = view.names_in(reader)
    return names is None or column.lower() in names


def _removable(view: ProjectView, name: str, unused: list[str]) -> list[str]:
    """Return those of the unused columns without which the rows stay the same."""
    if not unused or any(_takes_all(view, reader) for reader in view.readers[name]):
        return []
    if view.tables.statement(name) is None:
        return unused
    queries = view.queries(name)
    scopes = [] if queries is None else _branches(queries.statement.tree, queries)
    removable = _removable_outputs(scopes, {column.lower() for column in unused})
    return [column for column in unused if column.lower() in removable]


def _removable_outputs(scopes: list[SelectScope], columns: set[str]) -> set[str]:
    """Return those of a query's columns that can go; `scopes` are the branches of a UNION ALL."""
    if not scopes:
        return set()
    numbers = _numbers(scopes[0], columns)
    if len(numbers) == len(scopes[0].outputs):
        numbers.discard(0)  # one column has to stay
    if any(_fixes_rows(scope) or loses_its_group(scope, numbers) for scope in scopes):
        return set()
    outputs = [scopes[0].outputs[number] for number in numbers]
    return {output.name for output in outputs if not isinstance(output.node, exp.Star)}


def _numbers(scope: SelectScope, columns: set[str]) -> set[int]:
    return {number for number, output in enumerate(scope.outputs) if output.name in columns}


def _fixes_rows(scope: SelectScope) -> bool:
    """Return whether a SELECT's rows depend on its list of columns."""
    return bool(scope.select.args.get("distinct")) or scope.multiplies_rows


def _takes_all(view: ProjectView, reader: str) -> bool:
    if reader not in view.takes_all:
        view.takes_all[reader] = _takes_columns_as_they_are(view, reader)
    return view.takes_all[reader]


def _takes_columns_as_they_are(view: ProjectView, reader: str) -> bool:
    """Return whether a reader would give other rows, or fail, without a column that it
    doesn't name.

    `select * from t` loses the column, too; in a UNION or with EXCLUDE it would fail.
    """
    statement = view.tables.statement(reader)
    if statement is None or not names_all_columns(statement):
        return False
    if takes_rows_as_values(statement):
        return True
    return not all(map(_only_passes_on, statement.tree.find_all(exp.Star)))


def _only_passes_on(star: exp.Star) -> bool:
    """Return whether a star stands in a SELECT whose rows don't depend on their columns."""
    select = star.find_ancestor(exp.Select)
    if isinstance(star.parent, exp.Count):
        return True
    if select is None or any(star.args.values()) or isinstance(enclosing(select), exp.SetOperation):
        return False
    return not any(map(select.args.get, ("distinct", "group", "order", "qualify")))


def _branches(tree: exp.Expr, queries: Queries) -> list[SelectScope]:
    """Return the SELECTs of a UNION ALL, or the only one; empty if columns fix the rows."""
    if isinstance(tree, exp.Subquery):
        return _branches(tree.this, queries)
    if isinstance(tree, exp.Union):
        if tree.args.get("distinct") or tree.args.get("by_name"):
            return []
        left, right = _branches(tree.this, queries), _branches(tree.expression, queries)
        return [*left, *right] if left and right else []
    scope = queries.scope(tree)
    return [] if scope is None or not scope.is_complete else [scope]


def _edits(queries: Queries, columns: set[str]) -> tuple[Edit, ...]:
    """Return the edits that take columns out of a query; empty if it can't be edited."""
    scopes = _branches(queries.statement.tree, queries)
    numbers = _numbers(scopes[0], columns)
    edits: list[Edit] = []
    for scope in scopes:
        if len(scope.outputs) != len(scopes[0].outputs) or not _can_be_edited(scope, numbers):
            return ()
        removed = remove_projections(queries.statement, scope.select, numbers)
        if not removed:
            return ()
        edits += removed
    after = edited(queries.statement.text, edits)
    return tuple(edits) if parse_query(after) is not None else ()


def _can_be_edited(scope: SelectScope, numbers: set[int]) -> bool:
    """Return whether no clause of a SELECT names the outputs, by alias or number."""
    aliases = {scope.outputs[n].name for n in numbers if not is_plain(scope, n)}
    return can_lose_columns(scope) and not aliases & clause_names(scope)


def joins_for_unread_columns(view: ProjectView) -> Iterator[ProjectFinding]:
    """Joins that only give columns that no consumer needs."""
    for name, asset in view.project.assets.items():
        text = view.text(name)
        columns = [] if text is None else _removable(view, name, view.shape.uses.unused(name))
        if text is None or not columns or name not in view.shape.needed:
            continue
        edits = _edits(text.queries, {column.lower() for column in columns})
        if edits:
            yield from _joins_after(view, asset, text, edits, columns)


def _joins_after(
    view: ProjectView, asset: Asset, text: QueryText, edits: tuple[Edit, ...], columns: list[str]
) -> Iterator[ProjectFinding]:
    """Yield the joins that are unused once the columns are gone, and weren't before."""
    shorter = parse_query(text.edited(edits))
    if shorter is None:
        return
    before = {finding.join for finding in unused_join(text.queries)}
    for finding in unused_join(Queries(shorter, view.tables.catalog(asset.name))):
        if finding.join is None or finding.join in before or not finding.edits:
            continue
        listed = ", ".join(columns)
        message = f"no consumer needs {listed}: without them, {finding.message}"
        premises = finding.premises | _premises(view, asset.name, columns)
        body = text.statement.text
        whole = Edit(0, len(body), edited(shorter.text, finding.edits))
        yield ProjectFinding(
            asset.name,
            finding._replace(
                message=message, premises=premises, edits=(), columns=tuple(columns), position=0
            ),
            (text.in_file((whole,)),),
        )
