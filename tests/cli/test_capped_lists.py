"""Printed lists that are cut off say how many more there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import headrace
from headrace.cli.plan_markdown import ROWS_MAX, markdown
from headrace.responses import Affects, PlanResponse
from headrace.responses.plans import WeakenedRow

SOURCE = Path(headrace.__file__).parent
TELLING = ("cli", "incidents", "standing", "repairs", "privacy", "access", "slo")
OF_LISTS = re.compile("[A-Z_]*(SHOWN|PRINTED|LISTED|NAMED|NAMES|TOLD|LINES|ROWS|SHARES)[A-Z_]*")
"""Names of constants that limit lists."""
WITHOUT = {
    "_render_detail: row.sample": "the rows are an example",
    "_render_failed_test: row.changed": "`differences` counts them, with those of two other lists",
    "_render_progress: response.failures": "`failed` counts them",
    "_render_dismissed: (*response.dismissed, *returned)": "--json is named instead of a number",
    "early_retention: removed_rows(session, tx)": "the response says at most how many",
    "_shares: rows": "the response has at most 20 of the owners",
    "repairs: [_row(project, node, first, partitions, because) for"
    " (node, first, _), partitions in groups.items()]": "at most 20 are in the response",
    "_render_row: row.differing": "`compared` and `equal` count them",
}
"""Lists of the functions that print which are cut off without `len` of them, and why."""


def uncounted(code: str) -> Iterator[str]:
    """Yield lists of which a function takes the first items, up to a constant, and not the length.

    Each is named with its function.
    """
    for function in ast.walk(ast.parse(code)):
        if not isinstance(function, ast.FunctionDef):
            continue
        nodes = [*ast.walk(function)]
        counted = {
            ast.unparse(node.args[0])
            for node in nodes
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "len"
        }
        for node in nodes:
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
                until = ast.unparse(node.slice.upper) if node.slice.upper else ""
                cut = ast.unparse(node.value)
                if node.slice.lower is None and OF_LISTS.fullmatch(until) and cut not in counted:
                    yield f"{function.name}: {cut}"


@pytest.mark.parametrize(
    ("code", "lists"),
    [
        ("def f(rows):\n    print(rows[:ROWS_MAX])", ["f: rows"]),
        ("def f(rows):\n    print(rows[:ROWS_MAX], len(other))", ["f: rows"]),
        ("def f(rows):\n    print(rows[:ROWS_MAX], len(rows) - ROWS_MAX)", []),
        ("def f(rows):\n    print(rows[:5], rows[FIRST:LAST])", []),
    ],
)
def test_a_list_is_counted_where_it_is_cut_off(code: str, lists: list[str]) -> None:
    assert [*uncounted(code)] == lists


def test_each_list_that_is_cut_off_says_how_many_more_there_are() -> None:
    """Would catch: nine approvals of twelve, printed as if there were nine."""
    folders = [
        *(SOURCE / name for name in TELLING),
        *SOURCE.parents[1].glob("packages/*/src/*/cli"),
    ]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    assert {item for file in files for item in uncounted(file.read_text())} == {*WITHOUT}


def test_a_plan_for_a_pull_request_says_how_many_weaker_promises_it_leaves_out() -> None:
    """Would catch: a hundred weaker promises of 102, as if there were no others to agree to."""
    weaker = WeakenedRow(node="flights", what="due", before="06:00", after="09:00")
    plan = PlanResponse(
        changes=[],
        affects=Affects(),
        against="version 2",
        next="headrace status",
        now=datetime(2013, 2, 14, tzinfo=UTC),
        clock="real",
        weakens=[weaker] * (ROWS_MAX + 2),
    )
    text = markdown(plan)
    assert text.count("| `flights` |") == ROWS_MAX
    assert "and 2 more promises" in text
