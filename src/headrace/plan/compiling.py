"""A project's files → everything understood, or every problem at once.

    scan → parse (cached by file) → link → read SQL (cached by text) → order → columns and types along it (cached by
    what went in) → problems

What is cached is looked up before anything is computed, and sqlglot is imported only where a body has to be understood.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headrace.model import Level, Problem
from headrace.model.environments import PRODUCTION
from headrace.model.files import ProjectFile, Scan, scan
from headrace.model.linking import link
from headrace.model.parsing import Declared
from headrace.plan.assembling import Assembler
from headrace.plan.bodies import Read
from headrace.plan.cache import (
    Cache,
    KeptBodies,
    KeptBody,
    KeptCompilation,
    KeptFile,
    KeptFiles,
    KeptLineage,
    KeptLines,
    Stamp,
    content_digest,
    digest,
    racy,
)
from headrace.plan.values import Compilation, Learnt
from headrace.plan.worker import FilesRead, ReadFiles
from headrace.plan.workers import CHUNK, Workers

UNREADABLE = "file_unreadable"
"""A problem that may go away without the file changing: what comes of it isn't kept."""

Progress = Callable[[int, int], None]


def compile_project(
    root: Path,
    *,
    cache: Path | None = None,
    processes: int = 1,
    progress: Progress | None = None,
    learnt: Learnt | None = None,
    environment: str = PRODUCTION,
) -> Compilation:
    """Understand the project at `root`. Problems are in the result, sorted by file and line; nothing of the user's runs.

    `cache` is a folder of its own for what was understood before; `learnt` are columns that the store knows of sources
    and opaque assets; `progress` is told how many of how many steps are done. Raises ProjectError if the folder can't be
    listed, UsageError for an environment that there isn't.
    """
    with _without_collector():
        return _Compiling(root.absolute(), Cache(cache), Workers(processes), progress, dict(learnt or {}), environment).compilation()


@contextmanager
def _without_collector() -> Iterator[None]:
    """The cycle collector would walk a hundred thousand fresh values again and again, and none of them is garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Compiling:
    def __init__(
        self,
        root: Path,
        cache: Cache,
        workers: Workers,
        progress: Progress | None,
        learnt: dict[str, tuple[tuple[str, str], ...]],
        environment: str,
    ) -> None:
        self._root, self._cache, self._workers, self._learnt = root, cache, workers, learnt
        self._environment = environment
        self._progress = progress
        self._done = self._total = 0

    def compilation(self) -> Compilation:
        seen = scan(self._root)
        files = digest((seen, sorted(self._learnt.items()), self._environment))
        stamp = self._cache.load(Stamp)
        if stamp is not None and stamp.files == files and self._same_contents(stamp.racy):
            kept = self._cache.load(KeptCompilation)
            if kept is not None and kept.files == files:
                return kept.compilation
        with self._workers:
            return self._fresh(seen, files)

    def _same_contents(self, contents: dict[str, bytes]) -> bool:
        return all(content_digest(self._root / path) == known for path, known in contents.items())

    def _fresh(self, seen: Scan, files: bytes) -> Compilation:
        begun = self._cache.begun_ns()
        unsettled = {file.path: content_digest(self._root / file.path) for file in racy(seen.files, begun)}
        declared, reads = self._declared(seen.files, unsettled)
        project, problems = link(declared, self._environment)
        problems = [*seen.problems, *problems]
        kept_bodies = self._cache.load(KeptBodies)
        kept_lines = self._cache.load(KeptLineage) if kept_bodies is not None else None
        if project is None:
            compilation = Compilation(project=None, compiled=None, problems=sorted_problems(problems))
        else:
            assembler = Assembler(project, self._learnt, kept_bodies, kept_lines, reads, self._workers, self._step)
            compiled = assembler.compiled(problems)
            project = assembler.project
            failed = any(problem.level is Level.ERROR for problem in problems)
            compilation = Compilation(project=project, compiled=None if failed else compiled, problems=sorted_problems(problems))
            self._keep_bodies(assembler.bodies, assembler.lines)
        if not any(problem.code == UNREADABLE for problem in problems):
            self._cache.keep(KeptCompilation(self._cache.header, files, compilation))
            self._cache.keep(Stamp(self._cache.header, files, unsettled))
        return compilation

    def _keep_bodies(self, bodies: dict[str, KeptBody], lines: dict[str, KeptLines]) -> None:
        self._cache.keep(KeptBodies(self._cache.header, bodies))
        self._cache.keep(KeptLineage(self._cache.header, lines))

    def _step(self, done: int, added: int = 0) -> None:
        self._total += added
        self._done += done
        if self._progress is not None and self._total:
            self._progress(self._done, self._total)

    # -- files

    def _declared(self, files: Sequence[ProjectFile], unsettled: dict[str, bytes]) -> tuple[list[Declared], dict[bytes, Read]]:
        """What each file declares, in the order of `files`, from the cache or read now."""
        kept = self._cache.load(KeptFiles)
        known: dict[str, KeptFile] = {}
        missing: list[ProjectFile] = []
        for file in files:
            entry = kept.files.get(file.path) if kept is not None else None
            if entry is not None and self._unchanged(entry, file):
                known[file.path] = entry
            else:
                missing.append(file)
        reads: dict[bytes, Read] = {}
        if missing:
            self._read(missing, unsettled, known, reads)
        if missing or kept is None or len(kept.files) != len(known):
            read = {
                path: entry for path, entry in known.items() if not any(problem.code == UNREADABLE for problem in entry.declared.problems)
            }
            self._cache.keep(KeptFiles(self._cache.header, read))
        return [known[file.path].declared for file in files], reads

    def _unchanged(self, entry: KeptFile, file: ProjectFile) -> bool:
        if entry.file != file:
            return False
        return entry.content is None or content_digest(self._root / file.path) == entry.content

    def _read(self, missing: list[ProjectFile], unsettled: dict[str, bytes], known: dict[str, KeptFile], reads: dict[bytes, Read]) -> None:
        self._step(0, len(missing))
        chunks = [ReadFiles(str(self._root), tuple(missing[at : at + CHUNK])) for at in range(0, len(missing), CHUNK)]

        def take(message: ReadFiles, answer: FilesRead) -> None:
            for file, declared in zip(message.files, answer.declared, strict=True):
                known[file.path] = KeptFile(file, unsettled.get(file.path), declared)
            reads.update(answer.reads)
            self._step(len(message.files))

        self._workers.read_files(chunks, take)


def sorted_problems(problems: list[Problem]) -> list[Problem]:
    """By file and line, without repetitions."""
    unique = {(problem.place.file, problem.place.line, problem.code, problem.message): problem for problem in problems}
    return [unique[key] for key in sorted(unique)]
