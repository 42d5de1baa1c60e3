"""Small projects on disk for these tests."""

from __future__ import annotations

from pathlib import Path

from headrace.compiler.compiling import compile_project
from headrace.model import Problem
from headrace.plan import Compilation, Compiled

SETTINGS = '[project]\nname = "p"\ntimezone = "UTC"\n[parameters]\nthreshold = 15\n'
OWNERS = (
    "core: {kind: team, contact: ['mailto:core@example.com']}\nvendor: {kind: vendor, contact:"
    " ['mailto:v@example.com'], manager: core}\n"
)
CONTRACT = """apiVersion: v3.0.2
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
"""


def write(root: Path, files: dict[str, str]) -> Path:
    """A project with settings, owners, and these files."""
    for path, text in {"headrace.toml": SETTINGS, "owners.yaml": OWNERS, **files}.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return root


def source(name: str, partition: str = "day") -> str:
    return (
        f"source: {name}\nowner: vendor\npartition: {partition}\nfiles:"
        f" landing/{name}_{{date:%Y-%m-%d}}.csv\n"
        if partition == "day"
        else (f"source: {name}\nowner: vendor\npartition: '*'\nfiles: landing/{name}.csv\n")
    )


def contract(name: str, **columns: str) -> str:
    return CONTRACT.format(name=name) + "".join(
        f"      - name: {column}\n        logicalType: {logical}\n        physicalType:"
        f" {physical}\n"
        for column, (logical, physical) in (
            (column, kind.split("|")) for column, kind in columns.items()
        )
    )


def sql(body: str, **front: str) -> str:
    lines = "".join(f"{key}: {value}\n" for key, value in {"owner": "core", **front}.items())
    return f"/* headrace\n{lines}*/\n{body}\n"


def python(name: str, reads: str) -> str:
    """A Python asset by day that gives what it reads."""
    return (
        'from headrace import asset\n@asset(owner="core", partition="day",'
        f' inputs=["{reads}"])\ndef {name}({reads}):\n    return {reads}\n'
    )


def compiled(root: Path, **options: object) -> Compiled:
    """The project, which must be without errors."""
    result = compile_project(root, **options)  # type: ignore[arg-type]
    assert result.compiled is not None, result.problems
    return result.compiled


def of(problems: list[Problem], code: str) -> list[Problem]:
    return [problem for problem in problems if problem.code == code]


def same(left: Compilation, right: Compilation) -> bool:
    """Compilations that say the same."""
    return (
        left.compiled == right.compiled
        and left.problems == right.problems
        and left.project == right.project
    )
