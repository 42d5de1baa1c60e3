"""`test`: assets computed from given rows and compared with the rows that are expected. No lake, no state is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.model import Asset, AssetTest, UsageError
from headrace.operations import targets
from headrace.operations.bench.bench import Bench, ComputeRequest, ComputeResult
from headrace.operations.bench.comparing import SHOWN_MAX, Comparison, compare
from headrace.operations.bench.given import BadRows
from headrace.operations.inspections import CellRow, RowDifferenceRow, TestRow
from headrace.operations.parameters import with_parameters
from headrace.operations.progress import Progress
from headrace.operations.responses import CheckRow, ErrorRow
from headrace.operations.selection import selected
from headrace.operations.session import ProjectSession, usable
from headrace.operations.try_asset import check_rows, error_row
from headrace.plan import Compiled

WORKERS_MAX = 4


def run_tests(
    session: ProjectSession,
    selection: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
    progress: Progress,
) -> list[TestRow]:
    """The tests of the selected assets (all where nothing is selected), in the order of their files.

    Raises InvalidProject where the files have errors, UsageError for a selection or a parameter that there isn't.
    """
    compiled = with_parameters(usable(session.declared(progress)), parameters or {})
    names = set(selected(session, selection, exclude, compiled=compiled, project=compiled.project))
    tests = [test for test in compiled.project.tests if test.asset in names]
    session.close()  # DuckDB is loaded now
    if not tests:
        return []
    progress.start("tests", len(tests))
    rows: list[TestRow | None] = [None] * len(tests)
    for places, versions in _by_parameters(tests):
        for index, row in _run(session, _for_test(compiled, versions), [tests[i] for i in places]):
            rows[places[index]] = row
            progress.advance(1)
    progress.finish()
    return [row for row in rows if row is not None]


def _by_parameters(tests: Sequence[AssetTest]) -> list[tuple[list[int], Mapping[str, Any]]]:
    """Which tests have the same parameters of their own: they share a bench."""
    groups: list[tuple[list[int], Mapping[str, Any]]] = []
    for index, test in enumerate(tests):
        for places, parameters in groups:
            if parameters == test.parameters:
                places.append(index)
                break
        else:
            groups.append(([index], test.parameters))
    return groups


def _for_test(compiled: Compiled, parameters: Mapping[str, Any]) -> Compiled:
    if not parameters:
        return compiled
    project = compiled.project
    assets = {name: msgspec.structs.replace(asset, parameters={**asset.parameters, **parameters}) for name, asset in project.assets.items()}
    return msgspec.structs.replace(compiled, project=msgspec.structs.replace(project, assets=assets))


def _run(session: ProjectSession, compiled: Compiled, tests: Sequence[AssetTest]) -> Iterator[tuple[int, TestRow]]:
    requests = []
    places = []
    for index, test in enumerate(tests):
        try:
            requests.append(_wanted(session.root, compiled, test))
            places.append(index)
        except UsageError as error:
            yield index, _broken(test, error)
    with Bench(compiled, session.root, workers=min(WORKERS_MAX, len(requests) or 1), timezone=session.timezone) as bench:
        for number, computed in bench.compute(requests):
            index = places[number]
            test = tests[index]
            if isinstance(computed, BadRows):
                yield index, _broken(test, computed)
            else:
                yield index, _judged(session.root, bench, compiled.project.assets[test.asset], test, computed)


def _wanted(root: Path, compiled: Compiled, test: AssetTest) -> ComputeRequest:
    asset = compiled.project.assets[test.asset]
    key = "*" if test.partition is None else targets.partition(asset, test.partition)
    return ComputeRequest(test.asset, key, {name: _rows(root, test, rows) for name, rows in test.given.items()})


def _rows(root: Path, test: AssetTest, rows: Any) -> Any:
    """Rows as they are written, or the path of their file: beside the test's file, or relative to the project."""
    if not isinstance(rows, str):
        return rows
    beside, project = (root / test.place.file).parent / rows, root / rows
    path = (beside if beside.is_file() else project).resolve()
    if not path.is_relative_to(root.resolve()):
        raise UsageError(f"{rows} lies outside of the project", hint="put the file beside the test")
    return path


def _broken(test: AssetTest, error: Exception) -> TestRow:
    row = ErrorRow(kind="deterministic", message=str(error), file=test.place.file, line=test.place.line, hint=getattr(error, "hint", None))
    return _row(test, "error", error=row)


def _judged(root: Path, bench: Bench, asset: Asset, test: AssetTest, computed: ComputeResult) -> TestRow:
    outcome = computed.outcome
    if outcome is None:
        return _row(test, "error", error=ErrorRow(kind="lost_worker", message=f"the worker {computed.lost}"), log=list(computed.log))
    if outcome.error is not None:
        return _failed(test, computed, error_row(outcome))
    if test.expect_error is not None:
        return _row(test, "failed", reason=f"it was expected to fail with {test.expect_error!r}, and didn't", log=list(computed.log))
    checks = [*check_rows(outcome.audit), *(_not_made(asset, name) for name in computed.unread)]
    reasons = _check_reasons(test, checks)
    try:
        comparison, rows, rows_expected = _compared(root, bench, asset, test, computed)
    except BadRows as error:
        return _broken(test, error)
    if comparison.out_of_order is not None:
        reasons.append(f"the rows come in another order, from row {comparison.out_of_order} on")
    state = "passed" if comparison.same and not reasons else "failed"
    return _row(
        test, state, seconds=outcome.measures.seconds, rows=rows, rows_expected=rows_expected, checks=checks,
        missing=[dict(row) for row in comparison.missing[:SHOWN_MAX]], unexpected=[dict(row) for row in comparison.unexpected[:SHOWN_MAX]],
        changed=[_changed(change.row, change.cells) for change in comparison.changed[:SHOWN_MAX]],
        differences=comparison.differences, reason="; ".join(reasons) or None, log=[] if state == "passed" else list(computed.log),
    )  # fmt: skip


def _changed(row: Mapping[str, Any], cells: Sequence[Any]) -> RowDifferenceRow:
    return RowDifferenceRow(row=dict(row), cells=[CellRow(column=c.column, expected=c.expected, got=c.got) for c in cells])


def _failed(test: AssetTest, computed: ComputeResult, error: ErrorRow | None) -> TestRow:
    """The body failed: as it was expected to, or not."""
    assert error is not None
    if test.expect_error is not None and test.expect_error.lower() in error.message.lower():
        return _row(test, "passed", reason=None)
    reason = None if test.expect_error is None else f"it was expected to fail with {test.expect_error!r}"
    return _row(test, "error" if test.expect_error is None else "failed", error=error, reason=reason, log=list(computed.log))


def _compared(
    root: Path, bench: Bench, asset: Asset, test: AssetTest, computed: ComputeResult
) -> tuple[Comparison, int | None, int | None]:
    """The difference, and how many rows there are and were expected."""
    if test.expect is None:
        return Comparison(), None if computed.data is None else computed.data.rows, None
    if computed.data is None:
        raise BadRows(
            f"`{asset.name}` gives no rows (materialize: {asset.materialize})", hint="leave `expect` away; expect checks, or an error"
        )
    types = [(column.name, column.type) for column in computed.data.columns]
    expected = bench.desk.relation(asset.name, _rows(root, test, test.expect), types)
    columns = [name for name, _ in expected.columns] or [name for name, _ in types]
    wanted = bench.rows(bench.desk.kept(asset.name, expected)) if expected.columns != () else ()
    got = bench.rows(computed.data, columns)
    return compare(wanted, got, keys=_keys(asset, columns), ordered=test.ordered), len(got), len(wanted)


def _keys(asset: Asset, columns: Sequence[str]) -> list[str]:
    """What says which rows are the same, where the test names all of it."""
    declared = [list(asset.merge_keys), *(list(check.arguments["columns"]) for check in asset.checks if check.kind == "unique")]
    there = {column.lower(): column for column in columns}
    for keys in declared:
        if keys and all(key.lower() in there for key in keys):
            return [there[key.lower()] for key in keys]
    return []


def _not_made(asset: Asset, name: str) -> CheckRow:
    check = next(check for check in asset.checks if check.name == name)
    detail = "what it reads isn't given"
    return CheckRow(name=name, kind=check.kind, severity=check.severity.value, outcome="unchecked", rows=0, failing=0, detail=detail)


OUTSIDE = "row_outside_partition"


def _check_reasons(test: AssetTest, checks: Sequence[CheckRow]) -> list[str]:
    """What of the checks isn't as the test says. Rows outside of the partition are never right, unless they are expected."""
    outcomes = {check.name: check for check in checks}
    reasons = []
    for name, wanted in test.checks.items():
        check = outcomes.get(name)
        if check is None and name != OUTSIDE:
            reasons.append(f"there is no check {name}; there are {', '.join(outcomes) or 'none'}")
        elif (check is not None and check.outcome == "failed") != (wanted == "fails"):
            reasons.append(f"the check {name} was expected to {'fail' if wanted == 'fails' else 'pass'}, and didn't")
    outside = outcomes.get(OUTSIDE)
    if outside is not None and OUTSIDE not in test.checks:
        reasons.append(outside.detail or "rows lie outside of the partition")
    return reasons


def _row(test: AssetTest, state: str, **results: Any) -> TestRow:
    return TestRow(
        test=test.name, asset=test.asset, partition=test.partition, state=state, file=test.place.file, line=test.place.line, **results
    )
