"""Binding of a large project's statements in a process of its own, while the user goes on.

It reads the cached compilation and adds to the cached results, which the next command uses. The
process is alone for its cache folder, runs at low priority, and ends when everything is bound, when
nothing more can be bound, or when the folder is gone.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import headrace
from headrace.compiler.cache import Cache, KeptCompilation
from headrace.project.diagnostics import bind

PASS_SECONDS = 5.0
"""Time in seconds after which results are written and the project's cache is looked at again."""
NICENESS = 10


def bind_in_background(cache_folder: Path) -> None:
    """Start the process; it ends at once if another one works on the folder."""
    if not cache_folder.is_dir():  # nothing can be written, so there is nothing to continue from
        return
    # -P: a module in the user's working directory is never imported
    command = [sys.executable, "-P", "-m", __name__, str(cache_folder.absolute())]
    subprocess.run(  # the shell ends at once, so that the process isn't this one's to wait for
        ["/bin/sh", "-c", '"$@" &', "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(headrace.__file__).parent,
        start_new_session=True,
        check=False,
    )


def bind_all(cache_folder: Path) -> None:
    """Bind every statement of the cached compilation, unless another process does already."""
    with (cache_folder / "binding.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        left, before = -1, 0
        while left and left != before and cache_folder.is_dir():
            cached = Cache(cache_folder).load(KeptCompilation)
            if cached is None:
                return
            before = left
            left = bind(cached.compilation, cache_folder, seconds=PASS_SECONDS).left


if __name__ == "__main__":
    os.nice(NICENESS)
    bind_all(Path(sys.argv[1]))
