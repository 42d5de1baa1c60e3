"""Nodes with the same rows: only where all common partitions agree."""

from __future__ import annotations

from headrace_advisor.analysis.same_content import SameRows, same_rows


def days(node: str, *hashes: str) -> list[tuple[str, str, str]]:
    return [(node, f"day {n}", digest) for n, digest in enumerate(hashes)]


def test_one_other_day_is_another_asset() -> None:
    """Would catch: two assets that were equal for a month, and aren't any more, merged."""
    rows = [
        *days("a", "1", "2", "3", "4"),
        *days("b", "1", "2", "3"),
        *days("c", "1", "2", "3", "9"),
    ]
    assert same_rows(rows) == [SameRows("a", "b", 3), SameRows("b", "c", 3)]


def test_few_partitions_prove_nothing() -> None:
    """Would catch: two assets that are empty on two days called duplicates."""
    assert same_rows([*days("a", "1", "2"), *days("b", "1", "2")]) == []
