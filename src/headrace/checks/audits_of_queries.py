"""Run checks over the rows of a SELECT, with the code that audits staged files; write nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace.checks.check_kinds import SAMPLED, CheckedPartition, CheckSubject, StagedScanner
from headrace.checks.evaluation import Item, conclude, declare, measure
from headrace.checks.results import CheckResult
from headrace.lake import LakeColumn, LakeTable, StagedFile
from headrace.lake.sqltext import Readable
from headrace.model import CheckSpec, Grain

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession

_NOWHERE = StagedFile("", 0, 0, 0, {}, ())
"""A file without statistics: nothing about the rows is known or proved before they are read."""


class About(msgspec.Struct, frozen=True):
    """The description of the rows: their columns, the partition, and what its checks also read."""

    columns: Mapping[str, str]
    key: str
    as_of_us: int
    now_us: int
    timezone: str
    routing: tuple[str, Grain, str] | None = None
    """The column that routes rows, the grain and the partition's time, which every audit checks."""
    references: tuple[Readable, ...] = ()


class QueryRows(StagedScanner):
    """The rows of a SELECT, read as an audit reads a file."""

    def __init__(self, session: DuckDBSession, about: About, select: str) -> None:
        columns = tuple(
            LakeColumn(name, kind, number)
            for number, (name, kind) in enumerate(about.columns.items(), 2)
        )
        super().__init__(
            session, _NOWHERE, LakeTable("given", columns), about.references, several=False
        )
        self._select = select

    def _relation(self, key: str | None, *, with_partition: bool = False) -> str:
        del key, with_partition
        return self._select

    def _numbered(self) -> str:
        return (
            f"SELECT *, hash(row_number() OVER ()) % {self._every} = 0 AS {SAMPLED} FROM"
            f" ({self._select})"
        )


def ask(
    session: DuckDBSession, about: About, checks: Sequence[CheckSpec], select: str, rows: int
) -> list[CheckResult]:
    """Return the result of each check over the rows, in the order of `checks`."""
    return results_of(
        session, about, [declare(check, subject_of(about, rows)) for check in checks], select, rows
    )


def subject_of(about: About, rows: int) -> CheckSubject:
    """Return what checks know of the rows before they are read."""
    return CheckSubject(about.columns, {}, rows, about.timezone)


def results_of(
    session: DuckDBSession, about: About, items: list[Item], select: str, rows: int
) -> list[CheckResult]:
    """Return the results of what an audit measures, in the order of `items`."""
    staged = QueryRows(session, about, select)
    part = CheckedPartition(about.key, rows, about.as_of_us, about.now_us)
    measure(items, staged, [])
    return [conclude(item, [part], staged).result for item in items]
