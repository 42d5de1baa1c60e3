"""The closure of an asset's code: the project's files that its imports lead to.

No user code runs. The graph of files is built once per project; `code_closure` in
`headrace.plan.compiled` reads one asset's files from it. If an import can't be followed, more files
count rather than fewer: a change may be reported that affects no asset, but none is missed.

At run time a Python asset finds modules in the project's folder, then in that of its own file; a
command's script in the folder of the script, then in the project's. A module that an asset reaches
through another file is searched in all of these folders.
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from headrace.model import Asset, CommandBody, Place, Problem, PythonBody, Value
from headrace.model.errors import ProblemLevel
from headrace.model.python_code import Import, ModuleFacts, facts_of
from headrace.plan.compiled import Code, CodeFile, Use
from headrace.plan.requirements import LOCK, Lock, lock_path, requirements_digest

PYTHON = ".py"
INIT = "__init__.py"
SOURCES = "src"
"""Folder of the modules of a project that is itself installed, editable or by PYTHONPATH."""
FILES_MAX = 20_000
"""Maximum number of code files in a project; more are data, or belong to another project."""
_INTERPRETERS = ("python", "pypy")


class Listing(Value):
    """The names in one folder: possible code files, and folders to search."""

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()


class CodeFiles(Protocol):
    """The files of a project; paths are relative to it, and "" is its own folder."""

    def listing(self, folder: str) -> Listing:
        """Return the contents of a folder; empty if it can't be listed."""

    def sha256(self, path: str) -> str:
        """Return the hash of a file's bytes; raises OSError."""

    def facts(self, path: str) -> ModuleFacts:
        """Return the facts of a Python file; raises OSError."""

    def lock(self, path: str) -> Lock:
        """Return what a lock of `requirements` says; raises OSError."""

    def matches(self, pattern: str) -> Sequence[str]:
        """Return the files that match a pattern, in which `**` stands for any folders."""

    def inside(self, argument: str) -> str | None:
        """Return the project file that a command's argument names; None for anything else."""


def find(assets: Collection[Asset], tree: CodeFiles) -> tuple[Code, list[Problem]]:
    """Return the code files that these assets use, and warnings for unfollowable imports."""
    return _Finding(assets, tree).closure()


class _Finding:
    def __init__(self, assets: Collection[Asset], tree: CodeFiles) -> None:
        self._assets, self._tree = assets, tree
        self._files: dict[str, CodeFile] = {}
        self._locked: dict[str, dict[str, str]] = {}
        self._problems: list[Problem] = []
        self._waiting: list[str] = []
        self._searched: dict[str, list[str]] = {}
        self._entries = sorted(
            {_folder(asset.body.file) for asset in assets if isinstance(asset.body, PythonBody)}
        )
        self._scripts: set[str] = set()
        self._moves_path = False

    def closure(self) -> tuple[Code, list[Problem]]:
        starts = self._all()
        if any(
            self._tree.facts(path).moves_path
            for path, file in self._files.items()
            if path.endswith(PYTHON) and file.sha256
        ):
            self._moves_path, self._files, self._problems = True, {}, []
            starts = self._all()
        return Code(files=self._files, starts=starts, locked=self._locked), self._problems

    def _all(self) -> dict[str, tuple[Use, ...]]:
        """The direct uses of every asset, with the files reached from them in `_files`."""
        starts = {asset.name: tuple(self._starts(asset)) for asset in self._assets}
        for uses in starts.values():
            self._waiting += [use.path for use in uses]
        self._follow()
        return {name: uses for name, uses in starts.items() if uses}

    # -- files that an asset names itself

    def _starts(self, asset: Asset) -> Iterator[Use]:
        if isinstance(asset.body, PythonBody):
            yield Use(path=asset.body.file, text="", line=asset.body.line)
            for package in self._packages_above(asset.body.file):
                yield Use(path=package, text=f"{asset.body.file} lies in this package", line=1)
        if isinstance(asset.body, CommandBody):
            yield from self._command(asset.body)
        if asset.requirements:
            yield from self._lock(asset)
        for pattern in asset.code_files:
            paths = self._tree.matches(pattern)
            if not paths:
                self._problems.append(
                    Problem(
                        code="code_file_missing",
                        message=(
                            f"`code_files` of `{asset.name}` names {pattern!r}, and no file of the"
                            " project matches it"
                        ),
                        hint=(
                            "paths are relative to the project's folder; `**` stands for any"
                            " folders"
                        ),
                        place=asset.place,
                    )
                )
            yield from (
                Use(path=path, text=f"code_files: {pattern}", line=asset.place.line)
                for path in paths
            )

    def _lock(self, asset: Asset) -> Iterator[Use]:
        """Yield the lock of an asset's `requirements`, which must be for what it declares now."""
        path = lock_path(asset.name)
        wrong = f"there is no {path}" if self._tree.inside(path) is None else ""
        try:
            digest = requirements_digest(asset.requirements, self._tree.sha256)
            if not wrong and self._tree.lock(path).declared == digest:
                yield Use(path=path, text="requirements", line=asset.place.line)
                return
            wrong = wrong or f"{path} was made for others"
        except OSError as error:
            wrong = f"{error.filename} can't be read: {error.strerror}"
        self._problems.append(
            Problem(
                code="requirements_not_locked",
                message=f"`requirements` of `{asset.name}` aren't locked: {wrong}",
                hint=f"headrace lock {asset.name}",
                place=asset.place,
            )
        )

    def _packages_above(self, path: str) -> Iterator[str]:
        """Yield the `__init__.py` of each folder on the way to a file, which run first."""
        folder = ""
        for name in path.split("/")[:-1]:
            folder = _join(folder, name)
            if INIT in self._tree.listing(folder).files and _join(folder, INIT) != path:
                yield _join(folder, INIT)

    def _command(self, body: CommandBody) -> Iterator[Use]:
        """Yield the program and every argument (also `--name=file`) that is a project file."""
        for argument in body.command:
            for text in (argument, argument.partition("=")[2]):
                path = self._tree.inside(text) if text else None
                if path is not None:
                    self._scripts.add(_folder(path))
                    yield Use(path=path, text="command", line=body.line)
        yield from self._interpreted(body)

    def _interpreted(self, body: CommandBody) -> Iterator[Use]:
        """Yield the code run by `python -m module` and `python -c text`.

        Modules are searched in the folder in which the command runs.
        """
        program = posixpath.basename(body.command[0])
        if not program.startswith(_INTERPRETERS):
            return
        for option, value in zip(body.command[1:], body.command[2:], strict=False):
            if option == "-m":
                imported = Import(module=value, line=body.line, names=("__main__",))
            elif option == "-c":
                yield from self._uses(
                    facts_of(value.encode("utf-8", "surrogatepass")), "", "command "
                )
                return
            else:
                continue
            yield from (
                Use(path=path, text=f"command -m {value}", line=body.line)
                for path in self._absolute(imported, [""])
            )
            return

    # -- from file to file

    def _follow(self) -> None:
        while self._waiting:
            path = self._waiting.pop()
            if path in self._files:
                continue
            try:
                sha256 = self._tree.sha256(path)
            except OSError as error:
                self._problems.append(_unreadable(path, error))
                self._files[path] = CodeFile(sha256="", digest="")
                continue
            if not path.endswith(PYTHON):
                self._files[path] = CodeFile(sha256=sha256, digest=self._digest(path, sha256))
                continue
            facts = self._tree.facts(path)
            uses = tuple(self._uses(facts, path, ""))
            self._files[path] = CodeFile(
                sha256=sha256, digest=facts.digest, uses=uses, packages=self._packages(facts, path)
            )
            self._waiting += [use.path for use in uses]
            if len(self._files) > FILES_MAX:
                self._problems.append(_too_many(path))
                self._waiting.clear()

    def _digest(self, path: str, sha256: str) -> str:
        """Return what counts of a file that isn't Python: its bytes, or the packages of a lock."""
        if not path.endswith(LOCK) or not (lock := self._tree.lock(path)).declared:
            return sha256
        self._locked[path] = lock.versions
        return lock.digest

    def _uses(self, facts: ModuleFacts, path: str, prefix: str) -> Iterator[Use]:
        """Yield each file that a file uses, once: by its first import, or as unfollowed."""
        seen = {path}
        for use in self._all_uses(facts, path, prefix):
            if use.path not in seen:
                seen.add(use.path)
                yield use

    def _all_uses(self, facts: ModuleFacts, path: str, prefix: str) -> Iterator[Use]:
        for imported in facts.imports:
            text = _import_text(imported)
            if imported.whole:
                package = imported.module.replace(".", "/")
                self._problems.append(_not_followed(path, imported.line, f"`{text}`", package))
            for used in self._resolve(imported, path):
                yield Use(path=used, text=prefix + text, line=imported.line)
        for item in facts.unfollowed:
            folder = _folder(path)
            self._problems.append(_not_followed(path, item.line, item.what, folder))
            text = f"{prefix}{item.what}, which can't be followed"
            for used in self._below(folder):
                yield Use(path=used, text=text, line=item.line)

    def _resolve(self, imported: Import, path: str) -> list[str]:
        if imported.level:
            base = _folder(path)
            for _ in range(imported.level - 1):
                base = _folder(base)
            return self._at(base, imported)
        results = self._absolute(imported, self._bases(path))
        if not results and self._moves_path and imported.top not in sys.stdlib_module_names:
            results = self._anywhere(imported)
        return results

    def _bases(self, path: str) -> list[str]:
        """Return the folders searched for a file's absolute imports, in order.

        `src` if installed.
        """
        folder = _folder(path)
        if any(
            folder == script or folder.startswith(f"{script}/") or not script
            for script in self._scripts
        ):
            return list(
                dict.fromkeys([folder, *sorted(self._scripts), "", *self._entries, SOURCES])
            )
        return ["", folder, SOURCES] if folder in self._entries else ["", *self._entries, SOURCES]

    def _absolute(self, imported: Import, bases: Sequence[str]) -> list[str]:
        """Return the files of an absolute import in the first folder that has it.

        Python's own modules take precedence over the project's, except for modules next to a
        script.
        """
        if imported.top in sys.stdlib_module_names and not self._scripts.intersection(bases):
            return []
        for base in bases:
            if results := self._at(base, imported):
                return results
        return []

    def _anywhere(self, imported: Import) -> list[str]:
        """Return all modules of that name in the project, for a file that changes `sys.path`."""
        return [path for folder in self._folders("") for path in self._at(folder, imported)]

    def _at(  # complexipy: ignore (the steps of Python's own search, in their order)
        self, base: str, imported: Import
    ) -> list[str]:
        """Return the files that run on an import from the folder `base`.

        Packages' `__init__`, and the module.
        """
        results: list[str] = []
        folder = base
        parts = imported.module.split(".") if imported.module else []
        if imported.level and INIT in self._tree.listing(base).files:
            results.append(_join(base, INIT))
        for number, part in enumerate(parts):
            here, below = self._tree.listing(folder), _join(folder, part)
            is_package = part in here.folders and INIT in self._tree.listing(below).files
            if not is_package and part + PYTHON in here.files:
                return [*results, below + PYTHON]
            if part not in here.folders:
                return [] if number == 0 else results
            folder = below
            results += [_join(folder, INIT)] if is_package else []
        if imported.whole:
            return [*results, *self._below(folder)]
        return [*results, *self._named(folder, imported)]

    def _named(self, folder: str, imported: Import) -> Iterator[str]:
        """Yield the modules among the names imported from a package."""
        names: Sequence[str] = imported.names
        if "*" in names:
            has_init = INIT in self._tree.listing(folder).files
            names = (self._tree.facts(_join(folder, INIT)).exports or ()) if has_init else ()
        here = self._tree.listing(folder)
        for name in names:
            if name + PYTHON in here.files:
                yield _join(folder, name + PYTHON)
            elif name in here.folders and INIT in self._tree.listing(_join(folder, name)).files:
                yield _join(_join(folder, name), INIT)

    def _below(self, folder: str) -> list[str]:
        """Return all Python files in a folder and below."""
        if folder not in self._searched:
            self._searched[folder] = [
                _join(item, name)
                for item in self._folders(folder)
                for name in sorted(self._tree.listing(item).files)
                if name.endswith(PYTHON)
            ]
        return self._searched[folder]

    def _folders(self, top: str) -> Iterator[str]:
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting += [
                _join(folder, name)
                for name in sorted(self._tree.listing(folder).folders, reverse=True)
            ]

    def _packages(self, facts: ModuleFacts, path: str) -> tuple[str, ...]:
        absolute = (
            item for item in facts.imports if not item.level and not self._resolve(item, path)
        )
        return tuple(sorted({item.top for item in absolute} - sys.stdlib_module_names))


def _not_followed(path: str, line: int, what: str, folder: str) -> Problem:
    counted = f"all Python files of {folder}/" if folder else "all Python files of the project"
    return Problem(
        code="code_not_followed",
        message=(
            f"{what} can't be followed without running it: {counted} count as code of whatever"
            " imports this file"
        ),
        hint="import by name, or list the files in `code_files` of the assets that use them",
        place=Place(file=path, line=line),
        level=ProblemLevel.WARNING,
    )


def _too_many(path: str) -> Problem:
    return Problem(
        code="file_not_read",
        message=f"assets use more than {FILES_MAX:,} files of code",
        hint="data belongs in sources, other projects' code in packages: narrow `code_files`",
        place=Place(file=path),
    )


def _unreadable(path: str, error: OSError) -> Problem:
    return Problem(
        code="file_unreadable",
        message=f"the file can't be read: {error.strerror or error}",
        hint="an asset's code uses it: check that it is there, and its permissions",
        place=Place(file=path),
    )


def _import_text(imported: Import) -> str:
    """Return the import as written in the file."""
    dots = "." * imported.level
    if imported.names and not imported.whole:
        return f"from {dots}{imported.module} import {', '.join(imported.names)}"
    return f"import {dots}{imported.module}" + (".…" if imported.whole else "")


def _folder(path: str) -> str:
    return posixpath.dirname(path)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
