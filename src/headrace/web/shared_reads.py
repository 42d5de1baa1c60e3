"""Equal reads of many requests: one runs for all that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from headrace.model import HeadraceError

T = TypeVar("T")


class SharedReads:
    """Runs equal reads one after the other, each for all requests that came before it began.

    A change wakes all open pages at the same time, and each asks the same. A request never gets a
    read that began before the request came, so each response includes everything that was stored
    by then. All calls come from one event loop.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[Any]] = {}
        self._next: dict[Hashable, asyncio.Task[Any]] = {}

    async def result(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """Return the result of the next read with this key.

        Reads with the same key must be interchangeable. A request that is given up doesn't end the
        read of the others. After an error each request reads by itself, because refusals are
        recorded for each.
        """
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.get_running_loop().create_task(self._run(key, read))
            first: T = await asyncio.shield(task)
            return first
        try:
            result: T = await asyncio.shield(task)
        except HeadraceError:
            return await read()
        return result

    async def _run(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        running = self._running.get(key)
        if running is not None:
            await asyncio.wait([running])
        self._running[key] = self._next.pop(key)
        try:
            return await read()
        finally:
            del self._running[key]
