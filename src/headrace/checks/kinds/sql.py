"""The check kind `sql`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.checks.check_kinds import SELF, CheckKind, CheckSubject, QueryCheck, rows
from headrace.checks.placeholders import with_self
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec
from headrace.model.fields import Fields


class Sql(CheckKind):
    """`sql: {name, query}`: each row that the query returns is a failure. `$self` are the
    staged rows.
    """

    name = "sql"
    fields = ("query",)
    example = 'sql: {name: no_negatives, query: "select * from $self where x < 0"}'
    counts_rows = False

    def read(self, fields: Fields) -> dict[str, Any] | None:
        """Return the query."""
        query = fields.required("query", 'write query: "select * from $self where …"')
        return None if query is None else {"query": query}

    def measure(self, check: CheckSpec, subject: CheckSubject) -> QueryCheck:
        """Return the query as declared; `where` filters its result."""
        from headrace.lake.session import without_semicolons  # declarations don't need a session

        del subject
        query = without_semicolons(with_self(str(check.arguments["query"]), quote(SELF)))
        return QueryCheck(query, lambda count: f"{rows(count)} returned", where=check.where)

    def columns(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        """Return none: which columns a query is about isn't known."""
        del arguments
        return frozenset()
