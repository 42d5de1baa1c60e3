"""A folder for each session to spill to what doesn't fit into memory. DuckDB names its files alike in every process: two sessions
in one folder would overwrite each other's."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

TEMPORARY_FOLDER = ".temporary"
"""Below the data folder."""


def make_folder(data_folder: Path) -> Path:
    """A new folder of this process. Those of processes that died are swept away."""
    parent = data_folder / TEMPORARY_FOLDER
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.iterdir():
        if not _is_alive(left.name.partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    folder = parent / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
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
