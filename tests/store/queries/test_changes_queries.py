"""What changed since a position, for pages that follow a project and for gathering evidence."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from state_kinds import ONLY_SQLITE
from stored_rows import attempt, insert, publication

from headrace.store import Store, Transaction
from headrace.store.queries import changes
from headrace.store.queries.changes import (
    ChangedNames,
    ChangedPartition,
    FactNews,
    FailedInBackfill,
    Marks,
    NewestAttempt,
    Withheld,
)

DAY = "2025-01-01"


# Positions, and the names that changed between two of them


def _incident(tx: Transaction, number: int) -> None:
    insert(
        tx,
        "incident",
        id=number,
        state="open",
        kind="late_source",
        node="orders",
        fingerprint="",
        owner="",
        summary="",
        confidence="1",
        evidence="[]",
        affected="{}",
        began_at=1,
        opened_at=1,
        updated_at=1,
    )


def _fill(tx: Transaction) -> None:
    """A row or two in each table that has a mark."""
    insert(tx, "run", id=1)
    insert(tx, "run", id=2, state="running")
    attempt(tx, 1, DAY, run_id=1)
    insert(tx, "partition", partition=DAY, revision=5)
    insert(tx, "version", id=1)
    insert(tx, "audit", seq=1, at=1, event="{}", prev_hash="", hash="h")
    _incident(tx, 7)
    insert(tx, "incident_event", id=1, incident_id=7, at=1, what="", actor="")
    insert(tx, "delivery", id=1, source="src", partition=DAY)
    insert(tx, "quarantine", id=1, partition=DAY)
    insert(tx, "plan", id=1, state="succeeded")
    insert(tx, "plan", id=2, state="paused")
    insert(tx, "plan", id=3, state="planned")


def _partitions(tx: Transaction) -> None:
    for node, key, revision in (("a", "1", 6), ("b", "1", 5), ("a", "2", 6), ("c", "1", 7)):
        insert(tx, "partition", node=node, partition=key, revision=revision)


def _events(tx: Transaction) -> None:
    _incident(tx, 8)
    for number, incident in ((2, 8), (3, 7), (4, 7)):
        insert(tx, "incident_event", id=number, incident_id=incident, at=1, what="", actor="")


def _deliver(tx: Transaction, number: int, source: str) -> None:
    insert(tx, "delivery", id=number, source=source, partition="x")


CHANGES: list[tuple[str, Callable[[Transaction], object], str, tuple[str, ...]]] = [
    ("partitions", _partitions, "partitions", ("a", "c")),
    ("a run that has ended", lambda tx: insert(tx, "run", id=3), "runs", ("3",)),
    ("a run that ends", lambda tx: tx.execute("update run set state = 'failed'"), "runs", ()),
    (
        "an attempt that begins",
        lambda tx: attempt(tx, 2, run_id=2, state="queued"),
        "runs",
        ("2",),
    ),
    (
        "attempts of two runs",
        lambda tx: [attempt(tx, 1 + run, run_id=run, state="running") for run in (1, 2)],
        "runs",
        ("1", "2"),
    ),
    (
        "versions",
        lambda tx: [insert(tx, "version", id=number) for number in (2, 3)],
        "versions",
        ("2", "3"),
    ),
    (
        "the trail",
        lambda tx: insert(tx, "audit", seq=2, at=1, event="{}", prev_hash="h", hash="i"),
        "audit",
        ("2",),
    ),
    ("incidents", _events, "incidents", ("INC-7", "INC-8")),
    (
        "deliveries",
        lambda tx: [_deliver(tx, number, name) for number, name in ((2, "b"), (3, "c"), (4, "b"))],
        "deliveries",
        ("b", "c"),
    ),
    (
        "quarantine",
        lambda tx: [insert(tx, "quarantine", id=id_, node="b", partition="x") for id_ in (2, 3)],
        "quarantine",
        ("b",),
    ),
    ("a plan", lambda tx: insert(tx, "plan", id=4, state="planned"), "backfills", ("2", "4")),
    (
        "a step of a paused plan",
        lambda tx: tx.execute("update plan set steps_done = 1 where id = 2"),
        "backfills",
        ("2", "3"),
    ),
    (
        "the newest plan's state",
        lambda tx: tx.execute("update plan set state = 'cancelled' where id = 3"),
        "backfills",
        ("2", "3"),
    ),
]


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("change", "kind", "names"), [item[1:] for item in CHANGES], ids=[item[0] for item in CHANGES]
)
def test_a_change_is_named_and_nothing_else(
    store: Store,
    change: Callable[[Transaction], object],
    kind: str,
    names: tuple[str, ...],
) -> None:
    """A page that isn't loaded again after a change, or that is loaded again for another's; names of
    what changed before."""
    with store.write(None) as tx:
        _fill(tx)
        before = changes.marks(tx)
        assert changes.marks(tx) == before
        assert list(changes.since(tx, before, before)) == []
        change(tx)
        now = changes.marks(tx)
        assert list(changes.since(tx, before, now)) == [ChangedNames(kind, names, more=False)]


def test_positions_are_the_newest_numbers(store: Store) -> None:
    """A position before the first change that hides it."""
    with store.write(None) as tx:
        empty = changes.marks(tx)
        assert msgspec.structs.replace(empty, at_work=0, plans=0) == Marks()
        assert Marks() == Marks(0, 0, 0, 0, 0, 0, 0, 0, 0)
        _fill(tx)
        now = changes.marks(tx)
        assert now == Marks(5, 2, now.at_work, 1, 1, 1, 1, 1, now.plans)
        assert now.at_work != empty.at_work
        assert now.plans != empty.plans
        assert [(item.kind, item.names) for item in changes.since(tx, Marks(), now)] == [
            ("partitions", ("orders",)),
            ("runs", ("1", "2")),
            ("versions", ("1",)),
            ("audit", ("1",)),
            ("incidents", ("INC-7",)),
            ("deliveries", ("src",)),
            ("quarantine", ("orders",)),
            ("backfills", ("2", "3")),
        ]


@ONLY_SQLITE
@pytest.mark.parametrize(("count", "more"), [(100, False), (101, True), (130, True)])
def test_names_are_limited(store: Store, count: int, more: bool) -> None:
    with store.write(None) as tx:
        before = changes.marks(tx)
        for number in range(count):
            insert(tx, "delivery", source=f"{number:03}", partition=DAY)
        (item,) = changes.since(tx, before, changes.marks(tx))
        assert (item.kind, len(item.names), item.more) == ("deliveries", 100, more)


# Partitions, and the attempts behind them


def test_changed_partitions_come_in_complete_revisions(store: Store) -> None:
    """Half of a transaction's partitions, whose other half is never seen."""
    with store.write(None) as tx:
        insert(tx, "partition", node="z", partition="0", revision=3)
        publication(tx, 8, "1", node="a", epoch=6, n=7)
        insert(
            tx,
            "partition",
            node="a",
            partition="1",
            state="held",
            failures=2,
            publication_id=8,
            reason="why",
            since=9,
            revision=4,
        )
        insert(tx, "partition", node="b", partition="2", state="waiting", since=10, revision=5)
        insert(tx, "partition", node="c", partition="3", since=11, revision=5)
        insert(tx, "partition", node="d", partition="4", since=12, revision=2**60)
        first = ChangedPartition("a", "1", "held", 2, "6.7", "why", 9, 4)
        second = ChangedPartition("b", "2", "waiting", 0, None, "", 10, 5)
        third = ChangedPartition("c", "3", "published", 0, None, "", 11, 5)
        fourth = ChangedPartition("d", "4", "published", 0, None, "", 12, 2**60)

        def found(after: int, limit: int) -> list[ChangedPartition]:
            rows = changes.changed_partitions(tx, after, limit)
            assert [row.revision for row in rows] == sorted(row.revision for row in rows)
            return sorted(rows, key=lambda row: row.node)

        assert found(3, 1) == [first, second, third]
        assert found(3, 0) == [first]
        assert found(3, 3) == [first, second, third, fourth]
        assert found(3, 4) == [first, second, third, fourth]
        assert found(4, 1) == [second, third]
        assert found(2**60, 9) == []


def test_the_newest_ended_attempt_at_a_partition_alone(store: Store) -> None:
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        attempt(tx, 9, DAY, epoch=1, finished_at=5)
        attempt(
            tx,
            1,
            DAY,
            epoch=2,
            kind="export",
            state="failed",
            reason="why",
            error='{"code": "e"}',
            queued_at=6,
            finished_at=7,
        )
        attempt(tx, 2, DAY, epoch=2, state="running")
        attempt(tx, 3, DAY, "2025-01-02", epoch=2, finished_at=9)
        attempt(tx, 4, DAY, epoch=2, finished_at=9, node="daily")
        assert changes.newest_ended(tx, "orders", DAY) == NewestAttempt(
            "2.1", "export", "failed", "why", '{"code": "e"}', 6, 7
        )
        assert changes.newest_ended(tx, "daily", DAY) == NewestAttempt(
            "2.4", "produce", "published", "", None, 1, 9
        )
        assert changes.newest_ended(tx, "orders", "2025-01-02") is None


def _fail(tx: Transaction, plan: int, n: int, node: str, state: str = "failed") -> FailedInBackfill:
    """A partition that attempt n of a plan couldn't compute."""
    key = f"p{n}"
    attempt(
        tx,
        n,
        key,
        node=node,
        state="failed",
        version=n + 100,
        reason=f"why {n}",
        error="{}",
        queued_at=n + 200,
        finished_at=n + 300,
    )
    insert(tx, "overlay", plan_id=plan, node=node, partition=key, n=n, state=state)
    ended = NewestAttempt(f"1.{n}", "produce", "failed", f"why {n}", "{}", n + 200, n + 300)
    return FailedInBackfill(node, key, ended, n + 100)


def test_failures_in_backfills_that_production_has_not_tried(store: Store) -> None:
    """A partition that production has published since, still reported as failed; one of a backfill
    that an operator cancelled."""
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        states = ["running", "paused", "failed", "partial", "cancelled", "succeeded"]
        for number, state in enumerate(states, start=1):
            insert(tx, "plan", id=number, state=state)
        failed = [
            _fail(tx, 1, 1, "b"),
            _fail(tx, 1, 2, "a"),
            _fail(tx, 2, 3, "a"),
            _fail(tx, 3, 4, "a"),
            _fail(tx, 4, 5, "a"),
        ]
        for n, plan in ((6, 5), (7, 6)):
            _fail(tx, plan, n, "a")
        _fail(tx, 1, 8, "a", state="staged")
        for n, (state, stale) in enumerate(
            [("published", 0), ("failed", 0), ("held", 1), ("published", 1), ("waiting", 0)],
            start=10,
        ):
            failure = _fail(tx, 4, n, "c")
            insert(tx, "partition", node="c", partition=f"p{n}", state=state, stale=stale)
            if n >= 13:
                failed.append(failure)
        _fail(tx, 4, 20, "c")
        tx.execute("update attempt set finished_at = null where n = 20")
        ordered = [failed[1], failed[0], *failed[2:]]
        assert changes.failed_in_backfills(tx, 99) == ordered
        assert changes.failed_in_backfills(tx, 3) == ordered[:3]
        for item in ordered:
            assert changes.failed_in_backfill(tx, item.node, item.partition) == item
        for node, key in (("a", "p6"), ("a", "p8"), ("c", "p10"), ("c", "p20"), ("b", "p2")):
            assert changes.failed_in_backfill(tx, node, key) is None
        attempt(tx, 30, "p2", node="a", state="failed", queued_at=1, finished_at=2)
        insert(tx, "overlay", plan_id=4, node="a", partition="p2", n=30, state="failed")
        newest = changes.failed_in_backfill(tx, "a", "p2")
        assert newest == FailedInBackfill(
            "a", "p2", NewestAttempt("1.30", "produce", "failed", "", None, 1, 2), None
        )


def test_the_newest_data_in_quarantine(store: Store) -> None:
    """The reason of data that a user has released, or that was dropped."""
    with store.write(None) as tx:
        insert(tx, "delivery", id=5, source="orders", partition=DAY, observed_at=44)
        for number, (state, delivery) in enumerate(
            [("held", None), ("rejected", 5), ("dropped", None), ("released", None)], start=1
        ):
            insert(
                tx,
                "quarantine",
                id=number,
                partition=DAY,
                epoch=2,
                n=number,
                state=state,
                reason=f"why {number}",
                delivery_id=delivery,
                at=10 + number,
            )
        insert(tx, "quarantine", id=9, partition="other", n=9, at=7)
        assert changes.newest_withheld(tx, "orders", DAY) == Withheld("2.2", "why 2", 12, 44)
        assert changes.newest_withheld(tx, "orders", "other") == Withheld("1.9", "", 7, None)
        assert changes.newest_withheld(tx, "daily", DAY) is None
        for number, (n, kind, observed) in enumerate(
            [
                (1, "configuration_error", "no column b at a.sql:1"),
                (2, "volume_anomaly", "x at y"),
                (2, "configuration_error", "no column at b at orders.sql:12"),
                (2, "configuration_error", "later at c.sql:3"),
                (4, "configuration_error", "released at d.sql:4"),
            ],
            start=1,
        ):
            columns = {"partition": DAY, "epoch": 2, "n": n, "kind": kind, "observed": observed}
            insert(tx, "fact", id=number, **columns)
        places = [("orders", DAY), ("orders", "other")]
        assert changes.declared_at(tx, places) == {("orders", DAY): "orders.sql:12"}


# Facts


def _fact(tx: Transaction, number: int, n: int, **columns: object) -> FactNews:
    """A fact of attempt 1.n, as it is read."""
    values: dict[str, object] = {"partition": DAY, "kind": "null_spike", **columns}
    insert(tx, "fact", id=number, epoch=1, n=n, **values)
    (fact,) = changes.facts_after(tx, number - 1, 1)
    return fact


def test_facts_are_read_with_their_delivery(store: Store) -> None:
    """A column in the place of its neighbour; a limit that passes over a fact."""
    with store.write(None) as tx:
        insert(tx, "delivery", id=5, source="src", partition=DAY, arrived_at=44, observed_at=45)
        insert(
            tx,
            "fact",
            id=3,
            node="src",
            partition=DAY,
            epoch=6,
            n=7,
            delivery_id=5,
            kind="volume_anomaly",
            column_name="amount",
            severity="hold",
            expected="100",
            observed="2",
            strength="3.25",
            detail="fewer rows",
            at=50,
        )
        expected = FactNews(
            3, "src", DAY, "6.7", "volume_anomaly", "amount", "hold", "100", "2", 3.25,
            "fewer rows", 50, 44, 45,
        )  # fmt: skip
        plain = _fact(tx, 4, 8)
        assert (plain.attempt, plain.arrived_at, plain.observed_at) == ("1.8", None, None)
        assert changes.facts_after(tx, 2, 9) == [expected, plain]
        assert changes.facts_after(tx, 2, 1) == [expected]
        assert changes.facts_after(tx, 3, 9) == [plain]
        assert changes.facts_after(tx, 4, 9) == []


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("identical", "before", "now", "repeated"),
    [
        (0, {"observed": "2"}, {"observed": "2"}, True),
        (0, {"observed": "2"}, {"observed": "3"}, False),
        (1, {"observed": "2"}, {"observed": "3"}, True),
        (0, {"kind": "stale_data"}, {"kind": "null_spike"}, False),
        (0, {"column_name": "a"}, {"column_name": "b"}, False),
        (0, {"detail": "one"}, {"detail": "two"}, True),
        (0, {"detail": "check one"}, {"detail": "check two"}, False),
        (0, {"detail": "check one"}, {"detail": "check one"}, True),
        (0, {"partition": "other"}, {}, False),
    ],
)
def test_a_fact_is_repeated_if_the_replaced_publication_has_it(
    store: Store, identical: int, before: dict[str, str], now: dict[str, str], repeated: bool
) -> None:
    """An incident that is opened again at each redelivery, or not opened for a new anomaly."""
    with store.write(None) as tx:
        publication(tx, 1, DAY, n=1, snapshot=10, ended_snapshot=20)
        publication(tx, 2, DAY, n=2, snapshot=20, identical=identical)
        _fact(tx, 1, 1, **before)
        fact = _fact(tx, 2, 2, **now)
        assert changes.repeated(tx, fact) is repeated
        tx.execute("update publication set ended_snapshot = 19 where id = 1")
        assert changes.repeated(tx, fact) is bool(identical)
        tx.execute("delete from publication where id = 2")
        assert changes.repeated(tx, fact) is False


def test_facts_that_a_new_publication_cured(store: Store) -> None:
    """An anomaly that seems to be mended although the new data has it, too; one of older data."""
    with store.write(None) as tx:
        insert(tx, "delivery", id=5, source="orders", partition=DAY, arrived_at=44, observed_at=45)
        publication(tx, 1, DAY, n=1, snapshot=10, ended_snapshot=20)
        publication(tx, 2, DAY, n=2, snapshot=20, ended_snapshot=30, delivery_id=5)
        publication(tx, 3, DAY, n=3, snapshot=30)
        publication(tx, 4, "other", n=2, snapshot=20, ended_snapshot=30)
        _fact(tx, 1, 1, kind="stale_data")
        _fact(tx, 2, 2, column_name="a")
        _fact(tx, 3, 2, column_name="b")
        _fact(tx, 4, 2, column_name="a", kind="duplicate_rows")
        _fact(tx, 5, 2, column_name="c", detail="check one")
        _fact(tx, 6, 2, column_name="c", partition="other")
        fact = _fact(tx, 7, 3, column_name="a")
        cured = changes.cured(tx, fact)
        assert [(item.id, item.kind, item.column) for item in cured] == [
            (3, "null_spike", "b"),
            (4, "duplicate_rows", "a"),
        ]
        assert {(item.arrived_at, item.observed_at) for item in cured} == {(44, 45)}
        assert changes.repeated(tx, fact)
        assert not changes.repeated(tx, cured[0])
        assert [item.id for item in changes.cured(tx, cured[0])] == [1]


def test_restatements_of_one_observation_belong_together(store: Store) -> None:
    """A month that was delivered again, told as thirty incidents; two days' restatements as one."""
    with store.write(None) as tx:
        for number, observed in ((1, 50), (2, 50), (3, 60)):
            key = f"2025-01-0{number}"
            insert(tx, "delivery", id=number, source="src", partition=key, observed_at=observed)
        more: dict[str, object]
        facts = []
        for number, more in enumerate(
            (
                {"delivery_id": 1},
                {"delivery_id": 2, "partition": "2025-01-02"},
                {"delivery_id": 3, "partition": "2025-01-03"},
                {"delivery_id": 2, "partition": "2025-01-04", "kind": "stale_data"},
                {"delivery_id": 2, "partition": "2025-01-05", "node": "other"},
                {"delivery_id": 1},
                {"partition": "2025-01-06"},
            ),
            start=1,
        ):
            values = {"kind": "restatement", "node": "src", **more}
            facts.append(_fact(tx, number, 1 if number == 7 else number, **values))
        assert changes.restated_with(tx, facts[0]) == [facts[1], facts[6]]
        assert changes.restated_with(tx, facts[2]) == []
        assert changes.restated_with(tx, facts[6]) == [facts[0]]


# Since when a check has warned alike


def test_since_when_a_check_has_warned_alike(store: Store) -> None:
    """Would catch: more failing rows than before called as before, a result of another check or of
    later, a check of no rows that divides by them, one that passed or that new code made impossible
    to evaluate, and a warning that is forgotten once new code has recomputed many partitions."""
    fact = FactNews(
        *(1, "orders", DAY, "1.5", "null_spike", "", "warn", "", "", 1.0, "check filled", 50),
        *(None, None),
    )

    def result(
        tx: Transaction, n: int, failing: int, rows: int, name: str = "filled", day: str = DAY,
        outcome: str = "failed", at: int | None = None,
    ) -> None:  # fmt: skip
        insert(
            tx, "check_result", epoch=1, n=n, node="orders", partition=day, name=name,
            kind="not_null", severity="warning", outcome=outcome, rows=rows, failing=failing,
            detail="", at=10 * n if at is None else at,
        )  # fmt: skip

    with store.write(None) as tx:
        assert changes.alike_since(tx, fact, "filled") is None, "without its own result"
        result(tx, 5, 30, 100)
        assert changes.alike_since(tx, fact, "filled") is None, "the first"
        result(tx, 6, 0, 100)
        result(tx, 4, 25, 100)
        result(tx, 3, 40, 100)
        assert changes.alike_since(tx, fact, "filled") == 30
        result(tx, 2, 19, 100)
        result(tx, 1, 40, 100)
        assert changes.alike_since(tx, fact, "filled") == 30
        result(tx, 5, 1, 0, "counted")
        result(tx, 4, 0, 0, "counted")
        assert changes.alike_since(tx, fact, "counted") is None
        result(tx, 5, 30, 100, "passed")
        result(tx, 4, 30, 100, "passed", outcome="passed")
        assert changes.alike_since(tx, fact, "passed") is None
        result(tx, 5, 0, 100, "unmeasured")
        result(tx, 4, 0, 100, "unmeasured", outcome="passed")
        assert changes.alike_since(tx, fact, "unmeasured") is None
        for number in range(100):
            result(tx, 5, 30, 100, "many", day=DAY if not number else f"2024-{number:03}", at=50)
        result(tx, 4, 30, 100, "many")
        assert changes.alike_since(tx, fact, "many") == 40
