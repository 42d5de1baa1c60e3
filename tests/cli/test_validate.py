"""`headrace validate` and `headrace ls`."""

from __future__ import annotations

import pytest
from clilab import Project


def test_a_valid_project(new: Project) -> None:
    response = new.json("validate")
    assert response["ok"] is True
    assert response["counts"] == {"sources": 1, "assets": 4, "consumers": 2, "contracts": 0}
    assert new.text("validate").startswith("✓ valid")


def test_every_problem_at_once_with_place_and_hint(new: Project) -> None:
    (new.root / "consumers.yaml").write_text(
        "- {consumer: morning-report, owner: cor, reads: [revenu], due: '07:00'}\n"
    )
    (new.root / "assets/revenue.sql").write_text(
        "/* headrace\nowner: core\n*/\nselect nothing from orders_clea\n"
    )
    response = new.json("validate")
    assert response["ok"] is False
    errors = [problem for problem in response["problems"] if problem["severity"] == "error"]
    assert {problem["file"] for problem in errors} == {"consumers.yaml", "assets/revenue.sql"}
    for problem in errors:
        assert set(problem) == {"severity", "code", "message", "hint", "file", "line"}
        assert problem["line"] >= 1
    text = new.text("validate", code=1)
    assert "consumers.yaml:1" in text
    assert "did you mean" in text
    assert text.splitlines()[-1].startswith("next: headrace explain ")
    for problem in errors:
        assert new.json("explain", problem["code"])[0]["code"] == problem["code"]


@pytest.mark.parametrize(
    "command", ["run", "tick", "apply", "render revenue", "try revenue", "lineage revenue"]
)
def test_other_commands_name_the_problems_too(new: Project, command: str) -> None:
    (new.root / "consumers.yaml").write_text(
        "- {consumer: x, owner: nobody, reads: [revenue], due: '07:00'}\n"
    )
    said = new.refused(*command.split(), code=1)
    assert "consumers.yaml:1" in said
    assert "headrace validate" in said


def test_ls(new: Project) -> None:
    rows = new.json("ls")
    fields = {"name", "kind", "body", "owner", "domain", "partition", "tags", "file", "code"}
    fields |= {"retain", "kept_from", "hold"}
    assert all(set(row) == fields for row in rows)
    by_name = {row["name"]: row for row in rows}
    assert [by_name[name]["body"] for name in ("orders", "revenue", "page", "dashboard")] == [
        None,
        "sql",
        "python",
        None,
    ]
    assert [by_name[name]["kind"] for name in ("orders", "revenue", "dashboard")] == [
        "source",
        "asset",
        "consumer",
    ]
    assert by_name["orders_clean"]["tags"] == ["daily"]


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (["+revenue"], ["orders", "orders_clean", "revenue"]),
        (["revenue+"], ["fails", "page", "revenue", "morning-report"]),
        (["tag:daily"], ["orders_clean"]),
        (["owner:acme", "page"], ["orders", "page"]),
        (["-s", "path:assets/*.py"], ["fails", "page"]),
        (["consumer:dashboard"], ["orders", "orders_clean", "dashboard"]),
        (["+revenue", "--exclude", "orders"], ["orders_clean", "revenue"]),
        (["+page,revenue+"], ["page", "revenue"]),
    ],
)
def test_selections(new: Project, selection: list[str], names: list[str]) -> None:
    assert [row["name"] for row in new.json("ls", *selection)] == names


def test_what_changed_since_it_was_applied(shop: Project) -> None:
    path = shop.root / "assets/revenue.sql"
    path.write_text(path.read_text().replace("count(*)", "count(id)"))
    assert [row["name"] for row in shop.json("ls", "state:changed")] == ["revenue"]


def test_names_are_kept_for_completion(new: Project) -> None:
    from headrace.cli.completion import NAMES_FILE, candidates

    new.json("ls")
    lines = (new.root / NAMES_FILE).read_text().splitlines()
    assert [line.split("\t") for line in lines] == [
        ["dashboard", "consumer"],
        ["fails", "asset"],
        ["morning-report", "consumer"],
        ["orders", "source"],
        ["orders_clean", "asset"],
        ["page", "asset"],
        ["revenue", "asset"],
    ]
    assert candidates(["--project", str(new.root), "read", "ord"]) == ["orders", "orders_clean"]


def test_errors_of_the_settings_are_problems_like_any_other(new: Project) -> None:
    """A program that reads the document would get none, because the settings say where the state
    lies.
    """
    settings = new.root / "headrace.toml"
    settings.write_text(
        settings.read_text() + '\n[connections.wh]\nurl = "postgresql://a:literal@db/x"\n'
    )
    (new.root / "consumers.yaml").write_text(
        "- {consumer: x, owner: nobody, reads: [revenue], due: '07:00'}\n"
    )
    response = new.json("validate")
    assert {"literal_secret", "unknown_owner"} <= {
        problem["code"] for problem in response["problems"]
    }


@pytest.mark.parametrize(
    ("path", "content", "code"),
    [
        ("sources/orders.yaml", b"source: orders\n  owner: [\n", "yaml_syntax"),
        ("sources/orders.yaml", b"source: orders # \xe9\n", "not_utf8"),
        ("owners.yaml", b"core: {kind: team\n", "yaml_syntax"),
    ],
)
def test_an_unreadable_file_comes_before_what_follows_from_it(
    new: Project, path: str, content: bytes, code: str
) -> None:
    """Would catch: "unknown asset" as the first error of a project whose source isn't YAML, since
    `assets` comes before `sources`."""
    (new.root / path).write_bytes(content)
    problems = new.json("validate")["problems"]
    assert problems[0]["code"] == code
    assert any(problem["code"].startswith("unknown_") for problem in problems[1:])
    out = new.text("validate", code=1)
    assert code in out.partition("unknown_")[0]
