"""Paths of files of a project, as another file names them."""

from __future__ import annotations

from pathlib import PurePosixPath

from headrace.model import HeadraceError


def safe_path(name: str) -> str:
    """Return the path if it stays in a project's folder. Raise HeadraceError otherwise."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise HeadraceError(f"the file {name[:200]!r} isn't in a project")
    return name
