"""The graph as it stood: a failed asset that was repaired, one that was added later, consumers."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from runlab import DAYS, SETTINGS, Lab, built_once

from headrace.model import UsageError
from headrace.project.session import ProjectSession, Silent
from headrace.services.apply import apply
from headrace.services.run_results import tick
from headrace_ui.responses.catalog import GraphView
from headrace_ui.services.graph import GraphViewQuery, view
from headrace_ui.services.graph_changes import GraphChangesQuery, GraphChangesResponse, changes

REPORT = "- {consumer: report, owner: core, reads: [seen], due: '07:00'}\n"
BEGIN, END = "2025-01-10T12:00Z", "2025-01-11T09:00Z"
FAILED, APPLIED, REPAIRED, ADDED, RAN = (f"2025-01-10T12:0{n}:40Z" for n in range(1, 6))
"""Times after each command; each takes place within the first 40 s of its minute."""
LATE, SERVED = "2025-01-11T07:30Z", "2025-01-11T08:30Z"


def count(lab: Lab, number: str) -> None:
    lab.sql("daily", f"select day, {number} as n from orders group by day")


def applied(lab: Lab) -> None:
    with closing(lab.session()) as session:
        apply(session, confirm=lambda _: True, progress=Silent())


@built_once
def lab(root: Path) -> Lab:
    """A count that fails and is repaired; `later` is added after that; a report that comes late."""
    lab = Lab(root)
    lab.write("headrace.toml", f"{SETTINGS}[environments.dev]\nworkers = 1\n")
    lab.write("consumers.yaml", REPORT)
    count(lab, "max(cast(customer as integer))")
    lab.sql("seen", "select day, n from daily", "materialize: view")
    lab.orders(DAYS[0])
    lab.tick()
    count(lab, "count(*)")
    applied(lab)
    lab.tick()
    lab.sql("later", "select day, n from daily")
    applied(lab)
    lab.tick()
    lab.now = datetime.fromisoformat("2025-01-11T07:20:00+00:00")
    lab.tick()
    lab.orders("2025-01-10")
    lab.now = datetime.fromisoformat("2025-01-11T07:59:00+00:00")
    lab.tick()
    lab.now = datetime.fromisoformat("2025-01-11T09:00:00+00:00")
    lab.tick()
    return lab


def opened(lab: Lab, env: str = "prod") -> ProjectSession:
    return ProjectSession(lab.root, env, None, "tester")


def at(lab: Lab, time: str, **query: object) -> GraphView:
    return view(opened(lab), GraphViewQuery(at=time, **query))  # type: ignore[arg-type]


def states(graph: GraphView) -> dict[str, str | None]:
    return {card.name: card.state for card in graph.cards}


def window(lab: Lab, first: str = BEGIN, last: str = END, **query: object) -> GraphChangesResponse:
    return changes(opened(lab), GraphChangesQuery(from_=first, to=last, **query))  # type: ignore[arg-type]


def test_nodes_have_the_states_and_the_incidents_of_that_time(lab: Lab) -> None:
    """Would catch: what is repaired now shown as repaired then; a view that is never failed."""
    failed, repaired = at(lab, FAILED), at(lab, REPAIRED)
    assert states(failed) == {
        "orders": "published", "daily": "failed", "seen": "failed", "report": "not_due",
    }  # fmt: skip
    assert states(repaired) == {
        "orders": "published", "daily": "published", "seen": "published", "report": "not_due",
    }  # fmt: skip
    daily = {
        graph.at: card
        for graph in (failed, repaired)
        for card in graph.cards
        if card.name == "daily"
    }
    assert [(card.incident, card.data_through) for card in daily.values()] == [
        ("INC-1", None), (None, DAYS[0]),
    ]  # fmt: skip
    assert (failed.version, repaired.version) == (1, 2)


def test_what_was_not_applied_is_not_shown(lab: Lab) -> None:
    """Would catch: a node that is added today in a picture of yesterday, or an error page for it."""
    assert "later" not in states(at(lab, REPAIRED)) and states(at(lab, ADDED))["later"] == "never"
    assert states(at(lab, RAN))["later"] == "published"
    around = at(lab, REPAIRED, mode="focus", root="later")
    assert (around.cards, around.note) == ([], "later wasn't applied then.")
    before = at(lab, BEGIN)
    assert (before.cards, before.version, before.note) == (
        [], None, "Nothing had been applied by then.",
    )  # fmt: skip


def test_consumers_have_the_state_that_was_known_then(lab: Lab) -> None:
    """Would catch: a report that is shown as served while people waited for it."""
    assert states(at(lab, LATE))["report"] == "late"
    assert states(at(lab, SERVED))["report"] == "served"


def test_the_changes_lead_from_one_view_to_the_next(lab: Lab) -> None:
    """Would catch: a time-lapse that ends in another state than the view of its last moment."""
    answer = window(lab)
    assert [row.version for row in answer.applied] == [2, 3] and not answer.more
    daily = [(row.was, row.state) for row in answer.changes if row.node == "daily"]
    assert daily[:4] == [
        ("never", "running"), ("running", "failed"), ("failed", "running"), ("running", "published"),
    ]  # fmt: skip
    for first, last in ((RAN, LATE), (RAN, SERVED), (LATE, SERVED)):
        now = states(at(lab, first))
        for row in window(lab, first, last).changes:
            assert now[row.node] == row.was
            now[row.node] = row.state
        assert now == states(at(lab, last))
    for row in answer.changes:
        assert states(at(lab, row.at.isoformat()))[row.node] == row.state, row


def test_changes_beyond_the_limit_are_left_out_and_said(lab: Lab) -> None:
    """Would catch: a time-lapse that begins in a state from which its changes don't follow."""
    everything, few = window(lab, by="kind"), window(lab, limit=3)
    assert few.more and few.changes == window(lab).changes[-len(few.changes) :]
    assert few.from_ < few.changes[0].at and len(few.changes) <= 3
    assert {row.group for row in everything.changes} == {"source", "asset", "consumer"}
    assert window(lab, "2025-01-10T10:00Z", "2025-01-10T11:00Z").changes == []


@pytest.mark.parametrize(
    ("first", "last", "reason"),
    [(END, BEGIN, "empty"), (BEGIN, "2026-01-01", "hasn't come"), ("x", END, "no time")],
)
def test_a_window_that_is_none_is_refused(lab: Lab, first: str, last: str, reason: str) -> None:
    """Would catch: a future that is shown as if it were known."""
    with pytest.raises(UsageError, match=reason):
        window(lab, first, last)


def test_what_retention_has_deleted_is_unknown(lab: Lab) -> None:
    """Would catch: the failure of that day shown as `never`, because its attempt is gone."""
    with sqlite3.connect(lab.root / ".headrace/state.db") as db:
        db.execute("insert into attempt_day values ('daily', '2025-01-10', 'failed', 1, 1)")
        db.execute("delete from attempt where node = 'daily' and state = 'failed'")
    assert states(at(lab, FAILED))["daily"] == "unknown"
    assert states(at(lab, FAILED))["seen"] == "unknown"
    assert states(at(lab, SERVED))["daily"] == "published", "an attempt after that day"


def test_an_environment_shows_what_it_borrowed(lab: Lab) -> None:
    """Would catch: nodes of production that were `never` attempted, because they were not here."""
    count(lab, "2 * count(*)")
    lab.now = datetime.fromisoformat("2025-01-11T10:00:00+00:00")
    with closing(ProjectSession.open(lab.root, "dev", None, "tester")) as session:
        tick(session, progress=Silent())
    with closing(opened(lab, "dev")) as session:
        graph = view(session, GraphViewQuery(at=session.now().isoformat()))
        assert states(graph) | {"report": None} == {
            "orders": "published", "daily": "published", "seen": "published",
            "later": "published", "report": None,
        }  # fmt: skip
        assert view(session, GraphViewQuery(at=RAN)).note == "Nothing had been applied by then."


@pytest.mark.slow
def test_postgresql_has_the_same_past(postgresql_lab: Lab) -> None:
    """Would catch: a query of the past that only SQLite understands."""
    lab = postgresql_lab
    lab.write("consumers.yaml", REPORT)
    count(lab, "max(cast(customer as integer))")
    lab.sql("seen", "select day, n from daily", "materialize: view")
    lab.orders(DAYS[0])
    lab.tick()
    count(lab, "count(*)")
    applied(lab)
    lab.tick()
    lab.tick()
    daily = {card.name: card for card in at(lab, FAILED).cards}["daily"]
    assert (daily.state, daily.incident, daily.data_through) == ("failed", "INC-1", None)
    answer = window(lab, FAILED, REPAIRED, by="kind")
    assert [row.version for row in answer.applied] == [2]
    assert [row.state for row in answer.changes if row.node == "daily"] == ["running", "published"]
