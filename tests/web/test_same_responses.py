"""The API and the commands say the same: each endpoint beside `--json`, on a small project that has
run, failed and been paused.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from door_lab import Opened, opened
from serve_lab import deliver, headrace, project, response, write

from headrace.repairs.broken_partitions import BROKEN
from headrace.web import openapi

NOW = "2025-03-04T08:00"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Three days: two that are published, one whose file is broken; another asset that
    is paused.
    """
    root = project(tmp_path_factory.mktemp("same") / "shop")
    write(
        root / "assets/twice.sql",
        "/* headrace\nowner: core\npartition: {by: day, column: day}\ndomain: sales\ntags:"
        " [money]\nchecks: [{not_null: [day]}]\n*/\nselect day, revenue * 2 as twice from"
        " revenue\n",
    )
    for day in ("2025-03-01", "2025-03-02"):
        deliver(root, day)
    headrace(root, "tick", "--now", NOW)
    (root / "landing/orders_2025-03-03.csv").write_text(
        "day,amount\n2025-03-03,many\n", encoding="utf-8"
    )
    headrace(root, "tick", "--now", NOW)
    headrace(root, "pause", "twice", "--reason", "<b>later</b>")
    with opened(root) as result:
        yield result


SAME = {
    "status": ["status"],
    "status?select=consumer:report&window=7d": ["status", "consumer:report", "--window", "7d"],
    "figures/availability": ["status", "--explain", "availability"],
    "figures/goodput?window=7d": ["status", "--explain", "goodput", "--window", "7d"],
    "figures/use": ["status", "--explain", "use"],
    "why/report": ["why", "report"],
    "why/revenue@2025-03-02": ["why", "revenue@2025-03-02"],
    "incidents": ["incidents"],
    "incidents?all=true": ["incidents", "--all"],
    "runs": ["runs"],
    "runs?failed=true&limit=5": ["runs", "--failed", "--limit", "5"],
    "runs?run=1": ["runs", "1"],
    "backfills": ["backfills"],
    "deliveries/orders": ["deliveries", "orders"],
    "checks": ["checks"],
    "checks?select=twice&history=1": ["checks", "twice", "--history", "1"],
    "quarantine": ["quarantine"],
    "quarantine?target=orders@2025-03-03": ["quarantine", "orders@2025-03-03"],
    "paused": ["pause"],
    "contract/orders": ["contract", "show", "orders"],
    "contract/orders/diff": ["contract", "diff", "orders"],
    "lineage/revenue.revenue": ["lineage", "revenue.revenue"],
    "lineage/orders?up=false": ["lineage", "orders", "--down"],
    "plan": ["plan"],
    "ls": ["ls"],
    "ls?select=tag:money": ["ls", "tag:money"],
    "audit": ["audit", "show"],
    "audit?action=node.*&limit=2": ["audit", "show", "--action", "node.*", "--limit", "2"],
    "audit/verify": ["audit", "verify"],
}
ALONE = [
    "consumers/report",
    "assets",
    "assets?search=money&sort=state",
    "assets?state=fresh&kind=asset",
    "assets/revenue",
    "assets/orders",
    "runs?node=revenue",
    "runs?node=orders&failed=true",
    "assets/twice/partitions?from=2025-03-01&to=2025-03",
    "assets/revenue/code",
    "runs/1",
    "runs/list",
    "runs/list?failed=true",
    "assets?sort=published",
    "assets?sort=use",
    "assets?sort=cost",
    "graph/view",
    "graph/view?mode=focus&root=revenue",
    "graph/view?mode=blast&root=orders",
    "search?q=rev",
    "search?q=1",
]


@pytest.mark.parametrize("path", SAME)
def test_an_endpoint_says_what_the_command_says(door: Opened, path: str) -> None:
    """Would catch: a page that shows another number than the command, because it was worked out a
    second time."""
    answer = door.get(f"/api/v1/{path}")
    assert answer.status == 200, answer.body
    assert answer.json == response(door.root, *SAME[path])


@pytest.mark.parametrize("path", [*SAME, *ALONE])
def test_an_answer_is_as_it_is_described(door: Opened, path: str) -> None:
    """Would catch: a type that a client was generated from, and that the answer hasn't."""
    answer = door.get(f"/api/v1/{path}")
    assert answer.status == 200, answer.body
    result = _described()
    jsonschema.Draft202012Validator(
        {**_schema_of(result, path), "components": result["components"]}
    ).validate(answer.json)


@functools.cache
def _described() -> dict[str, Any]:
    return openapi.description()


def _schema_of(result: dict[str, Any], path: str) -> dict[str, Any]:
    asked = f"/api/v1/{path.partition('?')[0]}".split("/")
    fits = [
        (sum(part.startswith("{") for part in known.split("/")), methods["get"])
        for known, methods in result["paths"].items()
        if "get" in methods
        and len(known.split("/")) == len(asked)
        and all(
            item.startswith("{") or item == other
            for item, other in zip(known.split("/"), asked, strict=True)
        )
    ]
    schema = min(fits, key=lambda fit: fit[0])[1]["responses"]["200"]["content"][
        "application/json"
    ]["schema"]
    assert isinstance(schema, dict)
    return schema


def test_pages_follow_each_other_without_gap(door: Opened) -> None:
    """Would catch: a row that stands on two pages of a list, or on none."""
    for path, rows, name in (
        ("assets?limit=1&sort=owner", "nodes", "name"),
        ("assets?limit=1&sort=published", "nodes", "name"),
        ("assets?limit=1&sort=cost", "nodes", "name"),
        ("assets/orders/partitions?limit=1", "partitions", "partition"),
        ("runs/1?limit=1", "attempts", "id"),
        ("runs/list?limit=1", "runs", "run_id"),
        ("consumers/report?limit=1&ledgers=0", "deliveries", "interval"),
    ):
        seen, after = [], ""
        while True:
            page = door.get(f"/api/v1/{path}{after}").json
            seen += [row[name] for row in page[rows]]
            if page["next"] is None:
                break
            after = f"&cursor={page['next']}"
        whole = [
            row[name]
            for row in door.get(f"/api/v1/{path.replace('limit=1', 'limit=100')}").json[rows]
        ]
        assert (seen == whole and len(seen) > 1) or path.startswith("consumers"), path


@pytest.mark.parametrize(
    "path",
    [
        "assets?cursor=%00",
        "assets?cursor=AAAA",
        "runs/1?cursor=abc",
        "assets/orders/partitions?cursor=gaE",
    ],
)
def test_a_cursor_that_was_never_given_is_refused(door: Opened, path: str) -> None:
    """Would catch: a traceback for a bookmark that was cut short."""
    assert door.get(f"/api/v1/{path}").status == 400


HOSTILE = [
    "<script>",
    "..",
    "%2e%2e%2fetc",
    "a'%20or%201=1--",
    "%00",
    "x" * 900,
    "revenue@",
    "%F0%9F%92%A9",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_only_names_that_there_are_not(door: Opened, name: str) -> None:
    """Would catch: a name that becomes SQL, a path or markup on its way."""
    for path in (
        f"assets/{name}",
        f"consumers/{name}",
        f"why/{name}",
        f"deliveries/{name}",
        f"incidents/{name}",
        f"runs/{name}",
        f"attempts/{name}/logs",
        f"contract/{name}",
        f"lineage/{name}",
        f"graph/view?mode=focus&root={name}",
    ):
        answer = door.get(f"/api/v1/{path}")
        assert answer.status in (400, 404, 422), (path, answer.status, answer.body[:200])
        assert answer.headers["content-type"] == "application/problem+json"
    assert door.get(f"/api/v1/search?q={name}").status == 200


def test_the_code_of_an_asset_has_its_versions(door: Opened) -> None:
    """Would catch: a page that shows what the file says now as if it were applied."""
    first = door.get("/api/v1/assets/revenue/code").json
    path = door.root / "assets/revenue.sql"
    applied = path.read_text()
    write(path, applied + "-- later\n")
    try:
        assert door.get("/api/v1/assets/revenue/code").json == first
        assert first["text"] == applied and [item["version"] for item in first["versions"]] == [
            first["version"]
        ]
    finally:
        write(path, applied)


def test_a_focus_is_never_more_than_its_budget_and_says_what_it_leaves_out(door: Opened) -> None:
    """Would catch: a graph of ten thousand cards, or one that hides its neighbours
    without a word.
    """
    result = door.get("/api/v1/graph/view?mode=focus&root=revenue&hops=2&budget=2").json
    cards = {card["id"]: card for card in result["cards"]}
    assert result["shown"] == 2 and result["total"] == 4 and cards["asset:revenue"]["steps"] == 0
    assert sum(card["count"] for card in result["cards"]) == 4
    assert json.dumps(result).count("more:") >= 1
    near = door.get("/api/v1/graph/view?mode=focus&root=revenue&hops=0").json
    assert [(card["hidden_above"], card["hidden_below"]) for card in near["cards"]] == [(1, 2)]


def test_logs_come_in_pages_and_are_searched_literally(door: Opened) -> None:
    """Would catch: an expression that never ends, and keeps the process that leads from
    its work.
    """
    runs = door.get("/api/v1/runs?failed=false&limit=10").json
    attempt = next(row["attempt"] for row in runs if row["attempt"])
    whole = door.get(f"/api/v1/attempts/{attempt}/logs").json
    assert whole["attempt"] == attempt and whole["next"] is None and not whole["open"]
    assert door.get(f"/api/v1/attempts/{attempt}/logs?grep=(a%2B)%2B%24").json["lines"] == []


def test_the_runs_of_a_node_are_those_of_all_that_are_its(door: Opened) -> None:
    """Would catch: an asset's page that says it never ran because a thousand others ran since, or
    another row than `runs` shows.
    """
    whole = door.get("/api/v1/runs?limit=1000").json
    for node in ("orders", "revenue"):
        mine = [row for row in whole if row["node"] == node]
        result = door.get(f"/api/v1/runs?node={node}").json
        assert result == mine and len(mine) > 1, node
        assert door.get(f"/api/v1/runs?node={node}&failed=true").json == [
            row for row in mine if row["state"] in BROKEN
        ]
    assert len(door.get("/api/v1/runs?node=revenue&limit=1").json) == 1
    assert door.get("/api/v1/runs?node=%00").status in (400, 404)


def test_the_catalog_has_the_costliest_first_as_the_figure_says(door: Opened) -> None:
    """Would catch: an order by cost that is by something else, or a cost of its own beside the
    figure's.
    """
    rows = door.get("/api/v1/figures/use").json["rows"]
    cards = door.get("/api/v1/assets?sort=cost").json["nodes"]
    took = {row["node"]: row["seconds"] for row in rows}
    assert [card["seconds"] for card in cards] == sorted(
        (took[card["name"]] for card in cards), reverse=True
    )
    assert cards[0]["seconds"] > 0 and cards[0]["reads"] == 0
    waiting = [
        card["published_at"] or ""
        for card in door.get("/api/v1/assets?sort=published").json["nodes"]
    ]
    assert waiting == sorted(waiting)


def test_it_needs_no_project_that_has_run(tmp_path: Path) -> None:
    """Would catch: a first page that is an error, because nothing is there yet."""
    root = project(tmp_path / "new")
    with opened(root) as new:
        for path in (
            "status",
            "assets",
            "assets/revenue",
            "assets/revenue/partitions",
            "assets/revenue/code",
            "consumers/report",
            "graph/view",
            "graph/view?mode=focus&root=revenue",
            "search?q=r",
            "incidents",
            "runs",
            "checks",
            "paused",
            "runs?node=revenue",
            "why/report",
            "backfills",
            "quarantine",
            "audit",
        ):
            answer = new.get(f"/api/v1/{path}")
            assert answer.status == 200, (path, answer.body)
