"""The files of an Airflow project: which there are, their texts, and what an import names."""

from __future__ import annotations

import ast
import io
import os
import tokenize
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path, PurePosixPath

from headrace_import.importers.origin_files import (
    LINK_OUT,
    UnreadableFile,
    file_bytes,
    is_new_project,
    leads_out,
)

__all__ = ["FAKE_ROOT", "Module", "Origin", "UnreadableFile"]

FILE_BYTES_MAX = 16 * 1024 * 1024
DATA_BYTES_MAX = 1024 * 1024
FILES_MAX = 20_000
FAKE_ROOT = "/airflow-project"
"""Where a file of the project says that it lies (`__file__`): never a path of this machine."""
SKIPPED_FOLDERS = frozenset(
    {".git", ".venv", "venv", "node_modules", "__pycache__", "site-packages", ".tox"}
)
SEARCHED_FOLDERS = ("dags", "plugins", "include", "src")


@dataclass(eq=False, slots=True)
class Module:
    """A Python file's text and syntax tree."""

    path: str
    text: str
    tree: ast.Module
    lines: list[str] = field(default_factory=list)

    def segment(self, line: int, end_line: int) -> str:
        """Return the lines of a range, both included and counted from 1."""
        if not self.lines:
            self.lines = self.text.splitlines()
        return "\n".join(self.lines[line - 1 : end_line])


class Origin:
    """The folder (or the single file) of an Airflow project; nothing outside it is read."""

    def __init__(self, root: Path) -> None:
        self.root = root if root.is_dir() else root.parent
        self._only = "" if root.is_dir() else root.name
        """The only file whose tasks are read; others are found beside it."""
        self._package = root.resolve().parts if root.is_dir() else ()
        self._refused: dict[str, str] = {}
        """What isn't read at all, with the reason: a folder, or the first file beyond the limit."""
        self.paths = sorted(self._walk())
        self._known = set(self.paths)
        self._modules: dict[str, Module] = {}

    def _walk(self) -> list[str]:
        results: list[str] = []
        for folder, folders, names in os.walk(self.root, onerror=self._refuse_folder):
            folders[:] = sorted(
                name
                for name in folders
                if name not in SKIPPED_FOLDERS and not is_new_project(Path(folder, name))
            )
            self._refuse_links(Path(folder, name) for name in folders)
            results += (self._relative(Path(folder, name)) for name in sorted(names))
            if len(results) > FILES_MAX:
                self._refused[results[FILES_MAX]] = (
                    f"the folder has more than {FILES_MAX} files: this one and others aren't read"
                )
                break
        return results[:FILES_MAX]

    def _refuse_links(self, folders: Iterable[Path]) -> None:
        """Note linked folders outside; those inside are read where they are."""
        for path in folders:
            if path.is_symlink() and leads_out(self.root, path):
                self._refused[self._relative(path)] = LINK_OUT

    def _refuse_folder(self, error: OSError) -> None:
        """Note a folder that can't be listed."""
        path = self._relative(Path(os.fsdecode(error.filename)))
        self._refused[path] = f"the folder can't be read: {error.strerror}"

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    @property
    def python_files(self) -> list[str]:
        """The Python files, and what isn't read at all: `module` says why."""
        if self._only:
            return [self._only]
        return [*(path for path in self.paths if path.endswith(".py")), *sorted(self._refused)]

    def module(self, path: str) -> Module:
        """Return a Python file, parsed. Raises `UnreadableFile`."""
        if path not in self._modules:
            self._modules[path] = self._parsed(path)
        return self._modules[path]

    def forget(self, path: str) -> None:
        """Drop a parsed file, to keep memory small."""
        self._modules.pop(path, None)

    def _parsed(self, path: str) -> Module:
        text = self._text(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except SyntaxError as error:
            where = f" in line {error.lineno}" if error.lineno else ""
            raise UnreadableFile(f"Python can't parse it{where}: {error.msg}") from None
        except (ValueError, MemoryError, RecursionError) as error:
            reason = "it is nested too deeply" if not isinstance(error, ValueError) else str(error)
            raise UnreadableFile(f"Python can't parse it: {reason}") from None
        return Module(path, text, tree)

    def _text(self, path: str) -> str:
        data = self.data(path)
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            return io.TextIOWrapper(io.BytesIO(data), encoding, newline=None).read()
        except (SyntaxError, LookupError, UnicodeError) as error:
            raise UnreadableFile(f"its encoding can't be read: {error}") from None

    def data(self, path: str) -> bytes:
        """Return a file's bytes, at most `FILE_BYTES_MAX`. Raises `UnreadableFile`."""
        if path in self._refused:
            raise UnreadableFile(self._refused[path])
        return file_bytes(self.root, path, FILE_BYTES_MAX)

    def resolve(self, name: str, file: str, level: int = 0) -> str | None:
        """Return the project's file that `import name` in `file` means, or None."""
        parts = [part for part in name.split(".") if part]
        here = Path(file).parent
        if level:
            for _ in range(level - 1):
                here = here.parent
            return self._module_file(here, parts)
        if parts and parts[0] == "airflow":
            return None
        folders = [here, *here.parents, *(Path(folder) for folder in SEARCHED_FOLDERS)]
        places = [(folder, parts) for folder in folders]
        places += [
            (Path(), parts[length:])
            for length in range(1, len(parts) + 1)
            if tuple(parts[:length]) == self._package[-length:]  # PATH is the package itself
        ]
        return next(filter(None, (self._module_file(*place) for place in places)), None)

    def _module_file(self, folder: Path, parts: list[str]) -> str | None:
        base = folder.joinpath(*parts)
        for path in (f"{base.as_posix()}.py", (base / "__init__.py").as_posix()):
            if path in self._known:
                return path
        return None

    def data_file(self, path: str, near: str) -> tuple[str, str] | None:
        """Return a file of the project that code names, as path and text; None if there is none.

        `path` may be absolute below `FAKE_ROOT`, or relative to the file `near`, to a folder above
        it, or to a folder in which projects keep such files.
        """
        if path.startswith(FAKE_ROOT + "/"):
            candidates = [path[len(FAKE_ROOT) + 1 :]]
        elif path.startswith("/"):
            candidates = self._below_dags(path)
        else:
            here = Path(near).parent
            folders = [here, *here.parents, *(Path(folder) for folder in SEARCHED_FOLDERS)]
            candidates = [(folder / path).as_posix() for folder in folders]
        for candidate in candidates:
            normalized = os.path.normpath(candidate)
            if normalized in self._known:
                return self._with_text(normalized)
        return None

    def template_file(self, path: str, folders: list[str], near: str) -> tuple[str, str] | None:
        """Return the only file that a template's name may mean, where its folder isn't here.

        `folders` are the search path of the DAG on the machine of Airflow, as far as it is known. A
        project mostly has the last part of such a folder (`/usr/local/airflow/sql` is `sql`).
        """
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            return None
        last_parts = [name for folder in folders if (name := PurePosixPath(folder).name)]
        for ending in [*(f"/{name}/{path}" for name in last_parts), f"/{path}"]:
            templates = self._nearest(ending, near)
            if len(templates) == 1:
                return self._with_text(templates[0])
        return None

    def _nearest(self, ending: str, near: str) -> list[str]:
        """Files with this end of their path that share the most folders with `near`."""
        by_distance: dict[int, list[str]] = {}
        for known in self.paths:
            if f"/{known}".endswith(ending):
                by_distance.setdefault(_common_parts(known, near), []).append(known)
        return by_distance[max(by_distance)] if by_distance else []

    @staticmethod
    def _below_dags(path: str) -> list[str]:
        """`/usr/local/airflow/dags/sql/x.sql` is most likely `dags/sql/x.sql`."""
        for folder in ("dags", "include", "plugins"):
            _, separator, rest = path.partition(f"/{folder}/")
            if separator:
                return [f"{folder}/{rest}", rest]
        return []

    def _with_text(self, path: str) -> tuple[str, str] | None:
        """Return a file's path and text; None if it can't be read, or not as a whole."""
        try:
            data = file_bytes(self.root, path, DATA_BYTES_MAX)
        except UnreadableFile:
            return None
        return path, data.decode("utf-8", "replace")


def _common_parts(path: str, other: str) -> int:
    """Return how many folders two paths have in common."""
    pairs = zip(PurePosixPath(path).parent.parts, PurePosixPath(other).parent.parts, strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
