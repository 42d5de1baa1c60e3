"""`headrace.Session`: the same operations and documents as the command line, from Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from small_shop import SHOP

import headrace
from headrace.model.errors import HeadraceError, UsageError

FILES = {
    **SHOP,
    "consumers.yaml": "- {consumer: report, owner: core, reads: [revenue], max_age: 30h}\n",
}
NOW = "2025-03-03T06:00+00:00"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "landing").mkdir()
    for day in ("2025-03-01", "2025-03-02"):
        path = tmp_path / f"landing/orders_{day}.csv"
        path.write_text(f"id,amount,day\n1,19.90,{day}\n2,5.10,{day}\n")
        os.utime(path, (1_740_900_000, 1_740_900_000))
    return tmp_path


def test_a_session_does_what_the_commands_do(root: Path) -> None:
    session = headrace.Session(root, now=NOW)
    assert session.validate().ok
    assert {row.name for row in session.ls()} == {"orders", "revenue", "top", "report"}
    assert {row.asset for row in session.tick().published} == {"orders", "revenue", "top"}
    assert session.status().consumers[0].name == "report"
    table = session.read("revenue", partition="2025-03-01")
    assert table.rows() == [{"day": date(2025, 3, 1), "revenue": Decimal("25.00")}]
    assert len(session.read("revenue")) == 2
    assert session.sql("select sum(revenue) as r, $who as who from revenue", who="15").rows() == [
        {"r": Decimal("50.00"), "who": "15"}
    ]
    assert pa.table(session.sql("from revenue")).num_rows == 2
    assert session.lineage("revenue.revenue").upstream
    assert session.diff("revenue", 1).asset == "revenue"
    again = session.run("revenue", partitions=["2025-03-01"], again=True, reason="why not")
    assert [row.partition for row in again.published] == ["2025-03-01"]


def test_data_frames_where_their_packages_are(root: Path) -> None:
    session = headrace.Session(root, now=NOW)
    session.tick()
    pytest.importorskip("pandas")
    assert list(session.read("revenue").df().columns) == ["day", "revenue"]
    pytest.importorskip("polars")
    assert session.read("revenue").pl().shape == (2, 2)


def test_errors_say_what_to_do(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        headrace.Session(tmp_path / "nowhere")
    session = headrace.Session(root / "assets", now=NOW)
    with pytest.raises(UsageError) as said:
        session.read("revenu")
    assert "revenue" in said.value.hint
    with pytest.raises(HeadraceError):
        session.read("revenue")


def test_the_import_costs_nothing_and_a_session_loads_no_duckdb(root: Path) -> None:
    """A notebook that only asks for a status doesn't wait for what it doesn't use."""
    program = (
        "import sys, json, headrace\nbefore = set(sys.modules)\nfirst = sorted({'duckdb',"
        " 'pyarrow', 'sqlglot', 'msgspec'} &"
        f" before)\nheadrace.Session({str(root)!r}).status()\nprint(json.dumps([first, 'duckdb' in"
        " sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [[], False]
