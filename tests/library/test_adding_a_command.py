"""Adds the command `owners` to a copy of the source as CONTRIBUTING.md says, and calls it by
terminal, HTTP and Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION = '''"""The owners of the project."""

from __future__ import annotations

from typing import Annotated

from headrace.services.parameters import Option
from headrace.services.responses import Response
from headrace.services.session import ProjectSession, usable


class OwnerRow(Response, frozen=True, kw_only=True):
    """One line of `owners`."""

    owner: str
    kind: str


def owners(
    session: ProjectSession,
    *,
    kind: Annotated[str | None, Option("--kind", metavar="team|vendor", help="only these")] = None,
) -> list[OwnerRow]:
    """Return the owners, sorted by name."""
    declared = usable(session.declared()).project.owners
    rows = [OwnerRow(owner=name, kind=owner.kind) for name, owner in sorted(declared.items())]
    return [row for row in rows if kind in (None, row.kind)]
'''
COMMAND = '''"""`headrace owners`: who is responsible."""

from __future__ import annotations

from headrace.cli.declared_commands import ServiceCommand
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout
from headrace.services.owners import OwnerRow


def _render(rows: list[OwnerRow], page: CommandOutput) -> None:
    page.table([ColumnLayout("owner"), ColumnLayout("kind")], [[r.owner, r.kind] for r in rows])


owners_command = ServiceCommand("owners:owners", _render, clock=False)
'''
ADDED_LINES = (
    (
        "src/headrace/cli/command_table.py",
        "COMMANDS = (\n",
        '    CliCommand("owners", "look", "list owners"),\n',
    ),
    (
        "src/headrace/web/endpoints.py",
        "ENDPOINTS: tuple[Endpoint, ...] = (\n",
        '    Get("/owners", "owners", "owners:owners", of_files=True),\n',
    ),
    ("scripts/session_methods.py", "METHODS = {\n", '    "owners": "owners:owners",\n'),
)
GENERATE = """
from scripts import completion_table, session_methods
session_methods.main()
completion_table.main()
"""
LOOK = """
import json
import headrace
from headrace.cli import main
from headrace.cli.completion import candidates
from headrace.web.openapi import description
rows = headrace.Session("project").owners(kind="vendor")
operation = description()["paths"]["/api/v1/owners"]["get"]
print(json.dumps([
    [row.owner for row in rows], operation["summary"],
    [item["name"] for item in operation["parameters"]],
    candidates(["own"]), candidates(["owners", "--kind", ""]),
]))
main.run(["owners", "--kind", "team", "--json", "--project", "project"])
"""


@pytest.mark.long
def test_the_files_that_contributing_names_are_enough(tmp_path: Path) -> None:
    """Would catch: a further place where a new command must be declared, or a path that moved."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    entry = re.search(r"- \*\*A command\*\*,(.*?)\n- \*\*", text, re.DOTALL)
    assert entry is not None
    named = re.findall(r"`((?:src|scripts|tests)/[^`<]+\.py)`", entry[1])
    assert set(named) >= {path for path, _, _ in ADDED_LINES}
    assert all((ROOT / path).is_file() for path in named)

    skipped = shutil.ignore_patterns("ui_bundle*", "__pycache__")
    shutil.copytree(ROOT / "src/headrace", tmp_path / "src/headrace", ignore=skipped)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src/headrace/services/owners.py").write_text(FUNCTION)
    (tmp_path / "src/headrace/cli/commands/owners.py").write_text(COMMAND)
    for path, before, line in ADDED_LINES:
        file = tmp_path / path
        assert file.read_text().count(before) == 1
        file.write_text(file.read_text().replace(before, before + line))

    project = tmp_path / "project"
    project.mkdir()
    (project / "headrace.toml").write_text('[project]\nname = "p"\n')
    (project / "owners.yaml").write_text("core: {kind: team}\nacme: {kind: vendor}\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'src'}{os.pathsep}{tmp_path}"}

    def printed(program: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    printed(GENERATE)
    known, typed = printed(LOOK).splitlines()
    rows, summary, parameters, commands, kinds = json.loads(known)
    assert rows == ["acme"]
    assert summary == "Return the owners, sorted by name."
    assert parameters == ["kind"]
    assert commands == ["owners"]
    assert kinds == ["team", "vendor"]
    assert json.loads(typed) == [{"owner": "core", "kind": "team"}]
