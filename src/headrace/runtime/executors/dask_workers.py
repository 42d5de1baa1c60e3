"""What runs inside Dask workers.

The functions that run in a Dask worker: a warm worker process beside it performs the task, and Dask returns its answer. So a change that
asset code makes to its process costs the attempt and never the Dask worker. A file in the project's data folder, which all machines share,
says which attempt may begin: the leader creates `<attempt>.asked`, and the worker renames it to `<attempt>.begun` in one step. Dask gives a
task to another worker if the first one dies; the second finds that it was begun, and reports that instead of running it again. When the
file disappears, because the leader withdrew the task or another leader swept the folder, the asset code is ended.
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
from headrace.runtime.executors import LostWorker, News, ObservationFinished, TaskFinished
from headrace.runtime.executors.pool import Pool
from headrace.runtime.messages import Answer, Task
from headrace.runtime.worker_protocol import WorkerSettings
from headrace.scheduler import AttemptId

POLL_SECONDS = 0.5
MEMORY_SHARE = 0.9
"""Of a Dask worker's memory limit, divided among its threads: what an attempt may use where nobody says."""
IDLE_SECONDS = 60.0
"""A worker that nobody has used for so long is ended."""
TAKEN_BACK = "was ended: it was cancelled"


_TIDY = "headrace-tidy"


class Gone(msgspec.Struct, frozen=True, tag="gone"):
    """No answer. `begun` says whether the body may have run."""

    attempt: str
    reason: str
    begun: bool


class WorkerEnvironment(msgspec.Struct, frozen=True):
    """What a Dask worker is and sees, to be compared with what the leader is and wrote."""

    version: str
    python: str
    text: str | None
    project: bool


_settings = msgspec.msgpack.Decoder(WorkerSettings)
_task: msgspec.msgpack.Decoder[Task] = msgspec.msgpack.Decoder(Task)
_answer_decoder: msgspec.msgpack.Decoder[Answer | Gone] = msgspec.msgpack.Decoder(Answer | Gone)
_encoder = msgspec.msgpack.Encoder()
_idle: list[tuple[bytes, Pool, float]] = []
"""Pools of one worker that nobody uses now, with their settings and since when. A property of the Dask worker's process."""
_lock = threading.Lock()


def folder_of(settings: WorkerSettings) -> Path:
    """Where the files are that say what may begin."""
    return settings.folders.temporary / "dask"


def answer_of(data: bytes) -> Answer | Gone:
    """What `do` gave."""
    return _answer_decoder.decode(data)


def worker_environment(settings: bytes, name: str) -> bytes:
    """What this worker sees of the project's folders, where the leader wrote a file of that name. Run in every Dask worker."""
    folders = _settings.decode(settings).folders
    try:
        text = (folder_of(_settings.decode(settings)) / name).read_text()
    except OSError:
        text = None
    seen = WorkerEnvironment(headrace.__version__, _python(), text, (folders.project / "headrace.toml").exists())
    return msgspec.msgpack.encode(seen)


def perform_on_cluster(settings: bytes, attempt: tuple[int, int], task: bytes) -> bytes:
    """Do one task, in a process beside this one. Never raises on account of a body."""
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
    pool.wait(0)  # a worker that ended while nobody used it is replaced now
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
        return Gone(str(attempt), f"can't begin: {_where()} doesn't see {begun.parent}, which must be shared", begun=False)
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
    """End what nobody has used for a while, until there is nothing left."""
    while _idle:
        time.sleep(IDLE_SECONDS / 10)
        with _lock:
            old = [item for item in _idle if time.monotonic() - item[2] > IDLE_SECONDS]
            _idle[:] = [item for item in _idle if item not in old]
        for _, pool, _ in old:
            pool.stop()


def _with_limits(settings: WorkerSettings) -> WorkerSettings:
    """What this Dask worker's thread may use."""
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
