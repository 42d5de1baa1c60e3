"""Files of `materialize: files` that are lost or cut short: found, said and repaired as those of
the lake are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from runlab import Lab

DAYS = [f"2025-01-{day:02}" for day in range(1, 10)]
CODE = (
    "def letters(ctx: Context, orders):\n    (ctx.output_directory / 'letter.txt').write_text('dear"
    " customer')"
)
CONSUMERS = "- {consumer: post, owner: core, reads: [letters], due: '09:00'}\n"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.python("letters", CODE, partition="day", inputs=["orders"], materialize="files")
    made.write("consumers.yaml", CONSUMERS)
    for day in DAYS:
        made.orders(day)
    made.tick()
    return made


def deleted(path: Path) -> None:
    path.unlink()


def cut_short(path: Path) -> None:
    os.truncate(path, 4)


@pytest.mark.long
@pytest.mark.parametrize("damage", [deleted, cut_short])
def test_it_is_found_said_and_repaired(lab: Lab, damage: Callable[[Path], None]) -> None:
    """Catches: a consumer that is served over files that aren't there, which only `db
    check` sees."""
    newest = DAYS[-1]
    ((manifest,),) = lab.rows(
        "select manifest from publication where node = 'letters' and partition = ?", newest
    )
    path = lab.root / ".headrace" / manifest.partition('"path":"')[2].partition('"')[0]
    damage(path)
    (opened,) = lab.headrace("tick")["incidents_opened"]
    incident = lab.headrace("incident", opened)
    assert (incident["cause"]["kind"], incident["cause"]["node"]) == ("data_corrupted", "letters")
    assert incident["affected"]["partitions"] == [newest]
    assert path.name in incident["cause"]["evidence"][0]["expected"]
    status = lab.headrace("status")
    assert [row["state"] for row in status["consumers"]] == ["wrong"]
    assert status["lake"]["damaged"] == 1
    done = lab.headrace("fix", opened, "--yes")
    assert (done["fix"], done["state"], done["still"]) == ("done", "resolved", [])
    assert [row["state"] for row in lab.headrace("status")["consumers"]] == ["served"]
    assert lab.headrace("tick")["incidents_opened"] == []
    lab.headrace("db", "check", "--deep")


def test_a_file_that_is_put_back_ends_it(lab: Lab, tmp_path: Path) -> None:
    """Catches: an incident that only a repair ends."""
    path = next((lab.root / ".headrace/files").rglob("letter.txt"))
    path.rename(tmp_path / "aside")
    assert len(lab.headrace("tick")["incidents_opened"]) == 1
    (tmp_path / "aside").rename(path)
    lab.headrace("tick")
    assert lab.headrace("status")["lake"]["damaged"] == 0
    assert lab.headrace("incidents") == []
