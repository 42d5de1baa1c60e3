"""What a body changes of its process is put back: the next body in this warm worker is somebody else's."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM)
"""Those that Python's programs handle. SIGCHLD decides whether the end of a command can be seen at all."""
_getsignal = getattr(signal, "_signal", signal).getsignal
"""Without the search for an enumeration's member, which takes longer than all else here."""


@contextlib.contextmanager
def process_kept() -> Iterator[None]:
    """Afterwards the working directory, environment and signal handlers are as before.

    For the main thread, where alone signal handlers can be set. What a body changed in modules stays changed."""
    environment, folder = _environment().copy(), os.open(".", os.O_RDONLY)
    handlers = _handlers()
    try:
        yield
    finally:
        if _environment() != environment:
            os.environ.clear()
            os.environb.update(environment)
        os.fchdir(folder)
        os.close(folder)
        if _handlers() != handlers:
            _put_back(handlers)


@contextlib.contextmanager
def limits_kept() -> Iterator[None]:
    """Afterwards the recursion limit and the file mask are as before. Around each call into user code: what we do right after
    it needs both."""
    limit, mask = sys.getrecursionlimit(), os.umask(0o077)
    os.umask(mask)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
        os.umask(mask)


def _environment() -> dict[bytes, bytes]:
    """What lies under `os.environ`, as bytes: comparing that takes a hundredth of the time, and it is done for each attempt."""
    return os.environ._data  # type: ignore[attr-defined, no-any-return]


def _handlers() -> list[Any]:
    return [_getsignal(number) for number in _SIGNALS]


def _put_back(handlers: list[Any]) -> None:
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        if handler is not None:  # None: it wasn't set from Python
            signal.signal(number, handler)
