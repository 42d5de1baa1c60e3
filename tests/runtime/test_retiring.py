"""History goes when it has had its time: what readers see, what is open and what is promised
doesn't.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from runlab import DAYS, NOW, Lab, published

from headrace.project.session import ProjectSession
from headrace.runtime import history_retention
from headrace.runtime.garbage import RetentionPolicy
from headrace.runtime.history_retention import retirable, retire
from headrace.security.audit import verify
from headrace.services.status import status
from headrace.store import Store

CLEAN = (
    "select order_id, customer, cast(amount as decimal(9,2)) as amount, cast(day as date) as day"
    " from orders"
)
KEEP = RetentionPolicy({"history": "30d", "snapshots": "7d"}, {"orders": "10d"})
CONSUMER = "- {consumer: report, owner: core, reads: [clean], due: '12:00'}\n"


@pytest.fixture
def past(lab: Lab) -> Lab:
    """Three days; one restated twice, one that is held now beside what readers see of it."""
    lab.sql(
        "clean",
        CLEAN,
        "partition: {by: day, column: day}\non_fail: hold\nchecks: [{range: {column: amount, max:"
        " 5}}]",
    )
    lab.write("consumers.yaml", CONSUMER)
    for day in DAYS[:3]:
        lab.orders(day)
    lab.tick()
    for n in (5, 6):
        lab.orders(DAYS[0], n=n)
        lab.tick()
    lab.orders(DAYS[1], n=4, amount="9.99")
    assert [a.state for a in lab.tick().attempts if a.asset == "clean"] == ["held"]
    return lab


def after(lab: Lab, days: int) -> dict[str, int]:
    """Retire so many days later; what a dry run said before must be what went."""
    now_us = int((lab.now + timedelta(days=days)).timestamp() * 1e6)
    with Store.open(
        lab.root, ProjectSession.open(lab.root, "prod", None, "tester").settings, create=True
    ) as store:
        with store.read() as tx:
            expected = retirable(tx, KEEP, now_us)
        gone = retire(store, None, KEEP, now_us)
        assert gone.get("attempt", 0) == expected.get("attempt", 0)
        assert all(gone[kind] >= count for kind, count in expected.items())
    return gone


def told(lab: Lab) -> Any:
    """What status says at one moment, but for what is told of a past that changed: that isn't news
    any more when its history goes.
    """
    return {
        name: said
        for name, said in said_at(lab, NOW + timedelta(hours=1)).items()
        if name != "restated"
    }


def said_at(lab: Lab, now: datetime) -> dict[str, Any]:
    """All of it."""
    result: dict[str, Any] = msgspec.to_builtins(
        status(ProjectSession.open(lab.root, "prod", now.isoformat(), "tester"))
    )
    return result


@pytest.mark.long
def test_what_is_seen_open_or_promised_stays(past: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a current publication without its attempt, evidence of held data gone, figures
    that move with gc, a first publication lost (it says when an obligation was met), several
    transactions that lose their place, history that goes without a trace."""
    monkeypatch.setattr(history_retention, "ROWS_MAX", 1)
    before = told(past)
    attempts = past.rows("select node, partitions, state from attempt order by epoch, n")
    obligations = past.rows("select * from obligation order by interval")
    gone = after(past, 60)
    assert told(past) == before
    assert past.rows("select * from obligation order by interval") == obligations
    # of the restated day the second of three publications goes, of the source and of the asset
    assert gone["attempt"] == 2
    left = past.rows("select node, partitions, state from attempt order by epoch, n")
    assert sorted(set(attempts) - set(left)) == []
    assert len(left) == len(attempts) - 2
    orphans = (
        "select count(*) from {0} t where not exists (select 1 from attempt a where a.epoch ="
        " t.epoch and a.n = t.n)"
    )
    assert [
        past.rows(orphans.format(name))
        for name in ("publication", "check_result", "profile", "quarantine")
    ] == [[(0,)]] * 4
    current = (
        "select count(*) from partition p where publication_id is not null and publication_id not"
        " in (select id from publication)"
    )
    assert past.rows(current) == [(0,)]
    assert past.rows("select sum(attempts) from attempt_day") == [(2,)]
    events = [
        msgspec.json.decode(text) for (text,) in past.rows("select event from audit order by seq")
    ]
    retired = [event["after"] for event in events if event["action"] == "history.retired"]
    assert [item["attempts"] for item in retired] == [1, 1]
    assert all(len(item["sha256"]) == 64 for item in retired)
    with (
        Store.open(
            past.root, ProjectSession.open(past.root, "prod", None, "tester").settings, create=True
        ) as store,
        store.read() as tx,
    ):
        assert verify(tx).ok


@pytest.mark.long
def test_what_readers_are_told_of_the_past_stays_as_long_as_they_are_told(
    past: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch a project that keeps a day of history, whose readers aren't told that last week's
    figures changed."""
    monkeypatch.setattr(
        sys.modules[__name__], "KEEP", RetentionPolicy({"history": "1d", "snapshots": "1d"}, {})
    )
    later = past.now + timedelta(days=6)
    before = said_at(past, later)["restated"]
    assert {(row["node"], row["partitions"]) for row in before} == {("orders", 2), ("clean", 1)}
    after(past, 6)
    assert said_at(past, later)["restated"] == before
    assert after(past, 60)["attempt"] == 2


@pytest.mark.long
def test_nothing_young_goes_and_nothing_is_taken_again(past: Lab) -> None:
    """Would catch: a comparison with the wrong unit or sign, the rows gone that say which files
    were ingested.
    """
    assert after(past, 20) == {}
    after(past, 60)
    assert published(past.tick()) == []
    assert after(past, 61).get("attempt", 0) == 0
