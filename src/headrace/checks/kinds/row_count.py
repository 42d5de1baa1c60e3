"""The check kind `row_count`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.checks.check_kinds import (
    AggregateCheck,
    CheckedPartition,
    CheckFinding,
    CheckKind,
    CheckSubject,
    rows,
    scope,
    within,
)
from headrace.checks.proposals import (
    LEAST_SHARE,
    PARTITIONS_MIN,
    Memory,
    MutationKind,
    Proposal,
)
from headrace.model import CheckSpec
from headrace.model.check_kinds import in_order, wider
from headrace.model.fields import Fields
from headrace.model.wording import counted

ROWS_MAX = 10**15


class RowCount(CheckKind):
    """`row_count: {min: 100, max: 2000}`: each partition has at least `min` and at most `max`
    rows.
    """

    name = "row_count"
    fields = ("min", "max")
    example = "row_count: {min: 100}"
    cause = "volume_anomaly"
    of_single_rows = False
    counts_rows = False
    reads_only_rows = True
    declared_once = True
    detects = frozenset({MutationKind.TRUNCATION})

    def read(self, fields: Fields) -> dict[str, Any] | None:
        """Return one or both bounds."""
        bounds = {
            name: fields.whole(name, minimum=0, maximum=ROWS_MAX)
            for name in ("min", "max")
            if name in fields
        }
        if not bounds:
            fields.report.error(
                "bad_check",
                fields.block.line,
                "`row_count` has neither `min` nor `max`",
                "give at least one",
            )
            return None
        if None in bounds.values() or (
            len(bounds) == 2 and not in_order(fields, bounds["min"], bounds["max"])
        ):
            return None
        return dict(bounds)

    def measure(self, check: CheckSpec, subject: CheckSubject) -> AggregateCheck:
        """Compare the staged number of rows; with `where`, the number that the scan counts.

        `failing` is the number of rows too few or too many.
        """
        del subject
        least, most = check.arguments.get("min"), check.arguments.get("max")

        def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
            count = int(values[0]) if values else part.rows
            if least is not None and count < least:
                detail = f"{rows(count)}, at least {least} expected"
                return CheckFinding(count, least - count, detail)
            if most is not None and count > most:
                detail = f"{rows(count)}, at most {most} expected"
                return CheckFinding(count, count - most, detail)
            return CheckFinding(count)

        scoped = (f"count(*) FILTER (WHERE {scope(check)})",) if check.where is not None else ()
        return AggregateCheck(judge, scoped, judges_empty=True)

    def looser(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """Return whether the bounds admit more."""
        return wider(before, after)

    def implied(self, arguments: Mapping[str, Any], by: Mapping[str, Any]) -> bool:
        """Return whether its bounds accept all that the other check accepts."""
        return within(arguments, by)

    def proposed(self, column: str, memory: Memory) -> Iterator[Proposal]:
        """Propose a minimum somewhat below the rows of the smallest partition."""
        if column or memory.least_rows < 1:
            return
        several = memory.partitions >= PARTITIONS_MIN
        least = max(1, math.floor(memory.least_rows * LEAST_SHARE)) if several else 1
        yield Proposal({"min": least}, _smallest(memory))

    def over_partitions(self, arguments: Mapping[str, Any], partition: str) -> None:
        """Return None: the number of rows decides."""
        del arguments, partition


def _smallest(memory: Memory) -> str:
    if memory.partitions == 1:
        return memory.summary
    rows_of = counted(memory.least_rows, "row")
    return f"{rows_of} in the smallest of {memory.partitions:,} partitions"
