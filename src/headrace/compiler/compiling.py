"""Compilation of a project's files into a compiled project, or into all problems at once.

The steps are: scan → parse (cached by file) → link → read SQL (cached by text; most statements get
their columns and types here, too) → order → columns and types in that order (cached by inputs) →
problems.

The cache is consulted before anything is computed, and sqlglot is imported only for SQL that isn't
cached.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from headrace.compiler.cache import (
    RACY_NS,
    Cache,
    KeptAnalyses,
    KeptBodies,
    KeptCode,
    KeptCompilation,
    KeptFile,
    KeptFiles,
    KeptLineage,
    Stamp,
    racy_files,
)
from headrace.compiler.code_files import CodeTree, code_unchanged
from headrace.compiler.edited import EditAssembler
from headrace.compiler.installed import installed_versions
from headrace.compiler.missing_modules import found_modules, hint_for_module, hint_for_package
from headrace.compiler.project_files import ChangedFiles, ProjectFiles, report_unreadable
from headrace.compiler.worker import FilesRead, ReadFiles
from headrace.compiler.workers import CHUNK, AnalysisPool
from headrace.model import Asset, Place, Problem, ProblemLevel, Project, PythonBody
from headrace.model.errors import Report, shown
from headrace.model.files import Content, FileKind, ProjectFile, Scan, defaults_above
from headrace.model.linking import link
from headrace.model.parsing import Declared
from headrace.model.plugins import plugin_state
from headrace.model.python_code import Import
from headrace.model.settings import PRODUCTION
from headrace.plan.closure import find
from headrace.plan.compiled import Code, Compilation, LearntColumns, code_closure
from headrace.plan.schemas import digest

EDITED_MAX = 100
"""After an edit of more files, the former compilation is seldom worth reading."""
UNREADABLE = "file_unreadable"
"""The code of a problem that may go away without a change of the file, so results with it aren't
cached."""

Progress = Callable[[int, int], None]


def compile_project(
    root: Path,
    *,
    cache: Cache | Path | None = None,
    processes: int = 1,
    progress: Progress | None = None,
    learnt: LearntColumns | None = None,
    environment: str = PRODUCTION,
    files: ProjectFiles | None = None,
    changed: Callable[[int], None] | None = None,
) -> Compilation:
    """Compile the project at `root`; problems are in the result, sorted by file and line.

    No user code runs. `cache` is a dedicated folder for earlier results. `learnt` are the columns
    that the store knows for sources and opaque assets. `progress` is called with the number of done
    steps and of all steps, and `changed` early, if a statement isn't cached, with the number of
    texts that aren't. With `files`, which is how a version is applied, exactly their bytes are
    compiled, and another process parses SQL, since who applies often leads afterwards; without,
    files whose size and times equal the cached ones aren't read.

    Raises ProjectError if the folder can't be listed, and UsageError for an unknown environment.
    """
    results = cache if isinstance(cache, Cache) else Cache(cache)
    if isinstance(files, ChangedFiles):
        # contents that no file has would be taken for those of the files
        results = results.only_read()
    with _without_collector():
        compiling = _Compiling(
            files or ProjectFiles(root),
            results,
            AnalysisPool(processes, without_parser=files is not None),
            progress,
            dict(learnt or {}),
            environment,
            changed,
        )
        return compiling.compilation_of_contents() if files is not None else compiling.compilation()


@contextmanager
def _without_collector() -> Iterator[None]:
    """Disable the cycle collector.

    It would repeatedly walk 100,000 new values, none of them garbage.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            # moves the new values to the oldest generation, which is walked rarely; otherwise the
            # next collection would walk them all. A server has frozen what stays, and keeps that.
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


class _Compiling:
    def __init__(
        self,
        files: ProjectFiles,
        cache: Cache,
        workers: AnalysisPool,
        progress: Progress | None,
        learnt: dict[str, tuple[tuple[str, str], ...]],
        environment: str,
        changed: Callable[[int], None] | None,
    ) -> None:
        self._files, self._cache, self._workers, self._learnt = files, cache, workers, learnt
        self._environment, self._changed = environment, changed
        self._learnt_digest = digest((sorted(learnt.items()), environment))
        self._progress = progress
        self._done = self._total = 0
        self._defaults: dict[str, bytes] = {}

    @functools.cached_property
    def _kept_compilation(self) -> KeptCompilation | None:
        """The compilation that was cached before this one; it is decoded at most once."""
        return self._cache.load(KeptCompilation)

    def compilation(self) -> Compilation:
        """Return the compilation of the current files.

        Unchanged size and times mean unchanged content.
        """
        seen = self._files.scan
        stamp = self._cache.load(Stamp)
        if stamp is not None and stamp.files == self._as_seen(seen) and self._holds(stamp, seen):
            kept_compilation = self._kept_compilation
            if (
                kept_compilation is not None
                and kept_compilation.files == stamp.files
                and self._same_code(kept_compilation, exactly=False)
            ):
                return kept_compilation.compilation
        with self._workers:
            return self._fresh(seen, exactly=False)

    def compilation_of_contents(self) -> Compilation:
        """Return the compilation of exactly these bytes, whatever the files' sizes and times."""
        seen = self._files.scan
        compilation = self._kept_compilation
        hashes = [self._sha256(file) for file in seen.files]
        if (
            compilation is not None
            and compilation.contents == self._of_contents(seen, hashes)
            and self._same_code(compilation, exactly=True)
        ):
            return compilation.compilation
        with self._workers:
            return self._fresh(seen, exactly=True)

    def _as_seen(self, seen: Scan) -> bytes:
        return digest((seen, self._learnt_digest))

    def _of_contents(self, seen: Scan, hashes: Sequence[str | None]) -> bytes:
        files = [
            (file.path, file.kind, sha256) for file, sha256 in zip(seen.files, hashes, strict=True)
        ]
        return digest((files, seen.problems, self._learnt_digest))

    def _holds(self, stamp: Stamp, seen: Scan) -> bool:
        """Whether racy files still have their contents. Those that are settled aren't read again.

        Otherwise each command would read all files of a project that was written at once.
        """
        if not stamp.racy:
            return True
        racy = [file for file in seen.files if file.path in stamp.racy]
        begun = self._cache.begun_ns()  # before they are read: they may change meanwhile
        if any(self._sha256(file) != stamp.racy[file.path] for file in racy):
            return False
        unsettled = {file.path for file in racy_files(racy, begun)} if begun else {*stamp.racy}
        if len(unsettled) < len(stamp.racy):
            hashes = {path: stamp.racy[path] for path in unsettled}
            self._cache.keep(Stamp(stamp.header, stamp.files, hashes))
        return True

    def _sha256(self, file: ProjectFile) -> str | None:
        """Return the SHA-256 of the file's bytes; None if it can't be read."""
        try:
            return self._files.declaration(file).sha256
        except OSError:
            return None

    def _fresh(  # complexipy: ignore (the steps of a compilation, in order)
        self, seen: Scan, *, exactly: bool
    ) -> Compilation:
        begun = self._cache.begun_ns()
        unsettled = {file.path for file in racy_files(seen.files, begun)}
        known, edited = self._known(seen.files, unsettled, exactly)
        project, problems = link(
            [known[file.path].declared for file in seen.files], self._environment
        )
        problems = [*seen.problems, *problems]
        code, looked = self._code(project, known, problems, exactly)
        contents = self._of_contents(seen, [known[file.path].sha256 for file in seen.files])
        node_problems: dict[str, tuple[Problem, ...]] = {}
        if project is None:
            compilation = Compilation(
                project=None, compiled=None, problems=sorted_problems(problems)
            )
        else:
            cached = self._kept_analyses()
            assembler = EditAssembler(
                project, self._learnt, cached, self._workers, self._step, code, self._changed
            )
            former = self._former(cached.bodies) if edited and cached is not None else None
            compilation = _assembled(assembler, former, problems)
            node_problems = assembler.node_problems
            self._cache.keep(KeptBodies(self._cache.header, contents, assembler.bodies))
            self._cache.keep(KeptLineage(self._cache.header, assembler.lines))
        if not any(problem.code == UNREADABLE for problem in problems):
            code_seen = looked.seen(begun - RACY_NS if begun else 0)
            self._cache.keep(KeptCode(self._cache.header, code_seen, looked.facts_by_hash))
            self._cache.keep(
                KeptCompilation(
                    self._cache.header,
                    self._as_seen(seen),
                    contents,
                    code_seen,
                    self._learnt_digest,
                    _plugins([file.declared for file in known.values()]),
                    node_problems,
                    compilation,
                )
            )
            hashes = {path: known[path].sha256 for path in unsettled}
            self._cache.keep(Stamp(self._cache.header, self._as_seen(seen), hashes))
        return compilation

    def _kept_analyses(self) -> KeptAnalyses | None:
        bodies = self._cache.load(KeptBodies)
        lines = self._cache.load(KeptLineage) if bodies is not None else None
        return None if bodies is None or lines is None else KeptAnalyses(bodies, lines)

    def _former(self, kept_bodies: KeptBodies) -> KeptCompilation | None:
        """Return the cached compilation if the cached analyses belong to it."""
        former = self._kept_compilation
        if (
            former is None
            or former.contents != kept_bodies.contents
            or former.learnt != self._learnt_digest
            or not _same_plugins(former.plugins)
        ):
            return None
        return former

    def _same_code(self, compilation: KeptCompilation, *, exactly: bool) -> bool:
        """Return whether code files, counted packages and used plugins equal the cached ones."""
        compiled = compilation.compilation.compiled
        code = compiled.code if compiled is not None else Code()
        return (
            code_unchanged(self._files.root, compilation.code, self._read_code, exactly=exactly)
            and installed_versions(code.installed) == code.installed
            and found_modules(code.modules) == code.modules
            and _same_plugins(compilation.plugins)
        )

    def _code(
        self,
        project: Project | None,
        known: Mapping[str, KeptFile],
        problems: list[Problem],
        exactly: bool,
    ) -> tuple[Code, CodeTree]:
        """Return the code files that assets use, and the tree that found them.

        Adds to `problems`.
        """
        kept_code = self._cache.load(KeptCode)
        facts = dict(kept_code.facts) if kept_code is not None else {}
        facts |= {
            file.sha256: file.declared.facts
            for file in known.values()
            if file.declared.facts is not None
        }
        tree = CodeTree(
            self._files.root,
            self._read_code,
            kept_code.seen if kept_code is not None else None,
            facts,
            exactly=exactly,
        )
        assets = project.assets.values() if project is not None else ()
        code, results = find(assets, tree)
        problems += results
        versions = installed_versions({name for asset in assets for name in asset.code_packages})
        problems += [
            _not_installed(asset, name)
            for asset in assets
            for name in asset.code_packages
            if versions[name] is None
        ]
        imported = _imported(assets, code, tree)
        modules = found_modules(imported)
        problems += [
            _not_found(name, place) for name, place in imported.items() if not modules[name]
        ]
        return msgspec.structs.replace(code, installed=versions, modules=modules), tree

    def _read_code(self, path: str) -> bytes:
        return self._files.read_code(path).data

    def _step(self, done: int, added: int = 0) -> None:
        self._total += added
        self._done += done
        if self._progress is not None and self._total:
            self._progress(self._done, self._total)

    # -- files

    def _known(
        self, files: Sequence[ProjectFile], unsettled: set[str], exactly: bool
    ) -> tuple[dict[str, KeptFile], bool]:
        """Return the declarations of each file by path, cached or parsed now.

        With them, whether nothing but the texts of a few SQL files changed.
        """
        kept_files = self._cache.load(KeptFiles)
        before = kept_files.files if kept_files is not None else {}
        known: dict[str, KeptFile] = {}
        missing: list[ProjectFile] = []
        self._defaults = dict(self._read_defaults(files))
        for file in files:
            entry = before.get(file.path)
            if entry is not None and self._unchanged(entry, file, exactly):
                known[file.path] = entry
            else:
                missing.append(file)
        self._parse(missing, unsettled, known)
        if missing or kept_files is None or len(before) != len(known):
            readable = {
                path: entry
                for path, entry in known.items()
                if not any(problem.code == UNREADABLE for problem in entry.declared.problems)
            }
            self._cache.keep(KeptFiles(self._cache.header, readable))
        edited = (
            known.keys() == before.keys()
            and len(missing) <= EDITED_MAX
            and all(file.kind is FileKind.SQL for file in missing)
        )
        return known, edited

    def _unchanged(self, entry: KeptFile, file: ProjectFile, exactly: bool) -> bool:
        if entry.file != file or not _same_plugins(entry.declared.plugins):
            return False
        if entry.defaults != self._digest_of_defaults(file):
            return False
        return self._sha256(file) == entry.sha256 if exactly or entry.racy else True

    def _read_defaults(self, files: Sequence[ProjectFile]) -> Iterator[tuple[str, bytes]]:
        """Yield the bytes of each readable `defaults.yaml` by path."""
        for file in files:
            if file.kind is FileKind.DEFAULTS:
                with suppress(OSError):  # it is reported like other files
                    yield file.path, self._files.declaration(file).data

    def _digest_of_defaults(self, file: ProjectFile) -> bytes:
        if not self._defaults:
            return b""
        above = defaults_above(file.path, self._defaults)
        return digest([(path, self._defaults[path]) for path in above])

    def _readable(
        self, missing: Sequence[ProjectFile], known: dict[str, KeptFile]
    ) -> Iterator[tuple[ProjectFile, Content]]:
        """Yield the files with their contents; put unreadable files into `known`."""
        for file in missing:
            try:
                yield file, self._files.declaration(file)
            except OSError as error:
                known[file.path] = KeptFile(file, "", True, _unreadable(file, error), b"")
                self._step(1)

    def _parse(
        self, missing: Sequence[ProjectFile], unsettled: set[str], known: dict[str, KeptFile]
    ) -> None:
        """Parse the missing files into `known`."""
        if not missing:
            return
        self._step(0, len(missing))
        self._workers.prepare(len(missing))
        readable = list(self._readable(missing, known))
        chunks = [readable[at : at + CHUNK] for at in range(0, len(readable), CHUNK)]
        messages = [
            ReadFiles(
                tuple(file for file, _ in chunk),
                tuple(content.data for _, content in chunk),
                self._defaults,
            )
            for chunk in chunks
        ]
        hashes = {file.path: content.sha256 for file, content in readable}

        def take(message: ReadFiles, answer: FilesRead) -> None:
            for file, declared in zip(message.files, answer.declared, strict=True):
                known[file.path] = KeptFile(
                    file,
                    hashes[file.path],
                    file.path in unsettled,
                    declared,
                    self._digest_of_defaults(file),
                )
            self._step(len(message.files))

        self._workers.read_files(messages, take)


def _plugins(declared: Sequence[Declared]) -> dict[str, dict[str, str]]:
    """Return the installed kinds that any of the files names, as `Declared.plugins`."""
    results: dict[str, dict[str, str]] = {}
    for file in declared:
        for group, states in file.plugins.items():
            results.setdefault(group, {}).update(states)
    return results


def _same_plugins(states: Mapping[str, Mapping[str, str]]) -> bool:
    """Return whether the names stand for the same installed classes as when they were read."""
    return all(
        plugin_state(group, name) == state
        for group, names in states.items()
        for name, state in names.items()
    )


def _imported(assets: Iterable[Asset], code: Code, tree: CodeTree) -> dict[str, Place]:
    """Return the modules from outside the project that Python assets import as they are loaded.

    With the first place of each. Imports in `try`, `if` and functions may never run.
    """
    python = [
        asset.name
        for asset in assets
        if isinstance(asset.body, PythonBody) and not asset.requirements
    ]
    paths = dict.fromkeys(file.path for name in python for file in code_closure(code, name))
    places: dict[str, Place] = {}
    for path in paths:
        for item in _certain_imports(code, tree, path):
            places.setdefault(item.top, Place(file=path, line=item.line))
    return places


def _certain_imports(code: Code, tree: CodeTree, path: str) -> list[Import]:
    packages = code.files[path].packages
    imports = tree.facts(path).imports if packages else ()
    return [item for item in imports if item.certain and item.top in packages]


def _not_found(module: str, place: Place) -> Problem:
    return Problem(
        code="module_missing",
        message=f"no module {shown(module)} can be found where this runs, so its import fails",
        hint=hint_for_module(module),
        place=place,
        level=ProblemLevel.WARNING,
    )


def _not_installed(asset: Asset, name: str) -> Problem:
    return Problem(
        code="code_package_missing",
        message=(
            f"`code_packages` of `{asset.name}` names `{name}`, which isn't installed where this"
            " runs"
        ),
        hint=f"{hint_for_package(name)}, or take it out",
        place=asset.place,
        level=ProblemLevel.WARNING,
    )


def _unreadable(file: ProjectFile, error: OSError) -> Declared:
    report = Report(file.path)
    report_unreadable(error, report)
    return Declared(path=file.path, problems=tuple(report.problems))


def sorted_problems(problems: list[Problem]) -> list[Problem]:
    """Return the problems in order, without duplicates."""
    unique = {problem.order: problem for problem in problems}
    return [unique[key] for key in sorted(unique)]


def _assembled(
    assembler: EditAssembler, former: KeptCompilation | None, problems: list[Problem]
) -> Compilation:
    compiled = (
        assembler.compiled_after(former, problems)
        if former is not None
        else assembler.compiled(problems)
    )
    failed = any(problem.level is ProblemLevel.ERROR for problem in problems)
    return Compilation(
        project=assembler.project,
        compiled=None if failed else compiled,
        problems=sorted_problems(problems),
        partial=compiled if failed else None,
    )
