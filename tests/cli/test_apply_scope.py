"""`apply` by people whose roles are limited to a domain."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n',
    "owners.yaml": 'core: {kind: team, contact: ["mailto:core@example.com"]}\n',
    "assets/orders.sql": "/* headrace\nowner: core\ndomain: retail\n*/\nselect 1 as id\n",
    "assets/lines.sql": "/* headrace\nowner: core\ndomain: retail\n*/\nselect id from orders\n",
    "assets/revenue.sql": "/* headrace\nowner: core\ndomain: finance\n*/\n"
    "select id as total from lines\n",
    "assets/budget.sql": "/* headrace\nowner: core\ndomain: finance\n*/\nselect 1 as id\n",
}


@pytest.fixture
def project(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a token that owns the domain `retail` only."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    project = Project(tmp_path, call)
    who = project.json("access", "whoami")["who"]
    (tmp_path / "access.yaml").write_text(
        f"- {{role: admin, to: ['{who}']}}\n- {{role: owner, to: ['token:retail'], domain: retail}}\n"
    )
    project.text("apply", "--yes")
    made = project.json("token", "create", "retail", "--scope", "owner:domain=retail")
    monkeypatch.setenv("HEADRACE_TOKEN", made["token"])
    return project


HIDDEN = "it also changes what your roles don't reach"


def edit(project: Project, path: str, old: str, new: str) -> None:
    target = project.root / path
    target.write_text(target.read_text().replace(old, new))


def why_refused(project: Project) -> str:
    code, out, err = project.call(project.root, "apply", "--yes", "--json")
    assert code == 3, (out, err)
    assert json.loads(out)["error"]["code"] == "not_allowed"
    return err


def test_the_owner_of_a_domain_applies_changes_of_it(project: Project) -> None:
    """Would catch: an owner who has to ask an admin to change an asset of their domain."""
    edit(project, "assets/lines.sql", "select id", "select id + 1 as id")
    assert "applied as version 2" in project.text("apply", "--yes")


@pytest.mark.parametrize(
    ("path", "old", "new", "why"),
    [
        ("assets/revenue.sql", "id as total", "id + 1 as total", HIDDEN),
        ("assets/revenue.sql", "domain: finance", "domain: retail", HIDDEN),
        ("assets/lines.sql", "domain: retail", "domain: finance", "it changes lines"),
        ("assets/lines.sql", "from orders", "from budget", "lines reads what"),
        ("headrace.toml", "UTC", "Europe/Berlin", "headrace.toml concerns the whole project"),
        ("access.yaml", "owner, to", "admin, to", "access.yaml concerns the whole project"),
    ],
)
def test_what_reaches_beyond_the_domain_is_refused(
    project: Project, path: str, old: str, new: str, why: str
) -> None:
    """Would catch: an owner who takes over another domain, reads it through an asset of their own,
    or gives themselves a role. TRUST Z5."""
    edit(project, path, old, new)
    assert why in why_refused(project)


def test_findings_show_no_code_of_another_domain(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: lines of a reader that this role doesn't see, in the change of what it reads."""

    def change() -> tuple[str | None, str | None]:
        rows = project.json("optimize", "lines")
        (row,) = [row for row in rows if row["rule"] == "pass_through"]
        return row["diff"], row["unmeasured"]

    (project.root / "consumers.yaml").write_text(
        "- {consumer: report, owner: core, reads: [revenue], due: '07:00'}\n"
    )
    token = os.environ["HEADRACE_TOKEN"]
    monkeypatch.delenv("HEADRACE_TOKEN")
    diff, unmeasured = change()
    assert diff is not None and "as total" in diff and unmeasured is None
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    assert change() == (None, "its change is in files with code that your roles don't show")


@pytest.mark.parametrize("through", ["budget", "passed"])
def test_code_under_trial_reads_only_what_its_author_may_read(
    project: Project, monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    """Would catch: rows of another domain in a `try`, or in an error of a query of `ab`."""
    token = os.environ["HEADRACE_TOKEN"]
    monkeypatch.delenv("HEADRACE_TOKEN")
    project.text("tick")
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    query = f"select cast('r' || id as int) as id from {through}"
    (project.root / "assets/passed.sql").write_text(
        "/* headrace\nowner: core\ndomain: retail\nmaterialize: view\n*/\nselect id from budget\n"
    )
    (project.root / "new.sql").write_text(query)
    code, out, err = project.call(project.root, "ab", "lines", "--change", "new.sql")
    assert code == 3 and "r1" not in out + err
    assert "ab would read a node that you may not read" in err
    edit(project, "assets/lines.sql", "select id from orders", query)
    code, out, err = project.call(project.root, "try", "lines")
    assert code == 3 and "r1" not in out + err
    edit(project, "assets/lines.sql", query, "select id + 1 as id from orders")
    project.text("try", "lines")
