"""Assets that declare hosts: over the proxy, around it, and what their attempts say."""

from __future__ import annotations

import http.server
import textwrap
import threading
from collections.abc import Iterator

import pytest
from runlab import DAYS, Lab, published

from headrace.connect.host_proxy import HOST_NOT_DECLARED, Endpoint
from headrace.engine import landlock, sandbox
from headrace.engine.attempts import BodyError, ErrorKind
from headrace.responses import AttemptRow, RunResponse
from headrace.runtime.steps.attempt_hosts import explained

pytestmark = pytest.mark.skipif(not sandbox.available(), reason="no Landlock")
PORTS = pytest.mark.skipif(landlock.abi() < 4, reason="no rules for TCP")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"42")

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


GET = """
import urllib.request
def code(orders):
    with urllib.request.urlopen({url!r}, timeout=10) as answer:
        return [{{"n": int(answer.read())}}]
"""


def run(lab: Lab, code: str, hosts: list[str]) -> RunResponse:
    toml = (lab.root / "headrace.toml").read_text()
    lab.write("headrace.toml", toml.replace("[run]\n", '[run]\nsandbox = "on"\n'))
    fields = {
        "owner": "core", "partition": "day", "inputs": ["orders"], "sandbox": {"hosts": hosts}
    }  # fmt: skip
    arguments = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    marked = textwrap.dedent(code).replace("def code(", f"@asset({arguments})\ndef code(")
    lab.write("assets/code.py", f"from headrace import asset\n{marked}\n")
    lab.orders(DAYS[0])
    return lab.tick()


def attempt_of(response: RunResponse) -> AttemptRow:
    return [a for a in response.attempts if a.asset == "code"][-1]


def logged(lab: Lab) -> str:
    return "".join(path.read_text() for path in (lab.root / ".headrace/logs").rglob("*.jsonl"))


def test_a_declared_host_is_reached(lab: Lab, port: int) -> None:
    """Would catch: variables that don't reach the code; a proxy that isn't allowed by the rules."""
    response = run(lab, GET.format(url=f"http://localhost:{port}/"), [f"localhost:{port}"])
    assert ("code", DAYS[0]) in published(response), attempt_of(response).error
    assert f"connected to localhost:{port} (1)" in logged(lab)


def test_another_host_is_refused_and_named(lab: Lab, port: int) -> None:
    """Would catch: a failure that says 403 without who refused, and how to allow it."""
    response = run(lab, GET.format(url="http://evil.example/"), [f"localhost:{port}"])
    error = attempt_of(response).error
    assert error is not None
    assert "asked for evil.example:80" in error.message, error
    assert error.hint is not None and "sandbox: {hosts: [evil.example]}" in error.hint
    assert "refused to connect to evil.example:80: the host isn't declared" in logged(lab)


@PORTS
def test_the_proxy_cannot_be_left_out(lab: Lab, port: int) -> None:
    """Would catch: a program that ignores the proxy and connects by itself."""
    code = f"""
    import socket
    def code(orders):
        socket.create_connection(("127.0.0.1", {port}), timeout=10).close()
        return [{{"n": 1}}]
    """
    error = attempt_of(run(lab, code, [f"localhost:{port}"])).error
    assert error is not None and "PermissionError" in error.message
    assert error.hint is not None and "HTTPS_PROXY" in error.hint


def test_no_host_at_all_can_be_declared(lab: Lab, port: int) -> None:
    error = attempt_of(run(lab, GET.format(url=f"http://localhost:{port}/"), [])).error
    assert error is not None and f"asked for localhost:{port}" in error.message


def test_a_declared_host_with_a_refused_address_is_not_to_be_declared() -> None:
    """Would catch: "outside of the hosts that this asset declares" of a host that it declares, and
    a hint that adds it once more."""
    error = BodyError(ErrorKind.DETERMINISTIC, "HTTPError: 403")
    inside, outside = Endpoint("db.internal", 443), Endpoint("evil.example", 22)
    private = explained(error, {inside: "its address 10.0.0.1 is private"})
    assert private.message == "HTTPError: 403: connections to db.internal:443 were refused"
    assert private.hint == "its address 10.0.0.1 is private"
    both = explained(error, {inside: "its address is private", outside: HOST_NOT_DECLARED})
    assert "connections to db.internal:443 were refused; it asked for evil.example:22, " in (
        both.message
    )
    assert 'hosts: ["evil.example:22"]' in both.hint
