"""docs/how-to/contracts.md: no value of a classified column is in a message or a sample row."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_lab import ROOT, Shell

FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n',
    "owners.yaml": "team: {kind: team}\n",
    "sources/sales.yaml": (
        "source: sales\nowner: team\npartition: day\nfiles:"
        " landing/sales_{date:%Y-%m-%d}.csv\ncontract: sales\nchecks:\n  - range: {column: pin,"
        " min: 100, max: 10000}\n  - accepted_values: {column: cashier, values: [Ann, Bo]}\n  -"
        " sql: {name: known, query: 'select cashier from $self where cashier not in (''Ann'',"
        " ''Bo'')'}\n"
    ),
    "contracts/sales.odcs.yaml": (
        "apiVersion: v3.1.0\nkind: DataContract\nid: sales\nversion: 1.0.0\nstatus:"
        " active\nschema:\n  - name: sales\n    properties:\n      - {name: till, logicalType:"
        " integer}\n      - {name: cashier, logicalType: string, classification: restricted}\n     "
        " - {name: pin, logicalType: integer, classification: restricted, unique: true}\n"
    ),
}
FAULTS = {
    "checks": "till,cashier,pin\n1,Mallory,55544\n2,Bo,55544\n",
    "types": "till,cashier,pin\n1,Ann,Mallory\n2,Bo,55544\n",
}
SHOWN = [
    "quarantine sales@2026-03-02",
    "status",
    "incident INC-1",
    "checks",
    "logs sales@2026-03-02",
    "runs 1",
    "audit show",
    "notify",
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", FAULTS)
def test_no_value_of_a_classified_column_is_shown(fault: str, tmp_path: Path) -> None:
    """Would catch: the first value that isn't of its type, or one that a check refuses, in what
    everybody is shown.
    """
    page = " ".join((ROOT / "docs/how-to/contracts.md").read_text(encoding="utf-8").split())
    assert "shows no values of a column with a `classification`" in page
    days = {
        "landing/sales_2026-03-01.csv": "till,cashier,pin\n1,Ann,9991\n",
        "landing/sales_2026-03-02.csv": FAULTS[fault],
    }
    for path, text in {**FILES, **days}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    shell = Shell(tmp_path)
    told = "".join(shell.run("headrace tick --now 2026-03-03T05:00+00:00")[1:])
    assert "sales@2026-03-02 " in told
    for command in SHOWN:
        _, output, errors = shell.run(f"headrace {command}")
        told += output + errors
    assert "Mallory" not in told and "55544" not in told
