"""Finds a command's data folder before the command imports what it needs.

This module imports little: paths are text, and settings are parsed only if they may name the lake's
folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from os.path import dirname, isfile, join

from headrace.cli.command_table import Options

_PRODUCTION = "prod"
SETTINGS_FILE = "headrace.toml"


def data_folder(rest: Sequence[str], options: Options) -> str | None:
    """Return the data folder of a command's project and environment; None if there is none.

    `rest` are the words after the common `options`, which it may have as well.
    """
    return _data_folder(_given(rest, "--project") or options.project, _environment(rest, options))


def _environment(rest: Sequence[str], options: Options) -> str:
    return _given(rest, "--env") or options.env or os.environ.get("HEADRACE_ENV") or _PRODUCTION


def _given(words: Sequence[str], option: str) -> str | None:
    """Return an option's value among a command's words.

    A wrong guess does no harm: it only starts a process that isn't needed (`starting_ahead`).
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
