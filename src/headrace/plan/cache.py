"""The compilation cache below `.headrace/cache`: results by file, by content, and as a whole.

A cache is never trusted: a file that can't be decoded, or that another version wrote, counts as absent. File times are never
compared with a clock: a file that was modified shortly before the cache was begun, by the file system's own time, is read again.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import os
import posixpath
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from headrace import __version__
from headrace.model import Problem, Value
from headrace.model.files import SKIPPED_FOLDERS, ProjectFile
from headrace.model.parsing import Declared
from headrace.model.python_code import ModuleFacts, facts_of
from headrace.plan.compiled import Compilation
from headrace.plan.schemas import AssetTextAnalysis, BindResult, OutputSchema

# The project's folder as `closure` reads it. While everything that was read is unchanged, the
# earlier result holds. Only folders that an import or a pattern looks into are listed, so a
# folder of ten thousand deliveries costs nothing. Hidden folders, caches and virtual environments
# aren't code. Links to folders aren't followed.

ARGUMENT_CHARACTERS_MAX = 4096

ReadBytes = Callable[[str], bytes]
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
        self,
        root: Path,
        read: ReadBytes,
        kept: CodeSeen | None = None,
        facts: Mapping[str, ModuleFacts] | None = None,
        *,
        exactly: bool = False,
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
        listings = {folder: _listing_digest(listing) for folder, listing in self._listings.items()}
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


def code_unchanged(root: Path, seen: CodeSeen, read: ReadBytes, *, exactly: bool) -> bool:
    """Whether all that was looked at is as it was; with `exactly` by the contents of all files."""
    for folder, digest in seen.listings.items():
        if _listing_digest(_listed(root, folder)) != digest:
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


def _listing_digest(listing: Listing) -> bytes:
    text = "\0".join([*sorted(listing.files), "/", *sorted(listing.folders)])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


# Cache files and what each of them holds.

CACHE_SCHEMA = 4
"""Raise it when what is kept, or what it means, changes."""
RACY_NS = 2_000_000_000
"""A file that was modified so shortly before it was read may change again within the same tick of the file system's clock."""


class CacheHeader(msgspec.Struct, frozen=True, array_like=True):
    """Who wrote a cache file."""

    schema: int
    headrace: str
    sqlglot: str


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """What the kept compilation is of: a digest of all files as seen, and the SHA-256 of those that may be racy."""

    header: CacheHeader
    files: bytes
    racy: dict[str, str]


class KeptFile(msgspec.Struct, frozen=True, array_like=True):
    """A declaration file as it was read: `sha256` is of the bytes that were parsed."""

    file: ProjectFile
    sha256: str
    racy: bool
    """Whether it may have changed since without another time or size."""
    declared: Declared


class KeptFiles(msgspec.Struct, frozen=True, array_like=True):
    """By path."""

    header: CacheHeader
    files: dict[str, KeptFile]


class KeptBody(msgspec.Struct, frozen=True, array_like=True):
    """What was understood of one node, with the digests of what it was understood from."""

    text: bytes
    read: AssetTextAnalysis
    wanted: bytes = b""
    given: OutputSchema | None = None


class KeptBodies(msgspec.Struct, frozen=True, array_like=True):
    """By node."""

    header: CacheHeader
    bodies: dict[str, KeptBody]


class KeptLines(msgspec.Struct, frozen=True, array_like=True):
    """The `Lines` of one body, encoded (who needs one doesn't decode all), and a digest of what they were found from."""

    key: bytes
    lines: msgspec.Raw


class KeptLineage(msgspec.Struct, frozen=True, array_like=True):
    """By node."""

    header: CacheHeader
    lines: dict[str, KeptLines]


class KeptCode(msgspec.Struct, frozen=True, array_like=True):
    """What was looked at for the files of code that assets use, and what was found in each Python file, by SHA-256."""

    header: CacheHeader
    seen: CodeSeen
    facts: dict[str, ModuleFacts]


class KeptCompilation(msgspec.Struct, frozen=True, array_like=True):
    """The whole, with a digest of the files that it is of, as they were seen, and one of their contents; and what was looked at
    for the files of code, with the versions of packages that count."""

    header: CacheHeader
    files: bytes
    contents: bytes
    code: CodeSeen
    compilation: Compilation


class KeptBound(msgspec.Struct, frozen=True, array_like=True):
    """DuckDB's answers by statement, and the problems of the compilation that was bound last (`whole`: its digest)."""

    header: CacheHeader
    whole: bytes
    statements: int
    problems: tuple[Problem, ...]
    bound: dict[bytes, BindResult]


Kept = TypeVar("Kept", KeptFiles, KeptBodies, KeptLineage, KeptCode, KeptCompilation, KeptBound, Stamp)

_NAMES: dict[type, str] = {
    KeptFiles: "files",
    KeptBodies: "bodies",
    KeptLineage: "lineage",
    KeptCode: "code",
    KeptCompilation: "compilation",
    KeptBound: "bound",
    Stamp: "stamp",
}
_ENCODER = msgspec.msgpack.Encoder()


def cache_header() -> CacheHeader:
    """What this installation writes."""
    return CacheHeader(CACHE_SCHEMA, __version__, _sqlglot_version())


def _sqlglot_version() -> str:
    """Read from its file: importing sqlglot, or the package metadata, costs more than reading a whole cache."""
    result = find_spec("sqlglot")
    if result is None or result.origin is None:
        return ""
    try:
        text = (Path(result.origin).parent / "_version.py").read_text(encoding="utf-8")
    except OSError:
        return ""
    version = re.search(r"^__version__ = version = ['\"]([^'\"]+)", text, re.MULTILINE) or re.search(r"version = ['\"]([^'\"]+)", text)
    return version[1] if version else ""


def digest(value: Any) -> bytes:
    """A short digest of a value's encoding."""
    return hashlib.blake2b(_ENCODER.encode(value), digest_size=16).digest()


def lines_key(sql: str, inputs: tuple[tuple[str, tuple[str, ...] | None], ...]) -> bytes:
    """What the lineage of a body depends on: its text and the names of its inputs' columns."""
    return digest((sql, inputs))


class Cache:
    """A folder of cache files; without a folder (`None`) nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.header = cache_header()

    def load(self, kind: type[Kept]) -> Kept | None:
        """What is kept of that kind, if this installation wrote it and it is whole."""
        if self._folder is None:
            return None
        try:
            data = (self._folder / f"{_NAMES[kind]}.msgpack").read_bytes()
            kept = msgspec.msgpack.decode(data, type=kind)
        except (OSError, msgspec.MsgspecError, RecursionError, ValueError):
            return None
        return kept if kept.header == self.header else None

    def keep(self, value: KeptFiles | KeptBodies | KeptLineage | KeptCode | KeptCompilation | KeptBound | Stamp) -> None:
        """Write atomically. A cache that can't be written is no failure."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".writing-", delete=False) as file:
                written = Path(file.name)
                try:
                    file.write(_ENCODER.encode(value))
                    file.flush()
                    written.replace(self._folder / f"{_NAMES[type(value)]}.msgpack")
                except BaseException:
                    written.unlink()
                    raise
        except OSError:
            return

    def begun_ns(self) -> int:
        """The file system's time now; 0 where nothing can be written, which makes no file racy and nothing is kept anyway."""
        if self._folder is None:
            return 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".now-") as file:
                return os.fstat(file.fileno()).st_mtime_ns
        except OSError:
            return 0


def racy_files(files: Sequence[ProjectFile], begun_ns: int) -> list[ProjectFile]:
    """The files that may change again without a change of their times."""
    if not begun_ns:
        return []
    limit = begun_ns - RACY_NS
    return [file for file in files if file.mtime_ns >= limit or file.ctime_ns >= limit]
