"""`row_count: {min: 100, max: 2000}`: each partition has that many rows."""

from __future__ import annotations

from typing import Any

from headrace.checks.check_kinds import (
    AggregateCheck,
    CheckedPartition,
    CheckFinding,
    CheckSubject,
    check_kind,
    rows,
    scope,
)
from headrace.model import CheckSpec


@check_kind("row_count")
def row_count(check: CheckSpec, _: CheckSubject) -> AggregateCheck:
    """Compare the staged number of rows; with `where`, the number that the scan counts.

    `failing` is the number of rows too few or too many.
    """
    least, most = check.arguments.get("min"), check.arguments.get("max")

    def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
        count = int(values[0]) if values else part.rows
        if least is not None and count < least:
            return CheckFinding(count, least - count, f"{rows(count)}, at least {least} expected")
        if most is not None and count > most:
            return CheckFinding(count, count - most, f"{rows(count)}, at most {most} expected")
        return CheckFinding(count)

    counted = (f"count(*) FILTER (WHERE {scope(check)})",) if check.where is not None else ()
    return AggregateCheck(judge, counted, judges_empty=True)
