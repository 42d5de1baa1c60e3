"""A held file of several days is one delivery; each row is counted once, for its own day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clilab import Project

FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team}\n",
    "sources/orders.yaml": (
        "source: orders\nowner: core\npartition: {by: day, column: day}\nfiles: drop/orders_*.csv\n"
    ),
    "drop/orders_a.csv": "id,amount,day\n1,2,2026-03-01\n2,3,2026-03-02\n3,4,2026-03-02\n",
}
HELD = "id,amount,day\n4,x,2026-03-03\n5,3,2026-03-04\n6,4,2026-03-04\n"


def test_rows_of_a_held_file_count_once(tmp_path: Path, call: Any) -> None:
    """Would catch: the rows of the whole file for each of its days, in quarantine, status and run,
    and as delivered in goodput, which is then too low; a delivery for each day of one file."""
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    shop = Project(tmp_path, call)
    shop.json("run", "--now", "2026-03-03T08:00+00:00")
    (tmp_path / "drop/orders_b.csv").write_text(HELD)
    shop.json("run", "--now", "2026-03-05T08:00+00:00")
    held = {row["partition"]: row["rows"] for row in shop.json("quarantine")}
    assert held == {"2026-03-03": 1, "2026-03-04": 2}
    assert shop.json("status")["quarantine"] == {"deliveries": 1, "partitions": 2, "rows": 3}
    assert "1 delivery, 2 partitions, 3 rows" in shop.text("status")
    (goodput,) = shop.json("status", "--explain", "goodput")["rows"]
    assert (goodput["delivered"], goodput["held"], goodput["goodput"]) == (6, 3, "50.0")
