"""Runs `headrace read` and `headrace sql` in a fork of the project's server, where one runs.

The fork has imported everything that the command needs, which is most of its time. It gets the
command line, the folder, the environment and the three standard streams, and runs the same code.
Without a server, or with one of another installation, the command runs in its own process.

This module imports little, because each command beside a server waits for it: paths are text, and
settings are parsed only if they may name the lake's folder.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from os.path import dirname, isfile, join

from headrace import __version__
from headrace.cli.command_table import (
    COMPLETE,
    FORWARDED,
    INTERRUPTED,
    Options,
    ValueMissing,
    split_options,
)
from headrace.services.read_connection import CODE, GONE, LOST, code_of, connected, send

DECLINED = 99
"""The exit code of a fork that didn't run the command: another installation, or another folder."""
_OWN_PROCESS = ("HEADRACE_FAULT", COMPLETE)
"""Prefixes of variables that are about the process which the user starts."""
_PRODUCTION = "prod"
SETTINGS_FILE = "headrace.toml"


def installation() -> str:
    """Return what client and server must have in common: program, version and file systems."""
    try:
        file_systems = os.readlink("/proc/self/ns/mnt")
    except OSError:
        file_systems = ""
    return f"{__version__} {dirname(__file__)} {file_systems}"


def forwarded(arguments: Sequence[str]) -> int | None:
    """Run a command in the project's server; return its exit code, or None if none runs it."""
    try:
        options, rest = split_options(arguments)
    except ValueMissing:
        return None
    if not rest or rest[0] not in FORWARDED:
        return None
    if any(name.startswith(_OWN_PROCESS) for name in os.environ):
        return None
    folder = data_folder(rest, options)
    return None if folder is None else _run_in_server(folder, arguments)


def data_folder(rest: Sequence[str], options: Options) -> str | None:
    """Return the data folder of a command's project and environment; None if there is none.

    `rest` are the words after the common `options`, which it may have as well.
    """
    return _data_folder(_given(rest, "--project") or options.project, _environment(rest, options))


def _environment(rest: Sequence[str], options: Options) -> str:
    return _given(rest, "--env") or options.env or os.environ.get("HEADRACE_ENV") or _PRODUCTION


def _given(words: Sequence[str], option: str) -> str | None:
    """Return an option's value among a command's words.

    A wrong guess does no harm: any server of the installation runs the command as it was typed.
    """
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == option:
            return value if equals else words[number + 1] if number + 1 < len(words) else None
    return None


def _data_folder(project: str | None, environment: str) -> str | None:
    """Return the data folder as the settings declare it; None if there is no such project."""
    try:
        root = _root(join(os.getcwd(), project or ""))
        if root is None:
            return None
        with open(f"{root}/{SETTINGS_FILE}", "rb") as file:
            settings = file.read()
        if environment == _PRODUCTION and b"lake" not in settings and b"\\" not in settings:
            return f"{root}/.headrace"  # no key can be `lake`, not even an escaped one
        return _declared_data_folder(root, settings, environment)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None  # the command itself says what is wrong


def _root(start: str) -> str | None:
    """Return the nearest folder with settings, from `start` upwards."""
    folder = start
    while not isfile(f"{folder}/{SETTINGS_FILE}"):
        parent = dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return folder.rstrip("/")


def _declared_data_folder(root: str, text: bytes, environment: str) -> str:
    import tomllib
    from pathlib import Path

    settings = tomllib.loads(text.decode("utf-8"))
    default = ".headrace/lake"
    if environment != _PRODUCTION:
        settings = settings["environments"][environment]
        default = f".headrace/{environment}/lake"
    return str(Path(root or "/", settings.get("lake", {}).get("path", default)).parent)


def _run_in_server(folder: str, arguments: Sequence[str]) -> int | None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        connection = connected(folder)
        if connection is None:
            signal.signal(signal.SIGTERM, before)
            return None
        with connection:
            send(connection, _request(arguments), [0, 1, 2])
            code = code_of(connection.recv(CODE.size))
    except KeyboardInterrupt:  # the fork ends with the connection
        sys.stderr.write(
            "interrupted; what was published stays, the rest is done by the next run\n"
        )
        return INTERRUPTED
    except (OSError, UnicodeEncodeError):
        return None  # the request didn't arrive
    if code in (LOST, GONE):
        sys.stderr.write("error: the process that read was killed\n  hint: --limit N reads less\n")
        return 1
    return None if code == DECLINED else code


def _request(arguments: Sequence[str]) -> bytes:
    """Return the command with its surroundings (`cli.read_server.CommandRequest`)."""
    request = {
        "type": "command",
        "installation": installation(),
        "arguments": list(arguments),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": _umask(),
        "encoding": sys.stdout.encoding,
    }
    return json.dumps(request).encode()


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
