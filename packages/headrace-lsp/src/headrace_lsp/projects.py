"""A project as it is edited: its files with the texts of open documents in place of theirs.

Each compilation is that of `validate`: `compile_project`, with a cache that is cached in memory and
was read from the project's own. The folder is listed each time, so a change by another program is
noticed; what the store has learnt of columns is asked at each pause in typing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from headrace.extension import (
    Cache,
    ChangedFiles,
    Compilation,
    Compiled,
    HeadraceError,
    KeptLineage,
    Lineage,
    ProjectFile,
    ProjectSession,
    Refused,
    Scan,
    bind,
    compile_project,
    counted,
    file_kind,
    local_actor,
    with_programs,
)

SETTLED_NS = 2_000_000_000
"""A file that changed later than this before it was read may change again unnoticed."""
BIND_SECONDS = 5.0
"""Time limit for DuckDB's answers after a pause in typing; the rest is left to the next pause."""
BOUND_MAX = 2_000
"""Statements without a known answer above which DuckDB isn't asked: `headrace validate` is."""


class EditedFiles(ChangedFiles):
    """The files of a project with the texts of documents, which may be new, and without others.

    Contents that `before` has read are taken from there where the file is the same since long.
    """

    def __init__(
        self,
        root: Path,
        contents: Mapping[str, bytes],
        removed: frozenset[str] = frozenset(),
        before: EditedFiles | None = None,
    ) -> None:
        super().__init__(root, contents)
        self.changed = contents
        self._settled_ns = time.time_ns() - SETTLED_NS
        listed = super().scan
        known = {file.path: file for file in listed.files if file.path not in removed}
        if before is not None:
            self._take(before, known)
        for path, data in contents.items():
            kind = file_kind(path)
            if path not in known and kind is not None:
                known[path] = ProjectFile(
                    path=path, kind=kind, size=len(data), mtime_ns=0, ctime_ns=0, inode=0
                )
        self.scan = Scan(
            files=tuple(known[path] for path in sorted(known)), problems=listed.problems
        )

    def _take(self, before: EditedFiles, known: Mapping[str, ProjectFile]) -> None:
        for file in before.scan.files:
            if (
                known.get(file.path) == file
                and max(file.mtime_ns, file.ctime_ns) < before._settled_ns
                and file.path in before._contents
                and file.path not in before.changed
            ):
                self._contents.setdefault(file.path, before._contents[file.path])


class MemoryCache(Cache):
    """A cache that begins with what is in the project's folder, and writes nothing there."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__(folder)
        self._values: dict[type, Any] = {}

    def only_read(self) -> MemoryCache:
        """Return this cache: what it keeps is never taken for what is in the files."""
        return self

    def load(self, kind: type) -> Any:
        """Return the value of that kind."""
        if kind not in self._values:
            self._values[kind] = super().load(kind)
        return self._values[kind]

    def keep(self, value: Any) -> None:
        """Keep a value in memory."""
        self._values[type(value)] = value

    def begun_ns(self) -> int:
        """Return 0: files are compared by their content."""
        return 0


class Snapshot(NamedTuple):
    """A compilation of the edited files."""

    files: EditedFiles
    compilation: Compilation

    @property
    def compiled(self) -> Compiled | None:
        """The nodes that could be compiled, also where there are errors."""
        return self.compilation.compiled or self.compilation.partial

    def text(self, path: str) -> str:
        """Return the text of a file; empty if it can't be read."""
        try:
            return self.files.read_code(path).data.decode("utf-8", "replace")
        except OSError:
            return ""


class EditedProject:
    """One project, compiled with the texts of open documents.

    Only `bound` may run in another thread than the rest.
    """

    def __init__(self, root: Path, environment: str) -> None:
        self.root, self._environment = root, environment
        self._learnt = self._learnt_columns()
        self._cache = MemoryCache(self._cache_folder())
        self._files: EditedFiles | None = None

    def session(self) -> ProjectSession:
        """Return a new session of the project, which the caller closes."""
        return ProjectSession.open(self.root, self._environment, None, local_actor())

    def _cache_folder(self) -> Path | None:
        session = self.session()
        try:
            return session.data_folder / "cache"
        except HeadraceError:  # headrace.toml can't be read, which is among the problems
            return None
        finally:
            session.close()

    def _learnt_columns(self) -> Mapping[str, Any]:
        """Return the columns that the store has learnt; none without a usable state."""
        session = self.session()
        try:
            return session.learnt()
        except HeadraceError:
            return {}
        finally:
            session.close()

    def compile(
        self, contents: Mapping[str, bytes], removed: frozenset[str] = frozenset()
    ) -> Snapshot:
        """Compile the project with these contents and without the removed files."""
        files = self._files = EditedFiles(self.root, contents, removed, self._files)
        compilation = compile_project(
            self.root,
            cache=self._cache,
            processes=os.cpu_count() or 1,
            learnt=self._learnt,
            environment=self._environment,
            files=files,
        )
        return Snapshot(files, compilation)

    def bound(self, snapshot: Snapshot) -> Compilation:
        """Return the compilation with what DuckDB and the file system say of it."""
        self._learnt = self._learnt_columns()
        folder = self._cache_folder()
        compilation = with_programs(snapshot.compilation, self.root)
        if folder is None:
            return compilation
        return bind(compilation, folder, seconds=BIND_SECONDS, new_max=BOUND_MAX).compilation

    def bound_whole(self, snapshot: Snapshot) -> Compilation:
        """Return the compilation with what DuckDB says of all statements with known columns.

        Raises Refused if that would take long.
        """
        folder = self._cache_folder()
        if folder is None:
            return snapshot.compilation
        result = bind(snapshot.compilation, folder, seconds=BIND_SECONDS, new_max=BOUND_MAX)
        if result.left:
            raise Refused(
                f"DuckDB hasn't checked {counted(result.left, 'statement')} yet: run"
                " `headrace validate`"
            )
        return result.compilation

    def lineage(self, compiled: Compiled) -> Lineage:
        """Return the column lineage of a compilation."""
        cached = self._cache.load(KeptLineage)
        return Lineage(compiled, cached.lines if cached is not None else {})
