"""Values that requests share are made once, however many ask for them at the same time."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

from headrace.project.caches import cached_by_version
from headrace.project.session import ProjectSession


def test_who_asks_while_a_value_is_made_waits_for_it() -> None:
    """Would catch: the first requests after a start making the same status beside each other, each
    of them slower; a value that asks for another one of its own waiting for itself."""
    memory: dict[str, Any] = {}
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def make(session: ProjectSession) -> str:
        calls.append(session)
        begun.set()
        assert go_on.wait(20)
        return cached_by_version(session, "inner", lambda: "value")

    def ask() -> str:
        session = cast("ProjectSession", SimpleNamespace(version=1, memory=memory))
        results.append(cached_by_version(session, "outer", lambda: make(session)))
        return results[-1]

    results: list[str] = []
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert results == ["value"] * 3 and len(calls) == 1
