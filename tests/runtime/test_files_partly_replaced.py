"""A file of several days, one of which another file has replaced since."""

from __future__ import annotations

from pathlib import Path

import pytest
from runlab import DAYS, Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Three days in one file, and the second of them once more in another."""
    made = Lab(tmp_path / "p")
    made.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: {by: day, column: day}\nfiles:"
        " landing/*.csv\nrestate_within: 30d\n",
    )
    made.sql("totals", "select day, sum(amount) as total from orders group by all")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 400d}\n"
    )
    made.deliver("all", [f"{day[-2:]}{n},c{n},1.50,{day}" for day in DAYS[:3] for n in range(4)])
    made.tick()
    made.deliver("again", [f"{DAYS[1][-2:]}{n},c{n},2.50,{DAYS[1]}" for n in range(20)])
    made.tick()
    return made


@pytest.mark.parametrize("asked", [[DAYS[0]], [DAYS[0], DAYS[2]], [DAYS[1]], DAYS[:3]], ids=len)
def test_what_was_replaced_is_left_out_when_the_file_is_ingested_again(
    lab: Lab, asked: list[str]
) -> None:
    """Would catch: days that are rejected for rows of another day that nobody asked for; and rows
    of the older file that come back."""
    before = lab.read("totals")
    assert [row["total"] for row in before] == [6.0, 50.0, 6.0]
    done = lab.run("orders", partitions=asked, again=True, reason="to see it")
    assert done.state == "succeeded", done.rejected
    assert lab.headrace("quarantine") == []
    assert lab.read("totals") == before
    assert {item["cause"]["kind"] for item in lab.headrace("incidents")} <= {
        "restatement"
    }  # of the second file
