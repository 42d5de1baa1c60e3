"""A store as a leader leaves it behind, of a large project with some days published: for
`benchmarks/diagnosis.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from random import Random

from headrace.incidents.diagnosis.graph import CauseGraph
from headrace.model import Grain
from headrace.slo.declared_promises import DeclaredPromises, Node, Terms
from headrace.store import Transaction

CONSUMERS = 100
DAYS = 3
FIRST = date(2024, 3, 1)
_COLUMNS = "node, partition, epoch, n, snapshot, published_at, rows, bytes, verdict, version"


def at(day: int, hour: float) -> int:
    """An hour of a day after the first, in microseconds."""
    return int(
        (
            datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC)
            + timedelta(days=day, hours=hour)
        ).timestamp()
        * 1_000_000
    )


def key(day: int) -> str:
    """The partition of a day after the first."""
    return (FIRST + timedelta(days=day)).isoformat()


def watched_of(graph: CauseGraph) -> DeclaredPromises:
    """The nodes of a graph, and consumers that read one to three assets each by seven in the
    morning.
    """
    random = Random(3)
    nodes = {
        node.name: Node(
            node.name,
            node.is_source,
            node.partition,
            node.timezone,
            node.inputs,
            start=key(0) if node.is_source else None,
        )
        for node in graph.nodes.values()
    }
    assets = [node.name for node in graph.nodes.values() if not node.is_source]
    readers = tuple(
        Terms(
            f"c{number}",
            "team",
            tuple(random.sample(assets, random.choice((1, 2, 3)))),
            Grain.DAY,
            "UTC",
            due="07:00",
        )
        for number in range(CONSUMERS)
    )
    return DeclaredPromises("UTC", nodes, readers)


class Written:
    """What a leader writes of a large project. Each attempt has its own number."""

    def __init__(self, declared_promises: DeclaredPromises) -> None:
        self.declared_promises, self._n, self._revision = declared_promises, 0, 0

    def begin(self, tx: Transaction) -> None:
        """Days on which all went well."""
        tx.execute(
            "insert into run (id, kind, request, actor, state, started_at) values (1, 'tick', '{}',"
            " 't', 'succeeded', 0)"
        )
        for day in range(DAYS):
            self.published(tx, day, self.declared_promises.nodes)

    def looked(self, tx: Transaction, when: int) -> None:
        """All sources answered."""
        names = [node.name for node in self.declared_promises.nodes.values() if node.is_source]
        tx.executemany(
            "insert into look (source, at, found) values (?, ?, 1)",
            [(name, when) for name in names],
        )

    def published(self, tx: Transaction, day: int, names: Iterable[str]) -> None:
        """A day of these nodes, an hour before it is due."""
        when = at(day + 1, 6)
        for name in names:
            n = self._attempt(tx, name, day, "published", when)
            cursor = tx.execute(
                f"insert into publication ({_COLUMNS}) values (?, ?, 1, ?, ?, ?, 1, 0,"
                " 'passed', 1)",
                (name, key(day), n, n, when),
            )
            self._stand(tx, name, day, "published", when, cursor.lastrowid)
            if self.declared_promises.nodes[name].is_source:
                tx.execute(
                    "insert into delivery (source, partition, path, size_bytes, modified_us,"
                    " claimed_at, observed_at, arrived_at, state) values (?, ?, 'x', 0, 0, ?, ?, ?,"
                    " 'published')",
                    (name, key(day), when, when, when),
                )
        self.looked(tx, when)

    def held(self, tx: Transaction, day: int, name: str, when: int) -> None:
        """A delivery is held for its nulls."""
        n = self._attempt(tx, name, day, "held", when)
        tx.execute(
            "insert into fact (node, partition, epoch, n, kind, column_name, severity, expected,"
            " observed, strength, detail, at) values (?, ?, 1, ?, 'null_spike', 'c0', 'hold', '1 %"
            " nulls', '60 % nulls', '12', '', ?)",
            (name, key(day), n, when),
        )
        tx.execute(
            "insert into quarantine (node, partition, epoch, n, state, reason, at) values (?, ?, 1,"
            " ?, 'held', 'nulls', ?)",
            (name, key(day), n, when),
        )
        self._stand(tx, name, day, "held", when, None)

    def failed(self, tx: Transaction, day: int, name: str, when: int, error: str) -> None:
        """An attempt at an asset failed."""
        self._attempt(tx, name, day, "failed", when, error)
        self._stand(tx, name, day, "failed", when, None)

    def _attempt(
        self, tx: Transaction, name: str, day: int, state: str, when: int, error: str | None = None
    ) -> int:
        self._n += 1
        tx.execute(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
            " started_at, finished_at, error, snapshot_read) values (1, ?, 1, ?, 'produce', ?, ?,"
            " ?, ?, ?, ?, 0)",
            (self._n, name, f'["{key(day)}"]', state, when, when, when, error),
        )
        return self._n

    def _stand(
        self, tx: Transaction, name: str, day: int, state: str, when: int, publication: int | None
    ) -> None:
        self._revision += 1
        tx.execute(
            "insert into partition (node, partition, state, since, revision, publication_id) values"
            " (?, ?, ?, ?, ?, ?) on conflict (node, partition) do update set state ="
            " excluded.state, since = excluded.since, revision = excluded.revision, publication_id"
            " = excluded.publication_id",
            (name, key(day), state, when, self._revision, publication),
        )
