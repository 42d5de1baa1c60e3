"""`headrace ci`: a change of a git repository is tried out, where production is and where it isn't."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from headrace_testing.services.ci import Steps

TOML = """[project]
name = "shop"
timezone = "Europe/Berlin"
"""
SOURCE = """source: orders
owner: team
partition: day
files: landing/orders_{date:%Y-%m-%d}.csv
"""
REVENUE = """/* headrace
owner: team
partition: {by: day, column: day}
checks:
  - range: {column: revenue, min: 0}
*/
select ordered_on as day, sum(amount) as revenue from orders group by all
"""
TEST = """test: amounts are added
asset: revenue
partition: 2026-03-02
given:
  orders:
    - {order_id: 1, ordered_on: 2026-03-02, amount: 1.5}
    - {order_id: 2, ordered_on: 2026-03-02, amount: 2.5}
expect:
  - {day: 2026-03-02, revenue: 4.0}
"""
WAREHOUSE = "[connections.w]\nurl = 'sqlite:other.db'\n"
EXPORTED = (
    "- {consumer: report, owner: team, reads: [revenue], due: '07:00',"
    " export: {to: 's3://bucket/revenue_{date:%Y-%m-%d}.csv'}}\n"
)
FILES = {
    "headrace.toml": TOML,
    "owners.yaml": "team: {kind: team, contact: ['mailto:team@example.com']}\n",
    "sources/orders.yaml": SOURCE,
    "assets/revenue.sql": REVENUE,
    "tests/revenue.yaml": TEST,
    "consumers.yaml": "- {consumer: report, owner: team, reads: [revenue], due: '07:00'}\n",
    "landing/orders_2026-03-02.csv": (
        "order_id,ordered_on,amount\n1,2026-03-02,10.25\n2,2026-03-02,20.50\n"
    ),
    ".gitignore": ".headrace/\n",
}


def git(root: Path, *words: str) -> None:
    """Run git as an author that this test names."""
    author = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *author, "-C", str(root), *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a project on `main`, and `change` checked out; nothing is applied."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "checkout", "-qb", "change")
    return tmp_path


def edit(root: Path, old: str, new: str, name: str = "assets/revenue.sql") -> None:
    """Replace text of a file, which has it."""
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new))


def ci(root: Path, call: Any) -> tuple[int, str]:
    """Try the change; return the exit code and the comment."""
    code, out, err = call(root, "ci", "--against", "main", "--format", "markdown")
    assert out, err
    return code, out


@pytest.mark.long
def test_a_change_is_built_from_what_git_has_where_nothing_is_applied(
    checkout: Path, call: Any
) -> None:
    edit(checkout, "sum(amount) as revenue", "sum(amount) as revenue, count(*) as orders")
    code, comment = ci(checkout, call)
    first = comment.splitlines()[0]
    assert first == (
        "## Headrace: ✓ valid, 1 of 1 test passed, 1 partition built, rows of 1 asset differ"
    )
    assert code == 0
    assert "| `revenue` | body | `orders` added |" in comment
    assert "consumer `report`, owner `team`" in comment
    assert "--env" not in comment
    assert not (checkout / ".headrace" / "env").exists()


@pytest.mark.long
def test_in_production_s_folder_its_data_is_compared_and_stays(checkout: Path, call: Any) -> None:
    assert call(checkout, "tick", "--now", "2026-03-03T08:00+01:00")[0] == 0
    edit(checkout, "sum(amount)", "2 * sum(amount)")
    (checkout / "tests/revenue.yaml").unlink()
    code, comment = ci(checkout, call)
    assert code == 0
    assert comment.splitlines()[0] == (
        "## Headrace: ✓ valid, 1 partition built, rows of 1 asset differ"
    )
    assert "| `revenue` | 0 | 1 | 1 added, 1 removed |  |" in comment
    assert "30.75" not in comment  # values of rows aren't for everybody who reads a pull request
    assert "30.75" in call(checkout, "read", "revenue", "--format", "csv")[1]


@pytest.mark.long
def test_what_a_check_rejects_stays_wrong_in_the_next_try(checkout: Path, call: Any) -> None:
    """Would catch: owners who get mails about what may never be merged; commands of the quarantine
    that decide about production's data when they are typed as they are."""
    with (checkout / "headrace.toml").open("a") as settings:
        settings.write("[notify.mail]\nhost = '127.0.0.1'\nport = 9\nfrom = 'h@example.com'\n")
    assert call(checkout, "tick", "--now", "2026-03-03T08:00+01:00")[0] == 0
    edit(checkout, "sum(amount)", "-sum(amount)")
    (checkout / "tests/revenue.yaml").unlink()
    for _ in range(2):
        code, comment = ci(checkout, call)
        assert code == 1
        assert "✗ valid" in comment and "1 not published" in comment
        assert "| `revenue` | `2026-03-02` |" in comment
    rejected = json.loads(call(checkout, "--env", "ci", "quarantine", "--json")[1])[0]
    assert rejected["decide"][0].startswith("headrace quarantine ") and rejected["decide"][
        0
    ].endswith(" --env ci")
    assert "; then: headrace apply --env ci; then: headrace " in rejected["todo"]
    (state,) = (checkout / ".headrace/env/ci").glob("*.db")
    with sqlite3.connect(state) as tx:
        assert tx.execute("select * from notice").fetchall() == []


@pytest.mark.long
def test_errors_and_failing_tests_are_the_comment(checkout: Path, call: Any) -> None:
    edit(checkout, "sum(amount)", "2 * sum(amount)")
    code, comment = ci(checkout, call)
    assert code == 1
    assert "0 of 1 test passed" in comment
    assert "| `amounts are added` | `revenue` | `tests/revenue.yaml:1` |" in comment

    edit(checkout, "owner: team", "owner: taem")
    code, out, err = call(checkout, "ci", "--against", "main", "--format", "markdown")
    assert code == 1
    assert out.startswith("## Headrace: ✗ 1 error"), err
    edit(checkout, "owner: taem", "owner: team")

    edit(checkout, "sum(amount)", "sum(amonut)")
    code, out, err = call(checkout, "ci", "--against", "main", "--format", "github")
    assert code == 1
    assert out.startswith("::error file=assets/revenue.sql,line=7,"), err
    assert "## Headrace: ✗ 1 error" in out


def test_without_production_s_data_it_says_what_it_could_not_do(checkout: Path, call: Any) -> None:
    edit(
        checkout,
        "files: landing/orders_{date:%Y-%m-%d}.csv",
        "http: {url: 'http://h/{date:%Y-%m-%d}'}",
        "sources/orders.yaml",
    )
    code, comment = ci(checkout, call)
    assert code == 0
    assert "rows weren't compared" in comment
    assert "orders doesn't come from files of the project" in comment
    assert "nothing is applied here" in call(checkout, "ci")[1]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("headrace.toml", TOML + "[notify.mail]\nurl = 'smtp://mail.example.com'\n", "messages"),
        ("headrace.toml", TOML + "[lake]\npath = 'data/lake'\n", "isn't in .headrace"),
        ("consumers.yaml", EXPORTED, "report is exported to a place outside"),
        (
            "consumers.yaml",
            f"{EXPORTED.partition(' export:')[0]} export: {{to: {{connection: w, table: t}}}}}}\n",
            "report is exported to a place outside",
        ),
    ],
)
def test_a_fresh_clone_builds_nothing_that_reaches_outside(
    checkout: Path, call: Any, name: str, text: str, why: str
) -> None:
    """Would catch: a check of a pull request that sends mail, or exports to a real target."""
    (checkout / "headrace.toml").write_text(TOML + WAREHOUSE)
    (checkout / name).write_text(text)
    git(checkout, "commit", "-qam", "outside")
    git(checkout, "branch", "-f", "main")
    code, comment = ci(checkout, call)
    assert code == 0
    assert "rows weren't compared" in comment and why in comment


def test_an_error_of_a_step_is_said_with_its_hint(checkout: Path, call: Any) -> None:
    code, _, err = call(checkout, "ci", "--against", "nowhere")
    assert code == 2
    assert "git knows no 'nowhere' here" in err and "git fetch first" in err
    answer = Steps(checkout, None).answer("validate")
    assert answer["ok"]
