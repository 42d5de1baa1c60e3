"""No way out of Headrace holds a declared secret: the HTTP API and its events, metrics, traces,
OpenLineage, mails and webhooks, the names of files and columns, and what code puts into exceptions
other than their messages."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiosmtpd.controller import Controller
from http_server_lab import Asked, Reply, Server, reply
from runlab import Lab
from secrets_lab import CANARY, IN_A_FILE, OTHER, TELLS, everything_kept, leaked
from serve_lab import Server as Served
from serve_lab import serving

from headrace.web.endpoints import ENDPOINTS

pytest.importorskip("headrace_observe")

SECONDS = 100.0
RAISES = """import os, threading, warnings
from headrace import asset, Context

@asset(owner="core", materialize="none", secrets=["CANARY"])
def raises(ctx: Context):
    secret = os.environ["CANARY"]
    warnings.warn(secret)
    thread = threading.Thread(target=compile, args=(secret, secret, "exec"), name=secret)
    thread.start()
    thread.join()
    kind = type(secret, (Exception,), {"__notes__": [secret]})
    code = compile("def fail(kind): raise kind(1, kind)", secret + ".py", "exec")
    names = {}
    exec(code, names)
    try:
        {}[secret]
    except KeyError as error:
        os.environ["CANARY"] = "gone"
        names["fail"](kind)
"""
WRITES = """import os
from urllib.parse import quote
from headrace import asset, Context

@asset(owner="core", materialize="files", secrets=["CANARY"])
def writes(ctx: Context):
    name = quote(os.environ["CANARY"], safe="")
    (ctx.output_directory / f"{name}.txt").write_text("x")
"""
NAMES = """import os
from headrace import asset, Context

@asset(owner="core", secrets=["CANARY"])
def names(ctx: Context):
    return [{os.environ["CANARY"]: 1, "n": 2}]
"""
FIELDS = """import os
from headrace import asset, Context

@asset(owner="core", secrets=["CANARY"])
def fields(ctx: Context):
    return [{"n": {os.environ["CANARY"]: 1}}]
"""
COMMAND = """asset: command
owner: core
materialize: none
command: [sh, say.sh]
secrets: [CANARY]
"""
SAYS = """printf '{"event": "metric", "name": "%s", "value": 1}\\n' "$OTHER" >> "$HEADRACE_EVENTS"
printf '{"event": "warning", "message": "said %s"}\\nno event %s\\n' "$CANARY" "$CANARY" >> "$HEADRACE_EVENTS"
i=0
while [ $i -lt 300 ]; do printf 'say %s%s' "$i" "$CANARY"; i=$((i + 1)); done
printf '%s' "$CANARY" | base64
printf 'u%s' "$CANARY" | base64
printf 'us%s' "$CANARY" | base64
exit 3
"""


class Post:
    """What a mail server was handed."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        del server, session
        self.mails.append(envelope.content)
        return "250 taken"


@pytest.fixture
def post() -> Iterator[tuple[int, Post]]:
    handler = Post()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield port, handler
    controller.stop()


@pytest.fixture
def web() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def lab(
    tmp_path: Path, web: Server, post: tuple[int, Post], monkeypatch: pytest.MonkeyPatch
) -> Lab:
    """Assets that tell what they were given, a collector, a lineage server, a mail server and a
    webhook.
    """
    monkeypatch.setenv("CANARY", CANARY)
    monkeypatch.setenv("OTHER_CANARY", OTHER)
    monkeypatch.setenv("HOOK", f"{web.url}/hook")
    monkeypatch.setenv("MAIL", f"smtp://127.0.0.1:{post[0]}?from=headrace@example.com")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", web.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")

    def take(asked: Asked) -> Reply:
        del asked
        return reply(b"", "application/x-protobuf")

    web.answers["/v1/traces"] = take
    web.answers["/api/v1/lineage"] = reply("{}")
    web.answers["/hook"] = reply("{}")
    lab = Lab(tmp_path / "lab")
    lab.write(
        "headrace.toml",
        '[project]\nname = "lab"\n[run]\nworkers = 2\n'
        '[connections.bank]\nurl = "https://bank.example"\ntoken = "secret://file/keys/bank"\n'
        'other = "${OTHER_CANARY}"\n'
        '[notify.hook]\nurl = "${HOOK}"\n[notify.mail]\nurl = "${MAIL}"\n'
        '[openlineage]\nfile = "lineage/events.jsonl"\n',
    )
    lab.write(
        "owners.yaml",
        "core: {contact: [hook, mail, 'mailto:core@example.com']}\n"
        "acme: {kind: vendor, manager: core, contact: ['mailto:v@x.example']}\n",
    )
    (lab.root / "keys").mkdir()
    lab.write("keys/bank", IN_A_FILE + "\n")
    lab.write("assets/tells.py", TELLS.replace("__FILE__", repr(str(lab.root / "keys/bank"))))
    lab.write("assets/raises.py", RAISES)
    lab.write("assets/writes.py", WRITES)
    lab.write("assets/names.py", NAMES)
    lab.write("assets/fields.py", FIELDS)
    lab.write("assets/command.yaml", COMMAND)
    lab.write("say.sh", SAYS)
    return lab


def until(result: Callable[[], object]) -> None:
    last = time.monotonic() + SECONDS
    while not result() and time.monotonic() < last:
        time.sleep(0.05)
    assert result()


def events(server: Served, lab: Lab) -> bytes:
    """What a page is told that listened before attempts failed once more, and comes again."""
    heard = listened(server)
    last = json.loads(heard.partition(b"data: ")[2])["id"]
    lab.headrace("run", "raises", "names", "--again", "--reason", "once more", code=None)
    again = listened(server, last)
    assert json.loads(again.partition(b"data: ")[2])["changes"], again
    return heard + again


def listened(server: Served, last: str | None = None) -> bytes:
    """The headers and the first event of the stream."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Authorization": f"Bearer {server.token}"} | (
        {} if last is None else {"Last-Event-ID": last}
    )
    connection.request("GET", "/api/v1/events", headers=headers)
    with closing(connection), closing(connection.getresponse()) as answer:
        lines = [str(answer.headers).encode()]
        while line := answer.readline().strip():
            lines.append(line)
    return b"\n".join(lines)


def answers(lab: Lab) -> dict[str, bytes]:
    """All that the server answers about this project, by address."""
    attempts = list(lab.headrace("runs"))
    named = {
        "name": "tells",
        "node": "tells",
        "source": "orders",
        "run": "1",
        "figure": "promises",
        "plan": "1",
        "subject:path": "tells",
        "target:path": "tells",
        "column:path": "tells",
    }
    incidents = [item["id"] for item in lab.headrace("incidents")]
    assert len(incidents) >= 3
    result: dict[str, bytes] = {}
    with serving(lab.root) as server:
        paths = ["/metrics", "/", "/healthz", "/api/v1/search?q=canary"]
        for item in ENDPOINTS:
            if item.method == "GET" and "{attempt}" in item.path:
                paths += [item.path.format(attempt=row["attempt"]) for row in attempts]
            elif item.method == "GET" and "{incident}" in item.path:
                paths += [item.path.format(incident=name) for name in incidents]
            elif item.method == "GET":
                path = item.path
                for name, value in named.items():
                    path = path.replace(f"{{{name}}}", value)
                paths += [path] + ([path.replace("/tells", "/writes")] if "/tells" in path else [])
        for path in paths:
            answer = server.get(path)
            assert answer.status < 500, (path, answer.body)
            result[path] = answer.body + json.dumps(answer.headers).encode()
        result["/api/v1/events"] = events(server, lab)
        result["server"] = server.said.encode()
    assert sum(len(body) for body in result.values()) > 20_000
    return result


@pytest.mark.long
def test_nothing_that_leaves_headrace_holds_a_declared_secret(
    lab: Lab, web: Server, post: tuple[int, Post]
) -> None:
    """Would catch: a secret in a span, a lineage event, a mail, a page or a metric; in the name of
    a file or of an exception's class, in the file that a traceback names; in halves, in base64 at
    any offset."""
    run = lab.headrace("tick", "--now", lab.now.isoformat())
    states = {item["asset"]: item["state"] for item in run["attempts"]}
    assert states == dict.fromkeys(
        ("tells", "raises", "writes", "names", "fields", "command"), "failed"
    )
    writes = next(item for item in run["attempts"] if item["asset"] == "writes")
    assert (
        "the name of a file in the output directory holds a declared secret"
        in writes["error"]["message"]
    )
    for name in ("names", "fields"):
        failed = next(item for item in run["attempts"] if item["asset"] == name)
        assert "the name of a column holds a declared secret" in failed["error"]["message"]
    until(lambda: post[1].mails and any(item.path == "/hook" for item in web.asked))
    result = everything_kept(lab) | answers(lab)
    assert any(item.path == "/v1/traces" for item in web.asked)
    result |= {
        f"{item.path} {n}": item.body + json.dumps(item.headers).encode()
        for n, item in enumerate(web.asked)
    }
    result |= {f"mail {n}": mail for n, mail in enumerate(post[1].mails)}
    result["lineage"] = (lab.root / "lineage/events.jsonl").read_bytes()
    assert b"tells" in result["lineage"]
    assert leaked(result, CANARY, IN_A_FILE, OTHER) == []


def test_the_search_finds_what_it_looks_for() -> None:
    """Would catch: a search that looks for nothing."""
    import base64

    for before in ("", "u", "us"):
        coded = base64.b64encode(f"{before}{CANARY}tail".encode())
        assert leaked({"x": b"so " + coded}, CANARY), before
    assert leaked({quote(CANARY, safe=""): b""}, CANARY)
    assert leaked({"x": json.dumps({"a": CANARY}).encode()}, CANARY)
    assert leaked({"x": b"nothing"}, CANARY) == []
