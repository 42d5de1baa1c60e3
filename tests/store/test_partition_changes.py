"""Statements that change stored states beside the core keep to its table of transitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from headrace.scheduler import PartitionState
from headrace.scheduler.states import TRANSITIONS, PartitionTransition
from headrace.store import Store, Transaction
from headrace.store.queries import applied_versions, leader_writes, partition_states, publications
from headrace.store.queries.leader_writes import PartitionRecord, PublicationRecord

NODE, DAY = "orders", "2025-01-01"


def _publish(tx: Transaction) -> None:
    record = PublicationRecord(
        id=publications.last_id(tx) + 1,
        node=NODE,
        partition=DAY,
        epoch=1,
        n=1,
        snapshot=1,
        published_at=10,
        rows=3,
        size_bytes=30,
        verdict="passed",
        content_hash=None,
        identical=False,
        version=1,
        delivery_id=None,
        manifest=None,
    )
    leader_writes.publish(tx, [record])


def _withdraw(tx: Transaction) -> None:
    publications.withdraw(tx, NODE, DAY, snapshot=2, now=20, reason="wrong currency")


class Statement(NamedTuple):
    run: Callable[[Transaction], object]
    change: PartitionTransition
    """The transition that it stands for."""
    published: tuple[bool, ...] = (False, True)
    """Whether the partition has a visible publication when it runs."""


STATEMENTS = {
    "publish": Statement(_publish, PartitionTransition.PUBLISHED_ELSEWHERE),
    "withdraw": Statement(_withdraw, PartitionTransition.WITHDRAWN, (True,)),
    "stale_node": Statement(
        lambda tx: applied_versions.stale_node(tx, NODE, 20), PartitionTransition.WANTED
    ),
    "stale_node, unpublished, recomputed on request": Statement(
        lambda tx: applied_versions.stale_node(tx, NODE, 20, ask=True),
        PartitionTransition.WANTED,
        (False,),
    ),
    "stale_node, published, recomputed on request": Statement(
        lambda tx: applied_versions.stale_node(tx, NODE, 20, ask=True),
        PartitionTransition.PUBLISHED_ELSEWHERE,
        (True,),
    ),
    "mark_fresh": Statement(
        lambda tx: applied_versions.mark_fresh(tx, NODE, [DAY], 20),
        PartitionTransition.PUBLISHED_ELSEWHERE,
    ),
    "try_unpublished": Statement(
        lambda tx: applied_versions.try_unpublished(tx, NODE, 20), PartitionTransition.WANTED
    ),
    "reingest_partitions": Statement(
        lambda tx: applied_versions.reingest_partitions(tx, NODE, [DAY], 20),
        PartitionTransition.WANTED,
    ),
}
STORED = [state for state in PartitionState if state is not PartitionState.RUNNING]
"""A dispatch isn't stored: a partition that runs keeps the state that it had."""


def _state(tx: Transaction) -> PartitionState:
    (partition,) = partition_states.stored_states(tx)
    return PartitionState(partition.state)


def _stored(tx: Transaction, state: PartitionState, *, published: bool) -> None:
    if published:
        _publish(tx)
    leader_writes.mark_partitions(
        tx, [PartitionRecord(NODE, DAY, state, False, 0, None, "", since=5)]
    )


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_changes_states_as_the_core_does(store: Store, name: str) -> None:
    """Would catch: SQL that brings a partition into a state from which the core never gets there, so
    that the state after a restart differs from the state before it."""
    statement = STATEMENTS[name]
    changed = 0
    for published in statement.published:
        for state in STORED:
            if published and state in (PartitionState.MISSING, PartitionState.WITHDRAWN):
                continue  # these have no visible publication
            with store.write(None) as tx:
                _stored(tx, state, published=published)
                statement.run(tx)
                after = _state(tx)
                tx.execute("delete from publication")
                tx.execute("delete from partition")
                tx.execute("delete from withdrawal")
            if after is not state:
                changed += 1
                assert TRANSITIONS.get((state, statement.change)) is after, (state, published)
    assert changed, "it changes nothing here"
