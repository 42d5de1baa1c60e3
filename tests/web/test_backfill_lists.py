"""The partitions of a backfill one by one, over the API: before it is begun, and after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from door_lab import Opened, opened
from serve_lab import deliver, headrace, project, response

NOW = "2025-03-06T08:00"
DAYS = [f"2025-03-0{day}" for day in range(1, 6)]
RANGE = "from=2025-03-01&to=2025-03-05"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Five days, four of which arrived; the first three made again by a backfill."""
    root: Path = project(tmp_path_factory.mktemp("lists") / "shop")
    for day in DAYS[:4]:
        deliver(root, day)
    headrace(root, "tick", "--now", NOW)
    headrace(
        root,
        "backfill",
        "revenue",
        "--from",
        DAYS[0],
        "--to",
        DAYS[2],
        "--mode",
        "all",
        "--reason",
        "why",
        "--yes",
    )
    with opened(root) as result:
        yield result


def test_a_plan_is_listed_as_it_would_be_made_page_by_page(door: Opened) -> None:
    """Would catch: a list that says another thing than the plan, leaves something out between two
    pages, or says it twice.
    """
    path = f"/api/v1/backfills/preview/partitions?select=revenue&mode=all&{RANGE}"
    plan = response(
        door.root,
        "backfill",
        "revenue",
        "--from",
        DAYS[0],
        "--to",
        DAYS[4],
        "--mode",
        "all",
        "--reason",
        "x",
        "--dry-run",
    )
    whole = door.get(path).json
    assert (len(whole["partitions"]), whole["next"]) == (plan["partitions_total"], None)
    stands = {
        item["partition"]: item["state"]
        for item in door.get("/api/v1/assets/revenue/partitions").json["partitions"]
    }
    assert [(item["asset"], item["partition"], item["state"]) for item in whole["partitions"]] == [
        ("revenue", day, stands[day]) for day in DAYS[:4]
    ]
    first = door.get(f"{path}&limit=3").json
    rest = door.get(f"{path}&limit=3&cursor={first['next']}").json
    assert first["partitions"] + rest["partitions"] == whole["partitions"] and rest["next"] is None


def test_a_kept_plan_says_what_came_of_each_and_by_which_attempt(door: Opened) -> None:
    """Would catch: a partition whose log nobody finds, or one that is said to be made because
    something else made it."""
    kept = response(door.root, "backfills")["backfills"][0]["plan_id"]
    rows = door.get(f"/api/v1/backfills/{kept}/partitions").json["partitions"]
    assert [(row["partition"], row["state"]) for row in rows] == [
        (day, "published") for day in DAYS[:3]
    ]
    for row in rows:
        assert door.get(f"/api/v1/attempts/{row['attempt']}/logs").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "99/partitions",
        "x/partitions",
        f"preview/partitions?select=nothing&{RANGE}",
        "1/partitions?cursor=x",
    ],
)
def test_what_there_isn_t_is_refused(door: Opened, path: str) -> None:
    """Would catch: an empty list for a misspelt name, which reads as `nothing would be made`."""
    assert door.get(f"/api/v1/backfills/{path}").status in (400, 404)
