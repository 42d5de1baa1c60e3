"""Headrace as a user runs it: the command, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).parent / "headrace"


def run(project: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
    """Run a command with `--json` and return its document; stop the benchmark with what it said if
    it failed. `environment` is what it has besides ours."""
    command = [str(COMMAND), arguments[0], "--json", "--project", str(project), *arguments[1:]]
    done = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(
            f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}\n{done.stdout[-2000:]}"
        )
    return json.loads(done.stdout)
