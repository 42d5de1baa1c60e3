"""The check kind `accepted_values`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.checks.check_kinds import (
    AggregateCheck,
    CheckKind,
    CheckSubject,
    listed,
    rows,
    rows_breaking,
    same_column,
    value,
)
from headrace.checks.proposals import (
    ROWS_A_VALUE,
    Memory,
    MutationKind,
    Proposal,
)
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec
from headrace.model.check_kinds import read_column
from headrace.model.fields import Fields

VALUES_MAX = 10_000


class AcceptedValues(CheckKind):
    """`accepted_values: {column: origin, values: [EWR, JFK, LGA]}`: each value of the column is
    in the list. Null passes; use `not_null` against nulls.
    """

    name = "accepted_values"
    fields = ("column", "values")
    example = "accepted_values: {column: origin, values: [EWR, JFK]}"
    reads_only_rows = True
    detects = frozenset(
        {
            MutationKind.DEFAULT,
            MutationKind.ENCODING,
            MutationKind.CATEGORY,
            MutationKind.SWAPPED,
        }
    )

    def read(self, fields: Fields) -> dict[str, Any] | None:
        """Return the column and the values: texts, numbers, true or false."""
        column, values = read_column(fields), fields.raw("values")
        if not isinstance(values, list) or not values:
            fields.report.error(
                "bad_check",
                fields.line("values"),
                f"{fields.what} has no list of `values`",
                "write values: [EWR, JFK]",
            )
            return None
        if len(values) > VALUES_MAX:
            fields.refuse(
                "values",
                f"{len(values):,} values are too many",
                f"at most {VALUES_MAX:,}; use `references` to a table",
                code="bad_check",
            )
            return None
        if any(isinstance(value, (dict, list)) for value in values):
            fields.refuse(
                "values",
                "`values` holds a list or a mapping",
                "texts, numbers, true or false",
                code="bad_check",
            )
            return None
        return None if column is None else {"column": column, "values": list(values)}

    def measure(self, check: CheckSpec, subject: CheckSubject) -> AggregateCheck:
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

    def looser(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """Return whether values were added and none removed."""
        return set(map(repr, after["values"])) > set(map(repr, before["values"]))

    def implied(self, arguments: Mapping[str, Any], by: Mapping[str, Any]) -> bool:
        """Return whether it accepts all values that the other check of the column accepts."""
        ours, theirs = set(map(repr, arguments["values"])), set(map(repr, by["values"]))
        return same_column(arguments, by) and ours >= theirs

    def proposed(self, column: str, memory: Memory) -> Iterator[Proposal]:
        """Propose the values of a text column with few of them."""
        known = memory.columns.get(column)
        if (
            known is not None
            and known.values
            and len(known.values) * ROWS_A_VALUE <= memory.rows
            and isinstance(known.values[0], str)
        ):
            arguments = {"column": column, "values": list(known.values)}
            yield Proposal(arguments, f"no other value in {memory.summary}")
