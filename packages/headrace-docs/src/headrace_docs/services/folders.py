"""Folders that a command of `headrace docs` alone has: each is replaced as a whole."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from headrace.extension import HeadraceError, ProjectSession, UsageError
from headrace_docs.site.frame import DATED

MARK = "headrace-docs.txt"
"""A file of each such folder, which says what may replace it."""
_AT_CWD, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of renameat2(2)."""
FIRST_PAGE = "index.html"
"""The page that has the time of the newest site."""
_DATE = re.compile(rf'<p class="{DATED}">.*?</p>'.encode())


class WrittenFiles(NamedTuple):
    """The files by path with their sizes in bytes, and how many differ from what was there."""

    sizes: dict[str, int]
    changed: int
    removed: int


def write_folder(
    session: ProjectSession, folder: Path, command: str, files: Iterable[tuple[str, str | bytes]]
) -> WrittenFiles:
    """Write files, by path, in place of what the same command wrote.

    Readers see the old folder or the new one; files that are equal in both stay the same files.
    Raise UsageError for a folder that is something else, HeadraceError if it can't be written.
    """
    target = Path(os.path.realpath(folder))
    if target == session.root or target in session.root.parents:
        raise UsageError(
            f"{folder} is a folder around the project", hint="name a folder that it alone has"
        )
    mark = f"`headrace {command}` replaces this folder.\n"
    _require_replaceable(target, mark)
    beside = target.with_name(f".{target.name}.headrace-docs")
    try:
        _remove(beside)
        old = _paths(target)
        sizes, changed = write_files(beside, files, target)
        (beside / MARK).write_text(mark, encoding="utf-8")
        _replace(target, beside)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise HeadraceError(
            f"{error.filename or folder} can't be written: {error.strerror}",
            hint="name another folder",
        ) from error
    return WrittenFiles(sizes, changed, len(old - sizes.keys()))


def _paths(folder: Path) -> set[str]:
    """Return the files of a folder that a command wrote."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {
        MARK
    }


def _require_replaceable(target: Path, mark: str) -> None:
    if not target.exists():
        return
    try:
        if (target / MARK).read_text(encoding="utf-8") == mark:
            return
    except (OSError, UnicodeDecodeError):
        pass
    if not target.is_dir() or any(target.iterdir()):
        raise UsageError(
            f"{target} holds something else, and isn't replaced",
            hint="name another folder",
        )


def write_files(
    folder: Path, files: Iterable[tuple[str, str | bytes]], before: Path | None = None
) -> tuple[dict[str, int], int]:
    """Write files into a new folder; return their sizes in bytes, and how many are new or differ.

    Those that are equal to a file of the folder `before`, but for the time that a page says, are
    hard links to it.
    """
    sizes, changed = {}, 0
    folder.mkdir(parents=True)
    folders = {folder}
    for name, content in files:
        path = folder / name
        if path.parent not in folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            folders.add(path.parent)
        data = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
        if before is None or not _linked(before, folder, name, data):
            path.write_bytes(data)
            changed += 1
        sizes[name] = len(data)
    return sizes, changed


def undated(name: str, data: bytes) -> bytes:
    """Return a file without the time that a page says, unless it is the first page."""
    return data if name == FIRST_PAGE else _DATE.sub(b"", data)


def _linked(before: Path, folder: Path, name: str, data: bytes) -> bool:
    """Link an earlier file that says the same; return whether there is one."""
    old = before / name
    try:
        if old.is_symlink() or undated(name, old.read_bytes()) != undated(name, data):
            return False
        os.link(old, folder / name)
    except OSError:  # there is none, or the file system has no hard links
        return False
    return True


def _replace(target: Path, new: Path) -> None:
    """Put the new folder in the place of the old one."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        new.rename(target)
        return
    if _exchanged(target, new):
        _remove(new)
        return
    old = target.with_name(f".{target.name}.headrace-docs-old")
    _remove(old)
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    _remove(old)


def _exchanged(target: Path, new: Path) -> bool:
    """Exchange two folders in one step; return False where the system can't."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        return False
    names = (os.fsencode(target), os.fsencode(new))
    return bool(rename(_AT_CWD, names[0], _AT_CWD, names[1], _EXCHANGE) == 0)


def _remove(folder: Path) -> None:
    """Remove what an earlier build left behind."""
    if folder.is_symlink() or folder.is_file():
        raise OSError(17, "it is no folder", str(folder))
    if folder.exists():
        shutil.rmtree(folder)
