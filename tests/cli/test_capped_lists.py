"""Printed lists that are cut off say how many more there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import headrace

SOURCE = Path(headrace.__file__).parent
CUT = re.compile(r"\[:\s*[A-Z_]*(SHOWN|LISTED|NAMES|NAMED|LINES)[A-Z_]*\s*\]")
SAYS = re.compile(r"more|few\(|left|limited|further|rest|listed\(|others")
WITHOUT = {
    ("_render_detail", "the rows are an example"),
    ("_step", "the count stands before"),
    ("early_retention", "the response says at most how many"),
}
"""Functions that cut a list off without a number, and why."""


def test_each_list_that_is_cut_off_says_how_many_more_there_are() -> None:
    """Would catch: nine approvals of twelve, printed as if there were nine."""
    found = set()
    for folder in ("cli", "incidents", "standing", "repairs", "privacy", "access", "slo"):
        for path in (SOURCE / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef):
                    body = ast.get_source_segment(text, node) or ""
                    if CUT.search(body) and not SAYS.search(body):
                        found.add(node.name)
    assert found == {name for name, _ in WITHOUT}
