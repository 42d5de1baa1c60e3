"""Commands of a leader that another process may ask it for."""

from __future__ import annotations

import ast
from pathlib import Path

import headrace
from headrace.services.commands import REQUESTABLE

SERVICES = Path(headrace.__file__).parent / "services"


def test_a_server_knows_each_command_that_is_sent_to_it() -> None:
    """Would catch: a command that works alone, and beside a server is unknown to the leader."""
    declared = {
        str(decorator.args[0].value): file.stem
        for file in SERVICES.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Name)
        and decorator.func.id == "leader_command"
        and isinstance(decorator.args[0], ast.Constant)
    }
    assert declared.items() <= REQUESTABLE.items()
