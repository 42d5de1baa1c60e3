"""Modules of Python and of packages: imported once by the process that forks for attempts."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

from headrace.runtime.fork_messages import MODULE, MODULES_MAX


def import_all(names: Sequence[str]) -> None:
    """Import installed modules, each of which the next forks then have.

    The names come from asset code, so only modules of Python and of installed packages count.
    """
    for name in names:
        if name not in sys.modules and _is_installed(name.partition(".")[0]):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def installed_among(names: Iterable[str]) -> tuple[str, ...]:
    """Return those of the loaded modules that come from installed packages, at most a number."""
    return tuple(name for name in names if MODULE.fullmatch(name) and _comes_installed(name))[
        :MODULES_MAX
    ]


@functools.lru_cache(maxsize=1_000)
def _is_installed(top: str) -> bool:
    with contextlib.suppress(Exception):
        spec = importlib.util.find_spec(top)
        return spec is not None and _is_below_installed(spec.origin or "")
    return False


def _comes_installed(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(file, str) and _is_below_installed(file)


def _is_below_installed(path: str) -> bool:
    return any(path.startswith(f"{folder}{os.sep}") for folder in _installed_folders())


@functools.lru_cache(maxsize=1)
def _installed_folders() -> list[str]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_path(name) for name in names]
    return [*folders, *map(os.path.realpath, folders), str(Path(__file__).parents[2])]
