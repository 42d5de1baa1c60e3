"""Which rows break the checks that failed: what `on_fail: quarantine_rows` takes out. Only checks that say so of single rows can be
answered like this; how many rows there are, or how old the newest is, no row can be taken out for."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.lake import LakeTable, StagedFile
from headrace.lake.inlining import Readable
from headrace.lake.session import DuckDBSession, quote
from headrace.model import CheckSpec, Severity
from headrace.quality.kinds import SELF, AggregateCheck, CheckSubject, CheckUnusable, QueryCheck, kind, scope
from headrace.quality.results import Audit, CheckState
from headrace.quality.samples import columns_of
from headrace.quality.scanning import StagedScanner


class NotOfRows(CheckUnusable):
    """A check failed that isn't about single rows."""


def faulty(
    session: DuckDBSession,
    staged: StagedFile,
    table: LakeTable,
    checks: Sequence[CheckSpec],
    audit: Audit,
    references: Sequence[Readable],
    timezone: str,
) -> str:
    """A query for the rows of the staged file that break its blocking checks, each once. `found` is the audit with these checks.

    Raises `NotOfRows` where something else is wrong too, and DuckDB's errors."""
    reader = StagedScanner(session, staged, table, references, several=False)
    failed = [result.severity is Severity.BLOCKING and result.outcome is CheckState.FAILED for result in audit.results]
    if any(failed[len(checks) :]):
        raise NotOfRows("rows belong to another partition")
    columns = {column.name: column.type for column in reader.columns}
    subject = CheckSubject(columns, {}, staged.rows, timezone)
    queries = [_rows(check, subject, reader) for check, broken in zip(checks, failed, strict=False) if broken]
    if not queries:
        raise NotOfRows("no check failed")
    names = ", ".join(quote(name) for name in columns)
    return " UNION ".join(f"SELECT {names} FROM ({reader.query(query)})" for query in queries)


def parted(session: DuckDBSession, staged: StagedFile, table: LakeTable, query: str, *, bad: bool) -> str:
    """A query for the rows that `query` names, as often as they are there, or for all others: equal rows break the same checks."""
    reader = StagedScanner(session, staged, table, (), several=False)
    alike = " AND ".join(f"mine.{quote(c.name)} IS NOT DISTINCT FROM faulty.{quote(c.name)}" for c in reader.columns)
    mine = reader.query(f"SELECT * FROM {quote(SELF)}")
    return f"SELECT mine.* FROM ({mine}) AS mine {'SEMI' if bad else 'ANTI'} JOIN ({query}) AS faulty ON {alike}"


def _rows(check: CheckSpec, subject: CheckSubject, reader: StagedScanner) -> str:
    measurement = kind(check.kind)(check, subject)
    if isinstance(measurement, QueryCheck):
        return _selected(check, measurement, reader)
    if check.kind == "unique":
        return _repeated(check, subject, measurement)
    if not measurement.failing or not measurement.staged_rows:
        raise NotOfRows(f"{check.name} isn't about single rows")
    return measurement.failing


def _selected(check: CheckSpec, measurement: QueryCheck, reader: StagedScanner) -> str:
    query = measurement.query if measurement.where is None else f"SELECT * FROM (\n{measurement.query}\n) WHERE ({measurement.where}\n)"
    if not measurement.staged_rows:
        given = columns_of(reader.session.connection, reader.query(query))
        if {name.lower() for name in given} != {column.name.lower() for column in reader.columns}:
            raise NotOfRows(f"{check.name} doesn't return the rows that are wrong, but something about them")
    return query


def _repeated(check: CheckSpec, subject: CheckSubject, measurement: AggregateCheck) -> str:
    """All rows that share a key: which of them is right isn't known."""
    names = [quote(subject.column(name)) for name in check.arguments["columns"]]
    same = " AND ".join(f"mine.{name} = their.{name}" for name in names)
    mine = f"SELECT * FROM {quote(SELF)} WHERE {scope(check)}"
    return f"SELECT mine.* FROM ({mine}) AS mine SEMI JOIN ({measurement.failing}) AS their ON {same}"
