"""Problems of a project as an editor shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lsprotocol import types

from headrace.extension import Problem, ProblemLevel
from headrace_lsp.texts import Text

_NAMED = re.compile(r"`([^`]+)`")


def by_file(problems: Iterable[Problem]) -> dict[str, list[Problem]]:
    """Return the problems of each file."""
    files: dict[str, list[Problem]] = {}
    for problem in problems:
        files.setdefault(problem.place.file, []).append(problem)
    return files


def diagnostic(problem: Problem, text: Text) -> types.Diagnostic:
    """Return a problem at the first word of its line that its message names, else at the line."""
    start, end = text.line_range(problem.place.line - 1)
    line = text.content[start:end]
    indent = len(line) - len(line.lstrip())
    span = (start + indent, end)
    for word in _NAMED.findall(problem.message):
        pattern = rf"(?<!\w){re.escape(word.rpartition('.')[2])}(?!\w)"
        if word_match := re.search(pattern, line, re.IGNORECASE):
            span = (start + word_match.start(), start + word_match.end())
            break
    hint = f"\n{problem.hint}" if problem.hint else ""
    return types.Diagnostic(
        range=text.range(*span),
        message=f"{problem.message}{hint}",
        severity=(
            types.DiagnosticSeverity.Error
            if problem.level is ProblemLevel.ERROR
            else types.DiagnosticSeverity.Warning
        ),
        code=problem.code,
        source="headrace",
    )
