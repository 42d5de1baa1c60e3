"""The tables of commands become part of the package: `scripts/generate.py` writes them.

Headrace's dependencies are needed for that: a build in an environment of its own fetches them. An
sdist has the tables and no `scripts/`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent


class BuildHook(BuildHookInterface[Any]):
    """What hatchling calls."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return Headrace's dependencies if there is something to write: it is imported then."""
        return self.metadata.core.dependencies if generate("--check") else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the tables, unless they are what the sources say."""
        del version, build_data
        if generate():
            raise RuntimeError("the tables of commands can't be generated; the reason is above")


def generate(*options: str) -> int:
    """Write the tables of commands; return the exit code."""
    if not (ROOT / "scripts").is_dir():
        return 0
    command = [sys.executable, "-m", "scripts.generate", *options]
    return subprocess.run(command, cwd=ROOT, check=False).returncode
