"""What a check kind is: from a declared check to the SQL that measures it, and from what was measured to a finding.

A kind is one function in one file below `quality/checks/`, registered with `@check_kind("name")`. It reads nothing
itself: it says which aggregates the audit's one scan must compute, or which query's rows are the failures.
Kinds of other packages register through the entry point group `headrace.check_kind`; the entry point is the function.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.lake import ColumnStatistics
from headrace.lake.session import literal, quote
from headrace.model import CheckSpec, HeadraceError

if TYPE_CHECKING:
    from headrace.quality.scanning import StagedScanner

SELF = "__self__"
"""The name under which a check's query finds the staged rows (what `$self` becomes)."""

LISTED_VALUES_MAX = 5
"""How many values a detail lists before it says `…`."""

FLOATS = ("FLOAT", "DOUBLE")


class CheckUnusable(HeadraceError):
    """The check can't be measured on these columns; it fails with this message, and is never taken as passed."""


class CheckedPartition(msgspec.Struct, frozen=True):
    """One partition of the staged file. `as_of_us` is the instant that ages are measured from: now, or the end of the
    partition's interval where that is earlier, so that history can be rebuilt."""

    key: str
    rows: int
    as_of_us: int


class CheckFinding(msgspec.Struct, frozen=True):
    """What one check came to on one partition: how many rows it looked at, how many break it, and that in words."""

    rows: int
    failing: int = 0
    detail: str = ""


class CheckSubject(msgspec.Struct, frozen=True):
    """The staged rows that checks are about. `columns` maps each column's name to DuckDB's name of its type;
    `statistics` are the file's, over all of its partitions."""

    columns: Mapping[str, str]
    statistics: Mapping[str, ColumnStatistics]
    rows: int
    timezone: str

    def column(self, name: str) -> str:
        """The column as the table spells it (SQL compares names without case). Raises `CheckUnusable`."""
        if name in self.columns:
            return name
        for column in self.columns:
            if column.lower() == name.lower():
                return column
        raise CheckUnusable(f"there is no column `{name}`", hint=f"columns: {listed(list(self.columns), most=20)}")

    def nulls(self, column: str) -> int | None:
        """Nulls in the whole file as the writer counted them, or None where it didn't."""
        statistics = self.statistics.get(column)
        return None if statistics is None else statistics.nulls


class AggregateCheck(msgspec.Struct, frozen=True):
    """A check that aggregates of the staged rows decide. Without aggregates it is known at no scan."""

    judge: Callable[[CheckedPartition, tuple[Any, ...]], CheckFinding]
    aggregates: tuple[str, ...] = ()
    failing: str = ""
    """A query over `__self__` that shows failing rows; run only when there are some."""
    examples: str = ""
    """The column of those rows whose values the detail names."""
    staged_rows: bool = True
    """Whether those rows have the staged columns (and need not be described before they are shown)."""
    proof: Callable[[StagedScanner], bool] | None = None
    """Something cheaper than the aggregates, for large files: true only if certainly no row fails."""
    judges_empty: bool = False
    """Whether a partition without rows can fail; it is judged without values."""


class QueryCheck(msgspec.Struct, frozen=True):
    """A check whose failures are the rows of a query over `__self__` and other nodes."""

    query: str
    describe: Callable[[int], str]
    examples: str = ""
    staged_rows: bool = False
    row_by_row: bool = False
    """Whether each row fails by itself: where none of all rows fails, none of any partition's does."""
    reads: tuple[str, ...] = ()
    """Nodes that must be at hand; other nodes are given where the query names them."""
    where: str | None = None
    """A condition on the rows that the query returns."""


Measurement = AggregateCheck | QueryCheck
Kind = Callable[[CheckSpec, CheckSubject], Measurement]

_KINDS: dict[str, Kind] = {}


def check_kind(name: str) -> Callable[[Kind], Kind]:
    """Registers the decorated function as the kind `name`."""

    def register(kind: Kind) -> Kind:
        _KINDS[name] = kind
        return kind

    return register


@cache
def _load() -> None:
    package = importlib.import_module("headrace.quality.checks")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"headrace.quality.checks.{module.name}")


def kinds() -> tuple[str, ...]:
    """The names of the kinds that come with Headrace."""
    _load()
    return tuple(sorted(_KINDS))


def kind(name: str) -> Kind:
    """The kind of that name. Raises `CheckUnusable` if neither Headrace nor an installed package has it."""
    _load()
    return _KINDS.get(name) or _from_entry_points(name)


def _from_entry_points(name: str) -> Kind:
    from importlib.metadata import entry_points  # costs 10 ms, paid only for kinds of other packages

    for entry in entry_points(group="headrace.check_kind", name=name):
        loaded: Kind = entry.load()
        return loaded
    raise CheckUnusable(f"there is no check kind `{name}`", hint=f"kinds: {', '.join(kinds())}")


def condition(check: CheckSpec, bad: str) -> str:
    """The SQL condition that is true of failing rows: `bad`, restricted by the check's `where`."""
    return f"({bad})" if check.where is None else f"(({bad}) AND {scope(check)})"


def scope(check: CheckSpec) -> str:
    """The check's `where` in parentheses; the line break ends a comment that it may end with."""
    return "(true)" if check.where is None else f"({check.where}\n)"


def rows_breaking(check: CheckSpec, bad: str, describe: Callable[[int], str], *, examples: str = "") -> AggregateCheck:
    """A check that each row keeps or breaks by itself: rows where the SQL condition `bad` is true break it."""
    failing = condition(check, bad)
    aggregates: tuple[str, ...] = (f"count(*) FILTER (WHERE {failing})",)
    if check.where is not None:
        aggregates += (f"count(*) FILTER (WHERE {scope(check)})",)

    def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
        count = int(values[0])
        return CheckFinding(int(values[1]) if check.where is not None else part.rows, count, describe(count) if count else "")

    return AggregateCheck(judge, aggregates, f"SELECT * FROM {quote(SELF)} WHERE {failing}", examples)


def value(wanted: Any, column_type: str) -> str:
    """A declared value as SQL to compare with a column of that type. Text columns are compared as text, whatever
    YAML made of the value; others take DuckDB's reading of the literal, which fails loudly where it can't be one."""
    if column_type == "VARCHAR" and isinstance(wanted, bool):
        return literal("true" if wanted else "false")
    if column_type == "VARCHAR" or not isinstance(wanted, (bool, int, float)):
        return literal(str(wanted))
    return repr(wanted).lower() if isinstance(wanted, bool) else str(wanted)


def listed(values: Sequence[Any], *, most: int = LISTED_VALUES_MAX) -> str:
    """The values for people: `EWR, JFK, LGA`, cut after `most` with how many there are."""
    text = ", ".join(str(each) for each in values[:most])
    return text if len(values) <= most else f"{text}, … ({len(values)} in all)"


def rows(count: int) -> str:
    """`1 row`, `3 rows`."""
    return "1 row" if count == 1 else f"{count} rows"
