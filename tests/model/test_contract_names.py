"""Names in contracts that contradict each other."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.model.contracts import report_names
from headrace.model.errors import Report
from headrace.model.nodes import ContractColumn


def column(name: str, *names: tuple[str, str, str | None]) -> ContractColumn:
    entries: list[dict[str, Any]] = [
        {"name": to, "from": first, **({"to": until} if until else {})}
        for to, first, until in names
    ]
    return ContractColumn(name=name, names=tuple(entries))


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        ([column("a"), column("b")], []),
        ([column("a", ("x", "2020-01-01", None)), column("b")], []),
        (
            [
                column("a", ("x", "2020-01-01", "2020-02-01"), ("y", "2020-02-01", None)),
                column("b", ("x", "2020-02-01", None)),
            ],
            [],
        ),
        ([column("a", ("b", "2020-01-01", None)), column("b", ("a", "2020-01-01", None))], []),
        ([column("a", ("a", "2020-01-01", None))], []),
        ([column("a", ("b", "2020-01-01", None)), column("b")], [2]),
        (
            [
                column("a", ("x", "2020-01-01", None)),
                column("b", ("x", "2020-03-01", "2020-04-01")),
            ],
            [2],
        ),
        ([column("a", ("x", "2020-01-01", None), ("y", "2020-02-01", None))], [1]),
        ([column("a", ("x", "2020-02-01", "2020-01-01"))], [1]),
        (
            [
                column("a", ("x", "2020-01-01", "2020-02-01")),
                column("x", ("b", "2020-01-15", None)),
            ],
            [2],
        ),
    ],
)
def test_contradictions(columns: list[ContractColumn], lines: list[int]) -> None:
    """Catches: a mapping to a column that exists; two columns under one name; a column under two;
    dates that are the wrong way round; and columns that change places, which is no contradiction.
    """
    report = Report("contracts/x.odcs.yaml")
    report_names(columns, list(range(1, len(columns) + 1)), report)
    assert [problem.place.line for problem in report.problems if problem.place] == lines
