"""`optimize`: advice on the SQL of assets, and of files without a project."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple

from msgspec import structs

from headrace.extension import (
    SEE,
    Argument,
    Excluded,
    Option,
    Progress,
    ProjectSession,
    Selected,
    UsageError,
    command,
)
from headrace.model import SqlBody
from headrace.plan.compiled import Compiled
from headrace.project.selection import selected
from headrace.project.session import usable
from headrace.services.node_code import hidden_files
from headrace.sql.parsing import TEXT_CHARACTERS_MAX
from headrace_advisor.analysis.checking import Advice, check_query, check_text
from headrace_advisor.analysis.project_tables import ProjectTables
from headrace_advisor.analysis.statements import Unreadable, dialect_name
from headrace_advisor.responses.optimize import EqualityRow, JoinRow, OptimizeRow, PremiseRow
from headrace_advisor.services.changed_assets import bytes_of
from headrace_advisor.services.dismissed import dismissals_of
from headrace_advisor.services.project_rules import PARTITIONS_MAX, advice_of_project, verdict

OF_COMPLEXITY = ("unread_asset", "pass_through", "duplicate")
"""Rules about whole assets, of which `complexity` has findings, too."""
HIDDEN_DIFF = "its change is in files with code that your roles don't show"
"""Why a finding has no diff for some roles."""
FILE_BYTES_MAX = 4 * TEXT_CHARACTERS_MAX


@command("optimize", SEE, of="select", lists=True, session="optimize")
def optimize(
    session: ProjectSession, select: Selected = (), exclude: Excluded = (), *, progress: Progress
) -> list[OptimizeRow]:
    """List what can go or be faster in the SQL of assets, and what is wrong in it.

    Keys come from checks, contracts and the queries of assets. Nothing is run. Findings that were
    dismissed are listed, too, with who dismissed them and why. Raise InvalidProject if the files
    have errors, UsageError for an unknown selection.
    """
    compiled = usable(session.declared(progress))
    names = selected(session, select, exclude, compiled=compiled, project=compiled.project)
    tables = ProjectTables(compiled)
    hidden = hidden_files(session, compiled.project)
    wanted = [name for name in compiled.order if name in names]
    progress.start("assets", len(wanted))
    rows: list[OptimizeRow] = []
    try:
        for name in wanted:
            advice = asset_advice(session.root, tables, name)
            items = [row(item, asset=name, file=advice.file) for item in advice.items]
            rows += [_without_hidden(item, {item.file}, hidden) for item in items]
            progress.advance(1)
    finally:
        progress.finish()
    rows += _of_project(session, compiled, tables, wanted, hidden)
    rows = _with_dismissals(session, compiled, rows)
    order = {name: number for number, name in enumerate(wanted)}
    return sorted(rows, key=lambda item: order.get(item.asset or "", 0))


def _with_dismissals(
    session: ProjectSession, compiled: Compiled, rows: Sequence[OptimizeRow]
) -> list[OptimizeRow]:
    dismissals = dismissals_of(session, compiled)
    return [structs.replace(row, dismissal=dismissals.of(proposal_of(row))) for row in rows]


def proposal_of(row: OptimizeRow) -> str:
    """Return the id by which a finding is dismissed: that of `complexity`, if it has it, too."""
    return f"{row.rule}:{row.asset}" if row.rule in OF_COMPLEXITY else row.id


def _of_project(
    session: ProjectSession,
    compiled: Compiled,
    tables: ProjectTables,
    names: Sequence[str],
    hidden: frozenset[str],
) -> Iterator[OptimizeRow]:
    """Yield what the rules about the whole project say about assets."""
    text = partial(text_of_project, session.root)
    for finding, advice in advice_of_project(session, compiled, tables, text, names):
        declared = compiled.project.assets[finding.asset]
        file = declared.body.file if isinstance(declared.body, SqlBody) else declared.place.file
        changed = {edit.file for edit in finding.edits}
        item = _without_hidden(row(advice, asset=finding.asset, file=file), changed, hidden)
        equality = finding.equality
        yield structs.replace(
            item,
            verdict=verdict(finding),
            command=finding.command,
            equality=None
            if equality is None
            else EqualityRow(
                partitions=list(equality.partitions[:PARTITIONS_MAX]),
                rows=equality.rows,
                equal=True,
            ),
        )


def _without_hidden(
    item: OptimizeRow, changed: Collection[str], hidden: frozenset[str]
) -> OptimizeRow:
    """Return a finding, without its diff if one of the changed files is hidden."""
    if item.diff is None or hidden.isdisjoint(changed):
        return item
    return structs.replace(item, diff=None, unmeasured=HIDDEN_DIFF)


def text_of_project(root: Path, file: str) -> str | None:
    """Return the text of a file of the project; None if it can't be read."""
    try:
        return _read(root / file)
    except UsageError:
        return None  # deleted or changed meanwhile


class AssetAdvice(NamedTuple):
    """The findings in an asset's file, whose query begins at `offset` of its text.

    `text` is None if positions aren't those of the file.
    """

    items: list[Advice]
    file: str
    text: str | None
    offset: int = 0


def asset_advice(
    root: Path,
    tables: ProjectTables,
    name: str,
    contents: Mapping[str, bytes] = MappingProxyType({}),
) -> AssetAdvice:
    """Return the findings in the query of an asset; none for other nodes.

    `contents` replaces what files of the project hold. Raise UsageError if the file isn't the
    compiled one.
    """
    compiled = tables.compiled
    asset = compiled.project.assets.get(name)
    statement = None
    if asset is not None and isinstance(asset.body, SqlBody):
        statement = tables.statement(name)
    if asset is None or not isinstance(asset.body, SqlBody) or statement is None:
        return AssetAdvice([], "", None)
    body = asset.body
    catalog = tables.catalog(name)
    given = contents.get(body.file)
    text = _read(root / body.file) if given is None else given.decode()
    offset = text.find(body.text)
    if offset < 0 or compiled.nodes[name].sql != body.text:
        # macros are expanded, or values of `for_each` stand in it: positions aren't the file's
        expanded = check_query(statement, catalog, statement.text, body.file, 0)
        items = [item._replace(line=body.line, diff=None) for item in expanded]
        return AssetAdvice(items, body.file, None)
    items = check_query(statement, catalog, text, body.file, offset)
    return AssetAdvice(items, body.file, text, offset)


def check_sql(
    files: Annotated[
        Sequence[str],
        Argument("FILE...", "of check: files of SQL; tables that they create are known"),
    ],
    *,
    dialect: Annotated[
        str | None,
        Option("--dialect", metavar="D", help="of check: the dialect of the files (duckdb)"),
    ] = None,
) -> tuple[list[OptimizeRow], list[tuple[str, Unreadable]]]:
    """Return the findings in files of SQL, without a project or data, and what can't be read.

    Raise UsageError for a file that isn't there, and for an unknown dialect.
    """
    name = dialect_name(dialect or "duckdb")
    rows: list[OptimizeRow] = []
    unreadable: list[tuple[str, Unreadable]] = []
    for file in files:
        result = check_text(_read(Path(file)), file, name)
        rows += [row(advice, asset=None, file=file) for advice in result.advice]
        unreadable += [(file, problem) for problem in result.unreadable]
    return rows, unreadable


def _read(path: Path) -> str:
    return bytes_of(path, FILE_BYTES_MAX).decode("utf-8", "replace")


def row(advice: Advice, *, asset: str | None, file: str) -> OptimizeRow:
    """Return a finding as a row of `optimize`."""
    finding = advice.finding
    join = finding.join
    return OptimizeRow(
        id=advice.id,
        asset=asset,
        file=file,
        line=advice.line,
        rule=finding.rule,
        kind=finding.kind,
        verdict=finding.verdict,
        message=finding.message,
        premises=[
            PremiseRow(text=p.text, guard=p.guard) for p in sorted(finding.premises, key=str)
        ],
        diff=advice.diff,
        columns=list(finding.columns),
        join=None if join is None else JoinRow(table=join.table, columns=list(join.columns)),
    )
