"""The thread of a worker that runs queries: restricted once, for as long as the worker lives.

Landlock's rules belong to a thread and to the threads that it starts, so DuckDB's threads have them
as well if this one opens the database (docs/decisions/0147-restricted-code.md).
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from headrace.engine import landlock
from headrace.engine.call_filter import read_keyring
from headrace.engine.landlock import Access
from headrace.engine.processes import open_records
from headrace.engine.sandbox import CGROUP, Protections, access_of_queries

MPTCP = 262
"""`IPPROTO_MPTCP`, which Python 3.11 doesn't name."""
Result = TypeVar("Result")


class QueryThread:
    """A thread that may reach no more than `access`, and runs one call at a time for its owner.

    Raises OSError if the thread can't be restricted.
    """

    def __init__(self, access: Access) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        # a rule for a file of /proc holds while something has the file open
        self._cgroup = os.open(CGROUP, os.O_PATH | os.O_CLOEXEC)
        self._rules = landlock.ruleset(access)
        self._thread = threading.Thread(
            target=self._serve,
            args=(access.ports,),
            name="headrace-queries",
            daemon=True,
        )
        self._thread.start()
        error = self._done.get()
        os.close(self._rules)
        if error is not None:
            raise error

    def run(self, call: Callable[[], Result]) -> Result:
        """Return what `call` returns in the thread. Raises its exceptions."""
        if threading.current_thread() is self._thread:
            return call()
        results: list[Result] = []
        self._calls.put(lambda: results.append(call()))
        error = self._done.get()
        if error is not None:
            raise error
        return results[0]

    def end(self) -> None:
        """End the thread; it runs nothing any more."""
        self._calls.put(None)
        self._thread.join()
        os.close(self._cgroup)

    def _serve(self, ports: tuple[int, ...] | None) -> None:
        try:
            open_records()  # files of /proc, which is out of reach afterwards
            landlock.restrict(self._rules, ports=ports)
        except BaseException as error:  # noqa: BLE001 - raised again by the owner
            self._done.put(error)
            return
        self._done.put(None)
        while (call := self._calls.get()) is not None:
            self._done.put(_error_of(call))


def query_protections(folder: Path) -> Protections:
    """Return which protections hold for queries, tested in a restricted thread.

    It tries what a query may not do to a file in `folder`, to a port, and to the parent process.
    """
    victim = folder / "probe"
    victim.write_text("readable")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        thread = QueryThread(access_of_queries(read=(), write=()))
        try:
            return Protections(
                reading=thread.run(lambda: _is_refused(victim.read_text)),
                writing=thread.run(lambda: _is_refused(lambda: os.truncate(victim, 0))),
                ports=thread.run(lambda: _is_refused(lambda: _connect(address))),
                signals=thread.run(lambda: _is_refused(lambda: os.kill(os.getppid(), 0))),
                keyring=thread.run(lambda: _is_refused(read_keyring)),
            )
        finally:
            thread.end()


def _connect(address: tuple[str, int]) -> None:
    """Connect to an address, in ways that rules for ports may not cover first. Raises OSError."""
    with suppress(OSError), socket.socket() as client:
        client.sendto(b"x", socket.MSG_FASTOPEN, address)
        return
    with suppress(OSError), socket.socket(proto=MPTCP) as client:
        client.connect(address)
        return
    socket.create_connection(address).close()


def _is_refused(act: Callable[[], object]) -> bool:
    try:
        act()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _error_of(call: Callable[[], None]) -> BaseException | None:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - raised again in the owner's thread
        return error
    return None
