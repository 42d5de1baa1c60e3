"""Which names in a project's Python files mean definitions of a library, through imports."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headrace_import.importers.airflow.origin import Module, Origin
from headrace_import.importers.origin_files import UnreadableFile, working_on
from headrace_import.importers.python_definitions import (
    Definitions,
    decorators_of,
    definitions_of,
    dotted,
    imported_names,
    root_of,
)

REEXPORTS_MAX = 10
"""At most this number of files between an import and the library that it means."""
OTHER_LIBRARIES = frozenset({"airflow", "celery", "invoke", "pytest", "luigi", "metaflow"})
"""Packages with decorators of the same names."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library whose definitions are looked for."""

    name: str
    """Its package, which a file with definitions names: `prefect`."""
    decorators: Mapping[str, str]
    """Full name of each decorator that defines something → its kind."""
    calls: Mapping[str, str]
    """The same for functions and classes."""
    others: frozenset[str] = frozenset()
    """Full names that an importer asks for, and that define nothing."""

    @property
    def names(self) -> frozenset[str]:
        """All full names."""
        return frozenset({*self.decorators, *self.calls, *self.others})

    def owns(self, name: str) -> bool:
        """Whether a full dotted name is one of the library or of its integrations."""
        root = name.partition(".")[0]
        return root == self.name or root.startswith(f"{self.name}_")


def files_naming(origin: Origin, library: Library) -> tuple[dict[str, Definitions], dict[str, str]]:
    """Return the Python files that use a library, and why files can't be read, by path.

    A file uses it if its text names it, or if it imports a file of the project that uses it.
    """
    files: dict[str, Definitions] = {}
    problems: dict[str, str] = {}
    importing: dict[str, set[str]] = {}
    for path in origin.python_files:
        try:
            module = origin.module(path)
        except UnreadableFile as error:
            problems[path] = str(error)
            continue
        if library.name in module.text:
            with working_on(path):
                files[path] = definitions_of(module)
        else:
            importing[path] = _project_imports(origin, module)
            origin.forget(path)
    for path in _users(files, importing):
        files[path] = definitions_of(origin.module(path))
    for path, file in files.items():
        file.library_name = _KnownNames(origin, library, files, path)
    return dict(sorted(files.items())), problems


def _users(files: Iterable[str], importing: Mapping[str, set[str]]) -> list[str]:
    """Return the files that import these files, directly or through others."""
    used = set(files)
    results: set[str] = set()
    while True:
        new = {path for path, paths in importing.items() if paths & used} - used
        if not new:
            return sorted(results)
        used |= new
        results |= new


def _project_imports(origin: Origin, module: Module) -> set[str]:
    """Return the project's files that a file imports something from."""
    names = {name for node in ast.walk(module.tree) for _, name in imported_names(node)}
    paths = (_project_file(origin, module.path, name) for name in names)
    return {pair[0] for pair in paths if pair is not None}


def _project_file(origin: Origin, path: str, name: str) -> tuple[str, str] | None:
    """Return the project's file that the beginning of a dotted name means, and the rest."""
    level = len(name) - len(name.lstrip("."))
    parts = name[level:].split(".")
    for size in range(len(parts), 0, -1):
        file = origin.resolve(".".join(parts[:size]), path, level)
        if file is not None and file != path:
            return file, ".".join(parts[size:])
    return None


@dataclass(frozen=True, slots=True)
class _KnownNames:
    """Finds the name in the library that a name of a file means, through the project's files."""

    origin: Origin
    library: Library
    files: Mapping[str, Definitions]
    path: str

    def __call__(self, name: str) -> str:
        return self._known(self.path, name, 0)

    def _known(self, path: str, name: str, depth: int) -> str:
        if name in self.library.names:
            return name
        target = _project_file(self.origin, path, name) if "." in name else None
        if target is None or target[0] not in self.files or depth > REEXPORTS_MAX:
            return ""
        first, _, rest = target[1].partition(".")
        meanings = self.files[target[0]].meanings(first) if first else []
        known = (self._known(target[0], dotted(meaning, rest), depth + 1) for meaning in meanings)
        return next(filter(None, known), "")


def unfollowed(file: Definitions, library: Library) -> str:
    """Return what of a file's use of a library wasn't understood; empty if all was.

    To be called once all definitions of the file were read.
    """
    for node in ast.walk(file.module.tree):
        called = node.func if isinstance(node, ast.Call) else node
        names = library.calls if called is not node else library.decorators
        if not isinstance(called, ast.Name | ast.Attribute) or id(called) in file.followed:
            continue
        if file.name_of(called) in names:
            return (
                f"line {called.lineno} uses `{ast.unparse(called)[:60]}` in a way that isn't"
                " followed: what it defines is known only at run time"
            )
    return _unknown_decorator(file, library)


def _unknown_decorator(file: Definitions, library: Library) -> str:
    """Return which decorator may be the library's, but comes from elsewhere."""
    short = {name.rpartition(".")[2] for name in library.decorators}
    for line, called in decorators_of(file.module.tree):
        name = file.name_of(called)
        if name.rpartition(".")[2] in short and _comes_from_elsewhere(file, library, called):
            return (
                f"line {line} has the decorator `{name[:60]}`, which may be one of"
                f" {library.name}: the file that defines it wasn't followed"
            )
    return ""


def _comes_from_elsewhere(file: Definitions, library: Library, node: ast.expr) -> bool:
    """Whether a name comes from a module that wasn't followed, and may be the library's."""
    name, root = file.name_of(node), root_of(node)
    is_imported = root in file.aliases or (bool(file.stars) and root not in file.local)
    is_other = name.partition(".")[0] in OTHER_LIBRARIES or name in library.names
    return is_imported and not is_other
