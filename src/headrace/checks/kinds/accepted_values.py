"""`accepted_values: {column: origin, values: [EWR, JFK, LGA]}`: nothing else stands there. Null
passes; `not_null` is for that.
"""

from __future__ import annotations

from headrace.checks.check_kinds import (
    AggregateCheck,
    CheckSubject,
    check_kind,
    listed,
    rows,
    rows_breaking,
    value,
)
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec


@check_kind("accepted_values")
def accepted_values(check: CheckSpec, subject: CheckSubject) -> AggregateCheck:
    """Count rows with other values, in the audit's scan."""
    column = subject.column(check.arguments["column"])
    values = [each for each in check.arguments["values"] if each is not None]
    allowed = ", ".join(value(each, subject.columns[column]) for each in values)
    bad = f"{quote(column)} NOT IN ({allowed})" if values else f"{quote(column)} IS NOT NULL"
    return rows_breaking(
        check,
        bad,
        lambda count: f"{column}: {rows(count)} not in {listed(values)}",
        examples=column,
    )
