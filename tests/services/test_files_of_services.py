"""`services` has commands only; what they share lies in packages below (decision 0191)."""

from __future__ import annotations

from pathlib import Path

import headrace
from headrace.cli.command_table import BY_NAME
from headrace.cli.declared_commands import load
from headrace.command_tables import FUNCTIONS, LEADER

SERVICES = Path(headrace.__file__).parent / "services"


def test_each_file_has_a_command() -> None:
    """Would catch: a helper that lies among the commands again, where any of them may call it."""
    functions = {path for name in BY_NAME for path in load(name).functions.values()}
    having = {path.partition(":")[0] for path in (*FUNCTIONS, *functions)} | set(LEADER.values())
    files = {file.stem for file in SERVICES.glob("*.py")} - {"__init__"}
    assert files - having == set()
    assert not [folder for folder in SERVICES.iterdir() if (folder / "__init__.py").exists()]
