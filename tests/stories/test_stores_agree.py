"""Nine days with faults are the same with the state in SQLite and in PostgreSQL: each response as
JSON, key by key."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from clilab import Project
from ferries import FILES, Play, at, key
from postgres_cluster import Database

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
STATE = """[store]
connection = "state"
schema = "ferries"
[connections.state]
url = "postgresql://${STORE_USER}@${STORE_HOST}:${STORE_PORT}/${STORE_DATABASE}"
password = "secret://env/STORE_PASSWORD"
"""
DAY = f"@{key(4)}"
PAGES = (
    "status", "status --window 9d", *(
        f"status --explain {figure}" for figure in
        ("availability", "promises", "nodes", "owners", "uptime", "goodput", "throughput",
         "incidents", "sources", "use")
    ),
    "ls", "why treasury", f"why margin{DAY}", "runs", "runs 4", "incidents",
    "incidents --all", "incident INC-1", "incident INC-2", "fix INC-2 --dry-run", "quarantine",
    f"quarantine bookings{DAY}", "checks", "deliveries bookings", "deliveries fuel", "plan",
    "versions", "lineage margin.margin", "audit show", "contract show bookings",
    "read margin", "backfills", "approvals",
    "complexity", "optimize", "classify --suggest", "validate", "db check",
    "backfill takings --from 2025-03-02 --to 2025-03-04 --dry-run", "costs", "bottleneck",
)  # fmt: skip
"""What is asked after the nine days."""
_MEASURED = re.compile(
    r"seconds|_ms$|_us$|bytes?|memory|cpu|size|rate|per_second|sha|hash|slowest|looked_at|^seq$"
)
"""Keys of measurements and random names: only whether there is one is compared."""
_UNORDERED = ("audit show", "costs", "bottleneck")
"""Pages whose rows are in the order of measured times. These also decide which of two attempts with
one deadline comes first in the audit trail."""
_TEXT = (
    (re.compile(r"slowest: .*"), "…"),
    (re.compile(r"\d[\d,.]* (µs|ms|s|min|h|days?|[KMG]?B)( \d\d (min|h))*\b"), "…"),
    (re.compile(r"\b[0-9a-f]{8,}(-[0-9a-f]{4,})*\b"), "#"),
    (re.compile(r"^(\d+)\.\d+$"), r"\1"),
    (re.compile(r"(\d\d):\d\d(:\d\d(\.\d+)?)?"), r"\1"),
)
"""What depends on the minute, on chance or on the order of attempts, in texts. Everything happens
within the hours."""


def _is_short(row: Any) -> bool:
    """Whether a row is about a time of seconds, such as that of a dispatch."""
    return isinstance(row, dict) and 0 <= (row.get("seconds") or 600) < 600


def comparable(value: Any, field: str = "") -> Any:
    """A response without what is measured while it is computed."""
    if isinstance(value, dict):
        return {name: comparable(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [comparable(item, field) for item in value if not _is_short(item)]
    if isinstance(value, float) or _MEASURED.search(field):
        return value is None
    if isinstance(value, str):
        for pattern, instead in _TEXT:
            value = pattern.sub(instead, value)
    return value


def unordered(value: Any) -> Any:
    """A response whose lists are in an order of their own."""
    if isinstance(value, dict):
        return {name: unordered(item) for name, item in value.items()}
    if isinstance(value, list):
        return sorted((unordered(item) for item in value), key=repr)
    return value


def played(root: Path, call: Callable[..., Any]) -> dict[str, Any]:
    """Play nine days with a late, a held and a renamed file, and return what is then answered."""

    def decided(*words: str) -> Callable[[Project, datetime], None]:
        return lambda shop, now: shop.json(*words, "--now", now.isoformat())

    root.mkdir()
    shop = Project(root, call)
    evenings: list[Any] = []
    Play(
        9,
        ("06:00",),
        deliveries={
            ("sailings", 2): [(4, "05:00", "")],
            ("fuel", 4): [(5, "04:00", "hundredfold")],
            ("bookings", 5): [(6, "04:00", "renamed")],
            ("bookings", 7): [(8, "04:00", "doubled"), (9, "04:00", "")],
        },
        acts={
            (7, "05:00"): decided("contract", "accept", f"bookings@{key(5)}"),
            (8, "05:00"): decided(
                "quarantine", "accept", f"fuel@{key(4)}", "--reason", "a large tank"
            ),
        },
    ).run(
        shop,
        lambda shop, now: evenings.extend(
            shop.json(page, "--now", now.isoformat())
            for page in ("status", "incidents", "quarantine")
        ),
    )
    now = ("--now", at(9, "23:10").isoformat())
    pages = {"each evening": evenings}
    for page in PAGES:
        pages[page] = shop.json(*page.split(), *now)
    return pages


def test_nine_days_are_the_same_in_both_stores(
    tmp_path: Path,
    call: Callable[..., Any],
    postgresql: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Would catch: a query whose order, rounding, null or text differs with the database."""
    sqlite = played(tmp_path / "sqlite", call)
    values = {"HOST": postgresql.host, "PORT": str(postgresql.port), "DATABASE": postgresql.name}
    values |= {"USER": postgresql.user, "PASSWORD": postgresql.password}
    for name, value in values.items():
        monkeypatch.setenv(f"STORE_{name}", value)
    monkeypatch.setitem(FILES, "headrace.toml", FILES["headrace.toml"] + STATE)
    server = played(tmp_path / "server", call)
    for page, answer in sqlite.items():
        found, expected = comparable(server[page]), comparable(answer)
        if page in _UNORDERED:
            found, expected = unordered(found), unordered(expected)
        assert (page, found) == (page, expected)
