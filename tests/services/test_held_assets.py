"""How many assets a cause holds back: in the headline, in the incident, in the list."""

from __future__ import annotations

from pathlib import Path

from runlab import Lab


def test_the_headline_counts_what_the_incident_counts(tmp_path: Path) -> None:
    """Catches: the asset whose check fails, counted by the headline alone."""
    lab = Lab(tmp_path / "p")
    lab.sql(
        "clean",
        "select order_id, amount, cast(day as date) as day from orders",
        "partition: {by: day, column: day}\nchecks:\n  - range: {column: amount, max: 1}",
    )
    lab.sql("totals", "select day, sum(amount) as amount from clean group by day")
    lab.write(
        "consumers.yaml",
        "- {consumer: sales, owner: core, reads: [totals], due: '09:00', since: 2025-01-01}\n",
    )
    for day in range(1, 10):
        lab.orders(f"2025-01-{day:02}")
    lab.tick()
    lab.tick()
    status, rows = lab.headrace("status"), lab.headrace("incidents")
    assert [row["cause"]["node"] for row in rows] == ["clean"], rows
    row = rows[0]
    assert row["affected"]["assets"] == ["totals"]
    assert status["holding"]["assets"] == 1
    assert status["headline"].startswith("1 cause holds 1 asset and 1 consumer.")
