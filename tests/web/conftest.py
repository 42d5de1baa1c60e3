"""A door in this process, over a project that nothing has run in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from serve_lab import Answer, ask, project, write

from headrace.run.figures import Figures
from headrace.web import Door, listen
from headrace.web.access import Guard, token_of
from headrace.web.app import app
from headrace.web.reading import Reader
from headrace.web.ui import Bundle

HOSTILE = "<script>alert(1)</script>\\\"&'"


class Stands:
    """A server that leads nothing."""

    role = "standby"
    figures: Figures | None = None


class Opened(NamedTuple):
    port: int
    token: str
    root: Path

    def get(self, path: str, **headers: str) -> Answer:
        return ask(self.port, path, Authorization=f"Bearer {self.token}", **headers)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Open while the module's tests run."""
    root = project(tmp_path_factory.mktemp("door") / "shop")
    settings = (root / "headrace.toml").read_text()
    write(root / "headrace.toml", settings.replace('"shop"', f"'''{HOSTILE}'''"))
    write(
        root / "assets/hooked.py",
        "from headrace import asset\n\n@asset(owner='core', trigger='webhook')\ndef hooked(ctx):\n    return []\n",
    )
    token = token_of(root / ".headrace")
    listening = listen("127.0.0.1", 0)
    not_built = Bundle(root / "landing")
    with Door(app(Reader(root, "prod"), Guard(token, "127.0.0.1"), Stands(), not_built), listening) as opened:
        yield Opened(opened.port, token, root)
