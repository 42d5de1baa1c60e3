"""How nodes stand, kept from one look to the next, against each judged anew: random changes in a
real store, the seed is printed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from small_facts import node

from headrace.model import Grain, PartitionSpec, Settings
from headrace.slo.declared_promises import WHOLE, DeclaredPromises, Node
from headrace.slo.freshness import node_states
from headrace.slo.obligations import EvaluationContext
from headrace.slo.state_cache import StateCache
from headrace.slo.stored_facts import StoredFacts
from headrace.store import Store, Transaction
from headrace.store.queries.partition_states import next_revision

FIRST = datetime(2013, 1, 1, tzinfo=UTC)
DAYS = [(FIRST + timedelta(days=n)).date().isoformat() for n in range(12)]
HOURS = [f"{DAYS[0]}T{n:02}" for n in range(24)]
REGIONS = ("north", "south")
KEYED = Node("keyed", False, PartitionSpec(key="region", values=REGIONS), "UTC")
GROWING = Node("growing", False, PartitionSpec(grain=Grain.DAY, key="region"), "UTC")
DECLARED = DeclaredPromises(
    "UTC",
    {
        item.name: item
        for item in (
            node("src", Grain.DAY, source=True, timezone="UTC"),
            node("hourly", Grain.HOUR, source=True, timezone="UTC", start=HOURS[0]),
            node("daily", Grain.DAY, "src", timezone="UTC"),
            node("below", Grain.DAY, "daily", timezone="UTC"),
            node("whole", None, "daily", timezone="UTC"),
            node("further", None, "whole", "hourly", timezone="UTC"),
            KEYED,
            GROWING,
        )
    },
    (),
    {"view": ("whole", "below"), "empty": ()},
)
KEYS = {
    "src": DAYS,
    "daily": DAYS,
    "below": DAYS,
    "hourly": HOURS,
    "whole": [WHOLE],
    "further": [WHOLE],
    "keyed": REGIONS,
    "growing": [f"{day}/{region}" for day in DAYS for region in REGIONS],
}


class Changes:
    """What a leader writes, in few words."""

    def __init__(self, chance: random.Random) -> None:
        self._chance, self._ids = chance, 0

    def some(self, tx: Transaction) -> None:
        """Anything of one partition, in a transaction of its own."""
        name = self._chance.choice(sorted(KEYS))
        key = self._chance.choice(KEYS[name])
        self._chance.choice(
            (
                self._publish,
                self._publish,
                self._take_back,
                self._fail,
                self._stale,
                self._hold,
                self._deliver,
            )
        )(tx, name, key)

    def _publish(self, tx: Transaction, name: str, key: str) -> None:
        self._ids += 1
        tx.execute(
            "update publication set ended_snapshot = 1 where node = ? and partition = ? and"
            " ended_snapshot is null",
            (name, key),
        )
        tx.execute(
            "insert into publication (id, node, partition, epoch, n, snapshot, published_at, rows,"
            " bytes, verdict, version) values (?, ?, ?, 1, ?, 1, ?, 1, 1, ?, 1)",
            (
                self._ids,
                name,
                key,
                self._ids,
                self._ids,
                self._chance.choice(("passed", "unchecked")),
            ),
        )
        self._put(tx, name, key, "published", publication=self._ids)

    def _take_back(self, tx: Transaction, name: str, key: str) -> None:
        tx.execute(
            "update publication set ended_snapshot = 2 where node = ? and partition = ? and"
            " ended_snapshot is null",
            (name, key),
        )
        self._put(tx, name, key, "withdrawn")

    def _fail(self, tx: Transaction, name: str, key: str) -> None:
        self._put(tx, name, key, "failed", publication=self._seen(tx, name, key))

    def _stale(self, tx: Transaction, name: str, key: str) -> None:
        self._put(tx, name, key, "waiting", publication=self._seen(tx, name, key), stale=1)

    def _hold(self, tx: Transaction, name: str, key: str) -> None:
        tx.execute(
            "insert into quarantine (node, partition, epoch, n, state, reason, at) values (?, ?, 1,"
            " 0, 'held', 'x', 0)",
            (name, key),
        )
        self._put(tx, name, key, "held", publication=self._seen(tx, name, key))

    def _deliver(self, tx: Transaction, name: str, key: str) -> None:
        """Where the rhythm of a source begins may be another by it."""
        del name, key
        tx.execute(
            "insert into delivery (source, partition, path, size_bytes, modified_us, claimed_at,"
            " observed_at, arrived_at, state) values ('src', ?, ?, 0, 0, 0, 0, 0, 'published')",
            (self._chance.choice(DAYS), str(self._chance.random())),
        )

    def _seen(self, tx: Transaction, name: str, key: str) -> int | None:
        row = tx.execute(
            "select id from publication where node = ? and partition = ? and ended_snapshot is"
            " null",
            (name, key),
        ).fetchone()
        return None if row is None else int(row[0])

    def _put(
        self,
        tx: Transaction,
        name: str,
        key: str,
        state: str,
        publication: int | None = None,
        stale: int = 0,
    ) -> None:
        row = (name, key, state, stale if publication else 0, publication, next_revision(tx))
        tx.execute(
            "insert into partition (node, partition, state, stale, publication_id, since, revision)"
            " values (?, ?, ?, ?, ?, 0, ?) on conflict (node, partition) do update set state ="
            " excluded.state, stale = excluded.stale, publication_id = excluded.publication_id,"
            " revision = excluded.revision",
            row,
        )


@pytest.mark.parametrize("seed", range(6))
def test_what_is_kept_is_what_is_found_anew(tmp_path: Path, seed: int) -> None:
    """Would catch: an asset that is shown fresh for hours although a newer interval is missing, or
    another one's count."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    changes, kept, hours = Changes(chance), StateCache(DECLARED), 24.0
    with (
        Store.open(tmp_path, Settings(name="t"), create=True) as store,
        Store.open(tmp_path, Settings(name="t")) as other,
    ):
        for _ in range(50):
            with other.read() as before:
                before.execute(
                    "select count(*) from partition"
                ).fetchone()  # a snapshot that stays behind
                for _ in range(chance.choice((0, 1, 1, 3))):
                    with store.write(None) as tx:
                        changes.some(tx)
                hours += chance.choice((0, 0, 0.1, 5))
                now = int((FIRST + timedelta(hours=hours)).timestamp() * 1e6)
                with store.read() as tx:
                    _same(kept, tx, now)
                _same(kept, before, now)


def _same(kept: StateCache, tx: Transaction, now: int) -> None:
    result, anew = kept.at(tx, now), node_states(EvaluationContext(DECLARED, StoredFacts(tx)), now)
    assert dict(result.nodes.states) == dict(anew.states)
    assert result.nodes.counts == anew.counts
    facts = StoredFacts(tx)
    for name, keys in KEYS.items():
        assert result.facts.newest(name) == facts.newest(name)
        assert result.facts.published_between(
            name, keys[1 % len(keys)], keys[-1]
        ) == facts.published_between(name, keys[1 % len(keys)], keys[-1])
