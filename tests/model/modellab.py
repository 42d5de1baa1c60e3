"""A project folder for tests: real files, read as `headrace validate` reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from headrace.compiler.project_files import read_text, scan
from headrace.model import (
    Declared,
    FileKind,
    Problem,
    Project,
    ProjectFile,
    link,
)
from headrace.model.errors import Report
from headrace.model.parsing import parse_text


def parse_file(root: Path, file: ProjectFile) -> Declared:
    """Read and parse a declaration file, as the compiler does."""
    report = Report(file.path)
    text = read_text(root, file, report)
    if text is None:
        return Declared(path=file.path, problems=tuple(report.problems))
    return parse_text(file.kind, text, report)


OWNERS = "core: {kind: team, contact: ['mailto:core@example.com']}\nacme: {kind: vendor}\n"
SETTINGS = '[project]\nname = "shop"\ntimezone = "America/New_York"\n'
KINDS = {
    "headrace.toml": FileKind.SETTINGS,
    "owners.yaml": FileKind.OWNERS,
    "access.yaml": FileKind.ACCESS,
    "sources/orders.yaml": FileKind.SOURCE,
    "assets/orders.sql": FileKind.SQL,
    "assets/orders.py": FileKind.PYTHON,
    "assets/orders.yaml": FileKind.YAML_ASSET,
    "consumers.yaml": FileKind.CONSUMERS,
    "contracts/orders.odcs.yaml": FileKind.CONTRACT,
    "calendars/orders.yaml": FileKind.CALENDAR,
    "macros/orders.sql": FileKind.MACRO,
    "tests/orders.yaml": FileKind.TEST,
}
"""One path of each kind."""

Write = Callable[[str, str | bytes], Path]
Parse = Callable[[str, str | bytes], Declared]
Load = Callable[..., tuple[Project | None, list[Problem]]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of the project."""

    def writer(path: str, content: str | bytes) -> Path:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    return writer


@pytest.fixture
def parse(tmp_path: Path, write: Write) -> Parse:
    """What one file declares. It must survive the cache: encoded and decoded it is the same."""

    def parser(path: str, content: str | bytes) -> Declared:
        write(path, content)
        folder, suffix = path.split("/", maxsplit=1)[0], path[-4:]
        kind = next(
            kind
            for other, kind in KINDS.items()
            if other.split("/", maxsplit=1)[0] == folder and other.endswith(suffix)
        )
        declared = parse_file(
            tmp_path, ProjectFile(path=path, kind=kind, size=0, mtime_ns=0, ctime_ns=0, inode=0)
        )
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(declared), type=Declared) == declared
        return declared

    return parser


@pytest.fixture
def load(tmp_path: Path, write: Write) -> Load:
    """The project of some files; settings and owners are there unless given."""

    def loader(**files: str) -> tuple[Project | None, list[Problem]]:
        for path, text in {"headrace.toml": SETTINGS, "owners.yaml": OWNERS, **files}.items():
            write(path, text)
        seen = scan(tmp_path)
        project, problems = link([parse_file(tmp_path, file) for file in seen.files])
        return project, [*seen.problems, *problems]

    return loader


def sql(body: str = "select 1 as x", **fields: str) -> str:
    """An SQL asset with a front matter."""
    front = "".join(f"{name}: {value}\n" for name, value in {"owner": "core", **fields}.items())
    return f"/* headrace\n{front}*/\n{body}\n"


def told(problems: list[Problem] | tuple[Problem, ...]) -> list[str]:
    """`code file:line` of each problem."""
    return [f"{problem.code} {problem.place.file}:{problem.place.line}" for problem in problems]


FILES_OF_A_SOURCE = "source: s\nowner: core\nfiles: landing/x.csv\n"


def require_right(parse: Parse, text: str) -> None:
    """Fail if a field of a source has a problem."""
    assert told(parse("sources/s.yaml", f"{FILES_OF_A_SOURCE}{text}\n").problems) == []


def require_wrong(parse: Parse, text: str, code: str) -> None:
    """Fail unless a field of a source is refused with its line and what to do."""
    problems = parse("sources/s.yaml", f"{FILES_OF_A_SOURCE}{text}\n").problems
    assert code in {problem.code for problem in problems}
    assert {problem.place.line for problem in problems} == {4}
    assert all(problem.hint for problem in problems)
