"""Report code in `src` and `scripts` that no code there uses: `make lint`.

    python -m scripts.dead_code

Vulture finds it; its paths and exceptions are in pyproject.toml. Tests don't count as users: what
only tests call is dead. This program adds the uses that vulture can't see, because a name is in a
string or a table: functions written `module:function`, commands found by their name, fields of
structs that are encoded as JSON, values of enums that are stored, and the public methods of
`headrace.Session`.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from vulture import Vulture

from headrace.access.permissions import COMMANDS
from headrace.cli.command_table import BY_NAME
from headrace.installed_commands import installed_commands

ROOT = Path(__file__).resolve().parent.parent
_REFERENCE = re.compile(r"[a-z_.]+:(\w+)")
_KINDS = ("CheckKind", "SourceKind", "RecordFormat", "ExportKind")
"""Base classes whose subclasses are found by the names of their modules."""
_BY_NAME = ("Struct", "Response", "TypedDict", "NamedTuple", "Enum")
"""Ends of the names of base classes whose fields are read by name, value or order."""


def main() -> int:
    """Print what is unused; return 1 if there is any."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    settings = settings["tool"]["vulture"]
    finder = Vulture(
        ignore_names=settings["ignore_names"], ignore_decorators=settings["ignore_decorators"]
    )
    paths = [ROOT / path for path in settings["paths"]]
    finder.scavenge(paths, exclude=settings["exclude"])
    typed = (*BY_NAME, *installed_commands())
    commands = {f"{re.sub('[- ]', '_', name)}_command" for name in typed}
    names = commands | {row.session for row in COMMANDS.values()}
    for path in paths:
        for file in path.rglob("*.py"):
            names.update(_used_by_name(ast.parse(file.read_text(encoding="utf-8"))))
    finder.scan("\n".join(sorted(names)), filename="used by name")
    unused = finder.get_unused_code()
    for item in unused:
        print(f"{item.filename.relative_to(ROOT)}:{item.first_lineno}: {item.message}")
    return 1 if unused else 0


def _used_by_name(tree: ast.Module) -> Iterator[str]:
    """Yield the functions that strings name, the fields of structs and the members of enums."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if reference := _REFERENCE.fullmatch(node.value):
                yield reference[1]
        elif isinstance(node, ast.ClassDef):
            yield from _class_by_name(node)


def _class_by_name(node: ast.ClassDef) -> list[str]:
    if any(ast.unparse(base).endswith(_KINDS) for base in node.bases):
        return [node.name]
    return _assigned(node) if _is_read_by_name(node) else []


def _assigned(node: ast.ClassDef) -> list[str]:
    names = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def _is_read_by_name(node: ast.ClassDef) -> bool:
    is_struct = bool(node.keywords)  # `frozen=True` and the like
    return is_struct or any(ast.unparse(base).endswith(_BY_NAME) for base in node.bases)


if __name__ == "__main__":
    sys.exit(main())
