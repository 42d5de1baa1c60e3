"""Every command asks for a permission, in one place, whoever calls it (TRUST Z4)."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import pytest

import headrace
from headrace.access.permissions import COMMANDS, by_name
from headrace.cli.command_table import COMMANDS as CLI_COMMANDS
from headrace.cli.declared_commands import load
from headrace.model.access import PERMISSIONS, Permission, Role
from headrace.project.parameters import command_function
from headrace.project.session import ProjectSession
from headrace.security.access import Identity, IdentityKind
from headrace.web.endpoints import ENDPOINTS
from scripts import command_tables

PACKAGE = Path(headrace.__file__).parent
OF_A_SESSION = (
    "headrace.access", "headrace.acts", "headrace.privacy", "headrace.project", "headrace.repairs",
    "headrace.services", "headrace.serving", "headrace.standing", "headrace_ui.services",
)  # fmt: skip
"""Packages whose functions work on a project's session."""
WITHOUT_A_PROJECT = {
    "explain:explain",
    "init:init", "init:schemas",
    "serving:refuse_production",
}  # fmt: skip
"""They read or write no state of a project: examples, documentation, files that are made."""
CHECKED_ELSEWHERE = {
    "access_events:note_failed_sign_in", "users:note_throttled",
    "browser_sessions:has_users", "browser_sessions:record_later",
    "browser_sessions:session_identity", "caches:state_of",
    "lake_files:moved_now", "permissions:check", "snapshots:project_state",
    "permissions:check_call", "permissions:nodes_of_call", "permissions:without_hidden",
    "permissions:needed_role", "read:find", "read:visible_columns", "sql:view_states",
    "refused_acts:refused_in_project",
    "tokens:identify", "users:sign_in",
}  # fmt: skip
"""The server calls them beside or after a check of its own (`headrace.web`)."""
CHECKED_IN_PACKAGES = {
    "access_events:note_failed_sign_in", "permissions:check_call",
    "browser_sessions:signed_in",  # whom a provider has named
    "backfills:number_of",  # a page's address, checked as its page
    "headrace_ui.services.run_load:visible_run",
    "headrace_ui.services.catalog_search:use",  # the server itself reads it before its first reader
    "figures:visible_throughputs",
    "headrace_ui.services.badges:linked_badge",  # by its signature
    "headrace_ui.services.badges:public_badge",
    "permissions:rules_of",
}  # fmt: skip
"""The same, of routes of packages."""
WITHOUT_A_ROLE = {"access:whoami", "emergencies:break_glass", "emergencies:end_break_glass"}
"""Everybody may ask who they are; another rule than a role's decides about emergencies."""
ROWS = Path(__file__).parents[1] / "golden" / "kept" / "permissions.txt"


def test_every_command_of_each_interface_needs_a_permission() -> None:
    """Would catch: a new endpoint, command or method that anybody may call."""
    functions = {path for row in CLI_COMMANDS for path in load(row.name).functions.values()}
    functions |= {endpoint.command for endpoint in ENDPOINTS}
    text = (PACKAGE / "session_methods.py").read_text()
    functions |= {
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.count(":") == 1
        and node.value.replace(":", "").replace("_", "").isalpha()
    }
    assert functions - COMMANDS.keys() - WITHOUT_A_PROJECT == set()


def test_every_function_with_a_permission_checks_it() -> None:
    """Would catch: a permission that is declared and never asked for, or a parameter without one."""
    assert {path for path, needed in COMMANDS.items() if needed.own_check} == WITHOUT_A_ROLE
    for path, needed in COMMANDS.items():
        function = command_function(path)
        if path not in WITHOUT_A_ROLE:
            assert inspect.getclosurevars(function).nonlocals["needed"] == needed, path
        name = needed.of.partition(".")[0]
        assert not name or name in inspect.signature(function).parameters, path


def test_a_path_or_a_method_belongs_to_one_command() -> None:
    """Would catch: a route that hides another one, or a method that replaces one."""
    row = {"http": "GET /ls ls", "session": "ls"}
    with pytest.raises(SystemExit, match=r"GET /ls, operation ls, Session\.ls"):
        command_tables.refuse_twice([row, row])


def test_what_interfaces_call_directly_needs_a_permission_too() -> None:
    """Would catch: a function of a project that a command calls past its declaration."""
    files = [*PACKAGE.glob("cli/**/*.py"), *PACKAGE.glob("web/*.py"), PACKAGE / "library.py"]
    assert _unchecked(files) == CHECKED_ELSEWHERE


def test_what_routes_of_packages_call_needs_a_permission_too() -> None:
    """Would catch: a function that a package serves over HTTP past its declaration."""
    for name in ("headrace_agents", "headrace_observe", "headrace_sso", "headrace_ui"):
        pytest.importorskip(name)
    packages = PACKAGE.parents[1] / "packages"
    files = [
        *packages.glob("headrace-agents/src/**/*.py"),
        *packages.glob("headrace-sso/src/**/*.py"),
        *packages.glob("*/src/*/web/*.py"),
        packages / "headrace-observe/src/headrace_observe/metrics.py",
    ]
    routed = {file for file in packages.glob("*/src/**/*.py") if "HttpRoute(" in file.read_text()}
    assert routed <= set(files)
    assert _unchecked(files) == CHECKED_IN_PACKAGES


def _unchecked(files: Iterable[Path]) -> set[str]:
    """Return the functions of a session that files call, without those that check themselves."""
    unchecked = set()
    for file in files:
        tree = ast.parse(file.read_text())
        for imported in ast.walk(tree):
            module = (imported.module or "") if isinstance(imported, ast.ImportFrom) else ""
            if isinstance(imported, ast.ImportFrom) and module.startswith(OF_A_SESSION):
                for alias in imported.names:
                    unchecked |= _called(tree, module, alias)
    return unchecked - COMMANDS.keys() - WITHOUT_A_PROJECT


def _called(tree: ast.Module, module: str, alias: ast.alias) -> set[str]:
    """Return the functions of a session that a file takes from an import."""
    value = getattr(import_module(module), alias.name, None)
    if value is None or inspect.ismodule(value):
        value = import_module(f"{module}.{alias.name}")
        local = alias.asname or alias.name
        values = [
            getattr(value, node.attr, None)
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == local
        ]
    else:
        values = [value]
    return {
        f"{_home(item.__module__)}:{item.__name__}"
        for item in values
        if inspect.isfunction(item)
        and next(iter(inspect.signature(item).parameters), "") == "session"
    }


def _home(module: str) -> str:
    """Return how `COMMANDS` names a module: the last part of Headrace's, the whole of others'."""
    return module.rpartition(".")[2] if module.startswith("headrace.") else module


def test_commands_and_roles_are_as_reviewed() -> None:
    """Would catch: a role that gets a command without anybody having looked at it."""
    lines = [
        f"{name}: {row.permission}: "
        + ", ".join(role for role in Role if row.permission in PERMISSIONS[role])
        for name, row in sorted(by_name().items())
    ]
    assert lines == ROWS.read_text().splitlines()
    assert PERMISSIONS[Role.ADMIN] == set(Permission)
    assert Permission.READ not in PERMISSIONS[Role.OPERATOR]
    assert PERMISSIONS[Role.AUDITOR] == {Permission.SEE, Permission.AUDIT}


def test_a_session_that_reads_the_files_anew_keeps_its_identity(tmp_path: Path) -> None:
    """Would catch: a command of a token that goes on with the rights of the server's user."""
    (tmp_path / "headrace.toml").write_text('[project]\nname = "p"\ntimezone = "UTC"\n')
    token = Identity(name="token:ci", kind=IdentityKind.TOKEN, subjects=frozenset({"token:ci"}))
    session = ProjectSession(tmp_path, "prod", None, token.name)
    session.identify_as(token)
    assert session.again(token.name).identity == token
    assert session.again("ana").identity.kind is IdentityKind.LOCAL
