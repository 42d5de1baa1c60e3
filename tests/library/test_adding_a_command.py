"""Adds the command `owners` to a copy of the source by one function, and calls it by terminal, HTTP
and Python, and as a tool of agents."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import generate

ROOT = Path(__file__).parents[2]
FUNCTION = '''"""The owners of the project."""

from __future__ import annotations

from typing import Annotated

from headrace.project.parameters import Option
from headrace.access.permissions import SEE, command
from headrace.responses import Response
from headrace.project.session import ProjectSession, usable


class OwnerRow(Response, frozen=True, kw_only=True):
    """One line of `owners`."""

    owner: str
    kind: str


@command(
    "owners",
    SEE,
    lists=True,
    http="GET /owners owners", of_files=True,
    session="owners",
    group="look",
    summary="list owners",
)
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
LOOK = """
import json
import headrace
from headrace.cli import main
from headrace.cli.command_table import help_text
from headrace.cli.completion import candidates
from headrace.access.permissions import by_name
from headrace_agents.declarations import tools
from headrace.web.openapi import description
rows = headrace.Session("project").owners(kind="vendor")
operation = description()["paths"]["/api/v1/owners"]["get"]
print(json.dumps([
    [row.owner for row in rows], operation["summary"],
    [item["name"] for item in operation["parameters"]],
    candidates(["own"]), candidates(["owners", "--kind", ""]),
    by_name()["owners"].permission, tools()["owners"].function,
    [line for line in help_text().splitlines() if "list owners" in line],
]))
main.run(["owners", "--kind", "team", "--json", "--project", "project"])
main.run(["owners", "--project", "project"])
"""


@pytest.mark.long
def test_a_function_with_its_declaration_is_enough(tmp_path: Path) -> None:
    """Would catch: a second place where a new command must be declared."""
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("src/headrace", "scripts", "packages/headrace-agents/src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src/headrace/services/owners.py").write_text(FUNCTION)

    project = tmp_path / "project"
    project.mkdir()
    (project / "headrace.toml").write_text('[project]\nname = "p"\n')
    (project / "owners.yaml").write_text("core: {kind: team}\nacme: {kind: vendor}\n")
    folders = (tmp_path / "src", tmp_path / "packages/headrace-agents/src", tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}

    def printed(program: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    printed("from scripts import generate; generate.main([])")
    known, typed, *table = printed(LOOK).splitlines()
    rows, summary, parameters, commands, kinds, permission, tool, helps = json.loads(known)
    assert rows == ["acme"]
    assert summary == "Return the owners, sorted by name."
    assert parameters == ["kind"]
    assert commands == ["owners"]
    assert kinds == ["team", "vendor"]
    assert (permission, tool) == ("see", "owners:owners")
    assert helps == ["  owners       list owners"]
    assert json.loads(typed) == [{"owner": "core", "kind": "team"}]
    assert [line.split() for line in table] == [
        ["owner", "kind"], ["acme", "vendor"], ["core", "team"],
    ]  # fmt: skip
    generated = {str(path.relative_to(ROOT)) for path in generate.targets()}
    assert edited(tmp_path) - generated == {"src/headrace/services/owners.py"}


def edited(tree: Path) -> set[str]:
    """Return the files of the copy that aren't as in the source."""
    files = [path for path in (tree / "src").rglob("*") if path.suffix in (".py", ".json")]
    return {
        str(path.relative_to(tree))
        for path in files
        if not (original := ROOT / path.relative_to(tree)).is_file()
        or original.read_bytes() != path.read_bytes()
    }
