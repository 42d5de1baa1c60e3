"""Starts the process that forks workers before a command imports what it needs itself.

Both take a quarter of a second of a processor, so they are done at the same time. A wrong guess
only costs that: a fork server that no leader takes is ended with the command.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headrace.cli.command_table import Options
from headrace.cli.data_folder import data_folder
from headrace.runtime import fork_server_start

_NOTHING_STARTS = ("--help", "-h", "--dry-run")
_ASKING, _AGREED = frozenset({"backfill"}), "--yes"
"""Commands that ask before they start anything, and the option with which they don't."""


@contextmanager
def starting_ahead(name: str, arguments: Sequence[str], options: Options) -> Iterator[None]:
    """Start a fork server for the command if it will probably lead; end it unless it was taken."""
    if not _leads(name, arguments, options):
        yield
        return
    fork_server_start.start_ahead()
    try:
        yield
    finally:
        fork_server_start.end_unused()


def _leads(name: str, arguments: Sequence[str], options: Options) -> bool:
    if not set(_NOTHING_STARTS).isdisjoint(arguments):
        return False
    if name in _ASKING and _AGREED not in arguments:
        return False
    folder = data_folder(arguments, options)
    return folder is not None and not _is_led(Path(folder))


def _is_led(folder: Path) -> bool:
    """Whether a leader seems to listen in a data folder; it isn't woken."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
        try:
            caller.connect(os.fsencode(folder / "wake.sock"))
        except FileNotFoundError:
            return False
        except ConnectionRefusedError:  # the last one that led has ended
            return False
        except OSError:  # such as a path that is too long for an address
            return True
        return True
