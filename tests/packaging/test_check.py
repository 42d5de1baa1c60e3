"""`make check` runs the tests near a change."""

from __future__ import annotations

import pytest

from scripts.check import nearest_tests


@pytest.mark.long
def test_a_changed_module_brings_the_tests_that_import_it() -> None:
    """Would catch: an inner loop that is green because it runs none of the change's tests."""
    tests = nearest_tests(["src/headrace/services/quarantine_decisions.py"])
    assert tests[:3] == ["tests/model", "tests/sql", "tests/plan"]
    assert "tests/runtime/test_quarantine_decided.py" in tests
    assert "tests/store/test_store_lease.py" not in tests


@pytest.mark.long
def test_a_changed_test_is_run() -> None:
    assert "tests/store/test_store_lease.py" in nearest_tests(["tests/store/test_store_lease.py"])


def test_pages_bring_no_tests() -> None:
    assert nearest_tests(["docs/index.md"]) == ["tests/model", "tests/sql", "tests/plan"]
