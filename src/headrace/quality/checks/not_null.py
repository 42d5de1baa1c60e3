"""`not_null: [carrier, origin]`: no row has a null there."""

from __future__ import annotations

from typing import Any

from headrace.lake.session import quote
from headrace.model import CheckSpec
from headrace.quality.kinds import Finding, Measured, Part, Subject, check_kind, rows, rows_breaking


@check_kind("not_null")
def not_null(check: CheckSpec, subject: Subject) -> Measured:
    """Known from the file's statistics where these say that there are none, else counted in the scan."""
    columns = [subject.column(name) for name in check.arguments["columns"]]
    if check.where is None and all(subject.nulls(column) == 0 for column in columns):
        return Measured(_none)
    bad = " OR ".join(f"{quote(column)} IS NULL" for column in columns)
    return rows_breaking(check, bad, lambda count: f"{', '.join(columns)}: {rows(count)} with null")


def _none(part: Part, _: tuple[Any, ...]) -> Finding:
    return Finding(part.rows)
