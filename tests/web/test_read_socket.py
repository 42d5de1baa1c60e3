"""The socket through which commands read from a server."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from headrace.services.read_connection import SOCKET
from headrace.web import read_server
from headrace.web.read_server import ReadServer


def test_the_socket_is_closed_when_the_server_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server within a process that goes on would keep its socket open, and a command that
    connects to it would wait for nobody."""
    opened: list[socket.socket] = []

    def listening(folder: Path) -> socket.socket | None:
        listener = listening_socket(folder)
        opened.extend([] if listener is None else [listener])
        return listener

    listening_socket = read_server.listening_socket
    monkeypatch.setattr(read_server, "listening_socket", listening)
    with ReadServer(str(tmp_path), "prod").listening(tmp_path):
        assert (tmp_path / SOCKET).exists() and opened[0].fileno() >= 0
    assert not (tmp_path / SOCKET).exists() and opened[0].fileno() == -1
