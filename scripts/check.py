"""Check what has changed since the last commit, in less than a minute: `make check`.

    python -m scripts.check [REVISION] [--list]

Runs the linter and the types, then the tests of the pure packages and those near the change: test
files that changed, and test files that import a changed module themselves. `make test` and
`make test-system` run everything.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from scripts.nearest_tests import Imports

ROOT = Path(__file__).resolve().parent.parent
PURE = ("model", "sql", "plan")
"""Packages whose tests start no process. The scheduler's tests simulate for minutes."""
SLOW = ("faults", "simulation", "ui", "docs", "golden", "examples")
"""Folders whose tests take minutes, however small the change is."""


def main(arguments: list[str]) -> int:
    """Run the checks, the cheapest first; return the exit code of the first that fails."""
    revision = next((word for word in arguments if not word.startswith("-")), "HEAD")
    tests = nearest_tests(changed_files(revision))
    if "--list" in arguments:
        print("\n".join(tests))
        return 0
    binaries = Path(sys.executable).parent
    commands: list[list[str | Path]] = [
        [binaries / "ruff", "format", "--check", "--quiet", "."],
        [binaries / "ruff", "check", "--quiet", "."],
        [binaries / "mypy"],
        [sys.executable, "-m", "pytest", "-q", "-n", "3", "--dist", "worksteal", *tests],
    ]
    for command in commands:
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if code:
            return code
    return 0


def changed_files(revision: str) -> list[str]:
    """Files that differ from a revision, and new files, relative to the root."""
    commands = (
        ["git", "diff", "--name-only", "--diff-filter=d", revision],
        ["git", "ls-files", "--others", "--exclude-standard"],
    )
    return [
        name
        for command in commands
        for name in subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    ]


def nearest_tests(changed: Iterable[str]) -> list[str]:
    """The tests of the pure packages, and the test files that change or import a changed module."""
    changed = [name for name in changed if name.endswith(".py")]
    imports = Imports(ROOT)
    skipped = {f"tests/{folder}" for folder in (*PURE, *SLOW)}
    paths = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("packages/*/tests/**/test_*.py")]
    files = [
        path
        for path in sorted(path.relative_to(ROOT) for path in paths)
        if skipped.isdisjoint(map(str, path.parents))
    ]
    near = [
        str(path)
        for path in files
        if str(path) in changed or any(imports.imports_itself(str(path), name) for name in changed)
    ]
    return [*(f"tests/{package}" for package in PURE), *near]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
