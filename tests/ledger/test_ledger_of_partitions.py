"""The ledger of one partition: from the end of its interval, or from what caused its rebuild."""

from __future__ import annotations

import msgspec
import pytest
from small_facts import declare, node, reads
from test_ledger_claims import attempt
from test_ledger_paths import DAY, END, FIRST, SOURCE, Written

from headrace.ledger.account import Books, Ledger
from headrace.ledger.records import LedgerDelivery, LedgerPublication
from headrace.model import Grain, PartitionSpec
from headrace.slo.declared_promises import Node
from headrace.slo.facts import PartitionStateFacts
from headrace.slo.obligations import EvaluationContext

ASSET = node("a", Grain.DAY, "s", timezone="UTC")


def ledger_of(written: Written, name: str, key: str, asset: Node = ASSET) -> Ledger | None:
    context = EvaluationContext(declare([SOURCE, asset]), written.facts)
    return Books({}, context, written.records).of_partition(name, key)


def spent(ledger: Ledger) -> list[tuple[str, str, int]]:
    return [(str(segment.kind), segment.node, segment.us) for segment in ledger.segments]


def published() -> Written:
    """The source's day arrived 100 after its end, and the asset was computed in 70."""
    written = Written()
    written.deliver(FIRST, END + 100, 1)
    first = attempt(3, "published", END + 130, END + 130, END + 200, run_us=70)
    written.publish("a", FIRST, first)
    return written


def test_a_first_publication_waits_from_the_end_of_its_interval() -> None:
    """Catches a wait that begins with the first attempt, and one that goes on once it is over."""
    ledger = ledger_of(published(), "a", FIRST)
    assert ledger is not None
    assert (ledger.subject, ledger.interval) == (f"a@{FIRST}", FIRST)
    assert (ledger.from_us, ledger.to_us, ledger.open) == (END, END + 200, False)
    assert (ledger.shortest_us, ledger.rebuild) == (180, False)
    assert spent(ledger) == [
        ("source", "s", 100),
        ("run", "s", 10),
        ("schedule", "a", 20),
        ("run", "a", 70),
    ]


def test_a_partition_that_isnt_published_waits_until_now() -> None:
    """Catches an open wait that nobody sees, and one of an interval that hasn't ended yet."""
    written = Written()
    written.records.now_us = written.records.looked = END + 60
    ledger = ledger_of(written, "a", FIRST)
    assert ledger is not None
    assert (ledger.from_us, ledger.to_us, ledger.open) == (END, END + 60, True)
    assert spent(ledger) == [("source", "s", 60)]
    written.records.now_us = END
    empty = ledger_of(written, "a", FIRST)
    assert empty is not None
    assert (empty.wait_us, empty.segments) == (0, ())
    written.records.now_us = END - 1
    assert ledger_of(written, "a", FIRST) is None


def test_a_part_of_a_day_waits_from_the_end_of_the_day() -> None:
    """Catches the key of a part of a day read as a date."""
    partition = PartitionSpec(grain=Grain.DAY, key="region")
    source = Node("r", True, partition, "UTC", ())
    written = Written()
    written.records.now_us = END + 60
    ledger = ledger_of(written, "r", f"{FIRST}/north", source)
    assert ledger is not None
    assert (ledger.from_us, ledger.subject) == (END, f"r@{FIRST}/north")


@pytest.mark.parametrize(("queued", "arrived", "began"), [(20, 50, 20), (50, 20, 20), (0, 30, 30)])
def test_without_intervals_it_waits_from_the_first_row(
    queued: int, arrived: int, began: int
) -> None:
    """Catches an unpartitioned table that has waited since 1970, or since its second row."""
    whole = node("a", None, timezone="UTC")
    written = Written()
    written.records.now_us = 100
    rows = written.records.at("a", "*")
    assert ledger_of(written, "a", "*", whole) is None, "nothing has happened yet"
    if queued:
        rows.made += [attempt(n, "queued", queued + n, queued + n, None) for n in (0, 5)]
    rows.delivered += [LedgerDelivery(n, arrived + n, arrived + n) for n in (0, 5)]
    ledger = ledger_of(written, "a", "*", whole)
    assert ledger is not None
    assert (ledger.subject, ledger.from_us, ledger.to_us) == ("a", began, 100)


@pytest.mark.parametrize(
    ("more", "ended_us", "began"),
    [
        ({"asked_us": END + 500}, None, END + 500),
        ({"asked_us": END + 700}, None, END + 600),
        ({"asked_us": END + 150}, None, END + 600),
        ({"asked_us": END + 500}, END + 400, END + 400),
        ({}, None, END + 600),
    ],
)
def test_a_rebuild_waits_from_its_request(
    more: dict[str, object], ended_us: int | None, began: int
) -> None:
    """Catches a day that is computed again after a year and has waited for the year: it waits
    since the request, or since it was withdrawn. Requests of another attempt don't count."""
    written = published()
    visible = written.records.at("a", FIRST).visible
    again = attempt(4, "published", END + 600, END + 600, END + 800, run_us=200, **more)
    written.publish("a", FIRST, again)
    visible[0] = msgspec.structs.replace(visible[0], ended_us=ended_us or END + 800)
    ledger = ledger_of(written, "a", FIRST)
    assert ledger is not None
    assert (ledger.from_us, ledger.to_us, ledger.open) == (began, END + 800, False)
    assert (ledger.rebuild, ledger.shortest_us) == (True, None)
    assert spent(ledger)[-1] == ("run", "a", 200)


def test_a_rebuild_waits_from_the_delivery_that_caused_it() -> None:
    """Catches a correction's wait that begins when its input was published, or with the first
    delivery."""
    written = published()
    written.deliver(FIRST, END + 1_000, 2)
    again = attempt(4, "published", END + 1_050, END + 1_050, END + 1_100, run_us=50)
    written.publish("a", FIRST, again)
    ledger = ledger_of(written, "a", FIRST)
    assert ledger is not None
    assert (ledger.from_us, ledger.to_us, ledger.rebuild) == (END + 1_000, END + 1_100, True)
    assert spent(ledger) == [("run", "s", 10), ("schedule", "a", 40), ("run", "a", 50)]
    source = ledger_of(written, "s", FIRST)
    assert source is not None
    assert (source.from_us, source.to_us) == (END + 1_000, END + 1_010)


@pytest.mark.parametrize(
    ("state", "is_published", "stale", "is_open"),
    [
        ("published", True, False, False),
        ("published", True, True, True),
        ("withdrawn", False, False, True),
        ("waived", False, True, False),
    ],
)
def test_stale_and_withdrawn_partitions_are_awaited(
    state: str, is_published: bool, stale: bool, is_open: bool
) -> None:
    """Catches a stale partition whose wait is over, and a waived one that is waited for."""
    written = published()
    written.records.now_us = END + 2_000
    written.deliver(FIRST, END + 1_000, 2)
    facts = PartitionStateFacts(state, is_published, stale, "", END + 1_010)
    written.facts.partition_states["a", FIRST] = facts
    ledger = ledger_of(written, "a", FIRST)
    assert ledger is not None
    assert (ledger.open, ledger.rebuild) == (is_open, is_open)
    expected = (END + 1_000, END + 2_000) if is_open else (END, END + 200)
    assert (ledger.from_us, ledger.to_us) == expected


@pytest.mark.parametrize(("ended_us", "began"), [(END + 400, END + 400), (None, END + 900)])
def test_a_withdrawn_partition_waits_since_it_was_withdrawn(
    ended_us: int | None, began: int
) -> None:
    """Catches withdrawn data that nobody computes again and that waits for nothing."""
    written = published()
    written.records.now_us = END + 900
    rows = written.records.at("a", FIRST)
    rows.visible[-1] = LedgerPublication(END + 200, ended_us, 1, 3)
    facts = PartitionStateFacts("withdrawn", False, False, "", END + 400)
    written.facts.partition_states["a", FIRST] = facts
    ledger = ledger_of(written, "a", FIRST)
    assert ledger is not None
    assert (ledger.from_us, ledger.to_us, ledger.open) == (began, END + 900, True)


def test_an_unpartitioned_asset_waits_for_the_newest_of_what_it_reads() -> None:
    """Catches a rebuild of a total that is caused by another day than the one that arrived."""
    total = node("a", None, reads("w"), timezone="UTC")
    source = node("w", None, source=True, timezone="UTC")
    written = Written()
    for n, at_us in ((1, 100), (2, DAY)):
        written.records.at("w", "*").delivered.append(LedgerDelivery(n, at_us, at_us))
        ingested = attempt(n, "published", at_us, at_us, at_us + 10, run_us=10, delivery=n)
        written.publish("w", "*", ingested)
        computed = attempt(n + 4, "published", at_us + 30, at_us + 30, at_us + 50, run_us=20)
        written.publish("a", "*", computed)
    context = EvaluationContext(declare([source, total]), written.facts)
    ledger = Books({}, context, written.records).of_partition("a", "*")
    assert ledger is not None
    assert (ledger.from_us, ledger.to_us, ledger.rebuild) == (DAY, DAY + 50, True)
    assert spent(ledger) == [("run", "w", 10), ("schedule", "a", 20), ("run", "a", 20)]
