"""Which input blocks a partition, and which segments lie within a span."""

from __future__ import annotations

import pytest
from small_facts import consumer, declare, node
from test_ledger_paths import DAY, END, FIRST, SECOND, SOURCE, Several, Written
from test_undecided import segment

from headrace.ledger.inputs import LedgerInputs, PartitionRef, ReadScope
from headrace.ledger.records import LedgerIncident, Standstill
from headrace.ledger.segments import SegmentKind, clipped
from headrace.model import Grain
from headrace.slo.facts import PartitionStateFacts
from headrace.slo.obligations import EvaluationContext

PLACE = PartitionRef("s", FIRST)


class Paused(Several):
    """Records of nodes, some of which are paused."""

    def pauses(self, name: str) -> list[Standstill]:
        return {
            "paused": [Standstill(0, 10, "over", "ann"), Standstill(20, None, "broken", "ann")],
            "resumed": [Standstill(0, 10, "over", "ann")],
        }.get(name, [])


def test_the_root_of_a_wait_is_what_most_surely_blocks_it() -> None:
    """Catches a report that names a running node while a file is held, or a pause that is over."""
    sources = [
        node(name, Grain.DAY, source=True, timezone="UTC", start=FIRST)
        for name in ("held", "failed", "paused", "resumed", "stale")
    ]
    assets = [
        node("running", Grain.DAY, timezone="UTC"),
        node("idle", Grain.DAY, timezone="UTC"),
        node("reader", Grain.DAY, "running", "resumed", timezone="UTC"),
    ]
    written = Written()
    states = (("held", "held", 70), ("failed", "failed", 60), ("running", "running", 5))
    for name, state, since_us in (*states, ("stale", "published", 1)):
        facts = PartitionStateFacts(state, False, False, "", since_us)
        written.facts.partition_states[name, FIRST] = facts
    inputs = LedgerInputs(
        EvaluationContext(declare([*sources, *assets]), written.facts), Paused(), {}, None
    )
    places = [PartitionRef(item.name, FIRST) for item in (*sources, *assets)]
    assert [place.node for place in sorted(places, key=inputs.root_rank)] == [
        "failed", "held", "paused", "resumed", "reader", "stale", "running", "idle",
    ]  # fmt: skip
    assert inputs.root_rank(PartitionRef("reader", FIRST)) == (2, 1, "resumed", FIRST)
    assert inputs.root_rank(PartitionRef("unknown", FIRST)) == (2, 1, "unknown", FIRST)


def test_of_missing_deliveries_one_with_an_incident_blocks_most_surely() -> None:
    """Catches a ledger that names a delivery that just isn't there, while `status` names the
    incident of a source beside it that can't be read."""

    class Named(Several):
        def incidents(self, name: str, partition: str) -> list[LedgerIncident]:
            ended = {"down": None, "up": 9}
            if name not in ended:
                return []
            return [LedgerIncident(1, name, "source_unavailable", "", "", 0, ended[name])]

    sources = [node(name, Grain.DAY, source=True, timezone="UTC") for name in ("a", "down", "up")]
    context = EvaluationContext(declare(sources), Written().facts)
    inputs = LedgerInputs(context, Named(), {}, None)
    places = [PartitionRef(item.name, FIRST) for item in sources]
    assert [place.node for place in sorted(places, key=inputs.root_rank)] == ["down", "a", "up"]


def test_a_node_that_reads_itself_has_a_root() -> None:
    """Catches a search without an end."""
    ring = [
        node("a", Grain.DAY, "b", timezone="UTC"),
        node("b", Grain.DAY, "a", "s", timezone="UTC"),
    ]
    context = EvaluationContext(declare([SOURCE, *ring]), Written().facts)
    inputs = LedgerInputs(context, Several(), {}, None)
    assert inputs.root_rank(PartitionRef("a", FIRST)) == (2, 1, *PLACE)
    assert (inputs.reads("a", "s"), inputs.reads("s", "a")) == (True, False)


@pytest.mark.parametrize(
    ("interval", "at_us", "since_us"),
    [
        (FIRST, END + 400, END + 400),
        (FIRST, END + 399, None),
        (SECOND, END + DAY + 400, END + DAY + 400),
        (SECOND, END + DAY + 399, None),
        (None, END + 400, END + 400),
        (None, END + DAY + 500, END + 400),
        (None, END + 399, None),
    ],
)
def test_a_total_holds_an_interval_since_it_read_it(
    interval: str | None, at_us: int, since_us: int | None
) -> None:
    """Catches yesterday's total taken for today's, and one that is published later."""
    written = Written()
    for number, key in enumerate((FIRST, SECOND)):
        end = END + number * DAY
        written.deliver(key, end + 300, 10 + number)
        computed = written.records.at("s", key).made[-1]
        written.publish("a", "*", computed, end + 400)
    terms = consumer("report", "a", zone="UTC", due="09:00", per=Grain.DAY)
    total = node("a", None, "s", timezone="UTC")
    context = EvaluationContext(declare([SOURCE, total], terms), written.facts)
    reading = None if interval is None else ReadScope(terms, interval)
    inputs = LedgerInputs(context, written.records, {}, reading)
    place = PartitionRef("a", "*")
    assert inputs.enough(place, at_us) == since_us
    assert inputs.enough(PLACE, at_us) == (END + 310 if at_us >= END + 310 else None)


def test_segments_are_clipped_to_a_span() -> None:
    """Catches a segment that only touches a span, one of negative length, and an edge that is
    moved."""
    spans = [(0, 10), (10, 20), (20, 30), (30, 40), (12, 18), (0, 40)]
    segments = [segment(SegmentKind.RUN, "clean", *span) for span in spans]
    assert [(item.from_us, item.to_us) for item in clipped(segments, 10, 25)] == [
        (10, 20), (20, 25), (12, 18), (10, 25),
    ]  # fmt: skip
