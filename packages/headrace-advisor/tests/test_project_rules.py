"""The rules about whole projects: cases as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from projects_lab import HEAD, findings_of, patched

from headrace_advisor.analysis.project_advice import Equality
from headrace_advisor.analysis.project_rules import PROJECT_RULES
from headrace_advisor.queries.costs import StoredPartitions

CASES = Path(__file__).with_name("projects.txt")


class Case(NamedTuple):
    """One case of the file."""

    name: str
    expected: list[str]
    files: dict[str, str]
    after: dict[str, str]


def _cases() -> list[Case]:
    cases = []
    for part in CASES.read_text(encoding="utf-8").split("\n=== ")[1:]:
        heading, *sections = part.strip().split("\n--- ")
        name, *marks = heading.split("\n")
        texts = dict(section.split("\n", 1) for section in sections)
        after = {k.removeprefix("after "): v for k, v in texts.items() if k.startswith("after ")}
        files = {k: f"{v}\n" for k, v in texts.items() if not k.startswith("after ")}
        cases.append(Case(name, [mark for mark in marks if mark != "nothing"], files, after))
    return cases


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case.name)
def test_findings(case: Case, tmp_path: Path) -> None:
    """Would catch: advice to drop what something uses, or silence about what nothing needs."""
    findings = findings_of(tmp_path, case.files)
    assert sorted(
        " ".join((f.asset, f.finding.rule, f.finding.verdict, *f.finding.columns)) for f in findings
    ) == sorted(case.expected)
    for path, expected in case.after.items():
        diff = next(f.diff for f in reversed(findings) if f.diff and f"+++ b/{path}\n" in f.diff)
        assert patched(tmp_path, diff, path).removeprefix(HEAD).strip() == expected.strip()


def test_each_rule_has_a_case() -> None:
    """Would catch: a rule in the table that no case shows."""
    rules = {line.split()[1] for case in _cases() for line in case.expected}
    assert {rule.name for rule in PROJECT_RULES} <= rules | {"grain"}


DAILY = {
    "assets/a.sql": "/* headrace\nowner: core\npartition: day\n*/\n"
    "select cast($partition_start as date) as day, 1 as n\n",
    "consumers": "a",
}


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        (StoredPartitions(400, 400 * 2_000), "by month, they would have about 60 kB"),
        (StoredPartitions(400, 400 * 10_000), "by week, they would have about 70 kB"),
        (StoredPartitions(90, 90 * 2_000), ""),
        (StoredPartitions(400, 400 * 30_000), ""),
        (StoredPartitions(3, 3 * 100_000_000_000), "by hour, one would be recomputed faster"),
        (StoredPartitions(3, 3 * 5_000_000_000_000), "by a key, one would be recomputed faster"),
        (StoredPartitions(400, 0), ""),
        (StoredPartitions(0, 0), ""),
    ],
)
def test_partition_sizes(sizes: StoredPartitions, words: str, tmp_path: Path) -> None:
    """Would catch: advice on a few partitions, or a grain that makes things no better."""
    messages = _messages(tmp_path, DAILY, {"a": sizes}, {})
    assert [words in message for message in messages] == ([True] if words else [])


def test_equal_rows_are_measured(tmp_path: Path) -> None:
    """Would catch: a source that is to be merged into the asset that is computed from it."""
    files = {
        "assets/a.sql": "head\nselect 1 as id\n",
        "assets/b.sql": "head\nselect 3 - 2 as id\n",
        "consumers": "a b",
    }
    equality = Equality(("2025-03-01", "2025-03-02", "2025-03-03"), 30)
    (message,) = _messages(tmp_path, files, {}, {("a", "b"): equality, ("a", "gone"): equality})
    assert message == "b has the same rows as a in all 3 partitions of both"


def test_one_finding_replaces_a_duplicate(tmp_path: Path) -> None:
    """Would catch: two findings of one id that advise to read different nodes instead."""
    files = {
        "assets/a.sql": "head\nselect 1 as id\n",
        "assets/b.sql": "head\nselect 3 - 2 as id\n",
        "assets/c.sql": "head\nselect 1 as id\n",
        "consumers": "a b c",
    }
    equality = Equality(("2025-03-01", "2025-03-02", "2025-03-03"), 30)
    pairs = {("a", "b"): equality, ("a", "c"): equality, ("b", "c"): equality}
    assert sorted(_messages(tmp_path, files, {}, pairs)) == [
        "b has the same rows as a in all 3 partitions of both",
        "c computes the same as a: what reads it can read a",
    ]


def _messages(
    root: Path,
    files: Mapping[str, str],
    sizes: Mapping[str, StoredPartitions],
    same_rows: Mapping[tuple[str, str], Equality],
) -> list[str]:
    findings = findings_of(root, files, sizes=sizes, same_rows=same_rows)
    return [finding.finding.message for finding in findings]
