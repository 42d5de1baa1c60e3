"""The grid of runs: the outcome of the last attempt at each partition, as rows and filters say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from door_lab import Opened, opened
from serve_lab import ask, deliver, headrace, project, response, write

from headrace.model import Settings
from headrace.store import Store

NOW = "2025-03-05T08:00+01:00"
DAYS = ("2025-03-01", "2025-03-02", "2025-03-03")
HOURLY = (
    "/* headrace\nowner: night\npartition: {by: hour, column: h}\n*/\nselect cast(day as"
    " timestamptz) as h from orders\n"
)
WEEKLY = (
    "/* headrace\nowner: night\npartition: {by: week, column: day}\n*/\nselect day from orders\n"
)
WHOLE = "/* headrace\nowner: night\n*/\nselect * from orders\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days that ran, and attempts of a night that no command plays as quickly."""
    root = project(tmp_path_factory.mktemp("grid") / "shop")
    write(root / "owners.yaml", (root / "owners.yaml").read_text() + "night: {kind: team}\n")
    for name, text in (("by_hour", HOURLY), ("by_week", WEEKLY), ("undivided", WHOLE)):
        write(root / f"assets/{name}.sql", text)
    for day in DAYS:
        deliver(root, day)
    headrace(root, "run", "revenue", "--now", NOW)
    with Store.open(root, Settings(name="shop")) as store, store.write(None) as tx:
        at = 1_741_046_400_000_000  # 2025-03-04T00:00Z
        tx.execute(
            "insert into run (id, kind, request, actor, state, started_at, finished_at) values"
            " (900, 'run', '{}', 'ana', 'partial', ?, ?)",
            (at, at + 1),
        )
        rows = (
            ("by_hour", ["2025-03-02T01:00+01:00"], "failed"),
            ("by_hour", ["2025-03-02T01:00+01:00"], "published"),
            ("by_hour", ["2025-03-02T02:00+01:00"], "published"),
            ("by_hour", ["2025-03-03T01:00+01:00"], "published"),
            ("by_hour", ["2025-03-03T02:00+01:00"], "failed"),
            ("by_hour", ["2025-03-03T03:00+01:00"], "failed"),
            ("by_week", ["2025-W09"], "held"),
            ("by_week", ["2025-W09", "2025-W10"], "published"),
            ("undivided", ["*"], "failed"),
            ("undivided", ["*"], "cancelled"),
        )
        tx.executemany(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
            " started_at, finished_at) values (900, ?, 900, ?, 'produce', ?, ?, ?, ?, ?)",
            [
                (n, node, msgspec.json.encode(keys).decode(), state, at, at, at + 1)
                for n, (node, keys, state) in enumerate(rows, 1)
            ],
        )
        tx.execute(
            "insert into partition (node, partition, state, since) values ('by_hour',"
            " '2025-03-03T02:00+01:00', 'failed', 0)"
        )
    return root


@pytest.fixture(scope="module")
def door(shop: Path) -> Any:
    with opened(shop) as result:
        yield result


def grid(door: Opened, **query: str) -> dict[str, Any]:
    asked = {"until": "2025-03-04", "days": "5", **query}
    text = "&".join(f"{name}={value}" for name, value in asked.items())
    answer = door.get(f"/api/v1/runs/grid?{text}")
    assert answer.status == 200, answer.body
    return answer.json


def states(door: Opened, **query: str) -> dict[str, list[str | None]]:
    return {row["node"]: row["states"] for row in grid(door, **query)["rows"]}


def test_cells_are_the_last_attempts_in_the_columns_of_their_first_days(door: Opened) -> None:
    """Would catch: a failure that a later try made good, a week without a column, a batch of which
    only the first partition counts, or hours that hide a failure among successes."""
    answer = grid(door)
    assert answer["days"] == [f"2025-0{day}" for day in ("2-28", "3-01", "3-02", "3-03", "3-04")]
    rows = {row["node"]: row for row in answer["rows"]}
    done = "published"
    assert rows["revenue"]["states"] == [None, done, done, done, None]
    assert rows["orders"]["states"] == [None, done, done, done, None]
    assert rows["by_hour"]["states"] == [None, None, done, "failed", None]
    assert rows["by_hour"]["attempts"] == [None, None, "900.3", "900.6", None]
    assert rows["by_hour"]["runs"] == [None, None, "900", "900", None]
    assert rows["by_hour"]["counts"] == [0, 0, 2, 2, 0]
    assert rows["by_hour"]["partitions"] == [0, 0, 2, 3, 0]
    assert rows["by_week"]["states"] == [None, None, None, done, None]  # W10 begins on the 3rd
    assert rows["undivided"]["states"] == [None, None, None, None, "cancelled"]
    assert list(rows).index("orders") < list(rows).index("revenue")  # as data flows
    week = grid(door, until="2025-02-28")["rows"]
    assert next(row["states"] for row in week if row["node"] == "by_week")[0] == done


@pytest.mark.parametrize(
    ("query", "nodes"),
    [
        ({"node": "revenue"}, {"revenue"}),
        ({"node": "nothing"}, set()),
        ({"owner": "night"}, {"by_hour", "by_week", "undivided"}),
        ({"owner": "o'r"}, set()),
        ({"failed": "true"}, {"by_hour"}),
        ({"state": "failed"}, {"by_hour"}),
        ({"state": "held"}, set()),
        ({"state": "cancelled"}, {"undivided"}),
        ({"state": "running"}, set()),
        ({"state": "cancelled", "failed": "true"}, set()),
        ({"actor": "ana"}, {"by_hour", "by_week", "undivided"}),
        ({"actor": "ana", "kind": "tick"}, set()),
        ({"failed": "true", "until": "2025-03-02"}, set()),
        ({"since": "2025-03-05"}, set()),
    ],
)
def test_rows_fit_the_filters(door: Opened, query: dict[str, str], nodes: set[str]) -> None:
    """Would catch: a filter that is ignored, or a row for a failure that isn't the last attempt."""
    answer = grid(door, **query)
    assert {row["node"] for row in answer["rows"]} == nodes
    assert answer["total"] == len(nodes) and answer["more"] is False


def test_the_grid_is_paged_and_bounded(door: Opened) -> None:
    """Would catch: a page that repeats or skips rows, or a request for a million cells."""
    whole = [row["node"] for row in grid(door)["rows"]]
    parts = [grid(door, first=str(n), limit="2") for n in range(0, len(whole) + 1, 2)]
    assert [row["node"] for part in parts for row in part["rows"]] == whole
    assert {part["total"] for part in parts} == {len(whole)}
    for query in ("limit=1000", "days=100000", "first=-1", "state=lost'--", "state=succeeded"):
        answer = door.get(f"/api/v1/runs/grid?{query}")
        assert answer.status == 400, (query, answer.body)
    for until in ("0001-01-01", "1969-12-31"):
        assert grid(door, until=until)["days"] == []
    assert len(grid(door, until="9999-12-31")["days"]) == 5
    assert grid(door, since="2025-03-03")["days"] == ["2025-03-03", "2025-03-04"]


def test_without_a_last_day_the_columns_are_those_of_the_newest_attempts(door: Opened) -> None:
    """Would catch: sixty empty columns over a project that last ran a year ago, or that loads data
    of a year ago today."""
    days = door.get("/api/v1/runs/grid").json["days"]
    assert len(days) == 60 and days[-1] == "2025-03-05"  # the project's clock
    assert door.get("/api/v1/runs/grid?days=1").json["days"] == ["2025-03-04"]


def test_the_runs_of_an_owner_are_those_that_tried_its_nodes(door: Opened) -> None:
    """Would catch: an owner's runs among everybody's, or none of them."""
    listed = door.get("/api/v1/runs/list?owner=night").json["runs"]
    assert [run["run_id"] for run in listed] == ["900"]
    assert door.get("/api/v1/runs/list?owner=nobody").json["runs"] == []


def test_the_last_day_of_a_limited_role_is_that_of_the_attempts_it_sees(door: Opened) -> None:
    """Would catch: columns that give away when hidden nodes were last attempted, and that leave
    out those of the visible ones."""
    who = response(door.root, "access", "whoami")["who"]
    write(door.root / "access.yaml", f"- {{role: admin, to: ['{who}']}}\n")
    headrace(door.root, "apply", "--yes", "--now", NOW)
    scope = "viewer:owner=core"
    token = response(door.root, "token", "create", "core", "--scope", scope)["token"]
    answer = ask(door.port, "/api/v1/runs/grid?days=1", Authorization=f"Bearer {token}").json
    assert answer["days"] == ["2025-03-03"]
    assert {row["node"] for row in answer["rows"] if row["states"] != [None]} == {
        "orders",
        "revenue",
    }
    assert door.get("/api/v1/runs/grid?days=1").json["days"] == ["2025-03-04"]
