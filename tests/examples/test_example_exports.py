"""`examples/exports`: files, workbooks and a table of consumers, and what a correction does to
each."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import openpyxl
import pytest
from example_lab import Example
from legacy_formats import NEEDS_LEGACY

pytestmark = NEEDS_LEGACY


@pytest.mark.timeout(120)
def test_each_consumer_gets_its_days_and_corrections(tmp_path: Path) -> None:
    """Catches an example that no longer runs, exports that are missing, and corrections that don't
    arrive or arrive unasked.
    """
    example = Example("exports", tmp_path)
    assert example.tick("2026-03-03T05:00:00+01:00")["state"] == "succeeded"
    assert sorted(path.name for path in (example.root / "exports").iterdir()) == [
        "books_2026-03-01.xlsx",
        "books_2026-03-02.xlsx",
        "takings_2026-03-01.csv",
        "takings_2026-03-02.csv",
    ]
    assert (example.root / "exports/takings_2026-03-01.csv").read_text() == (
        "day,till,sales,amount\n2026-03-01,1,2,12.50\n2026-03-01,2,1,7.25\n"
    )
    assert sheets(example.root / "exports/books_2026-03-02.xlsx") == {
        "takings": [
            ("day", "till", "sales", "amount"),
            ("2026-03-02", 1, 1, 4),
            ("2026-03-02", 2, 1, 9.75),
        ],
        "tills": [("till", "last_seen", "amount"), (1, "2026-03-02", 16.5), (2, "2026-03-02", 17)],
    }
    assert {item["state"] for item in example.json("status")["consumers"]} == {"served"}

    landed = example.write(
        "landing/sales_2026-03-02.csv", "day,till,amount\n2026-03-02,1,5.00\n2026-03-02,2,9.75\n"
    )
    os.utime(landed, (landed.stat().st_mtime - 3600,) * 2)
    example.tick("2026-03-03T09:00:00+01:00")
    with sqlite3.connect(example.root / "warehouse.db") as db:
        assert db.execute(
            "select till, amount from takings where _interval = '2026-03-02' order by till"
        ).fetchall() == [(1, 5), (2, 9.75)]
        assert db.execute("select count(*) from takings").fetchone() == (4,)
    db.close()
    assert sheets(example.root / "exports/books_2026-03-02.xlsx")["takings"][1] == (
        "2026-03-02",
        1,
        1,
        5,
    )
    assert "4.00" in (example.root / "exports/takings_2026-03-02.csv").read_text()
    told = example.consumer("tax-office")
    assert (told["state"], told["export"]["state"], told["export"]["superseded"]) == (
        "served",
        "superseded",
        ["2026-03-02"],
    )
    example.run("run", "tax-office", "--now", "2026-03-03T10:00:00+01:00")
    assert "5.00" in (example.root / "exports/takings_2026-03-02.csv").read_text()


def sheets(path: Path) -> dict[str, list[tuple[object, ...]]]:
    book = openpyxl.load_workbook(path)
    try:
        return {
            sheet.title: [
                tuple(_plain(value) for value in row) for row in sheet.iter_rows(values_only=True)
            ]
            for sheet in book
        }
    finally:
        book.close()


def _plain(value: object) -> object:
    return value.date().isoformat() if hasattr(value, "date") else value
