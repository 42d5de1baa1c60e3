"""`run_asset` and `check`: one asset from given rows, and the tests of a project, from Python."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from small_shop import SHOP

import headrace
from headrace.extension import HeadraceError
from headrace_testing import AssetFailed, check, run_asset

FILES = {
    **SHOP,
    "tests/revenue.yaml": (
        "- {test: sums, asset: revenue, partition: 2025-03-01, given: {orders: [{day: 2025-03-01,"
        " amount: 1}]}, expect: [{revenue: 1}]}\n"
    ),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_a_session_runs_the_tests(root: Path) -> None:
    """Would catch: a method that only the command line has."""
    assert [row.state for row in headrace.Session(root).test()] == ["passed"]
    assert headrace.Session(root).test("top") == []


def test_run_asset_gives_arrow_and_says_where_it_failed(root: Path) -> None:
    table = run_asset(
        root,
        "revenue",
        partition="2025-03-01",
        given={"orders": [{"day": date(2025, 3, 1), "amount": Decimal("1.10")}]},
    )
    assert table.to_pylist() == [{"day": date(2025, 3, 1), "revenue": Decimal("1.10")}]
    rows = pa.table(
        {"day": [date(2025, 3, 1)], "revenue": pa.array([Decimal(7)], pa.decimal128(38, 2))}
    )
    assert run_asset(root, "top", partition="2025-03-01", given={"revenue": rows})[
        "n"
    ].to_pylist() == [10]
    assert run_asset(
        root, "top", partition="2025-03-01", given={"revenue": rows}, parameters={"least": 3}
    )["n"].to_pylist() == [3]
    with pytest.raises(AssetFailed, match="nothing sold") as failed:
        run_asset(root, "top", partition="2025-03-01")
    assert (failed.value.file, failed.value.log) == (
        "assets/top.py",
        ("at 2025-03-01",),
    ) or "Traceback" in str(failed.value.log)
    with pytest.raises(HeadraceError, match="partition"):
        run_asset(root, "top")
    assert not (root / ".headrace/state.db").exists()


def test_check_raises_for_tests_that_fail(root: Path) -> None:
    check(root)
    path = root / "tests/revenue.yaml"
    path.write_text(path.read_text().replace("{revenue: 1}", "{revenue: 2}"))
    with pytest.raises(AssertionError, match="1 rows differ"):
        check(root, "revenue")
