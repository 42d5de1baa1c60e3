"""Ask checks about rows that a SELECT gives: the code that audits staged files, over what was never written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace.lake import LakeColumn, LakeTable, StagedFile
from headrace.lake.inlining import Readable
from headrace.model import CheckSpec, Grain
from headrace.quality import partitioning
from headrace.quality.judging import Item, conclude, declare, guarded, measure
from headrace.quality.kinds import CheckedPartition, CheckSubject
from headrace.quality.results import CheckResult, CheckState
from headrace.quality.scanning import SAMPLED, StagedScanner

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession

_NOWHERE = StagedFile("", 0, 0, 0, {}, ())
"""No file: nothing is known of the rows before they are read, and nothing is proven from it."""


class About(msgspec.Struct, frozen=True):
    """What the rows are said to be: their columns, the partition, and what its checks read besides."""

    columns: Mapping[str, str]
    key: str
    as_of_us: int
    timezone: str
    routing: tuple[str, Grain, str] | None = None
    """The column that says a row's partition, the grain and the partition's time: Headrace itself checks it at every audit."""
    references: tuple[Readable, ...] = ()


class _Given(StagedScanner):
    """Rows that a SELECT gives, where an audit reads a file's."""

    def __init__(self, session: DuckDBSession, about: About, select: str) -> None:
        columns = tuple(LakeColumn(name, kind, number) for number, (name, kind) in enumerate(about.columns.items(), 2))
        super().__init__(session, _NOWHERE, LakeTable("given", columns), about.references, several=False)
        self._select = select

    def _relation(self, key: str | None, *, with_partition: bool = False) -> str:
        del key, with_partition
        return self._select

    def _numbered(self) -> str:
        return f"SELECT *, hash(row_number() OVER ()) % {self._every} = 0 AS {SAMPLED} FROM ({self._select})"


def given(session: DuckDBSession, about: About, select: str) -> StagedScanner:
    """The rows that a SELECT gives, as an audit reads a staged file."""
    return _Given(session, about, select)


def ask(session: DuckDBSession, about: About, checks: Sequence[CheckSpec], select: str, rows: int) -> list[CheckResult]:
    """What each check comes to over the rows, in the order of `checks`."""
    return _asked(session, about, [declare(check, _subject(about, rows)) for check in checks], select, rows)


def is_routed(session: DuckDBSession, about: About, select: str, rows: int) -> bool:
    """Whether all rows are of the partition that they are said to be of, as every audit asks."""
    if about.routing is None:
        return True
    column, grain, key = about.routing
    item = guarded(Item(partitioning.CHECK), lambda: partitioning.rows_outside(_subject(about, rows), column, grain, [key], several=False))
    (check_result,) = _asked(session, about, [item], select, rows)
    return check_result.outcome is not CheckState.FAILED


def _subject(about: About, rows: int) -> CheckSubject:
    return CheckSubject(about.columns, {}, rows, about.timezone)


def _asked(session: DuckDBSession, about: About, items: list[Item], select: str, rows: int) -> list[CheckResult]:
    staged, part = _Given(session, about, select), CheckedPartition(about.key, rows, about.as_of_us)
    measure(items, staged, [])
    return [conclude(item, [part], staged).result for item in items]
