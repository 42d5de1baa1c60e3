"""Readers that restricted asset code would have read for it."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.engine import sandbox
from headrace.engine.landlock import Access
from headrace.services.read_connection import is_restricted

CLIENT = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1)"


@pytest.mark.skipif(not sandbox.available(), reason="no Landlock")
def test_a_restricted_process_is_told_from_others(tmp_path: Path) -> None:
    """Would catch: asset code that reads any asset through the socket of the same user."""
    address = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen([sys.executable, "-c", CLIENT, address])

        for begin, expected in (
            (start, False),
            (lambda: sandbox.restricted(Access(("/",), ("/",)), start), True),
        ):
            process = begin()
            connection, _ = listener.accept()
            with connection:
                assert is_restricted(connection) is expected
            assert process.wait(30) == 0
