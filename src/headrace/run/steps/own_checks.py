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
    result: Audit,
    declared: DeclaredChecks,
    earlier: EarlierPartition,
    session: DuckDBSession,
    staged: StagedFile,
    table: LakeTable,
) -> tuple[Fact, ...]:
    """The facts, those of blocking checks that the newest published interval before would fail put down to who declared the check:
    the declaration has changed, and the data hasn't. What was published although it failed says nothing of the check."""
    import duckdb

    failed = {
        check_result.name
        for check_result in result.results
        if check_result.outcome is CheckState.FAILED and check_result.severity is Severity.BLOCKING
    }
    checks = (*declared.promised, *declared.own)
    specs = [check for check in checks if check.name in failed and check.kind in _JUDGED_ALIKE and check.name not in earlier.failed]
    data = earlier.data
    if not specs or data is None or not data.files or len(earlier.keys) != 1:
        return tuple(facts)
    parts = {spec.name: _parts(spec, result) for spec in specs}
    whole = TableContents(data.files, data.rows or 1, earlier.keys[0])
    try:
        before = audit(
            session, staged, table, [part for several in parts.values() for part in several], partition_check=None,
            references=(), now_us=earlier.as_of_us, timezone=earlier.timezone, whole=whole, described=False,
        )  # fmt: skip
    except duckdb.Error:  # what readers saw was replaced and swept meanwhile: then it isn't known
        return tuple(facts)
    failing = {result.name for result in before.results if result.outcome is CheckState.FAILED}
    check_specs = {f"check {spec.name}": spec for spec in specs if failing.issuperset(part.name for part in parts[spec.name])}
    return tuple(_own(fact, _place(check_specs[fact.detail], fact, declared)) if fact.detail in check_specs else fact for fact in facts)


def _parts(check: CheckSpec, result: Audit) -> list[CheckSpec]:
    """A check by each of the columns that break it now, where each may do so alone: only some of them may be promised since."""
    empty = [name for name in _columns(check) if (seen := result.profile.get(name)) is not None and seen.nulls]
    if check.kind != "not_null" or len(empty) == len(_columns(check)) or not empty:
        return [check]
    return [
        msgspec.structs.replace(check, name=f"{check.name}\n{item}", arguments={**check.arguments, "columns": [item]}) for item in empty
    ]


def _place(check: CheckSpec, fact: Fact, declared: DeclaredChecks) -> str:
    """Where a check is declared: a contract's promise at its column, as far as one is named."""
    names = {fact.column, *_columns(check)} if check not in declared.own else set()
    columns = [column.place for column in declared.columns if column.name in names and column.place is not None]
    place = columns[0] if len(columns) == 1 else check.place
    return f"{place.file}:{place.line}"


def _columns(check: CheckSpec) -> list[str]:
    columns = check.arguments.get("columns", ())
    return [str(column) for column in columns] if isinstance(columns, list | tuple) else []


def _own(fact: Fact, place: str) -> Fact:
    observed = f"{fact.observed}{DECLARED_AT}{place}"
    return msgspec.structs.replace(fact, kind="configuration_error", observed=observed)
