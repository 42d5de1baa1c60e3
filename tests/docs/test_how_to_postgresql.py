"""docs/how-to/postgresql.md, typed against a real server; and the tutorial's project, moved as the
page says.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from page_lab import ROOT, Shell, follow
from postgres_cluster import Database


@pytest.mark.timeout(120)
def test_the_page_does_what_it_says(tmp_path: Path, postgresql: Database) -> None:
    follow(
        ROOT / "docs/how-to/postgresql.md",
        tmp_path,
        STORE_HOST=postgresql.host,
        STORE_PORT=str(postgresql.port),
        STORE_DATABASE=postgresql.name,
        STORE_USER=postgresql.user,
        STORE_PASSWORD=postgresql.password,
    )


@pytest.mark.timeout(180)
def test_the_tutorials_project_moves_to_postgresql_and_back(
    tmp_path: Path, postgresql: Database
) -> None:
    """It has an incident and a rejected partition; nothing of them is lost on the way."""
    follow(ROOT / "docs/tutorial.md", tmp_path)
    shell = Shell(tmp_path / "shop", STORE_URL=postgresql.url)
    settings = tmp_path / "shop/headrace.toml"
    sqlite = settings.read_text(encoding="utf-8")
    incidents = typed(shell, "headrace incidents --all --json")
    assert incidents != "[]"
    for number, chosen in enumerate((sqlite + '\n[store]\nurl = "${STORE_URL}"\n', sqlite)):
        typed(shell, f"headrace db backup ../kept-{number}")
        settings.write_text(chosen, encoding="utf-8")
        typed(shell, f"headrace db restore ../kept-{number}" + " --force" * number)
        typed(shell, "headrace db check --deep")
        assert typed(shell, "headrace incidents --all --json") == incidents
        typed(shell, "headrace tick")


def typed(shell: Shell, command: str) -> str:
    code, output, errors = shell.run(command)
    assert code == 0, f"$ {command}\n{output}\n{errors}"
    return output
