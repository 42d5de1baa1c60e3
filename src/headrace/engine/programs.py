"""Which programs a command asset's attempt runs: what its first word resolves to, and what interprets that.

Nothing is run to find out: a file is told by its path and its hash; a Python also by its version and its packages, which lie
next to it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from headrace.model.scripts import script_of
from headrace.plan.packages import Environment, Program

HASHED_BYTES_MAX = 512 * 1024 * 1024
"""Of larger programs no hash is recorded."""
FIRST_LINE_BYTES_MAX = 4096
_PYTHON = re.compile(r"(?:python|pypy)(\d+(?:\.\d+)*)?$")
_VERSION = re.compile(r"^version(?:_info)?\s*=\s*(\S+)", re.MULTILINE)


def ran(
    command: Sequence[str],
    *,
    folder: Path,
    variables: Mapping[str, str],
    imported: Collection[str],
    named: Collection[str],
) -> Environment:
    """What a command runs with. `folder` is where it starts, `variables` what it is given; `imported` are
    top-level names that its Python scripts import, `named` distributions."""
    running = tuple(_programs(command, folder, variables.get("PATH", os.defpath)))
    script = script_of(command)
    programs = running
    if script is not None and (folder / script).is_file():
        programs += (_program(script, folder / script, folder),)
    python = next((program for program in running if program.version is not None), None)
    if python is None:
        return Environment(running[-1].path or running[-1].name, dict.fromkeys(named), programs)
    packages = _packages(python, variables, imported, named)
    return Environment(f"Python {python.version}", packages, programs)


def _programs(command: Sequence[str], folder: Path, path: str) -> Iterator[Program]:
    """The program, then what interprets it if it is a script with a first line that says so."""
    result = _resolved(command[0], folder, path)
    yield _program(command[0], result, folder)
    words = _first_line(result) if result is not None else []
    if not words:
        return
    if Path(words[0]).name == "env":
        names = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        name = names[0] if names else ""
        yield _program(name, _resolved(name, folder, path), folder)
    else:
        yield _program(words[0], _resolved(words[0], folder, path), folder)


def _resolved(name: str, folder: Path, path: str) -> Path | None:
    """As the system finds a program: by the PATH, or relative to the folder."""
    if os.sep in name:
        there = folder / name
        return there if there.is_file() else None
    result = shutil.which(name, path=path)
    return None if result is None else folder / result


def _program(name: str, path: Path | None, folder: Path) -> Program:
    if path is None:
        return Program(name, None, None, None)
    real = path.resolve()
    inside = real.is_relative_to(folder.resolve())
    text = real.relative_to(folder.resolve()).as_posix() if inside else str(real)
    return Program(name, text, _digest(real), _version(path, real), None if inside else str(path))


def _digest(path: Path) -> str | None:
    try:
        state = path.stat()
        return _hashed(path, state.st_mtime_ns, state.st_size, state.st_ino)
    except OSError:
        return None


@functools.lru_cache(maxsize=64)
def _hashed(path: Path, changed_ns: int, size: int, inode: int) -> str | None:
    """Programs are large and seldom change: a file that looks as it did isn't read again."""
    del changed_ns, inode
    if size > HASHED_BYTES_MAX:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(path: Path, real: Path) -> str | None:
    """Of a Python: as its virtual environment says, else as its name does."""
    named = _PYTHON.match(real.name) or _PYTHON.match(path.name)
    if named is None:
        return None
    with_version = _VERSION.search(_text(path.parent.parent / "pyvenv.cfg"))
    if with_version is not None:
        return with_version[1]
    if real == Path(sys.executable).resolve():
        return ".".join(map(str, sys.version_info[:3]))
    return named[1]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _first_line(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            line = file.readline(FIRST_LINE_BYTES_MAX)
    except OSError:
        return []
    return line[2:].decode("utf-8", "replace").split() if line.startswith(b"#!") else []


def _packages(python: Program, variables: Mapping[str, str], imported: Collection[str], named: Collection[str]) -> dict[str, str | None]:
    """The versions that lie in a Python's folders. Of a Python whose folders aren't known: null."""
    prefix = Path(python.found or "").parent.parent
    folders = [item for item in variables.get("PYTHONPATH", "").split(os.pathsep) if item]
    if prefix == Path(sys.prefix):
        folders += [item for item in sys.path if item]
    folders += [str(path) for path in sorted(prefix.glob("lib*/python*/*-packages"))]
    here = tuple(dict.fromkeys(folders))
    results: dict[str, str | None] = {}
    for name in imported:
        version = _installed(name, here)
        if version is not None:
            results[name] = version
    others = [name for name in imported if name not in results]
    if others:
        known = _by_import(here, tuple(_changed(Path(folder)) for folder in here))
        names = sorted({known[name] for name in others if name in known})
        results |= {name: _installed(name, here) for name in names}
    return results | {name: _installed(name, here) for name in named}


def _installed(name: str, folders: Sequence[str]) -> str | None:
    """The version of a distribution in these folders, the first that has it."""
    result = next(iter(metadata.distributions(name=name, path=list(folders))), None)
    return None if result is None else result.version


@functools.lru_cache(maxsize=16)
def _by_import(folders: tuple[str, ...], changed: tuple[int, ...]) -> Mapping[str, str]:
    """Top-level name → distribution. Reads the lists of all that is installed, anew when a folder has
    `changed`."""
    del changed
    results: dict[str, str] = {}
    for distribution in metadata.distributions(path=list(folders)):
        for file in distribution.files or ():
            top = file.parts[0].removesuffix(".py")
            if top.isidentifier():
                results.setdefault(top, distribution.metadata["Name"])
    return results


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
