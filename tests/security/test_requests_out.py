"""B11 Requests to addresses that somebody else chose: by a literal in disguise, a name that resolves
to a private address, one that changes its address after the check, a redirect, a webhook."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from http_server_lab import Server, reply

from headrace.connect.destinations import AddressRefused, check_address, connect
from headrace.connect.read_deadlines import whole_answer
from headrace.integrations.notifications.channels import Message, Unsent, send
from headrace.model import Settings
from headrace.model.nodes import ALL_NETWORKS

REFUSE: tuple[str, ...] = ()
METADATA = ("169.254.169.254", "fe80::1", "fd00:ec2::254", "::ffff:a9fe:a9fe", "100.100.100.200")
PRIVATE = (
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "::1",
    "::",
    "10.0.0.5",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "fd12:3456::1",
    "::ffff:7f00:1",
    "::ffff:10.0.0.5",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
)
DISGUISED = ("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "localhost", "[::ffff:7f00:1]")
MESSAGE = Message(
    project="p", kind="k", subject="s", incident=None, recipient="r", title="t", body="b", at=0
)
Resolver = Callable[[dict[str, list[str]]], list[str]]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        running.answers["/hook"] = reply("{}")
        yield running


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Names of the test, each with its addresses in the order in which they are asked for."""
    real = socket.getaddrinfo

    def install(names: dict[str, list[str]]) -> list[str]:
        asked: list[str] = []

        def fake(host: Any, *arguments: Any, **options: Any) -> Any:
            if host not in names:
                return real(host, *arguments, **options)
            asked.append(host)
            answers = names[host]
            address = answers.pop(0) if len(answers) > 1 else answers[0]
            return real(address, *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", fake)
        return asked

    return install


def ask(url: str, networks: tuple[str, ...], **options: Any) -> int:
    return whole_answer(
        "GET", url, seconds=5, bytes_max=1000, private_addresses=networks, **options
    ).status


def test_b11_link_local_and_metadata_addresses_are_never_asked() -> None:
    """B11. Would catch: a cloud's credentials, read through a source's URL."""
    for address in METADATA:
        with pytest.raises(AddressRefused, match="never"):
            check_address(address, ALL_NETWORKS)


def test_b11_private_addresses_are_refused_by_policy_in_every_notation() -> None:
    """B11. Would catch: an IPv4 address inside an IPv6 one, a shared network, `0`."""
    for address in PRIVATE:
        check_address(address, ALL_NETWORKS)
        with pytest.raises(AddressRefused, match="private"):
            check_address(address, REFUSE)
    check_address("10.0.0.5", ("10.0.0.0/24",))
    check_address("::ffff:10.0.0.5", ("10.0.0.0/24",))
    with pytest.raises(AddressRefused):
        check_address("10.0.1.5", ("10.0.0.0/24",))
    for address in ("93.184.216.34", "2606:2800:220:1::1"):
        check_address(address, REFUSE)


def test_b11_a_disguised_address_is_the_one_it_stands_for(server: Server) -> None:
    """B11. Would catch: a decimal, octal or short address that a comparison of texts lets pass."""
    for host in DISGUISED:
        with pytest.raises((AddressRefused, httpx.InvalidURL)):
            ask(f"http://{host}:{server.port}/hook", REFUSE)
    with pytest.raises(AddressRefused, match="private"):
        ask(f"http://good.example.com@127.0.0.1:{server.port}/hook", REFUSE)
    assert server.asked == []
    assert ask(f"http://localhost:{server.port}/hook", ALL_NETWORKS) == 200
    assert ask(f"{server.url}/hook", ("127.0.0.0/8",)) == 200


def test_b11_a_name_is_resolved_once_and_connected_to_where_it_was_checked(
    server: Server, resolver: Resolver
) -> None:
    """B11. Would catch: DNS rebinding: public when it is checked, private when it is connected."""
    listener = socket.create_server(("127.0.0.2", 0))
    port = listener.getsockname()[1]
    asked = resolver({"vendor.example.com": ["127.0.0.2", "127.0.0.1"]})
    listener.settimeout(5)
    with connect("vendor.example.com", port, 5, ("127.0.0.2/32",)) as opened:
        assert opened.getpeername()[0] == "127.0.0.2"
    assert asked == ["vendor.example.com"]
    listener.close()
    asked = resolver({"vendor.example.com": ["127.0.0.2", "127.0.0.1"]})
    with pytest.raises(httpx.ConnectError):  # nobody listens where it was checked
        ask(f"http://vendor.example.com:{server.port}/hook", ("127.0.0.2/32",))
    assert asked == ["vendor.example.com"]
    with pytest.raises(AddressRefused):  # from now on it is the other address
        ask(f"http://vendor.example.com:{server.port}/hook", ("127.0.0.2/32",))
    assert server.asked == []


def test_b11_the_host_name_reaches_the_server_beside_the_checked_address(
    server: Server, resolver: Resolver
) -> None:
    """B11. Would catch: a virtual host or a certificate that no longer matches."""
    resolver({"vendor.example.com": ["127.0.0.1"]})
    assert ask(f"http://vendor.example.com:{server.port}/hook", ALL_NETWORKS) == 200
    assert server.asked[0].headers["host"] == f"vendor.example.com:{server.port}"
    names: list[str] = []
    context = ssl.create_default_context()
    wrap = context.wrap_socket

    def noting(*arguments: Any, server_hostname: str, **options: Any) -> ssl.SSLSocket:
        names.append(server_hostname)
        return wrap(*arguments, server_hostname=server_hostname, **options)

    context.wrap_socket = noting  # type: ignore[method-assign,assignment]
    client = httpx.Client(verify=context)
    from headrace.connect.destinations import check_connections

    check_connections(client, ALL_NETWORKS)
    with client, pytest.raises(httpx.ConnectError):
        client.get(f"https://vendor.example.com:{server.port}/hook")
    assert names == ["vendor.example.com"]


def test_b11_a_proxy_gets_no_private_address(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B11. Would catch: a proxy that carries what the policy refuses; a proxy that is refused
    itself because it is in the company's network."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for host in ("2130706433", "127.0.0.1", "[::1]", "0x7f000001"):
        with pytest.raises(AddressRefused):
            ask(f"http://{host}:1/hook", REFUSE)
    with pytest.raises(AddressRefused):
        ask("http://169.254.169.254/latest", ALL_NETWORKS)
    assert server.asked == []
    assert ask("http://vendor.example.com/hook", REFUSE) in (200, 404)
    assert len(server.asked) == 1


def test_b11_webhooks_hold_the_policy(server: Server, tmp_path: Path) -> None:
    """B11. Would catch: a channel beside the sources that goes anywhere."""
    table = {"hook": {"url": f"http://0x7f000001:{server.port}/hook"}}
    with pytest.raises(Unsent, match=r"127\.0\.0\.1 is private"):
        send(tmp_path, Settings(name="p", notify=table, private_addresses=()), "hook", MESSAGE)
    assert server.asked == []
    send(tmp_path, Settings(name="p", notify=table), "hook", MESSAGE)
    assert [item.path for item in server.asked] == ["/hook"]


def test_b11_a_webhook_follows_no_redirect(server: Server, tmp_path: Path) -> None:
    """B11. Would catch: a public server that sends the message on to a private one."""
    server.answers["/moved"] = reply("", status=307, Location=f"{server.url}/hook")
    table = {"hook": {"url": f"{server.url}/moved"}}
    with pytest.raises(Unsent, match="307"):
        send(tmp_path, Settings(name="p", notify=table), "hook", MESSAGE)
    assert [item.path for item in server.asked] == ["/moved"]
