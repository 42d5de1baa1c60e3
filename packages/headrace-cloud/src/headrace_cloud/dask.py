"""Attempts on a Dask cluster: the leader's end.

Observations stay in processes on this machine: an observation isn't an attempt and must not wait
until a thread of the cluster is free. Exports stay here too: the lock that hides the export of a
superseded leader is a lock on this machine.

Background attempts have a lower priority in the scheduler's queue and use at most half as many
threads as the others may, because a thread finishes the task that it has started. If the scheduler
is down, only running attempts are lost: tasks wait here until it is back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import msgspec

import headrace
from headrace.extension import (
    AttemptId,
    ExportTask,
    Folders,
    HeadraceError,
    LostWorker,
    News,
    ObservationFinished,
    ObserveTask,
    Pool,
    Settings,
    SourceObserved,
    Task,
    TaskFinished,
    WakeListener,
    WakeUpPipe,
    WorkerSettings,
    memory_in_bytes,
    worker_settings,
)
from headrace_cloud.dask_workers import (
    TAKEN_BACK,
    Gone,
    WorkerEnvironment,
    _python,
    answer_of,
    folder_of,
    perform_on_cluster,
    worker_environment,
)

if TYPE_CHECKING:
    from distributed import Client, Future


CONNECT_SECONDS = 10.0
WORKERS_SECONDS = 30.0
"""Longest wait for a cluster's first worker."""
RECONNECT_SECONDS = 2.0
LOOK_SECONDS = 1.0
BACKGROUND = -1
"""Priority of a background attempt; that of the others is 0."""


class DaskError(HeadraceError):
    """The cluster can't be used."""


def dask_executor(settings: Settings, folders: Folders) -> Dask:
    """Return the executor of a project with `[run] dask`."""
    assert settings.dask is not None
    memory_max = memory_in_bytes(settings.memory_max) if settings.memory_max else None
    there = WorkerSettings(folders, threads=1, share=1, memory_max_bytes=memory_max)
    here = worker_settings(folders, 1, settings.memory_max)
    return Dask(settings.dask, there, here, settings.workers)


class Dask:
    """A connection to a Dask scheduler. Use it as a context manager.

    Raises DaskError when it is entered if the cluster can't be used.
    """

    def __init__(
        self, address: str, settings: WorkerSettings, here: WorkerSettings, count: int
    ) -> None:
        """Run at most `count` attempts at once, and no more than the cluster has threads.

        `here` are the settings of the worker alongside the leader.
        """
        self._address, self._settings, self._count = address, settings, count
        self._packed = msgspec.msgpack.encode(settings)
        self._folder = folder_of(settings)
        self._client: Client | None = None
        self._here = Pool(here, 1)
        self._wake_up = WakeUpPipe()
        self._answers: queue.SimpleQueue[tuple[AttemptId, Client, Any]] = queue.SimpleQueue()
        self._futures: dict[AttemptId, Future[bytes]] = {}
        self._held: dict[AttemptId, tuple[Task, int]] = {}
        """Tasks to send when the scheduler is back, with their priority there."""
        self._news: list[News] = []
        self._connecting: threading.Thread | None = None
        self._stopped = False

    @property
    def slots(self) -> int:
        """The number of attempts that run at once."""
        threads = sum(self._client.nthreads().values()) if self._client is not None else self._count
        return max(1, min(self._count, threads))

    @property
    def background_slots(self) -> int:
        """The number of background attempts that run at once."""
        return max(1, self.slots // 2)

    def __enter__(self) -> Self:
        try:
            self._client = _connect(self._address, CONNECT_SECONDS)
            self._here.watch(self._wake_up)
            self._here.__enter__()
            self._check()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self, listener: WakeListener) -> None:
        """Let `wait` return early when a process wakes the leader."""
        self._here.watch(listener)

    # Tasks

    def submit(self, attempt: AttemptId, task: Task, *, background: bool = False) -> None:
        """Send a task to the scheduler, or hold it until there is one."""
        if isinstance(task, ObserveTask | ExportTask):
            self._here.submit(attempt, task, background=background)
        else:
            self._held[attempt] = (task, BACKGROUND if background else 0)
            self._send()

    def send(self) -> None:
        """Let the local worker start its tasks; the scheduler already has the others."""
        self._here.send()

    def kill(self, attempt: AttemptId, reason: str) -> None:
        """Cancel a task. Running asset code ends within a second or so; its answer is ignored."""
        if attempt not in self._held and attempt not in self._futures:
            self._here.kill(attempt, reason)
            return
        self._held.pop(attempt, None)
        self._take_back(attempt)
        self._news.append(LostWorker(attempt, (), reason))

    def wait(self, seconds: float | None) -> list[News]:
        """Return the news, waiting up to `seconds` for the first (None: without limit)."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            self._see_to_the_scheduler()
            self._receive()
            left = LOOK_SECONDS if until is None else min(LOOK_SECONDS, until - time.monotonic())
            self._wake_up.woken = False
            self._news += self._here.wait(0.0 if self._news else max(0.0, left))
            woken = self._here.woken > self._wake_up.woken
            self._receive()
            if self._news or woken or (until is not None and time.monotonic() >= until):
                news, self._news = self._news, []
                return news

    def stop(self) -> None:
        """Cancel all tasks and disconnect from the cluster."""
        self._stopped = True
        for attempt in list(self._futures):
            self._take_back(attempt)
        if self._connecting is not None:
            self._connecting.join()
        if self._client is not None:
            _close(self._client)
        self._here.stop()
        self._wake_up.close()

    # Exchange with the cluster

    def _send(self) -> None:
        if self._client is None or self._client.status != "running":
            return
        for attempt, (task, priority) in list(self._held.items()):
            self._file(attempt, "asked").touch()
            try:
                future = self._client.submit(
                    perform_on_cluster,
                    self._packed,
                    tuple(attempt),
                    msgspec.msgpack.encode(task),
                    key=f"headrace-{attempt}-{uuid.uuid4().hex}",
                    pure=False,
                    retries=0,
                    priority=priority,
                )
            except Exception:  # noqa: BLE001 - the connection is lost; various exceptions say so
                return
            del self._held[attempt]
            self._futures[attempt] = future
            future.add_done_callback(partial(self._done, attempt, self._client))

    def _done(self, attempt: AttemptId, client: Client, future: Future[bytes]) -> None:
        """Queue a finished future's answer, in a Dask thread.

        A future cancelled by us, or by a scheduler that forgot it, has no answer.
        """
        try:
            result: object = future.result() if future.status in ("finished", "error") else None
        except BaseException as error:  # noqa: BLE001 - it explains the missing answer
            result = error
        self._answers.put((attempt, client, result))
        self._wake_up.wake()

    def _receive(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                attempt, client, result = self._answers.get_nowait()
                if result is None:  # Dask cancels all futures when the scheduler is gone
                    self._see_to_the_scheduler()
                if attempt in self._futures and client is self._client:
                    self._take_back(attempt)
                    self._news.append(_news(attempt, result))

    def _take_back(self, attempt: AttemptId) -> None:
        future = self._futures.pop(attempt, None)
        for state in ("asked", "begun"):
            self._file(attempt, state).unlink(missing_ok=True)
        if future is not None and self._client is not None:
            with contextlib.suppress(Exception):  # a missing scheduler can't be told
                future.cancel()

    def _file(self, attempt: AttemptId, state: str) -> Any:
        return self._folder / f"{attempt}.{state}"

    # The scheduler's connection

    def _see_to_the_scheduler(self) -> None:
        """Report a lost scheduler and reconnect.

        The leader decides what happens with the attempts that were running.
        """
        if self._client is not None and self._client.status != "running":
            lost_client, self._client = self._client, None
            under_way = tuple(self._futures)
            for attempt in under_way:
                self._take_back(attempt)
            threading.Thread(target=_close, args=(lost_client,), daemon=True).start()
            if under_way:
                self._news.append(
                    LostWorker(
                        None,
                        under_way,
                        f"was lost with the Dask scheduler at {self._address}, which is gone",
                    )
                )
        if self._client is None and self._connecting is None:
            self._connecting = threading.Thread(target=self._reconnect, daemon=True)
            self._connecting.start()
        if self._client is not None and self._connecting is not None:
            self._connecting.join()
            self._connecting = None
            self._send()

    def _reconnect(self) -> None:
        while not self._stopped:
            with contextlib.suppress(DaskError):
                self._client = _connect(self._address, RECONNECT_SECONDS)
                self._wake_up.wake()
                return
            time.sleep(RECONNECT_SECONDS / 4)

    def _check(self) -> None:
        """Check that each worker has the leader's versions and sees the project's folders."""
        assert self._client is not None
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_SECONDS)
        except TimeoutError as error:
            raise DaskError(
                f"the Dask cluster at {self._address} has no workers",
                hint="start some: dask worker " + self._address,
            ) from error
        text, name = uuid.uuid4().hex, f"probe-{os.getpid()}"
        self._folder.mkdir(parents=True, exist_ok=True)
        probe = self._folder / name
        probe.write_text(text)
        try:
            result = self._client.run(worker_environment, self._packed, name, on_error="return")
        finally:
            probe.unlink()
        for worker, seen in result.items():
            self._check_worker(worker, seen, text)

    def _check_worker(self, worker: str, seen: object, text: str) -> None:
        folders = self._settings.folders
        if isinstance(seen, BaseException):
            raise DaskError(
                f"the Dask worker {worker} can't run Headrace: {type(seen).__name__}: {seen}",
                hint=f"headrace {headrace.__version__} must be installed in the workers'"
                " environment, as headrace[cloud]",
            )
        assert isinstance(seen, bytes)
        environment = msgspec.msgpack.decode(seen, type=WorkerEnvironment)
        if (environment.version, environment.python) != (headrace.__version__, _python()):
            ours = f"headrace {headrace.__version__} on Python {_python()}"
            raise DaskError(
                f"the Dask worker {worker} has headrace {environment.version} on Python"
                f" {environment.python}",
                hint=f"install {ours} there",
            )
        if environment.text != text or not environment.project:
            what = folders.data if environment.text != text else folders.root
            hint = (
                "workers read and write the project's folder and the lake's at the same paths:"
                " mount them there"
            )
            raise DaskError(f"the Dask worker {worker} doesn't see {what}", hint=hint)


def _connect(address: str, seconds: float) -> Client:
    try:
        from distributed import Client
    except ImportError as error:
        raise DaskError(
            "the executor dask needs the package distributed",
            hint="pip install 'headrace-cloud[dask]'",
        ) from error
    # the exceptions raised here report what matters
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        return Client(address, timeout=seconds, set_as_default=False, name="headrace")
    except (OSError, TimeoutError, ValueError) as error:
        raise DaskError(
            f"no Dask scheduler answers at {address}",
            hint="start one (dask scheduler), or correct `dask` in [run]",
        ) from error


def _close(client: Client) -> None:
    with contextlib.suppress(Exception):  # the other side may be gone
        client.close(timeout=2)


def _news(attempt: AttemptId, result: object) -> News:
    if result is None:
        return LostWorker(None, (attempt,), "was dropped by the Dask scheduler")
    if isinstance(result, BaseException):
        return LostWorker(
            attempt, (), f"couldn't be used: {type(result).__name__}: {str(result)[:500]}"
        )
    assert isinstance(result, bytes)
    try:
        answer = answer_of(result)
    except msgspec.DecodeError as error:
        return LostWorker(attempt, (), f"answered something that is no answer: {error}")
    if isinstance(answer, Gone):
        return (
            LostWorker(attempt, (), answer.reason)
            if answer.begun or answer.reason != TAKEN_BACK
            else LostWorker(None, (attempt,), answer.reason)
        )
    return (
        ObservationFinished(attempt, answer)
        if isinstance(answer, SourceObserved)
        else TaskFinished(attempt, answer)
    )
