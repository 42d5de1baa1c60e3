"""The check kind `check_digit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.checks.check_kinds import (
    CheckKind,
    CheckSubject,
    Measurement,
    rows,
    rows_breaking,
    same_column,
)
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec
from headrace.model.check_kinds import read_column
from headrace.model.fields import Fields

DIGITS = (8, 12, 13, 14)
"""Lengths of GTIN codes: EAN-8, UPC-A, EAN-13, GTIN-14."""


class CheckDigit(CheckKind):
    """`check_digit: {column: ean, digits: 13}`: the last digit of each code agrees with the others,
    as GS1 computes it. Null passes.
    """

    name = "check_digit"
    fields = ("column", "digits")
    example = "check_digit: {column: ean, digits: 13}"
    reads_only_rows = True

    def read(self, fields: Fields) -> dict[str, Any] | None:
        """Return the column and the length of the codes; 13 by default."""
        column, digits = read_column(fields), 13
        if "digits" in fields:
            digits = fields.whole("digits", minimum=8, maximum=14) or 0
        if digits and digits not in DIGITS:
            fields.refuse("digits", f"no code has {digits} digits", "write 8, 12, 13 or 14")
            return None
        return {"column": column, "digits": digits} if column and digits else None

    def schema(self) -> dict[str, dict[str, Any]]:
        """Return what editors offer."""
        return {"column": {"type": "string"}, "digits": {"enum": list(DIGITS)}}

    def measure(self, check: CheckSpec, subject: CheckSubject) -> Measurement:
        """Count codes of another form, and those whose last digit is another one."""
        column, digits = subject.column(check.arguments["column"]), int(check.arguments["digits"])
        code = f"CAST({quote(column)} AS VARCHAR)"
        places = range(1, digits)
        # counted from the right, the digits before the last one weigh 3, 1, 3, 1 …
        weights = [3 if (digits - place) % 2 else 1 for place in places]
        total = " + ".join(
            f"{weight} * TRY_CAST(substring({code}, {place}, 1) AS INTEGER)"
            for place, weight in zip(places, weights, strict=True)
        )
        last = f"TRY_CAST(right({code}, 1) AS INTEGER)"
        right = (
            f"regexp_full_match({code}, '[0-9]{{{digits}}}') AND"
            f" coalesce((10 - ({total}) % 10) % 10 = {last}, false)"
        )
        return rows_breaking(
            check,
            f"{quote(column)} IS NOT NULL AND NOT ({right})",
            lambda count: f"{column}: {rows(count)} with a wrong check digit",
            examples=column,
        )

    def implied(self, arguments: Mapping[str, Any], by: Mapping[str, Any]) -> bool:
        """Return whether the other check is about the same column and length."""
        return same_column(arguments, by) and bool(arguments["digits"] == by["digits"])
