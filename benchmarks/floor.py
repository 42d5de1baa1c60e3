"""What is left without any policy: no-ops through two workers, their starts and ends journalled in
SQLite by group commit.

Nothing here knows of readiness beyond "the one before is done", of retries, checks, publications,
leases or an audit trail. What Headrace takes beyond it is what those cost. `pool_rate` keeps
nothing at all: Python's ProcessPoolExecutor.
"""

from __future__ import annotations

import os
import selectors
import sqlite3
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import msgspec

WORKERS = 2
AHEAD = 8
"""Tasks that lie in a worker's pipe, so that it needn't wait for the next."""
READ_BYTES = 1 << 16
_LENGTH = struct.Struct("<I")
_SCHEMA = (
    "pragma journal_mode = wal",
    "pragma synchronous = normal",
    (
        "create table attempt (id integer primary key, node text, state text, started real,"
        " finished real, seconds real)"
    ),
    "create table journal (seq integer primary key, at real, kind text, body blob)",
)
_INSERT = "insert into attempt (id, node, state, started) values (?, ?, 'running', ?)"
_UPDATE = "update attempt set state = 'done', finished = ?, seconds = ? where id = ?"
_JOURNAL = "insert into journal (at, kind, body) values (?, ?, ?)"


class Start(msgspec.Struct, array_like=True):
    """To a worker: do this."""

    attempt: int
    node: str


class Done(msgspec.Struct, array_like=True):
    """From a worker: it is done."""

    attempt: int
    seconds: float


_ENCODER = msgspec.msgpack.Encoder()
_STARTS = msgspec.msgpack.Decoder(list[Start])
_DONES = msgspec.msgpack.Decoder(list[Done])


def _send(fd: int, message: object) -> None:
    body = _ENCODER.encode(message)
    os.write(fd, _LENGTH.pack(len(body)) + body)


def _frames(buffer: bytearray) -> Iterator[bytes]:
    while len(buffer) >= 4 and len(buffer) >= 4 + (length := _LENGTH.unpack_from(buffer)[0]):
        yield bytes(buffer[4 : 4 + length])
        del buffer[: 4 + length]


def _nothing(seconds: float = 0.0) -> None:
    if seconds:
        time.sleep(seconds)


def _work(tasks: int, answers: int, seconds: float) -> None:
    buffer = bytearray()
    while data := os.read(tasks, READ_BYTES):
        buffer += data
        for frame in _frames(buffer):
            for item in _STARTS.decode(frame):
                began = time.perf_counter()
                _nothing(seconds)
                _send(answers, [Done(item.attempt, time.perf_counter() - began)])


@dataclass
class Worker:
    """One process with its two pipes."""

    tasks: int
    answers: int
    buffer: bytearray = field(default_factory=bytearray)
    holds: int = 0


@dataclass
class Floor:
    """So many no-ops, each alone (`chained` False) or each after the one before it."""

    folder: Path
    count: int
    chained: bool
    sleep: float = 0.0
    """Seconds that a task takes; a no-op by default."""

    def run(self) -> tuple[float, list[float]]:
        """Tasks a second, and the seconds between the ends of tasks that follow each other."""
        self._ready: deque[int] = deque([0] if self.chained else range(self.count))
        self._ends: list[float] = []
        self._database = sqlite3.connect(self.folder / "floor.db", isolation_level=None)
        for statement in _SCHEMA:
            self._database.execute(statement)
        with self._workers() as workers, selectors.DefaultSelector() as selector:
            for worker in workers:
                selector.register(worker.answers, selectors.EVENT_READ, worker)
            time.sleep(0.3)  # they come up
            began = time.perf_counter()
            self._loop(workers, selector)
            taken = time.perf_counter() - began
        self._database.close()
        return self.count / taken, [b - a for a, b in zip(self._ends, self._ends[1:], strict=False)]

    def _loop(self, workers: list[Worker], selector: selectors.BaseSelector) -> None:
        attempt, finished = 0, list[Done]()
        while len(self._ends) < self.count:
            starts: list[Start] = []
            batches: list[tuple[Worker, list[Start]]] = []
            for worker in workers:
                batch = []
                while self._ready and worker.holds < (1 if self.sleep else AHEAD):
                    attempt += 1
                    worker.holds += 1
                    batch.append(Start(attempt, f"a{self._ready.popleft()}"))
                starts += batch
                batches.append((worker, batch))
            self._commit(starts, finished)
            for worker, batch in batches:
                if batch:
                    _send(worker.tasks, batch)
            finished = list(self._answers(selector))
        self._commit([], finished)

    def _answers(self, selector: selectors.BaseSelector) -> Iterator[Done]:
        for key, _ in selector.select():
            worker: Worker = key.data
            worker.buffer += os.read(worker.answers, READ_BYTES)
            for frame in _frames(worker.buffer):
                for done in _DONES.decode(frame):
                    worker.holds -= 1
                    self._ends.append(time.perf_counter())
                    if self.chained and len(self._ends) < self.count:
                        self._ready.append(len(self._ends))
                    yield done

    def _commit(self, starts: Iterable[Start], finished: Iterable[Done]) -> None:
        now = time.time()
        journal = [(now, "start", _ENCODER.encode(s)) for s in starts] + [
            (now, "done", _ENCODER.encode(d)) for d in finished
        ]
        if not journal:
            return
        self._database.execute("begin")
        self._database.executemany(_INSERT, [(s.attempt, s.node, now) for s in starts])
        self._database.executemany(_UPDATE, [(now, d.seconds, d.attempt) for d in finished])
        self._database.executemany(_JOURNAL, journal)
        self._database.execute("commit")

    def _workers(self) -> _Workers:
        return _Workers(self.sleep)


class _Workers:
    def __init__(self, sleep: float) -> None:
        self._sleep = sleep

    def __enter__(self) -> list[Worker]:
        context, result, self._processes = get_context("fork"), [], []
        for _ in range(WORKERS):
            task_read, task_write = os.pipe()
            answer_read, answer_write = os.pipe()
            process = context.Process(
                target=_work, args=(task_read, answer_write, self._sleep), daemon=True
            )
            process.start()
            os.close(task_read)
            os.close(answer_write)
            self._processes.append(process)
            result.append(Worker(task_write, answer_read))
        self._found = result
        return result

    def __exit__(self, *_: object) -> None:
        for worker, process in zip(self._found, self._processes, strict=True):
            process.terminate()
            process.join()
            os.close(worker.tasks)
            os.close(worker.answers)


def pool_rate(count: int) -> tuple[float, list[float]]:
    """ProcessPoolExecutor with two processes: no-ops a second, and the seconds of each hop of a
    chain of 100.
    """
    with ProcessPoolExecutor(WORKERS) as pool:
        list(pool.map(_number, range(10)))
        began = time.perf_counter()
        for future in [pool.submit(_nothing) for _ in range(count)]:
            future.result()
        rate, hops = count / (time.perf_counter() - began), []
        for _ in range(100):
            began = time.perf_counter()
            pool.submit(_nothing).result()
            hops.append(time.perf_counter() - began)
    return rate, hops


def _number(number: int) -> int:
    return number
