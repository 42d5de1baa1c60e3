"""Files of tests: what pytest collects."""

from __future__ import annotations

from collections import Counter

from scripts.tree_copy import ROOT


def test_each_file_of_tests_has_a_name_of_its_own() -> None:
    """Would catch: two files of one name, of which pytest collects only the first."""
    files = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("packages/*/tests/**/test_*.py")]
    names = Counter(file.name for file in files)
    assert [name for name, count in names.items() if count > 1] == []
