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
from headrace.web.read_process import AfterHead, DataFileRequest, hand_out, head_of
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
    """Answer a request in a fork: the head as one line of JSON, and the rows or the response.

    An error before the first row becomes a head with a problem; later errors are raised.
    """
    question = msgspec.json.decode(request, type=DataFileRequest | ToolRequest)
    with os.fdopen(descriptor, "wb") as out:
        answer = AfterHead(out)
        try:
            _answer(question, answer)
            answer.begin()
        except BrokenPipeError:  # the client has left
            raise
        except Exception as error:
            if answer.begun:
                raise
            out.write(msgspec.json.encode(head_of(error)) + b"\n")
    return 0


def _answer(question: DataFileRequest | ToolRequest, answer: AfterHead) -> None:
    root, actor = Path(question.root), question.actor
    session = ProjectSession.open(root, question.env, None, actor, identity=question.identity)
    with contextlib.closing(session):
        if isinstance(question, ToolRequest):
            run_tool(session, question, answer)
        else:
            hand_out(session, question, answer)


if __name__ == "__main__":
    main()
