"""Check kinds as declarations need them: arguments, JSON Schema, example, and what is weaker.

A kind is one class in `headrace/checks/kinds` or in an installed package, which has the SQL as
well (`headrace.checks.check_kinds.CheckKind`). This package must not import it: it is imported when
a declaration names it.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from headrace.model.errors import shown
from headrace.model.fields import COLUMN_CHARACTERS_MAX, Fields
from headrace.model.plugins import CHECKS, load_plugin, own_kinds

_FIRST = ("unique", "not_null", "accepted_values", "range", "regex", "references", "freshness")
BUILT_IN = tuple(dict.fromkeys((*_FIRST, *own_kinds(CHECKS))))
"""Headrace's own kinds, the most used first, in messages and on the reference page."""


class CommonCheck(enum.StrEnum):
    """Kinds that other packages treat specially."""

    UNIQUE = "unique"
    NOT_NULL = "not_null"
    REFERENCES = "references"
    SQL = "sql"


class CheckDeclaration(ABC):
    """The declaration of one check kind. Its docstring is the kind's text for users."""

    name: ClassVar[str]
    """The key in `checks:`, equal to the name of the entry point."""
    fields: ClassVar[tuple[str, ...]]
    """Names of its arguments, besides `name`, `severity` and `where`, which every check has."""
    example: ClassVar[str]
    """One check as YAML: `unique: [flight_id]`."""
    short: ClassVar[str | None] = None
    """The argument that may stand alone, as a text or a list, in place of the mapping."""

    @abstractmethod
    def read(self, fields: Fields) -> dict[str, Any] | None:
        """Return the arguments as JSON values; report problems to `fields` and return None."""

    def schema(self) -> dict[str, dict[str, Any]]:
        """Return a JSON Schema for each argument; by default one that accepts anything."""
        return {name: {} for name in self.fields}

    def columns(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        """Return the columns that a check is about; `*` for all of a row, none if unknown."""
        names = arguments.get("columns") or (arguments.get("column", "*"),)
        return frozenset(str(name) for name in names)

    def looser(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """Return whether the arguments `after` accept rows that `before` refuses.

        False also if the arguments don't show it. Plans list looser checks as weakened promises.
        """
        del before, after
        return False


@cache
def check_declaration(name: str) -> CheckDeclaration | None:
    """Return the check kind `name`; None if neither Headrace nor an installed package has it.

    Raises BrokenPlugin.
    """
    return load_plugin(CHECKS, name, CheckDeclaration)  # type: ignore[type-abstract]


def built_in_checks() -> tuple[CheckDeclaration, ...]:
    """Return all kinds of Headrace itself."""
    kinds = (check_declaration(name) for name in BUILT_IN)
    return tuple(kind for kind in kinds if kind is not None)


# Readers of arguments that several kinds share.


def read_columns(fields: Fields) -> dict[str, Any] | None:
    """Return `{"columns": […]}`, or report that the check names no columns or invalid ones."""
    columns = fields.texts("columns")
    if not columns and "columns" not in fields:
        fields.report.error(
            "bad_check",
            fields.block.line,
            f"{fields.what} names no columns",
            "write a list of columns",
        )
    elif not columns:
        fields.refuse(
            "columns",
            f"{fields.what} names no columns",
            "write a list of columns",
            code="bad_check",
        )
    good = [column for column in columns if _is_column(fields, "columns", column)]
    return {"columns": good} if good and len(good) == len(columns) else None


def read_column(fields: Fields) -> str | None:
    """Return the argument `column`, or report that it is missing or invalid."""
    column = fields.required("column")
    return column if column is not None and _is_column(fields, "column", column) else None


def _is_column(fields: Fields, name: str, column: str) -> bool:
    if len(column) <= COLUMN_CHARACTERS_MAX and column.isprintable():
        return True
    fields.refuse(name, f"{shown(column)} can't be a column's name", "", code="bad_check")
    return False


def in_order(fields: Fields, low: Any, high: Any) -> bool:
    """Return whether `min` isn't above `max`; report it otherwise."""
    if isinstance(low, str) != isinstance(high, str):
        fields.refuse(
            "max",
            "`min` and `max` are of different types",
            "two numbers, or two texts",
            code="bad_check",
        )
        return False
    if not isinstance(low, str) and low > high:
        fields.refuse(
            "max",
            f"`min` ({low}) is above `max` ({high}): nothing can pass",
            "swap them",
            code="bad_check",
        )
        return False
    return True


def wider(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether the bounds `after` admit values that `before` don't."""
    least, most = before.get("min"), before.get("max")
    try:
        lower = least is not None and (after.get("min") is None or after["min"] < least)
        return lower or (most is not None and (after.get("max") is None or after["max"] > most))
    except TypeError:  # a number and a date
        return False
