"""The JSON responses of commands, from the classes that define them: their fields, types, and what
is said below each.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.reference_pages.markdown import code, table
from scripts.reference_pages.markdown import page as written

FOLDERS = (
    "access", "acts", "privacy", "project", "repairs", "responses", "services", "standing"
)  # fmt: skip
"""The packages that define responses."""


class Field(NamedTuple):
    """One field of a response."""

    name: str
    kind: str
    meaning: str


class Struct(NamedTuple):
    """One class."""

    name: str
    meaning: str
    fields: tuple[Field, ...]


def page(root: Path) -> str:
    """The page: every class of Headrace and of the packages beside Headrace that derives
    from `Response`, and every class of other packages in their fields.
    """
    package = root / "src/headrace"
    lead = (
        "What `--json` prints, and what `headrace.Session` gives. Every field is always there: what"
        " isn't known is null, never left out. Times are ISO 8601 with offset, decimals are text."
        " Fields may be added; none is renamed or dropped without a deprecation."
    )
    beside = sorted(root.glob("packages/*/src/*/responses/*.py"))
    own = (path for folder in FOLDERS for path in (package / folder).rglob("*.py"))
    paths = [*sorted(own), *beside]
    structs = [struct for path in paths for struct in (*_structs(path), *_of_others(package, path))]
    return written("JSON responses", lead, *map(_part, structs))


def _part(struct: Struct) -> list[str]:
    rows = [(code(field.name), code(field.kind), field.meaning) for field in struct.fields]
    return [
        f"## {struct.name}",
        "",
        *struct.meaning.splitlines(),
        "",
        *table(("field", "type", "meaning"), rows),
    ]


def _structs(path: Path) -> Iterator[Struct]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield from map(_struct, _response_classes(tree))


def _response_classes(tree: ast.Module) -> list[ast.ClassDef]:
    return [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Response" for base in node.bases)
    ]


def _struct(node: ast.ClassDef) -> Struct:
    meaning = "\n".join(line.strip() for line in (ast.get_docstring(node) or "").splitlines())
    return Struct(node.name, meaning, tuple(_fields(node)))


def _of_others(package: Path, path: Path) -> Iterator[Struct]:
    """The structs of other packages in the fields of responses, or listed beside them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    used = _names_of_responses(tree)
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            names = {alias.name for alias in statement.names} & used
            yield from _structs_of(package, statement.module or "", names)


def _names_of_responses(tree: ast.Module) -> set[str]:
    responses = _response_classes(tree)
    lists = [node for node in tree.body if isinstance(node, ast.Assign)] if responses else []
    inside = (inner for node in (*responses, *lists) for inner in ast.walk(node))
    return {node.id for node in inside if isinstance(node, ast.Name)}


def _structs_of(package: Path, module: str, names: set[str]) -> Iterator[Struct]:
    """The structs that a module of another package has; a package offers none of responses."""
    file = package.parent / Path(*module.split(".")).with_suffix(".py")
    if not module.startswith("headrace.") or module.split(".")[1] in FOLDERS or not file.exists():
        return
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name in names:
            yield _struct(node)


def _fields(node: ast.ClassDef) -> Iterator[Field]:
    for statement, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield Field(statement.target.id, ast.unparse(statement.annotation), _said(after))


def _said(statement: ast.stmt | None) -> str:
    """The text that stands below a field."""
    if (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    ):
        return " ".join(statement.value.value.split())
    return ""
