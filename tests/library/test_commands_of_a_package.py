"""A package beside Headrace declares a function with `@command`, and has it everywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AGENTS = "packages/headrace-agents/src"
PROJECT = """[project]
name = "headrace-owners"
[project.entry-points."headrace.command_tables"]
owners = "headrace_owners.command_tables"
"""
FUNCTIONS = '''"""The owners of a project, from another package."""

from typing import Annotated

from headrace.extension import (
    OPERATE,
    SEE,
    Argument,
    CommandContext,
    ProjectSession,
    Response,
    command,
    leader_command,
)


class OwnerRow(Response, frozen=True, kw_only=True):
    """One owner."""

    owner: str


@command(
    "owners",
    SEE,
    lists=True,
    http="GET /owners owners",
    of_files=True,
    session="owners",
    group="look",
    summary="list owners",
)
def owners(
    session: ProjectSession, kind: Annotated[str, Argument("KIND", "team or vendor")]
) -> list[OwnerRow]:
    """Return the owners of a kind."""
    declared = session.declared().project.owners.values()
    return [OwnerRow(owner=item.name) for item in declared if item.kind == kind]


@command("owners greet", OPERATE, http="POST /owners/greet do_greet", not_for_agents="be polite")
def greet(session: ProjectSession) -> list[OwnerRow]:
    """Greet them."""
    return []


@leader_command("greet", OwnerRow)
def greet_on_leader(context: CommandContext, owner: OwnerRow) -> OwnerRow:
    return owner


@command("owners plan", SEE, http="GET /approvals/{a} another", not_for_agents="it is Headrace's")
def another(session: ProjectSession, a: str) -> list[OwnerRow]:
    """Take a path that Headrace has."""
    return []
'''
LOOK = """
import json
import headrace
from headrace.cli import main
from headrace.cli.command_table import help_text
from headrace.cli.completion import candidates
from headrace.acts.commands import _known
from headrace.project.parameters import command_function
from headrace.access.permissions import by_name
from headrace_agents.declarations import tools
from headrace.web.endpoints import ENDPOINTS
print(json.dumps([
    [row.owner for row in headrace.Session("project").owners("vendor")],
    [line for line in help_text().splitlines() if "list owners" in line],
    candidates(["own"]),
    [by_name()[name].permission for name in ("owners", "owners greet")],
    [tool.function for tool in tools().values() if "own" in tool.name],
    [[item.method, item.path, item.name] for item in ENDPOINTS if "headrace_owners" in item.command],
    [item.name for item in ENDPOINTS if item.path in ("/api/v1/approvals/{plan}", "/api/v1/approvals/{a}")],
    hasattr(command_function("headrace_owners.functions:greet"), "__wrapped__"),
    hasattr(headrace.Session("project"), "greet"),
    _known("greet").do.__module__,
]))
main.run(["owners", "team", "--json", "--project", "project"])
main.run(["owners", "team", "--project", "project"])
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the source with a package beside it, whose tables aren't generated yet."""
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("src/headrace", "scripts", AGENTS):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=skipped)
    package = tmp_path / "packages/headrace-owners"
    (package / "src/headrace_owners").mkdir(parents=True)
    (package / "pyproject.toml").write_text(PROJECT)
    (package / "src/headrace_owners/__init__.py").write_text("")
    (package / "src/headrace_owners/functions.py").write_text(FUNCTIONS)
    (package / "src/headrace_owners-1.dist-info").mkdir()
    entries = PROJECT.partition("[project.entry-points.")[2].replace('"', "")
    (package / "src/headrace_owners-1.dist-info/entry_points.txt").write_text(f"[{entries}")
    project = tmp_path / "project"
    project.mkdir()
    (project / "headrace.toml").write_text('[project]\nname = "p"\n')
    (project / "owners.yaml").write_text("core: {kind: team}\nacme: {kind: vendor}\n")
    return tmp_path


def python(tree: Path, *words: str) -> str:
    folders = (tree / "src", tree / AGENTS, tree / "packages/headrace-owners/src", tree)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [sys.executable, *words]
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_its_function_is_in_every_interface(tree: Path) -> None:
    """Would catch: a command that leaves Headrace for a package and is lost in the API, in Python
    or to agents, or that needs no permission there.
    """
    trunk = (ROOT / AGENTS / "headrace_agents/tools.json").read_bytes()
    python(tree, "-m", "scripts.generate")
    assert (tree / AGENTS / "headrace_agents/tools.json").read_bytes() == trunk
    known, typed, *table = python(tree, "-c", LOOK).splitlines()
    assert json.loads(known) == [
        ["acme"],
        ["  owners       list owners"],
        ["owners"],
        ["see", "operate"],
        ["headrace_owners.functions:owners"],
        [
            ["GET", "/api/v1/approvals/{a}", "another"],
            ["GET", "/api/v1/owners", "owners"],
            ["POST", "/api/v1/owners/greet", "do_greet"],
        ],
        ["approval", "another"],
        True,
        False,
        "headrace_owners.functions",
    ]
    assert json.loads(typed) == [{"owner": "core"}]
    assert [line.strip() for line in table] == ["owner", "core"]


@pytest.mark.long
def test_a_package_without_its_tables_says_so(tree: Path) -> None:
    """Would catch: a `headrace` that doesn't start any more because of one package."""
    printed = python(
        tree, "-c", "from headrace.cli.command_table import help_text; print(help_text())"
    )
    assert "owners       can't be used: ModuleNotFoundError" in printed
    python(tree, "-c", "import headrace.access.permissions")
