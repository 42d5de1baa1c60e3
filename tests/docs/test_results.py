"""RESULTS.md is made from documents, never by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import results


def test_the_page_shows_what_the_documents_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missed goal, or a figure without one, isn't shown as such."""
    machine = {"os": "Linux", "cores": 2, "cpu": "a cpu", "memory_gib": 8, "python": "3.13", "date": "2026-01-02", "load_before": 0.1}
    figure = {
        "name": "one",
        "value": 1.234,
        "unit": "ms",
        "goal": 1.0,
        "compare": "<=",
        "met": False,
        "runs": [1.2, 1.3],
        "against": {"hand": 1},
    }
    document = {"machine": machine, "commit": "abc", "figures": [figure], "observed": [figure | {"name": "two", "goal": None, "met": True}]}
    (tmp_path / "partitions.json").write_text(json.dumps(document), encoding="utf-8")
    monkeypatch.setattr(results, "DOCUMENTS", tmp_path)
    page = results.page()
    assert "| one | 1.23 ms | <= 1 ms | **no** | 1.2, 1.3 | hand: 1 |" in page
    assert "| two | 1.23 ms | observed | – |" in page
    assert "2026-01-02, commit abc, on Linux, 2 cores (a cpu)" in page


def test_the_page_that_is_kept_is_the_one_that_the_documents_give() -> None:
    """Somebody edited a figure by hand, or forgot to write the page anew."""
    assert (results.HERE / "RESULTS.md").read_text(encoding="utf-8") == results.page()
