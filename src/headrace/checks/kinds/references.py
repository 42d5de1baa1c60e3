"""`references: {column: tailnum, to: planes.tailnum}`: each value stands in that column of that
node. Null passes."""

from __future__ import annotations

from headrace.checks.check_kinds import SELF, CheckSubject, QueryCheck, check_kind, rows, scope
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec


@check_kind("references")
def references(check: CheckSpec, subject: CheckSubject) -> QueryCheck:
    """Find rows without a match by an anti-join with the distinct values of the other node."""
    column, to = subject.column(check.arguments["column"]), str(check.arguments["to"])
    node, _, target = to.partition(".")
    query = (
        f"SELECT mine.* FROM (SELECT * FROM {quote(SELF)} WHERE {quote(column)} IS NOT NULL AND"
        f" {scope(check)}) AS mine ANTI JOIN (SELECT DISTINCT {quote(target)} AS target FROM"
        f" {quote(node)}) AS theirs ON mine.{quote(column)} = theirs.target"
    )
    return QueryCheck(
        query,
        lambda count: f"{column}: {rows(count)} without {to}",
        examples=column,
        staged_rows=True,
        row_by_row=True,
        reads=(node,),
    )
