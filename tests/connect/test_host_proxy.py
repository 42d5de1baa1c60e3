"""The proxy to an attempt's declared hosts: what it lets through, what it refuses, bad input."""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from headrace.connect.host_proxy import Endpoint, HostProxy

LOOPBACK = ("127.0.0.0/8", "::1/128")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked; `/away` redirects to another host."""

    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "http://elsewhere.example/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = f"{self.path}|{'Proxy-Authorization' in self.headers}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def asked(proxy: HostProxy, url: str) -> str:
    """Return the answer over the proxy as a program with its environment gets it."""
    handler = urllib.request.ProxyHandler({"http": proxy.variables()["HTTP_PROXY"]})
    with urllib.request.build_opener(handler).open(url, timeout=10) as answer:
        return str(answer.read().decode())


def status_of(proxy: HostProxy, url: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as refused:
        asked(proxy, url)
    with refused.value as answer:
        return answer.code


def proxied(*hosts: str, networks: tuple[str, ...] = LOOPBACK) -> HostProxy:
    return HostProxy(hosts, networks, lambda endpoint, reason: None)


def test_a_declared_host_is_reached_and_counted(port: int) -> None:
    """Would catch: the proxy's password sent on to hosts; a tunnel that doesn't close."""
    with proxied(f"localhost:{port}").serving() as proxy:
        assert asked(proxy, f"http://localhost:{port}/a?b=c") == "/a?b=c|False"
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        credentials = proxy.variables()["HTTP_PROXY"].partition("//")[2].partition("@")[0]
        basic = base64.b64encode(credentials.encode()).decode()
        connection.set_tunnel("localhost", port, {"Proxy-Authorization": f"Basic {basic}"})
        connection.request("GET", "/tunnel")
        assert connection.getresponse().read() == b"/tunnel|False"
        connection.close()
    assert proxy.connected == {Endpoint("localhost", port): 2}
    assert proxy.refusals == {}


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere.example/",
        "http://127.0.0.1:{port}/",
        "http://localhost:1/",
        "http://localhost/",
        "http://xlocalhost:{port}/",
        "http://localhost.:1/",
        "http://2130706433:{port}/",
        "http://0x7f000001:{port}/",
        "http://[::1]:{port}/",
        "http://localhost:{port}/away",
    ],
)
def test_other_hosts_are_refused(port: int, url: str) -> None:
    """Would catch: comparing by suffix or without the port; numbers for addresses; redirects."""
    with proxied(f"localhost:{port}").serving() as proxy:
        assert status_of(proxy, url.format(port=port)) == 403
    assert len(proxy.refusals) == 1


def test_names_below_a_declared_one(port: int) -> None:
    """Would catch: `*.example` that allows `example`, or `badexample`."""
    refused: list[str] = []
    proxy = HostProxy(
        ("*.localhost", "[::1]:5"), LOOPBACK, lambda endpoint, _: refused.append(endpoint.host)
    )
    reason = proxy._reason_to_refuse
    assert reason(Endpoint("a.localhost", 443)) == reason(Endpoint("a.b.localhost", 80)) == ""
    assert reason(Endpoint("::1", 5)) == ""
    for host in ("localhost", "alocalhost", ".localhost", "localhost.evil", "[::1]"):
        assert "isn't declared" in reason(Endpoint(host, 443)), host
    assert "without this port" in reason(Endpoint("a.localhost", 22))
    proxy._loop.close()


def test_a_private_address_is_refused_by_the_rules_of_http(port: int) -> None:
    """Would catch: declared names that lead to addresses which `[http]` refuses."""
    with proxied(f"localhost:{port}", "169.254.169.254", networks=()).serving() as proxy:
        assert status_of(proxy, f"http://localhost:{port}/") == 403
        assert status_of(proxy, "http://169.254.169.254/latest/meta-data/") == 403
    reasons = list(proxy.refusals.values())
    assert "private_addresses" in reasons[0] and "link-local" in reasons[1]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET http://localhost:{port}/ HTTP/1.1\r\n\r\n", b"407"),
        (
            b"GET http://localhost:{port}/ HTTP/1.1\r\nProxy-Authorization: Basic AA==\r\n\r\n",
            b"407",
        ),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"CONNECT localhost HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT localhost:99999 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT evil.example\x1b[2J:443 HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://user@localhost:{port}/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET ftp://localhost/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://[::1/ HTTP/1.1\r\n\r\n", b"400"),
        (b"\x00\xff\xfe\r\n\r\n", b"400"),
        (b"CONNECT ...:443 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic \xe9\r\n\r\n", b"407"),
        (b"x" * 100_000 + b"\r\n\r\n", b""),
        (b"GET ", b""),
    ],
)
def test_bad_requests_are_answered(port: int, request_bytes: bytes, status: bytes) -> None:
    """Would catch: other users' programs on this machine; a request that ends the proxy."""
    text = request_bytes.replace(b"{port}", str(port).encode())
    with proxied(f"localhost:{port}").serving() as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            client.sendall(text)
            client.shutdown(socket.SHUT_WR)
            try:
                answer = client.recv(100)
            except ConnectionResetError:
                answer = b""
        assert answer.partition(b" ")[2][:3] == status
        assert asked(proxy, f"http://localhost:{port}/") == "/|False"
    assert proxy.refusals == {}


@pytest.mark.parametrize("name", ["a..localhost", f"{'a' * 64}.localhost"])
def test_a_name_that_no_host_can_have_is_answered(port: int, name: str) -> None:
    """Would catch: a closed connection without a word, and a traceback in the worker's output."""
    with proxied(f"*.localhost:{port}").serving() as proxy:
        assert status_of(proxy, f"http://{name}:{port}/") == 502
    assert proxy.refusals == {}


def test_a_host_that_does_not_answer_is_no_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with proxied(f"localhost:{port}").serving() as proxy:
        assert status_of(proxy, f"http://localhost:{port}/") == 502
    assert proxy.refusals == {} and proxy.connected == {}


def test_open_connections_do_not_outlive_the_attempt(port: int) -> None:
    """Would catch: a worker that waits for a client which keeps its connection open."""
    with proxied(f"localhost:{port}").serving() as proxy:
        client = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    with client, contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=1)
