"""The delay ledger over random histories in a real store, against what is known to have happened,
instant by instant.
"""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest
from ledger_history import DAYS, History, end_of, owner_of

from headrace.ledger.account import Books, Ledger
from headrace.ledger.segments import Segment, SegmentKind, divided
from headrace.ledger.stored_records import StoreRecords
from headrace.model import Settings
from headrace.slo.declared_promises import NodeTraits
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.store import Store

TABLES = ("publication", "partition", "attempt", "delivery", "journal", "run", "pause_past")
HISTORIES = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(tmp_path_factory.mktemp("ledger"), Settings(name="t"), create=True)


def ledgers(store: Store, history: History, now: int | None) -> dict[str, Ledger]:
    """Of each day, as seen at a time (None: when all was there)."""
    result = {}
    with store.write(None) as tx:
        for table in TABLES:
            tx.execute(f"delete from {table}")
        history.write(tx, now)
    with store.read() as tx:
        at = now if now is not None else max(history.met(day) for day in DAYS)
        books = Books(
            {}, EvaluationContext(history.declared_promises, StoredFacts(tx)), StoreRecords(tx, at)
        )
        for day in DAYS:
            met = history.met(day)
            ledger = books.of_consumer(history.terms, day, met_us=met if met <= at else None)
            if ledger is not None:
                result[day] = ledger
    return result


def check_that_it_adds_up(ledger: Ledger) -> None:
    assert sum(segment.us for segment in ledger.segments) == ledger.wait_us
    assert all(segment.us > 0 for segment in ledger.segments)
    assert all(segment.note for segment in ledger.segments), "each says in words what it was"
    assert all(item.to_us == after.from_us for item, after in pairwise(ledger.segments))
    if ledger.segments:
        assert (ledger.segments[0].from_us, ledger.segments[-1].to_us) == (
            ledger.from_us,
            ledger.to_us,
        )
    assert (
        sum(ledger.by_kind().values())
        == sum(ledger.shares({"a0": NodeTraits("core")}, {}).values())
        == ledger.wait_us
    )
    assert sum(ledger.overhead_parts().values()) == ledger.overhead_us <= ledger.wait_us


def test_each_instant_is_what_it_was(store: Store) -> None:
    """Would catch: an instant that counts twice or not at all, the wrong input taken for the last
    one, a pause or a hold that is blamed on what lies below it, an attempt whose time goes to
    another kind, a slot that was free and isn't told of."""
    for seed in range(HISTORIES):
        history = History(seed)
        for day, ledger in ledgers(store, history, None).items():
            check_that_it_adds_up(ledger)
            assert (ledger.from_us, ledger.to_us) == (
                end_of(day),
                max(end_of(day), history.met(day)),
            ), seed
            for start, end in pairwise(history.edges(day)):
                item = next(s for s in ledger.segments if s.from_us <= start < s.to_us)
                spent = history.spent(day, start)
                assert (str(item.kind), item.node, item.partition) == spent, (
                    f"seed {seed}, {day}, {start - ledger.from_us} to {end - ledger.from_us}"
                )
            assert sum(segment.us for segment in ledger.segments if segment.free) == history.free(
                day
            ), seed
            assert ledger.shortest_us is not None and ledger.work_us <= ledger.wait_us
            assert ledger.shortest_us <= ledger.wait_us, seed


def test_each_owner_answers_for_what_is_its(store: Store) -> None:
    """Would catch: a delivery that lay unseen, or that waited for a slot, or another part that
    Headrace took, charged to the owner of the node."""
    unseen = 0
    for seed in range(HISTORIES):
        history = History(seed)
        traits = {node.name: NodeTraits(owner_of(node.name)) for node in history.nodes}
        for day, ledger in ledgers(store, history, None).items():
            shares = Counter[str]()
            for share, us in ledger.shares(traits, {}).items():
                shares[share.owner] += us
            assert shares == history.charged(day), f"seed {seed}, {day}"
            unseen += ledger.by_kind().get(SegmentKind.DETECTION, 0)
    assert unseen, "no history has a delivery that lay unseen"


def test_a_wait_that_is_not_over_ends_now(store: Store) -> None:
    """Would catch: an open wait that ends with what is known to happen later, or has a gap before
    now.
    """
    random_ = random.Random(7)
    for seed in range(HISTORIES):
        history = History(seed)
        day = random_.choice(DAYS)
        if history.met(day) <= end_of(day) + 1:
            continue
        now = random_.randint(end_of(day), history.met(day) - 1)
        ledger = ledgers(store, history, now)[day]
        check_that_it_adds_up(ledger)
        assert ledger.open and ledger.to_us == now, f"seed {seed}"
        assert not any(segment.kind is SegmentKind.UNATTRIBUTED for segment in ledger.segments), (
            f"seed {seed}: {ledger.segments}"
        )


def test_claims_are_divided_by_rank() -> None:
    """Would catch: a claim that wins over one that ranks before it, an edge that belongs to both
    sides.
    """
    ranks = list(SegmentKind)
    for seed in range(200):
        random_ = random.Random(seed)
        claims = []
        for _ in range(random_.randint(0, 8)):
            start = random_.randint(-5, 30)
            kind = random_.choice(ranks)
            claims.append(
                Segment(
                    kind=kind,
                    node="a",
                    partition="*",
                    from_us=start,
                    to_us=start + random_.randint(0, 15),
                    note=str(random_.random()),
                )
            )
        result = divided(claims, 0, 25, "a", "*")
        assert sum(item.us for item in result) == 25, f"seed {seed}"
        for at in range(25):
            (item,) = [s for s in result if s.from_us <= at < s.to_us]
            covering = [c for c in claims if c.from_us <= at < c.to_us]
            best = min(
                (ranks.index(c.kind) for c in covering),
                default=ranks.index(SegmentKind.UNATTRIBUTED),
            )
            assert item.kind is ranks[best], f"seed {seed} at {at}"
