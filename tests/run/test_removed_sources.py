"""A source that isn't declared any more: nobody can decide about what is left of it, and nothing says that somebody should."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from runlab import DAYS, Lab


def test_what_is_held_of_a_removed_source_counts_nowhere(tmp_path: Path) -> None:
    """Would catch: rows that `status` says are held for days, though no command does anything about them."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/more.yaml",
        "source: more\nowner: acme\npartition: day\nfiles: landing/more_{date:%Y-%m-%d}.csv\n"
        "checks:\n  - range: {column: amount, min: 0}\n",
    )
    lab.orders(DAYS[0])
    for day, amount in zip(DAYS[:2], ("1.00", "-1.00"), strict=True):
        (lab.root / f"landing/more_{day}.csv").write_text(f"id,amount,day\n1,{amount},{day}\n")
    lab.tick()
    assert lab.headrace("status")["quarantine"]["partitions"] == 1
    assert [one["cause"]["node"] for one in lab.headrace("incidents")] == ["more"]
    (lab.root / "sources/more.yaml").unlink()
    lab.now += timedelta(minutes=1)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    lab.tick()
    status = lab.headrace("status")
    assert (status["quarantine"], status["open"]) == ({"deliveries": 0, "partitions": 0, "rows": 0}, [])
    assert lab.headrace("incidents") == []


def test_nobody_waits_for_the_file_of_a_removed_source(tmp_path: Path) -> None:
    """Would catch: "Headrace goes on by itself as soon as the file comes" of a source that isn't declared any more."""
    lab = Lab(tmp_path / "p")
    more = "source: more\nowner: acme\npartition: day\nfiles: landing/more_{date:%Y-%m-%d}.csv\nexpect: {by: '05:00'}\n"
    lab.write("sources/more.yaml", more)
    (lab.root / f"landing/more_{DAYS[0]}.csv").write_text("id\n1\n")
    lab.tick()
    lab.now += timedelta(days=1)
    lab.tick()
    (late,) = lab.headrace("incidents")
    assert (late["cause"]["kind"], late["repair"]["automatic"]) == ("late_source", True)
    (lab.root / "sources/more.yaml").unlink()
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    (late,) = lab.headrace("incidents")
    assert late["repair"]["text"] == "it ends with the next pass; more isn't declared any more"
    refused = lab.headrace("fix", late["id"], "--yes", code=3)
    assert refused is None or "needs no repair" in str(refused)
    lab.tick()
    assert lab.headrace("incidents") == []
