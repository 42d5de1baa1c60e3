"""Sentences of docs/explanation/how-it-works.md, played one after the other in a small project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from page_lab import ROOT, Shell

PAGE = " ".join((ROOT / "docs/explanation/how-it-works.md").read_text(encoding="utf-8").split())
FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n',
    "owners.yaml": "team: {kind: team}\n",
    "sources/sales.yaml": (
        "source: sales\nowner: team\npartition: day\nfiles: landing/sales_{date:%Y-%m-%d}.csv\n"
    ),
    "assets/daily.sql": (
        "/* headrace\nowner: team\npartition: {by: day, column: day}\n*/\n"
        "select $partition_start as day, sum(amount) as amount from sales group by all\n"
    ),
    "consumers.yaml": "- {consumer: board, owner: team, reads: [daily], due: '06:00'}\n",
    "landing/sales_2026-03-01.csv": "till,amount,cashier\n1,10.5,Ann\n2,7.2,Bo\n",
}


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder, self.shell = folder, Shell(folder, patience=200)
        for path, text in FILES.items():
            self.write(path, text)

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")

    def json(self, command: str) -> Any:
        code, output, errors = self.shell.run(f"headrace {command} --json")
        assert code == 0, errors
        return json.loads(output)


def said(sentence: str) -> None:
    assert sentence in PAGE, (
        f"docs/explanation/how-it-works.md no longer says {sentence!r}: leave out this case, or"
        " mend it"
    )


def test_what_the_page_says_comes_true(tmp_path: Path) -> None:
    """Would catch: "a header that differs holds the delivery", of a column that nobody uses; loaded
    history that is late; an edited file that runs before it is applied."""
    project = Project(tmp_path)
    project.json("tick --now 2026-03-02T09:00Z")
    status = project.json("status")
    said("loaded history can be read, but no consumer is late with it")
    assert status["consumers"][0]["states"] == ["served"] and status["honest_availability"] is None
    said("Data without checks is `unchecked`, never `passed`.")
    assert status["assets"]["unchecked"] == 1

    said(
        "If somebody uses a changed column, the delivery is held: it waits in quarantine, and"
        " downstream partitions wait too"
    )
    project.write("landing/sales_2026-03-02.csv", "till,amount,discount\n1,9.5,0\n2,6.2,0\n")
    run = project.json("tick --now 2026-03-03T05:00Z")
    assert [(item["asset"], item["partition"]) for item in run["published"]] == [
        ("sales", "2026-03-02"),
        ("daily", "2026-03-02"),
    ]
    project.write("landing/sales_2026-03-03.csv", "till,total,cashier\n1,8.5,Ann\n2,5.2,Bo\n")
    run = project.json("tick --now 2026-03-04T05:00Z")
    assert run["published"] == [] and [item["state"] for item in run["attempts"]] == ["held"]

    said(
        "Editing a file changes nothing until you apply it; `status` reports files that aren't"
        " applied."
    )
    project.write(
        "assets/daily.sql", FILES["assets/daily.sql"].replace("sum(amount)", "2 * sum(amount)")
    )
    project.write("landing/sales_2026-03-03.csv", "till,amount,cashier\n1,8.5,Ann\n2,5.5,Bo\n")
    project.json("tick --now 2026-03-04T05:30Z")
    (row,) = project.json("read daily --partition 2026-03-03")["rows"]
    assert row["amount"] == 14.0
    assert project.json("status")["not_applied"] == 1
