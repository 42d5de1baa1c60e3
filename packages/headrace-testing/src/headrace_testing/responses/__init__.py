"""The responses of `test`, `try`, `ci` and `conformance`."""

from __future__ import annotations

from typing import Any

from msgspec import field

from headrace.extension import Response
from headrace.responses import (
    CheckRow,
    ColumnRow,
    DifferenceRow,
    ErrorRow,
    PlanResponse,
    RejectedRow,
    ValidateResponse,
)


class CellRow(Response, frozen=True, kw_only=True):
    """One cell that isn't as expected."""

    column: str
    expected: Any
    got: Any


class RowDifferenceRow(Response, frozen=True, kw_only=True):
    """One row of a test's result that differs from the one expected in some cells. `row` is the row
    as it was got."""

    row: dict[str, Any]
    cells: list[CellRow]


class TestRow(Response, frozen=True, kw_only=True):
    """`test`: one test of one asset. `state` is `passed`, `failed` (not as expected) or `error` (it
    couldn't be computed, or not be compared). Rows hold the columns that the test names."""

    __test__ = False  # no test of pytest's

    test: str
    asset: str
    partition: str | None
    state: str
    file: str
    line: int
    seconds: float | None = None
    rows: int | None = None
    rows_expected: int | None = None
    missing: list[dict[str, Any]] = field(default_factory=list)
    """Expected, and not there; at most 20, as of the lists below."""
    unexpected: list[dict[str, Any]] = field(default_factory=list)
    changed: list[RowDifferenceRow] = field(default_factory=list)
    differences: int = 0
    """How many rows are missing, unexpected or changed in all."""
    checks: list[CheckRow] = field(default_factory=list)
    error: ErrorRow | None = None
    reason: str | None = None
    """What else isn't as expected: columns, the order, outcomes of checks."""
    log: list[str] = field(default_factory=list)


class BuiltRow(Response, frozen=True, kw_only=True):
    """What `ci` has built of one asset: how many partitions, and those that can't be published."""

    asset: str
    partitions: int
    failures: list[RejectedRow] = field(default_factory=list)


class CiResponse(Response, frozen=True, kw_only=True):
    """`ci`: `ok` if nothing is wrong with a change. `plan` compares it with the commit named, or
    with what production has; it is null if the files have errors."""

    ok: bool
    plan_id: str | None = None
    validate: ValidateResponse
    tests: list[TestRow] = field(default_factory=list)
    built: list[BuiltRow] = field(default_factory=list)
    not_built: str | None = None
    """Why nothing was built, and so no rows are compared; null if something could be."""
    diff: list[DifferenceRow] = field(default_factory=list)
    plan: PlanResponse | None = None
    markdown: str = ""
    """All of it as a comment on a pull request."""


class ConformanceCase(Response, frozen=True, kw_only=True):
    """One case: what the program was asked to do is in the reference of command assets by `name`;
    `detail` says what it did, and for a failed case what was expected."""

    name: str
    ok: bool
    detail: str


class ConformanceResponse(Response, frozen=True, kw_only=True):
    """`conformance`: whether a program keeps the file protocol of command assets."""

    ok: bool
    command: list[str]
    cases: list[ConformanceCase]


class TryResponse(Response, frozen=True, kw_only=True):
    """`try`: computed and audited, nothing published. `state` is `passed`, `warned`, `unchecked`,
    `held`, `rejected` or `failed`."""

    asset: str
    partition: str
    state: str
    rows_total: int | None
    columns: list[ColumnRow]
    rows: list[dict[str, Any]]
    """At most `--limit` of them."""
    checks: list[CheckRow]
    seconds: float | None = None
    error: ErrorRow | None = None
    reason: str | None = None
    log: list[str] = []
