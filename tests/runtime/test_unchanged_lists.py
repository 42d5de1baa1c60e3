"""A list that is delivered every day and seldom changes: stale, unless its owner says that it may
be the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from runlab import DAYS, Lab


@pytest.mark.long
@pytest.mark.parametrize("declared", [False, True])
def test_the_same_list_every_day(tmp_path: Path, declared: bool) -> None:
    """Would catch: a list held as `stale_data` although it was declared that it may repeat; an
    empty or renamed one let through by the same words."""
    lab = Lab(tmp_path / "p")
    source = (lab.root / "sources/orders.yaml").read_text()
    lab.write("sources/orders.yaml", source + ("expect: {unchanged: ok}\n" if declared else ""))
    lab.sql("names", "select order_id, customer from orders", "partition: day")
    for day in DAYS[:3]:
        lab.deliver(
            day, [f"{n},c{n}" for n in range(20 if day != DAYS[0] else 19)], "order_id,customer"
        )
        lab.tick()
    result = [
        (item["cause"]["kind"], item["cause"]["partition"]) for item in lab.headrace("incidents")
    ]
    assert result == ([] if declared else [("stale_data", DAYS[2])])
    if declared:
        lab.deliver(DAYS[3], [f"{n},c{n}" for n in range(20)], "order_id,kunde")
        lab.tick()
        (held,) = lab.headrace("incidents")
        assert held["cause"]["kind"] == "schema_change"


def test_the_words_are_checked(tmp_path: Path) -> None:
    """Would catch: `unchanged: yes` taken for the promise, or for nothing, without a word."""
    lab = Lab(tmp_path / "p")
    source = (lab.root / "sources/orders.yaml").read_text()
    lab.write("sources/orders.yaml", source + "expect: {unchanged: maybe}\n")
    result = lab.headrace("validate", code=1)
    assert [
        (item["code"], item["line"])
        for item in result["problems"]
        if "unchanged" in item["message"]
    ]
