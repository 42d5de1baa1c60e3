"""The check kind `regex`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.checks.check_kinds import (
    AggregateCheck,
    CheckKind,
    CheckSubject,
    rows,
    rows_breaking,
    same_column,
)
from headrace.lake.sqltext import literal, quote
from headrace.model import CheckSpec
from headrace.model.check_kinds import read_column
from headrace.model.fields import Fields


class Regex(CheckKind):
    """`regex: {column: tailnum, pattern: "N[0-9A-Z]{1,5}"}`: the whole value matches (RE2 syntax).
    Null passes.

    A pattern without anchors can't pass by matching a part of the value, unless a contract's
    `pattern` says so (`anywhere`).
    """

    name = "regex"
    fields = ("column", "pattern")
    example = "regex: {column: tailnum, pattern: 'N[0-9A-Z]+'}"
    reads_only_rows = True

    def read(self, fields: Fields) -> dict[str, Any] | None:
        """Return the column and the pattern."""
        column, pattern = read_column(fields), fields.required("pattern")
        return None if column is None or pattern is None else {"column": column, "pattern": pattern}

    def measure(self, check: CheckSpec, subject: CheckSubject) -> AggregateCheck:
        """Count rows that don't match, in the audit's scan."""
        column, pattern, how = (
            subject.column(check.arguments["column"]),
            str(check.arguments["pattern"]),
            "matches" if check.arguments.get("anywhere") else "full_match",
        )
        bad = f"NOT regexp_{how}(CAST({quote(column)} AS VARCHAR), {literal(pattern)})"
        return rows_breaking(
            check,
            bad,
            lambda count: f"{column}: {rows(count)} not matching {pattern}",
            examples=column,
        )

    def implied(self, arguments: Mapping[str, Any], by: Mapping[str, Any]) -> bool:
        """Return whether the other check of the column has the same pattern."""
        return same_column(arguments, by) and all(
            arguments.get(name) == by.get(name) for name in ("pattern", "anywhere")
        )
