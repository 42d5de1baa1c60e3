"""A server tells people of what it finds while it works."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from serve_lab import deliver, project, response, serving, until, write


@pytest.mark.slow
def test_a_server_tells_while_it_works_and_tries_again(tmp_path: Path) -> None:
    """Catches: messages that wait for the next command beside a server, or that a channel's
    recovery doesn't bring."""
    root = project(tmp_path / "p")
    settings = root / "headrace.toml"
    settings.write_text(settings.read_text() + '[notify.mail]\nurl = "file:outbox"\n')
    write(root / "outbox", "in the way of the folder")
    today = datetime.now(ZoneInfo("Europe/Berlin")).date()
    days = [(today - timedelta(days=back)).isoformat() for back in (4, 3, 2)]
    for day in days[:2]:
        deliver(root, day)
    with serving(root):
        until(lambda: any(row["state"] == "published" for row in response(root, "runs")) or None)
        path = root / f"landing/orders_{days[2]}.csv"
        path.write_text(f"day,total\n{days[2]},10\n")
        tried = until(lambda: [row for row in response(root, "notify") if row["undelivered"]])
        assert "outbox" in tried[0]["error"]
        (root / "outbox").unlink()
        said = until(
            lambda: next(
                (item.read_text() for item in (root / "outbox").glob("INC-*.core.txt")), None
            )
        )
    assert "orders" in said.splitlines()[2]
