"""What is said of an incident that was over and is opened again."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from runlab import Lab
from test_wrong_paths import RIGHT, at, declare, deliver, tick
from warm_fork_servers import headrace


@pytest.mark.long
def test_evidence_of_an_outage_that_comes_again_is_of_this_time(tmp_path: Path) -> None:
    """Would catch: "landing isn't there any more", seen on Monday, as all that is known on
    Wednesday, when a file is in its place; an incident that doesn't say since when it is open
    again."""
    lab = Lab(tmp_path / "p")
    lab.write("owners.yaml", "core: {kind: team}\nacme: {kind: vendor, manager: core}\n")
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [clean], due: '07:00'}\n")
    lab.sql("clean", "select * from orders")
    declare(lab, RIGHT)
    for day in range(1, 5):
        deliver(lab, f"2025-01-{day:02d}")
        tick(lab, f"{day + 1:02d}T01:05:00")
    landing, gone = lab.root / "landing", lab.root / "gone"
    landing.rename(gone)
    tick(lab, "06T06:00:00")
    (first,) = lab.headrace("incidents")
    assert first["opened_again_at"] is None
    gone.rename(landing)
    deliver(lab, "2025-01-05")
    tick(lab, "06T09:00:00")
    deliver(lab, "2025-01-06")
    tick(lab, "07T01:05:00")
    assert lab.headrace("incidents") == []
    landing.rename(gone)
    landing.write_text("in its place")
    tick(lab, "08T06:30:00")

    (again,) = lab.headrace("incidents")
    assert again["id"] == first["id"]
    (seen,) = again["cause"]["evidence"]
    assert seen["observed"] == again["cause"]["summary"] == "landing isn't a folder any more"
    assert seen["at"].startswith("2025-01-08T06:30")
    assert again["opened_again_at"].startswith("2025-01-08T06:30")
    assert again["began_at"].startswith("2025-01-06T06:00"), "its clock still runs"
    asked = [again["id"], "--now", at("08T06:31:00").isoformat(), "--project", str(lab.root)]
    page = " ".join(
        headrace(["incident", *asked], Path.cwd(), os.environ, 50).stdout.split()
    )  # however wide it is
    assert re.search(
        r"began Mon 01-06 06:00, found (at once|\d+ \w+ later); opened again 06:30", page
    ), page
