"""Queries: what they find, and that each is answered by an index, so that `status` costs the same
after ten years.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from state_kinds import ONLY_SQLITE

from headrace.model import Grain, InputSpec, PartitionSpec, Place, Settings
from headrace.slo.declared_promises import DeclaredPromises, Node, Terms
from headrace.slo.obligation_records import settle_obligations
from headrace.slo.obligations import EvaluationContext
from headrace.slo.status import evaluate_in_context
from headrace.slo.stored_facts import StoredFacts
from headrace.store import Store, Transaction
from headrace.store.queries import (
    applied_versions,
    attempts,
    deliveries,
    failures,
    ingestion,
    ledger,
    partition_states,
    publications,
    quality,
    quarantine,
    runs,
)

DAYS = [f"2013-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 29)]


@pytest.fixture
def filled(store: Store) -> Store:
    """Two nodes of 56 days; the last day of `b` is rejected, `a` was published twice on the first
    day.
    """
    with store.write(None) as tx:
        tx.execute(
            "insert into run (id, kind, request, actor, state, started_at) values (1, 'tick', '{}',"
            " 'ann', 'partial', 10)"
        )
        tx.execute(
            "insert into run (id, kind, request, actor, state, started_at) values (2, 'run', '{}',"
            " 'ann', 'running', 20)"
        )
        number = 0
        for node in ("a", "b"):
            for day in DAYS:
                number += 1
                _attempt(tx, number, node, day)
                if (node, day) == ("b", DAYS[-1]):
                    _reject(tx, number, node, day)
                else:
                    _publish(tx, number, node, day)
        tx.execute(
            "update publication set ended_snapshot = 900, ended_at = 900 where node = 'a' and"
            " partition = ?",
            (DAYS[0],),
        )
        _attempt(tx, 900, "a", DAYS[0])
        _publish(tx, 900, "a", DAYS[0], manifest='[{"path": "x.html", "size": 1, "sha256": "00"}]')
        tx.execute(
            "insert into version (hash, manifest, compiled, applied_at, actor) values ('h',"
            " '{\"f\": \"c\"}', ?, 5, 'ann')",
            (b"\0",),
        )
        for day in DAYS:
            tx.execute(
                "insert into delivery (source, partition, path, size_bytes, modified_us,"
                " claimed_at, observed_at, arrived_at, state) values ('src', ?, 'p', 1, 2, 3, 4, 5,"
                " 'published')",
                (day,),
            )
        tx.executemany(
            "insert into look (source, at, found) values ('src', ?, 1)", [(at,) for at in range(50)]
        )
    return store


def _attempt(tx: Transaction, n: int, node: str, day: str) -> None:
    tx.execute(
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, snapshot_read,"
        " queued_at, measures, error) values (1, ?, 1, ?, 'produce', ?, 'published', ?, 1,"
        " '{\"rows_out\": 3}', null)",
        (n, node, msgspec.json.encode([day]).decode(), n - 1),
    )
    tx.execute(
        "insert into check_result (epoch, n, node, partition, name, kind, severity, outcome, rows,"
        " failing, detail, at) values (1, ?, ?, ?, 'unique_id', 'unique', 'blocking', 'passed', 3,"
        " 0, '', ?)",
        (n, node, day, n),
    )


def _publish(tx: Transaction, n: int, node: str, day: str, manifest: str | None = None) -> None:
    tx.execute(
        "insert into publication (id, node, partition, epoch, n, snapshot, published_at, rows,"
        " bytes, verdict, version, manifest) values (?, ?, ?, 1, ?, ?, ?, 3, 9, 'passed', 1, ?)",
        (n, node, day, n, n, n, manifest),
    )
    tx.execute(
        "insert into partition (node, partition, state, publication_id, since) values (?, ?,"
        " 'published', ?, ?) on conflict (node, partition) do update set publication_id ="
        " excluded.publication_id",
        (node, day, n, n),
    )


def _reject(tx: Transaction, n: int, node: str, day: str) -> None:
    tx.execute(
        "insert into partition (node, partition, state, reason, since) values (?, ?, 'rejected',"
        " 'bad', ?)",
        (node, day, n),
    )
    tx.execute(
        "insert into quarantine (node, partition, epoch, n, state, reason, rows, sample, at) values"
        " (?, ?, 1, ?, 'rejected', 'bad', 3, '[{\"id\": 1}]', 7)",
        (node, day, n),
    )


# What they find
# --------------------------------------------------------------------------------------------------


def test_runs_and_attempts(filled: Store) -> None:
    with filled.read() as tx:
        assert [run.id for run in runs.newest(tx)] == [2, 1]
        assert [run.id for run in runs.newest(tx, since_us=15)] == [2]
        assert [(run.id, run.state) for run in runs.failed(tx)] == [
            (2, "lost"),
            (1, "partial"),
        ]  # nobody leads who could be at the second
        assert runs.get(tx, 9) is None
        assert len(attempts.of_run(tx, 1)) == 113
        newest = attempts.of_node(tx, "a", limit=1)[0]
        assert (newest.id, newest.partitions, newest.measures, newest.error) == (
            "1.900",
            (DAYS[0],),
            {"rows_out": 3},
            None,
        )
        assert [item.n for item in attempts.of_partition(tx, "a", DAYS[0])] == [900, 1]
        assert attempts.get(tx, 1, 900) == newest
        assert attempts.get(tx, 2, 1) is None


def test_a_key_with_wildcards_or_quotes_is_only_itself(filled: Store) -> None:
    """Partitions of attempts stand in JSON; a search by text would find `%`, or miss what is
    escaped."""
    hostile = "x'\"%_\\ \u2028"
    with filled.write(None) as tx:
        _attempt(tx, 901, "a", hostile)
    with filled.read() as tx:
        assert [item.n for item in attempts.of_partition(tx, "a", hostile)] == [901]
        assert attempts.of_partition(tx, "a", "%") == []


def test_publications_and_partitions(filled: Store) -> None:
    with filled.read() as tx:
        current = publications.current(tx, "a", DAYS[0])
        assert current is not None
        assert (current.id, current.manifest, current.identical) == (
            900,
            ({"path": "x.html", "size": 1, "sha256": "00"},),
            False,
        )
        assert publications.first_published(tx, "a", DAYS[0]) == (1, 1)
        assert publications.first_published(tx, "b", DAYS[-1]) is None
        newest = publications.newest(tx, "b")
        assert newest is not None
        assert newest.partition == DAYS[-2]
        assert [
            item.partition for item in publications.of_node(tx, "a", first=DAYS[3], last=DAYS[5])
        ] == [DAYS[5], DAYS[4], DAYS[3]]
        assert publications.count_between(tx, "a", DAYS[0], DAYS[-1]) == 56
        assert publications.first_reading(tx, "a", DAYS[0], 500, 0) == (900, 900)
        assert publications.first_reading(tx, "a", DAYS[0], 0, 0) == (1, 1)
        assert publications.first_reading(tx, "a", DAYS[0], 900, 0) is None
        rejected = partition_states.get(tx, "b", DAYS[-1])
        assert rejected is not None
        assert (rejected.state, rejected.reason, rejected.stale, rejected.publication_id) == (
            "rejected",
            "bad",
            False,
            None,
        )
        extent = partition_states.extent(tx, "b")
        assert extent is not None
        assert (extent.oldest, extent.newest, extent.newest_at) == (DAYS[0], DAYS[-2], 111)
        assert partition_states.extent(tx, "c") is None


def test_quarantine_deliveries_checks_and_versions(filled: Store) -> None:
    with filled.read() as tx:
        (waiting,) = quarantine.waiting(tx)
        assert (waiting.node, waiting.partition, waiting.sample) == ("b", DAYS[-1], ({"id": 1},))
        assert quarantine.waiting(tx, node="b", partition=DAYS[-1]) == [waiting]
        assert (
            quarantine.waiting(tx, node="a")
            == quarantine.waiting(tx, partition="x' or '1'='1")
            == []
        )
        assert quarantine.totals(tx, lambda name: name) == quarantine.QuarantineTotals(
            deliveries=0, partitions=1, rows=3
        )
        assert quarantine.totals(tx, lambda _: None) == quarantine.QuarantineTotals(
            deliveries=0, partitions=0, rows=0
        )
        assert quarantine.nodes(tx) == {"b"}
        assert deliveries.arrivals(tx, "src", limit=2)[0].partition == DAYS[-1]
        oldest = ingestion.oldest_deliveries(tx, ["src", "none"])
        assert oldest == {"src": DAYS[0], "none": None}
        times = deliveries.observed_times(tx, ["none", "src"], limit=2)
        assert times == {"none": [], "src": [49, 48]}
        assert [look.at for look in deliveries.observations(tx, "src", limit=2)] == [49, 48]
        assert [item.n for item in quality.check_history(tx, "a", "unique_id", limit=2)] == [
            900,
            56,
        ]
        assert len(quality.checks_of_attempt(tx, 1, 1)) == 1
        version = applied_versions.newest(tx)
        assert version is not None
        assert (version.id, version.manifest, version.compiled) == (1, {"f": "c"}, b"\0")
        assert applied_versions.get(tx, 2) is None


# What they cost
# --------------------------------------------------------------------------------------------------


class Watching:
    """A transaction that remembers what was asked of it."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.asked: list[tuple[str, Any]] = []

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        self.asked.append((sql, parameters))
        return self._tx.execute(sql, parameters)

    insert = Transaction.insert

    def executemany(self, sql: str, parameters: Iterable[Any]) -> Any:
        return self._tx.executemany(sql, parameters)


@contextmanager
def watching(store: Store) -> Iterator[Watching]:
    """Fails if anything that was asked reads a whole table."""
    with store.write(None) as tx:
        watch = Watching(tx)
        yield watch
        for sql, parameters in watch.asked:
            plan = [row[3] for row in tx.execute(f"explain query plan {sql}", parameters)]
            whole = [
                step
                for step in plan
                if re.match(r"SCAN (?!.*USING)", step) and not _is_of_a_few(step, plan)
            ]
            from_its_end = (
                "order by id desc limit" in sql and len(whole) == 1
            )  # the newest few of a list
            assert not whole or from_its_end, f"{sql}\n{plan}"


def _is_of_a_few(step: str, plan: list[str]) -> bool:
    """Whether a scan is of given values, or of what another step of the plan has found."""
    found = step.removeprefix("SCAN ")
    return (
        found.startswith(("key", "json_each"))
        or f"CO-ROUTINE {found}" in plan
        or f"MATERIALIZE {found}" in plan
    )


@ONLY_SQLITE
def test_no_query_reads_a_whole_table(filled: Store) -> None:
    with watching(filled) as tx:
        asked: Any = tx
        runs.newest(asked)
        attempts.of_run(asked, 1)
        attempts.of_node(asked, "a")
        attempts.of_partition(asked, "a", DAYS[0])
        publications.of_node(asked, "a")
        quarantine.waiting(asked)
        quarantine.waiting(asked, node="a", partition="b")
        quarantine.totals(asked, lambda name: name)
        deliveries.arrivals(asked, "src", limit=5)
        quality.checks_of_attempt(asked, 1, 1)
        quality.check_history(asked, "a", "unique_id")
        applied_versions.newest(asked)
        attempts.durations_of_nodes(asked, ["src", "a"])
        attempts.newest_at(asked, [("src", DAYS[0]), ("a", DAYS[0])])
        failures.failed_at_node(asked, "b")
        ledger.attempts(asked, [("src", DAYS[0]), ("a", DAYS[0])])


@ONLY_SQLITE
def test_status_and_settling_read_no_whole_table(filled: Store) -> None:
    day = PartitionSpec(grain=Grain.DAY)
    nodes = {
        "src": Node("src", True, day, "UTC"),
        "a": Node("a", False, day, "UTC", (InputSpec(node="src", place=Place(file="x")),)),
        "b": Node("b", False, day, "UTC", (InputSpec(node="a", place=Place(file="x")),)),
    }
    declared = DeclaredPromises(
        "UTC", nodes, (Terms("c", "o", ("b",), Grain.DAY, "UTC", due="07:00"),)
    )
    now = 1_362_300_000_000_000
    with watching(filled) as tx:
        asked: Any = tx
        settle_obligations(asked, EvaluationContext(declared, StoredFacts(asked)), now)
        evaluate_in_context(EvaluationContext(declared, StoredFacts(asked)), now)


@ONLY_SQLITE
def test_what_is_asked_each_turn_walks_no_history(filled: Store) -> None:
    """Would catch: a walk over all that was ever held, to have it in the order of its key; one over
    all publications of an interval that is published every five minutes, for each of its
    deliveries."""
    with filled.write(None) as tx:
        watch: Any = Watching(tx)
        quarantine.held_for_rows(watch, [DAYS[0]])
        deliveries.arrivals(watch, "src", limit=5)
        plans = [
            " / ".join(row[3] for row in tx.execute(f"explain query plan {sql}", given))
            for sql, given in watch.asked
        ]
    assert plans[0].startswith("SEARCH q USING INDEX quarantine_open (state=?)")
    assert (
        "SEARCH q USING INDEX publication_of (node=? AND partition=? AND published_at>?)"
        in plans[1]
    )


def test_opening_for_status_reads_a_fixed_number_of_rows(
    filled: Store, tmp_path: Path, state_settings: Settings
) -> None:
    """The second look of the same state costs the same however long the history is: only what is
    open is judged again.
    """
    day = PartitionSpec(grain=Grain.DAY)
    declared = DeclaredPromises(
        "UTC",
        {"a": Node("a", False, day, "UTC", start=DAYS[0])},
        (Terms("c", "o", ("a",), Grain.DAY, "UTC", due="07:00"),),
    )
    now = 1_361_000_000_000_000
    with filled.write(None) as tx:
        settle_obligations(tx, EvaluationContext(declared, StoredFacts(tx)), now)
    with Store.open(tmp_path, state_settings) as again, again.read() as tx:
        watch: Any = Watching(tx)
        evaluate_in_context(EvaluationContext(declared, StoredFacts(watch)), now)
        assert len(watch.asked) < 30
