"""Runs the product on a project, in this process, by a replayed clock."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from headrace.project.session import ProjectSession, Silent
from headrace.services import audit
from headrace.services.database_check import check
from headrace.services.incidents import incidents
from headrace.services.run_results import tick
from headrace.services.status import status
from lab.declarations import SERVER, TOKEN

COMMAND_SECONDS_MAX = 600


class Seen(NamedTuple):
    """What `status` said of a consumer at a moment."""

    at: datetime
    consumer: str
    state: str
    incident: str


class Server:
    """Serves the files of a folder; can be told to refuse."""

    def __init__(self, folder: Path) -> None:
        self.answer = 200
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = folder / Path(self.path).name
                code = server.answer if server.answer != 200 else 200 if path.is_file() else 404
                self.send_response(code)
                body = path.read_bytes() if code == 200 else b""
                if code == 200:
                    stamp = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                    self.send_header("Last-Modified", stamp.strftime("%a, %d %b %Y %H:%M:%S GMT"))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 - http.server names it so

            def log_message(self, *arguments: object) -> None:
                """Nothing: the lab's own output is a document."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class Driver:
    """One project, and what it says at the times it is asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server = Server(root / "served")
        os.environ.update(
            {SERVER: self.server.url, TOKEN: "lab", "LAB_MACHINE": str(root / "machine")}
        )
        self.now = datetime.min.replace(tzinfo=UTC)

    def at(self, now: datetime) -> ProjectSession:
        """A session at a time, which is moved on where work has taken the clock beyond it."""
        self.now = max(now, self.now + timedelta(seconds=1))
        return ProjectSession.open(self.root, "prod", self.now.isoformat(), "lab")

    def tick(self, now: datetime) -> Any:
        session = self.at(now)
        document = tick(session, progress=Silent())
        self.now = max(self.now, document.now.astimezone(UTC))
        session.close()
        return document

    def status(self, now: datetime) -> list[Seen]:
        session = self.at(now)
        document = msgspec.to_builtins(status(session))
        session.close()
        at = self.now.astimezone(now.tzinfo)
        return [
            Seen(at, item["name"], item["state"], str(item.get("incident") or ""))
            for item in document["consumers"]
        ]

    def incidents(self, now: datetime) -> list[dict[str, Any]]:
        """All incidents, as `incidents --all --json` gives them."""
        session = self.at(now)
        result: list[dict[str, Any]] = msgspec.to_builtins(incidents(session, every=True))
        session.close()
        return result

    def command(self, now: datetime, *arguments: str) -> Any:
        """A command as it is typed; its document. Wrong use and a change that can't be applied are
        errors of the lab's; 3 says that an approval is needed."""
        self.now = max(now, self.now + timedelta(seconds=1))
        command = [
            sys.executable,
            "-m",
            "headrace",
            *arguments,
            "--json",
            "--project",
            str(self.root),
            "--now",
            self.now.isoformat(),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False
        )
        if done.returncode not in ({0, 3} if arguments[0] == "apply" else {0, 1, 3}):
            raise RuntimeError(
                f"headrace {' '.join(arguments)}: exit {done.returncode}: {done.stderr[-1_000:]}"
            )
        return json.loads(done.stdout) if done.stdout.strip() else None

    def check(self, now: datetime) -> None:
        """AssertionError where state, catalog, files, event log or audit trail don't agree."""
        session = self.at(now)
        try:
            checked, verified = check(session, deep=True), audit.verify_trail(session, None)
        finally:
            session.close()
        assert checked.ok, f"db check: {[finding.message for finding in checked.findings]}"
        assert verified.ok, f"audit verify: {verified.reason}; {verified.missing}"

    def rows(self, sql: str, *parameters: object) -> Sequence[tuple[Any, ...]]:
        """What the store holds."""
        with sqlite3.connect(f"file:{self.root}/.headrace/state.db?mode=ro", uri=True) as db:
            return db.execute(sql, parameters).fetchall()

    def close(self) -> None:
        self.server.close()


def copied(clean: Path, to: Path) -> None:
    """The project with its history, to be spoiled."""
    if to.exists():
        shutil.rmtree(to)
    shutil.copytree(clean, to, symlinks=True)
