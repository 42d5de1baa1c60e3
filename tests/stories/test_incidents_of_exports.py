"""What an incident says of an export whose target was gone: what ended it, what it is called, how
often it was tried."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clilab import Project
from test_incidents_of_repairs import FILES, TAKINGS, at, day, deliver, mails, rows

pytestmark = pytest.mark.long
DAYS = 10
EXPORTING = {
    **FILES,
    "headrace.toml": FILES["headrace.toml"] + '[notify.mail]\nurl = "file:outbox"\n',
    "assets/takings.sql": TAKINGS,
    "consumers.yaml": "- {consumer: till-report, owner: shop, reads: [takings], due: '06:00',"
    " export: {to: 'exports/takings_{date:%Y-%m-%d}.csv'}}\n",
}


@pytest.fixture
def gone(tmp_path: Path, call: Callable[..., Any]) -> Project:
    """A shop of ten days whose folder of exports is a link to nowhere since the last of
    them came.
    """
    root = tmp_path / "tills"
    for path, text in EXPORTING.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    project = Project(root, call)
    for n in range(DAYS):
        deliver(project, n, rows(n))
    project.json("tick", "--now", at(DAYS - 1))
    (root / "exports").rename(root / "kept")
    (root / "exports").symlink_to("/nowhere/mounted")
    deliver(project, DAYS, rows(DAYS))
    project.json("tick", "--now", at(DAYS))
    return project


def back(project: Project) -> None:
    (project.root / "exports").unlink()
    (project.root / "kept").rename(project.root / "exports")


def incident(project: Project, kind: str, hour: str) -> dict[str, Any]:
    (result,) = [
        item
        for item in project.json("incidents", "--all", "--now", at(DAYS, hour))
        if item["cause"]["kind"] == kind
    ]
    return result  # type: ignore[no-any-return]


def report_earlier_days(project: Project) -> None:
    """Another incident, whose repair computes two earlier days and can't export them either."""
    days = ("--from", day(7), "--to", day(8))
    project.json(
        "incidents", "report", "takings", *days, "--reason", "cents", "--now", at(DAYS, "06:25")
    )
    other = incident(project, "reported", "06:26")["id"]
    project.json("fix", other, "--again", "--yes", "--now", at(DAYS, "06:35"))


def test_a_backfill_that_failed_at_an_export_isnt_what_ended_its_incident(gone: Project) -> None:
    """Would catch: a backfill among what ended an incident, that had failed at the very target."""
    item = incident(gone, "destination_unavailable", "05:00")["id"]
    gone.json("fix", item, "--yes", "--now", at(DAYS, "06:20"))
    report_earlier_days(gone)
    back(gone)
    gone.json("fix", item, "--yes", "--now", at(DAYS, "06:40"))
    over = incident(gone, "destination_unavailable", "06:41")
    assert over["state"] == "resolved"
    assert over["ended"].startswith("Repaired by ") and "ackfill" not in over["ended"], over[
        "ended"
    ]
    (ended,) = [line["what"] for line in over["timeline"] if line["what"].startswith("resolved: ")]
    assert "ackfill" not in ended
    assert over["ended"] in mails(gone, item)


def test_an_incident_of_a_target_goes_on_naming_the_first_file(gone: Project) -> None:
    """Would catch: an incident of one day's export that is called after another day's, which failed
    later."""
    before = incident(gone, "destination_unavailable", "05:00")["cause"]["summary"]
    assert f"takings_{day(DAYS)}.csv can't be written" in before
    report_earlier_days(gone)
    after = incident(gone, "destination_unavailable", "06:36")
    assert after["affected"]["partitions"] == [day(7), day(8), day(DAYS)]
    assert after["cause"]["summary"] == before


def test_somebody_is_told_to_look_at_the_target(gone: Project) -> None:
    """Would catch: "Headrace does it by itself", of a target that somebody has to bring back, on
    the page and in the mail."""
    result = incident(gone, "destination_unavailable", "05:00")
    look = "look at where till-report is written, and at the rights there"
    said = f"{look}; Headrace goes on by itself as soon as it can be written"
    assert (result["repair"]["automatic"], result["repair"]["text"]) == (True, said)
    assert f"Repair: {said}; to try it now:" in mails(gone, result["id"])
    back(gone)
    gone.json("tick", "--now", at(DAYS, "06:40"))
    assert incident(gone, "destination_unavailable", "06:41")["state"] == "resolved"
