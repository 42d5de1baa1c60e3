"""`headrace connections`: what is there, who uses it, whether it answers, and never a secret."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from clilab import Project
from postgres_cluster import Database
from source_packages import NEEDS_DATABASES

CANARY = "canary-7391-nowhere"


@pytest.fixture
def server() -> Iterator[str]:
    """A server that wants a header, and says so without it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers["X-Token"] == CANARY else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(
        target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()


def _declare(project: Project, text: str) -> None:
    toml = project.root / "headrace.toml"
    toml.write_text(toml.read_text() + text)


def test_the_list_names_users_and_no_values(new: Project) -> None:
    """Would catch: a password, a host or a resolved reference in a list that anybody may read."""
    _declare(
        new,
        '[connections.bank]\nurl = "postgresql://me@secret-host/db"\npassword ='
        ' "${PW}"\n[connections.any]\nurl = "${URL}"\n',
    )
    (new.root / "sources/rows.yaml").write_text(
        "source: rows\nowner: core\nconnection: bank\ntable: t\n"
    )
    rows = new.json("connections")
    assert [(row["name"], row["kind"], row["used_by"], row["state"]) for row in rows] == [
        ("any", None, [], None),
        ("bank", "postgresql", ["rows"], None),
    ]
    assert "secret-host" not in new.text("connections")


@NEEDS_DATABASES
def test_each_kind_is_asked(
    new: Project, postgresql: Database, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a test that says `ok` without having connected."""
    sqlite3.connect(new.root / "x.db").execute("create table t (n integer)").connection.close()
    for name, value in {
        "PW": postgresql.password,
        "TOKEN": CANARY,
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    _declare(
        new,
        f'[connections.pg]\nurl = "{postgresql.url_without_password}"\npassword = "${{PW}}"\n'
        '[connections.lite]\nurl = "sqlite:x.db"\n'
        f'[connections.web]\nurl = "{server}"\nheaders = {{X-Token = "${{TOKEN}}"}}\n'
        '[connections.bucket]\ntype = "s3"\nkey = "${PW}"\n',
    )
    states = {row["name"]: row["state"] for row in new.json("connections", "test")}
    assert states == {"bucket": "skipped", "lite": "ok", "pg": "ok", "web": "ok"}
    monkeypatch.setenv("PW", f"{CANARY}-wrong")
    (pg,) = new.json("connections", "test", "pg")
    assert (pg["state"], pg["code"]) == (
        "failed",
        "access_denied",
    ) and "password authentication failed" in pg["error"]
    monkeypatch.setenv("TOKEN", "wrong")
    (web,) = new.json("connections", "test", "web")
    assert (web["state"], web["code"]) == ("failed", "access_denied")
    assert CANARY not in new.text("connections", "test", code=1)


@NEEDS_DATABASES
def test_what_doesnt_answer_is_said(new: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a traceback for a secret that isn't set, a host that is down, or a file that
    isn't there.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    _declare(
        new,
        f'[connections.down]\nurl = "postgresql://me@127.0.0.1:{port}/db"\n[connections.gone]\nurl'
        ' = "sqlite:gone.db"\n[connections.unset]\nurl = "postgresql://me@127.0.0.1/db"\npassword'
        ' = "secret://env/NOT_SET_AT_ALL"\n[connections.web]\nurl ='
        f' "http://127.0.0.1:{port}"\n[connections.state]\nurl = "sqlite:.headrace/state.db"\n',
    )
    rows = {row["name"]: row for row in new.json("connections", "test")}
    assert {name: row["code"] for name, row in rows.items()} == {
        "down": "source_unavailable",
        "gone": "source_unavailable",
        "state": "configuration_error",
        "unset": "configuration_error",
        "web": "source_unavailable",
    }
    assert rows["unset"]["hint"] == "set NOT_SET_AT_ALL where headrace runs"
    assert "failed" in new.text("connections", "test", code=1)


def test_a_connection_that_isnt_there_is_wrong_use(new: Project) -> None:
    """Would catch: a misspelt name that tests nothing, and says that all is well."""
    new.text("connections", "test", "nowhere", code=2)
    new.text("connections", "tset", code=2)
    assert new.json("connections") == []
