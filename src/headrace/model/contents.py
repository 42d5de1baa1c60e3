"""The bytes of a project's files, each read once: parsing, hashing and storing see the same ones, whatever is saved meanwhile."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from functools import cached_property
from pathlib import Path

from headrace.model.errors import ProjectError
from headrace.model.files import FILE_BYTES_MAX, ProjectFile, Scan, read_ordinary, scan
from headrace.model.nodes import Value

CODE_FILE_BYTES_MAX = 16 * 1024 * 1024
"""Larger modules and scripts aren't code: modules are left out, a command's script is refused."""
SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "venv", "site-packages"})


class Content(Value):
    """What a file held when it was read. `sha256` is of `data`, in hexadecimal."""

    data: bytes
    sha256: str


def sha256_of(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()


class CodeTooLarge(OSError):
    """A file is larger than code may be."""


class ProjectFiles:
    """The files of a project as one reading sees them.

    A path is opened when it is first asked for and never again: a file that is saved, replaced or
    deleted later doesn't change what is parsed, hashed or stored. Paths are relative to the project,
    `/` between their parts.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._contents: dict[str, Content | OSError] = {}

    @cached_property
    def scan(self) -> Scan:
        """Which declaration files there are. ProjectError if the folder can't be listed."""
        return scan(self.root)

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """All Python modules of the project, also those that declare nothing, sorted."""
        results = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [folder for folder in folders if not folder.startswith(".") and folder not in SKIPPED_FOLDERS]
            paths = [Path(folder, name) for name in names if name.endswith(".py")]
            results += [path.relative_to(self.root).as_posix() for path in paths if _is_code(path)]
        return tuple(sorted(results))

    def declaration(self, file: ProjectFile) -> Content:
        """A declaration's bytes, at most one more than its kind may have. Links aren't followed. Raises OSError."""
        return self._read(file.path, FILE_BYTES_MAX[file.kind] + 1, os.O_NOFOLLOW)

    def code(self, path: str) -> Content:
        """A module's or script's bytes; links are followed. ProjectError if it can't be read, or is too large."""
        try:
            return self.read_code(path)
        except CodeTooLarge as error:
            hint = "install it as a package, or call it by a path outside of the project"
            raise ProjectError(f"{path} is {error.strerror}", hint=hint) from error
        except OSError as error:
            message = f"{path} can't be read: {error.strerror or error}"
            raise ProjectError(message, hint="restore the file, then apply again") from error

    def read_code(self, path: str) -> Content:
        """The same. Raises OSError, `CodeTooLarge` for a file that is too large."""
        content = self._read(path, CODE_FILE_BYTES_MAX + 1, 0)
        if len(content.data) > CODE_FILE_BYTES_MAX:
            raise CodeTooLarge(errno.EFBIG, f"larger than {CODE_FILE_BYTES_MAX:,} bytes, the limit of a module or script")
        return content

    def _read(self, path: str, limit: int, flags: int) -> Content:
        """At most `limit` bytes of an ordinary file, from memory where it was read before; a failure stays one, too."""
        if path not in self._contents:
            try:
                data = read_ordinary(self.root / path, limit, flags)
            except OSError as error:
                self._contents[path] = error
            else:
                self._contents[path] = Content(data=data, sha256=sha256_of(data))
        content = self._contents[path]
        if isinstance(content, OSError):
            raise content
        return content


def _is_code(path: Path) -> bool:
    """Whether it can be read as a module. What went away since the folder was listed can't."""
    try:
        seen = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(seen.st_mode) and seen.st_size <= CODE_FILE_BYTES_MAX
