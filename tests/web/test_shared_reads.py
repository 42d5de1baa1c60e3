"""Equal reads of many requests: one runs for all, and nobody gets an older state than they asked
for."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from door_lab import Opened, opened
from serve_lab import headrace, project
from test_events import listening

from headrace.model import Refused
from headrace.web import endpoints, project_reader, sign_in
from headrace.web.shared_reads import SharedReads

NOW = "2025-03-04T08:00"


class Counted:
    """A read that takes as long as `open` is unset; each returns its number."""

    def __init__(self) -> None:
        self.begun, self.open = 0, asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return number


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_requests_share_a_read_that_begins_after_they_came() -> None:
    """Would catch: 50 reads for 50 pages, and a page that gets a state from before its request."""

    async def run() -> None:
        shared, read = SharedReads(), Counted()
        first = asyncio.ensure_future(shared.result("a", read))
        await _settle()
        later = [asyncio.ensure_future(shared.result("a", read)) for _ in range(50)]
        other = asyncio.ensure_future(shared.result("b", read))
        await _settle()
        assert read.begun == 2  # the first and the other
        read.open.set()
        assert await first == 1
        assert await other == 2
        assert await asyncio.gather(*later) == [3] * 50
        assert await shared.result("a", read) == 4

    asyncio.run(run())


def test_a_request_that_is_given_up_doesnt_end_the_read_of_others() -> None:
    """Would catch: a closed tab that breaks the page of another one."""

    async def run() -> None:
        shared, read = SharedReads(), Counted()
        requests = [asyncio.ensure_future(shared.result("a", read)) for _ in range(3)]
        await _settle()
        requests[0].cancel()
        await _settle()
        read.open.set()
        assert await asyncio.gather(*requests[1:]) == [1, 1]

    asyncio.run(run())


def test_after_an_error_each_request_reads_by_itself() -> None:
    """Would catch: refused requests that the audit trail counts as one."""

    async def run() -> None:
        shared, read = SharedReads(), Counted()
        read.error = Refused("not now")
        requests = [asyncio.ensure_future(shared.result("a", read)) for _ in range(3)]
        await _settle()
        assert read.begun == 1
        read.open.set()
        results = await asyncio.gather(*requests, return_exceptions=True)
        assert [str(result) for result in results] == ["not now"] * 3
        assert read.begun == 3

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "module", "name"),
    [("paused", endpoints, "_read_response"), ("session", sign_in, "refused_in_project")],
)
def test_pages_that_ask_the_same_at_once_share_a_response(
    door: Opened, monkeypatch: pytest.MonkeyPatch, path: str, module: Any, name: str
) -> None:
    """Would catch: a response that is computed for each open browser."""
    headrace(door.root, "tick", "--now", NOW)
    door.get(f"/api/v1/{path}")
    begun, free, calls = threading.Event(), threading.Event(), []
    real = getattr(module, name)

    def read(*arguments: Any) -> Any:
        calls.append(1)
        begun.set()
        assert free.wait(30)
        return real(*arguments)

    monkeypatch.setattr(module, name, read)
    with ThreadPoolExecutor(20) as threads:
        first = threads.submit(door.get, f"/api/v1/{path}")
        assert begun.wait(30)
        others = [threads.submit(door.get, f"/api/v1/{path}") for _ in range(15)]
        threading.Timer(0.3, free.set).start()
        bodies = {item.result().body for item in (first, *others)}
    assert len(bodies) == 1
    assert len(calls) <= 3  # without sharing 16; one more if a request came late


def test_listeners_share_the_reads_of_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a query for each open browser after each change."""
    root = project(tmp_path / "shop")
    headrace(root, "tick", "--now", NOW)
    calls = []
    real = project_reader.changes_since

    def read(*arguments: Any) -> Any:
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(project_reader, "changes_since", read)
    with opened(root) as door, ExitStack() as stack:
        streams = [stack.enter_context(listening(door)) for _ in range(20)]  # type: ignore[arg-type]
        for stream in streams:
            stream.next()
        calls.clear()
        headrace(root, "pause", "revenue", "--reason", "later")
        assert all(stream.until("audit") for stream in streams)
    assert len(calls) <= 8  # at most two a commit; without sharing 20 or more
