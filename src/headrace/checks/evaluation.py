"""Evaluation of checks: measure all checks at once, then return results with failing rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from headrace.checks.check_kinds import (
    ONLY,
    SAMPLE_ROWS_MAX,
    SELF,
    AggregateCheck,
    CheckedPartition,
    CheckFinding,
    CheckSubject,
    CheckUnusable,
    Measurement,
    QueryCheck,
    StagedScanner,
    columns_of,
    examples,
    kind,
)
from headrace.checks.results import Audit, CheckResult, CheckState, ColumnProfile
from headrace.lake import LakeTable, StagedFile
from headrace.lake.session import DuckDBSession, is_one_condition, is_one_query
from headrace.lake.sqltext import Readable, quote
from headrace.model import CheckSpec, HeadraceError, Severity
from headrace.model.check_kinds import BUILT_IN
from headrace.model.plugins import CHECKS, plugin_names
from headrace.model.texts import marked, of_error

PROVED_FROM_ROWS = 100_000
"""The number of rows from which on a cheap proof is tried before the exact count."""

ERROR_CHARACTERS_MAX = 500
UNCHECKABLE = "can't be checked: "
"""Begins the detail of a check that can't be measured."""


class Item(msgspec.Struct):
    """One check during evaluation, with its measurement, values and error."""

    check: CheckSpec
    measurement: Measurement | None = None
    error: str = ""
    proved: bool = False
    profiled: bool = False
    """Whether a profile has the values, so that the scan needn't compute them."""
    large: bool = False
    """Whether the cheaper aggregates for large files are used."""
    values: dict[str, tuple[Any, ...]] = {}
    failing_rows: dict[str, tuple[dict[str, Any], ...]] = {}
    """Failing rows that were already read, by partition key."""
    none_fails: bool | None = None
    """Whether no row of any partition fails; None if unknown."""

    @property
    def aggregates(self) -> tuple[str, ...]:
        """Return the aggregates that this check still needs from the scan."""
        if not isinstance(self.measurement, AggregateCheck) or self.proved or self.error:
            return ()
        if self.profiled:
            return ()
        if self.large:
            return self.measurement.for_large_file
        return self.measurement.aggregates


class Concluded(msgspec.Struct, frozen=True):
    """A check's result over all partitions, and its result for each partition key."""

    result: CheckResult
    each: dict[str, CheckResult]


def declare(check: CheckSpec, subject: CheckSubject) -> Item:
    """Return the check with its measurement, or with the error that prevents one."""
    return guarded(Item(check), lambda: kind(check.kind).measure(check, subject))


def guarded(item: Item, measurement: Callable[[], Measurement]) -> Item:
    """Set the measurement that the function returns and return the item.

    Any exception becomes the item's error, since kinds also come from other packages: a check that
    can't be measured fails, and the others continue.
    """
    try:
        item.measurement = measurement()
    except Exception as error:  # noqa: BLE001
        item.error = _in_words(error)
    return item


def measure(
    items: Sequence[Item],
    staged: StagedScanner,
    extra: Sequence[str],
    by_row: Callable[[], tuple[Any, ...] | None] | None = None,
    profiled: Collection[str] = (),
) -> dict[str, tuple[Any, ...]]:
    """Measure all items in one scan and return the values of the `extra` aggregates.

    Items that count the distinct values of a column that is `profiled` from all of its values get
    them from `count_profiled`.

    `by_row` returns the same values without aggregates, for a file with few rows of one partition;
    it is used where no item needs the scan, unless it returns None. The values are by partition key
    if the file holds several partitions, else under `ONLY`. If the scan fails, each check is
    measured alone, to find the check that is at fault.
    """
    import duckdb

    _prepare_all(items, staged, profiled)
    aggregates = [aggregate for item in items for aggregate in item.aggregates]
    if not aggregates and not extra:
        return {}
    if not aggregates and by_row is not None and (values := by_row()) is not None:
        return {ONLY: values}
    try:
        results = staged.aggregates([*aggregates, *extra])
    except duckdb.Error:
        return _one_by_one(items, staged, extra)
    at = 0
    for item in items:
        beyond = at + len(item.aggregates)
        item.values = {key: row[at:beyond] for key, row in results.items()}
        at = beyond
    return {key: row[at:] for key, row in results.items()}


def _prepare_all(items: Sequence[Item], staged: StagedScanner, profiled: Collection[str]) -> None:
    for item in items:
        _prepare(item, staged)
        item.profiled = _distinct_of(item) in profiled


def _distinct_of(item: Item) -> str:
    """Return the column whose distinct values are still to be counted; empty if there is none."""
    measurement = item.measurement
    if not isinstance(measurement, AggregateCheck) or item.error or item.proved or item.large:
        return ""
    return measurement.distinct_of


def count_profiled(
    items: Sequence[Item], profiles: Mapping[str, Mapping[str, ColumnProfile]]
) -> None:
    """Give the items that `measure` left out the values of their column, by partition key."""
    for item in items:
        column = _distinct_of(item) if item.profiled else None
        if column is not None:
            item.values = {
                key: (profile[column].rows - profile[column].nulls, profile[column].distinct or 0)
                for key, profile in profiles.items()
                if column in profile
            }


def _prepare(item: Item, staged: StagedScanner) -> None:
    """Reject SQL that isn't one condition or one query, and try the cheap proof."""
    import duckdb

    if item.error:
        return
    try:
        if item.check.where is not None and not is_one_condition(item.check.where):
            item.error = "`where` isn't one condition"
        elif isinstance(item.measurement, QueryCheck):
            if not is_one_query(item.measurement.query):
                item.error = "it isn't one SELECT"
            staged.require(item.measurement.reads)
        elif (
            isinstance(item.measurement, AggregateCheck)
            and not staged.several
            and staged.file.rows >= PROVED_FROM_ROWS
        ):
            item.large = bool(item.measurement.for_large_file)
            item.proved = _proved(item.measurement, staged)
    except (HeadraceError, duckdb.Error) as error:
        item.error = _in_words(error)


def _proved(measurement: AggregateCheck, staged: StagedScanner) -> bool:
    import duckdb

    try:
        return measurement.proof is not None and measurement.proof(staged)
    except duckdb.Error:
        return False  # nothing is proved, so the aggregates decide


def _one_by_one(
    items: Sequence[Item], staged: StagedScanner, extra: Sequence[str]
) -> dict[str, tuple[Any, ...]]:
    import duckdb

    for item in items:
        item.large = False
        if item.aggregates:
            try:
                item.values = staged.aggregates(item.aggregates)
            except duckdb.Error as error:
                item.error = _in_words(error)
    return staged.aggregates(extra) if extra else {}


def conclude(item: Item, parts: Sequence[CheckedPartition], staged: StagedScanner) -> Concluded:
    """Return the check's result for the whole file and for each partition.

    As in `guarded`, any exception makes this check fail.
    """
    if not item.error:
        try:
            return _concluded(item, parts, staged)
        except Exception as error:  # noqa: BLE001
            item.error = _in_words(error)
    return Concluded(
        _unmeasured(item, parts), {part.key: _unmeasured(item, (part,)) for part in parts}
    )


def _unmeasured(item: Item, parts: Sequence[CheckedPartition]) -> CheckResult:
    keys = tuple(part.key for part in parts)
    return _make(
        item,
        CheckState.FAILED,
        sum(part.rows for part in parts),
        0,
        f"{UNCHECKABLE}{item.error}",
        keys=keys,
    )


def _concluded(item: Item, parts: Sequence[CheckedPartition], staged: StagedScanner) -> Concluded:
    each = {part.key: _partition_result(item, part, staged) for part in parts}
    failed = [(key, result) for key, result in each.items() if result.outcome is CheckState.FAILED]
    checked, failing = (
        sum(result.rows for result in each.values()),
        sum(result.failing for result in each.values()),
    )
    if not failed:
        return Concluded(
            _make(item, CheckState.PASSED if checked else CheckState.UNCHECKED, checked, 0, ""),
            each,
        )
    key, first = failed[0]
    detail = (
        first.detail if len(failed) == 1 else f"{key}: {first.detail}; in {len(failed)} partitions"
    )
    return Concluded(
        _make(
            item,
            CheckState.FAILED,
            checked,
            failing,
            detail,
            first.sample,
            tuple(key for key, _ in failed),
        ),
        each,
    )


def _partition_result(item: Item, part: CheckedPartition, staged: StagedScanner) -> CheckResult:
    """Return the check's result for one partition, the same alone as in a batch."""
    finding = _find(item, part, staged)
    if not finding.failing:
        return _make(
            item, CheckState.PASSED if finding.rows else CheckState.UNCHECKED, finding.rows, 0, ""
        )
    rows = _rows_to_show(item, part, staged)
    sample = tuple(row for row in rows if row)
    return _make(
        item,
        CheckState.FAILED,
        finding.rows,
        finding.failing,
        _detail(item, finding, sample),
        sample,
        (part.key,),
    )


def _find(item: Item, part: CheckedPartition, staged: StagedScanner) -> CheckFinding:
    measurement = item.measurement
    if isinstance(measurement, QueryCheck):
        count = _rows_returned(item, measurement, part, staged)
        return CheckFinding(part.rows, count, measurement.describe(count) if count else "")
    assert measurement is not None
    if item.proved:
        return CheckFinding(part.rows)
    if measurement.aggregates and not part.rows and not measurement.judges_empty:
        return CheckFinding(0)
    return measurement.judge(part, item.values.get(part.key if staged.several else ONLY, ()))


def _rows_returned(
    item: Item, selected: QueryCheck, part: CheckedPartition, staged: StagedScanner
) -> int:
    """Return the number of rows of the query.

    If the query returns the staged columns, sample rows are read first: there are usually few or
    none, which makes counting unnecessary.
    """
    if selected.row_by_row and staged.several and _none_fails(item, selected, staged):
        return 0
    if not selected.staged_rows:
        return staged.count(_query(selected), part.key)
    rows = item.failing_rows[part.key] = staged.rows(
        _query(selected), part.key, first=selected.examples, staged_rows=True
    )
    return len(rows) if len(rows) < SAMPLE_ROWS_MAX else staged.count(_query(selected), part.key)


def _none_fails(item: Item, selected: QueryCheck, staged: StagedScanner) -> bool:
    """Return whether no row of the batch fails, from one query for all partitions."""
    if item.none_fails is None:
        item.none_fails = not staged.rows(
            _query(selected), None, first=selected.examples, staged_rows=selected.staged_rows
        )
    return item.none_fails


def _rows_to_show(
    item: Item, part: CheckedPartition, staged: StagedScanner
) -> tuple[dict[str, Any], ...]:
    measurement = item.measurement
    query = (
        _query(measurement)
        if isinstance(measurement, QueryCheck)
        else measurement.failing
        if measurement
        else ""
    )
    if measurement is None or not query or part.key in item.failing_rows:
        return item.failing_rows.get(part.key, ())
    return staged.rows(
        query, part.key, first=measurement.examples, staged_rows=measurement.staged_rows
    )


def _query(selected: QueryCheck) -> str:
    return (
        selected.query
        if selected.where is None
        else f"SELECT * FROM (\n{selected.query}\n) WHERE ({selected.where}\n)"
    )


def _detail(item: Item, finding: CheckFinding, rows: tuple[dict[str, Any], ...]) -> str:
    detail = _figures(item, finding, rows) or finding.detail
    if item.check.kind not in BUILT_IN and item.check.kind in plugin_names(CHECKS):
        detail = marked(detail)  # words of another package, which may quote values
    column = item.measurement.examples if item.measurement else ""
    named = examples(rows, column) if column else ""
    return f"{detail} ({marked(named)})" if named else detail


def _figures(item: Item, finding: CheckFinding, rows: tuple[dict[str, Any], ...]) -> str:
    """Return the single row of numbers of a summary query: `cancelled 472, flights 930`.

    A number without an alias is left out, since DuckDB names it by its expression.
    """
    summed = isinstance(item.measurement, QueryCheck) and len(rows) == 1 and finding.failing == 1
    if not summed or not all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in rows[0].values()
    ):
        return ""
    return ", ".join(
        f"{name} {marked(f'{value:,}')}" for name, value in rows[0].items() if name != str(value)
    )


def _make(
    item: Item,
    outcome: CheckState,
    checked: int,
    failing: int,
    detail: str,
    sample: tuple[dict[str, Any], ...] = (),
    keys: tuple[str, ...] = (),
) -> CheckResult:
    check = item.check
    return CheckResult(
        check.name, check.kind, check.severity, outcome, checked, failing, detail, sample, keys
    )


def _in_words(error: Exception) -> str:
    """Return the error for people, without DuckDB's excerpt of a generated statement."""
    message = str(error).split("\n\nLINE ")[0].strip()
    hint = getattr(error, "hint", "")
    message = f"{message} ({hint})" if hint else message
    if len(message) > ERROR_CHARACTERS_MAX:
        message = message[:ERROR_CHARACTERS_MAX] + "…"
    return message if isinstance(error, CheckUnusable) else of_error(message)


# The rows that break failed checks, for `on_fail: quarantine_rows`. Only checks about single rows
# qualify: removing rows can't repair a wrong number of rows or the age of the newest row.


class NotOfRows(CheckUnusable):
    """A failed check isn't about single rows."""


def faulty_rows(
    session: DuckDBSession,
    staged: StagedFile,
    table: LakeTable,
    checks: Sequence[CheckSpec],
    audit: Audit,
    references: Sequence[Readable],
    timezone: str,
) -> str:
    """Return a query for the rows of the staged file that break its blocking checks, each once.

    `audit` is the audit of the file with these checks. Raises `NotOfRows` if anything else is
    wrong, and DuckDB's errors.
    """
    reader = StagedScanner(session, staged, table, references, several=False)
    failed = [
        result.severity is Severity.BLOCKING and result.outcome is CheckState.FAILED
        for result in audit.results
    ]
    if any(failed[len(checks) :]):
        raise NotOfRows("rows belong to another partition")
    columns = {column.name: column.type for column in reader.columns}
    subject = CheckSubject(columns, {}, staged.rows, timezone)
    queries = [
        _rows(check, subject, reader)
        for check, broken in zip(checks, failed, strict=False)
        if broken
    ]
    if not queries:
        raise NotOfRows("no check failed")
    names = ", ".join(quote(name) for name in columns)
    return " UNION ".join(f"SELECT {names} FROM ({reader.query(query)})" for query in queries)


def split_rows(
    session: DuckDBSession, staged: StagedFile, table: LakeTable, query: str, *, bad: bool
) -> str:
    """Return a query for the rows that `query` returns (`bad`), or for all other rows.

    Duplicates are kept. Equal rows break the same checks, so rows are compared by all columns.
    """
    reader = StagedScanner(session, staged, table, (), several=False)
    alike = " AND ".join(
        f"mine.{quote(c.name)} IS NOT DISTINCT FROM faulty.{quote(c.name)}" for c in reader.columns
    )
    mine = reader.query(f"SELECT * FROM {quote(SELF)}")
    return (
        f"SELECT mine.* FROM ({mine}) AS mine {'SEMI' if bad else 'ANTI'} JOIN ({query}) AS faulty"
        f" ON {alike}"
    )


def _rows(check: CheckSpec, subject: CheckSubject, reader: StagedScanner) -> str:
    measurement = kind(check.kind).measure(check, subject)
    if isinstance(measurement, QueryCheck):
        return _selected_rows(check, measurement, reader)
    if measurement.faulty_rows:
        return measurement.faulty_rows
    if not measurement.failing or not measurement.staged_rows:
        raise NotOfRows(f"{check.name} isn't about single rows")
    return measurement.failing


def _selected_rows(check: CheckSpec, measurement: QueryCheck, reader: StagedScanner) -> str:
    query = (
        measurement.query
        if measurement.where is None
        else f"SELECT * FROM (\n{measurement.query}\n) WHERE ({measurement.where}\n)"
    )
    if not measurement.staged_rows:
        returned_columns = columns_of(reader.session.connection, reader.query(query))
        if {name.lower() for name in returned_columns} != {
            column.name.lower() for column in reader.columns
        }:
            raise NotOfRows(
                f"{check.name} doesn't return the rows that are wrong, but something about them"
            )
    return query
