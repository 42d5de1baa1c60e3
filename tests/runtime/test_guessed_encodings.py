"""Deliveries that are converted before they are read, and differ from the ones before."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest
from runlab import DAYS, Lab


def put(lab: Lab, day: str, lines: list[str], encoding: str = "utf-8") -> None:
    """A delivery as these lines, an hour old."""
    lab.deliver(day, [])
    path = lab.root / f"landing/orders_{day}.csv"
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    past = path.stat().st_mtime - 3600
    os.utime(path, (past, past))


def test_a_renamed_column_of_a_file_that_is_unpacked(tmp_path: Path) -> None:
    """Would catch: "FileNotFoundError: … .unpacked", because the unpacked copy is deleted before
    the held delivery's last line is looked at."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv.gz\n",
    )
    lab.sql("totals", "select day, max(amount) as most from orders group by all")
    for day, amount in zip(DAYS[:2], ("amount", "total"), strict=True):
        path = lab.root / f"landing/orders_{day}.csv.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(f"order_id,{amount},day\n1,2.50,{day}\n".encode()))
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)
        lab.tick()
    (incident,) = lab.headrace("incidents")
    assert incident["cause"]["kind"] == "schema_change", incident["cause"]


@pytest.mark.parametrize(
    ("header", "amount", "again"),
    [
        ("größe", "12 zł", ("held", True)),
        ("amount", "12 zł", ("held", True)),
        ("ilość", "12", ("published", False)),
    ],
)
def test_an_encoding_that_cannot_be_guessed_is_told(
    tmp_path: Path, header: str, amount: str, again: tuple[str, bool]
) -> None:
    """Would catch: `12 z³` held as another type, or `iloœæ` as a new column, of a file of which
    only the encoding is wrong; no word of the field that declares it; a delivery that stays held
    when its encoding is declared."""
    lab = Lab(tmp_path / "p")
    lab.sql("totals", f'select day, max("{header}") as most from orders group by all')
    plain = f"order_id,{header},day"
    put(lab, DAYS[0], [plain, f"1,1.50,{DAYS[0]}"])
    lab.tick()
    put(lab, DAYS[1], [plain, f"2,{amount},{DAYS[1]}"], encoding="cp1250")
    lab.tick()
    (incident,) = lab.headrace("incidents")
    cause = incident["cause"]
    assert (cause["kind"], cause["partition"]) == ("format_change", DAYS[1]), cause
    told = "isn't certain: byte 0x.. in line . is `.` in cp1252 or `.` in cp1250"
    assert re.search(told, cause["summary"]), cause
    (row,) = lab.headrace("quarantine", "orders")
    declare = "declare the right encoding, such as csv: {encoding"
    assert row["state"] == "held" and declare in row["reason"]
    source = lab.root / "sources/orders.yaml"
    source.write_text(source.read_text() + "csv: {encoding: cp1250}\n")
    lab.headrace("apply", "--yes")
    lab.tick()
    row = lab.headrace("deliveries", "orders")[0]
    assert (row["state"], "isn't DOUBLE: '12 zł'" in str(row["reason"])) == again
