"""Start of the processes that analyse and bind SQL for this one: one module each, over pipes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import headrace


def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start `python -m module`, with pipes as its standard input and output. Raises OSError."""
    # -P: a module in the user's working directory is never imported
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(headrace.__file__).parent,
    )
