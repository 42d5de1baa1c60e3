"""How much code each package has, and `make size`: no package may have more than its budget.

    python scripts/size.py [FOLDER] [--json]    print the sizes; without a folder, those of `src`
                                                and of the packages beside it
    python scripts/size.py --budget             compare them with scripts/size_budget.toml

Statements are `ast.stmt` nodes without docstrings. Wide structs are classes with more than 20
annotated fields, long signatures are functions with more than 7 arguments besides `self` and `cls`.
"""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUDGET = ROOT / "scripts/size_budget.toml"
NOT_OURS = "demo_project"
"""A user's project that the package brings along."""
GENERATED = ("command_tables.py", "completion_table.py", "session_methods.py")
FIELDS_MAX, ARGUMENTS_MAX = 20, 7
BUDGETED = ("statements", "classes", "wide_structs", "long_signatures")
COUNTS = ("files", "functions", *BUDGETED)
HEAD = """\
# What each package may have at most; `make size` compares and lowers the figures by itself.
# To raise one, add the difference with its reason: [[raised]] package, figure, by, reason.
# `all` is Headrace alone, and is raised with its packages.
"""


def is_docstring(node: ast.stmt) -> bool:
    """Whether a statement is nothing but a string."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def add(size: Counter[str], text: str) -> None:
    """Count one file into its package."""
    size["files"] += 1
    for node in ast.walk(ast.parse(text)):
        size["statements"] += isinstance(node, ast.stmt) and not is_docstring(node)
        if isinstance(node, ast.ClassDef):
            fields = sum(isinstance(item, ast.AnnAssign) for item in node.body)
            size["classes"] += 1
            size["wide_structs"] += fields > FIELDS_MAX
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            own = [argument for argument in arguments if argument.arg not in ("self", "cls")]
            size["functions"] += 1
            size["long_signatures"] += len(own) > ARGUMENTS_MAX


def sizes(folder: Path) -> dict[str, Counter[str]]:
    """Package → its size, and `all` for the whole."""
    result: dict[str, Counter[str]] = defaultdict(Counter)
    for path in sorted(folder.rglob("*.py")):
        if NOT_OURS not in path.parts and path.name not in GENERATED:
            inside = path.relative_to(folder).parts
            for key in (inside[0] if len(inside) > 1 else "top", "all"):
                add(result[key], path.read_text(encoding="utf-8"))
    return result


def sizes_of_all() -> dict[str, Counter[str]]:
    """The sizes of Headrace's packages, and of each distribution beside it by its name."""
    beside = sorted(ROOT.glob("packages/*/pyproject.toml"))
    return sizes(ROOT / "src/headrace") | {
        file.parent.name: sizes(file.parent / "src")["all"] for file in beside
    }


def compared(packages: dict[str, Counter[str]]) -> list[str]:
    """Return a sentence for each figure over its budget; lower the budgets of what has shrunk."""
    declared = tomllib.loads(BUDGET.read_text(encoding="utf-8"))
    raises = declared.pop("raised", [])
    raised = _raised(raises)
    over = [f"{package} has no budget" for package in packages if package not in declared]
    if any(line["package"] == "all" for line in raises):
        over.append("all is raised with its packages, and not by a line of its own")
    lines = []
    for package, budget in sorted(declared.items()):
        lines.append(f"\n[{package}]\n")
        for figure in BUDGETED:
            count, more = packages[package][figure], raised[package, figure]
            if count > budget[figure] + more:
                over.append(f"{package}: {count:,} {figure}, allowed {budget[figure] + more:,}")
            lines.append(f"{figure} = {min(budget[figure], max(0, count - more))}\n")
    _rewrite(lines)
    return over


def _raised(lines: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """Return by how much each figure was raised; `all`, Headrace alone, with its packages."""
    raised = Counter[tuple[str, str]]()
    for line in lines:
        beside = line["package"].startswith("headrace-")
        for package in (line["package"],) if beside else (line["package"], "all"):
            raised[package, line["figure"]] += line["by"] if line["reason"].strip() else 0
    return raised


def _rewrite(lines: list[str]) -> None:
    """Write the budgets; keep the lines that raise one as they stand."""
    text = BUDGET.read_text(encoding="utf-8")
    at = text.find("\n[[raised]]")
    BUDGET.write_text(HEAD + "".join(lines) + (text[at:] if at >= 0 else ""), encoding="utf-8")


def _table(packages: dict[str, Counter[str]]) -> str:
    rows = [["package", *COUNTS]]
    for package, size in sorted(packages.items(), key=lambda item: item[0] == "all"):
        rows.append([package, *(f"{size[name]:,}" for name in COUNTS)])
    return "\n".join("  ".join(f"{cell:>15}" for cell in row) for row in rows)


def main() -> None:
    """Print a table or, with `--json`, a document; with `--budget` compare."""
    options = {word for word in sys.argv[1:] if word.startswith("--")}
    folders = [word for word in sys.argv[1:] if word not in options]
    packages = sizes(Path(folders[0])) if folders else sizes_of_all()
    if "--budget" not in options:
        print(json.dumps(packages, indent=2) if "--json" in options else _table(packages))
    elif over := compared(packages):
        sys.exit("\n".join([*over, "hint: make it smaller, or see scripts/size_budget.toml"]))


if __name__ == "__main__":
    main()
