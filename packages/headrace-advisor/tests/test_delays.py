"""Waits by cause: parts of ledgers add up exactly, and data quality is told from other waits."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from headrace.ledger.account import Ledger
from headrace.ledger.claims import NOT_BEGUN
from headrace.ledger.segments import TRIGGER_AWAITED, Segment, SegmentKind
from headrace.slo.declared_promises import NodeTraits
from headrace_advisor.analysis.delay_texts import delay_sentence
from headrace_advisor.analysis.delays import (
    Delay,
    DelayFacts,
    DelayGroup,
    DelayIncident,
    delay_of,
    group_of,
    percents,
)

HOUR = 3_600_000_000
FACTS = DelayFacts(
    incidents={
        1: DelayIncident("orders", "schema_change", "acme"),
        2: DelayIncident("revenue", "code_error", "core"),
        3: DelayIncident("orders", "late_source", "acme"),
    },
    traits={"orders": NodeTraits("acme"), "revenue": NodeTraits("core")},
    sources=frozenset({"orders"}),
)


def segment(
    kind: SegmentKind, node: str = "orders", hours: int = 1, at: int = 0, **fields: object
) -> Segment:
    return Segment(
        kind=kind,
        node=node,
        partition="2025-01-06",
        from_us=at * HOUR,
        to_us=(at + hours) * HOUR,
        **fields,  # type: ignore[arg-type]
    )


def ledger(*segments: Segment) -> Ledger:
    return Ledger(
        subject="report",
        interval="2025-01-06",
        from_us=segments[0].from_us,
        to_us=segments[-1].to_us,
        open=False,
        segments=segments,
    )


@pytest.mark.parametrize(
    ("item", "group"),
    [
        (segment(SegmentKind.HOLD, quality=True), DelayGroup.QUALITY),
        (segment(SegmentKind.RUN, quality=True), DelayGroup.QUALITY),
        (segment(SegmentKind.RETRY, "revenue", incident=1), DelayGroup.QUALITY),
        (segment(SegmentKind.HOLD, "revenue", incident=2), DelayGroup.REPAIR),
        (segment(SegmentKind.RETRY, "revenue"), DelayGroup.RETRY),
        (segment(SegmentKind.HOLD, "revenue"), DelayGroup.REPAIR),
        (segment(SegmentKind.SOURCE, incident=3), DelayGroup.SOURCE),
        (segment(SegmentKind.QUEUE, free=True), DelayGroup.HEADRACE),
        (segment(SegmentKind.QUEUE), DelayGroup.CAPACITY),
        (segment(SegmentKind.RUN), DelayGroup.INGEST),
        (segment(SegmentKind.RUN, "revenue"), DelayGroup.COMPUTE),
        (segment(SegmentKind.AUDIT), DelayGroup.CHECKS),
        (segment(SegmentKind.SCHEDULE, note=f"{TRIGGER_AWAITED}: cron"), DelayGroup.TRIGGER),
        (segment(SegmentKind.SCHEDULE, note=NOT_BEGUN), DelayGroup.HEADRACE),
        (segment(SegmentKind.UNATTRIBUTED), DelayGroup.HEADRACE),
    ],
)
def test_each_segment_belongs_to_what_caused_it(item: Segment, group: DelayGroup) -> None:
    """Would catch: code that fails counted as the vendor's data, or the vendor's data as slow code."""
    assert group_of(item, FACTS) is group


def test_held_data_is_its_vendors_and_names_who_could_decide() -> None:
    """Would catch: a delivery that is held counted as the time of the person who may accept it."""
    held = segment(SegmentKind.HOLD, "revenue", 3, incident=1, quality=True, decider="core")
    delay = delay_of([ledger(held, segment(SegmentKind.RUN, "revenue", 1, at=3))], FACTS)
    assert [(share.node, share.owner, share.decider) for share in delay.shares] == [
        ("orders", "acme", "core"),
        ("revenue", "core", ""),
    ]
    assert delay_sentence("report", delay, "30d") == (
        "report waited 4 h 00 min for 1 obligation: data quality cost 75 % of it, all of it at"
        " orders (acme), where core could have decided for 3 h 00 min; computing took 25 % of it, all of it at revenue (core)"
    )


def test_a_wait_for_a_missing_delivery_beside_held_data_is_the_missing_ones() -> None:
    """Would catch: "data quality cost 5 % of it, all of it at routes (acme)" of a delivery that
    `core` answers for and that wasn't there while orders were held.
    """
    traits = {**FACTS.traits, "routes": NodeTraits("haulage")}
    facts = FACTS._replace(traits=traits, sources=FACTS.sources | {"routes"})
    held = segment(SegmentKind.HOLD, incident=1, quality=True, lacking="routes")
    checked = segment(SegmentKind.HOLD, at=1, incident=1, quality=True, lacking="revenue")
    delay = delay_of([ledger(held, checked)], facts)
    assert [(share.group, share.node, share.owner) for share in delay.shares] == [
        (DelayGroup.QUALITY, "revenue", "core"),
        (DelayGroup.SOURCE, "routes", "haulage"),
    ]


def test_a_trigger_is_its_owners() -> None:
    """Would catch: an hour in which a report waits for its own cron counted as Headrace's."""
    awaited = segment(SegmentKind.SCHEDULE, "revenue", note=f"{TRIGGER_AWAITED}: cron 0 7 * * *")
    delay = delay_of([ledger(awaited)], FACTS)
    assert [(share.node, share.owner) for share in delay.shares] == [("revenue", "core")]
    assert delay_sentence("report", delay, "30d") == (
        "report waited 1 h 00 min for 1 obligation: waiting for the time of a trigger took 100 % of"
        " it, all of it at revenue (core)"
    )


def test_shares_of_random_ledgers_add_up() -> None:
    """Would catch: a segment that is lost or counted twice, and percents that add up to 99.99."""
    seed = 20_240_917
    chance = random.Random(seed)
    for _ in range(200):
        ledgers = []
        for _ in range(chance.randint(1, 8)):
            edges = sorted(chance.sample(range(10**9), chance.randint(2, 30)))
            ledgers.append(
                ledger(
                    *(
                        Segment(
                            kind=chance.choice(list(SegmentKind)),
                            node=chance.choice(["orders", "revenue", "gone"]),
                            partition="*",
                            from_us=start,
                            to_us=end,
                            incident=chance.choice([0, 0, 1, 2, 3, 4]),
                            quality=chance.random() < 0.2,
                            lacking=chance.choice(["", "", "orders"]),
                        )
                        for start, end in pairwise(edges)
                    )
                )
            )
        delay = delay_of(ledgers, FACTS)
        assert sum(share.us for share in delay.shares) == delay.wait_us, seed
        parts = percents([share.us for share in delay.shares], delay.wait_us)
        assert sum(round(float(part) * 100) for part in parts) == 10_000, seed


def test_nothing_due_is_no_data() -> None:
    """Would catch: `0 %` of a wait that nobody had."""
    assert delay_sentence("report", Delay(0, 0, ()), "7d") == (
        "nothing was due for report within 7d: no data"
    )
    assert percents([0, 0], 0) == ["0.00", "0.00"]
