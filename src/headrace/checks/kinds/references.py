"""The check kind `references`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.checks.check_kinds import (
    SELF,
    CheckKind,
    CheckSubject,
    QueryCheck,
    rows,
    same_column,
    scope,
)
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec
from headrace.model.check_kinds import read_column
from headrace.model.errors import shown
from headrace.model.fields import Fields


class References(CheckKind):
    """`references: {column: tailnum, to: planes.tailnum}`: each value of the column is also in the
    column `tailnum` of the node `planes`. Null passes.
    """

    name = "references"
    fields = ("column", "to")
    example = "references: {column: tailnum, to: planes.tailnum}"
    cause = "reference_broken"

    def read(self, fields: Fields) -> dict[str, Any] | None:
        """Return the column, and the node and column that it refers to."""
        column, to = read_column(fields), fields.required("to", "write to: planes.tailnum")
        if to is None:
            return None
        node, _, target = to.partition(".")
        if not node or not target:
            fields.refuse(
                "to",
                f"{shown(to)} names no column of a node",
                "write to: planes.tailnum",
                code="bad_check",
            )
            return None
        return None if column is None else {"column": column, "to": to}

    def measure(self, check: CheckSpec, subject: CheckSubject) -> QueryCheck:
        """Find rows without a match by an anti-join with the other node's distinct values."""
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

    def implied(self, arguments: Mapping[str, Any], by: Mapping[str, Any]) -> bool:
        """Return whether the other check of the column refers to the same column."""
        return same_column(arguments, by) and bool(arguments["to"] == by["to"])
