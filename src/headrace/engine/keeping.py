"""What a body changes of its process is put back: the next body in this warm worker is somebody else's."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM)
"""Those that Python's programs handle. SIGCHLD decides whether the end of a command can be seen at all."""


@contextlib.contextmanager
def process_kept() -> Iterator[None]:
    """Afterwards the working directory, environment and signal handlers are as before.

    For the main thread, where alone signal handlers can be set. What a body changed in modules stays changed."""
    environment, folder = dict(os.environ), os.open(".", os.O_RDONLY)
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        _put_back(environment)
        os.fchdir(folder)
        os.close(folder)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


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


def _put_back(environment: dict[str, str]) -> None:
    if dict(os.environ) != environment:
        os.environ.clear()
        os.environ.update(environment)
