"""The code files of a project as one compilation reads them, and whether they changed since."""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.compiler.project_files import SKIPPED_FOLDERS
from headrace.model.python_code import ModuleFacts, facts_of
from headrace.plan.closure import Listing
from headrace.plan.requirements import Lock, parsed_lock

# The project's folder as `closure` reads it. While everything that was read is unchanged, the
# earlier result holds. Only folders that an import or a pattern looks into are listed, so a folder
# of 10,000 deliveries costs nothing. Hidden folders, caches and virtual environments aren't code.
# Links to folders aren't followed.

ARGUMENT_CHARACTERS_MAX = 4096

ReadBytes = Callable[[str], bytes]
"""Returns the bytes of a project file, which is read once; raises OSError."""


class FileStamp(msgspec.Struct, frozen=True, array_like=True):
    """The metadata of a file when it was read."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class KeptCodeFile(msgspec.Struct, frozen=True, array_like=True):
    """A code file as it was read; a `racy` one may have changed since with equal metadata."""

    mark: FileStamp
    sha256: str
    racy: bool


class CodeSeen(msgspec.Struct, frozen=True, array_like=True):
    """Everything that was examined.

    Digests of listed folders, resolved command arguments, and files.
    """

    listings: dict[str, bytes] = {}
    arguments: dict[str, str | None] = {}
    files: dict[str, KeptCodeFile] = {}


class CodeTree:
    """The files of a project during one compilation.

    Paths are relative to the project; "" is its own folder. Without `cached` every file is read;
    with it, files with unchanged metadata aren't.
    """

    def __init__(
        self,
        root: Path,
        read: ReadBytes,
        cached: CodeSeen | None = None,
        facts: Mapping[str, ModuleFacts] | None = None,
        *,
        exactly: bool = False,
    ) -> None:
        """`facts` are known ones by SHA-256. `exactly` hashes every file regardless of metadata."""
        self._root, self._read, self._exactly = root, read, exactly
        self._kept = cached.files if cached is not None else {}
        self._known_facts = facts or {}
        self._listings: dict[str, Listing] = {}
        self._arguments: dict[str, str | None] = {}
        self._files: dict[str, KeptCodeFile] = {}
        self.facts_by_hash: dict[str, ModuleFacts] = {}
        """Facts of every requested Python file."""

    def listing(self, folder: str) -> Listing:
        """Return the contents of a folder; empty if it can't be listed."""
        if folder not in self._listings:
            self._listings[folder] = _listed(self._root, folder)
        return self._listings[folder]

    def sha256(self, path: str) -> str:
        """Return the hash of a file's bytes; raises OSError."""
        return self._file(path).sha256

    def facts(self, path: str) -> ModuleFacts:
        """Return the facts of a Python file, parsed once per content; raises OSError."""
        sha256 = self.sha256(path)
        if sha256 not in self.facts_by_hash:
            self.facts_by_hash[sha256] = self._known_facts.get(sha256) or facts_of(self._read(path))
        return self.facts_by_hash[sha256]

    def lock(self, path: str) -> Lock:
        """Return what a lock of `requirements` says; raises OSError."""
        self._file(path)
        return parsed_lock(self._read(path).decode("utf-8", "replace"))

    def matches(self, pattern: str) -> Sequence[str]:
        """Return the files that a pattern names; for a folder, all files below it."""
        return sorted(set(self._matching("", pattern.split("/"))))

    def inside(self, argument: str) -> str | None:
        """Return the path of the project file that a command's argument names in its folder."""
        if argument not in self._arguments:
            self._arguments[argument] = file_within(self._root, argument)
        return self._arguments[argument]

    def seen(self, racy_from_ns: int) -> CodeSeen:
        """Return everything that was examined.

        Files changed at `racy_from_ns` or later may change again unnoticed.
        """
        files = {
            path: KeptCodeFile(
                file.mark,
                file.sha256,
                bool(racy_from_ns) and max(file.mark.mtime_ns, file.mark.ctime_ns) >= racy_from_ns,
            )
            for path, file in self._files.items()
        }
        listings = {folder: _listing_digest(listing) for folder, listing in self._listings.items()}
        return CodeSeen(listings, self._arguments, files)

    def _file(self, path: str) -> KeptCodeFile:
        if path not in self._files:
            mark = mark_of(self._root, path)
            file = self._kept.get(path)
            if file is not None and file.mark == mark and not file.racy and not self._exactly:
                self._files[path] = file
            else:
                self._files[path] = KeptCodeFile(
                    mark, hashlib.sha256(self._read(path)).hexdigest(), racy=False
                )
        return self._files[path]

    def _matching(self, folder: str, parts: Sequence[str]) -> Iterator[str]:
        """Yield the files below `folder` that match the parts of a pattern."""
        if not parts:
            yield from self._all_below(folder)
            return
        here, part, rest = self.listing(folder), parts[0], parts[1:]
        if part == "**":
            yield from self._matching(folder, rest)
            for name in sorted(here.folders):
                yield from self._matching(_join(folder, name), parts)
            return
        for name in fnmatch.filter(sorted(here.folders), part):
            yield from self._matching(_join(folder, name), rest)
        if not rest:
            yield from (_join(folder, name) for name in fnmatch.filter(sorted(here.files), part))

    def _all_below(self, folder: str) -> Iterator[str]:
        here = self.listing(folder)
        yield from (_join(folder, name) for name in sorted(here.files))
        for name in sorted(here.folders):
            yield from self._all_below(_join(folder, name))


def code_unchanged(root: Path, seen: CodeSeen, read: ReadBytes, *, exactly: bool) -> bool:
    """Return whether everything examined is unchanged.

    `exactly` compares the contents of all files.
    """
    for folder, digest in seen.listings.items():
        if _listing_digest(_listed(root, folder)) != digest:
            return False
    if any(file_within(root, argument) != path for argument, path in seen.arguments.items()):
        return False
    try:
        return all(
            hashlib.sha256(read(path)).hexdigest() == file.sha256
            if exactly or file.racy
            else mark_of(root, path) == file.mark
            for path, file in seen.files.items()
        )
    except OSError:
        return False


def mark_of(root: Path, path: str) -> FileStamp:
    """Return the current metadata of a file or of a link's target; raises OSError."""
    seen = os.stat(root / path)  # noqa: PTH116 - Path.stat would split the path again
    return FileStamp(seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)


def file_within(root: Path, argument: str) -> str | None:
    """Return the path of the project file that an argument names; None for anything else.

    It is the given path without `.` and `..`. A link counts only if its target is inside the
    project, too.
    """
    if (
        not argument
        or "\0" in argument
        or len(argument) > ARGUMENT_CHARACTERS_MAX
        or argument.startswith("-")
    ):
        return None
    path = posixpath.normpath(argument)
    if path.startswith("/"):
        path = posixpath.relpath(path, str(root))
    if path.startswith("..") or any(
        part.startswith(".") or part in SKIPPED_FOLDERS for part in path.split("/")
    ):
        return None
    try:
        target = (root / path).resolve()
        return path if target.is_file() and target.is_relative_to(root.resolve()) else None
    except (OSError, ValueError, RuntimeError):
        return None


def _listed(root: Path, folder: str) -> Listing:
    files, folders = set(), set()
    try:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.isprintable():
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.add(entry.name)
                elif entry.is_file():
                    files.add(entry.name)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            raise
    return Listing(files=frozenset(files), folders=frozenset(folders) - SKIPPED_FOLDERS)


def _listing_digest(listing: Listing) -> bytes:
    text = "\0".join([*sorted(listing.files), "/", *sorted(listing.folders)])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
