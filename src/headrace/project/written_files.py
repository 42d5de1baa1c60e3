"""Files written below a folder: paths that stay in it, each written as a whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from headrace.model import HeadraceError
from headrace.project.project_paths import safe_path

_PREFIX, _SUFFIX = ".headrace-import-", ".tmp"


def write_files(directory: Path, texts: Mapping[str, str | None], hint: str) -> None:
    """Write files below the directory, and remove those without a text.

    Each file is written as a whole or not at all, in the order of `texts`. Raise HeadraceError with
    the hint if one can't be written. No path may leave the directory, by a link neither; none is
    written if one does.
    """
    root = directory.resolve()
    targets = {directory / safe_path(name): text for name, text in texts.items()}
    for target in targets:
        if not Path(os.path.realpath(target)).is_relative_to(root):
            raise HeadraceError(f"{target} is a link that leads out of {directory}")
    try:
        for target, text in targets.items():
            if text is None:
                target.unlink(missing_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                _replace(Path(os.path.realpath(target)), text.encode("utf-8", "replace"), directory)
    except OSError as error:
        raise HeadraceError(
            f"{error.filename or directory} can't be written: {error.strerror}", hint=hint
        ) from error


def leftovers(directory: Path) -> Iterator[Path]:
    """Yield files that a killed command left behind, which nothing refers to."""
    yield from directory.glob(f"{_PREFIX}*{_SUFFIX}")


def _replace(target: Path, data: bytes, directory: Path) -> None:
    """Give a file its new bytes by renaming: a killed process leaves the old or the new file."""
    with _temporary(directory) as path:
        with path.open("xb") as file:
            file.write(data)
        if target.is_file():
            path.chmod(stat.S_IMODE(target.stat().st_mode))
        path.replace(target)


@contextmanager
def _temporary(directory: Path) -> Iterator[Path]:
    path = directory / f"{_PREFIX}{os.getpid()}-{threading.get_ident()}{_SUFFIX}"
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
