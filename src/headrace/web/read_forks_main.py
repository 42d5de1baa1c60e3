"""The process that `serve` starts for reads: it forks one process for each of them.

`python -m headrace.web.read_forks_main CONTROL` gets a socket, and a ReadServerSettings as JSON on
standard input.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
from pathlib import Path

import duckdb
import msgspec

from headrace.lake.session import open_spare
from headrace.model import HeadraceError
from headrace.project.session import ProjectSession
from headrace.web.read_forks import Forks
from headrace.web.read_process import DataFileRequest, hand_out
from headrace.web.tool_process import ToolRequest, run_tool

IMPORTED = (
    "pyarrow",
    "headrace.compiler.lineage",
    "headrace.engine.macros",
    "headrace.lake.reading",
    "headrace.lake.row_pages",
    "headrace.services.sql",
)
"""Modules that reads import on first use."""


class ReadServerSettings(msgspec.Struct, frozen=True):
    """The project whose applied version the forks share."""

    root: str
    env: str


def main() -> None:
    """Serve until the control socket is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=ReadServerSettings)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in IMPORTED:
        importlib.import_module(module)
    # Its import opened a database with threads, and a fork of a process with threads isn't safe.
    duckdb.default_connection().close()
    open_spare()

    def reload() -> None:
        with contextlib.suppress(HeadraceError):  # each read says itself what can't be read
            if ProjectSession.load(Path(settings.root), settings.env):
                gc.collect()
                gc.freeze()  # a collection in a fork would copy all that the forks share

    reload()
    Forks(control, _handle, reload).run()


def _handle(request: bytes, descriptor: int) -> int:
    """Answer a request in a fork."""
    question = msgspec.json.decode(request, type=DataFileRequest | ToolRequest)
    with os.fdopen(descriptor, "wb") as out:
        if isinstance(question, ToolRequest):
            run_tool(question, out)
        else:
            hand_out(question, out)
    return 0


if __name__ == "__main__":
    main()
