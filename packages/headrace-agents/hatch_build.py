"""The tables of commands become part of the package: Headrace's `scripts/generate.py` writes them.

An sdist has them, and no Headrace around it.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HEADRACE = Path(__file__).resolve().parents[2]


class BuildHook(BuildHookInterface[Any]):
    """What hatchling calls."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return Headrace's dependencies if there is something to write: it is imported then."""
        if not generate("--check"):
            return []
        text = (HEADRACE / "pyproject.toml").read_text(encoding="utf-8")
        needed: list[str] = tomllib.loads(text)["project"]["dependencies"]
        return needed

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the tables, unless they are what the sources say."""
        del version, build_data
        if generate():
            raise RuntimeError("the tables of commands can't be generated; the reason is above")


def generate(*options: str) -> int:
    """Write the tables of commands; return the exit code."""
    if not (HEADRACE / "scripts/generate.py").is_file():
        return 0
    command = [sys.executable, "-m", "scripts.generate", *options]
    return subprocess.run(command, cwd=HEADRACE, check=False).returncode
