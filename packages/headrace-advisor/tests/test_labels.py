"""The advisor on queries of real projects, with labels that people have given them.

The queries aren't in the repository. `HEADRACE_SQL_LABELS` names the file of labels, and
`HEADRACE_SQL_QUERIES` a folder with the queries; without them the test is skipped.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headrace_advisor.analysis.checking import check_text
from headrace_advisor.analysis.statements import dialect_name

LABELS = Path(os.environ.get("HEADRACE_SQL_LABELS", "../shared/data/sql_labels.json"))
QUERIES = Path(os.environ.get("HEADRACE_SQL_QUERIES", "build/sql_labels"))
KEEP = {
    "distinct_required": "distinct_redundant",
    "distinct_not_provable": "distinct_redundant",
    "distinct_result_irrelevant_keep": "distinct_redundant",
    "union_keep": "union_to_union_all",
    "non_sargable_false_positive": "non_sargable",
}
"""Labels of what mustn't be reported → the rule that mustn't report it."""
LABELLED = {
    "distinct_redundant", "distinct_conditional", "union_to_union_all", "fan_out_join",
    "not_in_null", "non_sargable", "select_star", "correlated_subquery",
}  # fmt: skip


@pytest.mark.skipif(
    not (LABELS.is_file() and QUERIES.is_dir()), reason="the labelled queries aren't here"
)
def test_labels(capsys: pytest.CaptureFixture[str]) -> None:
    """Would catch: advice on real queries that a reviewer has labelled as wrong, or that is missing."""
    right: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for item in json.loads(LABELS.read_text(encoding="utf-8")):
        rules = _rules(item)
        expected = {label for label in item["expect"] if label in LABELLED}
        for label in expected:
            (right if label in rules else missing)[label] += 1
        for rule in (rules & LABELLED) - expected:
            wrong[rule] += 1
        for label in item["expect"]:
            assert KEEP.get(label) not in rules, f"{item['file']}: {label}"
    with capsys.disabled():
        for label in sorted(LABELLED):
            total, said = right[label] + missing[label], right[label] + wrong[label]
            print(f"{label}: recall {right[label]}/{total}, precision {right[label]}/{said}")
    assert sum(right.values()) / (sum(right.values()) + sum(missing.values())) >= 0.9
    assert sum(right.values()) / (sum(right.values()) + sum(wrong.values())) >= 0.9


def _rules(item: dict[str, Any]) -> set[str]:
    text = (QUERIES / item["file"]).read_text(encoding="utf-8")
    result = check_text(text, item["file"], dialect_name(item["dialect"]))
    assert result.unreadable == []
    return {advice.finding.rule for advice in result.advice}
