"""A door in this process, over a project that nobody leads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from serve_lab import Answer, ask

from headrace.runtime.runs import LeaderCounters
from headrace.security.sessions import SESSIONS_FILE, Sessions
from headrace.web import HttpServer, listen
from headrace.web.access import Guard, token_of
from headrace.web.app import app
from headrace.web.project_reader import ProjectReader
from headrace.web.read_server import ReadServer


class Stands:
    """A server that leads nothing."""

    role = "standby"
    figures: LeaderCounters | None = None


class Opened(NamedTuple):
    port: int
    token: str
    root: Path
    reads: ReadServer

    def get(self, path: str, **headers: str) -> Answer:
        return ask(self.port, path, Authorization=f"Bearer {self.token}", **headers)


@contextmanager
def opened(root: Path) -> Iterator[Opened]:
    """Open while the block lasts."""
    token = token_of(root / ".headrace")
    sessions = Sessions(root / ".headrace" / SESSIONS_FILE)
    with (
        closing(ReadServer(str(root), "prod")) as reads,
        HttpServer(
            app(
                ProjectReader(root, "prod"),
                Guard(token, "127.0.0.1", sessions=sessions),
                Stands(),
                reads,
            ),
            listen("127.0.0.1", 0),
        ) as door,
    ):
        yield Opened(door.port, token, root, reads)
