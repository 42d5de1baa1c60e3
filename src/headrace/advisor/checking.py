"""Advice on the text of a file: its statements, the findings, and the edits as diffs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sqlglot import exp

from headrace.advisor.advice import Finding, finding_id
from headrace.advisor.edits import edited, unified_diff
from headrace.advisor.queries import Queries
from headrace.advisor.rules import findings
from headrace.advisor.statements import Statement, Unreadable, parse
from headrace.advisor.tables import Catalog, declared


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
    results: list[Advice] = []
    for statement in statements:
        try:
            items = findings(Queries(statement, known))
        except RecursionError:
            line = _line(text, statement.tokens[0].start if statement.tokens else 0)
            unreadable.append(Unreadable(line, "the statement is nested too deeply"))
            continue
        results += [
            advice._replace(diff=_diff(advice.finding, statement, text, path))
            for advice in _advice(items, text, path, results)
        ]
    return FileAdvice(results, unreadable, len(statements))


def parse_query(sql: str, dialect: str = "duckdb") -> Statement | None:
    """Return the one statement of a text; None if it can't be read."""
    statements, unreadable = parse(sql, dialect)
    return statements[0] if len(statements) == 1 and not unreadable else None


def check_query(
    statement: Statement, catalog: Catalog, text: str, path: str, offset: int
) -> list[Advice]:
    """Return the findings in a query that stands in a file from an offset on."""
    moved = [
        finding._replace(
            position=finding.position + offset,
            edits=tuple(
                edit._replace(start=edit.start + offset, end=edit.end + offset)
                for edit in finding.edits
            ),
        )
        for finding in findings(Queries(statement, catalog))
    ]
    query = text[offset : offset + len(statement.text)]
    results = []
    for advice in _advice(moved, text, path, []):
        edits = [
            edit._replace(start=edit.start - offset, end=edit.end - offset)
            for edit in advice.finding.edits
        ]
        diff = None
        if edits and parse_query(edited(query, edits), statement.dialect) is not None:
            diff = unified_diff(path, text, edited(text, advice.finding.edits))
        results.append(advice._replace(diff=diff))
    return results


def tables_of(statements: Sequence[Statement], text: str, path: str, dialect: str) -> Catalog:
    """Return the tables that statements create."""
    trees = []
    for statement in statements:
        if isinstance(statement.tree, exp.Create | exp.Alter | exp.Drop):
            starts = [node.meta["start"] for node in statement.tree.walk() if "start" in node.meta]
            place = f"{path}, line {_line(text, min(starts, default=0))}"
            trees.append((statement.tree, place))
    return declared(trees, dialect)


def _advice(
    items: Sequence[Finding], text: str, path: str, before: Sequence[Advice]
) -> list[Advice]:
    """Return findings with their ids and lines; `before` are those of the file's earlier part."""
    lines = text.splitlines() or [""]
    counts = Counter((item.finding.rule, lines[item.line - 1]) for item in before)
    results = []
    for finding in items:
        line = _line(text, finding.position)
        words = lines[min(line, len(lines)) - 1]
        identity = finding_id(path, finding.rule, words, counts[finding.rule, words])
        counts[finding.rule, words] += 1
        results.append(Advice(identity, line, finding, None))
    return results


def _diff(finding: Finding, statement: Statement, text: str, path: str) -> str | None:
    """Return the edits as a diff; None if there are none, or the result can't be read."""
    if not finding.edits:
        return None
    after = edited(text, finding.edits)
    trees, unreadable = parse(after, statement.dialect)
    before, _ = parse(text, statement.dialect)
    if unreadable or len(trees) != len(before):
        return None
    return unified_diff(path, text, after)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
