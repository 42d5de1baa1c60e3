"""The server's end of the process that forks readers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
from pathlib import Path

import pytest

from headrace.project.read_queries import ReadQuery
from headrace.web import read_server
from headrace.web.read_process import DataFileRequest
from headrace.web.read_server import ReadServer, RowsReader


def test_a_process_that_is_still_starting_is_waited_for_after_the_server_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a process that nobody waits for: a zombie, and a warning in whatever test runs
    when it is collected."""
    monkeypatch.setattr(read_server, "STOP_SECONDS", 0.0)
    server = ReadServer(str(tmp_path), "prod")
    server.connect().close()
    pid = server.pid
    server.close()
    del server
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "ended reads":
            thread.join(60)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_connection_is_closed_whose_reader_left_while_it_was_opened(tmp_path: Path) -> None:
    """Would catch: a page that was closed at once, whose connection to the process stays open."""
    began, may_go_on = threading.Event(), threading.Event()
    ours, theirs = socket.socketpair()

    class SlowServer(ReadServer):
        def connect(self) -> socket.socket:
            began.set()
            may_go_on.wait()
            return ours

    async def leave() -> None:
        request = DataFileRequest(str(tmp_path), "prod", "ann", ReadQuery("orders"), "json")
        opening = asyncio.create_task(RowsReader.open(SlowServer(str(tmp_path), "prod"), request))
        await asyncio.to_thread(began.wait)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await opening
        may_go_on.set()
        assert await asyncio.to_thread(theirs.recv, 1) == b""

    theirs.settimeout(10)
    with theirs:
        asyncio.run(leave())
    assert ours.fileno() == -1
