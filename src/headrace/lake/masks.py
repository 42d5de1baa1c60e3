"""Masks of columns as SQL expressions, and the error of a mask that fails on a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from headrace.lake.sqltext import quote
from headrace.lake.tables import LakeColumn
from headrace.model.errors import Refused

FAILED = "headrace: the mask of the column "
"""Begins the error of a mask; the column follows in double quotes."""
_FAILURE = re.compile(re.escape(FAILED) + r"(\"(?:[^\"]|\"\")*\")")


class MaskFunction(msgspec.Struct, frozen=True):
    """A SQL function from text that Python computes, under a name that nobody can guess.

    `of` maps the UTF-8 bytes of several values to their results.
    """

    name: str
    type: str
    column: str
    """For errors."""
    of: Callable[[Sequence[bytes]], Sequence[Any]]


class ColumnMask(msgspec.Struct, frozen=True):
    """The mask of one column: a SQL expression over the clear columns, and its type."""

    expression: str
    type: str
    function: MaskFunction | None = None
    needs: tuple[LakeColumn, ...] = ()
    """Other columns that the expression reads."""


ORDER = ""
"""Among the masks of columns: rows are sorted by what is shown, because the order in which they are
stored may say whose hidden value is greater."""


def masked_types(
    columns: Iterable[LakeColumn], masks: Mapping[str, ColumnMask]
) -> tuple[LakeColumn, ...]:
    """Return the columns with the types of their masked values."""
    return tuple(
        msgspec.structs.replace(column, type=masks[column.name.lower()].type)
        if column.name.lower() in masks
        else column
        for column in columns
    )


def mask_failure(error: Exception, act: str = "shown") -> Refused | None:
    """Return the refusal if a mask couldn't mask a value; the value isn't in it.

    `act` is what nothing is then.
    """
    match = _FAILURE.search(str(error))
    if match is None:
        return None
    return Refused(
        f"the mask of the column {match[1][:80]} failed on a value, so nothing is {act}",
        hint="leave the column out, or declare another method: see the page about masks",
    )


def failure(column: str) -> str:
    """Return the message of a mask that failed, without the value."""
    return FAILED + quote(column)
