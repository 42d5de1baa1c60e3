"""Which tests are likely to notice a change of a module.

First those that name the changed function, then those that import the module over the fewest steps,
of these the fastest.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from scripts.mutant_sites import Mutant


class Imports:
    """What the files of `src` and `tests` import from each other."""

    def __init__(self, root: Path) -> None:
        self._root = root
        paths = [
            path.relative_to(root)
            for folder in ("src", "tests", "packages")
            for path in (root / folder).rglob("*.py")
        ]
        self._files = {name: str(path) for path in paths for name in _module_names(path)}
        self._imported: dict[str, frozenset[str]] = {}

    def nearest_first(self, mutant: Mutant, tests: Mapping[str, float]) -> list[str]:
        """Order test files (path → seconds)."""
        word = re.compile(
            rf"\b{re.escape(mutant.scope.lstrip('_'))}\b" if mutant.scope else r"(?!)"
        )

        def key(test: str) -> tuple[bool, int, float, str]:
            text = (self._root / test).read_text(encoding="utf-8")
            return not word.search(text), self._steps(test, mutant.path), tests[test], test

        return sorted(tests, key=key)

    def imports_itself(self, test: str, module: str) -> bool:
        """Whether a test file names a module in an import of its own."""
        return module in self._imports(test)

    def _steps(self, test: str, module: str) -> int:
        """The number of imports from a test file to a module; many where there is no way."""
        waiting, seen = deque([(test, 0)]), {test}
        while waiting:
            path, steps = waiting.popleft()
            if path == module:
                return steps
            for other in self._imports(path) - seen:
                seen.add(other)
                waiting.append((other, steps + 1))
        return len(self._files)

    def _imports(self, path: str) -> frozenset[str]:
        if path not in self._imported:
            names = _imported_names(ast.parse((self._root / path).read_bytes()))
            self._imported[path] = frozenset(
                self._files[name] for name in names if name in self._files
            )
        return self._imported[path]


def _module_names(path: Path) -> Iterable[str]:
    """The names that a file is imported by: tests and their helpers by their last part alone."""
    parts = path.with_suffix("").parts
    parts = parts[2:] if parts[0] == "packages" else parts
    if parts[0] == "tests":
        return [path.stem]
    dotted = ".".join(parts[1:])
    return [dotted.removesuffix(".__init__")]


def _imported_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
