"""What was understood before, kept below `.headrace/cache`: by file, by content, and as a whole.

A cache is never trusted: a file that can't be decoded, or that another version wrote, counts as absent. Times are never
compared with a clock: what was modified shortly before the cache was begun, by the file system's own time, is read again.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from headrace import __version__
from headrace.model import Problem
from headrace.model.files import ProjectFile
from headrace.model.modules import ModuleFacts
from headrace.model.parsing import Declared
from headrace.plan.binding import BindResult
from headrace.plan.bodies import AssetTextAnalysis, OutputSchema
from headrace.plan.code_tree import CodeSeen
from headrace.plan.values import Compilation

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


def header() -> CacheHeader:
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
        self.header = header()

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


def racy(files: Sequence[ProjectFile], begun_ns: int) -> list[ProjectFile]:
    """The files that may change again without a change of their times."""
    if not begun_ns:
        return []
    limit = begun_ns - RACY_NS
    return [file for file in files if file.mtime_ns >= limit or file.ctime_ns >= limit]
