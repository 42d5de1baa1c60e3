"""Servers as processes: started on a free port, asked over HTTP, stopped by signals."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, urlsplit

from headrace.cli.main import run
from headrace.project.local_actor import local_actor

HEADRACE = str(Path(sys.executable).with_name("headrace"))
SECONDS = 100.0
ME = local_actor()
"""Who acts in these tests, as the audit trail names them."""

FILES = {
    "headrace.toml": (
        '[project]\nname = "shop"\ntimezone = "Europe/Berlin"\n[run]\nworkers = 1\nlook_every ='
        ' "1h"\n[environments.dev]\nworkers = 1\n'
    ),
    "owners.yaml": "core: {kind: team, contact: ['mailto:core@example.com']}\n",
    "sources/orders.yaml": (
        "source: orders\nowner: core\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
    ),
    "assets/revenue.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select cast(day as date) as day, sum(amount) as revenue from orders group by all\n"
    ),
    "consumers.yaml": "- {consumer: report, owner: core, reads: [revenue], max_age: 30h}\n",
}
CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: orders
version: {version}
status: active
schema:
  - name: orders
    properties:
      - {{name: day, logicalType: date, required: true}}
      - {{name: amount, logicalType: {type}}}
"""
"""Of `orders`, by its version and the type of the amounts."""
T = TypeVar("T")


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str
) -> Answer:
    """One request. Header names have `_` for `-`; `Host` is only sent as it is given."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=50)
    connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    with contextlib.closing(connection):
        answer = connection.getresponse()
        return Answer(
            answer.status,
            {name.lower(): value for name, value in answer.getheaders()},
            answer.read(),
        )


def until(result: Callable[[], T | None], seconds: float = SECONDS) -> T:
    """What `found` gives as soon as it gives something."""
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        if value := result():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


def project(root: Path) -> Path:
    """The project's files, and its landing folder."""
    for path, text in FILES.items():
        write(root / path, text)
    (root / "landing").mkdir()
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def deliver(root: Path, day: str, amount: int = 10) -> None:
    """A delivery that was written a minute ago."""
    path = root / "landing" / f"orders_{day}.csv"
    path.with_suffix(".tmp").write_text(f"day,amount\n{day},{amount}\n", encoding="utf-8")
    os.utime(path.with_suffix(".tmp"), (time.time() - 60,) * 2)
    path.with_suffix(".tmp").rename(path)


def headrace(root: Path, *arguments: str, code: int = 0) -> str:
    """A command beside the server, in this process; its standard output."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        result = run([*arguments, "--project", str(root)])
    assert result == code, (result, out.getvalue(), errors.getvalue())
    return out.getvalue()


def response(root: Path, *arguments: str) -> Any:
    return json.loads(headrace(root, *arguments, "--json"))


def _environment(more: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return kept | {"NO_COLOR": "1", "TERM": "dumb", "PYTHONFAULTHANDLER": "1"} | more


class Server:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[str], told: Any, errors: Path) -> None:
        self.process, self._errors = process, errors
        self.pid, self.port = told["pid"], told["port"]
        self.token = parse_qs(urlsplit(told["url"]).query)["token"][0]

    @property
    def said(self) -> str:
        """What it has printed for whoever watches it."""
        return self._errors.read_text(encoding="utf-8")

    def get(self, path: str) -> Answer:
        return ask(self.port, path, Authorization=f"Bearer {self.token}")

    def ran(self, node: str) -> list[Any]:
        """The attempts at a node that have ended, newest run first."""
        return [
            row
            for row in self.get("/api/v1/runs").json
            if row["node"] == node and row["run_finished_at"]
        ]

    def begin(self) -> None:
        """Wait until it leads. Where it ends instead, this says how, and what it printed."""
        try:
            until(self.leads)
        except OSError as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            raise AssertionError(
                f"no answer; it ended with {self.process.poll()} and said: {self.said}"
            ) from error

    def leads(self) -> bool:
        return bool(ask(self.port, "/readyz").json["role"] == "leader")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


@contextmanager
def serving(
    root: Path, *arguments: str, command: str = "serve", leads: bool = True, **environment: str
) -> Iterator[Server]:
    """A server on a free port; it is killed at the end, if it still runs."""
    errors = root.parent / f"{root.name}.{time.monotonic_ns()}.err"
    with errors.open("w") as stream:
        process = subprocess.Popen(
            [HEADRACE, command, "--port", "0", "--json", *arguments],
            cwd=root,
            env=_environment(environment),
            text=True,
            stdout=subprocess.PIPE,
            stderr=stream,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, errors.read_text(encoding="utf-8")
        server = Server(process, json.loads(line), errors)
        if leads:
            server.begin()
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
