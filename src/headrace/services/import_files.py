"""Files of an imported project: paths that stay in it, and one way to write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from headrace.model import HeadraceError


def safe_path(name: str) -> str:
    """Return a path of the new project. Raise HeadraceError for one that leaves it."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise HeadraceError(f"the import names the file {name[:200]!r}, which isn't in a project")
    return name


def write_files(directory: Path, texts: Mapping[str, str | None], hint: str) -> None:
    """Write files below the directory, and remove those without a text.

    Raise HeadraceError with the hint if one can't be written. No path may leave the directory, by
    a link neither; none is written if one does.
    """
    root = directory.resolve()
    targets = {directory / safe_path(name): text for name, text in texts.items()}
    for target in targets:
        if not target.resolve().is_relative_to(root):
            raise HeadraceError(f"{target} is a link that leads out of {directory}")
    try:
        for target, text in targets.items():
            if text is None:
                target.unlink(missing_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise HeadraceError(
            f"{error.filename or directory} can't be written: {error.strerror}", hint=hint
        ) from error
