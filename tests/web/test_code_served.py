"""The code of nodes over HTTP: versions, what changed between them, and what a role hides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from door_lab import Opened, opened
from serve_lab import Answer, ask, headrace, project, response, write

from headrace.project.text_differences import LINE_MAX

NOW = "2025-03-04T08:00"
HEAD = "/* headrace\nowner: core\n*/\n"
TWO = """from headrace import asset

@asset(owner="core", domain="{domain}")
def first():
    yield {{"n": 1}}

@asset(owner="core")
def second():
    yield {{"n": 2}}
"""

THREE = """from headrace import asset

@asset(owner="core", domain="secrets")
def third():
    yield {"n": 3}
"""
CALLS = """from headrace import asset

@asset(
    owner="core",
)
def called():
    return [{"n": 4}]

@asset(
    owner="core",
)
def calling():
    return called()  # once

NUMBER = 1
"""
MOVED = """
@asset(owner="core", domain="pay")
def fourth():
    yield {"n": 4711}
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = project(tmp_path_factory.mktemp("code") / "shop")
    for number in (1, 2, 3):
        write(root / "assets/one.sql", f"{HEAD}select {number} as n\n")
        write(root / "assets/two.py", TWO.format(domain="secret" if number == 1 else "secrets"))
        write(root / "assets/three.py", THREE + MOVED * (number == 1))
        headrace(root, "apply", "--yes", "--now", NOW)
    with opened(root) as result:
        yield result


def test_what_changed_since_a_version_is_the_difference_of_its_text(door: Opened) -> None:
    """Would catch: a comparison the wrong way round, or with the file instead of what was
    applied."""
    newest = door.get("/api/v1/assets/one/code").json
    assert newest["difference"] is None and not newest["hidden"]
    numbers = [item["version"] for item in newest["versions"]]
    assert all(item["plan_id"] for item in newest["versions"])
    write(door.root / "assets/one.sql", f"{HEAD}select 9 as n\n")
    since = door.get(f"/api/v1/assets/one/code?since={numbers[-1]}").json["difference"]
    assert (since["since"], since["truncated"]) == (numbers[-1], False)
    assert [line for line in since["diff"].splitlines() if line[0] in "+-"] == [
        "-select 1 as n",
        "+select 3 as n",
    ]
    between = f"/api/v1/assets/one/code?version={numbers[1]}&since={numbers[2]}"
    assert "+select 2 as n" in door.get(between).json["difference"]["diff"]


def test_an_unknown_version_is_refused_with_the_known_ones(door: Opened) -> None:
    """Would catch: an empty difference for a version that there never was."""
    for query in ("version=99", "since=99"):
        answer = door.get(f"/api/v1/assets/one/code?{query}")
        assert answer.status == 400 and "version 99" in answer.json["detail"]


def test_a_file_that_declares_hidden_nodes_has_no_text(door: Opened) -> None:
    """Would catch: the code of an asset that a role hides, in the file of another one."""
    who = response(door.root, "access", "whoami")
    write(door.root / "access.yaml", f"- {{role: admin, to: ['{who['who']}']}}\n")
    headrace(door.root, "apply", "--yes", "--now", NOW)
    scope = "viewer:domain=secrets"
    token = response(door.root, "token", "create", "some", "--scope", scope)["token"]
    for name, status in (("first", 200), ("second", 404), ("one", 404)):
        answer = ask(
            door.port,
            f"/api/v1/assets/{name}/code?since=1",
            Authorization=f"Bearer {token}",
        )
        assert answer.status == status, answer.body
        assert b"second" not in answer.body or name == "second"
        if status == 200:
            assert answer.json["hidden"] and answer.json["text"] is None
            assert answer.json["versions"] == [] and answer.json["difference"] is None


def test_a_function_is_rendered_as_its_text(door: Opened) -> None:
    """Would catch: its syntax tree as the code that runs, with functions of other assets."""
    answer = door.get("/api/v1/render/third").json
    assert (answer["body"], answer["file"]) == ("python", "assets/three.py")
    assert answer["text"] == THREE.partition("\n\n")[2].rstrip()
    write(door.root / "assets/calls.py", CALLS)
    rendered = door.get("/api/v1/render/calling").json["text"]
    assert rendered.startswith("@asset(") and rendered.endswith("return called()  # once")
    (door.root / "assets/calls.py").unlink()


def test_a_version_in_which_a_file_declared_a_hidden_node_has_no_text(door: Opened) -> None:
    """Would catch: the code of a hidden asset that has moved, in an earlier version of the file of
    another one, or in what changed since."""
    who = response(door.root, "access", "whoami")
    write(door.root / "access.yaml", f"- {{role: admin, to: ['{who['who']}']}}\n")
    headrace(door.root, "apply", "--yes", "--now", NOW)
    scope = "viewer:domain=secrets"
    token = response(door.root, "token", "create", "third", "--scope", scope)["token"]

    def of_third(query: str) -> Answer:
        path = f"/api/v1/assets/third/code{query}"
        return ask(door.port, path, Authorization=f"Bearer {token}")

    newest = of_third("").json
    assert "third" in newest["text"] and not newest["hidden"]
    old = newest["versions"][-1]["version"]
    for query in (f"?version={old}", f"?since={old}"):
        answer = of_third(query)
        assert answer.status == 200 and answer.json["hidden"], answer.body
        assert b"4711" not in answer.body and b"fourth" not in answer.body
        everything = door.get(f"/api/v1/assets/third/code{query}")
        assert b"4711" in everything.body and not everything.json["hidden"]


def test_a_hidden_name_across_the_end_of_a_long_line_is_taken_out_whole(door: Opened) -> None:
    """Would catch: a difference that is cut first, with the start of a hidden node's name."""
    text = (door.root / "assets/one.sql").read_text(encoding="utf-8")
    line = "select n from fifth_of_pay"
    long = f"/*{'-' * (LINE_MAX - len(line))}*/ {line}\n"
    hidden, opened_head = (
        HEAD.replace("owner", f"domain: {name}\nowner") for name in ("pay", "open")
    )
    write(door.root / "assets/fifth_of_pay.sql", f"{hidden}select 5 as n\n")
    for code in ("select 4 as n\n", long):
        write(door.root / "assets/one.sql", f"{opened_head}{code}")
        headrace(door.root, "apply", "--yes", "--now", NOW)
    write(door.root / "assets/one.sql", text)
    token = response(door.root, "token", "create", "cut", "--scope", "viewer:domain=open")["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    since = door.get("/api/v1/assets/one/code").json["versions"][1]["version"]
    answer = ask(door.port, f"/api/v1/assets/one/code?since={since}", **bearer)
    assert answer.status == 200, answer.body
    assert "from …" in answer.json["difference"]["diff"] and b"fifth" not in answer.body
