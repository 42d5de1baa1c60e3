"""Each class of known faults (B1 to B21 of the threat model) has tests whose descriptions begin with
its id, and the threat model names files that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs/explanation/threat-model.md"
IDS = {f"B{number}" for number in range(1, 22)}
_ID = re.compile(r"(B[0-9]{1,2})\. ")


def described() -> Iterator[tuple[str, str]]:
    """The id and the file of each test whose description begins with an id."""
    for path in (*TESTS.rglob("*.py"), *TESTS.parent.glob("packages/*/tests/**/*.py")):
        text = path.read_text(encoding="utf-8")
        if '"""B' not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                match = _ID.match(ast.get_docstring(node) or "")
                if match is not None:
                    yield match[1], path.relative_to(TESTS.parent).as_posix()


def test_every_known_fault_has_a_test_by_its_id() -> None:
    """Would catch: a class of faults without a test, or an id that was lost when a test moved."""
    assert {name for name, _ in described()} == IDS


def test_the_threat_model_names_a_test_for_each_id() -> None:
    """Would catch: a page that promises a test which is gone, or that leaves out a class."""
    page = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", page))
    assert [path for path in sorted(named) if not (TESTS.parent / path).is_file()] == []
    rows = page[page.index("## Borders") : page.index("## What is not defended")]
    assert set(re.findall(r"\bB[0-9]{1,2}\b", rows)) == IDS
