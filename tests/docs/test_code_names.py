"""What comments, docstrings and documents call by a dotted name is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/headrace"
PACKAGES = "|".join(sorted(path.parent.name for path in SOURCE.glob("*/__init__.py")))
NAME = re.compile(rf"`((?:headrace\.)?(?:{PACKAGES})(?:\.[A-Za-z_]+)+)(?:\([^`]*\))?`")
FILES = {"store.py", "lake.py", "engine.py", "access.yaml"}
"""Files of projects and folders that only look like modules."""
FIELDS = {
    "plan.outcome",
    "lake.elsewhere",
    "store.path",
    "store.url",
    "lake.path",
    "plan.id",
    "store.read",
    "store.write",
    "lake.moved",
    "access.denied",
    "access.temporary",
    "project.applied",
}
"""Columns of the state, fields of declarations, kinds of audit entries, methods of a `store`."""


def texts() -> list[Path]:
    """Files in which names are looked for."""
    return [
        *SOURCE.rglob("*.py"),
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "packages").rglob("*.py"),
    ]


@cache
def defined(module: Path) -> frozenset[str]:
    """The names that a module defines or imports, at its top or in a class."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).rpartition(".")[2])
    return frozenset(names)


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    folder, *parts = SOURCE, *name.removeprefix("headrace.").split(".")
    for number, part in enumerate(parts):
        if (folder / part).is_dir():
            folder /= part
        elif (folder / f"{part}.py").exists():
            return not parts[number + 1 :] or parts[number + 1] in defined(folder / f"{part}.py")
        else:
            stub = folder / "__init__.pyi"  # of a module with lazy names
            return part in defined(stub if stub.exists() else folder / "__init__.py")
    return True


def test_names_of_code_are_there() -> None:
    """Would catch: a comment that sends its reader to a module that was renamed or deleted."""
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in texts()
        for name in NAME.findall(path.read_text(encoding="utf-8"))
        if name not in FILES | FIELDS and not exists(name)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("store.queries", True),
        ("store.lease.holder", True),
        ("store.nothing", False),
        ("store.lease.nobody", False),
    ],
)
def test_a_name_is_looked_up(name: str, there: bool) -> None:
    assert exists(name) is there
