"""A folder for each session to spill to what doesn't fit into memory. DuckDB names its files alike in every process: two sessions
in one folder would overwrite each other's."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import uuid
from pathlib import Path

TEMPORARY_FOLDER = ".temporary"
"""Below the data folder."""
_MACHINE = hashlib.sha256(platform.node().encode("utf-8", "surrogatepass")).hexdigest()[:8]
"""Several machines may share the folder, and each has a process 17."""


def make_folder(data_folder: Path) -> Path:
    """A new folder of this process. Those of processes of this machine that died are swept away; others' are theirs to sweep."""
    parent = data_folder / TEMPORARY_FOLDER
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.iterdir():
        pid, _, rest = left.name.partition("-")
        if ("-" not in rest or rest.startswith(_MACHINE)) and not _is_alive(pid):
            shutil.rmtree(left, ignore_errors=True)
    folder = parent / f"{os.getpid()}-{_MACHINE}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(mode=0o700)
    return folder


def remove_folder(folder: Path) -> None:
    """Take the folder away with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
