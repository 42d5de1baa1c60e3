"""`regex: {column: tailnum, pattern: "N[0-9A-Z]{1,5}"}`: the whole value matches (RE2 syntax). Null
passes.

The whole value, not a part of it: a pattern that forgets its anchors then fails loudly, where a
search would pass silently.
"""

from __future__ import annotations

from headrace.checks.check_kinds import (
    AggregateCheck,
    CheckSubject,
    check_kind,
    rows,
    rows_breaking,
)
from headrace.lake.sqltext import literal, quote
from headrace.model import CheckSpec


@check_kind("regex")
def regex(check: CheckSpec, subject: CheckSubject) -> AggregateCheck:
    """Count rows that don't match, in the audit's scan."""
    column, pattern = subject.column(check.arguments["column"]), str(check.arguments["pattern"])
    bad = f"NOT regexp_full_match(CAST({quote(column)} AS VARCHAR), {literal(pattern)})"
    return rows_breaking(
        check, bad, lambda count: f"{column}: {rows(count)} not matching {pattern}", examples=column
    )
