"""The examples of merge, snapshot, append and view do what their READMEs say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from example_lab import Example, published


@pytest.mark.timeout(120)
def test_merge(tmp_path: Path) -> None:
    """Would catch: a closed customer that stays, a day that is merged onto the wrong state, a
    partition that shows the newest."""
    example = Example("merge", tmp_path)
    assert example.json("validate")["problems"] == []
    example.tick("2026-03-04T06:00:00+01:00")
    assert _pairs(example, "customers", "customer_id", "city") == [
        (1, "Ulm"),
        (2, "Bonn"),
        (4, "Mainz"),
    ]
    assert _pairs(example, "customers", "customer_id", "city", "--partition", "2026-03-02") == [
        (1, "Ulm"),
        (2, "Kiel"),
        (3, "Jena"),
    ]
    again = example.write(
        "landing/changes_2026-03-02.csv",
        "customer_id,name,city,closed\n1,Ada,Köln,false\n9,Ed,Rom,false\n",
    )
    os.utime(again, (again.stat().st_mtime - 60,) * 2)
    assert published(example.tick("2026-03-04T07:00:00+01:00"))[:2] == [
        ("changes", "2026-03-02"),
        ("customers", "2026-03-02"),
    ]
    assert _pairs(example, "customers", "customer_id", "city") == [
        (1, "Köln"),
        (2, "Bonn"),
        (4, "Mainz"),
        (9, "Rom"),
    ]


@pytest.mark.timeout(120)
def test_snapshot(tmp_path: Path) -> None:
    """Would catch: a version for a change of the stock, one that isn't closed, dates that aren't
    those of the delivery."""
    example = Example("snapshot-scd2", tmp_path)
    assert example.json("validate")["problems"] == []
    example.tick("2026-03-05T06:00:00+01:00")
    columns = ("article", "price", "stock", "valid_from", "valid_to", "is_current")
    rows = [
        tuple(float(row[name]) if name == "price" else row[name] for name in columns)
        for row in example.rows("price_history")
    ]
    assert sorted(rows, key=str) == [
        ("chair", 49.0, 7, "2026-03-02", "2026-03-03", False),
        ("chair", 59.0, 5, "2026-03-03", None, True),
        ("table", 199.0, 2, "2026-03-02", "2026-03-04", False),
    ]


@pytest.mark.timeout(120)
def test_append(tmp_path: Path) -> None:
    """Would catch: a count that replaces the one before, and one that counts twice."""
    example = Example("append-log", tmp_path)
    assert example.json("validate")["problems"] == []
    assert len(published(example.tick())) == 2
    example.write(
        "landing/stock.csv", "counted_at,article,pieces\n2026-03-03T08:00:00+01:00,chair,5\n"
    )
    example.tick()
    assert example.tick()["state"] == "nothing_due"
    assert sorted((row["article"], row["pieces"]) for row in example.rows("stock_log")) == [
        ("chair", 5),
        ("chair", 7),
        ("table", 2),
    ]


@pytest.mark.timeout(120)
def test_view(tmp_path: Path) -> None:
    """Would catch: a view that sees other days than its reader, a check that lets bad input in, a
    consumer that is never met.
    """
    example = Example("view", tmp_path)
    assert example.json("validate")["problems"] == []
    document = example.tick("2026-03-04T05:30:00+01:00")
    assert [
        (row["day"], float(row["amount"]), row["orders"]) for row in example.rows("takings")
    ] == [("2026-03-02", 17.75, 2)]
    (rejected,) = document["rejected"]
    assert (rejected["asset"], rejected["partition"]) == ("orders", "2026-03-03")
    assert "view paid_orders, check no_free_orders" in rejected["reason"]
    assert [
        row["order_id"]
        for row in example.json("sql", "select order_id from paid_orders order by 1")["rows"]
    ] == [1, 3]
    assert sorted(row["order_id"] for row in example.rows("paid_orders")) == [1, 3]
    read = example.json("read", "paid_orders")
    assert (read["state"], read["data_through"]) == ("behind", "2026-03-02")
    assert example.json("status")["assets"]["behind"] == 2, (
        "a view stands as the worst of what it reads"
    )
    better = example.write(
        "landing/orders_2026-03-03.csv",
        "order_id,day,amount,paid\n4,2026-03-03,8.00,true\n5,2026-03-03,9.00,true\n",
    )
    os.utime(better, (better.stat().st_mtime - 60,) * 2)
    example.tick("2026-03-04T05:45:00+01:00")
    assert example.consumer("till-screen", "2026-03-04T05:46:00+01:00")["state"] == "served"


@pytest.mark.timeout(120)
def test_a_view_that_reads_nothing(tmp_path: Path) -> None:
    """Would catch: a status that can't be told, because a view of constants has no worst input."""
    example = Example("view", tmp_path)
    example.write(
        "assets/rates.sql", "/* headrace\nowner: sales\nmaterialize: view\n*/\nselect 1 as rate\n"
    )
    example.tick("2026-03-04T05:30:00+01:00")
    assert example.json("status")["assets"]["fresh"] == 1
    assert (example.rows("rates"), example.json("read", "rates")["state"]) == (
        [{"rate": 1}],
        "fresh",
    )


def _pairs(
    example: Example, asset: str, key: str, value: str, *arguments: str
) -> list[tuple[object, object]]:
    return sorted((row[key], row[value]) for row in example.rows(asset, *arguments))
