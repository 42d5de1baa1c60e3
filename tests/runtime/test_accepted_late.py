"""Held deliveries that are accepted one after the other, while what is accepted changes the
source's columns.
"""

from __future__ import annotations

from pathlib import Path

from runlab import DAYS, Lab


def test_what_was_staged_for_other_columns_is_read_again(tmp_path: Path) -> None:
    """Would catch: a second exception that can't be published because the first one brought a
    column of another type, or one that takes a column away again."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\nexpect: {rows: 5..50}\n",
    )
    lab.orders(DAYS[0])
    lab.tick()
    for day, code in ((DAYS[1], "a1"), (DAYS[2], "7")):
        lab.deliver(day, [f"1,c1,1.50,{day},{code}"], header="order_id,customer,amount,day,code")
    assert [attempt.state for attempt in lab.tick().attempts] == ["held", "held"]
    for minute, day in enumerate(DAYS[1:3], 5):
        now = lab.now.replace(minute=minute).isoformat()
        lab.headrace(
            "quarantine",
            "accept",
            f"orders@{day}",
            "--reason",
            "that is all there was",
            "--now",
            now,
        )
    assert sorted((row["day"], row["code"]) for row in lab.read("orders") if row["code"]) == [
        (DAYS[1], "a1"),
        (DAYS[2], "7"),
    ]
