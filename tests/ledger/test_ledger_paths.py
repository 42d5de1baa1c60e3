"""The way back from what was there last, through attempts at several partitions and through what
isn't partitioned.
"""

from __future__ import annotations

import msgspec
from ledger_rows import Rows
from small_facts import SmallFacts, consumer, declare, node
from test_ledger_claims import attempt

from headrace.ledger.account import Books
from headrace.ledger.records import LedgerBackfill, LedgerDelivery, LedgerPublication, Try
from headrace.model import Grain
from headrace.plan.backfills import first_attempt_of
from headrace.slo.declared_promises import Node
from headrace.slo.obligations import EvaluationContext

DAY = 86_400_000_000
FIRST, SECOND = "2013-01-01", "2013-01-02"
END = 1_356_998_400_000_000 + DAY
"""Of the first day."""
SOURCE = node("s", Grain.DAY, source=True, timezone="UTC", start=FIRST)


class Several(Rows):
    """Records of several nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.by_place: dict[tuple[str, str], Rows] = {}
        self.now_us = END + 40 * DAY

    def at(self, name: str, key: str) -> Rows:
        return self.by_place.setdefault((name, key), Rows())

    def tries(self, name: str, key: str) -> list[Try]:
        return self.at(name, key).made

    def publications_of(self, name: str, key: str) -> list[LedgerPublication]:
        return self.at(name, key).visible

    def arrivals(self, name: str, key: str) -> list[LedgerDelivery]:
        return self.at(name, key).delivered


class Written:
    """A world and its records, told of the same publications."""

    def __init__(self) -> None:
        self.facts, self.records = SmallFacts(delivered={"s": FIRST}), Several()
        self.shortest_us: int | None = None

    def deliver(self, key: str, arrived: int, n: int) -> None:
        made = attempt(n, "published", arrived, arrived, arrived + 10, run_us=10, delivery=n)
        self.records.at("s", key).delivered.append(LedgerDelivery(n, arrived, arrived))
        self.publish("s", key, made)

    def publish(self, name: str, key: str, made: Try, at_us: int = 0) -> None:
        rows, at = self.records.at(name, key), at_us or made.finished_us or 0
        if rows.visible:
            rows.visible[-1] = msgspec.structs.replace(rows.visible[-1], ended_us=at)
        rows.made.append(msgspec.structs.replace(made, node=name))
        rows.visible.append(LedgerPublication(at, None, *made.id))
        self.facts.publish(name, key, at)

    def spent(self, asset: Node, key: str, met_us: int) -> list[tuple[str, str, int]]:
        """(kind, node, microseconds) of a consumer's wait for a day."""
        terms = consumer("report", "a", zone="UTC", due="09:00", per=Grain.DAY)
        books = Books(
            {}, EvaluationContext(declare([SOURCE, asset], terms), self.facts), self.records
        )
        ledger = books.of_consumer(terms, key, met_us=met_us)
        assert (
            ledger is not None and sum(segment.us for segment in ledger.segments) == ledger.wait_us
        )
        self.shortest_us = ledger.shortest_us
        return [(str(segment.kind), segment.node, segment.us) for segment in ledger.segments]


def test_a_batch_is_queued_before_all_of_its_inputs_are_there() -> None:
    """Would catch: a partition whose input came while its batch waited for a slot, and whose whole
    wait is the schedule's.
    """
    written, end = Written(), END + DAY
    written.deliver(FIRST, end + 100, 1)
    written.deliver(SECOND, end + 500, 2)
    batch = attempt(3, "published", end + 110, end + 600, end + 700, run_us=100)
    for key in (FIRST, SECOND):
        written.publish("a", key, batch)
    assert written.spent(node("a", Grain.DAY, "s", timezone="UTC"), SECOND, end + 700) == [
        ("source", "s", 500),
        ("run", "s", 10),
        ("queue", "a", 90),
        ("run", "a", 100),
    ]


def test_what_a_plan_stages_waited_for_what_it_staged_before() -> None:
    """Would catch: a repair that publishes all in one snapshot, after which Headrace took the
    vendor's hours.
    """
    written, plan = Written(), LedgerBackfill(1, END + 1_000, END + 1_000)
    before = first_attempt_of(plan.id)
    for name, n, begins in (("s", before + 1, 1_000), ("a", before + 2, 1_020)):
        made = attempt(
            n,
            "published",
            END + begins,
            END + begins,
            END + begins + 20,
            run_us=20,
            plan=plan,
            delivery=1,
        )
        written.publish(name, FIRST, made, END + 1_050)
    written.records.at("s", FIRST).delivered.append(LedgerDelivery(1, END + 900, END + 950))
    assert written.spent(node("a", Grain.DAY, "s", timezone="UTC"), FIRST, END + 1_050) == [
        ("source", "s", 900),
        ("detection", "s", 50),
        ("schedule", "s", 50),
        ("run", "s", 20),
        ("run", "a", 20),
        ("publish", "a", 10),
    ]


def test_what_is_not_partitioned_was_computed_for_other_days_before() -> None:
    """Would catch: each earlier publication of an unpartitioned asset told as a hold, and a
    shortest wait of nothing.
    """
    written = Written()
    for number, key in enumerate((FIRST, SECOND)):
        end = END + number * DAY
        written.deliver(key, end + 300, 10 + number)
        written.publish(
            "a", "*", attempt(20 + number, "published", end + 320, end + 320, end + 400, run_us=80)
        )
    assert written.spent(node("a", None, "s", timezone="UTC"), SECOND, END + DAY + 400) == [
        ("source", "s", 300),
        ("run", "s", 10),
        ("schedule", "a", 10),
        ("run", "a", 80),
    ]
    assert written.shortest_us == 390
