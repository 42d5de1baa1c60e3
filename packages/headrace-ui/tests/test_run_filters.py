"""The list of runs by asset, state, cause, person and day."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from clilab import NOW, Project

from headrace.model import Settings
from headrace.project.session import ProjectSession
from headrace.store import Store
from headrace_ui.services.run_pages import RunListQuery, run_list, run_timeline

HOUR_US = 3_600_000_000
FIRST_US = 1_740_787_200_000_000  # 2025-03-01T00:00Z
RUNS = (
    # kind, actor, state, hours after the first, who cancelled it
    ("tick", "scheduler", "succeeded", 0, None),
    ("run", "ana", "failed", 1, None),
    ("run", "ana", "succeeded", 24, "ben"),
    ("run", "b'en", "partial", 25, None),
    ("tick", "scheduler", "running", 49, None),
)


@pytest.fixture
def session(tmp_path: Path) -> ProjectSession:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "headrace.toml").write_text('[project]\nname = "shop"\ntimezone = "UTC"\n')
    with Store.open(root, Settings(name="shop"), create=True) as store, store.write(None) as tx:
        tx.executemany(
            "insert into run (id, kind, request, actor, state, started_at, finished_at,"
            " cancelled_at, cancelled_by) values (?, ?, '{}', ?, ?, ?, ?, ?, ?)",
            [
                (
                    number,
                    kind,
                    actor,
                    state,
                    FIRST_US + hours * HOUR_US,
                    None if state == "running" else FIRST_US + hours * HOUR_US + 1,
                    None if by is None else FIRST_US + hours * HOUR_US,
                    by,
                )
                for number, (kind, actor, state, hours, by) in enumerate(RUNS, 1)
            ],
        )
        tx.executemany(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at)"
            " values (1, ?, ?, ?, 'produce', '[]', 'published', 0)",
            [(1, 1, "orders"), (2, 2, "revenue"), (3, 3, "orders"), (4, 3, "revenue")],
        )
    return ProjectSession.open(root, "prod", None, "test")


@pytest.mark.parametrize(
    ("query", "runs"),
    [
        (RunListQuery(), "54321"),
        (RunListQuery(failed=True), "542"),  # nobody leads: the running one is lost
        (RunListQuery(kind="run"), "432"),
        (RunListQuery(actor="b'en"), "4"),
        (RunListQuery(state="succeeded"), "1"),
        (RunListQuery(state="cancelled"), "3"),
        (RunListQuery(state="lost"), "5"),
        (RunListQuery(state="running"), ""),
        (RunListQuery(node="orders"), "31"),
        (RunListQuery(node="nothing"), ""),
        (RunListQuery(node="orders", actor="ana"), "3"),
        (RunListQuery(since=date(2025, 3, 2)), "543"),
        (RunListQuery(since=date(2025, 3, 2), until=date(2025, 3, 2)), "43"),
        (RunListQuery(until=date.max), "54321"),
        (RunListQuery(since=date.max), ""),
    ],
)
def test_runs_are_those_that_fit(session: ProjectSession, query: RunListQuery, runs: str) -> None:
    """Would catch: a filter that is ignored, a cancelled run under the state of its work, a run
    that runs although nobody leads, or a last day without its runs."""
    response = run_list(session, query)
    assert "".join(run.run_id for run in response.runs) == runs
    session.close()


def test_pages_go_on_with_the_filter(session: ProjectSession) -> None:
    """Would catch: older runs of everybody behind the first page of one person's."""
    first = run_list(session, RunListQuery(actor="ana"), limit=1)
    assert [run.run_id for run in first.runs] == ["3"] and first.next is not None
    second = run_list(session, RunListQuery(actor="ana"), cursor=first.next, limit=1)
    assert [run.run_id for run in second.runs] == ["2"] and second.next is None
    session.close()


def test_a_line_names_what_ran_and_what_was_held(shop: Project) -> None:
    """Would catch: counts alone, or successes before what was held."""
    session = ProjectSession(shop.root, "prod", NOW, "t")
    newest = run_list(session, RunListQuery()).runs[0]
    assert [(row.value, row.nodes, row.more) for row in newest.attempts] == [
        ("held", ["orders"], 0),
        ("rejected", ["orders_clean"], 0),
        ("published", ["orders"], 0),
    ]
    session.close()


def test_a_part_of_a_name_finds_the_runs_of_its_nodes(shop: Project) -> None:
    """Would catch: nothing for `order`, or runs of `orders_clean` under the name of another."""
    session = ProjectSession(shop.root, "prod", NOW, "t")

    def at(text: str) -> set[str]:
        timeline = run_timeline(session, "1", node=text)
        assert timeline.matching == len(timeline.attempts) <= timeline.total
        return {attempt.node for attempt in timeline.attempts}

    assert at("ORDER") == {"orders", "orders_clean"}
    assert at("orders") == {"orders"}
    assert at("nothing") == set()
    for text in ("ORDER", "orders", "rev"):
        assert run_list(session, RunListQuery(node=text)).runs
    assert run_list(session, RunListQuery(node="order", owner="core")).runs
    assert not run_list(session, RunListQuery(node="nothing")).runs
    session.close()


def test_attempts_of_a_run_are_filtered_by_state(shop: Project) -> None:
    """Would catch: a page of all attempts, or a count of all beside those in one state."""
    session = ProjectSession(shop.root, "prod", NOW, "t")
    whole = run_timeline(session, "1", limit=1)
    assert whole.matching == whole.total > 1 and whole.next is not None
    failed = run_timeline(session, "1", state="failed")
    assert failed.matching == whole.counts["failed"] == len(failed.attempts)
    assert {attempt.state for attempt in failed.attempts} == {"failed"}
    assert run_timeline(session, "1", state="failed", node="page").matching == 0
    session.close()
