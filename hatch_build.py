"""The tables of commands become part of the package: `scripts/generate.py` writes them.

Packages beside Headrace have links to this file. An sdist has the tables and no `scripts/`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BuildHook(BuildHookInterface[Any]):
    """What hatchling calls."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what writing the tables imports, if they are to be written."""
        return generate("--requirements")

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the tables, unless they are what the sources say."""
        del version, build_data
        generate()


def generate(*options: str) -> list[str]:
    """Write the tables of commands, or do what the options say; return the lines of output.

    Raises RuntimeError if it fails, which has printed why.
    """
    for folder in Path(__file__).absolute().parents:
        parts = ("scripts/generate.py", "src/headrace/__init__.py")
        if all((folder / part).is_file() for part in parts):  # not of another project around it
            command = [sys.executable, "-m", "scripts.generate", *options]
            done = subprocess.run(
                command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False
            )
            if done.returncode != 0:
                raise RuntimeError("the tables of commands aren't written; the reason is above")
            return done.stdout.splitlines()
    return []
