"""The graph of what files change over HTTP: changed nodes, what is downstream, what a role hides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from door_lab import Opened, opened
from serve_lab import ask, headrace, project, response, write

from headrace_ui.services import plan_graph

NOW = "2025-03-04T08:00"
HEAD = "/* headrace\nowner: core\ndomain: {domain}\n*/\n"
CHAIN = {
    "one": ("open", "select 1 as n"),
    "two": ("closed", "select n from one"),
    "three": ("open", "select n from two"),
    "apart": ("open", "select 1 as n"),
}


@pytest.fixture
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = project(tmp_path_factory.mktemp("plan_graph") / "shop")
    for name, (domain, sql) in CHAIN.items():
        write(root / f"assets/{name}.sql", f"{HEAD.format(domain=domain)}{sql}\n")
    who = response(root, "access", "whoami")["who"]
    write(root / "access.yaml", f"- {{role: admin, to: ['{who}']}}\n")
    headrace(root, "apply", "--yes", "--now", NOW)
    with opened(root) as result:
        yield result


def change(door: Opened, name: str, sql: str, domain: str = "open") -> None:
    write(door.root / f"assets/{name}.sql", f"{HEAD.format(domain=domain)}{sql}\n")


def graph(door: Opened) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    answer = door.get("/api/v1/plan/graph").json
    return (
        {row["name"]: row["changes"] for row in answer["nodes"]},
        [(edge["from"], edge["to"]) for edge in answer["edges"]],
    )


def test_changed_nodes_come_with_everything_downstream(
    door: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: nodes that nothing reaches, edges of the files or of what is applied alone, an
    added node with a link to a page that doesn't exist, and a list without an end."""
    assert graph(door) == ({}, [])
    change(door, "one", "select 2 as n")
    assert graph(door) == (
        {"one": ["body"], "two": [], "three": []},
        [("one", "two"), ("two", "three")],
    )
    change(door, "added", "select n from one")
    change(door, "three", "select n from added")
    nodes, edges = graph(door)
    assert nodes == {"added": ["added"], "one": ["body"], "three": ["body"], "two": []}
    # that `three` read `two` is what is applied
    assert set(edges) == {
        ("one", "added"), ("one", "two"), ("added", "three"), ("two", "three"),
    }  # fmt: skip
    rows = {row["name"]: row for row in door.get("/api/v1/plan/graph").json["nodes"]}
    assert {name for name, row in rows.items() if not row["applied"]} == {"added"}
    monkeypatch.setattr(plan_graph, "NODES_MAX", 3)
    answer = door.get("/api/v1/plan/graph").json
    assert [row["name"] for row in answer["nodes"]] == ["added", "one", "three"]
    assert (answer["more_changed"], answer["more_downstream"], answer["left_out"]) == (0, 1, False)
    monkeypatch.setattr(plan_graph, "NODES_MAX", 1)
    answer = door.get("/api/v1/plan/graph").json
    assert (answer["more_changed"], answer["more_downstream"]) == (2, 1)


def test_a_removed_node_is_in_the_graph_and_a_renamed_one_once(door: Opened) -> None:
    """Would catch: a removed node that isn't shown, and the former name of a renamed one."""
    (door.root / "assets/apart.sql").unlink()
    (door.root / "assets/three.sql").unlink()
    head = "/* headrace\nowner: core\ndomain: open\nrenamed_from: three\n*/\n"
    write(door.root / "assets/third.sql", f"{head}select n from two\n")
    nodes, edges = graph(door)
    assert nodes == {"apart": ["removed"], "third": ["metadata"]}
    assert edges == []


def test_a_limited_role_gets_its_nodes_only(door: Opened) -> None:
    """Would catch: a hidden node in the graph, and an edge through it that tells of it."""
    change(door, "one", "select 2 as n")
    change(door, "two", "select n + 1 as n from one", domain="closed")
    token = response(door.root, "token", "create", "some", "--scope", "viewer:domain=open")["token"]
    answer = ask(door.port, "/api/v1/plan/graph", Authorization=f"Bearer {token}")
    assert answer.status == 200, answer.body
    assert [row["name"] for row in answer.json["nodes"]] == ["one"]
    assert (answer.json["edges"], answer.json["more_downstream"]) == ([], 0)
    assert answer.json["left_out"] and b"two" not in answer.body and b"three" not in answer.body


def test_files_with_errors_are_refused(door: Opened) -> None:
    """Would catch: a server error."""
    change(door, "one", "selec 2")
    assert door.get("/api/v1/plan/graph").status == 409
