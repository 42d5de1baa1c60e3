"""The history of a node as its page draws it: where other code computed partitions."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from clilab import GOOD, NOW, Project

from headrace.access.hidden_values import rendered
from headrace.model.texts import hidden
from headrace.project.session import ProjectSession
from headrace_ui.responses.history import ColumnFigureRow
from headrace_ui.services.node_history import HistoryQuery, node_history


def deliver(shop: Project, day: str, now: str) -> None:
    text = "id,customer,amount,day\n" + GOOD.format(day)
    (shop.root / f"landing/orders_{day}.csv").write_text(text)
    shop.call(shop.root, "tick", "--now", now)


@pytest.mark.long
def test_a_mark_is_where_the_code_changed(shop: Project) -> None:
    """Would catch: a comment drawn as other code; new code of a file that isn't the declaration."""
    place = shop.root / "assets/revenue.sql"
    place.write_text(place.read_text().replace("owner: core", "owner: core\ndescription: a day's"))
    shop.json("apply", "--yes")
    deliver(shop, "2025-03-06", "2025-03-07T08:00+01:00")
    (shop.root / "macros").mkdir()
    (shop.root / "macros/gross.sql").write_text("create macro gross(net) as net * 1.19;\n")
    place.write_text(place.read_text().replace("sum(amount)", "sum(gross(amount))"))
    shop.json("apply", "--yes", "--keep", "revenue", "--reason", "from now on")
    deliver(shop, "2025-03-07", "2025-03-08T08:00+01:00")
    (shop.root / "macros/gross.sql").write_text("create macro gross(net) as net * 1.2;\n")
    shop.json("apply", "--yes", "--keep", "revenue", "--reason", "from now on")
    deliver(shop, "2025-03-08", "2025-03-09T08:00+01:00")
    session = ProjectSession(shop.root, "prod", None, "t")
    history = node_history(session, "revenue", HistoryQuery())
    versions = {point.partition: point.version for point in history.points}
    assert versions["2025-03-06"] > versions["2025-03-03"]
    assert [(mark.partition, mark.kind) for mark in history.marks if mark.kind == "code"] == [
        ("2025-03-07", "code"),
        ("2025-03-08", "code"),
    ]


def costed(shop: Project, rates: str) -> None:
    settings = shop.root / "headrace.toml"
    settings.write_text(settings.read_text() + f'[costs]\ncurrency = "EUR"\n{rates}\n')


def test_costs_of_partitions_add_up_to_those_of_their_attempts(shop: Project) -> None:
    """Would catch: a cost that isn't that of `costs`, one attempt's counted for each of its
    partitions, storage counted as work, or an attempt that is gone drawn as free."""
    pytest.importorskip("headrace_advisor")  # which has `costs`
    costed(shop, "slot_hour = 3600\ngb_read = 1e6\ngb_month = 1")
    session = ProjectSession(shop.root, "prod", None, "t")
    history = node_history(session, "revenue", HistoryQuery())
    parts = [point.cost for point in history.points if point.cost is not None]
    rows = {row["of"]: row for row in shop.json("costs", "--now", NOW)["rows"]}
    work = rows["revenue"]["slot_seconds"] + rows["revenue"]["bytes_read"] / 1e3
    assert len(parts) == len(history.points) > 1
    assert (history.currency, sum(parts)) == ("EUR", pytest.approx(work, rel=1e-3))
    first, second = (point.partition for point in history.points[:2])
    with closing(sqlite3.connect(shop.root / ".headrace/state.db")) as state, state:
        change = "update attempt set {} where node = 'revenue' and partitions = ?"
        both = json.dumps([first, second])
        state.execute(change.format("measures = null"), (json.dumps([second]),))
        state.execute(change.format(f"partitions = '{both}'"), (json.dumps([first]),))
    changed = node_history(session, "revenue", HistoryQuery()).points
    assert [point.cost for point in changed[:2]] == [pytest.approx(parts[0] / 2), None]


def test_no_cost_without_a_rate_of_work(shop: Project) -> None:
    """Would catch: work that costs 0 EUR because only storage has a rate."""
    session = ProjectSession(shop.root, "prod", None, "t")
    history = node_history(session, "revenue", HistoryQuery())
    assert (history.currency, {point.cost for point in history.points}) == (None, {None})
    costed(shop, "gb_month = 0.02")
    session = ProjectSession(shop.root, "prod", None, "t")
    history = node_history(session, "revenue", HistoryQuery())
    assert (history.currency, {point.cost for point in history.points}) == (None, {None})


def test_a_share_stays_without_its_value() -> None:
    """Would catch: a category in the figures of a column, or figures that are gone with it."""
    row = ColumnFigureRow(figure="share", category="Oslo", unit="share", points=[])
    assert rendered([row], hidden) == [
        ColumnFigureRow(figure="share", category="…", unit="share", points=[])
    ]
