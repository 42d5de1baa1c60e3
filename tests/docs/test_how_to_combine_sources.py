"""The page that joins a database, an API and a folder of Excel files, typed against
real servers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xlsxwriter
from http_server_lab import Asked, Reply, Server, reply
from legacy_formats import NEEDS_LEGACY
from page_lab import ROOT, follow
from postgres_cluster import Database

pytestmark = NEEDS_LEGACY
PAYMENTS = {
    day: [
        {"id": number, "day": day, "branch": branch, "amount": amount}
        for number, branch, amount in rows
    ]
    for day, rows in {
        "2026-03-01": [(1, 1, "120.50"), (2, 1, "80.25"), (3, 2, "45.10")],
        "2026-03-02": [(4, 1, "310.00")],
    }.items()
}
TOKEN = "canary-of-the-page"


def payments(asked: Asked) -> Reply:
    """Two records a page."""
    if asked.headers.get("authorization") != f"Bearer {TOKEN}":
        return reply("{}", status=401)
    day, after = asked.one("day"), int(asked.one("after", "0"))
    if day not in PAYMENTS:
        return reply("{}", status=404)
    page = PAYMENTS[day][after : after + 2]
    more = after + 2 < len(PAYMENTS[day])
    return reply(json.dumps({"items": page, "next": str(after + 2) if more else None}))


def workbook(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("Targets")
        for number, row in enumerate([("branch", "target"), ("Harbour", 500), ("Old Town", 300)]):
            sheet.write_row(number, 0, row)


@pytest.mark.timeout(180)
def test_a_newcomer_gets_one_report(postgresql: Database, tmp_path: Path) -> None:
    """A step of the page that no longer works, or a sheet with other figures than the three sources
    have."""
    postgresql.execute(
        "create table branches (id integer primary key, name text)",
        "insert into branches values (1, 'Harbour'), (2, 'Old Town')",
    )
    workbook(tmp_path / "landing" / "targets_2026-03.xlsx")
    with Server() as server:
        server.answers["/payments"] = payments
        follow(
            ROOT / "docs/how-to/combine-sources.md",
            tmp_path,
            CORE_USER=postgresql.user,
            CORE_HOST=postgresql.host,
            CORE_PORT=str(postgresql.port),
            CORE_DATABASE=postgresql.name,
            CORE_PASSWORD=postgresql.password,
            PAYMENTS_URL=server.url,
            PAYMENTS_TOKEN=TOKEN,
            NO_PROXY="127.0.0.1",
        )
    kept = [
        path
        for path in (tmp_path / ".headrace").rglob("*")
        if path.is_file() and TOKEN.encode() in path.read_bytes()
    ]
    assert not kept, "a secret was written down"
