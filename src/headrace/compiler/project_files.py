"""The files of a project: found by one scan, and their bytes, each read once.

Symbolic links to declarations aren't followed: declarations must be in the project's folder.
Hidden files and folders are skipped.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from headrace.model.access import ACCESS_FILE
from headrace.model.errors import Problem, ProblemLevel, ProjectError, Report
from headrace.model.files import (
    FILE_BYTES_MAX,
    FILES_AT_TOP,
    FILES_IN_FOLDERS,
    SETTINGS_FILE,
    Content,
    FileKind,
    ProjectFile,
    Scan,
    decode_declaration,
    file_kind,
    sha256_of,
)
from headrace.model.nodes import Place

FILES_MAX = 200_000
"""At most this number of declaration files per project."""
READ_BYTES = 64 * 1024
"""`os.read` allocates as many bytes as it may read, and most declarations are small."""
DEPTH_MAX = 32
"""At most this number of nested folders."""
_LOOKALIKES = {
    "owners.yml": "owners.yaml",
    "consumers.yml": "consumers.yaml",
    "access.yml": ACCESS_FILE,
}


def find_root(start: Path) -> Path:
    """Return the nearest folder with `headrace.toml`, from `start` upwards.

    Raises ProjectError if there is none.
    """
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / SETTINGS_FILE).is_file():
            return folder
    raise ProjectError(
        f"no {SETTINGS_FILE} in {start} or above",
        hint="`headrace init` makes a project; `--project DIR` names one",
    )


def scan(root: Path) -> Scan:
    """List a project's declaration files without reading them.

    Raises ProjectError if the folder can't be listed.
    """
    problems: list[Problem] = []
    try:
        files = sorted(_scan_into(root, problems), key=lambda file: file.path)
    except OSError as error:
        raise ProjectError(
            f"{root}: {error.strerror or error}", hint="`--project DIR` names a project's folder"
        ) from error
    if not any(file.kind is FileKind.SETTINGS for file in files):
        problems.append(
            _problem(
                "no_settings",
                SETTINGS_FILE,
                f"{SETTINGS_FILE} is missing",
                "`headrace init` writes one",
            )
        )
    if len(files) > FILES_MAX:
        problems.append(
            _problem(
                "file_not_read",
                ".",
                f"{len(files):,} declaration files are too many",
                f"at most {FILES_MAX:,}",
            )
        )
        files = files[:FILES_MAX]
    return Scan(
        files=tuple(files), problems=tuple(sorted(problems, key=lambda problem: problem.place.file))
    )


def folders(root: Path) -> list[str]:
    """Return the folders that `scan` lists, the project's first.

    While none of them changes, no declaration file is added or removed.
    """
    tops = [str(root / name) for name in FILES_IN_FOLDERS]
    return [str(root), *(folder for top in tops for folder, _, _ in os.walk(top))]


def _scan_into(root: Path, problems: list[Problem]) -> Iterator[ProjectFile]:
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name in FILES_AT_TOP:
                yield from _file(entry, entry.name, FILES_AT_TOP[entry.name], problems)
            elif entry.name in FILES_IN_FOLDERS and _is_folder(entry, entry.name, problems):
                yield from _folder(entry.path, entry.name, FILES_IN_FOLDERS[entry.name], problems)
            elif entry.name in _LOOKALIKES:
                problems.append(_not_read(entry.name, f"rename it to {_LOOKALIKES[entry.name]}"))


def _entries(folder: str, relative: str, problems: list[Problem]) -> list[os.DirEntry[str]]:
    """Return the visible entries of a folder."""
    try:
        with os.scandir(folder) as entries:
            return [item for item in entries if not item.name.startswith((".", "__pycache__"))]
    except OSError as error:
        problems.append(_unreadable_folder(relative, error))
        return []


def _unreadable_folder(relative: str, error: OSError) -> Problem:
    return _problem(
        "file_unreadable",
        _printable(relative),
        f"the folder can't be listed: {error.strerror}",
        "check its permissions",
    )


def _folder(  # complexipy: ignore (a walk without recursion)
    path: str, name: str, kinds: tuple[tuple[str, FileKind], ...], problems: list[Problem]
) -> Iterator[ProjectFile]:
    """Yield all declaration files below a folder. It uses no recursion, so depth is no problem."""
    waiting = [(path, name)]
    while waiting:
        folder, relative = waiting.pop()
        for entry in _entries(folder, relative, problems):
            child = f"{relative}/{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, child))
                else:
                    yield from _candidate(entry, child, kinds, problems)
            except OSError as error:  # a link to a forbidden place
                problems.append(_unreadable_folder(child, error))
        if relative.count("/") >= DEPTH_MAX:
            problems.append(
                _problem(
                    "file_not_read",
                    _printable(relative),
                    f"folders are nested more than {DEPTH_MAX} deep",
                    "move them up",
                )
            )
            waiting = [item for item in waiting if not item[1].startswith(relative + "/")]


def _candidate(
    entry: os.DirEntry[str],
    path: str,
    kinds: tuple[tuple[str, FileKind], ...],
    problems: list[Problem],
) -> Iterator[ProjectFile]:
    kind = file_kind(path)
    if kind is not None:
        yield from _file(entry, path, kind, problems)
        return
    if entry.is_symlink() and entry.is_dir():
        problems.append(_not_read(path, "links aren't followed: put the folder itself there"))
        return
    expected_suffix = kinds[-1][0]
    if entry.name.endswith(".yml") or (
        expected_suffix == ".odcs.yaml" and entry.name.endswith(".yaml")
    ):
        problems.append(_not_read(path, f"rename it to `…{expected_suffix}`"))


def _file(
    entry: os.DirEntry[str], path: str, kind: FileKind, problems: list[Problem]
) -> Iterator[ProjectFile]:
    if _printable(path) != path:
        problems.append(
            _problem(
                "file_name",
                _printable(path),
                "the file's name holds characters that can't be used",
                "rename it: UTF-8, printable",
            )
        )
        return
    try:
        seen = entry.stat(follow_symlinks=False)
    except OSError as error:
        problems.append(
            _problem(
                "file_unreadable",
                path,
                f"the file can't be inspected: {error.strerror}",
                "check its permissions",
            )
        )
        return
    if stat.S_ISREG(seen.st_mode):
        yield ProjectFile(
            path=path,
            kind=kind,
            size=seen.st_size,
            mtime_ns=seen.st_mtime_ns,
            ctime_ns=seen.st_ctime_ns,
            inode=seen.st_ino,
        )
    else:
        problems.append(
            _not_read(path, "links and special files aren't followed: put the file itself there")
        )


def _is_folder(entry: os.DirEntry[str], path: str, problems: list[Problem]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return True
    if entry.is_symlink():
        problems.append(_not_read(path, "links aren't followed: put the folder itself there"))
    return False


def _printable(path: str) -> str:
    """Return the path, with escapes if it isn't UTF-8 or contains control characters."""
    return (
        path
        if path.isprintable()
        else path.encode("unicode_escape", "backslashreplace").decode("ascii")
    )


def _not_read(path: str, hint: str) -> Problem:
    return _problem(
        "file_not_read", _printable(path), "this file isn't read", hint, ProblemLevel.WARNING
    )


def _problem(
    code: str, path: str, message: str, hint: str, level: ProblemLevel = ProblemLevel.ERROR
) -> Problem:
    return Problem(code=code, message=message, hint=hint, place=Place(file=path), level=level)


def read_text(root: Path, file: ProjectFile, report: Report) -> str | None:
    """Read a declaration file's text; None, with a reported problem, if it can't be read."""
    try:
        data = read_ordinary(root / file.path, FILE_BYTES_MAX[file.kind] + 1, os.O_NOFOLLOW)
    except OSError as error:
        report_unreadable(error, report)
        return None
    return decode_declaration(file.kind, data, report)


def report_unreadable(error: OSError, report: Report) -> None:
    """Report that a declaration file can't be read."""
    if isinstance(error, NotOrdinary):
        report.error(
            "file_unreadable", 1, "this isn't an ordinary file", "put the file itself there"
        )
        return
    message = f"the file can't be read: {error.strerror or error}"
    report.error("file_unreadable", 1, message, "check that it is there, and its permissions")


class NotOrdinary(OSError):
    """The path is a folder, a pipe or a device, not a regular file."""


def read_ordinary(path: Path | str, limit: int, flags: int = 0) -> bytes:
    """Read at most `limit` bytes of a regular file, without ever blocking on a pipe.

    `flags` are added to those of `os.open`. Raises OSError, or NotOrdinary for other kinds of
    files.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotOrdinary(errno.EINVAL, "it isn't an ordinary file", str(path))
        return _read_up_to(descriptor, limit)
    finally:
        os.close(descriptor)


def _read_up_to(descriptor: int, limit: int) -> bytes:
    chunks: list[bytes] = []
    while limit > 0 and (chunk := os.read(descriptor, min(limit, READ_BYTES))):
        chunks.append(chunk)
        limit -= len(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


# The bytes of a project's files, each read once, so that parsing, hashing and storing use the same
# bytes even if a file is saved meanwhile.

CODE_FILE_BYTES_MAX = 16 * 1024 * 1024
"""Larger modules are ignored, and a command's larger script is refused."""
SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "venv", "site-packages"})


class CodeTooLarge(OSError):
    """A module or script is larger than `CODE_FILE_BYTES_MAX`."""


class ProjectFiles:
    """A consistent view of a project's files.

    Each path is opened on first access and never again: files that are saved, replaced or deleted
    later don't change what is parsed, hashed or stored. Paths are relative to the project, with `/`
    separators.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._top = str(self.root)
        self._contents: dict[str, Content | OSError] = {}

    @cached_property
    def scan(self) -> Scan:
        """The declaration files. Raises ProjectError if the folder can't be listed."""
        return scan(self.root)

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """All Python modules of the project, sorted, including those without declarations."""
        results = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [
                folder
                for folder in folders
                if not folder.startswith(".") and folder not in SKIPPED_FOLDERS
            ]
            paths = [Path(folder, name) for name in names if name.endswith(".py")]
            results += [path.relative_to(self.root).as_posix() for path in paths if _is_code(path)]
        return tuple(sorted(results))

    def declaration(self, file: ProjectFile) -> Content:
        """Return a declaration's bytes, without following links. Raises OSError.

        At most one byte more than the limit of its kind is read.
        """
        return self._read(file.path, FILE_BYTES_MAX[file.kind] + 1, os.O_NOFOLLOW)

    def code(self, path: str) -> Content:
        """Return a module's or script's bytes, following links.

        Raises ProjectError if it can't be read or is too large.
        """
        try:
            return self.read_code(path)
        except CodeTooLarge as error:
            hint = "install it as a package, or call it by a path outside of the project"
            raise ProjectError(f"{path} is {error.strerror}", hint=hint) from error
        except OSError as error:
            message = f"{path} can't be read: {error.strerror or error}"
            raise ProjectError(message, hint="restore the file, then apply again") from error

    def read_code(self, path: str) -> Content:
        """Return the same as `code`, but raise OSError, or CodeTooLarge for a too large file."""
        content = self._read(path, CODE_FILE_BYTES_MAX + 1, 0)
        if len(content.data) > CODE_FILE_BYTES_MAX:
            raise CodeTooLarge(
                errno.EFBIG,
                f"larger than {CODE_FILE_BYTES_MAX:,} bytes, the limit of a module or script",
            )
        return content

    def _read(self, path: str, limit: int, flags: int) -> Content:
        """Read at most `limit` bytes of a regular file; the bytes or the failure are cached."""
        if path not in self._contents:
            try:
                data = read_ordinary(os.path.join(self._top, path), limit, flags)  # noqa: PTH118 (faster)
            except OSError as error:
                self._contents[path] = error
            else:
                self._contents[path] = Content(data=data, sha256=sha256_of(data))
        content = self._contents[path]
        if isinstance(content, OSError):
            raise content
        return content


class ChangedFiles(ProjectFiles):
    """The files of a project with other contents for some paths. The files aren't written."""

    def __init__(self, root: Path, contents: Mapping[str, bytes]) -> None:
        super().__init__(root)
        for path, data in contents.items():
            self._contents[path] = Content(data=data, sha256=sha256_of(data))


def _is_code(path: Path) -> bool:
    """Return whether a path is a regular file of allowed size; False if it was just deleted."""
    try:
        seen = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(seen.st_mode) and seen.st_size <= CODE_FILE_BYTES_MAX
