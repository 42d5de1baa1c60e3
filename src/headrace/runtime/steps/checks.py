"""Checks in an audit: newly declared checks, checks of views, row-level quarantine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from headrace.checks import Audit, Verdict
from headrace.checks.audit import AuditRequest, TableContents, audit
from headrace.checks.check_kinds import known_kind
from headrace.checks.evaluation import NotOfRows, faulty_rows, split_rows
from headrace.checks.facts import Fact
from headrace.checks.results import CheckResult, CheckState
from headrace.engine import InputData
from headrace.engine.failures import BodyFailed
from headrace.engine.macros import defined, lent
from headrace.incidents.diagnosis.evidence import DECLARED_AT
from headrace.lake import (
    PARTITION_COLUMN,
    ColumnLookup,
    FileRef,
    LakeTable,
    StagedFile,
    as_other_columns,
)
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import source_sql
from headrace.lake.staging import stage, write_rows
from headrace.model import CheckSpec, ContractColumn, LakeError, Severity
from headrace.model.check_kinds import CommonCheck
from headrace.model.errors import first_line
from headrace.model.texts import of_error
from headrace.runtime.messages import (
    EarlierPublication,
    StagedOutcome,
    ViewCheck,
    WithheldOutcome,
)
from headrace.runtime.steps.worker_context import WorkerContext

# Checks that published rows would fail as well, because the checks were declared or tightened since
# these rows were published.


class DeclaredChecks(NamedTuple):
    """The checks of a node: its own, and those that its contract declares for `columns`."""

    node_checks: Sequence[CheckSpec]
    promised: Sequence[CheckSpec] = ()
    columns: Sequence[ContractColumn] = ()


class EarlierPartition(NamedTuple):
    """Published rows of the partition before `keys`; None if there are none to compare with."""

    publication: EarlierPublication | None
    keys: Sequence[str]
    timezone: str


def with_own_checks(
    facts: Sequence[Fact],
    result: Audit,
    declared: DeclaredChecks,
    earlier: EarlierPartition,
    session: DuckDBSession,
    staged: StagedFile,
    table: LakeTable,
) -> tuple[Fact, ...]:
    """Return the facts, with failures caused by changed checks attributed to the declaration.

    That is the case if the newest published interval before would fail the check too: the
    declaration has changed, not the data. Checks that this interval failed when it was published
    are left as they are.
    """
    publication = earlier.publication
    if publication is None or not publication.data.files or len(earlier.keys) != 1:
        return tuple(facts)
    specs = _newly_failed(declared, publication, result)
    if not specs:
        return tuple(facts)
    parts = {spec.name: _parts(spec, result) for spec in specs}
    before = [part for several in parts.values() for part in several]
    failing = _failed_before(before, publication, earlier, session, staged, table)
    check_specs = {
        f"check {spec.name}": spec
        for spec in specs
        if failing.issuperset(part.name for part in parts[spec.name])
    }
    return tuple(_declared(fact, check_specs, declared) for fact in facts)


def _failed_before(
    checks: Sequence[CheckSpec],
    publication: EarlierPublication,
    earlier: EarlierPartition,
    session: DuckDBSession,
    staged: StagedFile,
    table: LakeTable,
) -> set[str]:
    """Return the names of the checks that the earlier rows fail, as of their publication.

    None of them if the published files were replaced and deleted in the meantime.
    """
    import duckdb

    data = publication.data
    whole = TableContents(data.files, data.rows or 1, earlier.keys[0])
    request = AuditRequest(checks=checks, now_us=publication.as_of_us, timezone=earlier.timezone)
    try:
        audited = audit(session, staged, table, request, whole=whole, described=False)
    except duckdb.Error:
        return set()
    return {result.name for result in audited.results if result.outcome is CheckState.FAILED}


def _newly_failed(
    declared: DeclaredChecks, publication: EarlierPublication, result: Audit
) -> list[CheckSpec]:
    """Return the failed blocking checks of rows alone that an earlier publication didn't fail."""
    failed = {
        check_result.name
        for check_result in result.results
        if check_result.outcome is CheckState.FAILED and check_result.severity is Severity.BLOCKING
    }
    return [
        check
        for check in (*declared.promised, *declared.node_checks)
        if check.name in failed
        and check.name not in publication.failed
        and (checked := known_kind(check.kind)) is not None
        and checked.reads_only_rows
    ]


def _parts(check: CheckSpec, result: Audit) -> list[CheckSpec]:
    """Split a `not_null` check into its columns that have nulls now.

    Only some of them may have been declared since.
    """
    empty = [
        name
        for name in _columns(check)
        if (seen := result.profile.get(name)) is not None and seen.nulls
    ]
    if check.kind != CommonCheck.NOT_NULL or len(empty) == len(_columns(check)) or not empty:
        return [check]
    return [
        msgspec.structs.replace(
            check, name=f"{check.name}\n{item}", arguments={**check.arguments, "columns": [item]}
        )
        for item in empty
    ]


def _place(check: CheckSpec, fact: Fact, declared: DeclaredChecks) -> str:
    """Return the file and line that declare a check; for a contract, those of the column."""
    names = {fact.column, *_columns(check)} if check not in declared.node_checks else set()
    columns = [
        column.place
        for column in declared.columns
        if column.name in names and column.place is not None
    ]
    place = columns[0] if len(columns) == 1 else check.place
    return f"{place.file}:{place.line}"


def _columns(check: CheckSpec) -> list[str]:
    columns = check.arguments.get("columns", ())
    return [str(column) for column in columns] if isinstance(columns, list | tuple) else []


def _declared(fact: Fact, checks: Mapping[str, CheckSpec], declared: DeclaredChecks) -> Fact:
    """Return the fact; a failure of one of the checks is attributed to the check's declaration."""
    check = checks.get(fact.detail)
    if check is None:
        return fact
    observed = f"{fact.observed}{DECLARED_AT}{_place(check, fact, declared)}"
    return msgspec.structs.replace(fact, kind="configuration_error", observed=observed)


# Checks of views, as part of the audit of the nodes that they read: the view's query runs over the
# staged rows.


def with_views(
    audited: Audit,
    views: Sequence[ViewCheck],
    session: DuckDBSession,
    staged: StagedFile,
    table: LakeTable,
    now_us: int,
    whole: Sequence[FileRef] = (),
) -> Audit:
    """Return the audit with the results of views' checks; a failure rejects the staged rows.

    `whole` are all files of a merged table.
    """
    if not views or audited.verdict in (Verdict.HELD, Verdict.REJECTED):
        return audited
    files = tuple(whole) or (FileRef(staged.path, lookup=ColumnLookup.SAME),)
    results = [
        result for view in views for result in _evaluated(view, session, table, files, now_us)
    ]
    audited = audited.with_results(results)
    failed = any(result.outcome is CheckState.FAILED for result in results)
    return msgspec.structs.replace(audited, verdict=Verdict.REJECTED) if failed else audited


def _evaluated(
    view: ViewCheck,
    session: DuckDBSession,
    table: LakeTable,
    files: tuple[FileRef, ...],
    now_us: int,
) -> list[CheckResult]:
    """Return the results, named by view and check.

    A view that can't be computed over the staged rows fails all of its checks.
    """
    import duckdb

    name = view.data.name
    data = _over(view.data, table, files)
    request = AuditRequest(
        checks=view.checks, now_us=now_us, references=view.references, timezone=view.timezone
    )
    try:
        with defined(session, view.macros):
            file, columns = stage(
                session, source_sql(data), target=TargetTable(name), partition="*", hashed=False
            )
        try:
            with lent(session, view.macros):
                results = audit(session, file, columns, request, described=False).results
        finally:
            (session.data_folder / file.path).unlink(missing_ok=True)
    except (duckdb.Error, LakeError, BodyFailed) as error:
        why = f"can't be computed: {of_error(first_line(error))}"
        results = tuple(
            CheckResult(c.name, c.kind, c.severity, CheckState.FAILED, 0, 0, why, (), ("*",))
            for c in view.checks
        )
    return [_named(name, result) for result in results]


def _named(view: str, result: CheckResult) -> CheckResult:
    detail = (
        f"view {view}, check {result.name}: {result.detail}"
        if result.outcome is CheckState.FAILED
        else result.detail
    )
    return msgspec.structs.replace(
        result, name=f"{view}.{result.name}", detail=detail, partitions=()
    )


def _over(data: InputData, table: LakeTable, files: tuple[FileRef, ...]) -> InputData:
    """Return the view's inputs, with the staged files added to the audited node's."""
    if data.sql:
        return msgspec.structs.replace(
            data, inputs=tuple(_over(item, table, files) for item in data.inputs)
        )
    if data.name != table.name:
        return data
    columns = tuple(column for column in table.columns if column.name != PARTITION_COLUMN)
    old = (
        data.files
        if data.columns == columns
        else tuple(as_other_columns(file) for file in data.files)
    )
    return msgspec.structs.replace(data, files=(*old, *files), columns=columns)


# `on_fail: quarantine_rows`: rows that fail a check go to quarantine, all others are published with
# a warning. If a failed check can't be attributed to rows, if no row is left, or if the remaining
# rows must be held, the whole partition is withheld unchanged.

QUARANTINE_ROWS = "quarantine_rows"


class RowSplit(msgspec.Struct, frozen=True):
    """A staged file and its audit; after a split, also the files of bad rows and of all rows."""

    staged: StagedFile
    audit: Audit
    bad: StagedFile | None = None
    every: StagedFile | None = None
    whole: Audit | None = None
    """The audit of all rows."""

    def settle(
        self, outcome: StagedOutcome | WithheldOutcome, context: WorkerContext
    ) -> StagedOutcome | WithheldOutcome:
        """Return the outcome with the bad rows in quarantine, or all rows if it isn't published."""
        if self.bad is None or self.every is None or self.whole is None:
            return outcome
        if isinstance(outcome, StagedOutcome):
            _remove(context, self.every)
            message = f"{self.bad.rows} of {self.every.rows} rows wait in quarantine"
            reason = "; ".join(filter(None, [message, outcome.reason]))
            return msgspec.structs.replace(
                outcome,
                reason=reason,
                quarantined=context.quarantine(self.bad),
                quarantined_rows=self.bad.rows,
            )
        _remove(context, self.bad)
        if outcome.quarantined is None:
            _remove(context, self.every)
            return outcome
        (context.folders.data_path / outcome.quarantined).unlink(missing_ok=True)
        staged = self.every.hashed(self.whole.content_hash)
        return msgspec.structs.replace(
            outcome, staged=staged, quarantined=context.quarantine(self.every)
        )


def blocking(on_fail: str) -> str:
    """Return `on_fail` for checks while the failing rows aren't known."""
    return "reject" if on_fail == QUARANTINE_ROWS else on_fail


def without_faulty_rows(
    session: DuckDBSession,
    staged: StagedFile,
    table: LakeTable,
    request: AuditRequest,
    audited: Callable[[StagedFile], Audit],
    on_fail: str,
) -> RowSplit:
    """Audit a staged file; if rows are to be quarantined, audit it again without the bad ones.

    That needs `on_fail: quarantine_rows`, a rejection, and a file of one partition.
    """
    import duckdb

    audit = audited(staged)
    if (
        on_fail != QUARANTINE_ROWS
        or audit.verdict is not Verdict.REJECTED
        or len(staged.partitions) != 1
    ):
        return RowSplit(staged, audit)
    try:
        query = faulty_rows(
            session, staged, table, request.checks, audit, request.references, request.timezone
        )
        bad = write_rows(
            session,
            split_rows(session, staged, table, query, bad=True),
            table,
            staged.partitions[0].key,
        )
    except (NotOfRows, duckdb.Error):
        return RowSplit(staged, audit)
    left = write_rows(
        session,
        split_rows(session, staged, table, query, bad=False),
        table,
        staged.partitions[0].key,
    )
    again = audited(left) if left.rows and bad.rows + left.rows == staged.rows else None
    if again is None or again.verdict is Verdict.REJECTED:
        for file in (bad, left):
            (session.data_folder / file.path).unlink()
        return RowSplit(staged, audit)
    return RowSplit(left, _with_warnings(again, audit), bad, staged, audit)


def _with_warnings(again: Audit, audit: Audit) -> Audit:
    """Return the audit of the remaining rows, with the failures of the others as warnings."""
    results = [
        msgspec.structs.replace(before, severity=Severity.WARNING)
        if before.outcome is CheckState.FAILED and before.severity is Severity.BLOCKING
        else now
        for now, before in zip(again.results, audit.results, strict=True)
    ]
    return msgspec.structs.replace(again.with_warning(), results=tuple(results))


def _remove(context: WorkerContext, file: StagedFile) -> None:
    (context.folders.lake / file.path).unlink(missing_ok=True)
