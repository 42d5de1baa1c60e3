"""Advice on the text of a file: its statements, the findings, and the edits as diffs."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from sqlglot import exp

from headrace_advisor.analysis.advice import Edit, Finding, finding_id
from headrace_advisor.analysis.edits import edited, unified_diff
from headrace_advisor.analysis.queries import Queries
from headrace_advisor.analysis.rules import findings
from headrace_advisor.analysis.statements import Statement, Unreadable, parse
from headrace_advisor.analysis.tables import Catalog, declared


class Advice(NamedTuple):
    """A finding in a file."""

    id: str
    line: int
    finding: Finding
    diff: str | None


class FileAdvice(NamedTuple):
    """What the rules say about a file."""

    advice: list[Advice]
    unreadable: list[Unreadable]
    statements: int


def check_text(text: str, path: str, dialect: str, catalog: Catalog | None = None) -> FileAdvice:
    """Return the findings in a text of SQL. Tables that it creates itself are known. Never raises.

    `catalog` are tables that are known besides.
    """
    statements, unreadable = parse(text, dialect)
    known = {**(catalog or {}), **tables_of(statements, text, path, dialect)}
    numbered = _NumberedLines(text, path)
    results: list[Advice] = []
    for statement in statements:
        try:
            items = findings(Queries(statement, known))
        except RecursionError:
            line = numbered.line(statement.start)
            unreadable.append(Unreadable(line, "the statement is nested too deeply"))
            continue
        results += [numbered.advice(item, statement, text, 0) for item in items]
    return FileAdvice(results, unreadable, len(statements))


def parse_query(sql: str, dialect: str = "duckdb") -> Statement | None:
    """Return the one statement of a text; None if it can't be read."""
    statements, unreadable = parse(sql, dialect)
    return statements[0] if len(statements) == 1 and not unreadable else None


def check_query(
    statement: Statement, catalog: Catalog, text: str, path: str, offset: int
) -> list[Advice]:
    """Return the findings in a query that stands in a file from an offset on.

    A query that is nested too deeply has none.
    """
    try:
        items = findings(Queries(statement, catalog))
    except RecursionError:
        return []
    numbered = _NumberedLines(text, path)
    return [numbered.advice(item, statement, text, offset) for item in items]


def tables_of(statements: Sequence[Statement], text: str, path: str, dialect: str) -> Catalog:
    """Return the tables that statements create."""
    numbered = _NumberedLines(text, path)
    trees = [
        (statement.tree, f"{path}, line {numbered.line(statement.start)}")
        for statement in statements
        if isinstance(statement.tree, exp.Create | exp.Alter | exp.Drop)
    ]
    return declared(trees, dialect)


class _NumberedLines:
    """The lines of a file, and how often each has had a finding of a rule."""

    def __init__(self, text: str, path: str) -> None:
        self._lines = text.split("\n")
        self._starts = [0, *accumulate(len(line) + 1 for line in self._lines)]
        self._path = path
        self._counts: Counter[tuple[str, str]] = Counter()

    def line(self, position: int) -> int:
        """Return the number of the line at an offset, from 1 on."""
        return min(bisect_right(self._starts, position), len(self._lines))

    def advice(self, finding: Finding, statement: Statement, text: str, offset: int) -> Advice:
        """Return a finding with its id, line and diff; the statement's text begins at `offset`."""
        edits = tuple(
            Edit(edit.start + offset, edit.end + offset, edit.replacement) for edit in finding.edits
        )
        moved = finding._replace(position=finding.position + offset, edits=edits)
        line = self.line(moved.position)
        words = self._lines[line - 1]
        identity = finding_id(self._path, finding.rule, words, self._counts[finding.rule, words])
        self._counts[finding.rule, words] += 1
        readable = bool(edits) and _is_readable(finding, statement)
        diff = unified_diff(self._path, text, edits) if readable else None
        return Advice(identity, line, moved, diff)


def _is_readable(finding: Finding, statement: Statement) -> bool:
    """Whether a statement is one even after the edits."""
    start = statement.start
    inside = [Edit(e.start - start, e.end - start, e.replacement) for e in finding.edits]
    after = edited(statement.text[start : statement.end], inside)
    return parse_query(after, statement.dialect) is not None
