"""Folders that a command of `headrace docs` alone has: each is replaced as a whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from headrace.extension import HeadraceError, ProjectSession, UsageError

MARK = "headrace-docs.txt"
"""A file of each such folder, which says what may replace it."""


def write_folder(
    session: ProjectSession, folder: Path, command: str, files: Iterable[tuple[str, str | bytes]]
) -> dict[str, int]:
    """Write files, by path, in place of what the same command wrote; return their sizes.

    Readers see the old folder or the new one. Raise UsageError for a folder that is something else,
    HeadraceError if it can't be written.
    """
    target = Path(os.path.realpath(folder))
    if target == session.root or target in session.root.parents:
        raise UsageError(f"{folder} is a folder around the project", hint="--out NAME")
    mark = f"`headrace {command}` replaces this folder.\n"
    _require_replaceable(target, mark)
    beside = target.with_name(f".{target.name}.headrace-docs")
    try:
        _remove(beside)
        sizes = write_files(beside, files)
        (beside / MARK).write_text(mark, encoding="utf-8")
        _replace(target, beside)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise HeadraceError(
            f"{error.filename or folder} can't be written: {error.strerror}",
            hint="name another folder: --out DIR",
        ) from error
    return sizes


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
            hint="name another folder: --out DIR",
        )


def write_files(folder: Path, files: Iterable[tuple[str, str | bytes]]) -> dict[str, int]:
    """Write files into a new folder; return their sizes in bytes."""
    sizes = {}
    folder.mkdir(parents=True)
    folders = {folder}
    for name, content in files:
        path = folder / name
        if path.parent not in folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            folders.add(path.parent)
        data = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
        path.write_bytes(data)
        sizes[name] = len(data)
    return sizes


def _replace(target: Path, new: Path) -> None:
    """Put the new folder in the place of the old one."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        new.rename(target)
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


def _remove(folder: Path) -> None:
    """Remove what an earlier build left behind."""
    if folder.is_symlink() or folder.is_file():
        raise OSError(17, "it is no folder", str(folder))
    if folder.exists():
        shutil.rmtree(folder)
