"""SQL that can't work in any partition fails once; the other partitions say so without an attempt."""

from __future__ import annotations

import sqlite3

import pytest
from clilab import Project

DAYS = [f"2025-03-{day:02}" for day in range(1, 13)]
LATER = "2025-03-20T06:00+01:00"
BROKEN = "select day, upper(id + 1) as name from orders\n"


def partitions(project: Project, node: str) -> list[tuple[str, str, str]]:
    with sqlite3.connect(project.root / ".headrace/state.db") as connection:
        return connection.execute("select partition, state, reason from partition where node = ? order by partition", (node,)).fetchall()


def failed_attempts(document: object) -> list[dict[str, object]]:
    assert isinstance(document, dict)
    return [row for row in document["attempts"] if row["asset"] == "broken" and row["state"] == "failed"]


@pytest.mark.parametrize("batch", ["off", "auto"])
def test_it_fails_once_and_the_others_say_like_which(new: Project, batch: str) -> None:
    head = f"/* headrace\nowner: core\npartition: {{by: day, column: day}}\nbatch: {'false' if batch == 'off' else 'auto'}\n*/\n"
    (new.root / "headrace.toml").write_text('[project]\nname = "shop"\ntimezone = "Europe/Berlin"\n[run]\nworkers = 1\n')
    (new.root / "assets/broken.sql").write_text(head + BROKEN)
    (new.root / "assets/fails.py").unlink()
    (new.root / "landing").mkdir()
    for day in DAYS:
        (new.root / f"landing/orders_{day}.csv").write_text(f"id,customer,amount,day\n1,Ada,1.00,{day}\n")
    document = new.json("tick", "--now", LATER)
    attempts = failed_attempts(document)
    assert 1 <= len(attempts) <= 2, "the one worker may have the next one in hand already"
    found = partitions(new, "broken")
    assert [state for _, state, _ in found] == ["failed"] * len(DAYS)
    alike = [reason for _, _, reason in found if reason.startswith("fails like 2025-03-")]
    assert len(alike) == (len(DAYS) - len(attempts) if batch == "off" else 0), "a batch fails as a whole"
    assert all("upper(BIGINT)" in reason for _, _, reason in found)
    assert failed_attempts(new.json("tick", "--now", "2025-03-20T07:00+01:00")) == []

    (new.root / "assets/broken.sql").write_text(head + "select day, upper(customer) as name from orders\n")
    new.json("apply", "--yes", "--now", "2025-03-20T08:00+01:00")
    new.json("tick", "--now", "2025-03-20T08:10+01:00")
    assert [state for _, state, _ in partitions(new, "broken")] == ["published"] * len(DAYS)
