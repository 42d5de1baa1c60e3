"""`row_count: {min: 100, max: 2000}`: each partition has that many rows."""

from __future__ import annotations

from typing import Any

from headrace.model import CheckSpec
from headrace.quality.kinds import Finding, Measured, Part, Subject, check_kind, rows, scope


@check_kind("row_count")
def row_count(check: CheckSpec, _: Subject) -> Measured:
    """Known from what was staged; with `where`, counted in the scan. `failing` is how many rows are too few or too many."""
    least, most = check.arguments.get("min"), check.arguments.get("max")

    def judge(part: Part, values: tuple[Any, ...]) -> Finding:
        count = int(values[0]) if values else part.rows
        if least is not None and count < least:
            return Finding(count, least - count, f"{rows(count)}, at least {least} expected")
        if most is not None and count > most:
            return Finding(count, count - most, f"{rows(count)}, at most {most} expected")
        return Finding(count)

    counted = (f"count(*) FILTER (WHERE {scope(check)})",) if check.where is not None else ()
    return Measured(judge, counted, judges_empty=True)
