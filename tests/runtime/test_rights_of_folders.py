"""Folders that whoever runs Headrace may not write to: somebody is told to give the right, and then
it goes on.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, SETTINGS, Lab

CONSUMER = "- {consumer: extract, owner: core, reads: [totals], due: '09:00'}\n"
EXPORT = (
    "- {consumer: extract, owner: core, reads: [totals], due: '09:00', export: {to:"
    " 'out/{date:%Y-%m-%d}.csv'}}\n"
)
PR_CAPBSET_DROP, OVERRIDE, READ_SEARCH = 24, 1, 2
"""capabilities(7): what lets root pass over the rights of files."""

pytestmark = [
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="root loses its rights on Linux only"
    ),
    pytest.mark.long,
]


def _as_anybody() -> None:
    if os.geteuid() == 0:
        for capability in (OVERRIDE, READ_SEARCH):
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def as_anybody(lab: Lab, hour: int, *arguments: str) -> Any:
    """A command that may no more than the files say, at an hour of the day; its JSON."""
    command = [
        sys.executable,
        "-m",
        "headrace",
        *arguments,
        "--json",
        "--project",
        str(lab.root),
        "--now",
        f"2025-01-08T{hour:02d}:30Z",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=150, check=False, preexec_fn=_as_anybody
    )
    assert done.stdout.strip(), done.stderr
    return json.loads(done.stdout)


def made(root: Path, consumer: str, settings: str = SETTINGS) -> Lab:
    lab = Lab(root)
    lab.write("headrace.toml", settings)
    lab.write("consumers.yaml", consumer)
    lab.sql("totals", "select day, sum(amount) as amount from orders group by day")
    lab.orders(DAYS[0])
    as_anybody(lab, 1, "tick")
    lab.orders(DAYS[1])
    return lab


def test_a_folder_of_the_lake_that_may_not_be_written_waits_for_somebody(tmp_path: Path) -> None:
    """Would catch: "correct assets/totals.sql", of a query that is right; a failure that nothing
    tries again once the right is given.
    """
    lab = made(tmp_path, CONSUMER)
    (folder,) = (lab.root / ".headrace/lake").glob("*/totals")
    folder.chmod(0o555)
    assert [(item["asset"], item["state"]) for item in as_anybody(lab, 2, "tick")["attempts"]] == [
        ("orders", "published"),
        ("totals", "skipped"),
    ]
    as_anybody(lab, 3, "tick")
    (line,) = as_anybody(lab, 3, "incidents")
    assert (line["cause"]["kind"], line["cause"]["node"]) == ("resource_exhausted", "totals")
    assert line["cause"]["summary"] == "Headrace has no right to use a file or folder of the lake"
    repair = as_anybody(lab, 3, "incident", line["id"])["repair"]
    assert (repair["automatic"], repair["first"]) == (
        False,
        "give whoever runs Headrace the right to use what the evidence names",
    )
    folder.chmod(0o755)
    assert [item["asset"] for item in as_anybody(lab, 4, "tick")["published"]] == ["totals"]
    assert as_anybody(lab, 4, "incident", line["id"])["state"] == "resolved"


def test_an_export_that_may_not_be_written_needs_somebody(tmp_path: Path) -> None:
    """Would catch: "Headrace does it by itself", of a right that only a person can give."""
    lab = made(tmp_path, EXPORT)
    (lab.root / "out").chmod(0o555)
    as_anybody(lab, 2, "tick")
    (line,) = as_anybody(lab, 2, "incidents")
    repair = as_anybody(lab, 2, "incident", line["id"])["repair"]
    assert (line["cause"]["kind"], repair["automatic"]) == ("destination_unavailable", False)
    assert repair["first"] == "look at the target, and at the rights with which it is written"
    (lab.root / "out").chmod(0o755)
    assert as_anybody(lab, 3, "fix", line["id"], "--yes")["state"] == "resolved"


def test_an_asset_without_access_runs_again_once_it_has_it(tmp_path: Path) -> None:
    """Would catch: an incident that stays open for ever, because its `fix` looks at a source and
    runs nothing; one repair that a pass proposes, and another that the incident does."""
    lab = Lab(tmp_path)
    key = tmp_path / "key"
    lab.python(
        "keyed",
        f"def keyed(ctx: Context, orders):\n    open({str(key)!r}).close()\n    return orders",
        inputs=["orders"],
        partition="day",
    )
    key.touch(0)
    lab.orders(DAYS[0])
    (told,) = as_anybody(lab, 1, "tick")["repairs"]
    (line,) = as_anybody(lab, 1, "incidents")
    assert (line["cause"]["kind"], line["cause"]["node"]) == ("access_denied", "keyed")
    assert (
        told["first"]
        == line["repair"]["first"]
        == "check the secret and the rights with which keyed is reached"
    )
    assert told["commands"] == [f"headrace retry keyed@{DAYS[0]}"]
    key.chmod(0o644)
    assert as_anybody(lab, 2, "fix", line["id"], "--yes")["state"] == "resolved"


def lake_of(lab: Lab) -> list[Path]:
    lake = lab.root / ".headrace/lake"
    return [lake, *(path for path in lake.rglob("*") if path.is_dir())]


def test_a_lake_that_may_not_be_written_is_one_incident_until_it_may_be(tmp_path: Path) -> None:
    """Would catch: a pass that ends with the reason, of which nothing is kept: "isn't ingested yet
    … next: headrace tick", "the runtime is stopped", and nobody is told though a consumer is late.
    """
    lab = made(tmp_path, CONSUMER, f'{SETTINGS}[notify.mail]\nurl = "file:{tmp_path}/outbox"\n')
    for day in DAYS[2:]:
        lab.orders(day)
    for folder in lake_of(lab):
        folder.chmod(0o555)
    for hour in (10, 11):
        with pytest.raises(AssertionError, match="Permission denied"):
            as_anybody(lab, hour, "tick")
    (line,) = as_anybody(lab, 11, "incidents")
    assert (line["cause"]["kind"], line["cause"]["node"], line["state"]) == (
        "resource_exhausted",
        "headrace",
        "open",
    )
    assert line["cause"]["summary"] == "Headrace has no right to use a file or folder of the lake"
    assert line["affected"]["consumers"] == ["extract"]
    incident = as_anybody(lab, 11, "incident", line["id"])
    (evidence,) = incident["cause"]["evidence"]
    assert evidence["observed"] == f"{lab.root}/.headrace/lake can't be written: Permission denied"
    repair = incident["repair"]
    assert (repair["automatic"], repair["command"]) == (False, "headrace tick")
    assert repair["first"] == "give whoever runs Headrace the right to use what the evidence names"
    assert incident["opened_at"].startswith("2025-01-08T10:30"), "found by the first pass"
    status = as_anybody(lab, 11, "status")
    assert "Nothing can run: the lake can't be written since 10:30" in status["headline"]
    assert (
        status["consumers"][0]["reason"]
        == f"orders@{DAYS[6]}: the lake can't be written: Permission denied"
    )
    assert status["consumers"][0]["next"] == "headrace incidents"
    assert status["next"] == f"headrace incident {line['id']}"
    (told,) = [
        item for item in as_anybody(lab, 11, "deliveries", "orders") if item["partition"] == DAYS[6]
    ]
    assert told["state"] == "waiting", "what needs no lake goes on: it was found"
    why = json.dumps(as_anybody(lab, 11, "why", f"orders@{DAYS[1]}"))
    assert "lake can't be written: Permission denied" in why and "the runtime is stopped" not in why
    told = "".join(path.read_text() for path in (tmp_path / "outbox").iterdir())
    assert "Headrace has no right to use a file or folder of the lake" in " ".join(told.split()), (
        told
    )
    for folder in lake_of(lab):
        folder.chmod(0o755)
    assert {item["asset"] for item in as_anybody(lab, 12, "tick")["published"]} == {
        "orders",
        "totals",
    }
    assert as_anybody(lab, 12, "incidents") == []
    assert as_anybody(lab, 12, "incident", line["id"])["ended"].startswith(
        "The lake can be written again"
    )
    assert "Nothing can run" not in as_anybody(lab, 12, "status")["headline"]
