"""A project whose state was rebuilt exports to the same table again, once somebody says that it
shall."""

from __future__ import annotations

import shlex
import shutil
import sqlite3

from clilab import FILES, GOOD, Project
from source_packages import NEEDS_DATABASES

LATER = "2025-03-04T06:00+01:00"


@NEEDS_DATABASES
def test_a_rebuilt_project_is_told_what_to_type_and_goes_on(new: Project) -> None:
    (new.root / "headrace.toml").write_text(
        FILES["headrace.toml"] + '[connections.warehouse]\nurl = "sqlite:out/warehouse.db"\n'
    )
    (new.root / "consumers.yaml").write_text(
        "- {consumer: extract, owner: core, reads: [orders_clean], due: '07:00', export:"
        " {connection: warehouse, table: orders}}\n"
    )
    (new.root / "out").mkdir()
    (new.root / "landing").mkdir()
    for day in ("2025-03-01", "2025-03-02"):
        (new.root / f"landing/orders_{day}.csv").write_text(
            "id,customer,amount,day\n" + GOOD.format(day)
        )

    def exported() -> int:
        with sqlite3.connect(new.root / "out/warehouse.db") as connection:
            return int(connection.execute("select count(*) from orders").fetchone()[0])

    new.json("tick", "--now", LATER)
    assert exported() == 6
    shutil.rmtree(new.root / ".headrace")
    (new.root / "landing/orders_2025-03-01.csv").write_text(
        "id,customer,amount,day\n1,Ada,1.00,2025-03-01\n"
    )
    response = new.json("tick", "--now", LATER)
    errors = [row["error"] for row in response["attempts"] if row["asset"] == "extract"]
    assert errors
    assert all("another project" in error["message"] for error in errors), errors
    assert exported() == 6, "nothing of the other project is replaced"

    words = shlex.split(errors[0]["hint"].partition(": ")[2])
    assert words[:4] == ["headrace", "exports", "take-over", "extract"]
    refused = new.refused(*words[1:4], code=3)
    assert "--reason" in refused
    page = new.text(*words[1:4], "--reason", "the state was rebuilt")
    assert "headrace retry extract" in page
    assert new.json("retry", "extract")["state"] == "succeeded"
    assert exported() == 4
    trail = new.text("audit", "show", "--json")
    assert "export.taken_over" in trail
    assert "the state was rebuilt" in trail


def test_only_tables_are_taken_over(new: Project) -> None:
    assert "has no export" in new.refused("exports", "take-over", "dashboard", "--reason", "x")
    assert "no consumer" in new.refused("exports", "take-over", "nobody", "--reason", "x")
    assert "take-over" in new.refused("exports", "takeover", "dashboard", "--reason", "x")
