"""A door in this process, over a project that nothing has run in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from door_lab import Opened, opened
from serve_lab import project, write

HOSTILE = "<script>alert(1)</script>\\\"&'"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Open while the module's tests run."""
    root = project(tmp_path_factory.mktemp("door") / "shop")
    settings = (root / "headrace.toml").read_text()
    write(root / "headrace.toml", settings.replace('"shop"', f"'''{HOSTILE}'''"))
    write(
        root / "assets/hooked.py",
        "from headrace import asset\n\n@asset(owner='core', trigger='webhook')\ndef hooked(ctx):\n "
        "   return []\n",
    )
    with opened(root) as result:
        yield result
