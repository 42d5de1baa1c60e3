"""From checks to results: what each check needs, one measurement of all, and failing rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    scope,
)
from headrace.checks.results import Audit, CheckResult, CheckState
from headrace.lake import LakeTable, StagedFile
from headrace.lake.session import DuckDBSession, is_one_condition, is_one_query
from headrace.lake.sqltext import Readable, quote
from headrace.model import CheckSpec, HeadraceError, Severity

PROVED_FROM_ROWS = 100_000
"""From how many rows on a cheap proof is tried before the exact count."""

ERROR_CHARACTERS_MAX = 500


class Item(msgspec.Struct):
    """One check on its way to a result."""

    check: CheckSpec
    measurement: Measurement | None = None
    error: str = ""
    proved: bool = False
    values: dict[str, tuple[Any, ...]] = {}
    shown: dict[str, tuple[dict[str, Any], ...]] = {}
    """Rows that were looked at already, by partition key."""
    none_fails: bool | None = None
    """Whether it is known that no row of any partition fails."""

    @property
    def aggregates(self) -> tuple[str, ...]:
        """What this check still needs of the scan."""
        return self.measurement.aggregates if isinstance(self.measurement, AggregateCheck) and not self.proved and not self.error else ()


class Concluded(msgspec.Struct, frozen=True):
    """A check's result over all partitions, and by the key of each."""

    result: CheckResult
    each: dict[str, CheckResult]


def declare(check: CheckSpec, subject: CheckSubject) -> Item:
    """The check with how it is measured, or with why it can't be."""
    return guarded(Item(check), lambda: kind(check.kind)(check, subject))


def guarded(item: Item, measurement: Callable[[], Measurement]) -> Item:
    """The item with what the function says. Whatever it raises (kinds come from other packages too) becomes the item's
    error: a check that can't be measured fails, and the others go on."""
    try:
        item.measurement = measurement()
    except Exception as error:  # noqa: BLE001
        item.error = _in_words(error)
    return item


def measure(items: Sequence[Item], staged: StagedScanner, extra: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Fills each item's values in one scan, together with `extra` aggregates, whose values are returned: by partition key where
    the file holds several, else under `ONLY`. Where the one scan can't be run, each check is measured alone, to know which it is."""
    import duckdb

    for item in items:
        _prepare(item, staged)
    wanted = [aggregate for item in items for aggregate in item.aggregates]
    if not wanted and not extra:
        return {}
    try:
        results = staged.aggregates([*wanted, *extra])
    except duckdb.Error:
        return _one_by_one(items, staged, extra)
    at = 0
    for item in items:
        beyond = at + len(item.aggregates)
        item.values = {key: row[at:beyond] for key, row in results.items()}
        at = beyond
    return {key: row[at:] for key, row in results.items()}


def _prepare(item: Item, staged: StagedScanner) -> None:
    """Refuses text that would leave its place in the statement, and tries the cheap proof."""
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
        elif isinstance(item.measurement, AggregateCheck) and not staged.several and staged.file.rows >= PROVED_FROM_ROWS:
            item.proved = _proved(item.measurement, staged)
    except (HeadraceError, duckdb.Error) as error:
        item.error = _in_words(error)


def _proved(measurement: AggregateCheck, staged: StagedScanner) -> bool:
    import duckdb

    try:
        return measurement.proof is not None and measurement.proof(staged)
    except duckdb.Error:
        return False  # nothing was shown, so the aggregates decide


def _one_by_one(items: Sequence[Item], staged: StagedScanner, extra: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    import duckdb

    for item in items:
        if item.aggregates:
            try:
                item.values = staged.aggregates(item.aggregates)
            except duckdb.Error as error:
                item.error = _in_words(error)
    return staged.aggregates(extra) if extra else {}


def conclude(item: Item, parts: Sequence[CheckedPartition], staged: StagedScanner) -> Concluded:
    """The check's result over all partitions of the file, and of each. As in `guarded`, whatever goes wrong is a failure of this
    check."""
    if not item.error:
        try:
            return _concluded(item, parts, staged)
        except Exception as error:  # noqa: BLE001
            item.error = _in_words(error)
    return Concluded(_unmeasured(item, parts), {part.key: _unmeasured(item, (part,)) for part in parts})


def _unmeasured(item: Item, parts: Sequence[CheckedPartition]) -> CheckResult:
    keys = tuple(part.key for part in parts)
    return _make(item, CheckState.FAILED, sum(part.rows for part in parts), 0, f"can't be checked: {item.error}", keys=keys)


def _concluded(item: Item, parts: Sequence[CheckedPartition], staged: StagedScanner) -> Concluded:
    each = {part.key: _partition_result(item, part, staged) for part in parts}
    failed = [(key, result) for key, result in each.items() if result.outcome is CheckState.FAILED]
    checked, failing = sum(result.rows for result in each.values()), sum(result.failing for result in each.values())
    if not failed:
        return Concluded(_make(item, CheckState.PASSED if checked else CheckState.UNCHECKED, checked, 0, ""), each)
    key, first = failed[0]
    detail = first.detail if len(failed) == 1 else f"{key}: {first.detail}; in {len(failed)} partitions"
    return Concluded(_make(item, CheckState.FAILED, checked, failing, detail, first.sample, tuple(key for key, _ in failed)), each)


def _partition_result(item: Item, part: CheckedPartition, staged: StagedScanner) -> CheckResult:
    """What the check came to for one partition, whether it was computed alone or in a batch."""
    finding = _find(item, part, staged)
    if not finding.failing:
        return _make(item, CheckState.PASSED if finding.rows else CheckState.UNCHECKED, finding.rows, 0, "")
    shown = _rows_to_show(item, part, staged)
    sample = tuple(row for row in shown if row)
    return _make(item, CheckState.FAILED, finding.rows, finding.failing, _detail(item, finding, sample), sample, (part.key,))


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


def _rows_returned(item: Item, selected: QueryCheck, part: CheckedPartition, staged: StagedScanner) -> int:
    """How many rows the query returns. Rows that needn't be described are looked at first: mostly there are none, or few."""
    if selected.row_by_row and staged.several and _none_fails(item, selected, staged):
        return 0
    if not selected.staged_rows:
        return staged.count(_query(selected), part.key)
    shown = item.shown[part.key] = staged.rows(_query(selected), part.key, first=selected.examples, staged_rows=True)
    return len(shown) if len(shown) < SAMPLE_ROWS_MAX else staged.count(_query(selected), part.key)


def _none_fails(item: Item, selected: QueryCheck, staged: StagedScanner) -> bool:
    """Whether no row of the batch fails: looked at once for all of its partitions."""
    if item.none_fails is None:
        item.none_fails = not staged.rows(_query(selected), None, first=selected.examples, staged_rows=selected.staged_rows)
    return item.none_fails


def _rows_to_show(item: Item, part: CheckedPartition, staged: StagedScanner) -> tuple[dict[str, Any], ...]:
    measurement = item.measurement
    query = _query(measurement) if isinstance(measurement, QueryCheck) else measurement.failing if measurement else ""
    if measurement is None or not query or part.key in item.shown:
        return item.shown.get(part.key, ())
    return staged.rows(query, part.key, first=measurement.examples, staged_rows=measurement.staged_rows)


def _query(selected: QueryCheck) -> str:
    return selected.query if selected.where is None else f"SELECT * FROM (\n{selected.query}\n) WHERE ({selected.where}\n)"


def _detail(item: Item, finding: CheckFinding, shown: tuple[dict[str, Any], ...]) -> str:
    text = _figures(item, finding, shown) or finding.detail
    column = item.measurement.examples if item.measurement else ""
    named = examples(shown, column) if column else ""
    return f"{text} ({named})" if named else text


def _figures(item: Item, finding: CheckFinding, shown: tuple[dict[str, Any], ...]) -> str:
    """What a query says that sums up in one row of numbers: `cancelled 472, flights 930`. A number that
    the query gave no name says nothing: DuckDB calls it as it is written."""
    summed = isinstance(item.measurement, QueryCheck) and len(shown) == 1 and finding.failing == 1
    if not summed or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in shown[0].values()):
        return ""
    return ", ".join(f"{name} {value:,}" for name, value in shown[0].items() if name != str(value))


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
    return CheckResult(check.name, check.kind, check.severity, outcome, checked, failing, detail, sample, keys)


def _in_words(error: Exception) -> str:
    """The error for people: DuckDB's without its excerpt of a statement that the user never wrote."""
    text = str(error).split("\n\nLINE ")[0].strip()
    hint = getattr(error, "hint", "")
    text = f"{text} ({hint})" if hint else text
    return text if len(text) <= ERROR_CHARACTERS_MAX else text[:ERROR_CHARACTERS_MAX] + "…"


# The rows that break the failed checks, which `on_fail: quarantine_rows` takes out. Only checks
# about single rows qualify: no row can be taken out for a wrong number of rows or for the age of
# the newest one.


class NotOfRows(CheckUnusable):
    """A check failed that isn't about single rows."""


def faulty_rows(
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


def split_rows(session: DuckDBSession, staged: StagedFile, table: LakeTable, query: str, *, bad: bool) -> str:
    """A query for the rows that `query` names, as often as they are there, or for all others: equal rows break the same checks."""
    reader = StagedScanner(session, staged, table, (), several=False)
    alike = " AND ".join(f"mine.{quote(c.name)} IS NOT DISTINCT FROM faulty.{quote(c.name)}" for c in reader.columns)
    mine = reader.query(f"SELECT * FROM {quote(SELF)}")
    return f"SELECT mine.* FROM ({mine}) AS mine {'SEMI' if bad else 'ANTI'} JOIN ({query}) AS faulty ON {alike}"


def _rows(check: CheckSpec, subject: CheckSubject, reader: StagedScanner) -> str:
    measurement = kind(check.kind)(check, subject)
    if isinstance(measurement, QueryCheck):
        return _selected_rows(check, measurement, reader)
    if check.kind == "unique":
        return _repeated(check, subject, measurement)
    if not measurement.failing or not measurement.staged_rows:
        raise NotOfRows(f"{check.name} isn't about single rows")
    return measurement.failing


def _selected_rows(check: CheckSpec, measurement: QueryCheck, reader: StagedScanner) -> str:
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
