"""Problems that Headrace itself finds in the new project, by file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from headrace.compiler.compiling import compile_project
from headrace.model import ProblemLevel


def invalid_files(files: Mapping[str, str]) -> dict[str, str]:
    """Compile the files in a temporary folder; return the first error of each file."""
    with tempfile.TemporaryDirectory(prefix="headrace-import-") as folder:
        root = Path(folder)
        for path, text in files.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        compilation = compile_project(root)
    results: dict[str, str] = {}
    for problem in compilation.problems:
        if problem.level is ProblemLevel.ERROR:
            results.setdefault(problem.place.file, problem.message)
    return results
