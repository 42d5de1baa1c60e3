"""Readers of the filled project with one role each, and the commands that they are told to run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

from headrace.access.printed_commands import commands_in
from headrace.model.access import Role
from headrace.project.session import ProjectSession
from headrace.services.tokens import identify

SCOPES = {
    **{str(role): str(role) for role in Role},
    "core-viewer": "viewer:owner=core",
    "core-operator": "operator:owner=core",
    "core-auditor": "auditor:owner=core",
}


@pytest.fixture
def tokens(shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    who = shop.json("access", "whoami")["who"]
    (shop.root / "access.yaml").write_text(f"- {{role: admin, to: [{who}]}}\n")
    shop.text("apply", "--yes")
    files = {}
    for name, scope in SCOPES.items():
        files[name] = tmp_path / name
        files[name].write_text(
            str(shop.json("token", "create", name, "--scope", scope)["token"]), encoding="utf-8"
        )
    return files


def session_of(shop: Project, token: Path) -> ProjectSession:
    session = ProjectSession(shop.root, "prod", None, "test")
    session.use(identify(session, token.read_text(encoding="utf-8")))
    return session


def proposed_in(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """The commands in the texts of a JSON response, each with its field."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from proposed_in(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from proposed_in(item, field)
    elif isinstance(value, str) and "needs the role" not in value:
        for command in commands_in(value):
            yield field, command
