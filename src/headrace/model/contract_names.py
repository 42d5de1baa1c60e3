"""Names that a contract says vendors use, at dates: they mustn't contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from headrace.model.nodes import ContractColumn
from headrace.model.reporting import Report, shown


class ColumnNamePeriod(NamedTuple):
    """From when until when a column is called so; empty: from the beginning, None: for good."""

    name: str
    first: str
    until: str | None


def report_names(columns: Sequence[ContractColumn], lines: Sequence[int], report: Report) -> None:
    """An error for each column that is called two things at a time, or like another one; `lines` are theirs."""
    if not any(column.names for column in columns):
        return
    by_name: dict[str, list[tuple[int, ColumnNamePeriod]]] = {}
    for index, column in enumerate(columns):
        spans = _spans(column)
        if spans is None:
            report.error(
                "contract_invalid", lines[index], f"what {shown(column.name)} is called overlaps in time, or ends before it begins",
                "let each entry of headrace.names begin where the one before it ends",
            )  # fmt: skip
            continue
        for span in spans:
            by_name.setdefault(span.name, []).append((index, span))
    for name, results in by_name.items():
        results.sort(key=lambda item: item[1].first)
        for (index, period), (other, next_one) in pairwise(results):
            if period.until is None or next_one.first < period.until:
                later = max(index, other)
                report.error(
                    "contract_invalid", lines[later],
                    f"two columns are called {shown(name)} at a time: {shown(columns[index].name)} and {shown(columns[other].name)}",
                    "take one of them out, or correct the dates of headrace.names",
                )  # fmt: skip


def _spans(column: ContractColumn) -> list[ColumnNamePeriod] | None:
    """What a column is called when, its own name wherever nothing else is said; None where entries overlap."""
    entries = sorted((str(name["from"]), None if name.get("to") is None else str(name["to"]), str(name["name"])) for name in column.names)
    periods, at = [], ""
    for number, (first, until, name) in enumerate(entries):
        following = entries[number + 1][0] if number + 1 < len(entries) else None
        if (until is not None and until <= first) or (following is not None and (until is None or following < until)):
            return None
        periods += [ColumnNamePeriod(column.name, at, first)] if at < first else []
        periods.append(ColumnNamePeriod(name, first, until))
        at = until or at
    if not entries or entries[-1][1] is not None:
        periods.append(ColumnNamePeriod(column.name, at, None))
    return list(_joined(periods))


def _joined(spans: Sequence[ColumnNamePeriod]) -> Iterator[ColumnNamePeriod]:
    """Neighbours with one name are one span: a column is never in its own way."""
    last: ColumnNamePeriod | None = None
    for span in spans:
        if last is not None and last.name == span.name and last.until == span.first:
            last = ColumnNamePeriod(last.name, last.first, span.until)
        else:
            if last is not None:
                yield last
            last = span
    if last is not None:
        yield last
