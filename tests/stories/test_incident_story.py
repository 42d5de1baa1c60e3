"""The story of the demo as its owner lives it, all by the command line: told of one cause, shown
why, repaired by one command, served.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
COMMAND = str(Path(sys.executable).with_name("headrace"))
CONSUMERS = {"morning-report", "regulator-extract", "ops-dashboard"}


class Owner:
    """Types in the demo's folder what the line before said to type."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def types(self, *command: str) -> str:
        done = subprocess.run(
            [COMMAND, *command],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            cwd=self.folder,
        )
        assert done.returncode == 0, (
            command,
            done.returncode,
            done.stdout[-1500:],
            done.stderr[-1500:],
        )
        return done.stdout

    def asks(self, *command: str) -> Any:
        return json.loads(self.types(*command, "--json"))


def next_of(page: str) -> list[list[str]]:
    """The commands of a page's last line, without `headrace`."""
    line = page.splitlines()[-1]
    assert line.startswith("next: headrace "), page
    return [item.split()[1:] for item in line.removeprefix("next: ").split("      then: ")]


def test_from_what_is_told_to_served(tmp_path: Path) -> None:
    """Catches: a message or a page that names a command which doesn't lead on; a second incident
    for the same cause, before or after; a repair that leaves somebody unserved; a past that is made
    better by it."""
    done = subprocess.run(
        [COMMAND, "demo", "--no-serve"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    owner = Owner(tmp_path / "demo")
    told = "\n".join(
        path.read_text(encoding="utf-8")
        for path in sorted((owner.folder / "outbox").rglob("*"))
        if path.is_file()
    )
    assert set(re.findall(r"headrace fix (INC-\d+)", told)) <= {"INC-1"}

    before = owner.asks("status")
    why, fix = next_of(owner.types("status"))
    assert (why, fix) == (["why", "morning-report"], ["fix", "INC-1"])
    assert "1 cause holds 8 assets and 3 consumers. Nothing wrong was published." in owner.types(
        "status"
    )
    (incident,) = next_of(owner.types(*why))
    assert incident == ["incident", "INC-1"]
    page = owner.types(*incident)
    assert "dep_delay" in page and "departure_delay" in page and "owner flight-feed-inc" in page
    assert next_of(page) == [fix]

    assert (
        owner.types(*fix, "--yes").splitlines()[-1]
        == "next: git commit contracts/flights.odcs.yaml"
    )
    after = owner.asks("status")
    assert {item["name"]: item["state"] for item in after["consumers"]} == dict.fromkeys(
        CONSUMERS, "served"
    )
    assert after["honest_availability"] == before["honest_availability"] == "93.1"
    assert next_of(owner.types(*incident)) == [["status"]]
    resolved = owner.asks(*incident)
    assert (resolved["state"], resolved["repair"]) == ("resolved", None)
    assert [
        line["what"] for line in resolved["timeline"] if line["what"].startswith("repair begun")
    ] == ["repair begun: map, build"]

    assert "15 of 15 published · 0 new incidents" in owner.types("demo", "resume")
    assert owner.asks("incidents") == []
    assert [ask["id"] for ask in owner.asks("incidents", "--all")] == ["INC-1"]
