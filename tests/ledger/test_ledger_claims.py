"""What single rows claim of a partition's time: what people decide, what a plan waits for, what is
lost, cancelled or taken back."""

from __future__ import annotations

import msgspec
import pytest
from ledger_rows import Rows
from small_facts import SmallFacts, declare, node

from headrace.ledger.claims import DelayClaims, Stay
from headrace.ledger.critical_path import rebuild_began_us
from headrace.ledger.inputs import LedgerInputs, PartitionRef
from headrace.ledger.records import (
    ActApproval,
    Dropped,
    LedgerBackfill,
    LedgerDelivery,
    LedgerIncident,
    LedgerPublication,
    Standstill,
    Try,
    Unread,
)
from headrace.ledger.segments import SegmentKind, divided
from headrace.model import Grain
from headrace.slo.declared_promises import NodeTraits
from headrace.slo.obligations import EvaluationContext

NODE = "a"


def attempt(
    n: int, state: str, queued: int, dispatched: int, finished: int | None, **more: object
) -> Try:
    item = Try(
        epoch=1,
        n=n,
        node=NODE,
        kind="produce",
        state=state,
        queued_us=queued,
        dispatched_us=dispatched,
        finished_us=finished,
    )
    return msgspec.structs.replace(item, **more)


def spent(
    rows: Rows, until: int, *, final: int | None = None, source: bool = False, **traits: object
) -> list[tuple[str, int]]:
    """(kind, microseconds) of what a stay from 0 until then was spent on."""
    stay = Stay(
        node=NODE,
        partition="*",
        from_us=0,
        to_us=until,
        is_source=source,
        final=None if final is None else (1, final),
        traits=NodeTraits(**traits),  # type: ignore[arg-type]
    )
    return [
        (str(item.kind), item.us)
        for item in divided(DelayClaims(stay, rows).all(), 0, until, NODE, "*")
    ]


def test_what_was_held_and_then_accepted_waited_for_a_person() -> None:
    """Would catch: an exception whose wait counts as publishing."""
    rows = Rows(attempt(1, "held", 10, 10, 40, run_us=20, audit_us=5))
    assert spent(rows, 100, final=1) == [
        ("schedule", 10),
        ("queue", 5),
        ("run", 20),
        ("audit", 5),
        ("hold", 60),
    ]


@pytest.mark.parametrize("since", [-50, 0, 20])
def test_a_source_that_cant_be_read_is_told_so_whenever_that_began(since: int) -> None:
    """Would catch: "not delivered yet" of an interval whose source has been throttled since before
    it ended.
    """
    rows = Rows()
    rows.refused = [Unread(since, None, "429 Too Many Requests")]
    stay = Stay(node=NODE, partition="*", from_us=0, to_us=100, is_source=True)
    notes = [item.note for item in divided(DelayClaims(stay, rows).all(), 0, 100, NODE, "*")]
    assert notes == [
        *(["not delivered yet"] if since > 0 else []),
        "couldn't be read: 429 Too Many Requests",
    ]
    rows.looked = 0
    stay = msgspec.structs.replace(stay, promised_us=30)
    last = divided(DelayClaims(stay, rows).all(), 0, 100, NODE, "*")[-1]
    assert last.kind == "source", "that nobody has looked since isn't what it waits for"


def test_a_plan_waits_for_an_approval_and_for_its_rest() -> None:
    """Would catch: the hours in which a plan wasn't approved counted as ours."""
    plan = LedgerBackfill(7, 5, 50, "partitions > 3")
    rows = Rows(attempt(1, "staged", 50, 50, 70, run_us=20, plan=plan))
    assert spent(rows, 100, final=1) == [
        ("schedule", 5),
        ("approval", 45),
        ("run", 20),
        ("publish", 30),
    ]
    assert spent(rows, 100)[-1] == ("publish", 30), "its plan isn't published yet"
    waiting = Rows()
    waiting.planned = [LedgerBackfill(8, 30, None, "tag:daily")]
    assert spent(waiting, 100) == [("schedule", 30), ("approval", 70)]


def test_a_hold_waits_for_the_approval_of_what_would_end_it() -> None:
    """Would catch: a wait for an approver counted as one for whoever asked, or all of the hold."""
    rows = Rows(attempt(1, "held", 0, 0, 20, run_us=20))
    rows.asked = [
        ActApproval(40, 60, "A1, accepting held data: rejected by user:bo"),
        ActApproval(70, 90, "A2, accepting held data: approved by user:cy"),
    ]
    stay = Stay(node=NODE, partition="*", from_us=0, to_us=100)
    parts = divided(DelayClaims(stay, rows).all(), 20, 100, NODE, "*")
    assert [(item.kind, item.us) for item in parts] == [
        ("hold", 20), ("approval", 20), ("hold", 10), ("approval", 20), ("hold", 10),
    ]  # fmt: skip
    assert "rejected by user:bo" in parts[1].note and "approved by user:cy" in parts[3].note
    published = Rows(attempt(1, "published", 0, 0, 20, run_us=20))
    published.asked = [ActApproval(5, 15, "A3, unpublish: waited for an approval")]
    assert "approval" not in [kind for kind, _ in spent(published, 100, final=1)]


@pytest.mark.parametrize(
    ("state", "error", "count", "kinds"),
    [
        ("failed", "transient", 1, ["retry"]),
        ("failed", "transient", 5, ["retry", "hold"]),
        ("failed", "deterministic", 1, ["retry", "hold"]),
        ("failed", "resources", 1, ["retry"]),
        ("failed", "resources", 2, ["retry", "hold"]),
        ("lost", "", 2, ["retry"]),
        ("lost", "", 3, ["retry", "hold"]),
        ("cancelled", "cancelled", 1, ["retry", "schedule"]),
    ],
)
def test_what_is_not_tried_again_waits_for_somebody(
    state: str, error: str, count: int, kinds: list[str]
) -> None:
    """Would catch: a failure that nobody tries again told as a wait for the next try, and the other
    way about.
    """
    rows = Rows(*(attempt(n, state, n * 10, n * 10, n * 10 + 5, error=error) for n in range(count)))
    assert list(dict.fromkeys(kind for kind, _ in spent(rows, 500))) == kinds


def test_people_come_before_machines() -> None:
    """Would catch: a pause that hides that something was held, and an attempt that
    hides a pause.
    """
    rows = Rows(
        attempt(1, "held", 0, 0, 20, run_us=20), attempt(2, "published", 80, 80, 100, run_us=20)
    )
    rows.paused = [Standstill(10, 50, "x", "ann"), Standstill(90, None, "y", "bob")]
    assert spent(rows, 100, final=2) == [
        ("run", 10),
        ("paused", 10),
        ("hold", 60),
        ("run", 10),
        ("paused", 10),
    ]


def test_the_next_delivery_ends_a_hold() -> None:
    """Would catch: looking seldom told as a wait for somebody."""
    rows = Rows(
        attempt(1, "held", 20, 20, 30, run_us=10, delivery=1),
        attempt(2, "published", 90, 90, 100, run_us=10, delivery=2),
    )
    rows.delivered = [LedgerDelivery(1, 10, 20), LedgerDelivery(2, 60, 85)]
    assert spent(rows, 100, final=2, source=True) == [
        ("source", 10),
        ("detection", 10),
        ("run", 10),
        ("hold", 30),
        ("detection", 25),
        ("schedule", 5),
        ("run", 10),
    ]


def test_a_delivery_between_two_observations_is_told_as_such() -> None:
    """Would catch: the time of the last observation told as the one at which the file came."""
    rows, minute = Rows(), 60_000_000
    rows.delivered = [LedgerDelivery(1, 130 * minute, 240 * minute, claimed_us=5)]
    for promised, told in (
        (0, "delivered 2 h 10 min to 4 h 00 min later than agreed"),
        (180 * minute, "delivered at most 1 h 00 min later than agreed"),
        (300 * minute, "delivered, as agreed"),
    ):
        stay = Stay(
            node=NODE,
            partition="*",
            from_us=0,
            to_us=250 * minute,
            is_source=True,
            promised_us=promised,
        )
        notes = {item.kind: item.note for item in DelayClaims(stay, rows).all()}
        assert (notes["source"], notes["detection"]) == (
            told,
            "came in this time, not observed yet",
        )


def test_when_a_source_that_couldnt_be_read_delivered_isnt_known() -> None:
    """Would catch: a vendor said to be six hours late, of a server that was down for six hours and
    says no times."""
    rows, minute = Rows(), 60_000_000
    stay = Stay(
        node=NODE,
        partition="*",
        from_us=0,
        to_us=250 * minute,
        is_source=True,
        promised_us=60 * minute,
    )
    rows.delivered = [LedgerDelivery(1, 240 * minute, 240 * minute)]
    for refused, told in (
        (
            [Unread(30 * minute, 240 * minute, "status 500")],
            "delivered at most 3 h 00 min later than agreed: it couldn't be read before",
        ),
        (
            [Unread(30 * minute, 90 * minute, "status 500")],
            "delivered at most 3 h 00 min later than agreed",
        ),
    ):
        rows.refused = refused
        assert told in [
            item.note for item in DelayClaims(stay, rows).all() if item.kind == "source"
        ]


def test_what_was_published_and_is_wrong_is_its_incidents() -> None:
    """Would catch: wrong data whose time isn't told, or without who answers for it."""
    rows = Rows(
        attempt(1, "published", 0, 0, 10, run_us=10), attempt(2, "published", 80, 80, 90, run_us=10)
    )
    rows.named = [LedgerIncident(3, "other", "reported", "half is missing", "acme", 5, None)]
    assert spent(rows, 90, final=2) == [("run", 10), ("hold", 70), ("run", 10)]
    (hold,) = [
        s
        for s in DelayClaims(
            Stay(node=NODE, partition="*", from_us=0, to_us=90, final=(1, 2)), rows
        ).all()
        if s.kind == "hold"
    ]
    assert (hold.incident, hold.note) == (3, "half is missing")


def test_a_batch_that_left_its_deliveries_to_others_is_no_incidents_fault() -> None:
    """Would catch: a vendor blamed for a delivery that was ingested by an attempt of its own, since
    another delivery of the same batch was held."""
    reason = "the first of its deliveries has to be ingested alone"
    named = [LedgerIncident(3, NODE, "schema_change", "renamed", "acme", 5, None, of_node=True)]
    for error, told in (("", 0), ("environment", 3)):
        rows = Rows(
            attempt(1, "skipped", 10, 10, 20, reason=reason, error=error),
            attempt(2, "published", 80, 80, 90, run_us=10),
        )
        rows.named = named
        stay = Stay(node=NODE, partition="*", from_us=0, to_us=90, final=(1, 2))
        (retry,) = [item for item in DelayClaims(stay, rows).all() if item.kind == "retry"]
        assert (retry.incident, retry.to_us) == (told, 80)


def test_what_is_of_the_partition_explains_its_wait_first() -> None:
    """Would catch: an outage that is over, named for a file that never came after it."""
    outage = LedgerIncident(
        1, NODE, "source_unavailable", "it failed", "acme", 0, None, of_node=True
    )
    missing = LedgerIncident(2, NODE, "missing_source", "not there by 05:00", "acme", 40, None)
    for named, told in (([outage, missing], 2), ([outage], 1)):
        rows = Rows()
        rows.named = named
        stay = Stay(node=NODE, partition="*", from_us=20, to_us=90, is_source=True)
        (source,) = DelayClaims(stay, rows).all()
        assert (source.kind, source.incident) == ("source", told)


def test_an_outage_after_the_time_of_a_trigger_is_not_its_owners() -> None:
    """Would catch: a server that was down when the cron fired, charged to who declared the cron."""
    rows = Rows(attempt(1, "published", 80, 80, 90, run_us=10, asked_us=70))
    stay = Stay(
        node=NODE, partition="*", from_us=0, to_us=90, final=(1, 1), triggered="x", fires_us=30
    )
    for fires_us, expected in (
        (30, [(30, True), (40, False), (10, False)]),
        (-5, [(70, False), (10, False)]),
        (None, [(80, True)]),
    ):
        fired = msgspec.structs.replace(stay, fires_us=fires_us)
        segments = divided(DelayClaims(fired, rows).all(), 0, 90, NODE, "*")
        waits = [(item.us, item.awaits_trigger) for item in segments if item.kind == "schedule"]
        assert waits == expected
        assert all(
            item.by_headrace != item.awaits_trigger for item in segments if item.kind == "schedule"
        )


def test_only_a_slot_makes_a_queue_ours() -> None:
    """Would catch: the room in a pool, which somebody declared, told as our overhead."""
    rows = Rows(attempt(1, "published", 0, 60, 100, run_us=20))
    rows.idle = [(10, 30), (50, 70)]
    assert spent(rows, 100, final=1) == [
        ("queue", 10),
        ("queue", 20),
        ("queue", 20),
        ("queue", 10),
        ("dispatch", 10),
        ("queue", 10),
        ("run", 20),
    ]
    assert spent(rows, 100, final=1, pooled=True) == [
        ("queue", 60),
        ("dispatch", 10),
        ("queue", 10),
        ("run", 20),
    ]


def test_rows_that_are_gone_leave_time_that_nobody_claims() -> None:
    """Would catch: a publication without its attempt whose time is called the schedule's."""
    assert spent(Rows(), 100, final=9) == [("unattributed", 100)]


@pytest.mark.parametrize(
    ("first", "began"),
    [
        ({"version": 2}, 300),
        ({"asked_us": 350}, 350),
        ({"plan": LedgerBackfill(1, 250, 400)}, 250),
        ({}, 400),
    ],
)
def test_a_rebuild_begins_with_what_caused_it(first: dict[str, object], began: int) -> None:
    """Would catch: a day that is made again after a year, and has waited a year."""
    rows = Rows(attempt(1, "published", 0, 0, 100), attempt(2, "published", 400, 400, 500, **first))
    rows.visible = [LedgerPublication(100, 500, 1, 1), LedgerPublication(500, None, 1, 2)]
    declared = node(NODE, Grain.DAY, timezone="UTC")
    inputs = LedgerInputs(EvaluationContext(declare([declared]), SmallFacts()), rows, {}, None)
    assert (
        rebuild_began_us(inputs, rows, PartitionRef(NODE, "2013-01-01"), rows.visible[0], 500)
        == began
    )


def test_nobody_could_have_decided_what_no_command_ends() -> None:
    """Would catch: "core could have decided for 40 h" of a source's interval that somebody
    unpublished, which only its vendor brings back, or of data that is dropped already."""
    taken = Rows(attempt(1, "published", 10, 10, 20))
    taken.visible = [LedgerPublication(20, 30, 1, 1)]
    assert (decider(taken, source=False), decider(taken, source=True)) == ("core", "")
    held = attempt(1, "held", 10, 10, 20, reason="odd")
    assert decider(Rows(held), source=False) == "core"
    dropped = Rows(msgspec.structs.replace(held, dropped=Dropped(50, "dropped by ann")))
    stay = Stay(node=NODE, partition="*", from_us=0, to_us=100, traits=NodeTraits(decider="core"))
    result = divided(DelayClaims(stay, dropped).all(), 0, 100, NODE, "*")
    assert [(item.us, item.decider) for item in result if item.kind is SegmentKind.HOLD] == [
        (30, "core"),
        (50, ""),
    ]


def decider(rows: Rows, *, source: bool) -> str:
    """Who could end the hold of a stay that is open at 100."""
    stay = Stay(
        node=NODE,
        partition="*",
        from_us=0,
        to_us=100,
        is_source=source,
        traits=NodeTraits(decider="core"),
    )
    last = divided(DelayClaims(stay, rows).all(), 0, 100, NODE, "*")[-1]
    assert last.kind is SegmentKind.HOLD
    return last.decider


def test_a_hold_says_what_is_wrong_with_the_partition_asked_about() -> None:
    """Would catch: the first line of one day's file given as the reason for which another day
    waits."""
    rows = Rows(attempt(1, "held", 10, 10, 20, reason="line 9 has 2 columns (b.csv)"))
    headline = "2 partitions, a to b, first: line 4 has 2 columns"
    rows.named = [LedgerIncident(3, NODE, "format_change", headline, "acme", 5, None, places=2)]
    stay = Stay(node=NODE, partition="*", from_us=0, to_us=100)
    assert (
        divided(DelayClaims(stay, rows).all(), 0, 100, NODE, "*")[-1].note == "line 9 has 2 columns"
    )
    rows.named = [LedgerIncident(3, NODE, "format_change", "line 9 has 2 columns", "acme", 5, None)]
    assert (
        divided(DelayClaims(stay, rows).all(), 0, 100, NODE, "*")[-1].note == "line 9 has 2 columns"
    )


@pytest.mark.parametrize(
    ("promised", "observed", "expected"),
    [
        (30, 20, [("source", 30), ("detection", 70)]),
        (30, 30, [("source", 100)]),
        (0, -1, [("detection", 100)]),
        (0, 0, [("source", 100)]),
        (100, 20, [("source", 100)]),
        (150, 20, [("source", 100)]),
        (30, None, [("detection", 100)]),
    ],
)
def test_a_vendor_is_late_only_as_long_as_somebody_looks(
    promised: int, observed: int | None, expected: list[tuple[str, int]]
) -> None:
    """Catches a vendor who is charged hours in which nobody observed whether it had delivered,
    and observations that are called missing before anything was promised."""
    rows = Rows()
    rows.looked = observed
    stay = Stay(
        node=NODE, partition="*", from_us=0, to_us=100, is_source=True, promised_us=promised
    )
    result = divided(DelayClaims(stay, rows).all(), 0, 100, NODE, "*")
    assert [(str(item.kind), item.us) for item in result] == expected
