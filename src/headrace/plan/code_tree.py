"""The project's folder as `closure` reads it, and what of it was read: while that is unchanged, so is what was found.

Only folders that an import or a pattern looks into are listed, so that a folder of ten thousand deliveries costs nothing.
Hidden folders, caches and environments of Python aren't code. Links to folders aren't followed.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.model import Value
from headrace.model.contents import SKIPPED_FOLDERS
from headrace.model.modules import ModuleFacts, facts_of

ARGUMENT_CHARACTERS_MAX = 4096

Read = Callable[[str], bytes]
"""The bytes of a file of the project, which is read once; raises OSError."""


class Listing(Value):
    """The names in one folder: files that can be code, and folders that are looked into."""

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()


class FileStamp(msgspec.Struct, frozen=True, array_like=True):
    """How a file looked when it was read."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class KeptCodeFile(msgspec.Struct, frozen=True, array_like=True):
    """A file of code as it was read. A `racy` one may have changed since and look the same."""

    mark: FileStamp
    sha256: str
    racy: bool


class CodeSeen(msgspec.Struct, frozen=True, array_like=True):
    """All that was looked at: digests of the folders that were listed, what arguments of commands meant, the files."""

    listings: dict[str, bytes] = {}
    arguments: dict[str, str | None] = {}
    files: dict[str, KeptCodeFile] = {}


class CodeTree:
    """The files of a project as one reading of it sees them. Paths are relative to it, "" is its own folder.

    Without `kept` everything is read; with it, what looks as it did isn't.
    """

    def __init__(
        self, root: Path, read: Read, kept: CodeSeen | None = None, facts: Mapping[str, ModuleFacts] | None = None, *, exactly: bool = False
    ) -> None:
        """`facts` are known ones by SHA-256. `exactly`: every file is hashed, however it looks."""
        self._root, self._read, self._exactly = root, read, exactly
        self._kept = kept.files if kept is not None else {}
        self._known_facts = facts or {}
        self._listings: dict[str, Listing] = {}
        self._arguments: dict[str, str | None] = {}
        self._files: dict[str, KeptCodeFile] = {}
        self.facts_by_hash: dict[str, ModuleFacts] = {}
        """Of every Python file that was asked for."""

    def listing(self, folder: str) -> Listing:
        """What lies in a folder; nothing where it can't be listed."""
        if folder not in self._listings:
            self._listings[folder] = _listed(self._root, folder)
        return self._listings[folder]

    def sha256(self, path: str) -> str:
        """The hash of a file's bytes. Raises OSError."""
        return self._file(path).sha256

    def facts(self, path: str) -> ModuleFacts:
        """What a Python file says, parsed once for each content. Raises OSError."""
        sha256 = self.sha256(path)
        if sha256 not in self.facts_by_hash:
            self.facts_by_hash[sha256] = self._known_facts.get(sha256) or facts_of(self._read(path))
        return self.facts_by_hash[sha256]

    def matches(self, pattern: str) -> Sequence[str]:
        """The files that a pattern names; of a folder that it names, all files below it."""
        return sorted(set(self._matching("", pattern.split("/"))))

    def inside(self, argument: str) -> str | None:
        """The path of the file of the project that a command's argument names, as the command finds it in its folder."""
        if argument not in self._arguments:
            self._arguments[argument] = file_within(self._root, argument)
        return self._arguments[argument]

    def seen(self, racy_from_ns: int) -> CodeSeen:
        """All that was looked at. Files that were changed at `racy_from_ns` or later may change again unseen."""
        files = {
            path: KeptCodeFile(file.mark, file.sha256, bool(racy_from_ns) and max(file.mark.mtime_ns, file.mark.ctime_ns) >= racy_from_ns)
            for path, file in self._files.items()
        }
        listings = {folder: _digest(listing) for folder, listing in self._listings.items()}
        return CodeSeen(listings, self._arguments, files)

    def _file(self, path: str) -> KeptCodeFile:
        if path not in self._files:
            mark = mark_of(self._root, path)
            file = self._kept.get(path)
            if file is not None and file.mark == mark and not file.racy and not self._exactly:
                self._files[path] = file
            else:
                self._files[path] = KeptCodeFile(mark, hashlib.sha256(self._read(path)).hexdigest(), racy=False)
        return self._files[path]

    def _matching(self, folder: str, parts: Sequence[str]) -> Iterator[str]:
        """The files below `folder` that the parts of a pattern name."""
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


def unchanged(root: Path, seen: CodeSeen, read: Read, *, exactly: bool) -> bool:
    """Whether all that was looked at is as it was; with `exactly` by the contents of all files."""
    for folder, digest in seen.listings.items():
        if _digest(_listed(root, folder)) != digest:
            return False
    if any(file_within(root, argument) != path for argument, path in seen.arguments.items()):
        return False
    try:
        for path, file in seen.files.items():
            if exactly or file.racy:
                if hashlib.sha256(read(path)).hexdigest() != file.sha256:
                    return False
            elif mark_of(root, path) != file.mark:
                return False
    except OSError:
        return False
    return True


def mark_of(root: Path, path: str) -> FileStamp:
    """How a file looks now; a link's target counts. Raises OSError."""
    seen = os.stat(root / path)  # noqa: PTH116 - Path.stat would take the path apart again
    return FileStamp(seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)


def file_within(root: Path, argument: str) -> str | None:
    """The path of the file that an argument names from within the project's folder; None for anything else.

    The path is the one that was written, without `.` and `..`; a link counts where what it leads to is inside, too.
    """
    if not argument or "\0" in argument or len(argument) > ARGUMENT_CHARACTERS_MAX or argument.startswith("-"):
        return None
    path = posixpath.normpath(argument)
    if path.startswith("/"):
        path = posixpath.relpath(path, str(root))
    if path.startswith("..") or any(part.startswith(".") or part in SKIPPED_FOLDERS for part in path.split("/")):
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
                    if entry.name not in SKIPPED_FOLDERS:
                        folders.add(entry.name)
                elif entry.is_file():
                    files.add(entry.name)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            raise
    return Listing(files=frozenset(files), folders=frozenset(folders))


def _digest(listing: Listing) -> bytes:
    text = "\0".join([*sorted(listing.files), "/", *sorted(listing.folders)])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
