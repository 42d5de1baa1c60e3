"""The checks of views, as part of the audit of what the views read: their statement runs over what is staged."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.engine import InputData
from headrace.engine.failures import BodyFailed
from headrace.engine.macros import defined, lent
from headrace.lake import PARTITION_COLUMN, ColumnLookup, FileRef, LakeTable, StagedFile
from headrace.lake.inlining import source_sql
from headrace.lake.session import DuckDBSession
from headrace.lake.staging import stage
from headrace.model import LakeError
from headrace.model.errors import first_line
from headrace.quality import Audit, Verdict
from headrace.quality.audit import audit
from headrace.quality.results import CheckResult, CheckState
from headrace.run.messages import ViewCheck


def with_views(
    found: Audit,
    views: Sequence[ViewCheck],
    session: DuckDBSession,
    staged: StagedFile,
    table: LakeTable,
    now_us: int,
    whole: Sequence[FileRef] = (),
) -> Audit:
    """The audit, with what the checks of views came to. A view's failure rejects what is staged. `whole`: of a merge, all that the
    table will consist of."""
    if not views or found.verdict in (Verdict.HELD, Verdict.REJECTED):
        return found
    files = tuple(whole) or (FileRef(staged.path, lookup=ColumnLookup.SAME),)
    results = [result for view in views for result in _judged(view, session, table, files, now_us)]
    found = found.with_results(results)
    failed = any(result.outcome is CheckState.FAILED for result in results)
    return msgspec.structs.replace(found, verdict=Verdict.REJECTED) if failed else found


def _judged(view: ViewCheck, session: DuckDBSession, table: LakeTable, files: tuple[FileRef, ...], now_us: int) -> list[CheckResult]:
    """The results, named by view and check. A view that can't be computed over what is staged fails all of its checks."""
    import duckdb

    name = view.data.name
    data = _over(view.data, table, files)
    try:
        with defined(session, view.macros):
            file, columns = stage(session, source_sql(data), table_name=name, partition="*", table=None, hashed=False)
        try:
            with lent(session, view.macros if any(check.kind == "sql" for check in view.checks) else {}):
                results = audit(
                    session, file, columns, view.checks,
                    partition_check=None, references=view.references, now_us=now_us, timezone=view.timezone, described=False,
                ).results  # fmt: skip
        finally:
            (session.data_folder / file.path).unlink(missing_ok=True)
    except (duckdb.Error, LakeError, BodyFailed) as error:
        why = f"can't be computed: {first_line(error)}"
        results = tuple(CheckResult(c.name, c.kind, c.severity, CheckState.FAILED, 0, 0, why, (), ("*",)) for c in view.checks)
    return [_named(name, result) for result in results]


def _named(view: str, result: CheckResult) -> CheckResult:
    detail = f"view {view}, check {result.name}: {result.detail}" if result.outcome is CheckState.FAILED else result.detail
    return msgspec.structs.replace(result, name=f"{view}.{result.name}", detail=detail, partitions=())


def _over(data: InputData, table: LakeTable, files: tuple[FileRef, ...]) -> InputData:
    """The view's inputs, with what is staged among the files of the node that it is of."""
    if data.sql:
        return msgspec.structs.replace(data, inputs=tuple(_over(item, table, files) for item in data.inputs))
    if data.name != table.name:
        return data
    columns = tuple(column for column in table.columns if column.name != PARTITION_COLUMN)
    old = data.files if data.columns == columns else tuple(_by_id(file) for file in data.files)
    return msgspec.structs.replace(data, files=(*old, *files), columns=columns)


def _by_id(file: FileRef) -> FileRef:
    return msgspec.structs.replace(file, lookup=ColumnLookup.ID) if file.lookup is ColumnLookup.SAME else file
