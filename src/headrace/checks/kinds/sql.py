"""`sql: {name, query}`: the rows that the query returns are the failures. `$self` is the staged
rows.
"""

from __future__ import annotations

from headrace.checks.check_kinds import SELF, CheckSubject, QueryCheck, check_kind, rows
from headrace.checks.placeholders import with_self
from headrace.lake.session import without_semicolons
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec


@check_kind("sql")
def sql(check: CheckSpec, _: CheckSubject) -> QueryCheck:
    """Return the query as declared; `where` filters its result."""
    query = without_semicolons(with_self(str(check.arguments["query"]), quote(SELF)))
    return QueryCheck(query, lambda count: f"{rows(count)} returned", where=check.where)
