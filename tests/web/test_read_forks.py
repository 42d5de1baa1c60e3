"""Reads in forks of one process: nothing passes from one to the next, and each can be ended."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from serve_lab import project, until

from headrace.project.read_queries import ReadQuery
from headrace.services import read as reading
from headrace.web import data, read_forks, read_forks_main
from headrace.web.http import HttpProblem
from headrace.web.read_forks import CODE, LENGTH, LOST, code_of, send
from headrace.web.read_process import DataFileRequest, Head
from headrace.web.read_server import ReadServer

FORKING = """\
import os, socket, sys, tempfile
from headrace.web import read_forks
from headrace.web.read_forks import Forks

asked = []

def handle(request, out):
    asked.append(request)
    name = f"{tempfile.gettempdir()}/left"
    if request == b"loop":
        os.write(out, str(os.getpid()).encode())
        while True:
            pass
    kind, _, about = request.partition(b" ")
    if kind == b"kill" or (kind == b"once" and not os.path.exists(about)):
        open(about or os.devnull, "w").close()
        os.kill(os.getpid(), 9)
    if kind in (b"torn", b"cut"):
        os.write(out, {b"torn": b'{"mas', b"cut": b"{}\\n[1, 2"}[kind])
        os.kill(os.getpid(), 9)
    if kind == b"raise":
        raise RecursionError
    if kind == b"once":
        os.write(out, b"{}\\n[1, 2]")
        return 0
    text = f"{len(asked)} {os.path.exists(name)} {os.getpid()} {tempfile.gettempdir()}"
    open(name, "w").close()
    os.write(out, text.encode())
    return 7

read_forks.IDLE_SECONDS = float(sys.argv[2])
Forks(socket.socket(fileno=int(sys.argv[1])), handle, lambda: None).run()
"""


class Forking:
    """A process that forks for requests."""

    def __init__(self, idle_seconds: float = 600) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", FORKING, str(theirs.fileno()), str(idle_seconds)],
                pass_fds=(theirs.fileno(),),
            )

    def connect(self) -> socket.socket:
        """The connection of a new client."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"."], [theirs.fileno()])
        return ours

    def ask(self, request: bytes) -> tuple[int, str]:
        """The exit code of the fork, and what it wrote."""
        read, write = os.pipe()
        with closing(self.connect()) as connection, os.fdopen(read) as answer:
            send(connection, request, write)
            os.close(write)
            return code_of(connection.recv(CODE.size)), answer.read()

    def begin(self, request: bytes) -> tuple[socket.socket, int]:
        """The connection of a request, and the process that answers it."""
        connection = self.connect()
        read, write = os.pipe()
        send(connection, request, write)
        os.close(write)
        pid = int(os.read(read, 100))
        os.close(read)
        return connection, pid

    def close(self) -> None:
        self._control.close()
        assert self.process.wait(30) == 0


@pytest.fixture
def forking() -> Iterator[Forking]:
    with closing(Forking()) as result:
        yield result


def test_nothing_passes_from_one_read_to_the_next(forking: Forking) -> None:
    """Would catch: a process that serves two readers, and a file that one leaves to the other."""
    answers = [forking.ask(b"read") for _ in range(3)]
    assert [code for code, _ in answers] == [7, 7, 7]
    words = [text.split() for _, text in answers]
    assert [item[:2] for item in words] == [["1", "False"]] * 3
    assert len({item[2] for item in words}) == len({item[3] for item in words}) == 3
    assert not any(Path(item[3]).exists() for item in words)


def test_a_read_that_is_killed_harms_no_other(forking: Forking) -> None:
    """Would catch: a client that waits for ever for a killed fork, or no reads after it."""
    assert forking.ask(b"kill") == (LOST, "")
    assert forking.ask(b"read")[0] == 7


def test_a_client_that_leaves_ends_its_read(forking: Forking) -> None:
    """Would catch: a runaway query that takes a core after its client has gone."""
    connection, pid = forking.begin(b"loop")
    assert Path(f"/proc/{pid}").exists()
    assert forking.ask(b"read")[0] == 7
    connection.close()
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_reads_end_with_their_clients_after_the_server(forking: Forking) -> None:
    """Would catch: a runaway query that outlives the server which it was started by."""
    connection, pid = forking.begin(b"loop")
    forking._control.close()
    connection.close()
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_client_that_sends_nothing_delays_nobody(forking: Forking) -> None:
    """Would catch: one process that reads all requests, and waits for a client that says nothing
    or announces more than it may send.
    """
    with closing(forking.connect()), closing(forking.connect()) as greedy:
        announced = LENGTH.pack(read_forks.REQUEST_BYTES_MAX + 1)
        socket.send_fds(greedy, [announced], [greedy.fileno()])
        assert code_of(greedy.recv(CODE.size)) == 1
        assert forking.ask(b"read")[0] == 7


@pytest.mark.long
def test_more_reads_than_may_run_at_once_wait(forking: Forking) -> None:
    """Would catch: forks without limit."""
    running = [forking.begin(b"loop") for _ in range(read_forks.FORKS_MAX)]
    read, write = os.pipe()
    with closing(forking.connect()) as waiting:
        send(waiting, b"read", write)
        os.close(write)
        waiting.settimeout(0.3)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        running.pop()[0].close()
        waiting.settimeout(60)
        assert code_of(waiting.recv(CODE.size)) == 7
    os.close(read)
    for connection, _ in running:
        connection.close()


def test_without_reads_it_ends_and_answers_what_came_before() -> None:
    """Would catch: 50 MB for ever after the first read, and a request that is lost at that end."""
    with closing(Forking(idle_seconds=1.0)) as forking:
        assert forking.ask(b"read")[0] == 7
        assert forking.process.wait(60) == 0
        with pytest.raises(BrokenPipeError):
            socket.send_fds(forking._control, [b"."], [0])


class OverForking(ReadServer):
    """The server's end, over a process that does as the request says."""

    def __init__(self, forking: Forking) -> None:
        self._forking = forking

    def connect(self) -> socket.socket:
        return self._forking.connect()


def whole(forking: Forking, request: bytes) -> bytes:
    return asyncio.run(data.read_whole(OverForking(forking), msgspec.Raw(request)))


@pytest.mark.parametrize(
    ("request_", "detail"),
    [
        (b"kill", "was killed"),
        (b"torn", "was killed"),
        (b"cut", "was killed"),
        (b"raise", "ended with code 1"),
    ],
)
def test_a_read_that_ends_too_early_is_answered_in_words(
    forking: Forking, request_: bytes, detail: str
) -> None:
    """Would catch: status 500, or a part of the rows as all of them, where the kernel ends the
    process that reads because the machine has no memory left."""
    with pytest.raises(HttpProblem) as raised:
        whole(forking, request_)
    assert raised.value.status == 503 and detail in raised.value.detail
    assert "ask again" in raised.value.hint and raised.value.headers["retry-after"] == "60"


def test_a_read_whose_process_was_killed_is_begun_once_more(
    forking: Forking, tmp_path: Path
) -> None:
    """Would catch: an error for a page whose next try would have succeeded."""
    assert whole(forking, f"once {tmp_path}/killed".encode()) == b"[1, 2]"


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (OSError(errno.EMFILE, "Too many open files", "/srv/secret"), 503, "too many open files"),
        (MemoryError(), 503, "no memory left"),
        (KeyError("Ann Secret"), 500, "key error"),
    ],
)
def test_an_error_before_the_first_row_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    detail: str,
) -> None:
    """Would catch: a process that ends without a word; a value or a path in what it says."""

    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(reading, "visible_columns", failing)
    problem = refused(DataFileRequest(str(project(tmp_path)), "prod", "ann", ReadQuery("a"), "csv"))
    assert (problem.status, detail in problem.detail.lower()) == (status, True), problem.detail
    assert "ecret" not in problem.detail + problem.hint and problem.hint


def test_a_project_that_cant_be_opened_is_told(tmp_path: Path) -> None:
    """Would catch: errors of opening the project, outside what is answered in words."""
    problem = refused(DataFileRequest(str(tmp_path), "prod", "ann", ReadQuery("a"), "csv"))
    assert problem.status == 400 and "headrace.toml" in problem.detail + problem.hint


def refused(request: DataFileRequest) -> HttpProblem:
    """The problem in what a fork answers."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as answer:
        assert read_forks_main._handle(msgspec.json.encode(request), write) == 0
        with pytest.raises(HttpProblem) as raised:
            data._accepted(msgspec.json.decode(answer.read(), type=Head))
    return raised.value
