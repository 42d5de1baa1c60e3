"""`unique: [flight_id]`: no two rows of a partition share the key. Exact. Keys with a null in them equal nothing, as in SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headrace.lake.session import quote
from headrace.model import CheckSpec
from headrace.quality import density, ordering
from headrace.quality.kinds import SELF, AggregateCheck, CheckedPartition, CheckFinding, CheckSubject, check_kind, rows, scope

if TYPE_CHECKING:
    from headrace.quality.scanning import StagedScanner


@check_kind("unique")
def unique(check: CheckSpec, subject: CheckSubject) -> AggregateCheck:
    """Keys and distinct keys are counted in the scan, unless those of a large file are proved unique (`density`, `ordering`)."""
    columns = [subject.column(name) for name in check.arguments["columns"]]
    names = [quote(column) for column in columns]
    key = names[0] if len(names) == 1 else f"({', '.join(names)})"
    known = " AND ".join([*(f"{quote(column)} IS NOT NULL" for column in columns if subject.nulls(column) != 0), scope(check)])
    filtered = f" FILTER (WHERE {known})" if known != "(true)" else ""

    def judge(_: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
        keys, distinct = int(values[0]), int(values[1])
        repeated = keys - distinct
        return CheckFinding(keys, repeated, f"{', '.join(columns)}: {rows(repeated)} repeating a key" if repeated else "")

    return AggregateCheck(
        judge,
        aggregates=(f"count(*){filtered}", f"count(DISTINCT {key}){filtered}"),
        failing=f"SELECT {', '.join(names)}, count(*) AS rows FROM {quote(SELF)} WHERE {known} "
        "GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL",
        examples=columns[0] if len(columns) == 1 else "",
        staged_rows=False,
        proof=_proof(check, subject, columns),
    )


def _proof(check: CheckSpec, subject: CheckSubject, columns: list[str]) -> Callable[[StagedScanner], bool] | None:
    leading, leading_type = columns[0], subject.columns[columns[0]]
    if check.where is not None or any(subject.nulls(column) != 0 for column in columns):
        return None
    known = subject.statistics[leading]
    if len(columns) == 1 and density.can_be_tried(leading_type, known, subject.rows):
        return lambda staged: density.proves_unique(staged, leading, known)
    if ordering.can_be_tried(columns, leading_type):
        return lambda staged: ordering.proves_unique(staged, columns, leading_type)
    return None
