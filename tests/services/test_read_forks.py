"""Reads in forks of one process: nothing passes from one to the next, and each can be ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from serve_lab import until

from headrace.services import read_forks
from headrace.services.read_connection import CODE, LENGTH, LOST, code_of, connected, send

FORKING = """\
import os, socket, sys, tempfile
from headrace.services import read_forks
from headrace.services.read_forks import Forks

asked = []

def handle(request, descriptors):
    asked.append(request)
    name = f"{tempfile.gettempdir()}/left"
    if request == b"loop":
        os.write(descriptors[0], str(os.getpid()).encode())
        while True:
            pass
    if request == b"kill":
        os.kill(os.getpid(), 9)
    text = f"{len(asked)} {os.path.exists(name)} {os.getpid()} {tempfile.gettempdir()}"
    open(name, "w").close()
    os.write(descriptors[0], text.encode())
    return 7

read_forks.IDLE_SECONDS = float(sys.argv[3])
listener = socket.socket(fileno=int(sys.argv[2])) if sys.argv[2] != "-1" else None
Forks(socket.socket(fileno=int(sys.argv[1])), listener, handle, lambda: None).run()
"""


class Forking:
    """A process that forks for requests."""

    def __init__(self, folder: Path, idle_seconds: float = 600) -> None:
        self.folder = folder
        self._control, theirs = socket.socketpair()
        listener = read_forks.listening_socket(folder)
        assert listener is not None
        numbers = theirs.fileno(), listener.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKING, *map(str, (*numbers, idle_seconds))],
            pass_fds=numbers,
        )
        theirs.close()
        listener.close()

    def ask(self, request: bytes) -> tuple[int, str]:
        """The exit code of the fork, and what it wrote."""
        connection = connected(str(self.folder))
        assert connection is not None
        read, write = os.pipe()
        with closing(connection), os.fdopen(read) as answer:
            send(connection, request, [write])
            os.close(write)
            return code_of(connection.recv(CODE.size)), answer.read()

    def begin(self, request: bytes) -> tuple[socket.socket, int]:
        """The connection of a request, and the process that answers it."""
        connection = connected(str(self.folder))
        assert connection is not None
        read, write = os.pipe()
        send(connection, request, [write])
        os.close(write)
        pid = int(os.read(read, 100))
        os.close(read)
        return connection, pid

    def close(self) -> None:
        self._control.close()
        assert self.process.wait(30) == 0


@pytest.fixture
def forking(tmp_path: Path) -> Iterator[Forking]:
    # longer than the address of a socket may be
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with closing(Forking(folder)) as result:
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
    silent, greedy = connected(str(forking.folder)), connected(str(forking.folder))
    assert silent is not None
    assert greedy is not None
    with closing(silent), closing(greedy):
        greedy.sendall(LENGTH.pack(read_forks.REQUEST_BYTES_MAX + 1))
        assert code_of(greedy.recv(CODE.size)) == 1
        assert forking.ask(b"read")[0] == 7


def test_more_reads_than_may_run_at_once_wait(forking: Forking) -> None:
    """Would catch: forks without limit."""
    running = [forking.begin(b"loop") for _ in range(read_forks.FORKS_MAX)]
    waiting = connected(str(forking.folder))
    assert waiting is not None
    read, write = os.pipe()
    with closing(waiting):
        send(waiting, b"read", [write])
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


def test_without_reads_it_ends_and_answers_what_came_before(tmp_path: Path) -> None:
    """Would catch: 50 MB for ever after the first read, and a request that is lost at that end."""
    with closing(Forking(tmp_path, idle_seconds=1.0)) as forking:
        assert forking.ask(b"read")[0] == 7
        assert forking.process.wait(60) == 0
        with pytest.raises(BrokenPipeError):
            socket.send_fds(forking._control, [b"."], [0])


def test_a_socket_that_nobody_serves_is_none(tmp_path: Path) -> None:
    """Would catch: a command that waits for a server that has ended."""
    assert connected(str(tmp_path)) is None
    listener = read_forks.listening_socket(tmp_path)
    assert listener is not None
    listener.close()
    assert connected(str(tmp_path)) is None
    again = read_forks.listening_socket(tmp_path)
    assert again is not None
    again.close()
