"""A server that sends a byte now and then."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

TRICKLE_SECONDS = 0.05
START = {
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
    "headers": b"HTTP/1.1 200 OK\r\nX-Long: ",
    "small error": b"HTTP/1.1 404 Not Found\r\nContent-Length: 60000\r\n\r\n",
}


@pytest.fixture
def trickling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Return a function that starts a server which trickles, and returns its URL."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def start(part: str) -> str:
            threading.Thread(target=_serve, args=(listener, START[part]), daemon=True).start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start


def _serve(listener: socket.socket, start: bytes) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(start)
                while True:
                    connection.sendall(b"1")
                    time.sleep(TRICKLE_SECONDS)
