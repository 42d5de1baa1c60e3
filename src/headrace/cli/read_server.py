"""The process that `serve` starts for reads: it forks one process for each of them.

`python -m headrace.cli.read_server CONTROL LISTENER` gets two sockets, the second -1 if there is
none, and a ReadServerSettings as JSON on standard input. Its forks read rows for HTTP clients, and
run `headrace read` and `headrace sql` for terminals (`cli.forwarding`).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

import duckdb
import msgspec

from headrace.cli.forwarding import DECLINED, installation
from headrace.cli.main import run
from headrace.lake.session import open_spare
from headrace.model import HeadraceError
from headrace.services.read_forks import Forks
from headrace.services.read_process import DataFileRequest, hand_out
from headrace.services.session import ProjectSession
from headrace.services.tool_process import ToolRequest, run_tool

IMPORTED = (
    "pyarrow",
    "headrace.cli.commands.read",
    "headrace.cli.parser",
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
    listener = socket.socket(fileno=int(sys.argv[2])) if sys.argv[2] != "-1" else None
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
    Forks(control, listener, _handle, reload).run()


class CommandRequest(msgspec.Struct, frozen=True, tag="command"):
    """A command line with its surroundings, as `cli.forwarding` sends it."""

    installation: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    umask: int
    encoding: str


def _handle(request: bytes, descriptors: list[int]) -> int:
    """Answer a request in a fork."""
    question = msgspec.json.decode(request, type=DataFileRequest | ToolRequest | CommandRequest)
    if isinstance(question, CommandRequest):
        return _run_command(question, descriptors)
    (descriptor,) = descriptors
    with os.fdopen(descriptor, "wb") as out:
        if isinstance(question, ToolRequest):
            run_tool(question, out)
        else:
            hand_out(question, out)
    return 0


def _run_command(command: CommandRequest, descriptors: list[int]) -> int:
    """Run a command as its client would; return its exit code."""
    if command.installation != installation():
        return DECLINED
    try:
        os.chdir(command.folder)
    except OSError:
        return DECLINED
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(command.environment)
    time.tzset()
    os.umask(command.umask)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = open(0, encoding=command.encoding, closefd=False)  # noqa: SIM115
    sys.stdout = open(  # noqa: SIM115
        1, "w", encoding=command.encoding, closefd=False, buffering=1 if os.isatty(1) else -1
    )
    sys.stderr = open(  # noqa: SIM115
        2, "w", encoding=command.encoding, errors="backslashreplace", closefd=False, buffering=1
    )
    return run(command.arguments)


if __name__ == "__main__":
    main()
