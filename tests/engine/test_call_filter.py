"""Connections around the rules for TCP ports: by calls that Landlock doesn't look at."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.engine import landlock, sandbox
from headrace.engine.landlock import Access

pytestmark = pytest.mark.skipif(
    not sandbox.available() or landlock.abi() < 4, reason="no rules for TCP"
)
MPTCP, SCTP, FAST_OPEN = 262, 132, 0x20000000
EVERYTHING = ("/",)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        yield listening


def opened(kind: int, protocol: int, family: int = socket.AF_INET) -> Callable[[int], None]:
    def attack(port: int) -> None:
        with socket.socket(family, kind, protocol) as client:
            client.connect(("127.0.0.1", port))

    return attack


def by_sendto(port: int) -> None:
    with socket.socket() as client:
        client.sendto(b"secret", FAST_OPEN, ("127.0.0.1", port))


def by_sendmsg(port: int) -> None:
    with socket.socket() as client:
        client.sendmsg([b"secret"], [], FAST_OPEN, ("127.0.0.1", port))


@pytest.mark.parametrize(
    "attack",
    [
        opened(socket.SOCK_STREAM, 0),
        opened(socket.SOCK_STREAM, MPTCP),
        opened(socket.SOCK_STREAM | socket.SOCK_CLOEXEC, MPTCP),
        opened(socket.SOCK_STREAM, SCTP),
        opened(socket.SOCK_SEQPACKET, 0),
        by_sendto,
        by_sendmsg,
    ],
)
def test_no_way_around_the_ports(server: socket.socket, attack: Callable[[int], None]) -> None:
    """Would catch: data to any host and port by TCP Fast Open or MPTCP with `ports: []`, with
    `hosts`, and from queries."""
    port = server.getsockname()[1]
    with pytest.raises(PermissionError):
        sandbox.restricted(Access(EVERYTHING, EVERYTHING, ()), lambda: attack(port))
    with pytest.raises(PermissionError):
        sandbox.restricted(Access(EVERYTHING, EVERYTHING), lambda: _ports_later(attack, port))


def _ports_later(attack: Callable[[int], None], port: int) -> None:
    """Attack as an attempt at a Python asset does, whose ports are restricted at last."""
    landlock.restrict_ports(())
    attack(port)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_nothing_listens_without_a_declared_port(family: int) -> None:
    """Would catch: a port that the kernel chooses for a socket which listens without an address,
    where another host collects what asset code reads."""

    def listen() -> None:
        with socket.socket(family) as waiting:
            waiting.listen()

    with pytest.raises(PermissionError):
        sandbox.restricted(Access(EVERYTHING, EVERYTHING, ()), listen)
    with pytest.raises(PermissionError):
        sandbox.restricted(
            Access(EVERYTHING, EVERYTHING), lambda: _ports_later(_ignoring(listen), 0)
        )
    sandbox.restricted(Access(EVERYTHING, EVERYTHING), listen)


def _ignoring(call: Callable[[], None]) -> Callable[[int], None]:
    return lambda _: call()


def test_processes_still_talk_without_a_declared_port(tmp_path: Path) -> None:
    """Would catch: sockets of the file system refused, by which multiprocessing's managers and fork
    servers talk, and UDP, by which names are looked up."""

    def talk() -> bytes:
        with socket.socket(socket.AF_UNIX) as waiting, socket.socket(socket.AF_UNIX) as client:
            waiting.bind(str(tmp_path / "socket"))
            waiting.listen()
            client.connect(str(tmp_path / "socket"))
            client.sendall(b"unix")
            assert socket.getaddrinfo("localhost", 80)
            with waiting.accept()[0] as accepted:
                return accepted.recv(10)

    assert sandbox.restricted(Access(EVERYTHING, EVERYTHING, ()), talk) == b"unix"


def test_what_is_declared_still_works(server: socket.socket) -> None:
    """Would catch: a filter that refuses declared ports, UDP, pipes of processes or name look-ups."""

    def allowed() -> bytes:
        with socket.create_connection(server.getsockname(), timeout=10) as client:
            client.sendall(b"tcp")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.sendto(b"udp", server.getsockname())
        first, second = socket.socketpair()
        with first, second:
            first.sendmsg([b"unix"])
            assert socket.getaddrinfo("localhost", 80)
            return second.recv(10)

    port = server.getsockname()[1]
    assert sandbox.restricted(Access(EVERYTHING, EVERYTHING, (port,)), allowed) == b"unix"
    with server.accept()[0] as client:
        assert client.recv(10) == b"tcp"


def test_a_network_that_is_open_has_no_filter(server: socket.socket) -> None:
    """Would catch: MPTCP refused to assets that declare neither ports nor hosts."""
    if not Path("/proc/sys/net/mptcp/enabled").exists():
        pytest.skip("no MPTCP")
    port = server.getsockname()[1]
    attack = opened(socket.SOCK_STREAM, MPTCP)
    sandbox.restricted(Access(EVERYTHING, EVERYTHING), lambda: attack(port))
