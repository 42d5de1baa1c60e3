"""The executor that a project's settings ask for."""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager
from pathlib import Path

from headrace.model import Settings as ProjectSettings
from headrace.model.sizes import memory_in_bytes
from headrace.run.executors import Executor
from headrace.run.executors.pool import Pool
from headrace.run.executors.settings import WorkerSettings
from headrace.run.folders import Folders

MEMORY_SHARE = 0.7
"""Of the machine's memory, divided among the workers: what an attempt may use where nobody says. Most of it is DuckDB's, which
spills to disk above."""
BACKGROUND_MEMORY_SHARE = 0.2
"""Of the machine's memory, divided among the workers of the background, which run beside the others."""

_WITHOUT_ROWS = re.compile(r"""materialize\s*=\s*["'](?:none|files)["']""")


def executor_of(settings: ProjectSettings, folders: Folders) -> AbstractContextManager[Executor]:
    """It starts when it is entered. Raises what it raises then where it can't work at all."""
    if settings.executor == "dask" and settings.dask is not None:
        from headrace.run.executors.dask import Dask  # a second of imports that nobody else pays

        memory_max = memory_in_bytes(settings.memory_max) if settings.memory_max else None
        there = WorkerSettings(folders, threads=1, share=1, memory_max_bytes=memory_max)
        return Dask(settings.dask, there, worker_settings(folders, 1, settings.memory_max), settings.workers)
    return Pool(worker_settings(folders, settings.workers, settings.memory_max), settings.workers)


def worker_settings(folders: Folders, workers: int, memory_max: str | None = None) -> WorkerSettings:
    """What each of so many workers of this machine is started with; `memory_max` is what one attempt may use."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    threads = os.cpu_count() or 1
    share = max(1, threads // workers)
    said = memory_in_bytes(memory_max) if memory_max else None
    allowed, behind = (said or int(memory * part / workers) for part in (MEMORY_SHARE, BACKGROUND_MEMORY_SHARE))
    files = list(folders.project.glob("assets/**/*.py"))
    return WorkerSettings(
        folders, threads, share, memory_max_bytes=allowed, background_memory_max_bytes=behind, python=bool(files),
        arrow=any(_has_rows(path) for path in files),
    )  # fmt: skip


def _has_rows(path: Path) -> bool:
    """Whether a body in the file seems to take or give rows. Nothing has read the project yet, and nothing but time hangs on it."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.count("@asset") > len(_WITHOUT_ROWS.findall(text)) or "import pyarrow" in text
