"""`unique: [flight_id]`: no two rows of a partition share the key. Exact. Keys with a null in them equal nothing, as in SQL."""

from __future__ import annotations

from typing import Any

from headrace.lake.session import quote
from headrace.model import CheckSpec
from headrace.quality.kinds import SELF, Finding, Measured, Part, Subject, check_kind, rows, scope

PROOF_COLUMNS_MAX = 3


@check_kind("unique")
def unique(check: CheckSpec, subject: Subject) -> Measured:
    """Keys and distinct keys are counted in the scan. A large file is first read once in its own order: keys that only
    grow are unique, which costs an eighth of counting distinct ones (measured on 6 million rows of two columns)."""
    columns = [subject.column(name) for name in check.arguments["columns"]]
    names = [quote(column) for column in columns]
    key = names[0] if len(names) == 1 else f"({', '.join(names)})"
    known = " AND ".join([*(f"{name} IS NOT NULL" for name in names), scope(check)])

    def judge(_: Part, values: tuple[Any, ...]) -> Finding:
        keys, distinct = int(values[0]), int(values[1])
        repeated = keys - distinct
        return Finding(keys, repeated, f"{', '.join(columns)}: {rows(repeated)} repeating a key" if repeated else "")

    return Measured(
        judge,
        (f"count(*) FILTER (WHERE {known})", f"count(DISTINCT {key}) FILTER (WHERE {known})"),
        f"SELECT {', '.join(names)}, count(*) AS rows FROM {quote(SELF)} WHERE {known} GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL",
        columns[0] if len(columns) == 1 else "",
        _only_grows(names) if _can_be_proved(check, subject, columns) else "",
    )


def _can_be_proved(check: CheckSpec, subject: Subject, columns: list[str]) -> bool:
    return check.where is None and len(columns) <= PROOF_COLUMNS_MAX and all(subject.nulls(column) == 0 for column in columns)


def _only_grows(names: list[str]) -> str:
    """True if each row's key is greater than the one before it, in the order of the file."""
    before = [f"before_{index}" for index in range(len(names))]
    greater = ""
    for name, old in reversed(list(zip(names, before, strict=True))):
        greater = f"{name} > {old} OR ({name} = {old} AND ({greater}))" if greater else f"{name} > {old}"
    lags = ", ".join(f"{name}, lag({name}) OVER () AS {old}" for name, old in zip(names, before, strict=True))
    return f"SELECT count(*) FILTER (WHERE NOT ({greater})) = 0 FROM (SELECT {lags} FROM {quote(SELF)})"
