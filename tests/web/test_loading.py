"""What a server loads before it can answer: once, and nobody who doesn't need it waits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from door_lab import opened
from serve_lab import headrace, project

from headrace.project.session import ProjectSession
from headrace.web import project_reader
from headrace.web.project_reader import ProjectReader


def test_a_project_is_loaded_once_however_many_ask_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: ten browsers that come back after a deployment and wait ten times as long, for
    each reads all that is applied."""
    root = project(tmp_path / "shop")
    headrace(root, "tick", "--now", "2025-03-04T08:00")
    loads = []

    def counted(session: ProjectSession) -> None:
        loads.append(session)
        assert session.compiled is not None

    monkeypatch.setattr(project_reader, "load", counted)
    reader = ProjectReader(root, "prod")

    async def ask() -> list[int | None]:
        return await asyncio.gather(
            *(reader.response(lambda session: session.version, None) for _ in range(8))
        )

    assert asyncio.run(ask()) == [1] * 8 and len(loads) == 1


def test_probes_dont_wait_for_what_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a large project whose server is killed as dead, and started again, while it
    loads.
    """
    root, loaded = project(tmp_path / "shop"), threading.Event()
    headrace(root, "tick", "--now", "2025-03-04T08:00")
    monkeypatch.setattr(project_reader, "load", lambda _: loaded.wait(20))
    with opened(root) as door:
        first = threading.Thread(target=door.get, args=("/api/v1/status",))
        first.start()
        assert door.get("/readyz").json["store"] == "reachable"
        assert first.is_alive()
        loaded.set()
        first.join(20)
        assert not first.is_alive()


def test_collections_skip_what_a_server_has_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a large project whose answers take 100 ms longer now and then, since all of it
    is searched for garbage; that again after an apply."""
    root, times = project(tmp_path / "shop"), []
    headrace(root, "tick", "--now", "2025-03-04T08:00")
    monkeypatch.setattr(project_reader, "leave_out_of_collections", lambda: times.append(1))
    reader = ProjectReader(root, "prod")
    reader.begin()
    [loading] = [thread for thread in threading.enumerate() if thread.name == "headrace loading"]
    loading.join(20)

    def times_after_a_request() -> int:
        asyncio.run(reader.response(lambda session: session.compiled, None))
        return len(times)

    assert times_after_a_request() == 1
    assert times_after_a_request() == 1
    with (root / "owners.yaml").open("a") as owners:
        owners.write("another: {kind: team, contact: ['mailto:another@example.com']}\n")
    former = reader.session()
    assert former.compiled is not None  # of a request that began before the apply
    headrace(root, "apply", "--yes")
    assert times_after_a_request() == 2
    reader._remember(former)
    assert times_after_a_request() == 2


def test_what_is_left_out_of_collections_is_still_collected_before() -> None:
    """Would catch: garbage of each version that a server has applied, kept until it ends."""
    script = (
        "import gc, weakref\n"
        "from headrace.project.caches import leave_out_of_collections\n"
        "class Circle: pass\n"
        "circle = Circle(); circle.self = circle; seen = weakref.ref(circle)\n"
        "leave_out_of_collections(); frozen = gc.get_freeze_count(); del circle\n"
        "gc.collect(); assert seen() is not None\n"
        "leave_out_of_collections(); assert seen() is None and frozen > 0\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
