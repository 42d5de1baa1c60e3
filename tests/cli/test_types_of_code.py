"""The types of what Python and commands give: they widen where nothing is lost, may be declared,
and are spoken of in their language."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

DAYS = 12
LATER = "2025-02-01T06:00+01:00"
PANDAS = """\
import pandas as pd
from headrace import asset, Context

@asset(owner="core", partition="day", inputs=["sales"]{declared})
def total(ctx: Context, sales):
    sales = sales.to_pandas()
    return pd.DataFrame({{"day": [ctx.partition], "amount": [sales["amount"].sum()], "n": sales["n"].sum().astype("int32")}})
"""


@pytest.fixture
def sales(tmp_path: Path, call: Callable[..., Any]) -> Project:
    """Each day sells ten times as much as the day before, in cents exactly."""
    root = tmp_path / "sales"
    for folder in ("sources", "assets", "landing"):
        (root / folder).mkdir(parents=True)
    (root / "headrace.toml").write_text(
        '[project]\nname = "sales"\ntimezone = "UTC"\n[run]\nworkers = 2\n'
    )
    (root / "owners.yaml").write_text("core: {kind: team}\n")
    (root / "sources/raw.yaml").write_text(
        "source: raw\nowner: core\npartition: day\nfiles: landing/{date:%Y-%m-%d}.csv\n"
    )
    (root / "assets/sales.sql").write_text(
        "/* headrace\nowner: core\npartition: day\non_anomaly: ignore\n*/\n"
        "select id, cast(amount as decimal(18,2)) as amount, cast(1 as integer) as n from raw\n"
    )
    for day in range(1, DAYS + 1):
        rows = "".join(f"{number},{number}{'7' * day}.5{number}\n" for number in range(1, 4))
        (root / f"landing/2025-01-{day:02}.csv").write_text(f"id,amount\n{rows}")
    return Project(root, call)


def types(project: Project, asset: str) -> dict[str, str]:
    return {column["name"]: column["type"] for column in project.json("read", asset)["columns"]}


def test_a_pandas_sum_of_decimals_is_published_on_each_of_its_days(sales: Project) -> None:
    (sales.root / "assets/total.py").write_text(PANDAS.format(declared=", on_anomaly='ignore'"))
    sales.json("tick", "--now", LATER)
    rows = sales.json("read", "total", "--limit", "100")["rows"]
    expected = {
        f"2025-01-{day:02}": sum(int(f"{number}{'7' * day}5{number}") for number in range(1, 4))
        for day in range(1, DAYS + 1)
    }
    assert {row["day"]: round(float(row["amount"]) * 100) for row in rows} == expected
    assert types(sales, "total")["amount"] == "DECIMAL(18,2)"


@pytest.mark.long
def test_decimals_of_a_command_widen_up_to_38_digits(sales: Project) -> None:
    (sales.root / "write.py").write_text(
        "import json, os, decimal, pyarrow as pa, pyarrow.parquet as pq\ncontext ="
        " json.load(open(os.environ['HEADRACE_CONTEXT']))\nday ="
        " int(context['partition'][-2:])\ndigits = 3 * day\nvalue = decimal.Decimal('9' * (digits -"
        " 2) + '.99')\nkind = pa.decimal128(digits, 2)\ntable = pa.table({'day': [day], 'amount':"
        " pa.array([value], kind), 'n': pa.array([day], pa.int32() if day < 5 else"
        " pa.int64())})\npq.write_table(table, context['output_directory'] + '/x.parquet')\n"
    )
    (sales.root / "assets/written.yaml").write_text(
        "asset: written\nowner: core\npartition: day\non_anomaly: ignore\ninputs:"
        f" [sales]\ncommand: [{sys.executable}, write.py]\n"
    )
    sales.json("tick", "--now", LATER)
    rows = sales.json("read", "written", "--limit", "100")["rows"]
    assert {row["day"]: row["amount"] for row in rows} == {
        day: f"{10 ** (3 * day - 2) - 1}.99" for day in range(1, DAYS + 1)
    }
    assert types(sales, "written") == {"day": "BIGINT", "amount": "DECIMAL(38,2)", "n": "BIGINT"}


def test_declared_types_hold_and_the_hint_is_in_the_language_of_the_code(sales: Project) -> None:
    (sales.root / "assets/total.py").write_text(
        PANDAS.format(
            declared=(
                ", on_anomaly='ignore', columns={'day': 'date', 'amount': 'decimal(9,2)', 'n':"
                " 'smallint'}"
            )
        )
    )
    response = sales.json("tick", "--now", LATER)
    assert types(sales, "total") == {"day": "DATE", "amount": "DECIMAL(9,2)", "n": "SMALLINT"}
    errors = [
        row["error"]
        for row in response["attempts"]
        if row["asset"] == "total" and row["state"] == "failed"
    ]
    assert len(errors) == DAYS - 6, (
        "seven digits before the point are what the declared type holds; nothing is tried twice"
    )
    for error in errors:
        assert "`amount` of table `total` is DECIMAL(9,2)" in error["message"]
        assert "another id" not in error["message"]
        assert error["hint"].startswith(
            "declare the type: @asset(…, columns={'amount': 'DECIMAL(18,2)'})"
        )
