"""The text of changed files over HTTP: against what is applied, and what a role hides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from door_lab import Opened, opened
from serve_lab import ask, headrace, project, response, write

from headrace.project.text_differences import LINE_MAX

NOW = "2025-03-04T08:00"
HEAD = "/* headrace\nowner: core\ndomain: {domain}\n*/\n"
FILES = {"one": "open", "two": "closed"}


@pytest.fixture
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = project(tmp_path_factory.mktemp("plan_code") / "shop")
    for name, domain in FILES.items():
        write(root / f"assets/{name}.sql", f"{HEAD.format(domain=domain)}select 1 as n\n")
    who = response(root, "access", "whoami")["who"]
    write(root / "access.yaml", f"- {{role: admin, to: ['{who}']}}\n")
    headrace(root, "apply", "--yes", "--now", NOW)
    with opened(root) as result:
        yield result


def signs(diff: str) -> list[str]:
    return [line for line in diff.splitlines() if line[0] in "+-"]


def test_each_changed_file_has_its_difference(door: Opened) -> None:
    """Would catch: unchanged files, a comparison the wrong way round, a new or removed file without
    its text, and a file that isn't text as a server error."""
    assert door.get("/api/v1/plan/code").json["files"] == []
    write(door.root / "assets/one.sql", f"{HEAD.format(domain='open')}select 2 as n\n")
    write(door.root / "assets/new.sql", f"{HEAD.format(domain='open')}select 3 as n\n")
    (door.root / "assets/two.sql").unlink()
    answer = door.get("/api/v1/plan/code").json
    assert (answer["against"], answer["more"], answer["left_out"]) == ("version 1", 0, False)
    rows = {row["path"]: row for row in answer["files"]}
    assert {path: row["change"] for path, row in rows.items()} == {
        "assets/new.sql": "added",
        "assets/one.sql": "changed",
        "assets/two.sql": "removed",
    }
    assert signs(rows["assets/one.sql"]["diff"]) == ["-select 1 as n", "+select 2 as n"]
    assert "+select 3 as n" in rows["assets/new.sql"]["diff"]
    assert "-select 1 as n" in rows["assets/two.sql"]["diff"]


def test_a_limited_role_gets_the_text_of_its_files_only(door: Opened) -> None:
    """Would catch: the code of a hidden node, or its name, in the plan of somebody else."""
    for name, domain in FILES.items():
        write(door.root / f"assets/{name}.sql", f"{HEAD.format(domain=domain)}select 4711 as n\n")
    token = response(door.root, "token", "create", "some", "--scope", "viewer:domain=open")["token"]
    answer = ask(door.port, "/api/v1/plan/code", Authorization=f"Bearer {token}")
    assert answer.status == 200, answer.body
    assert [row["path"] for row in answer.json["files"]] == ["assets/one.sql"]
    assert answer.json["left_out"] and b"two" not in answer.body


def test_files_with_errors_are_refused_and_all_problems_are_listed(door: Opened) -> None:
    """Would catch: a server error, and a list that has only the first problem."""
    for name in FILES:
        write(door.root / f"assets/{name}.sql", f"{HEAD.format(domain='open')}selec 2\n")
    answer = door.get("/api/v1/plan/code")
    assert answer.status == 409, answer.body
    problems = door.get("/api/v1/validate").json
    assert not problems["ok"]
    assert {row["file"] for row in problems["problems"]} == {"assets/one.sql", "assets/two.sql"}


def test_a_limited_role_doesnt_read_the_name_of_a_hidden_node_that_isnt_applied(
    door: Opened,
) -> None:
    """Would catch: a new node of somebody else, named by the code of a visible one."""
    write(door.root / "assets/merger.sql", f"{HEAD.format(domain='closed')}select 1 as n\n")
    write(door.root / "assets/one.sql", f"{HEAD.format(domain='open')}select n + 1 from merger\n")
    token = response(door.root, "token", "create", "some", "--scope", "viewer:domain=open")["token"]
    answer = ask(door.port, "/api/v1/plan/code", Authorization=f"Bearer {token}")
    assert answer.status == 200, answer.body
    assert "+select n + 1 from …" in answer.json["files"][0]["diff"]
    assert b"merger" not in answer.body


def test_a_hidden_name_at_the_end_of_a_long_line_isnt_cut_before_it_is_taken_out(
    door: Opened,
) -> None:
    """Would catch: the first letters of a hidden node, which nothing recognises any more."""
    write(door.root / "assets/merger_with_acme.sql", f"{HEAD.format(domain='closed')}select 1 n\n")
    line = "select n + 1 from merger_with_acme"
    # the line ends in the name, which begins before the 400th character
    long = f"/*{'-' * (LINE_MAX - len(line))}*/ {line}"
    write(door.root / "assets/one.sql", f"{HEAD.format(domain='open')}{long}\n")
    token = response(door.root, "token", "create", "some", "--scope", "viewer:domain=open")["token"]
    answer = ask(door.port, "/api/v1/plan/code", Authorization=f"Bearer {token}")
    assert answer.status == 200, answer.body
    assert "from …" in answer.json["files"][0]["diff"]
    assert b"merge" not in answer.body
