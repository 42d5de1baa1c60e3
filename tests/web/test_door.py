"""Who is let in, what is answered, and what hostile clients come to."""

from __future__ import annotations

import re
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from door_lab import Opened
from serve_lab import ask
from starlette.types import Receive, Scope, Send

from headrace.model import UsageError
from headrace.runtime.runs import LeaderCounters
from headrace.web import http, listen
from headrace.web import server as door_module
from headrace.web.access import ACCESS_FILE, token_of

PATHS = [
    "/",
    "/api/v1/status",
    "/api/v1/figures/uptime?window=7d",
    "/api/v1/runs",
    "/api/v1/ls",
]


def raw(port: int, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(sent)
    return connection


def all_of(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_probes_need_no_token_and_everything_else_does(door) -> None:
    """A door that is open by default, or one that probes can't use."""
    assert ask(door.port, "/healthz").json == {"status": "ok"}
    assert ask(door.port, "/readyz").json["ready"] is True
    for path in PATHS:
        assert ask(door.port, path).status == 401, path
        assert ask(door.port, path, Authorization=f"Bearer {door.token}x").status == 401
        assert ask(door.port, path, Authorization="Bearer \xff").status == 401
        assert door.get(path).status == 200, path


@pytest.mark.parametrize(
    "path",
    [
        "/metrics/healthz",
        "/api/v1/status;/healthz",
        "//healthz/../metrics",
        "/api/v1/status/",
        "/%6detrics",
        "/healthz/..%2fmetrics",
        "/METRICS",
        "/metrics?x=/healthz",
        "/api/v1/hooks/healthz",
        "/metrics%00/healthz",
    ],
)
def test_no_spelling_of_a_path_goes_around_the_token(door, path: str) -> None:
    """Exemptions by a path's text let others in (CVE-2026-53576, CVE-2026-3514)."""
    assert ask(door.port, path).status in (401, 404, 405)


def test_the_token_in_the_address_becomes_a_session_that_can_only_look(door) -> None:
    """The token stays in the browser's history or in a cookie, which a server on another port of
    this host receives; or another site's form can fire a webhook with the cookie.
    """
    answer = ask(door.port, f"/?token={door.token}")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie
    sent = cookie.partition(";")[0]
    assert door.token not in sent
    assert ask(door.port, "/", Cookie=sent).status == 200
    assert ask(door.port, "/", Authorization=f"Bearer {sent.partition('=')[2]}").status == 401
    again = ask(door.port, f"/?token={door.token}", Cookie=sent)
    assert again.headers["set-cookie"].partition(";")[0] != sent
    assert ask(door.port, "/", Cookie=sent).status == 401, "a new session ends the former one"
    sent = again.headers["set-cookie"].partition(";")[0]
    assert (
        ask(door.port, "/api/v1/hooks/hooked", method="POST", body=b"", Cookie=sent).status == 401
    )


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8787",
        "127.0.0.1.evil.example",
        "",
        "[::1].evil.example",
        "169.254.169.254",
    ],
)
def test_other_names_are_not_ours(door, host: str) -> None:
    """B17. DNS rebinding: a page of somebody else's reads this server under its own name."""
    assert door.get("/api/v1/status", Host=host).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST.", "[::1]:8787"])
def test_names_of_this_machine_are_ours(door, host: str) -> None:
    """A tunnel or a published port can't be used."""
    assert door.get("/api/v1/status", Host=host).status == 200


def test_pages_of_other_origins_are_refused(door) -> None:
    """A form on another page fires a webhook or reads a document."""
    for origin in (
        "https://evil.example",
        "null",
        "http://127.0.0.1.evil.example",
        "//",
        "http://[broken",
        "http://127.0.0.1@evil.example",
    ):
        assert door.get("/api/v1/status", Origin=origin).status == 403, origin
    assert door.get("/api/v1/status", Origin=f"http://127.0.0.1:{door.port}").status == 200
    path = f"/api/v1/hooks/hooked?token={door.token}"
    assert ask(door.port, path, method="POST", body=b"", Sec_Fetch_Site="cross-site").status == 403


def test_a_webhook_is_kept_for_whoever_leads(door) -> None:
    """A webhook is lost when nobody leads, or fires what waits for none."""
    bearer = {"Authorization": f"Bearer {door.token}"}
    answer = ask(door.port, "/api/v1/hooks/hooked", method="POST", body=b"{}", **bearer)
    assert (answer.status, answer.json) == (202, {"asset": "hooked", "request": 1})
    for name in ("revenue", "nothing", "..", "%3Cscript%3E", "x" * 5000):
        answer = ask(door.port, f"/api/v1/hooks/{name}", method="POST", body=b"", **bearer)
        assert answer.status == 404, name
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["status"] == 404 and len(answer.body) < 1000
    assert door.get("/api/v1/hooks/hooked").status == 405


def test_a_body_is_limited_however_its_length_is_told(door) -> None:
    """A client fills the memory of the process that leads."""
    much = b"x" * (http.BODY_BYTES_MAX + 1)
    bearer = {"Authorization": f"Bearer {door.token}"}
    assert ask(door.port, "/api/v1/hooks/hooked", method="POST", body=much, **bearer).status == 413
    head = f"POST /api/v1/hooks/hooked?token={door.token} HTTP/1.1\r\nHost: localhost\r\n"
    chunk = b"%x\r\n%s\r\n" % (len(much), much)
    assert (
        b" 413 "
        in all_of(
            raw(
                door.port,
                f"{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode() + chunk,
            )
        ).split(b"\r\n")[0]
    )
    with raw(
        door.port, f"{head}Content-Length: 99999999999999999999999\r\n\r\n".encode()
    ) as connection:
        assert re.match(rb"HTTP/1.1 4(00|13) ", connection.recv(100))


def test_slow_clients_are_let_go_of_and_delay_nobody(door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends a byte a minute holds a connection for ever."""
    monkeypatch.setattr(door_module, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(http, "BODY_SECONDS", 0.3)
    slow = [raw(door.port, b"GET / HTTP/1.1\r\nHost: loc") for _ in range(20)]
    body = raw(
        door.port,
        f"POST /api/v1/hooks/hooked?token={door.token} HTTP/1.1\r\nHost:"
        " localhost\r\nContent-Length: 9\r\n\r\nx".encode(),
    )
    assert door.get("/healthz").status == 200
    assert b" 408 " in body.recv(100)
    body.close()
    for connection in slow:
        with connection:
            assert ended(connection)


def test_half_open_requests_leave_room_for_others(door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: 300 clients without a token that never finish a request make everybody wait."""
    monkeypatch.setattr(door_module, "HEADER_SECONDS", 300.0)
    with ExitStack() as held:
        for _ in range(300):
            held.enter_context(raw(door.port, b"GET / HTTP/1.1\r\nHost: loc"))
        for _ in range(3):
            assert ask(door.port, "/healthz").status == 200
            assert door.get("/api/v1/status").status == 200


ASKED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def answered(connection: socket.socket) -> bool:
    """Whether a request is answered on this connection, which stays open."""
    try:
        connection.sendall(ASKED)
        said = b""
        while b'"ok"' not in said and (part := connection.recv(65536)):
            said += part
    except OSError:
        return False
    return said.startswith(b"HTTP/1.1 200 ") and b'"ok"' in said


@pytest.fixture
def connect(door) -> Iterator[Callable[[bytes], socket.socket]]:
    """Opens connections that send something first, and closes them after the test."""
    with ExitStack() as held:
        yield lambda sent: held.enter_context(raw(door.port, sent))


def test_idle_connections_are_not_half_open(connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: connections of browsers that have their answers abort each other, or are
    aborted for clients that never finish a request.
    """
    monkeypatch.setattr(door_module, "HALF_OPEN_MAX", 4)
    idle = [connect(b"") for _ in range(3)]
    assert all(answered(connection) for connection in idle)
    for _ in range(9):
        idle.append(connect(b""))
        assert answered(idle[-1])
    unfinished = [connect(b"GET / HTTP/1.1\r\nHost: loc") for _ in range(12)]
    assert all(ended(connection) for connection in unfinished[:8])
    assert all(answered(connection) for connection in idle)


def test_a_later_request_can_be_half_open_too(connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: who was answered once holds a connection with half a request."""
    monkeypatch.setattr(door_module, "HALF_OPEN_MAX", 4)
    unfinished = []
    for _ in range(12):
        unfinished.append(connect(b""))
        assert answered(unfinished[-1])
        unfinished[-1].sendall(b"GET / HTTP/1.1\r\nHost: loc")
    assert answered(connect(b""))
    assert ended(unfinished[0])


def test_idle_connections_leave_room_for_others(connect) -> None:
    """Would catch: idle connections use up all that there are, and newcomers are answered 503."""
    idle = [connect(b"") for _ in range(3)]
    assert all(answered(connection) for connection in idle)
    for _ in range(door_module.CONNECTIONS_MAX):
        assert answered(connect(b""))
    assert [connection.recv(1) for connection in idle] == [b""] * 3


def test_a_request_sent_before_the_last_answer_is_limited_too(
    door, connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a client that pipelines requests holds a connection as long as it likes."""
    monkeypatch.setattr(door_module, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(http, "BODY_SECONDS", 300.0)
    head = f"POST /api/v1/hooks/hooked?token={door.token} HTTP/1.1\r\nHost: localhost\r\n"
    connection = connect(ASKED + f"{head}Content-Length: 9\r\n\r\nx".encode())
    connection.settimeout(3)
    assert b"".join(iter(lambda: connection.recv(65536), b"")).count(b"HTTP/1.1 200 ") == 1


@pytest.mark.parametrize("connection_header", ["close", "keep-alive"])
def test_a_client_that_does_not_read_its_answer_is_let_go_of(
    connection_header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: 256 clients that ask for a large answer, read none of it and stay."""
    monkeypatch.setattr(door_module, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(door_module, "IDLE_SECONDS", 0.3)
    size = 16 << 20  # more than the buffers of two sockets

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % size)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(size)})

    head = f"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: {connection_header}\r\n\r\n"
    with (
        door_module.HttpServer(app, listen("127.0.0.1", 0)) as server,
        raw(server.port, head.encode()) as connection,
    ):
        time.sleep(1)
        received = 0
        with suppress(ConnectionResetError):
            while part := connection.recv(1 << 20):
                received += len(part)
        assert 0 < received < size


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 1000,
        b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET http://evil/ HTTP/1.1\r\n\r\n",
    ],
    ids=["head", "tls", "version", "nul", "hosts", "absolute"],
)
def test_what_is_no_request_is_refused(
    door, sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """Rubbish ends the door, or fills the server's own lines."""
    with raw(door.port, sent) as connection:
        try:
            said = connection.recv(100)
        except ConnectionResetError:
            said = b""
    assert said == b"" or re.match(rb"HTTP/1.1 4\d\d ", said), said
    assert door.get("/healthz").status == 200
    assert capfd.readouterr().err == ""


def test_parameters_are_judged(door) -> None:
    """A client's mistake is a traceback, or a query over everything."""
    for query in (
        "runs?limit=0",
        "runs?limit=100000",
        "runs?limit=%C2%B2",
        "runs?failed=maybe",
        "runs?nonsense=1",
        "status?select=nothing",
        "ls?select=" + "x" * 2000,
    ):
        answer = door.get(f"/api/v1/{query}")
        assert (answer.status, answer.headers["content-type"]) == (
            400,
            "application/problem+json",
        ), query


def test_each_answer_says_what_a_browser_may_run(door) -> None:
    """Would catch: an answer in which a browser runs what somebody wrote into a file."""
    for path in ("/healthz", "/nothing", "/api/v1/status"):
        assert "content-security-policy" in ask(door.port, path).headers


def test_figures_may_be_read_while_they_grow() -> None:
    """A scrape fails because the leader counted meanwhile."""
    figures, done = LeaderCounters(), threading.Event()
    thread = threading.Thread(
        target=lambda: [figures.partitions.update([f"s{n}"]) for n in range(20_000)] and done.set()
    )
    thread.start()
    while not done.is_set():
        sorted(figures.partitions.copy().items())
    thread.join()


def test_the_token_is_private_and_stays(tmp_path: Path) -> None:
    """Another user of the machine reads it, or each start makes bookmarks useless."""
    token = token_of(tmp_path)
    path = tmp_path / ACCESS_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(token) >= 40
    assert token_of(tmp_path) == token
    path.chmod(0o644)
    other = token_of(tmp_path)
    assert other != token and stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("")
    assert len(token_of(tmp_path)) >= 40


@pytest.mark.parametrize("port", [-1, 65_536, 99_999_999])
def test_what_is_no_port_is_said_to_be_none(port: int) -> None:
    """Catches ports that nobody can have, and that are said to be taken."""
    with pytest.raises(UsageError, match="is no port"):
        listen("127.0.0.1", port)


def test_a_port_that_is_taken_gives_the_next_free_one() -> None:
    """The second demo doesn't start."""
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with listen("127.0.0.1", port) as second:
            assert port < second.getsockname()[1] <= port + door_module.PORTS_TRIED
    with pytest.raises(UsageError):
        listen("no.such.host.invalid", 0)
    with pytest.raises(UsageError):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize("path", ["optimize/no/such/path", "import/dbt"])
def test_a_path_that_an_installed_package_hasn_t_is_only_unknown(door: Opened, path: str) -> None:
    """Would catch: advice to install what is installed."""
    pytest.importorskip("headrace_advisor")
    answer = door.get(f"/api/v1/{path}")
    assert answer.status == 404 and answer.json.get("code") != "not_installed"
    assert "pip install" not in answer.body.decode()
