"""The calendar of a node whose vendor left days out: they stand in it, in pages, and days off
don't."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from door_lab import Opened, opened
from serve_lab import deliver, headrace, project, write

CAME = ("2025-03-03", "2025-03-04", "2025-03-07", "2025-03-12")
NEVER_CAME = ["2025-03-11", "2025-03-10", "2025-03-06", "2025-03-05"]
"""Until the evening of the 12th; the 8th and the 9th are a weekend."""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = project(Path(tmp_path_factory.mktemp("missing")) / "shop")
    for path in ("sources/orders.yaml", "assets/revenue.sql"):
        text = (
            (root / path)
            .read_text(encoding="utf-8")
            .replace("owner: core\n", "owner: core\ncalendar: DE\n")
        )
        write(root / path, text)
    for day in CAME:
        deliver(root, day)
    headrace(root, "tick", "--now", "2025-03-13T06:00")
    with opened(root) as result:
        yield result


def days(door: Opened, node: str, more: str = "") -> Any:
    return door.get(f"/api/v1/assets/{node}/partitions{more}").json


@pytest.mark.parametrize("node", ["orders", "revenue"])
def test_days_that_nobody_heard_of_are_missing(door: Opened, node: str) -> None:
    """Would catch: a calendar with holes that look like weekends; a weekend called missing; a day
    that hasn't ended.
    """
    result = days(door, node)["partitions"]
    assert [item["partition"] for item in result] == sorted([*CAME, *NEVER_CAME], reverse=True)
    missing = [item for item in result if item["state"] == "missing"]
    assert [item["partition"] for item in missing] == NEVER_CAME
    assert {item["seen"] for item in missing} == {False}
    assert missing[0]["since"].startswith("2025-03-12T00:00"), "since its interval ended"


def test_pages_and_ranges_have_each_day_once(door: Opened) -> None:
    """Would catch: a missing day on two pages or on none, or one outside of what was asked for."""
    seen, after = [], ""
    while True:
        page = days(door, "orders", f"?limit=3{after}")
        seen += [item["partition"] for item in page["partitions"]]
        if page["next"] is None:
            break
        after = f"&cursor={page['next']}"
    assert seen == sorted([*CAME, *NEVER_CAME], reverse=True)
    asked = days(door, "orders", "?from=2025-03-05&to=2025-03-07")["partitions"]
    assert [item["partition"] for item in asked] == ["2025-03-07", "2025-03-06", "2025-03-05"]


def test_counts_are_of_all_that_was_asked_for(door: Opened) -> None:
    """Would catch: a legend that counts one page, or holes counted by whoever draws them."""
    whole = {"unchecked": len(CAME), "missing": len(NEVER_CAME)}
    assert counted(days(door, "orders", "?limit=3")["counted"]) == whole
    assert counted(door.get("/api/v1/assets/orders").json["partitions"]) == whole
    part = days(door, "orders", "?from=2025-03-05&to=2025-03-11&limit=2")["counted"]
    assert counted(part) == {"unchecked": 1, "missing": 4}
    assert counted(days(door, "orders", "?from=2025-03-08&to=2025-03-09")["counted"]) == {}
    assert counted(days(door, "orders", "?from=2025-03-08")["counted"]) == {
        "unchecked": 1,
        "missing": 2,
    }


def counted(rows: Any) -> dict[str, int]:
    return {row["value"]: row["count"] for row in rows}
