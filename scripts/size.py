"""How much code there is: statements, names, classes, functions and files of each package, from the
syntax tree.

    python scripts/size.py [FOLDER] [--json]

Lines and the share of comments are printed too; they are no goal. Statements are `ast.stmt` nodes
without docstrings, names are the distinct identifiers that a package defines.
"""

from __future__ import annotations

import ast
import io
import json
import sys
import tokenize
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = "demo_project"
"""A user's project that the package brings along."""
LINES_MAX = 600
GENERATED = "session_methods.py"
"""Written by scripts/session_methods.py; nobody reads it from top to bottom."""
COUNTS = (
    "files",
    "files over 600 lines",
    "statements",
    "classes",
    "functions",
    "names",
    "lines",
    "comment lines",
)


def is_docstring(node: ast.stmt) -> bool:
    """Whether a statement is nothing but a string."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def add(size: Counter[str], names: set[str], text: str) -> None:
    """Count one file into its package."""
    lines = text.count("\n")
    size["files"] += 1
    size["lines"] += lines
    size["comment lines"] += sum(
        token.type == tokenize.COMMENT
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
    )
    for node in ast.walk(ast.parse(text)):
        size["statements"] += isinstance(node, ast.stmt) and not is_docstring(node)
        size["classes"] += isinstance(node, ast.ClassDef)
        size["functions"] += isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)


def sizes(folder: Path) -> dict[str, Counter[str]]:
    """Package → its size, and `all` for the whole."""
    result: dict[str, Counter[str]] = defaultdict(Counter)
    names: dict[str, set[str]] = defaultdict(set)
    for path in sorted(folder.rglob("*.py")):
        if NOT_OURS in path.parts:
            continue
        inside = path.relative_to(folder).parts
        package = inside[0] if len(inside) > 1 else "."
        text = path.read_text(encoding="utf-8")
        for key in (package, "all"):
            add(result[key], names[key], text)
            if path.name != GENERATED:
                result[key]["files over 600 lines"] += text.count("\n") > LINES_MAX
    for key, size in result.items():
        size["names"] = len(names[key])
    return result


def main() -> None:
    """Print a table, or one JSON document with `--json`."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--json"]
    packages = sizes(Path(arguments[0]) if arguments else ROOT / "src/headrace")
    if "--json" in sys.argv:
        counted = {
            package: {name.replace(" ", "_"): size[name] for name in COUNTS}
            for package, size in packages.items()
        }
        print(json.dumps(counted, indent=2))
        return
    print("  ".join(f"{title:>20}" for title in ("package", *COUNTS)))
    for package, size in sorted(packages.items(), key=lambda item: item[0] == "all"):
        print("  ".join([f"{package:>20}", *(f"{size[name]:>20,}" for name in COUNTS)]))


if __name__ == "__main__":
    main()
