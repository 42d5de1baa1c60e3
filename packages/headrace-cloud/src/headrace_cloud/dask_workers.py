"""Functions that run inside Dask workers.

A warm worker process alongside the Dask worker performs the task, and Dask returns its answer. So a
change that asset code makes to its process costs the attempt and never the Dask worker. A file in
the project's data folder, which all machines share, shows which attempt may begin: the leader
creates `<attempt>.asked`, and the worker renames it to `<attempt>.begun` in one step. Dask gives a
task to another worker if the first one dies; the second finds that it was begun, and reports that
instead of running it again. When the file disappears, because the leader withdrew the task or
another leader swept the folder, the asset code is ended.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from pathlib import Path

import msgspec

import headrace
from headrace.extension import (
    Answer,
    AttemptId,
    LostWorker,
    News,
    ObservationFinished,
    Pool,
    Task,
    TaskFinished,
    WorkerSettings,
)

POLL_SECONDS = 0.5
MEMORY_SHARE = 0.9
"""Share of a Dask worker's memory limit for attempts, divided among its threads.

Applies where neither the asset nor the project sets a limit.
"""
IDLE_SECONDS = 60.0
"""Time after which an unused worker is ended."""
TAKEN_BACK = "was ended: it was cancelled"


_TIDY = "headrace-tidy"


class Gone(msgspec.Struct, frozen=True, tag_field="state", tag="gone"):
    """There is no answer. `begun` tells whether the asset code may have run."""

    attempt: str
    reason: str
    begun: bool


class WorkerEnvironment(msgspec.Struct, frozen=True):
    """Versions and visible files of a Dask worker, to compare with the leader's."""

    version: str
    python: str
    text: str | None
    project: bool


_settings = msgspec.msgpack.Decoder(WorkerSettings)
_task: msgspec.msgpack.Decoder[Task] = msgspec.msgpack.Decoder(Task)
_answer_decoder: msgspec.msgpack.Decoder[Answer | Gone] = msgspec.msgpack.Decoder(Answer | Gone)
_encoder = msgspec.msgpack.Encoder()
_idle: list[tuple[bytes, Pool, float]] = []
"""Unused pools of one worker each, with their settings and the time since when.

They belong to the Dask worker's process.
"""
_lock = threading.Lock()


def folder_of(settings: WorkerSettings) -> Path:
    """Return the folder of the files that show which attempts may begin."""
    return settings.folders.temporary / "dask"


def answer_of(data: bytes) -> Answer | Gone:
    """Decode the answer of `perform_on_cluster`."""
    return _answer_decoder.decode(data)


def worker_environment(settings: bytes, name: str) -> bytes:
    """Return the versions of this worker, and the leader's file `name` if it is visible.

    Runs in every Dask worker.
    """
    folders = _settings.decode(settings).folders
    try:
        text = (folder_of(_settings.decode(settings)) / name).read_text()
    except OSError:
        text = None
    seen = WorkerEnvironment(
        headrace.__version__, _python(), text, (folders.project / "headrace.toml").exists()
    )
    return msgspec.msgpack.encode(seen)


def perform_on_cluster(settings: bytes, attempt: tuple[int, int], task: bytes) -> bytes:
    """Perform one task, in a process alongside this one. Asset code never makes it raise."""
    number = AttemptId(*attempt)
    path = folder_of(_settings.decode(settings)) / f"{number}.asked"
    begun = path.with_suffix(".begun")
    try:
        path.rename(begun)
    except OSError:
        return _encoder.encode(_refused(number, begun))
    pool = _take(settings)
    try:
        answer = _done(pool, number, _task.decode(task), begun)
    except BaseException:
        pool.stop()
        raise
    _give_back(settings, pool)
    return _encoder.encode(answer)


def _done(pool: Pool, attempt: AttemptId, task: Task, begun: Path) -> Answer | Gone:
    pool.wait(0)  # replace a worker that ended while it was unused
    pool.submit(attempt, task)
    while True:
        for news in pool.wait(POLL_SECONDS):
            return _as_answer(attempt, news)
        if not begun.exists():
            pool.kill(attempt, TAKEN_BACK)


def _as_answer(attempt: AttemptId, news: News) -> Answer | Gone:
    match news:
        case TaskFinished():
            return news.outcome
        case ObservationFinished():
            return news.looked
        case LostWorker():
            return Gone(str(attempt), f"{news.reason} ({_where()})", begun=news.running is not None)


def _refused(attempt: AttemptId, begun: Path) -> Gone:
    if begun.exists():
        return Gone(str(attempt), "ended in the middle; Dask gave its task to another", begun=True)
    if not begun.parent.exists():
        return Gone(
            str(attempt),
            f"can't begin: {_where()} doesn't see {begun.parent}, which must be shared",
            begun=False,
        )
    return Gone(str(attempt), TAKEN_BACK, begun=False)


def _take(settings: bytes) -> Pool:
    with _lock:
        for item in reversed(_idle):
            if item[0] == settings:
                _idle.remove(item)
                return item[1]
    pool = Pool(_with_limits(_settings.decode(settings)), 1)
    return pool.__enter__()


def _give_back(settings: bytes, pool: Pool) -> None:
    with _lock:
        _idle.append((settings, pool, time.monotonic()))
    if not any(thread.name == _TIDY for thread in threading.enumerate()):
        threading.Thread(target=_tidy, name=_TIDY, daemon=True).start()


def _tidy() -> None:
    """End pools that have been unused for IDLE_SECONDS, until none is left."""
    while _idle:
        time.sleep(IDLE_SECONDS / 10)
        with _lock:
            old = [item for item in _idle if time.monotonic() - item[2] > IDLE_SECONDS]
            _idle[:] = [item for item in _idle if item not in old]
        for _, pool, _ in old:
            pool.stop()


def _with_limits(settings: WorkerSettings) -> WorkerSettings:
    """Return the settings with the limits of one thread of this Dask worker."""
    from distributed import get_worker

    worker = get_worker()
    threads = worker.state.nthreads
    memory = settings.memory_max_bytes
    limit = worker.memory_manager.memory_limit
    if memory is None and limit:
        memory = int(limit * MEMORY_SHARE / threads)
    return msgspec.structs.replace(settings, threads=threads, share=1, memory_max_bytes=memory)


def _where() -> str:
    return f"process {os.getpid()} of Dask on {platform.node()}"


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
