"""Calls that may build tasks, found by their form alone, without following the file.

They are compared with what following the files built: a call that built nothing leaves an item.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from headrace_import.importers.airflow.building import (
    DAG_NAMES,
    DATA_METHODS,
    NAME_CHARACTERS_MAX,
    is_operator,
    last_name,
)
from headrace_import.importers.airflow.origin import Module

DAG_WORDS = ("dag", "DAG", "airflow")
_DECORATORS = frozenset(("dag", "task", "task_group"))
_ARGUMENTS = frozenset(("task_id", "dag"))
_EXPANDED = frozenset(("expand", "expand_kwargs"))
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def may_build(module: Module) -> bool:
    """Whether a file may build DAGs: it names them, and is no test."""
    name = PurePosixPath(module.path).name
    is_test = name.startswith(("test_", "conftest"))
    return any(word in module.text for word in DAG_WORDS) and not is_test


def missed_calls(module: Module, covered: set[int]) -> dict[int, str]:
    """Return line → name of the calls that may build tasks and aren't among the covered nodes."""
    functions = [node for node in ast.walk(module.tree) if isinstance(node, _Function)]
    decorated = {function.name for function in functions if _is_decorated(function)}
    left_out = covered | set(_no_tasks(module.tree, functions))
    return {
        node.lineno: ast.unparse(node.func)[:NAME_CHARACTERS_MAX]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and id(node) not in left_out and _builds(node, decorated)
    }


def _builds(node: ast.Call, decorated: set[str]) -> bool:
    name = last_name(node.func)
    given = {keyword.arg for keyword in node.keywords}
    by_name = is_operator(name) or name in DAG_NAMES | _EXPANDED
    if isinstance(node.func, ast.Name):
        by_name = by_name or name in decorated
    return by_name or (name not in DATA_METHODS and not _ARGUMENTS.isdisjoint(given))


def _no_tasks(tree: ast.Module, functions: list[_Function]) -> Iterator[int]:
    """Yield the ids of calls of decorators, and of operators that are executed at once."""
    for function in functions:
        yield from map(id, function.decorator_list)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "execute":
            yield id(node.value)


def _is_decorated(function: _Function) -> bool:
    names = (ast.unparse(node).partition("(")[0] for node in function.decorator_list)
    return any(not _DECORATORS.isdisjoint(re.findall(r"\w+", name)) for name in names)
