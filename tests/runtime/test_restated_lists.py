"""An unpartitioned source that is delivered with other codes: what is said of it is what Headrace
does.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest
from runlab import DAYS, Lab

CODES = ["EUR", "GBP", "USD", "JPY", "CHF", "SEK", "NOK", "DKK"]
OTHERS = [code.replace("GBP", "GBX") for code in CODES]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Three days of orders beside a list of currencies, of which the next delivery has another
    code."""
    made = Lab(tmp_path / "p")
    made.write(
        "sources/currencies.yaml",
        "source: currencies\nowner: acme\nfiles: landing/currencies.csv\n",
    )
    made.sql(
        "totals",
        "select day, currency, sum(amount) as total from orders join currencies using (currency)"
        " group by all",
    )
    made.sql("codes", "select count(*) filter (currency = 'GBX') as gbx from currencies", front="")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 9d}\n"
    )
    _list(made, CODES)
    for day in DAYS[:3]:
        _orders(made, day)
    _morning(made, 4)
    _list(made, OTHERS)
    _orders(made, DAYS[3])
    _morning(made, 5)
    return made


def _list(lab: Lab, codes: list[str]) -> None:
    path = lab.root / "landing/currencies.csv"
    path.write_text(
        "currency,name\n" + "".join(f"{code},{code} money\n" for code in codes), encoding="utf-8"
    )
    os.utime(path, (lab.now.timestamp(), lab.now.timestamp()))


def _orders(lab: Lab, day: str) -> None:
    rows = [f"{day[-2:]}{i},{(*CODES, 'GBX')[i % 9]},{i}.5,{day}" for i in range(45)]
    lab.deliver(day, rows, "order_id,currency,amount,day")


def _morning(lab: Lab, day: int) -> None:
    lab.now = datetime.fromisoformat(f"2025-01-{day:02d}T05:00:00+00:00")
    lab.tick()


def test_it_says_which_of_its_readers_are_recomputed(lab: Lab) -> None:
    """Would catch: "Headrace recomputes what reads it" of days that stay as they are."""
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["cause"]["node"]) == ("restatement", "currencies")
    said = [line["what"] for line in incident["timeline"] if "re-ingests" in line["what"]]
    (text,) = said
    assert (
        text == "Headrace re-ingests it, and recomputes the unpartitioned assets that read it;"
        " partitions computed before stay as they are, unless their asset declares"
        " `on_reference_change: rebuild`"
    )
    assert lab.read("codes") == [{"gbx": 1}]
    assert not [
        row
        for row in lab.read("totals")
        if row["currency"] == "GBX" and str(row["day"]) in DAYS[:3]
    ]


@pytest.mark.long
def test_it_is_open_while_the_next_list_is_held(tmp_path: Path) -> None:
    """Would catch: an incident resolved by a delivery that is held, while readers see the wrong
    list."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/currencies.yaml",
        "source: currencies\nowner: acme\nfiles: landing/currencies.csv\non_fail: warn\nchecks:\n"
        "  - accepted_values: {column: currency, values: "
        f"[{', '.join(CODES)}]}}\n",
    )
    lab.sql(
        "totals",
        "select day, currency, sum(amount) as total from orders join currencies using (currency)"
        " group by all",
    )
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 9d}\n")
    _list(lab, CODES)
    _orders(lab, DAYS[0])
    _morning(lab, 2)
    _list(lab, OTHERS)
    _orders(lab, DAYS[1])
    _morning(lab, 3)
    (incident,) = lab.headrace("incidents")
    assert incident["state"] == "open"
    _list(lab, [])
    _orders(lab, DAYS[2])
    _morning(lab, 5)
    assert ("currencies", "held") in lab.rows("select node, state from partition")
    assert (incident["id"], "open") in [
        (item["id"], item["state"]) for item in lab.headrace("incidents")
    ]
    _list(lab, CODES)
    _morning(lab, 6)
    _morning(lab, 8)
    assert incident["id"] not in {item["id"] for item in lab.headrace("incidents")}
