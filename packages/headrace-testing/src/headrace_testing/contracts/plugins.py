"""What holds for every kind of an installed package."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from headrace.model.plugins import load_plugin, own_kinds, plugins

HOSTILE_NAMES = (
    'q"uote',
    "a'); drop table x; --",
    "naïve ☃",
    "select",
    "$self",
    "a.b",
    "%s {0}",
    "*",
)
"""Names of columns that change a statement, a path or a format if they become a part of one."""


def check_plugin(group: str, kind: type[Any], base: type[Any]) -> None:
    """Assert that the class is installed under its name, and can be imported by the leader."""
    assert issubclass(kind, base)
    target = f"{kind.__module__}:{kind.__qualname__}"
    if own_kinds(group).get(kind.name) != kind.__module__:
        installed = [plugin.target for plugin in plugins(group) if plugin.name == kind.name]
        assert installed == [target], (
            f"the entry point {kind.name} of {group} should be {target},"
            f" and is {installed or 'absent'}"
        )
    assert isinstance(load_plugin(group, kind.name, base), kind)
    code = f"import sys, {kind.__module__}; sys.exit('duckdb' in sys.modules)"
    imported = subprocess.run([sys.executable, "-c", code], check=False)
    assert not imported.returncode, f"importing {kind.__module__} fails, or imports duckdb"
