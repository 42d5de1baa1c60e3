"""Reading the files of a dbt project: settings, YAML with lines, and texts in any encoding."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.extension import LocatedMapping, Report, load_yaml
from headrace_import.importers.imported import ImportedItem, Verdict
from headrace_import.importers.origin_files import (
    UnreadableFile,
    file_bytes,
    is_new_project,
    left_out,
)

FILE_BYTES_MAX = 8 * 2**20
"""Larger files aren't read, seeds included."""
FILES_MAX = 50_000
SETTINGS = ("dbt_project.yml", "dbt_project.yaml")
MORE_FILES = ("packages.yml", "dependencies.yml", "selectors.yml", "selectors.yaml")
_SKIPPED = {"target", "dbt_packages", "dbt_modules", "logs", "node_modules", "venv", "__pycache__"}
_DEFAULT_PATHS = {
    "model-paths": ["models"],
    "seed-paths": ["seeds"],
    "test-paths": ["tests"],
    "macro-paths": ["macros"],
    "snapshot-paths": ["snapshots"],
    "analysis-paths": ["analyses"],
}
_OLD_NAMES = {"model-paths": "source-paths", "seed-paths": "data-paths"}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the project: path relative to its root, and its text."""

    path: str
    text: str

    @property
    def stem(self) -> str:
        """The file's name without folder and ending."""
        return self.path.rpartition("/")[2].rpartition(".")[0]

    @property
    def ending(self) -> str:
        """The ending, in lower case, without the dot."""
        return self.path.rpartition(".")[2].lower()


@dataclass(slots=True)
class ProjectFiles:
    """The files of a project by role. `unreadable` are items of files that can't be read."""

    root: Path
    name: str = "dbt"
    settings: Mapping[str, Any] = field(default_factory=dict)
    settings_file: str = SETTINGS[0]
    by_role: dict[str, list[SourceFile]] = field(default_factory=dict)
    unreadable: list[ImportedItem] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    _texts: dict[str, str | None] = field(default_factory=dict)

    def role(self, role: str, *endings: str) -> Iterator[SourceFile]:
        """Yield the files below the paths of a role (`model-paths`) with these endings."""
        yield from (file for file in self.by_role.get(role, ()) if file.ending in endings)

    def text(self, path: str) -> str | None:
        """Return a file's text; None, with an item, if it can't be read as UTF-8 text."""
        if path not in self._texts:
            reason = left_out(path)
            if reason:
                self.refuse(path, 1, reason)
            self._texts[path] = None if reason else self._read(path)
        return self._texts[path]

    def texts(self) -> list[tuple[str, str]]:
        """Return path and text of all files of the project, except for data."""
        for name in MORE_FILES:
            if (self.root / name).is_file():
                self.text(name)
        return [
            (path, text)
            for path, text in self._texts.items()
            if text is not None and not path.lower().endswith(".csv")
        ]

    def _read(self, path: str) -> str | None:
        try:
            data = file_bytes(self.root, path, FILE_BYTES_MAX)
        except UnreadableFile as error:
            self.refuse(path, 1, str(error))
            return None
        self.read.append(path)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.refuse(path, data[: error.start].count(b"\n") + 1, "it isn't UTF-8 text")
            return None
        if "\0" in text:
            self.refuse(path, 1, "it isn't text: it has null characters")
            return None
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def refuse(self, path: str, line: int, why: str) -> None:
        """Record that a file can't be read. Bytes of its name that aren't UTF-8 are escaped."""
        path = path.encode("utf-8", "backslashreplace").decode()
        self.unreadable.append(
            ImportedItem(
                id=path,
                file=path,
                line=line,
                verdict=Verdict.PERSON,
                created=(),
                why=f"{why}, so nothing of it is imported",
                todo=f"correct {path}, then import again",
                original="",
            )
        )

    def yaml(self, path: str) -> Any:
        """Return a YAML file's document; None, with an item, if it can't be read."""
        text = self.text(path)
        if text is None:
            return None
        report = Report(path)
        document = load_yaml(text, report, repeated_keys=True)
        if report.problems:
            first = report.problems[0]
            self.refuse(path, first.place.line, f"its YAML can't be read: {first.message}")
            return None
        try:
            _merge_keys(document)
        except RecursionError:
            self.refuse(path, 1, "its YAML refers to itself")
            return None
        return document


def _merge_keys(value: Any) -> None:
    """Write what `<<` refers to into its mappings, as dbt reads YAML."""
    if isinstance(value, LocatedMapping):
        for source in listed(value.pop("<<", None)):
            for key, item in mapped(source).items():
                value.setdefault(key, item)
    for item in value.values() if isinstance(value, dict) else listed(value):
        if isinstance(item, dict | list):
            _merge_keys(item)


def read_files(root: Path) -> ProjectFiles:
    """Return the files of the project in the folder `root`."""
    files = ProjectFiles(root)
    for name in SETTINGS:
        if (root / name).is_file():
            files.settings_file = name
            document = files.yaml(name)
            files.settings = document if isinstance(document, LocatedMapping) else {}
            break
    else:
        files.refuse(SETTINGS[0], 1, "there is no dbt_project.yml")
    declared = files.settings.get("name")
    files.name = declared if isinstance(declared, str) and declared else "dbt"
    for role, default in _DEFAULT_PATHS.items():
        paths = files.settings.get(role) or files.settings.get(_OLD_NAMES.get(role, "")) or default
        files.by_role[role] = _files_below(files, paths)
    return files


_ENDINGS = (".sql", ".py", ".yml", ".yaml", ".md", ".csv")


def _files_below(files: ProjectFiles, paths: object) -> list[SourceFile]:
    if not isinstance(paths, list):
        return []
    folders = [files.root / str(path) for path in paths]
    names = [
        name
        for folder in folders
        if folder.is_dir() and folder.resolve().is_relative_to(files.root)
        for name in _walk(files.root, folder)
    ]
    texts = [(name, files.text(name)) for name in names[:FILES_MAX]]
    return [SourceFile(name, text) for name, text in texts if text is not None]


def _walk(root: Path, folder: Path) -> Iterator[str]:
    """Yield the paths of files below a folder, sorted; links to folders aren't followed."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED and name[0] != "." and not is_new_project(Path(parent, name))
        )
        for name in sorted(names):
            if name[0] != "." and name.lower().endswith(_ENDINGS):
                yield (Path(parent) / name).relative_to(root).as_posix()


def listed(value: object) -> list[Any]:
    """Return a value as a list: a single value becomes a list of one, nothing an empty one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def mapped(value: object) -> LocatedMapping:
    """Return a value as a mapping; anything else becomes an empty one."""
    return value if isinstance(value, LocatedMapping) else LocatedMapping(1)


def flag(value: object, default: bool = False) -> bool:
    """Return a value of YAML as true or false; dbt reads `yes` and `on` as true."""
    if isinstance(value, str):
        return value.strip().lower() in ("true", "yes", "on", "1")
    return default if value is None else bool(value)
