"""The examples of files do what their READMEs say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from example_lab import Example, published
from legacy_formats import NEEDS_LEGACY

pytestmark = NEEDS_LEGACY
NOW = "2026-03-03T04:00:00Z"
DAYS = ["2026-03-01", "2026-03-02"]


def started(name: str, folder: Path) -> Example:
    example = Example(name, folder)
    assert example.json("validate")["problems"] == []
    return example


def counts(path: Path, day: str, branch: str, rows: list[tuple[str, float]]) -> None:
    """A workbook as branches send it: a title, a blank row, the header, the counts, a total."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with xlsxwriter.Workbook(path) as book:
        book.add_worksheet("Notes").write(0, 0, "counted by hand")
        sheet = book.add_worksheet("Counts")
        sheet.merge_range(0, 0, 0, 3, f"Tills of {branch}")
        sheet.write_row(2, 0, ["till", "amount", "day", "branch"])
        dates = book.add_format({"num_format": "yyyy-mm-dd"})
        from datetime import date

        for number, (till, amount) in enumerate(rows, 3):
            sheet.write_row(number, 0, [till, amount])
            sheet.write_datetime(number, 2, date.fromisoformat(day), dates)
            sheet.write(number, 3, branch)
        sheet.write_row(200, 0, ["total", sum(amount for _, amount in rows)])


@pytest.mark.timeout(120)
def test_excel_folder(tmp_path: Path) -> None:
    """Would catch: a title taken for a header, a total counted as a till, keys of folders lost."""
    example = started("excel-folder", tmp_path)
    counts(
        example.root / "landing/Harbour/2026-03-01.xlsx",
        DAYS[0],
        "Harbour",
        [("A", 100.5), ("B", 20)],
    )
    counts(example.root / "landing/Old Town/2026-03-01.xlsx", DAYS[0], "Old Town", [("A", 7.25)])
    document = example.tick(NOW)
    keys = [f"{DAYS[0]}/Harbour", f"{DAYS[0]}/Old Town"]
    assert published(document) == sorted(
        (name, key) for name in ("counts", "cash_by_branch") for key in keys
    )
    assert {
        (row["branch"], row["cash"], row["tills"]) for row in example.rows("cash_by_branch")
    } == {
        ("Harbour", 120.5, 2),
        ("Old Town", 7.25, 1),
    }
    assert [row["rows"] for row in example.json("deliveries", "counts")] == [1, 2]


@pytest.mark.timeout(120)
def test_fixed_width(tmp_path: Path) -> None:
    """Would catch: signs and implied decimals lost, EBCDIC misread."""
    example = started("fixed-width", tmp_path)
    assert example.tick(NOW)["state"] == "succeeded"
    assert {(row["day"], row["holder"], row["moved"]) for row in example.rows("balances")} == {
        (DAYS[0], "Zoë Müller", "11.51"),
        (DAYS[0], "O'Brien", "1000.00"),
        (DAYS[1], "O'Brien", "-25.00"),
    }


@pytest.mark.timeout(120)
def test_nested_json(tmp_path: Path) -> None:
    """Would catch: lists inside records lost, documents taken for one record."""
    example = started("nested-json", tmp_path)
    assert example.tick(NOW)["state"] == "succeeded"
    assert {(row["day"], row["city"], row["revenue"]) for row in example.rows("revenue")} == {
        (DAYS[0], "Oslo", 21.25),
        (DAYS[0], "Turin", 4.5),
    }


@pytest.mark.timeout(120)
def test_xml_feed(tmp_path: Path) -> None:
    """Would catch: namespaces and attributes in the way, a list that isn't one on the day with a
    single tag.
    """
    example = started("xml-feed", tmp_path)
    assert example.tick(NOW)["state"] == "succeeded"
    assert {(row["day"], row["party"], row["moved"]) for row in example.rows("movements")} == {
        (DAYS[0], "Ann", 12.5),
        (DAYS[0], "Bob", -7.25),
        (DAYS[1], "Ann", 100.0),
    }
    tags: dict[str, Any] = {row["id"]: row["Tag"] for row in example.rows("entries")}
    assert tags == {"E1": ["fee", "march"], "E2": ["march"], "E3": None}


@pytest.mark.timeout(120)
def test_many_days_one_file(tmp_path: Path) -> None:
    """Would catch: days of an older file lost when a newer one comes, unchanged days computed
    again."""
    example = started("many-days-one-file", tmp_path)
    document = example.tick("2026-03-05T04:00:00Z")
    days = [*DAYS, "2026-03-03"]
    assert published(document) == sorted(
        (name, day) for name in ("readings", "usage") for day in days
    )
    later = example.write(
        "landing/readings_2.csv",
        "meter,read_on,kwh\n1,2026-03-02,11.0\n2,2026-03-02,8.0\n1,2026-03-03,9.5\n2,2026-03-03,6.5\n",
    )
    os.utime(later, (1, 1))
    again = example.tick("2026-03-06T04:00:00Z")
    assert published(again) == [
        ("readings", "2026-03-02"),
        ("readings", "2026-03-03"),
        ("usage", "2026-03-03"),
    ]
    assert {row["day"]: row["kwh"] for row in example.rows("usage")} == {
        DAYS[0]: 17.75,
        DAYS[1]: 19.0,
        "2026-03-03": 16.0,
    }
