"""Where the server listens, and events as they are written."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from door_lab import opened
from serve_lab import project

from headrace.model import UsageError
from headrace.web import listen
from headrace.web import server as server_module
from headrace.web.events import event


def test_an_address_of_another_machine_is_refused_as_such() -> None:
    """Would catch: every port tried, and all said to be taken, for a wrong address."""
    with pytest.raises(UsageError, match=r"192\.0\.2\.1:8787 can't be listened on") as refused:
        listen("192.0.2.1", 8787)
    assert refused.value.hint == "serve --host 127.0.0.1"
    with pytest.raises(UsageError, match="is no address of this machine"):
        listen("no such host", 8787)


def test_only_so_many_ports_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: the last port of the range left out, or one beyond it taken."""
    assert server_module.PORTS_TRIED == 20
    monkeypatch.setattr(server_module, "PORTS_TRIED", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"ports {port} to {port} are all taken"):
            listen("127.0.0.1", port)
    with listen("127.0.0.1", 0) as free:
        assert not free.get_inheritable()
        assert free.getsockname()[1] > 0


def test_the_body_of_an_answer_is_sent_at_once() -> None:
    """Would catch: 40 ms for each answer, in which the kernel holds the body back until the
    client has confirmed the head (Nagle's algorithm)."""

    async def accepted() -> int:
        arrived = asyncio.get_running_loop().create_future()
        listening = listen("127.0.0.1", 0)
        server = await asyncio.start_server(lambda _, out: arrived.set_result(out), sock=listening)
        async with server:
            _, out = await asyncio.open_connection(*listening.getsockname())
            taken = (await arrived).get_extra_info("socket")
            delay_off = taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            out.close()
            (await arrived).close()
            return int(delay_off)

    assert asyncio.run(accepted())


def test_an_event_is_one_block_of_lines() -> None:
    """Would catch: an event that a browser joins with the next, or whose id it doesn't see."""
    assert event("changes", {"a": "x\ny"}, "7") == (
        b'id: 7\nevent: changes\ndata: {"a":"x\\ny"}\n\n'
    )
    assert event("alive", {}, None) == b"event: alive\ndata: {}\n\n"


def test_a_stream_that_is_open_does_not_hold_a_server_that_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a server that waits for streams to end, for as long as it waits for answers."""
    monkeypatch.setattr(server_module, "CLOSE_SECONDS", 3_600)
    with opened(project(tmp_path / "shop")) as door:
        stream = socket.create_connection(("127.0.0.1", door.port), timeout=20)
        head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {door.token}\r\n\r\n"
        stream.sendall(f"GET /api/v1/events HTTP/1.1\r\n{head}".encode())
        assert stream.recv(1) == b"H"
    with stream, contextlib.suppress(ConnectionResetError):
        while stream.recv(65_536):
            pass
