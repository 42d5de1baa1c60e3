"""Checks that what readers see would fail as well: they were declared, or tightened, since it was published."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from headrace.engine import InputData
from headrace.lake import LakeTable, StagedFile
from headrace.lake.session import DuckDBSession
from headrace.model import CheckSpec, ContractColumn, Severity
from headrace.observe.diagnosis.details import DECLARED_AT
from headrace.quality import Audit
from headrace.quality.audit import TableContents, audit
from headrace.quality.facts import Fact
from headrace.quality.results import CheckState

_JUDGED_ALIKE = frozenset({"range", "not_null", "accepted_values", "regex", "unique", "row_count", "freshness"})
"""What these come to depends on the rows, and the instant that ages are measured from: what passed once
fails only another check."""


class DeclaredChecks(NamedTuple):
    """The checks of a node: its own, and those that its contract promises of its `columns`."""

    own: Sequence[CheckSpec]
    promised: Sequence[CheckSpec] = ()
    columns: Sequence[ContractColumn] = ()


class EarlierPartition(NamedTuple):
    """What readers see of the partition before `keys`, the checks that it failed when it was published, and
    the instant that ages in it were measured from then."""

    data: InputData | None
    failed: Collection[str]
    keys: Sequence[str]
    timezone: str
    as_of_us: int


def with_own_checks(
    facts: Sequence[Fact],
    found: Audit,
    declared: DeclaredChecks,
    earlier: EarlierPartition,
    session: DuckDBSession,
    staged: StagedFile,
    table: LakeTable,
) -> tuple[Fact, ...]:
    """The facts, those of blocking checks that the newest published interval before would fail put down to who declared the check:
    the declaration has changed, and the data hasn't. What was published although it failed says nothing of the check."""
    import duckdb

    failed = {one.name for one in found.results if one.outcome is CheckState.FAILED and one.severity is Severity.BLOCKING}
    checks = (*declared.promised, *declared.own)
    asked = [one for one in checks if one.name in failed and one.kind in _JUDGED_ALIKE and one.name not in earlier.failed]
    data = earlier.data
    if not asked or data is None or not data.files or len(earlier.keys) != 1:
        return tuple(facts)
    parts = {one.name: _parts(one, found) for one in asked}
    whole = TableContents(data.files, data.rows or 1, earlier.keys[0])
    try:
        before = audit(
            session, staged, table, [part for several in parts.values() for part in several], partition_check=None,
            references=(), now_us=earlier.as_of_us, timezone=earlier.timezone, whole=whole, described=False,
        )  # fmt: skip
    except duckdb.Error:  # what readers saw was replaced and swept meanwhile: then it isn't known
        return tuple(facts)
    failing = {one.name for one in before.results if one.outcome is CheckState.FAILED}
    own = {f"check {one.name}": one for one in asked if failing.issuperset(part.name for part in parts[one.name])}
    return tuple(_own(fact, _place(own[fact.detail], fact, declared)) if fact.detail in own else fact for fact in facts)


def _parts(check: CheckSpec, found: Audit) -> list[CheckSpec]:
    """A check by each of the columns that break it now, where each may do so alone: only some of them may be promised since."""
    empty = [name for name in _columns(check) if (seen := found.profile.get(name)) is not None and seen.nulls]
    if check.kind != "not_null" or len(empty) == len(_columns(check)) or not empty:
        return [check]
    return [msgspec.structs.replace(check, name=f"{check.name}\n{one}", arguments={**check.arguments, "columns": [one]}) for one in empty]


def _place(check: CheckSpec, fact: Fact, declared: DeclaredChecks) -> str:
    """Where a check is declared: a contract's promise at its column, as far as one is named."""
    names = {fact.column, *_columns(check)} if check not in declared.own else set()
    columns = [one.place for one in declared.columns if one.name in names and one.place is not None]
    place = columns[0] if len(columns) == 1 else check.place
    return f"{place.file}:{place.line}"


def _columns(check: CheckSpec) -> list[str]:
    columns = check.arguments.get("columns", ())
    return [str(one) for one in columns] if isinstance(columns, list | tuple) else []


def _own(fact: Fact, place: str) -> Fact:
    observed = f"{fact.observed}{DECLARED_AT}{place}"
    return msgspec.structs.replace(fact, kind="configuration_error", observed=observed)
