"""Backfills beside production: staged, published at once, made again where production moved, never
half visible.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from overlay_lab import PERSON, do, keep, leading, order, planned, resume, work
from runlab import DAYS, Lab

from headrace.model import Refused, UsageError
from headrace.project.session import Silent
from headrace.runtime.leader import Leader
from headrace.runtime.overlays.plans import Plans
from headrace.runtime.overlays.production_state import Promoting
from headrace.services.apply import apply
from headrace.store.engines.sqlite import SqliteTransaction

CLEAN = "select order_id, amount * {factor} as amount, cast(day as date) as day from orders"
TOTAL = "select day, sum(amount) as total, count(*) as n from clean group by day"


def project(lab: Lab, days: list[str] = DAYS) -> None:
    lab.sql("clean", CLEAN.format(factor=1))
    lab.sql("total", TOTAL)
    for day in days:
        lab.orders(day)
    assert lab.tick().state == "succeeded"


def applied(lab: Lab) -> None:
    apply(lab.session(), confirm=lambda _: True, progress=Silent())


def totals(lab: Lab) -> list[float]:
    return [
        float(row["total"]) for row in sorted(lab.read("total"), key=lambda row: str(row["day"]))
    ]


def outcome(lab: Lab, plan: int) -> dict[str, object]:
    ((text,),) = lab.rows("select outcome from plan where id = ?", plan)
    return json.loads(text)  # type: ignore[no-any-return]


def test_new_code_replaces_days_in_the_middle_of_a_shared_file(lab: Lab) -> None:
    """Catches rows of days that weren't asked for going with the file that they shared, columns of
    old code, figures that lie.
    """
    project(lab)
    lab.sql("clean", CLEAN.format(factor=2).replace("select ", "select 'new' as mark, "))
    applied(lab)
    number, result = do(lab, planned({"clean": (DAYS[1], DAYS[3]), "total": (DAYS[1], DAYS[3])}))
    assert (result.state, result.partitions) == ("succeeded", 6)
    assert totals(lab) == [15, 30, 30, 30, 15, 15, 15]
    assert {(row["mark"], str(row["day"])) for row in lab.read("clean") if row["mark"]} == {
        ("new", day) for day in DAYS[1:4]
    }
    assert lab.rows(
        "select count(distinct snapshot), count(*) from publication where n > 1000000000"
    ) == [(1, 6)]
    assert lab.rows("select state, steps_done from plan where id = ?", number) == [("succeeded", 1)]
    assert lab.rows(
        "select (select count(*) from overlay) + (select count(*) from overlay_attempt)"
    ) == [(0,)]
    assert outcome(lab, number)["published"] == 6
    assert set(outcome(lab, number)["changed"]) == {"clean", "total"}  # type: ignore[call-overload]
    assert lab.rows("select count(*) from attempt where state = 'staged'") == [(0,)]


def test_a_file_that_cant_be_copied_fails_the_backfill(lab: Lab) -> None:
    """Catches a leader that stops when the copy of a shared file fails."""
    lab.sql("clean", CLEAN.format(factor=1))
    for day in DAYS:
        lab.orders(day)
    lab.run("orders")
    lab.run("clean")  # all days in one attempt, so that they share a file
    lab.sql("clean", CLEAN.format(factor=2))
    lab.sql("total", TOTAL)
    applied(lab)
    backfill = planned({"clean": (DAYS[1], DAYS[3]), "total": (DAYS[1], DAYS[3])})
    staged = "select count(*) from overlay where node = 'clean' and state = 'staged'"
    with leading(lab) as (leader, held):
        number = keep(held, leader, backfill)
        run = leader.begin(order(number, backfill))
        # from then on only the copies read published files of `clean`
        assert work(leader, run, until=lambda: lab.rows(staged) == [(3,)]) is None
        for (path,) in lab.rows(
            "select s.path || t.path || f.path from ducklake_data_file f join ducklake_table t on"
            " t.table_id = f.table_id join ducklake_schema s on s.schema_id = t.schema_id where"
            " t.table_name = 'clean' and f.end_snapshot is null"
        ):
            (lab.root / ".headrace/lake" / path).unlink()
        result = work(leader, run)
    assert result is not None
    assert (result.state, result.partitions) == ("failed", 0)
    assert "is gone" in result.waiting[0][2]
    assert lab.rows("select state from plan where id = ?", number) == [("failed",)]


def test_what_nobody_had_published_counts_as_added(lab: Lab) -> None:
    """Catches a first backfill that says that nothing has changed."""
    project(lab, DAYS[:3])
    lab.sql("more", "select day, total * 2 as twice from total")
    applied(lab)
    number, result = do(lab, planned({"more": (DAYS[0], DAYS[2])}))
    assert (result.state, result.partitions) == ("succeeded", 3)
    assert outcome(lab, number)["changed"] == {"more": [3, 3, 0, 0]}


@pytest.mark.long
def test_what_fails_keeps_all_from_being_published_until_it_is_mended(lab: Lab) -> None:
    """Catches half a plan becoming visible, and work done again that was staged already."""
    project(lab)
    lab.sql(
        "clean",
        CLEAN.format(factor="(case when day = '2025-01-02' then error('broken')::int else 3 end)"),
    )
    applied(lab)
    spans = {"clean": (DAYS[0], DAYS[3]), "total": (DAYS[0], DAYS[3])}
    number, result = do(lab, planned(spans))
    assert result.state == "failed"
    assert [(node, key) for node, key, _ in result.waiting] == [
        ("clean", DAYS[1]),
        ("total", DAYS[1]),
    ]
    assert totals(lab) == [15] * 7
    assert outcome(lab, number)["failed"] == 2
    staged = {
        (n, p) for n, p in lab.rows("select node, partition from overlay where state = 'staged'")
    }
    assert staged == {(node, day) for node in spans for day in (DAYS[0], DAYS[2], DAYS[3])}
    lab.sql(
        "total", TOTAL.replace("count(*)", "count(1)")
    )  # the code of one of both changes: what was staged of it is dropped
    lab.sql(
        "clean",
        CLEAN.format(factor="(case when day = '2025-01-02' then error('broken')::int else 3 end)"),
    )
    applied(lab)
    with leading(lab) as (leader, _):
        result = work(leader, resume(leader, number, "once more"))
    assert result is not None
    assert result.state == "failed"
    assert lab.rows("select count(*) from attempt where node = 'clean' and state = 'staged'") == [
        (lab.rows("select count(*) from overlay_attempt where node = 'clean'")[0][0],)
    ]
    number, result = do(lab, planned(spans, allow_partial=True))
    assert (result.state, result.partitions) == ("partial", 6)
    assert totals(lab) == [45, 15, 45, 45, 15, 15, 15]


@pytest.mark.long
def test_steps_become_visible_one_after_the_other_and_what_builds_on_rows_comes_last(
    lab: Lab,
) -> None:
    """Catches a later step that reads what an earlier one replaced, and merges that run before what
    they read is published.
    """
    lab.sql(
        "newest",
        "select order_id, amount from clean",
        "partition: day\nmaterialize: merge\nmerge: {keys: [order_id]}",
    )
    project(lab)
    lab.sql("clean", CLEAN.format(factor=2))
    applied(lab)
    first, second = (
        {"clean": span, "total": span} for span in ((DAYS[0], DAYS[2]), (DAYS[3], DAYS[6]))
    )
    number, result = do(lab, planned(first, second, after={"newest": (DAYS[0], DAYS[6])}))
    assert result.state == "succeeded"
    assert totals(lab) == [30] * 7
    assert {float(row["amount"]) for row in lab.read("newest")} == {3.0}
    assert lab.rows(
        "select count(distinct snapshot) from publication where n > ?", number * 10**9
    ) == [(2,)]
    assert outcome(lab, number)["published"] == 21


@pytest.mark.long
def test_a_plan_that_is_paused_goes_on(any_lab: Lab) -> None:
    """Catches partitions that two plans make, and a pause that loses what was made."""
    lab = any_lab
    project(lab)
    lab.sql("clean", CLEAN.format(factor=2))
    applied(lab)
    spans = {"clean": (DAYS[0], DAYS[6]), "total": (DAYS[0], DAYS[6])}
    with leading(lab) as (leader, held):
        backfill = planned(spans)
        number, other = (
            keep(held, leader, backfill),
            keep(held, leader, planned({"total": (DAYS[6], DAYS[6])})),
        )
        run = leader.begin(order(number, backfill))
        assert work(leader, run, lambda: bool(lab.rows("select 1 from overlay"))) is None
        with pytest.raises(Refused, match=f"backfill {number} makes total@{DAYS[6]}"):
            leader.begin(order(other, planned({"total": (DAYS[6], DAYS[6])})))
        leader.pause_plan(number, PERSON, "wait")
        paused = leader.result(run)
        assert paused is not None
        assert paused.state == "paused"
        while leader.plans_busy:
            leader.step(0.2)
        made = lab.rows(
            "select node, partition, epoch, n from overlay where state = 'staged' order by 1, 2"
        )
        assert made
        with pytest.raises(UsageError):
            leader.pause_plan(number, PERSON, "wait")
    assert lab.rows("select state from plan where id = ?", number) == [("paused",)]
    assert totals(lab) == [15] * 7
    with leading(lab) as (leader, held):
        run = resume(leader, number, "go on")
        result = work(leader, run)
        assert result is not None
        assert result.state == "succeeded"
        assert totals(lab) == [30] * 7
        kept = set(lab.rows("select epoch, n from publication where n > 1000000000"))
        assert {(epoch, n) for _, _, epoch, n in made} <= kept, (
            "what was staged before the pause is what is published"
        )


def test_a_plan_that_is_cancelled_leaves_nothing(any_lab: Lab) -> None:
    """Catches files that become visible after all."""
    lab = any_lab
    project(lab)
    lab.sql("clean", CLEAN.format(factor=2))
    applied(lab)
    spans = {"clean": (DAYS[0], DAYS[6]), "total": (DAYS[0], DAYS[6])}
    with leading(lab) as (leader, held):
        backfill = planned(spans)
        number = keep(held, leader, backfill)
        run = leader.begin(order(number, backfill))
        work(leader, run, lambda: bool(lab.rows("select 1 from overlay")))
        leader.cancel_plan(number, PERSON, "not wanted")
        ended = leader.result(run)
        assert ended is not None
        assert ended.state == "cancelled"
        for _ in range(5):
            leader.step(0.1)
    assert lab.rows("select state from plan where id = ?", number) == [("cancelled",)]
    assert lab.rows("select count(*) from publication where n > ?", number * 10**9) == [(0,)]
    assert lab.rows("select count(*) from attempt where state in ('staged', 'running')") == [(0,)]
    assert lab.rows(
        "select (select count(*) from overlay) + (select count(*) from overlay_attempt)"
    ) == [(0,)]


def test_between_two_things_that_are_done_for_a_plan_production_is_heard(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a plan that is loaded, requested, published and ended in one go, for which
    everything else of a server waits.
    """
    happened: list[str] = []
    for owner, name in (
        (Plans, "_load"),
        (Plans, "_request"),
        (Plans, "_conclude"),
        (Plans, "_afterwards"),
        (Leader, "_gathered"),
    ):
        monkeypatch.setattr(owner, name, _noting(happened, name, getattr(owner, name)))
    lab.sql("clean", "select order_id, cast(day as date) as day from orders")
    lab.orders(DAYS[0])
    lab.tick()
    happened.clear()
    _, result = do(lab, planned({"clean": (DAYS[0], DAYS[0])}))
    assert result.state == "succeeded"
    own = [item for item in happened if item != "_gathered"]
    assert own == ["_load", "_request", "_conclude", "_afterwards"]
    assert all("_gathered" in pair for pair in pairwise(happened))


def _noting(happened: list[str], name: str, do_it: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*arguments: Any) -> Any:
        happened.append(name)
        return do_it(*arguments)

    return noted


@pytest.mark.long
def test_what_a_publication_asks_of_the_store_does_not_grow_with_its_partitions(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a query a partition in the one turn that production waits for longest."""
    project(lab)
    lab.sql("clean", CLEAN.format(factor=2))
    applied(lab)
    asked: list[int] = []
    promote, execute = Promoting.promote, SqliteTransaction.execute

    def counted(self: SqliteTransaction, sql: str, parameters: Any = (), /) -> Any:
        if asked:
            asked[-1] += 1
        return execute(self, sql, parameters)

    def declared_promises(self: Promoting, *arguments: Any) -> Any:
        asked.append(0)
        monkeypatch.setattr(SqliteTransaction, "execute", counted)
        try:
            return promote(self, *arguments)
        finally:
            monkeypatch.setattr(SqliteTransaction, "execute", execute)

    monkeypatch.setattr(Promoting, "promote", declared_promises)
    for last in (DAYS[1], DAYS[6]):
        assert (
            do(lab, planned({"clean": (DAYS[0], last), "total": (DAYS[0], last)}))[1].state
            == "succeeded"
        )
    few, many = asked
    assert many - few < 5, asked
    assert totals(lab) == [30] * 7
