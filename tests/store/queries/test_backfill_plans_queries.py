"""Stored backfills: their states, what they keep staged, and what they have published."""

from __future__ import annotations

from typing import Any

import pytest
from stored_rows import attempt, insert, publication

from headrace.store import Store, Transaction
from headrace.store.queries import backfill_plans
from headrace.store.queries.backfill_plans import OverlayAttempt, OverlayRow, PlanRecord, Sums


def _add(tx: Transaction, state: str = "running", request: str = "{}", **columns: Any) -> int:
    values: dict[str, Any] = {
        "actor": "ann",
        "reason": "",
        "version": 1,
        "content": b"",
        "estimate": None,
        "needs": None,
        "now": 1,
        **columns,
    }
    return backfill_plans.add(tx, state=state, request=request, **values)


def _state(tx: Transaction, plan: int) -> tuple[str, int | None, int | None]:
    record = backfill_plans.get(tx, plan)
    assert record is not None
    return record.state, record.started_at, record.finished_at


# Plans


def test_a_plan_is_read_as_it_was_added(store: Store) -> None:
    """A column in the place of its neighbour; results that are lost."""
    with store.write(None) as tx:
        _add(tx)
        plan = _add(
            tx,
            "awaiting_approval",
            '{"n":1}',
            actor="bob",
            reason="late data",
            version=5,
            content=b"\0c",
            estimate='{"s":2}',
            needs="policy 3",
            now=70,
        )
        expected = PlanRecord(
            plan,
            "awaiting_approval",
            "bob",
            "late data",
            '{"n":1}',
            5,
            b"\0c",
            '{"s":2}',
            "policy 3",
            0,
            None,
            70,
            None,
            None,
        )
        assert backfill_plans.get(tx, plan) == expected
        assert backfill_plans.get(tx, plan + 1) is None
        assert backfill_plans.awaiting(tx, 0) == [expected]
        backfill_plans.record_outcome(tx, plan, '{"rows":9}', 4)
        after = backfill_plans.get(tx, plan)
        assert after is not None
        assert (after.outcome, after.steps_done) == ('{"rows":9}', 4)


def test_plans_are_listed_by_state_and_age(store: Store) -> None:
    with store.write(None) as tx:
        states = ["awaiting_approval", "paused", "succeeded", "awaiting_approval", "running"]
        ids = [_add(tx, state, f'{{"plan_id":"p{state}"}}') for state in states]
        assert [item.id for item in backfill_plans.awaiting(tx, 0)] == [ids[0], ids[3]]
        assert [item.id for item in backfill_plans.open_backfills(tx)] == [ids[1], ids[4]]
        assert [item.id for item in backfill_plans.newest(tx, 3)] == [ids[4], ids[3], ids[2]]
        assert backfill_plans.of_plan_id(tx, "pawaiting_approval") == ids[3]
        assert backfill_plans.of_plan_id(tx, "psucceeded") == ids[2]
        assert backfill_plans.of_plan_id(tx, "pnever") is None


def test_a_plan_keeps_its_first_start_and_its_last_end(store: Store) -> None:
    """A continued backfill that seems to have begun today, or to have ended before it ran."""
    with store.write(None) as tx:
        other, plan = _add(tx, "planned"), _add(tx, "planned")
        for state, now, expected in (
            ("awaiting_approval", 5, (None, None)),
            ("running", 10, (10, None)),
            ("paused", 20, (10, None)),
            ("running", 30, (10, None)),
            ("failed", 40, (10, 40)),
            ("running", 50, (10, None)),
            ("partial", 60, (10, 60)),
            ("cancelled", 70, (10, 70)),
            ("succeeded", 80, (10, 80)),
        ):
            backfill_plans.move(tx, plan, state, now)
            assert _state(tx, plan) == (state, *expected)
        assert _state(tx, other) == ("planned", None, None)


def test_estimates_are_compared_with_successful_plans(store: Store) -> None:
    with store.write(None) as tx:
        for number, (state, estimate, started, finished) in enumerate(
            [
                ("succeeded", "e1", 1, 2),
                ("succeeded", "e2", 30, 50),
                ("failed", "e3", 3, 6),
                ("succeeded", None, 3, 6),
                ("succeeded", "e5", None, 6),
                ("succeeded", "e6", 4, None),
                ("succeeded", "e7", 70, 77),
            ],
            start=1,
        ):
            insert(
                tx,
                "plan",
                id=number,
                state=state,
                estimate=estimate,
                started_at=started,
                finished_at=finished,
            )
        assert backfill_plans.timed(tx, 2) == [("e7", 70, 77), ("e2", 30, 50)]
        assert backfill_plans.timed(tx, 9)[2:] == [("e1", 1, 2)]


# What a backfill keeps staged


def _staged(tx: Transaction, plan: int) -> list[OverlayRow]:
    return sorted(backfill_plans.staged(tx, plan), key=lambda row: (row.node, row.partition))


def test_a_later_result_replaces_an_earlier_one(store: Store) -> None:
    """A failure that is shown after its partition was computed; a result of another plan
    discarded."""
    with store.write(None) as tx:
        plan, other = _add(tx), _add(tx)
        failed = OverlayRow(plan, "a", "1", 2, 3, "failed", 4, 5, "h", "held", "why", '{"n":6}')
        backfill_plans.stage(tx, [failed, OverlayRow(plan, "a", "2", 2, 4, "staged")])
        backfill_plans.stage(tx, [OverlayRow(other, "a", "1", 2, 5, "staged")])
        plain = OverlayRow(plan, "a", "2", 2, 4, "staged", 0, 0, None, None, None, None)
        assert _staged(tx, plan) == [failed, plain]
        again = OverlayRow(plan, "a", "1", 7, 8, "staged", 9, 10, "i", "passed", "no", '{"n":0}')
        backfill_plans.stage(tx, [again])
        assert _staged(tx, plan) == [again, plain]
        backfill_plans.unstage(tx, plan, [("a", "1"), ("a", "9")])
        assert _staged(tx, plan) == [plain]
        assert len(_staged(tx, other)) == 1


def _attempt_states(tx: Transaction) -> list[tuple[Any, ...]]:
    rows = tx.execute("select state, reason, published_at from attempt order by epoch, n")
    return [tuple(row) for row in rows]


UNPUBLISHED = "what it made isn't published"


@pytest.fixture
def plans(store: Store) -> tuple[int, int]:
    """Two plans with staged data of attempts 1 to 4 and of attempt 5; of attempt 3 no partition is
    in use any more, and attempt 4 is published."""
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        for n, state in enumerate(("staged", "staged", "staged", "published", "staged"), start=1):
            attempt(
                tx,
                n,
                state=state,
                snapshot_read=[50, 70, 90, 80, 99][n - 1],
                version=None if n == 1 else n,
                reason="as written" if n == 2 else None,
            )
        plan, other = _add(tx), _add(tx)
        backfill_plans.keep_outcomes(
            tx,
            [
                OverlayAttempt(item, 1, n, "a", bytes([n]))
                for n, item in ((1, plan), (2, plan), (3, plan), (4, plan), (5, other))
            ],
        )
        backfill_plans.stage(
            tx,
            [
                OverlayRow(plan, "a", "1", 1, 1, "staged"),
                OverlayRow(plan, "a", "2", 1, 2, "staged"),
                OverlayRow(plan, "a", "4", 1, 4, "held"),
                OverlayRow(other, "a", "1", 1, 5, "staged"),
            ],
        )
    return plan, other


def test_staged_data_is_read_while_a_partition_uses_it(
    store: Store, plans: tuple[int, int]
) -> None:
    """Data published that a later attempt has replaced; data of the wrong version."""
    plan, other = plans
    with store.read() as tx:
        mine = [
            OverlayAttempt(plan, 1, 1, "a", b"\1", 0),
            OverlayAttempt(plan, 1, 2, "a", b"\2", 2),
            OverlayAttempt(plan, 1, 4, "a", b"\4", 4),
        ]
        assert sorted(backfill_plans.outcomes(tx, plan), key=lambda item: item.n) == mine
        assert sorted(backfill_plans.outcomes(tx), key=lambda item: item.n) == [
            *mine,
            OverlayAttempt(other, 1, 5, "a", b"\5", 5),
        ]
        assert backfill_plans.newest_snapshot_read(tx, plan) == 70
        assert backfill_plans.newest_snapshot_read(tx, other) == 99
        assert backfill_plans.newest_snapshot_read(tx, other + 1) is None


def test_unneeded_data_is_cancelled_and_forgotten(store: Store, plans: tuple[int, int]) -> None:
    """An attempt that stays `staged` for ever; files of data that a partition still uses
    deleted."""
    with store.write(None) as tx:
        backfill_plans.forget_unneeded(tx, plans[0])
        kept = tx.execute("select n from overlay_attempt order by n").fetchall()
        assert [n for (n,) in kept] == [1, 2, 4, 5]
        assert _attempt_states(tx) == [
            ("staged", None, None),
            ("staged", "as written", None),
            ("cancelled", UNPUBLISHED, None),
            ("published", None, None),
            ("staged", None, None),
        ]


def test_a_cleared_plan_keeps_nothing(store: Store, plans: tuple[int, int]) -> None:
    plan, other = plans
    with store.write(None) as tx:
        backfill_plans.clear(tx, plan)
        assert _staged(tx, plan) == []
        assert len(_staged(tx, other)) == 1
        kept = tx.execute("select n from overlay_attempt").fetchall()
        assert [n for (n,) in kept] == [5]
        assert _attempt_states(tx) == [
            ("cancelled", UNPUBLISHED, None),
            ("cancelled", "as written", None),
            ("cancelled", UNPUBLISHED, None),
            ("published", None, None),
            ("staged", None, None),
        ]


def test_only_staged_attempts_are_marked_as_published(store: Store, plans: tuple[int, int]) -> None:
    with store.write(None) as tx:
        backfill_plans.mark_published(tx, [(1, 2), (1, 4), (9, 1)], 77)
        assert _attempt_states(tx) == [
            ("staged", None, None),
            ("published", "as written", 77),
            ("staged", None, None),
            ("published", None, None),
            ("staged", None, None),
        ]


def test_staged_results_replace_what_readers_see(store: Store) -> None:
    """Would catch: a result called identical that only an earlier publication had, or that a
    withdrawn one had; another node's publication that ends; ids in another order."""
    with store.write(None) as tx:
        plan = _add(tx)
        publication(tx, 1, partition="same", content_hash="h", published_at=1)
        publication(tx, 2, partition="other", content_hash="h", published_at=1, ended_snapshot=3)
        publication(tx, 3, partition="other", content_hash="i", published_at=2)
        publication(tx, 4, partition="withdrawn", content_hash="h", ended_snapshot=4)
        publication(tx, 5, partition="same", node="b", content_hash="h")
        for key in ("withdrawn", "other", "new", "same"):
            row = OverlayRow(plan, "orders", key, 1, 9, "staged", 7, 70, "h", "warned")
            backfill_plans.stage(tx, [row])
        backfill_plans.stage(
            tx, [OverlayRow(plan, "orders", "held", 1, 9, "held", content_hash="h")]
        )
        published = backfill_plans.publish_staged(
            tx, plan, ["orders"], first=6, snapshot=8, now=50, version=2
        )
        current = tx.execute(
            "select id, node, partition from publication where ended_snapshot is null order by id"
        ).fetchall()
        ended = tx.execute("select id from publication where ended_at = 50 order by id").fetchall()
    assert [(row.partition, row.id, row.identical) for row in published] == [
        ("new", 6, False),
        ("other", 7, False),
        ("same", 8, True),
        ("withdrawn", 9, False),
    ]
    assert [tuple(row) for row in current] == [
        (5, "b", "same"),
        (6, "orders", "new"),
        (7, "orders", "other"),
        (8, "orders", "same"),
        (9, "orders", "withdrawn"),
    ]
    assert [row[0] for row in ended] == [1, 3]


def test_abandoned_plans_ended_before_a_time(store: Store) -> None:
    """The results of a backfill deleted that an operator may still continue."""
    with store.write(None) as tx:
        for number, (state, finished) in enumerate(
            [
                ("failed", 49),
                ("partial", 48),
                ("failed", 50),
                ("cancelled", 40),
                ("paused", None),
                ("failed", 40),
            ],
            start=1,
        ):
            insert(tx, "plan", id=number, state=state, finished_at=finished)
            if number != 6:
                insert(tx, "overlay", plan_id=number, partition="1")
        assert backfill_plans.abandoned(tx, 50) == [1, 2]


# What changed, and what was published


def test_changes_after_a_snapshot(store: Store) -> None:
    """Input that changed while a backfill ran overlooked, or one taken for changed that was only
    published again."""
    with store.write(None) as tx:
        for number, (node, key, snapshot, identical, ended) in enumerate(
            [
                ("a", "1", 51, 0, 60),
                ("a", "2", 52, 0, None),
                ("a", "3", 50, 0, None),
                ("a", "4", 53, 1, None),
                ("a", "1", 60, 0, None),
                ("b", "1", 40, 0, 55),
                ("b", "2", 40, 0, 50),
                ("b", "3", 40, 0, 55),
                ("b", "3", 61, 1, 62),
            ],
            start=1,
        ):
            publication(
                tx,
                number,
                key,
                node=node,
                snapshot=snapshot,
                identical=identical,
                ended_snapshot=ended,
            )
        assert backfill_plans.published_after(tx, 50) == [("a", "2"), ("a", "1")]
        assert sorted(backfill_plans.withdrawn_after(tx, 50)) == [("b", "1"), ("b", "3")]


def test_publications_of_a_plan_are_those_of_its_runs(store: Store) -> None:
    """A partition that is counted twice because a continued backfill published it again."""
    with store.write(None) as tx:
        for run, plan in ((1, 9), (2, 9), (3, 8)):
            insert(tx, "run", id=run, plan_id=plan)
        for n, (run, node) in enumerate(((1, "a"), (2, "a"), (3, "a"), (2, "b")), start=1):
            attempt(tx, n, run_id=run, node=node)
        for number, (n, node, key, rows, ended) in enumerate(
            [
                (1, "a", "1", 10, 5),
                (1, "a", "2", 20, None),
                (2, "a", "1", 100, None),
                (3, "a", "3", 1000, None),
                (4, "b", "1", 7, None),
            ],
            start=1,
        ):
            publication(tx, number, key, node=node, n=n, rows=rows, ended_snapshot=ended)
        assert backfill_plans.count_published(tx, 9, ["a", "b"]) == 3
        assert backfill_plans.count_published(tx, 9, {"a"}) == 2
        assert backfill_plans.count_published(tx, 9, []) == 0
        assert backfill_plans.count_published(tx, 7, ["a"]) == 0
        assert backfill_plans.published_by_node(tx, 9) == {"a": Sums(2, 120), "b": Sums(1, 7)}
        assert backfill_plans.publications_of(tx, 9) == [
            ("a", "1", "1.1"),
            ("a", "2", "1.1"),
            ("a", "1", "1.2"),
            ("b", "1", "1.4"),
        ]
