"""Mutants: which changes are drawn, and that tests import them."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from scripts.mutant_sites import Mutant, mutants_of
from scripts.mutants import draw
from scripts.nearest_tests import Imports
from scripts.tree_copy import ROOT, Copy

CASES = [
    ("return 1 if a <= b else c", "negated", "return 1 if a > b else c"),
    ("return (a) <= (b)", "boundary", "return (a) < (b)"),
    ("return a not in b", "negated", "return a in b"),
    ("return a is not None", "negated", "return a is None"),
    ("return a and b", "or", "return a or b"),
    ("return not a", "not-dropped", "return  a"),
    ("return a - b", "arithmetic", "return a + b"),
    ("return 'é', 7", "plus-one", "return 'é', 8"),
    ("return f(True)", "flipped", "return f(False)"),
    ("return a", "return-negated", "return not (a)"),
    ("a.b = c", "dropped", "pass"),
    ("raise ValueError(a)", "dropped", "pass"),
    ("return [a for a in b if a]", "if-false", "return [a for a in b if False]"),
    ("while a: f()", "while-false", "while False: f()"),
]
SAME = [
    "log.info('a')",
    "self._log.info('a')",
    "assert a",
    "assert_never(a)",
    "return None",
    "return",
    "a: list[int] = b",
    "'a text'",
    "if TYPE_CHECKING: import b",
]


def _function(statement: str) -> bytes:
    return f"@f(1)\ndef g(a: 'int > 2', b, c) -> bool:\n    {statement}\n".encode()


def _mutants(statement: str) -> list[Mutant]:
    return list(mutants_of("src/headrace/model/x.py", _function(statement)))


@pytest.mark.parametrize(("statement", "operator", "expected"), CASES)
def test_a_mutant_changes_one_place(statement: str, operator: str, expected: str) -> None:
    changes = [
        item.applied(_function(statement))
        for item in _mutants(statement)
        if item.operator == operator
    ]
    assert _function(expected) in changes


@pytest.mark.parametrize("statement", SAME)
def test_what_no_test_can_notice_stays(statement: str) -> None:
    """Each of these would survive in every package."""
    assert [item.name for item in _mutants(statement)] == []


@pytest.mark.system
@pytest.mark.long
def test_every_mutant_is_python_and_differs() -> None:
    """A mutant that doesn't compile is killed by any test, and flatters them."""
    path = "src/headrace/model/times.py"
    content = (ROOT / path).read_bytes()
    mutants = list(mutants_of(path, content))
    assert len({item.name for item in mutants}) == len(mutants) > 100
    trees = [ast.dump(ast.parse(item.applied(content))) for item in mutants]
    assert ast.dump(ast.parse(content)) not in trees


def test_a_seed_draws_the_same_mutants_again() -> None:
    first = draw("model", 10, seed=7)
    assert len(set(first)) == 10
    assert draw("model", 10, seed=7) == first
    assert draw("model", 10, seed=8) != first


def test_the_nearest_tests_come_first() -> None:
    """In any other order most mutants take as long as a survivor."""
    path = "src/headrace/model/selection.py"
    mutant = next(mutants_of(path, (ROOT / path).read_bytes()))
    tests = {
        f"tests/model/{name}.py": 1.0 for name in ("test_yaml", "test_times", "test_selection")
    }
    assert Imports(ROOT).nearest_first(mutant, tests)[0] == "tests/model/test_selection.py"


@pytest.mark.long
def test_processes_import_the_copy(tmp_path: Path) -> None:
    """Processes that import the tree that isn't changed would let every mutant survive."""
    copy = Copy(tmp_path / "copy")
    path = "src/headrace/__init__.py"
    original = (copy.folder / path).read_bytes()
    copy.write(path, original + b"\nraise SystemExit('the mutant')\n")
    for command in ([".venv/bin/python", "-m", "headrace"], [".venv/bin/headrace"]):
        words = [str(copy.folder / command[0]), *command[1:], "--help"]
        result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr.strip()) == (1, "the mutant")
    code, output = copy.test(["tests/model/test_durations.py"], 60)
    assert code != 0, output
    copy.write(path, original)
    code, output = copy.test(["tests/model/test_durations.py"], 60)
    assert code == 0, output
