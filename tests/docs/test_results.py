"""RESULTS.md is made from documents, never by hand, and every benchmark gives one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("headrace_demo")  # whose data a benchmark takes
from benchmarks import results, upstrace


def test_the_page_shows_what_the_documents_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missed goal, or a figure without one, isn't shown as such."""
    machine = {
        "os": "Linux",
        "cores": 2,
        "cpu": "a cpu",
        "memory_gib": 8,
        "python": "3.13",
        "date": "2026-01-02",
        "load_before": 0.1,
    }
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
    document = {
        "machine": machine,
        "commit": "abc",
        "figures": [figure],
        "observed": [figure | {"name": "two", "goal": None, "met": True}],
    }
    (tmp_path / "partitions.json").write_text(json.dumps(document), encoding="utf-8")
    monkeypatch.setattr(results, "DOCUMENTS", tmp_path)
    page = results.page()
    assert "| one | 1.23 ms | <= 1 ms | **no** | 1.2, 1.3 | hand: 1 |" in page
    assert "| two | 1.23 ms | observed | – |" in page
    assert "2026-01-02, commit abc, on Linux, 2 cores (a cpu)" in page


def test_the_page_that_is_kept_is_the_one_that_the_documents_give() -> None:
    """Somebody edited a figure by hand, or forgot to write the page anew."""
    assert (results.HERE / "RESULTS.md").read_text(encoding="utf-8") == results.page()


def test_every_benchmark_that_gives_a_document_is_run() -> None:
    """Would catch: a benchmark that `make bench` leaves out, so that nobody notices when it breaks
    or what it says."""
    with_documents = {
        path.stem
        for path in results.HERE.glob("*.py")
        if "main(__doc__, measure" in path.read_text(encoding="utf-8")
    }
    assert with_documents == set(results.ORDER)


@pytest.mark.parametrize("words", [["partition"], ["--page", "startup"], ["--page", "--quick"]])
def test_what_cannot_be_meant_runs_nothing(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Would catch: a word that isn't understood taken for "run all", which is hours."""
    with pytest.raises(SystemExit, match="2"):
        results.main(words)
    assert "usage:" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", results.ORDER)
def test_each_benchmark_gives_a_document(name: str) -> None:
    """Would catch: a benchmark that was left behind by a change of what it measures, until somebody
    wants its figures.
    """
    document = results.run(name, quick=True)
    assert {"machine", "commit", "figures", "observed"} <= set(document)
    assert document["figures"] or document["observed"]
    assert f"## {name}" in results.section(name, document)


def test_every_tool_is_scored_by_one_rule() -> None:
    """Would catch: a hit that a tool says of clean days too, or one rule for a peer and a kinder
    one for Headrace."""
    fault = upstrace.Scenario("unit-change-large-day", "day", "flights", "distance")
    control = upstrace.Scenario("control-null", "month", "", "")
    hit = upstrace.Named("flights", frozenset({"distance"}))
    other = upstrace.Named("flights", frozenset({"air_time"}))
    assert upstrace.score(fault, [hit, other], []) == upstrace.Score(
        first=True, any=True, void=False
    )
    assert upstrace.score(fault, [other, hit], []) == upstrace.Score(
        first=False, any=True, void=False
    )
    assert upstrace.score(fault, [hit], [hit]) == upstrace.Score(first=False, any=False, void=True)
    assert upstrace.score(fault, [], []) == upstrace.Score(first=False, any=False, void=False)
    assert upstrace.score(control, [], []).any
    assert not upstrace.score(control, [other], []).any
    milder = {"root": "flights", "columns": ["flights.distance"], "severity": "medium"}
    assert upstrace.theirs_named([milder, milder | {"severity": "high"}]) == [hit]
