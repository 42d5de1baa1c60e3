"""States and kinds are enums: code of the run doesn't compare them with bare strings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import headrace

SOURCE = Path(headrace.__file__).parent
WORD = re.compile(r"[a-z][a-z_]+")
"""Values of our own are lower-case words; types, classes and errors of DuckDB aren't."""
FOREIGN = {
    ("engine/containers.py", "type(value).__module__ in ('duckdb', '_duckdb')"),
    ("engine/containers.py", "kind.name == 'object'"),
    ("engine/failures.py", "type(error).__module__ in ('duckdb', '_duckdb')"),
    (
        "engine/isolation.py",
        "name.partition('.')[0] in ('headrace', *sys.stdlib_module_names)",
    ),
    ("engine/macros.py", "kind == 'table_macro'"),
    ("engine/processes.py", "Path(words[0]).name == 'env'"),
    ("engine/processes.py", "sys.platform == 'darwin'"),
    ("engine/landlock.py", "sys.platform != 'linux'"),
    ("engine/sandbox.py", "place.parent.name == 'bin'"),
}
"""Comparisons with words that Python, pandas, DuckDB or the system define."""


def _is_word(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str(text)):
            return WORD.fullmatch(text) is not None
        case ast.Tuple(elts=items) | ast.Set(elts=items) | ast.List(elts=items):
            return any(map(_is_word, items))
    return False


def _comparisons(tree: ast.AST) -> Iterator[str]:
    """Yield comparisons of a value with a word; `"key" in mapping` is none."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[right]):
                if _is_word(right) and not isinstance(left, ast.Constant):
                    yield ast.unparse(node)
            case ast.Compare(left=left, comparators=others):
                if any(map(_is_word, (left, *others))):
                    yield ast.unparse(node)
            case ast.MatchValue(value=value) if _is_word(value):
                yield f"case {ast.unparse(node)}"


def test_no_state_is_compared_with_a_string() -> None:
    """Would catch: a misspelt state in a condition, which no type checker sees and no test runs."""
    found = {
        (file.relative_to(SOURCE).as_posix(), comparison)
        for package in ("engine", "runtime", "scheduler")
        for file in (SOURCE / package).rglob("*.py")
        for comparison in _comparisons(ast.parse(file.read_text()))
    }
    assert found - FOREIGN == set(), "compare with a member of an enum"
    assert FOREIGN - found == set(), "no longer there: take it out of the list"
