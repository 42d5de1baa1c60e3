"""The walks through the code with which CONTRIBUTING begins."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
STEP = re.compile(r"^\d\. `(?P<file>[\w/]+\.py)`: `(?P<name>[\w.]+)` ", re.MULTILINE)


def test_each_step_of_a_walk_is_there() -> None:
    """Would catch: a first page for newcomers that names what was moved or renamed."""
    walks = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## ")[1]
    steps = list(STEP.finditer(walks))
    assert len(steps) == 10
    for step in steps:
        tree: ast.AST = ast.parse(
            (ROOT / "src/headrace" / step["file"]).read_text(encoding="utf-8")
        )
        for name in step["name"].split("."):
            tree = next(
                node
                for node in ast.iter_child_nodes(tree)
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
            )
