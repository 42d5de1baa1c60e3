"""A delivery that contradicts its own totals: held, named by one incident, and a person's to accept."""

from __future__ import annotations

from pathlib import Path

from runlab import DAYS, Lab, published
from test_mt940 import statement

SOURCES = """
- {source: movements, owner: acme, partition: day, files: "landing/{date:%Y-%m-%d}.sta"}
- source: balances
  owner: acme
  partition: day
  files: "landing/{date:%Y-%m-%d}.sta"
  mt940: {rows: balances}
"""


def test_a_bank_statement_with_a_lost_movement(tmp_path: Path) -> None:
    """Would catch: a statement whose movements don't give its balance and are published all the
    same; one that nobody can accept; the accepted one without its rows."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/bank.yaml", SOURCES)
    good = statement(":61:240102C5,NTRFX", closing="C240102EUR1005,")
    lost = statement(":61:240103D25,NTRFX", closing="C240103EUR965,")
    (lab.root / f"landing/{DAYS[0]}.sta").write_bytes(good)
    (lab.root / f"landing/{DAYS[1]}.sta").write_bytes(lost)
    assert sorted(published(lab.tick())) == [("balances", DAYS[0]), ("movements", DAYS[0])]
    held = lab.headrace("quarantine")
    assert {(item["node"], item["state"]) for item in held} == {
        ("balances", "held"),
        ("movements", "held"),
    }
    assert all("its 1 movements come to -25" in item["reason"] for item in held)
    incidents = lab.headrace("incidents")
    assert {item["cause"]["kind"] for item in incidents} == {"volume_anomaly"}
    assert {item["cause"]["summary"] for item in incidents} == {"contradicts its own totals"}
    step = f"movements@{DAYS[1]}"
    lab.headrace("quarantine", "accept", step, "--reason", "the bank has confirmed it")
    lab.tick()
    assert [row["amount"] for row in lab.read("movements")] == ["5.000", "-25.000"]
