"""What a leader leaves for the next one, in a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runlab import DAYS, Lab, published

from headrace.model import Grain, InputSpec, PartitionSpec, Place, Settings
from headrace.runtime import event_log
from headrace.runtime.graph import stored
from headrace.scheduler import Core, Graph, GraphNode, PartitionState, checkpoints
from headrace.store import Store, Transaction
from headrace.store.queries import applied_versions, leader_writes, partition_states, publications
from headrace.store.queries.leader_writes import PartitionRecord, PublicationRecord

DAY = PartitionSpec(grain=Grain.DAY)
GRAPH = Graph(
    (
        GraphNode("flights", True, DAY, "UTC"),
        GraphNode("clean", False, DAY, "UTC", (InputSpec(node="flights", place=Place(file="x")),)),
    )
)
KEYS = [f"2013-02-{day:02}" for day in range(1, 11)]
NOW = 1_400_000_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, Settings(name="t"), create=True) as opened:
        yield opened


def publish(tx: Transaction, node: str, *keys: str) -> None:
    last = publications.last_id(tx)
    rows = [
        PublicationRecord(
            id=last + n,
            node=node,
            partition=key,
            epoch=1,
            n=n,
            snapshot=1,
            published_at=NOW,
            rows=1,
            size_bytes=1,
            verdict="passed",
            content_hash=f"h{last + n}",
            identical=False,
            version=1,
            delivery_id=None,
            manifest=None,
        )
        for n, key in enumerate(keys, 1)
    ]
    leader_writes.publish(tx, rows)


def begun(tx: Transaction, version: int = 1) -> Core:
    core = Core(epoch=1, slots=1)
    core.handle(stored(tx, GRAPH, version=version), NOW)
    return core


def standing(core: Core) -> dict[tuple[str, str], PartitionState]:
    return {(n.name, key): core.state_of(n.name, key) for n in GRAPH.nodes for key in KEYS}


def keep(store: Store, version: int = 1) -> None:
    with store.write(None) as tx:
        publish(tx, "flights", *KEYS[:6])
        publish(tx, "clean", *KEYS[:5])
        partition_states.save_checkpoint(
            tx, version, checkpoints.encode_checkpoint(begun(tx).checkpoint()), NOW
        )


CHANGES: dict[str, Callable[[Transaction], object]] = {
    "published": lambda tx: publish(tx, "flights", KEYS[7]),
    "published again": lambda tx: publish(tx, "clean", KEYS[2]),
    "marked": lambda tx: leader_writes.mark_partitions(
        tx, [PartitionRecord("clean", KEYS[1], "failed", False, 2, None, "it failed", NOW)]
    ),
    "stale": lambda tx: applied_versions.stale_node(tx, "clean", NOW),
    "taken back": lambda tx: applied_versions.unpublish_node(tx, "clean", 2, NOW),
    "withdrawn": lambda tx: publications.withdraw(
        tx, "clean", KEYS[3], snapshot=2, now=NOW, reason="wrong"
    ),
    "renamed": lambda tx: leader_writes.rename_node(tx, "clean", "cleaner"),
}


@pytest.mark.parametrize("what", sorted(CHANGES))
def test_whatever_changes_is_seen_by_who_starts_from_a_checkpoint(what: str, store: Store) -> None:
    """Catches a statement that changes partitions and doesn't number the change, and rows that go
    and stay in the checkpoint."""
    keep(store)
    with store.write(None) as tx:
        CHANGES[what](tx)
    with store.read() as tx:
        assert standing(begun(tx)) == standing(begun(tx, version=2)), "the table says otherwise"
        loaded = stored(tx, GRAPH, version=1)
        resumed = loaded.checkpoint is not None and loaded.checkpoint.complete
        assert resumed == (what not in ("taken back", "renamed"))
        assert len(loaded.tracked_partitions) <= 5
        whole = stored(tx, GRAPH, version=None).checkpoint
        assert whole is not None and list(checkpoints.differing_partitions(loaded, whole)) == []


def test_a_checkpoint_of_another_version_isnt_used(store: Store) -> None:
    keep(store, version=3)
    with store.read() as tx:
        loaded = stored(tx, GRAPH, version=4)
        assert loaded.checkpoint is not None and not loaded.checkpoint.complete
        assert standing(begun(tx, version=4)) == standing(begun(tx, version=3))


def test_what_cannot_be_understood_isnt_used(store: Store) -> None:
    """Of a later release, or damaged: the rows are there."""
    for content in (
        b"",
        b"\xc1",
        b"\x91\x01",
        checkpoints.encode_checkpoint(Core(epoch=1, slots=1).checkpoint())[:-3],
    ):
        with store.write(None) as tx:
            publish(tx, "flights", KEYS[0])
            partition_states.save_checkpoint(tx, 1, content, NOW)
        with store.read() as tx:
            assert begun(tx).state_of("flights", KEYS[0]) is PartitionState.PUBLISHED


def test_a_checkpoint_that_says_otherwise_is_found_out(store: Store) -> None:
    """`db check` compares: catches a comparison that sees nothing."""
    keep(store)
    with store.write(None) as tx:
        tx.execute(
            "update partition set stale = 1 where node = 'clean' and partition = ?", (KEYS[0],)
        )
        tx.execute("delete from partition where node = 'flights' and partition = ?", (KEYS[4],))
    with store.read() as tx:
        whole = stored(tx, GRAPH, version=None).checkpoint
        assert whole is not None
        result = list(checkpoints.differing_partitions(stored(tx, GRAPH, version=1), whole))
    assert result == [("flights", KEYS[4]), ("clean", KEYS[0])]


def test_a_leader_leaves_what_the_next_one_starts_from(
    any_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a checkpoint that is written before its partitions are, one that nobody reads, and
    work that it hides."""
    monkeypatch.setattr(event_log, "CHANGES_WORTH", 1)
    any_lab.sql("clean", "select order_id, amount, day from orders")
    for day in DAYS[:3]:
        any_lab.orders(day)
    assert len(published(any_lab.tick())) == 6
    (kept,) = any_lab.rows("select revision, content from checkpoint")
    result = checkpoints.decode_checkpoint(bytes(kept[1]))
    assert result is not None and result.complete and not result.tracked_partitions
    assert any_lab.rows("select max(revision) from partition") == [(kept[0],)]
    monkeypatch.setattr(partition_states, "stored_states", only_after(kept[0]))
    monkeypatch.setattr(partition_states, "stored_runs", None)  # which read all rows
    any_lab.orders(DAYS[3])
    any_lab.orders(DAYS[0], amount="2.50")
    assert published(any_lab.tick()) == [
        ("clean", DAYS[0]),
        ("clean", DAYS[3]),
        ("orders", DAYS[0]),
        ("orders", DAYS[3]),
    ]
    assert any_lab.tick().published == []
    assert any_lab.headrace("db", "check")["ok"]


def only_after(revision: int) -> Callable[..., Iterator[partition_states.StoredPartitionState]]:
    real = partition_states.stored_states

    def read(tx: Transaction, after: int = -1) -> Iterator[partition_states.StoredPartitionState]:
        assert after >= revision, "all rows are read although there is a checkpoint"
        return real(tx, after)

    return read
