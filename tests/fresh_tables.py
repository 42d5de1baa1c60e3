"""Importing this module writes the tables of commands if they aren't what the sources say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

if not {"PYTEST_XDIST_WORKER", "HEADRACE_KEEP_TABLES"} & os.environ.keys():
    command = [sys.executable, "-m", "scripts.generate"]
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True)
