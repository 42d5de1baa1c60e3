"""`headrace read`: what is published, in every format; nothing of quarantine."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clilab import Project

HEADRACE = str(Path(sys.executable).with_name("headrace"))
DAYS = ["2025-03-01", "2025-03-02", "2025-03-03"]


def test_the_response_has_every_field_of_the_interface(shop: Project) -> None:
    response = shop.json("read", "revenue")
    assert set(response) >= {
        "asset",
        "snapshot",
        "columns",
        "rows",
        "data_through",
        "published_at",
        "state",
        "masked",
    }
    assert sorted(response["rows"], key=lambda row: row["day"]) == [
        {"day": day, "revenue": "32.00", "orders": 3} for day in DAYS
    ]
    assert response["columns"][1] == {"name": "revenue", "type": "DECIMAL(38,2)"}
    assert (response["data_through"], response["state"], response["masked"]) == (
        "2025-03-03",
        "behind",
        [],
    )


def test_rejected_rows_are_not_there(shop: Project) -> None:
    assert {row["day"] for row in shop.json("read", "orders_clean")["rows"]} == set(DAYS)
    assert shop.json("read", "orders_clean", "--partition", "2025-03-04")["rows"] == []


def test_every_format_holds_the_same_rows(shop: Project) -> None:
    run = subprocess.run(
        [HEADRACE, "read", "revenue", "--format", "csv"],
        capture_output=True,
        text=True,
        check=True,
        cwd=shop.root,
    )
    rows = list(csv.DictReader(io.StringIO(run.stdout)))
    assert [row["day"] for row in rows] == DAYS
    assert "replay clock" in run.stderr
    for form in ("parquet", "arrow", "json", "csv"):
        out = shop.root / f"out.{form}"
        shop.text("read", "revenue", "--out", str(out))
        assert not [path for path in out.parent.iterdir() if path.name.startswith(".out")], (
            "no part is left behind"
        )
    assert (
        pq.read_table(shop.root / "out.parquet").column("day").to_pylist()[0].isoformat() == DAYS[0]
    )
    assert pa.ipc.open_stream(shop.root / "out.arrow").read_all().num_rows == 3
    assert len(json.loads((shop.root / "out.json").read_text())["rows"]) == 3


def test_a_table_has_so_many_rows_and_says_how_many_there_are(shop: Project) -> None:
    text = shop.text("read", "orders_clean", "--limit", "2")
    assert "2 of 9 rows" in text
    assert len(shop.json("read", "orders_clean", "--limit", "0")["rows"]) == 0
    assert len(shop.json("read", "orders_clean")["rows"]) == 9


def test_partitions_times_and_versions(shop: Project) -> None:
    keys = ("--partition", "2025-03-01", "--partition", "2025-03-03")
    assert len(shop.json("read", "revenue", *keys)["rows"]) == 2
    assert len(shop.json("read", "revenue@2025-03-02")["rows"]) == 1
    newest = shop.json("read", "revenue")["snapshot"]
    assert len(shop.json("read", "revenue", "--version", str(newest))["rows"]) == 3
    first = next(row for row in shop.json("runs", "1") if row["node"] == "revenue")
    assert len(shop.json("read", "revenue", "--at", first["at"])["rows"]) <= 3
    assert shop.json("read", "revenue", "--at", "2001-01-01")["rows"] == []
    for arguments, said in {
        ("--version", "999"): "no snapshot 999",
        ("--at", "noon"): "no time",
        ("--partition", "March"): "2013-02-11",
        ("--format", "xml"): "one of",
        ("--out", "x.xml"): "format",
        ("--as", "owners"): "is no role",
        ("--at", "2025-03-06", "--version", "1"): "exclude each other",
    }.items():
        assert said in shop.refused("read", "revenue", *arguments)


def test_never_published_is_no_error(shop: Project, new: Project) -> None:
    for project in (shop, new):
        assert project.json("read", "fails")["rows"] == []
        assert project.json("read", "fails")["state"] == "never"
        assert "nothing is published" in project.text("read", "fails")
    assert "did you mean `revenue`" in new.refused("read", "revenu")


def test_a_delivery_without_rows_is_not_called_unpublished(new: Project) -> None:
    """Would catch: "never published" of a file with a header only, which was published."""
    (new.root / "sources/empty.yaml").write_text(
        "source: empty\nowner: acme\nfiles: landing/e.csv\n"
    )
    (new.root / "landing").mkdir()
    (new.root / "landing/e.csv").write_text("id,name\n")
    assert "1 partition published" in new.text("tick")
    told = "no rows of empty are published, and its columns aren't known before that"
    assert told in new.refused("read", "empty", "--format", "csv", code=1)
    assert told in new.refused("sql", "select * from empty")


def test_files_are_listed(shop: Project) -> None:
    [row] = shop.json("read", "page")["rows"]
    assert (shop.root / row["path"]).stat().st_size == row["size"]


def test_a_source_is_read_like_an_asset(shop: Project) -> None:
    assert len(shop.json("read", "orders", "--partition", "2025-03-04")["rows"]) == 4


def test_a_file_that_is_gone_from_the_lake_is_said(shop: Project) -> None:
    for path in (shop.root / ".headrace/lake/main/revenue").glob("*.parquet"):
        path.unlink()
    assert " is gone" in shop.refused("read", "revenue", code=1)


@pytest.mark.parametrize("key", ["2025-03-01' or 1=1 --", "*", "../../x", ""])
def test_hostile_keys_are_refused_or_find_nothing(shop: Project, key: str) -> None:
    code, out, _ = shop.call(shop.root, "read", "revenue", "--partition", key, "--json")
    assert code == 2 or len(json.loads(out)["rows"]) in (0, 3)
