"""The compilation cache below `.headrace/cache`: results by file, by content, and as a whole.

A cache is never trusted: a file that can't be decoded, or that another version wrote, counts as
absent. File times are never compared with a clock: a file modified shortly before the cache was
begun, by the file system's own time, is read again.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import MutableMapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from headrace import __version__
from headrace.compiler.code_files import CodeSeen
from headrace.model import Problem
from headrace.model.files import ProjectFile
from headrace.model.parsing import Declared
from headrace.model.python_code import ModuleFacts
from headrace.plan.compiled import Compilation
from headrace.plan.schemas import AssetTextAnalysis, BindResult, KeptLines, OutputSchema

# Cache files and their contents.

CACHE_SCHEMA = 11
"""Increase it when the cached values or their meaning change."""
RACY_NS = 2_000_000_000
"""A file modified within this time before it was read may change again within the same tick of the
file system's clock."""


class CacheHeader(msgspec.Struct, frozen=True, array_like=True):
    """The writer of a cache file."""

    schema: int
    headrace: str
    sqlglot: str


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """The input of the cached compilation.

    A digest of all files' metadata, and hashes of racy files.
    """

    header: CacheHeader
    files: bytes
    racy: dict[str, str]


class KeptFile(msgspec.Struct, frozen=True, array_like=True):
    """A declaration file as it was read; `sha256` covers the parsed bytes."""

    file: ProjectFile
    sha256: str
    racy: bool
    """Whether it may have changed since without a different time or size."""
    declared: Declared
    defaults: bytes
    """A digest of the `defaults.yaml` that count for it."""


class KeptFiles(msgspec.Struct, frozen=True, array_like=True):
    """Declaration files by path."""

    header: CacheHeader
    files: dict[str, KeptFile]


class KeptBody(msgspec.Struct, frozen=True, array_like=True):
    """The analysis of one node, with the digests of its inputs."""

    text: bytes
    read: AssetTextAnalysis
    wanted: bytes = b""
    given: OutputSchema | None = None


class KeptBodies(msgspec.Struct, frozen=True, array_like=True):
    """Analyses by node; `contents` is that of the compilation that wrote them."""

    header: CacheHeader
    contents: bytes
    bodies: dict[str, KeptBody]


class KeptLineage(msgspec.Struct, frozen=True, array_like=True):
    """Lineage by node."""

    header: CacheHeader
    lines: dict[str, KeptLines]


class KeptAnalyses(NamedTuple):
    """The cached analyses of one compilation."""

    bodies: KeptBodies
    lines: KeptLineage


class KeptCode(msgspec.Struct, frozen=True, array_like=True):
    """What was examined for code files, and the facts of each Python file by SHA-256."""

    header: CacheHeader
    seen: CodeSeen
    facts: dict[str, ModuleFacts]


class KeptCompilation(msgspec.Struct, frozen=True, array_like=True):
    """A whole compilation, with digests of its files' metadata and of their contents.

    It includes what was examined for code files, with the versions of packages that count, the
    installed kinds that declarations name, and the problems of each node without cycles.
    """

    header: CacheHeader
    files: bytes
    contents: bytes
    code: CodeSeen
    learnt: bytes
    """A digest of the learnt columns and of the environment."""
    plugins: dict[str, dict[str, str]]
    node_problems: dict[str, tuple[Problem, ...]]
    compilation: Compilation


class KeptBound(msgspec.Struct, frozen=True, array_like=True):
    """DuckDB's answers by statement, and the problems of the last bound compilation (`whole`.

    Its digest).
    """

    header: CacheHeader
    whole: bytes
    statements: int
    problems: tuple[Problem, ...]
    bound: dict[bytes, BindResult]


Kept = TypeVar(
    "Kept", KeptFiles, KeptBodies, KeptLineage, KeptCode, KeptCompilation, KeptBound, Stamp
)

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
MEMORY_NAME = "kept compilation"
"""Under this name `memory` has the file that was decoded, and its value."""


def cache_header() -> CacheHeader:
    """Return the header that this installation writes."""
    return CacheHeader(CACHE_SCHEMA, __version__, _sqlglot_version())


def _sqlglot_version() -> str:
    """Return the version from sqlglot's file.

    Importing sqlglot, or the package metadata, is slower than reading a whole cache.
    """
    result = find_spec("sqlglot")
    if result is None or result.origin is None:
        return ""
    try:
        text = (Path(result.origin).parent / "_version.py").read_text(encoding="utf-8")
    except OSError:
        return ""
    version = re.search(
        r"^__version__ = version = ['\"]([^'\"]+)", text, re.MULTILINE
    ) or re.search(r"version = ['\"]([^'\"]+)", text)
    return version[1] if version else ""


class Cache:
    """A folder of cache files; with `None` nothing is cached.

    In `memory`, which a server's requests share, the last compilation stays decoded: decoding that
    of 10,000 nodes takes a third of a compilation in which no file has changed.
    """

    def __init__(
        self,
        folder: Path | None,
        memory: MutableMapping[str, tuple[str, Any]] | None = None,
    ) -> None:
        self._folder, self._memory = folder, memory
        self._keeps = True
        self.header = cache_header()

    def only_read(self) -> Cache:
        """Return this cache for a reader that keeps nothing in it."""
        result = Cache(self._folder, self._memory)
        result._keeps = False
        return result

    def load(self, kind: type[Kept]) -> Kept | None:
        """Return the cached value of that kind, if this installation wrote it and it is intact."""
        if self._folder is None:
            return None
        path = self._folder / f"{_NAMES[kind]}.msgpack"
        try:
            if kind is KeptCompilation and self._memory is not None:
                cached = self._remembered(path, kind, self._memory)
            else:
                cached = msgspec.msgpack.decode(path.read_bytes(), type=kind)
        except (OSError, msgspec.MsgspecError, RecursionError, ValueError):
            return None
        return cached if cached.header == self.header else None

    def _remembered(
        self, path: Path, kind: type[Kept], memory: MutableMapping[str, tuple[str, Any]]
    ) -> Kept:
        """Return the file's value, decoded again only if the file was replaced."""
        seen = path.stat()
        word = f"{path} {seen.st_ino} {seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns}"
        known_word, known = memory.get(MEMORY_NAME, ("", None))
        if word == known_word and known is not None:
            remembered: Kept = known
            return remembered
        value = msgspec.msgpack.decode(path.read_bytes(), type=kind)
        memory[MEMORY_NAME] = (word, value)
        return value

    def keep(
        self,
        value: KeptFiles
        | KeptBodies
        | KeptLineage
        | KeptCode
        | KeptCompilation
        | KeptBound
        | Stamp,
    ) -> None:
        """Write a value atomically; a cache that can't be written isn't an error."""
        if self._folder is None or not self._keeps:
            return
        try:
            make_private(self._folder)
            with tempfile.NamedTemporaryFile(
                dir=self._folder, prefix=".writing-", delete=False
            ) as file:
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
        """Return the file system's time now, in nanoseconds; 0 if nothing can be written.

        Then no file counts as racy, and nothing is cached anyway.
        """
        if self._folder is None:
            return 0
        try:
            make_private(self._folder)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".now-") as file:
                return os.fstat(file.fileno()).st_mtime_ns
        except OSError:
            return 0


def racy_files(files: Sequence[ProjectFile], begun_ns: int) -> list[ProjectFile]:
    """Return the files that may change again without a change of their times."""
    if not begun_ns:
        return []
    limit = begun_ns - RACY_NS
    return [file for file in files if file.mtime_ns >= limit or file.ctime_ns >= limit]


def make_private(folder: Path) -> None:
    """Create a folder and its missing parents, readable by the current user only.

    An existing folder keeps its mode: its owner may have opened it to others. Raise OSError.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
