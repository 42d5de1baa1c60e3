"""`test`: compute assets from given rows and compare the result with the expected rows.

It needs no lake and no state.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.extension import (
    READ,
    Asset,
    Excluded,
    HeadraceError,
    Progress,
    ProjectSession,
    Selected,
    UsageError,
    command,
)
from headrace.model import AssetTest
from headrace.plan import Compiled
from headrace.project import targets
from headrace.project.parameters import ParameterValues
from headrace.project.selection import selected
from headrace.project.session import usable
from headrace.responses import CheckRow, ErrorRow
from headrace.runtime.messages import FailedOutcome
from headrace.services.render import with_parameters
from headrace.standing.comparisons import identifying_columns
from headrace_testing.responses import CellRow, RowDifferenceRow, TestRow
from headrace_testing.services.asset_bench import BadRows, Bench, ComputeRequest, ComputeResult
from headrace_testing.services.try_asset import check_rows, error_row

# Comparison of expected and computed rows: missing rows, unexpected rows, and differing cells.
# Pure.

Row = Mapping[str, Any]
SHOWN_MAX = 20
"""Maximum number of rows of each kind in a response."""
PAIRED_MAX = 300
"""Above this number of unmatched rows on either side, rows aren't paired.

Pairs are needed to find differing cells.
"""
TOLERANCE = 1e-9
"""Relative tolerance: floats that differ by less are equal."""


class Comparison(msgspec.Struct, frozen=True):
    """The differences between expected and computed rows; all empty if they are the same."""

    missing: tuple[Row, ...] = ()
    unexpected: tuple[Row, ...] = ()
    changed: tuple[RowDifferenceRow, ...] = ()
    out_of_order: int | None = None
    """The first row (from 1) out of order in an ordered result that otherwise has all rows."""

    @property
    def differences(self) -> int:
        """The number of rows that differ."""
        return len(self.missing) + len(self.unexpected) + len(self.changed)

    @property
    def same(self) -> bool:
        """Whether there are no differences."""
        return not self.differences and self.out_of_order is None


def compare(
    expected: Sequence[Row], got: Sequence[Row], *, keys: Sequence[str] = (), ordered: bool = False
) -> Comparison:
    """Compare rows with the same columns as multisets, or with `ordered` as sequences.

    `keys` are the columns that identify a row.
    """
    missing, unexpected = _unmatched(expected, got)
    missing, unexpected = _without_close(missing, unexpected)
    pairs, missing, unexpected = _paired(missing, unexpected, keys)
    changed = tuple(
        RowDifferenceRow(row=dict(mine), cells=_cells(expected_row, mine))
        for expected_row, mine in pairs
    )
    out_of_order = None
    if ordered and not (missing or unexpected or changed):
        out_of_order = next(
            (n for n, (a, b) in enumerate(zip(expected, got, strict=True), 1) if not _equal(a, b)),
            None,
        )
    return Comparison(tuple(missing), tuple(unexpected), changed, out_of_order)


def _unmatched(expected: Sequence[Row], got: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return both sides without exactly equal rows; repeated rows match one by one."""
    there, expected_counts = Counter(map(_key, got)), Counter(map(_key, expected))
    return _beyond(expected, there), _beyond(got, expected_counts)


def _beyond(rows: Sequence[Row], others: Counter[bytes]) -> list[Row]:
    left = others.copy()
    results = []
    for row in rows:
        key = _key(row)
        if left[key] > 0:
            left[key] -= 1
        else:
            results.append(row)
    return results


def _key(row: Row) -> bytes:
    """Return a row's content as bytes, independent of the order of its columns."""
    return msgspec.json.encode({name: row[name] for name in sorted(row)})


def _without_close(missing: list[Row], unexpected: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return both sides without pairs that differ only by float rounding."""
    if not _has_floats(missing) or len(missing) * len(unexpected) > PAIRED_MAX**2:
        return missing, unexpected
    left = list(unexpected)
    alone = []
    for row in missing:
        partner = next((i for i, other in enumerate(left) if _equal(row, other)), None)
        if partner is None:
            alone.append(row)
        else:
            left.pop(partner)
    return alone, left


def _has_floats(rows: Sequence[Row]) -> bool:
    return any(isinstance(value, float) for row in rows for value in row.values())


def _equal(item: Row, other: Row) -> bool:
    return not _cells(item, other)


def _cells(expected: Row, got: Row) -> list[CellRow]:
    return [
        CellRow(column=name, expected=expected[name], got=got.get(name))
        for name in expected
        if not _alike(expected[name], got.get(name))
    ]


def _alike(item: Any, other: Any) -> bool:
    if isinstance(item, float) and isinstance(other, float):
        return math.isclose(item, other, rel_tol=TOLERANCE)
    return type(item) is type(other) and bool(item == other)


def _paired(
    missing: list[Row], unexpected: list[Row], keys: Sequence[str]
) -> tuple[list[tuple[Row, Row]], list[Row], list[Row]]:
    """Pair rows that are meant to be the same, and return the pairs and the unpaired rows.

    Rows pair by equal keys, or if at least half of their cells are equal, or if each side has only
    one row.
    """
    if len(missing) > PAIRED_MAX or len(unexpected) > PAIRED_MAX:
        return [], missing, unexpected
    if len(missing) == len(unexpected) == 1:
        return [(missing[0], unexpected[0])], [], []
    pairs: list[tuple[Row, Row]] = []
    alone, left = [], list(unexpected)
    for row in missing:
        partner = _partner(row, left, keys)
        if partner is None:
            alone.append(row)
        else:
            pairs.append((row, left.pop(partner)))
    return pairs, alone, left


def _partner(row: Row, others: Sequence[Row], keys: Sequence[str]) -> int | None:
    """Return the index of the row with the same keys or, without keys, of the most similar one."""
    if keys and all(key in row for key in keys):
        matches = (
            i
            for i, other in enumerate(others)
            if all(_alike(row[key], other.get(key)) for key in keys)
        )
        return next(matches, None)
    return _most_alike(row, others)


def _most_alike(row: Row, others: Sequence[Row]) -> int | None:
    """Return the index of the row with most cells in common; None if fewer than half are."""
    best, result = len(row) / 2, None
    for i, other in enumerate(others):
        common = len(row) - len(_cells(row, other))
        if common > best or (common == best and result is None and len(row) > 1):
            best, result = common, i
    return result


WORKERS_MAX = 4


@command(
    "test",
    READ,
    session="test",
    not_for_agents="it runs the code of assets in the process that calls it",
    group="change",
    summary="run the unit tests of assets",
)
def run_tests(
    session: ProjectSession,
    select: Selected = (),
    *,
    exclude: Excluded = (),
    parameters: ParameterValues = None,
    progress: Progress,
) -> list[TestRow]:
    """Run the unit tests of the selected assets (all by default), in the order of their files.

    What an asset makes of a test's rows is compared with the rows that the test expects. Needs no
    lake and publishes nothing. The command exits 1 for a test that doesn't pass.

    Raise InvalidProject if the files have errors, UsageError for an unknown selection or parameter.
    """
    compiled = with_parameters(usable(session.declared(progress)), parameters or {})
    names = set(selected(session, select, exclude, compiled=compiled))
    tests = [test for test in compiled.project.tests if test.asset in names]
    session.close()  # compiling has loaded DuckDB
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
    """Return groups of tests with equal parameters of their own, which share a bench."""
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
    assets = {
        name: msgspec.structs.replace(asset, parameters={**asset.parameters, **parameters})
        for name, asset in project.assets.items()
    }
    return msgspec.structs.replace(
        compiled, project=msgspec.structs.replace(project, assets=assets)
    )


def _run(
    session: ProjectSession, compiled: Compiled, tests: Sequence[AssetTest]
) -> Iterator[tuple[int, TestRow]]:
    requests = []
    places = []
    for index, test in enumerate(tests):
        try:
            requests.append(_compute_request(session.root, compiled, test))
            places.append(index)
        except UsageError as error:
            yield index, _broken(test, error)
    with Bench(
        compiled,
        session.root,
        workers=min(WORKERS_MAX, len(requests) or 1),
        timezone=session.timezone,
    ) as bench:
        for number, computed in bench.compute(requests):
            index = places[number]
            test = tests[index]
            if isinstance(computed, BadRows):
                yield index, _broken(test, computed)
            else:
                yield (
                    index,
                    _evaluated(
                        session.root, bench, compiled.project.assets[test.asset], test, computed
                    ),
                )


def _compute_request(root: Path, compiled: Compiled, test: AssetTest) -> ComputeRequest:
    asset = compiled.project.assets[test.asset]
    key = "*" if test.partition is None else targets.partition(asset, test.partition)
    return ComputeRequest(
        test.asset, key, {name: _rows(root, test, rows) for name, rows in test.given.items()}
    )


def _rows(root: Path, test: AssetTest, rows: Any) -> Any:
    """Return inline rows, or the path of their file, relative to the test's file or the project."""
    if not isinstance(rows, str):
        return rows
    beside, project = (root / test.place.file).parent / rows, root / rows
    path = (beside if beside.is_file() else project).resolve()
    if not path.is_relative_to(root.resolve()):
        raise UsageError(f"{rows} lies outside of the project", hint="put the file beside the test")
    return path


def _broken(test: AssetTest, error: Exception) -> TestRow:
    row = ErrorRow(
        kind="deterministic",
        message=str(error),
        file=test.place.file,
        line=test.place.line,
        hint=getattr(error, "hint", None),
    )
    return _row(test, "error", error=row)


def _evaluated(
    root: Path, bench: Bench, asset: Asset, test: AssetTest, computed: ComputeResult
) -> TestRow:
    outcome = computed.outcome
    if outcome is None:
        return _row(
            test,
            "error",
            error=ErrorRow(kind="lost_worker", message=f"the worker {computed.lost}"),
            log=list(computed.log),
        )
    if isinstance(outcome, FailedOutcome):
        return _failed(test, computed, error_row(outcome))
    if test.expect_error is not None:
        return _row(
            test,
            "failed",
            reason=f"it was expected to fail with {test.expect_error!r}, and didn't",
            log=list(computed.log),
        )
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
        test,
        state,
        seconds=outcome.measures.seconds,
        rows=rows,
        rows_expected=rows_expected,
        checks=checks,
        missing=[dict(row) for row in comparison.missing[:SHOWN_MAX]],
        unexpected=[dict(row) for row in comparison.unexpected[:SHOWN_MAX]],
        changed=list(comparison.changed[:SHOWN_MAX]),
        differences=comparison.differences,
        reason="; ".join(reasons) or None,
        log=[] if state == "passed" else list(computed.log),
    )


def _failed(test: AssetTest, computed: ComputeResult, error: ErrorRow | None) -> TestRow:
    """Return the result of a test whose asset code failed, as expected or not."""
    assert error is not None
    if test.expect_error is not None and test.expect_error.lower() in error.message.lower():
        return _row(test, "passed", reason=None)
    reason = (
        None if test.expect_error is None else f"it was expected to fail with {test.expect_error!r}"
    )
    return _row(
        test,
        "error" if test.expect_error is None else "failed",
        error=error,
        reason=reason,
        log=list(computed.log),
    )


def _compared(
    root: Path, bench: Bench, asset: Asset, test: AssetTest, computed: ComputeResult
) -> tuple[Comparison, int | None, int | None]:
    """Return the comparison, the number of computed rows, and the number of expected rows."""
    if test.expect is None:
        return Comparison(), None if computed.data is None else computed.data.rows, None
    if computed.data is None:
        raise BadRows(
            f"`{asset.name}` gives no rows (materialize: {asset.materialize})",
            hint="leave `expect` away; expect checks, or an error",
        )
    types = [(column.name, column.type) for column in computed.data.columns]
    expected = bench.desk.relation(asset.name, _rows(root, test, test.expect), types)
    columns = [name for name, _ in expected.columns] or [name for name, _ in types]
    expected_rows = (
        bench.rows(bench.desk.stage_relation(asset.name, expected))
        if expected.columns != ()
        else ()
    )
    got = bench.rows(computed.data, columns)
    return (
        compare(
            expected_rows, got, keys=identifying_columns(asset, (), columns), ordered=test.ordered
        ),
        len(got),
        len(expected_rows),
    )


def _not_made(asset: Asset, name: str) -> CheckRow:
    check = next(check for check in asset.checks if check.name == name)
    detail = "what it reads isn't given"
    return CheckRow(
        name=name,
        kind=check.kind,
        severity=check.severity.value,
        outcome="unchecked",
        rows=0,
        failing=0,
        detail=detail,
    )


OUTSIDE = "row_outside_partition"


def _check_reasons(test: AssetTest, checks: Sequence[CheckRow]) -> list[str]:
    """Return the differences between the checks' outcomes and the test's expectations.

    Rows outside of the partition are always a difference, unless the test expects them.
    """
    outcomes = {check.name: check for check in checks}
    reasons = []
    for name, expected in test.checks.items():
        check = outcomes.get(name)
        if check is None and name != OUTSIDE:
            reasons.append(f"there is no check {name}; there are {', '.join(outcomes) or 'none'}")
        elif (check is not None and check.outcome == "failed") != (expected == "fails"):
            reasons.append(
                f"the check {name} was expected to {'fail' if expected == 'fails' else 'pass'}, and"
                " didn't"
            )
    outside = outcomes.get(OUTSIDE)
    if outside is not None and OUTSIDE not in test.checks:
        reasons.append(outside.detail or "rows lie outside of the partition")
    return reasons


def _row(test: AssetTest, state: str, **results: Any) -> TestRow:
    return TestRow(
        test=test.name,
        asset=test.asset,
        partition=test.partition,
        state=state,
        file=test.place.file,
        line=test.place.line,
        **results,
    )


# One asset computed once, for programs.


class TableResult(msgspec.Struct, frozen=True):
    """An Arrow table, or the error that prevented it."""

    table: Any
    error: ErrorRow | None
    log: tuple[str, ...]


def compute_asset(
    session: ProjectSession,
    asset: str,
    partition: str | None,
    given: dict[str, Any],
    parameters: dict[str, Any],
) -> TableResult:
    """Compute one asset once. Raise InvalidProject, UsageError, or BadRows for unusable rows."""
    compiled = usable(session.declared())
    name, key = targets.target(asset, compiled.project, kinds=(Asset,))
    declared = compiled.project.assets[name]
    if partition is not None:
        key = targets.partition(declared, partition)
    if key is None and not declared.partition.whole:
        raise HeadraceError(
            f"{name} is partitioned: say which partition is computed", hint="partition='2013-02-08'"
        )
    if parameters:
        changed = msgspec.structs.replace(
            declared, parameters={**declared.parameters, **parameters}
        )
        project = msgspec.structs.replace(
            compiled.project, assets={**compiled.project.assets, name: changed}
        )
        compiled = msgspec.structs.replace(compiled, project=project)
    session.close()
    with Bench(compiled, session.root, timezone=session.timezone) as bench:
        _, computed = next(bench.compute([ComputeRequest(name, key or "*", given)]))
        if isinstance(computed, BadRows):
            raise computed
        if computed.outcome is None:
            return TableResult(
                None,
                ErrorRow(kind="lost_worker", message=f"the worker {computed.lost}"),
                computed.log,
            )
        table = bench.arrow(computed.data) if computed.data is not None else None
        return TableResult(table, error_row(computed.outcome), computed.log)
