"""Judgements over a store: one incident for one cause, from its first sign to its end,
and again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from small_facts import at, consumer, declare, node

from headrace.incidents import endings
from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.evidence import changes
from headrace.incidents.updates import IncidentUpdates
from headrace.model import Grain, Project, Settings
from headrace.model.causes import Cause, CauseKind
from headrace.plan.backfills import Backfill, BackfillSpan, Chosen, Mode, Publishes
from headrace.plan.schemas import ColumnLineage
from headrace.runtime.evaluation import VersionEvaluator, evaluate_state
from headrace.slo.declared_promises import DeclaredPromises
from headrace.slo.incident_impact import DownstreamIndex
from headrace.slo.obligation_records import apply_promises
from headrace.store import Store, Transaction
from headrace.store.queries import evidence, incidents, obligations
from headrace.store.queries.incidents import Incident

NODES = [node("src", Grain.DAY, source=True), node("a", Grain.DAY, "src")]
WATCHED = declare(NODES, consumer("c", "a", due="07:00"))


def judged(declared_promises: DeclaredPromises = WATCHED) -> VersionEvaluator:
    return VersionEvaluator(
        Project(settings=Settings(name="t")),
        declared_promises,
        lambda _: ColumnLineage({}),
        lambda tx, one: None,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, Settings(name="t"), create=True) as opened:
        with opened.write(None) as tx:
            tx.execute(
                "insert into run (id, kind, request, actor, state, started_at) values (1, 'tick',"
                " '{}', 't', 'succeeded', 0)"
            )
            apply_promises(tx, None, WATCHED, at("2013-02-01 00:00"))
        yield opened


class Night:
    """What a leader writes of one day's delivery, each time with a new attempt."""

    def __init__(self, store: Store) -> None:
        self.store, self.n = store, 0

    def judge(self, now: str, declared_promises: DeclaredPromises = WATCHED) -> list[Incident]:
        with self.store.write(None) as tx:
            evaluate_state(tx, judged(declared_promises), at(now))
        return self.all()

    def all(self) -> list[Incident]:
        with self.store.read() as tx:
            return sorted(incidents.newest(tx), key=lambda item: item.id)

    def stand(
        self,
        tx: Transaction,
        name: str,
        key: str,
        state: str,
        when: int,
        publication: int | None = None,
    ) -> None:
        revision = tx.execute("select coalesce(max(revision), 0) + 1 from partition").fetchone()[0]
        tx.execute(
            "insert into partition (node, partition, state, since, revision, publication_id) values"
            " (?, ?, ?, ?, ?, ?) on conflict (node, partition) do update set state ="
            " excluded.state, since = excluded.since, revision = excluded.revision, publication_id"
            " = excluded.publication_id",
            (name, key, state, when, revision, publication),
        )

    def attempt(
        self, tx: Transaction, name: str, key: str, state: str, when: int, error: str | None = None
    ) -> int:
        self.n += 1
        tx.execute(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
            " started_at, finished_at, error, snapshot_read) values (1, ?, 1, ?, 'produce', ?, ?,"
            " ?, ?, ?, ?, 0)",
            (self.n, name, f'["{key}"]', state, when, when, when, error),
        )
        return self.n

    def held(self, key: str, when: str, kind: str = "null_spike") -> None:
        with self.store.write(None) as tx:
            n = self.attempt(tx, "src", key, "held", at(when))
            tx.execute(
                "insert into fact (node, partition, epoch, n, kind, column_name, severity,"
                " expected, observed, strength, detail, at) values ('src', ?, 1, ?, ?, 'x', 'hold',"
                " '1 % nulls', '60 % nulls', '12', '', ?)",
                (key, n, kind, at(when)),
            )
            tx.execute(
                "insert into quarantine (node, partition, epoch, n, state, reason, at) values"
                " ('src', ?, 1, ?, 'held', 'nulls', ?)",
                (key, n, at(when)),
            )
            self.stand(tx, "src", key, "held", at(when))

    def looked(self, when: str) -> None:
        with self.store.write(None) as tx:
            tx.execute("insert into look (source, at, found) values ('src', ?, 0)", (at(when),))

    def published(self, key: str, when: str, *names: str) -> None:
        with self.store.write(None) as tx:
            for name in names or ("src", "a"):
                n = self.attempt(tx, name, key, "published", at(when))
                tx.execute(
                    "update publication set ended_snapshot = ?, ended_at = ? where node = ? and"
                    " partition = ? and ended_snapshot is null",
                    (n, at(when), name, key),
                )
                cursor = tx.execute(
                    "insert into publication (node, partition, epoch, n, snapshot, published_at,"
                    " rows, bytes, verdict, version) values (?, ?, 1, ?, ?, ?, 1, 0, 'passed', 1)",
                    (name, key, n, n, at(when)),
                )
                self.stand(tx, name, key, "published", at(when), cursor.lastrowid)
            tx.execute(
                "insert into delivery (source, partition, path, size_bytes, modified_us,"
                " claimed_at, observed_at, arrived_at, state) values ('src', ?, 'x', 0, 0, ?, ?, ?,"
                " 'published')",
                (key, *[at(when)] * 3),
            )

    def fails_again(self, key: str, when: str) -> None:
        """What is published of `a` stays."""
        with self.store.write(None) as tx:
            error = '{"kind": "deterministic", "message": "ValueError: no"}'
            self.attempt(tx, "a", key, "failed", at(when), error)
            self.change(tx, key, "state = 'failed', failures = 1", at(when))

    def invalidated(self, key: str, when: str) -> None:
        """Other code of `a` is applied, and somebody is asked before readers see anything else."""
        with self.store.write(None) as tx:
            self.change(
                tx, key, "state = 'published', stale = 1, proposed = 1, failures = 0", at(when)
            )

    def change(self, tx: Transaction, key: str, to: str, when: int) -> None:
        revision = tx.execute("select max(revision) + 1 from partition").fetchone()[0]
        tx.execute(
            f"update partition set {to}, since = ?, revision = ? where node = 'a' and"
            " partition = ?",
            (when, revision, key),
        )

    def plan(
        self,
        when: str,
        state: str,
        name: str = "a",
        first: str = "2013-02-01",
        last: str = "2013-02-02",
    ) -> None:
        """A backfill of some partitions of a node, begun then."""
        chosen = Chosen(
            node=name, spans=(BackfillSpan(first=first, last=last),), partitions=2, why=""
        )
        backfill = Backfill(
            mode=Mode.MISSING,
            chosen=(chosen,),
            skipped=(),
            steps=(),
            publishes=Publishes.ATOMICALLY,
        )
        with self.store.write(None) as tx:
            tx.execute("delete from plan")
            tx.execute(
                "insert into plan (id, state, actor, reason, request, version, content, created_at,"
                " started_at) values (7, ?, 'ann', 'x', '{}', 1, ?, ?, ?)",
                (state, msgspec.msgpack.encode(backfill), at(when), at(when)),
            )

    def line(self) -> str:
        """The last of the newest incident's timeline."""
        newest = self.all()[-1]
        with self.store.read() as tx:
            return incidents.timeline_of(tx, newest.id)[-1].what


def test_one_cause_is_one_incident_until_its_readers_are_served_and_again_when_it_comes_back(
    store: Store,
) -> None:
    """A new incident each morning would be three tickets for one vendor's mistake; one that is
    closed before its readers are served would be told as restored too early; the same a week later
    would hide that it is the second time."""
    night = Night(store)
    night.published("2013-02-01", "2013-02-02 04:00")
    assert night.judge("2013-02-02 07:30") == []
    night.held("2013-02-02", "2013-02-03 04:00")
    (first,) = night.judge("2013-02-03 07:30")
    assert (first.kind, first.node, first.partition, first.columns, first.state) == (
        "null_spike",
        "src",
        "2013-02-02",
        ("x",),
        "open",
    )
    assert first.affected.consumers == ("c",)
    assert first.affected.assets == ("a",)
    night.held("2013-02-03", "2013-02-04 04:00")
    (again,) = night.judge("2013-02-04 07:30")
    assert (again.id, again.began_at, again.affected.partitions) == (
        first.id,
        first.began_at,
        ("2013-02-02", "2013-02-03"),
    )
    for key in ("2013-02-02", "2013-02-03"):
        night.published(key, "2013-02-04 09:00", "src")
    (recovering,) = night.judge("2013-02-04 09:01")
    assert recovering.state == "recovering"
    for key in ("2013-02-02", "2013-02-03"):
        night.published(key, "2013-02-04 09:05", "a")
    (over,) = night.judge("2013-02-04 09:06")
    assert (over.state, over.restored_at) == ("resolved", at("2013-02-04 09:05"))

    night.held("2013-02-04", "2013-02-05 04:00")
    (back,) = night.judge("2013-02-05 07:30")
    assert (back.id, back.state, back.began_at, back.restored_at) == (
        first.id,
        "open",
        first.began_at,
        None,
    )
    night.published("2013-02-04", "2013-02-05 09:00")
    assert [item.state for item in night.judge("2013-02-05 09:06")] == ["resolved"]
    night.held("2013-02-20", "2013-02-21 04:00")
    second = night.judge("2013-02-21 04:01")[-1]
    assert (second.id, second.recurrence_of, second.state) == (first.id + 1, first.id, "open")


def test_an_incident_isnt_over_while_a_backfill_computes_its_partitions(store: Store) -> None:
    """Would catch: "resolved" as soon as new code is applied, or a failed backfill is gone on with,
    before what had failed is computed: its readers see rows of before, and are served."""
    night = Night(store)
    night.published("2013-02-01", "2013-02-02 04:00")
    night.published("2013-02-02", "2013-02-03 04:00")
    night.judge("2013-02-03 07:30")
    night.fails_again("2013-02-01", "2013-02-03 08:00")
    assert [(item.kind, item.state) for item in night.judge("2013-02-03 08:01")] == [
        ("code_error", "open")
    ]
    night.invalidated("2013-02-01", "2013-02-03 09:00")
    night.plan("2013-02-03 09:00", "running")
    assert [item.state for item in night.judge("2013-02-03 09:01")] == ["recovering"]
    assert night.line() == "backfill 7 computes a@2013-02-01, and hasn't published it yet"
    night.published("2013-02-02", "2013-02-03 09:02", "a")
    assert [item.state for item in night.judge("2013-02-03 09:03")] == ["recovering"]
    assert night.line() == "backfill 7 computes a@2013-02-01, and hasn't published it yet"
    night.published("2013-02-01", "2013-02-03 09:04", "a")
    (over,) = night.judge("2013-02-03 09:05")
    assert (over.state, over.resolved_at) == ("resolved", at("2013-02-03 09:05"))


@pytest.mark.parametrize(
    ("name", "grain", "key"),
    [("a", Grain.DAY, "2013-02-01"), ("m", Grain.MONTH, "2013-02"), ("w", None, "*")],
)
def test_an_incident_isnt_over_while_its_repair_computes_what_is_made_of_it(
    store: Store, name: str, grain: Grain | None, key: str
) -> None:
    """Would catch: "all whom it affected are served" once a corrected delivery is ingested,
    while the backfill that belongs to it still computes what its readers read."""
    declared_promises = declare(
        [NODES[0], node(name, grain, "src")], consumer("c", name, max_age="400d")
    )
    night = Night(store)
    night.published("2013-02-01", "2013-02-02 04:00", "src")
    night.published(key, "2013-02-02 04:00", name)
    night.judge("2013-02-02 07:30", declared_promises)
    night.held("2013-02-01", "2013-02-02 08:00")
    assert [item.state for item in night.judge("2013-02-02 08:01", declared_promises)] == ["open"]
    night.plan("2013-02-02 09:00", "running", name, key, key)
    night.published("2013-02-01", "2013-02-02 09:01", "src")
    assert [item.state for item in night.judge("2013-02-02 09:02", declared_promises)] == [
        "recovering"
    ]
    where = name if grain is None else f"{name}@{key}"
    assert night.line() == f"backfill 7 computes {where}, and hasn't published it yet"
    night.published(key, "2013-02-02 09:03", name)
    assert [item.state for item in night.judge("2013-02-02 09:04", declared_promises)] == [
        "resolved"
    ]


def test_who_was_never_due_waits_for_no_other_cause(store: Store) -> None:
    """Would catch: "for another cause ministry has never been served" before its first month is
    over, though nothing is wrong."""
    monthly = consumer("ministry", "m", due="09:00", per=Grain.MONTH)
    declared_promises = declare([*NODES, node("m", Grain.MONTH, "a")], *WATCHED.consumers, monthly)
    night = Night(store)
    night.published("2013-02-01", "2013-02-02 04:00")
    night.judge("2013-02-02 07:30", declared_promises)
    night.held("2013-02-02", "2013-02-03 04:00")
    night.judge("2013-02-03 07:30", declared_promises)
    night.published("2013-02-02", "2013-02-03 08:00")
    night.looked("2013-02-03 08:00")
    (over,) = night.judge("2013-02-03 08:01", declared_promises)
    with store.read() as tx:
        ending = endings.ending_of(tx, over)
    assert ending.endswith(
        "not there yet, nor due: ministry; all others whom it affected are served."
    ), ending


def test_an_incident_is_over_when_the_backfill_of_its_partitions_is(store: Store) -> None:
    """Would catch: an incident that recovers for ever, because a backfill was cancelled."""
    night = Night(store)
    night.published("2013-02-01", "2013-02-02 04:00")
    night.judge("2013-02-02 07:30")
    night.fails_again("2013-02-01", "2013-02-02 08:00")
    night.judge("2013-02-02 08:01")
    night.invalidated("2013-02-01", "2013-02-02 09:00")
    night.plan("2013-02-02 09:00", "paused")
    assert [item.state for item in night.judge("2013-02-02 09:01")] == ["recovering"]
    night.plan("2013-02-02 09:00", "cancelled")
    assert [item.state for item in night.judge("2013-02-02 09:02")] == ["resolved"]


def test_late_twice_in_two_weeks_is_a_recurrence_though_the_first_was_missing_in_the_end(
    store: Store,
) -> None:
    """Would catch: "recurrences: 0" for the commonest case: opened as late, and kept as missing
    once the deadline had passed."""
    nodes = [msgspec.structs.replace(NODES[0], expect_by="05:00"), NODES[1]]
    declared_promises = declare(nodes, consumer("c", "a", due="07:00"))
    night = Night(store)
    night.published("2013-02-01", "2013-02-02 04:00")
    night.looked("2013-02-02 04:00")

    def fails_to_come(day: str, next_day: str) -> list[str]:
        kinds = []
        for hour in ("05:30", "07:30"):
            night.looked(f"{next_day} {hour}")
            kinds.append(night.judge(f"{next_day} {hour}", declared_promises)[-1].kind)
        night.published(day, f"{next_day} 09:00")
        assert night.judge(f"{next_day} 09:01", declared_promises)[-1].state == "resolved"
        return kinds

    assert fails_to_come("2013-02-02", "2013-02-03") == ["late_source", "missing_source"]
    for day in range(3, 12):
        night.published(f"2013-02-{day:02}", f"2013-02-{day + 1:02} 04:00")
    assert fails_to_come("2013-02-12", "2013-02-13") == ["late_source", "missing_source"]
    first, second = night.all()
    assert second.recurrence_of == first.id
    assert first.restored_at is not None and first.restored_at >= first.opened_at


@pytest.mark.parametrize("by", ["05:00", None])
def test_a_waiver_ends_nothing_that_another_promise_waits_for(store: Store, by: str | None) -> None:
    """Would catch: an incident that is over, of data that isn't there, because one consumer let its
    interval go before another's deadline; one that stays open because of a promise that begins
    later, or that waits for another interval."""
    nodes = [msgspec.structs.replace(NODES[0], expect_by=by), NODES[1]]
    first, second = consumer("c", "a", due="07:00"), consumer("d", "a", due="08:00")
    declared_promises, later = (
        declare(nodes, first, second),
        declare(nodes, first, second, consumer("e", "a", due="08:00")),
    )
    night = Night(store)
    with store.write(None) as tx:
        apply_promises(tx, WATCHED, declared_promises, at("2013-02-01 00:00"))
        apply_promises(tx, declared_promises, later, at("2013-02-03 08:10"))
    night.published("2013-02-01", "2013-02-02 04:00")
    night.looked("2013-02-02 08:30")
    assert night.judge("2013-02-02 08:30", declared_promises) == []
    night.looked("2013-02-03 07:30")
    (item,) = night.judge("2013-02-03 07:30", declared_promises)
    assert (item.kind, item.state) == ("missing_source", "open")
    for now, name in (("2013-02-03 07:45", "c"), ("2013-02-03 08:15", "d")):
        night.looked(now)
        assert [each.state for each in night.judge(now, declared_promises)] == ["open"]
        with store.write(None) as tx:
            obligations.waive(tx, name, "2013-02-02", at(now))
        left = [(each.kind, each.state) for each in night.judge(now, declared_promises)]
        assert left == [("missing_source", "open" if name == "c" else "resolved")]
    night.looked("2013-02-03 09:00")
    assert [each.state for each in night.judge("2013-02-03 09:00", later)] == ["resolved"]
    assert not [line for line in timeline(store, item.id) if line.startswith(endings.BEGINS[1])]


def test_judging_the_same_twice_writes_nothing_more(store: Store) -> None:
    """A server judges every minute: a timeline that grows with each look would bury
    what happened.
    """
    night = Night(store)
    night.held("2013-02-02", "2013-02-03 04:00")
    night.judge("2013-02-03 07:30")
    with store.read() as tx:
        before = [
            tx.execute(f"select * from {table}").fetchall()
            for table in ("incident", "incident_event", "evidence", "symptom", "judged")
        ]
    night.judge("2013-02-03 07:31")
    with store.read() as tx:
        after = [
            tx.execute(f"select * from {table}").fetchall()
            for table in ("incident", "incident_event", "evidence", "symptom", "judged")
        ]
    assert after == before


@pytest.mark.system
@pytest.mark.long
def test_ten_thousand_equal_failures_are_one_incident_of_bounded_size(store: Store) -> None:
    """An incident with ten thousand lines can't be read, and one each would be ten thousand
    tickets.
    """
    night = Night(store)
    error = '{"kind": "deterministic", "message": "division by zero"}'
    with store.write(None) as tx:
        tx.execute(
            "insert into partition (node, partition, state, since, revision) values ('a', '0',"
            " 'published', 0, 1)"
        )
        for number in range(10_000):
            key = f"{1990 + number // 360}-{number % 360 // 30 + 1:02d}-{number % 30 + 1:02d}"
            n = night.attempt(tx, "a", key, "failed", at("2013-02-03 04:00"), error)
            tx.execute(
                "insert into partition (node, partition, state, failures, since, revision) values"
                " ('a', ?, 'failed', 1, ?, 2)",
                (key, at("2013-02-03 04:00")),
            )
        assert n == 10_000
    (item,) = night.judge("2013-02-03 05:00")
    assert (item.kind, item.node) == ("code_error", "a")
    assert len(item.evidence) <= 40
    with store.read() as tx:
        assert len(incidents.timeline_of(tx, item.id)) <= 3


def test_what_is_removed_keeps_nothing_open(store: Store) -> None:
    """An incident about a source that nobody has any more would stay open for ever."""
    night = Night(store)
    night.held("2013-02-02", "2013-02-03 04:00")
    assert [item.state for item in night.judge("2013-02-03 07:30")] == ["open"]
    with store.write(None) as tx:
        tx.execute(
            "insert into version (id, hash, manifest, compiled, applied_at, actor) values (1, 'h',"
            " '{}', ?, 0, 't')",
            (b"",),
        )
    rest = declare([node("other", Grain.DAY, source=True)])
    assert [item.state for item in night.judge("2013-02-03 08:00", rest)] == ["resolved"]


def test_causes_that_cant_be_judged_never_undo_what_was_published(store: Store) -> None:
    """Publishing and judging share a transaction: an error in the one would take the other's data
    back."""
    night = Night(store)
    night.published("2013-02-01", "2013-02-02 04:00")
    with store.write(None) as tx:
        tx.execute("insert into judged (id, at, content) values (1, 0, 'no json')")
    (own,) = night.judge("2013-02-02 07:30")
    assert (own.node, own.kind, own.owner) == ("headrace", "code_error", "headrace")
    with store.write(None) as tx:
        assert (
            tx.execute("select count(*) from obligation where met_at is not null").fetchone()[0]
            == 1
        )
        tx.execute("delete from judged")
    assert [item.state for item in night.judge("2013-02-02 07:31")] == ["resolved"]


def test_an_incident_that_another_takes_in_says_which_one_that_is(store: Store) -> None:
    """Would catch: "all whom it affected are served" of what is open still, under
    another number."""
    night = Night(store)
    night.held("2013-02-02", "2013-02-03 04:00")
    night.held("2013-02-03", "2013-02-04 04:00", kind="stale_data")
    first, second = night.judge("2013-02-04 05:00")
    with store.write(None) as tx:
        keeping = IncidentUpdates(
            tx,
            Project(settings=Settings(name="t")),
            DownstreamIndex(WATCHED),
            at("2013-02-04 05:30"),
            None,
        )
        both = [item.id for incident in (first, second) for item in incident.evidence]
        cause = Cause(
            kind=CauseKind.NULL_SPIKE,
            node="src",
            columns=("x",),
            partitions=("2013-02-02", "2013-02-03"),
            summary="both",
            began_us=first.began_at,
            confidence=1.0,
            own=tuple(both),
            explains=tuple(both),
        )
        rows = evidence.active(tx, 10)
        keeping.keep(
            [cause], {row.id: msgspec.msgpack.decode(row.content, type=Evidence) for row in rows}
        )
    result = night.judge("2013-02-04 05:31")
    assert [item.state for item in result] == ["open", "resolved"]
    with store.read() as tx:
        assert endings.ending_of(tx, result[1]) == f"It is part of {result[0].label}."


def test_two_causes_at_one_node_are_two_incidents(store: Store) -> None:
    """The second would go unseen behind the first, and stay when that is repaired."""
    night = Night(store)
    night.held("2013-02-02", "2013-02-03 04:00")
    night.held("2013-02-03", "2013-02-04 04:00", kind="stale_data")
    assert [(item.kind, item.partition) for item in night.judge("2013-02-04 05:00")] == [
        ("null_spike", "2013-02-02"),
        ("stale_data", "2013-02-03"),
    ]


def test_what_is_left_of_an_incident_once_its_delivery_is_read_again_is_that_incident(
    store: Store,
) -> None:
    """Whoever accepts the new names of some columns would be told of another incident for the one
    that is gone.
    """
    night = Night(store)
    night.held("2013-02-02", "2013-02-03 04:00", kind="schema_change")
    with store.write(None) as tx:
        tx.execute(
            "insert into fact (node, partition, epoch, n, kind, column_name, severity, expected,"
            " observed, strength, detail, at) values ('src', '2013-02-02', 1, ?, 'schema_change',"
            " 'y', 'hold', 'y', 'z', '20', 'renamed', ?)",
            (night.n, at("2013-02-03 04:00")),
        )
    (first,) = night.judge("2013-02-03 04:01")
    assert first.columns == ("x", "y")
    night.held("2013-02-02", "2013-02-03 05:00", kind="schema_change")
    (rest,) = night.judge("2013-02-03 05:01")
    assert (rest.id, rest.state, rest.columns) == (first.id, "open", ("x",))


def test_a_file_that_corrects_what_an_incident_names_is_no_restatement(store: Store) -> None:
    """The vendor repairs it, and is told of a second incident for having done so."""
    night = Night(store)
    night.held("2013-02-02", "2013-02-03 04:00")
    night.judge("2013-02-03 04:01")
    night.published("2013-02-02", "2013-02-03 09:00")
    with store.write(None) as tx:
        tx.execute(
            "insert into fact (node, partition, epoch, n, kind, column_name, severity, expected,"
            " observed, strength, detail, at) values ('src', '2013-02-02', 1, ?, 'restatement', '',"
            " 'warn', '3 rows', '4 rows', '12', '1 row added', ?)",
            (night.n - 1, at("2013-02-03 09:00")),
        )
    assert [(item.kind, item.state) for item in night.judge("2013-02-03 09:01")] == [
        ("null_spike", "resolved")
    ]


def test_what_was_odd_about_the_file_that_rewrites_the_past_doesnt_hide_that_it_does(
    store: Store,
) -> None:
    """Would catch: a past rewritten without a word, because the file that did it was first held for
    its size or its format, and somebody accepted it; or told of for a few hours only, so that who
    looks each morning never reads of it."""
    night = Night(store)
    night.held("2013-02-02", "2013-02-04 04:00", kind="volume_anomaly")
    first = night.n
    night.judge("2013-02-04 04:01")
    night.published("2013-02-02", "2013-02-05 09:00")
    with store.write(None) as tx:
        delivery = tx.execute("select max(id) from delivery").fetchone()[0]
        tx.execute(
            "update attempt set delivery_id = ? where n in (?, ?)", (delivery, first, night.n - 1)
        )
        tx.execute(
            "insert into fact (node, partition, epoch, n, kind, column_name, severity, expected,"
            " observed, strength, detail, at) values ('src', '2013-02-02', 1, ?, 'restatement', '',"
            " 'warn', '3 rows', '4 rows', '20', '1 row added', ?)",
            (night.n - 1, at("2013-02-05 09:00")),
        )
    result = night.judge("2013-02-05 09:01")
    assert [(item.kind, item.partition) for item in result] == [
        ("volume_anomaly", "2013-02-02"),
        ("restatement", "2013-02-02"),
    ]
    assert "1 row added" in result[1].summary
    assert [item.state for item in night.judge("2013-02-06 08:00")] == [
        "resolved",
        "open",
    ], "the next morning it is still told"
    assert [item.state for item in night.judge("2013-02-06 09:01")] == ["resolved", "resolved"]


def published_with_semicolons(night: Night, day: str, when: str) -> None:
    """A delivery that came with another delimiter than agreed, and could be read all the same."""
    night.published(day, when)
    with night.store.write(None) as tx:
        number = tx.execute("select max(id) from delivery").fetchone()[0]
        tx.execute(
            "insert into drift (source, partition, delivery_id, epoch, n, kind, column_name,"
            " evidence, policy, used_by, at) values ('src', ?, ?, 1, ?, 'format', '', '[\"the"
            " delimiter is ; instead of ,\"]', 'map', '[]', ?)",
            (day, number, night.n - 1, at(when)),
        )


def test_what_was_read_otherwise_than_agreed_is_told_of_once_and_makes_nothing_wrong(
    store: Store,
) -> None:
    """A format that changed for good would be an incident that never ends; and what came out right
    would count as wrong.
    """
    night = Night(store)
    for day in ("2013-02-02", "2013-02-03"):
        published_with_semicolons(night, day, f"{day} 04:00")
        result = night.judge(f"{day} 04:01")
        assert [(item.kind, item.affected.partitions) for item in result] == [
            ("format_change", ("2013-02-02",))
        ]
    with store.read() as tx:
        assert tx.execute("select count(*) from unsound").fetchone()[0] == 0
    assert [item.state for item in night.all()] == ["resolved"]


def test_a_warning_that_is_over_isnt_opened_again_by_what_else_is_seen(store: Store) -> None:
    """Would catch: each later delivery opens the incident again and ends it at once, so that it was
    over days later than it was, and the digest lists it as open still."""
    night = Night(store)
    published_with_semicolons(night, "2013-02-02", "2013-02-03 04:00")
    night.judge("2013-02-03 04:01")
    night.published("2013-02-03", "2013-02-04 04:00")
    ended = night.judge("2013-02-04 04:01")[0]
    assert ended.state == "resolved"
    night.held("2013-02-04", "2013-02-05 04:00")
    assert [item.state for item in night.judge("2013-02-05 04:01")] == ["resolved", "open"]
    night.published("2013-02-04", "2013-02-05 06:00")
    first = night.judge("2013-02-05 06:01")[0]
    assert (first.restored_at, first.resolved_at) == (ended.restored_at, ended.resolved_at)
    with store.read() as tx:
        said = [item.what for item in incidents.timeline_of(tx, first.id)]
    assert not [item for item in said if item.startswith("opened again")]


def test_an_incident_says_what_is_left_of_it(store: Store) -> None:
    """Would catch: "1 column gone", as the reason of a late consumer, after that day's file was
    corrected and only a renamed column of another day is left."""
    night = Night(store)
    for day, detail in (("2013-02-02", "renamed; both are DOUBLE"), ("2013-02-03", "dropped")):
        night.held(day, f"{day} 04:00", kind="schema_change")
        with store.write(None) as tx:
            tx.execute("update fact set detail = ? where partition = ?", (detail, day))
        night.judge(f"{day} 04:01")
    (both,) = night.all()
    assert both.summary == "1 column renamed, 1 column gone"
    night.published("2013-02-03", "2013-02-03 09:00")
    (item,) = night.judge("2013-02-03 09:01")
    assert (item.state, item.summary) == ("open", "1 column renamed")


def test_a_file_that_cant_be_read_is_an_incident_of_its_own_beside_one_that_was_read_all_the_same(
    store: Store,
) -> None:
    """Would catch: nobody is told that a day is rejected, because the day before came with another
    separator and was served.
    """
    night = Night(store)
    published_with_semicolons(night, "2013-02-02", "2013-02-03 04:00")
    night.judge("2013-02-03 04:01")
    night.held("2013-02-03", "2013-02-04 03:30", kind="format_change")
    with store.write(None) as tx:
        tx.execute(
            "update fact set column_name = '', observed = 'line 5: 6 values', detail = 'unreadable;"
            " line 5: 6 values'"
        )
    result = night.judge("2013-02-04 03:31")
    assert [(item.affected.partitions, item.summary) for item in result] == [
        (("2013-02-02",), "the delimiter is ; instead of ,"),
        (("2013-02-03",), "line 5: 6 values"),
    ]
    assert [item.state for item in night.judge("2013-02-04 04:02")] == ["resolved", "open"]


def test_a_column_that_nobody_uses_and_that_is_gone_makes_nothing_wrong(store: Store) -> None:
    """Would catch: an incident that never ends, because what was published with a warning counts as
    wrong until it is replaced.
    """
    night = Night(store)
    night.published("2013-02-02", "2013-02-03 04:00")
    with store.write(None) as tx:
        tx.execute(
            "insert into fact (node, partition, epoch, n, kind, column_name, severity, expected,"
            " observed, strength, detail, at) values ('src', '2013-02-02', 1, ?, 'schema_change',"
            " 'y', 'warn', 'y', 'not there', '20', 'dropped', ?)",
            (night.n - 1, at("2013-02-03 04:00")),
        )
    assert [(item.kind, item.state) for item in night.judge("2013-02-03 04:01")] == [
        ("schema_change", "open")
    ]
    with store.read() as tx:
        assert tx.execute("select count(*) from unsound").fetchone()[0] == 0
    night.published("2013-02-03", "2013-02-04 04:00")
    assert [item.state for item in night.judge("2013-02-04 07:30")] == ["resolved"]


def test_what_somebody_accepted_as_it_is_isnt_wrong(store: Store) -> None:
    """An exception that somebody answers for would leave its readers with wrong data, and the
    incident open for good.
    """
    night = Night(store)
    for day, accepted in (("2013-02-02", True), ("2013-02-03", False)):
        night.published(day, f"{day} 04:00")
        with store.write(None) as tx:
            tx.execute(
                "insert into fact (node, partition, epoch, n, kind, column_name, severity,"
                " expected, observed, strength, detail, at) values ('src', ?, 1, ?, 'type_change',"
                " 'x', 'warn', 'BIGINT', 'VARCHAR', '20', 'type', ?)",
                (day, night.n - 1, at(f"{day} 04:00")),
            )
            if accepted:
                tx.execute(
                    "insert into accepted (node, partition, quarantine_id, publication_id, actor,"
                    " reason, at) select node, partition, 1, id, 'ann', 'it is so', published_at"
                    " from publication where node = 'src'"
                )
    assert [item.kind for item in night.judge("2013-02-03 04:01")] == ["type_change"]
    with store.read() as tx:
        wrong = tx.execute(
            "select p.partition from unsound u join publication p on p.id = u.publication_id"
        ).fetchall()
    assert [tuple(item) for item in wrong] == [("2013-02-03",)]


def test_a_promise_that_usual_arrivals_cant_keep_is_told_as_such(store: Store) -> None:
    """Each morning late by an hour with every task green: nobody is told that it can never be in
    time.
    """
    night = Night(store)
    for day in range(1, 21):
        night.published(f"2013-02-{day:02d}", f"2013-02-{day + 1:02d} 07:40")
    with store.write(None) as tx:
        tx.executemany(
            "insert into look (source, at, found) values ('src', ?, 1)", [(at("2013-02-21 07:40"),)]
        )
    (item,) = night.judge("2013-02-21 08:00")
    assert (item.kind, item.node, item.affected.consumers) == ("deadline_infeasible", "c", ("c",))
    assert (
        item.summary
        == "usually there at 07:40 (src at 07:40, then 0 s); due by 07:00; fits if due by 07:40, or"
        " there 40 min earlier"
    )


def test_a_promise_in_another_zone_says_whose_times_are_told(store: Store) -> None:
    """Would catch: a time of the consumer's zone on a page whose other times are the project's."""
    night = Night(store)
    for day in range(1, 21):
        night.published(f"2013-02-{day:02d}", f"2013-02-{day + 1:02d} 07:40")
    with store.write(None) as tx:
        tx.executemany(
            "insert into look (source, at, found) values ('src', ?, 1)", [(at("2013-02-21 07:40"),)]
        )
    (item,) = night.judge("2013-02-21 08:00", msgspec.structs.replace(WATCHED, timezone="UTC"))
    assert item.summary.startswith(
        "usually there at 07:40, times of America/New_York (src at 07:40"
    )


def test_a_deadline_is_never_advised_that_the_last_days_would_have_missed(store: Store) -> None:
    """Would catch: "fits if due by 07:40" each morning on which it came an hour after that."""
    night = Night(store)
    for day in range(1, 21):
        come = "07:40" if day < 18 else "08:40"
        night.published(f"2013-02-{day:02d}", f"2013-02-{day + 1:02d} {come}")
        night.judge(f"2013-02-{day + 1:02d} 09:00")
        if day >= 17:
            (item,) = night.all()
            assert f"; fits if due by {come}, " in item.summary
            assert [said.expected for said in item.evidence] == [
                f"by 07:00; fits if due by {come}, or there {ago_of(come)} earlier"
            ]


def ago_of(come: str) -> str:
    return {"07:40": "40 min", "08:40": "1 h 40 min"}[come]


def test_one_outage_says_nothing_of_when_files_usually_come(store: Store) -> None:
    """Would catch: "usually there at 10:01, promise what can be kept" after days without a look."""
    night = Night(store)
    for day in range(1, 3):
        night.published(f"2013-02-{day:02d}", f"2013-02-{day + 1:02d} 05:00")
    for day in range(3, 7):
        night.published(f"2013-02-{day:02d}", "2013-02-07 10:00")
    with store.write(None) as tx:
        tx.execute(
            "insert into look_gap (source, from_at, until_at) values ('src', ?, ?)",
            (at("2013-02-04 07:00"), at("2013-02-07 10:00")),
        )
    assert "deadline_infeasible" not in {item.kind for item in night.judge("2013-02-07 10:01")}


def timeline(store: Store, number: int) -> list[str]:
    with store.read() as tx:
        return [line.what for line in incidents.timeline_of(tx, number)]


def test_a_promise_that_is_missed_daily_by_minutes_is_one_incident_until_it_fits(
    store: Store,
) -> None:
    """Would catch: five misses in a row that open nothing, one incident or one more line a day, an
    end over a quiet weekend, and one that is open for ever though the promise was changed."""
    night = Night(store)
    for day in range(1, 7):
        night.published(f"2013-02-{day:02d}", f"2013-02-{day + 1:02d} 07:04")
        night.looked(f"2013-02-{day + 1:02d} 07:04")
        result = night.judge(f"2013-02-{day + 1:02d} 07:05")
        assert [item.kind for item in result] == ([] if day < 5 else ["deadline_infeasible"])
    night.judge("2013-02-08 06:50")
    (item,) = night.all()
    assert (item.state, len(timeline(store, item.id))) == ("open", 1)
    later = declare(NODES, consumer("c", "a", due="08:00"))
    with store.write(None) as tx:
        apply_promises(tx, WATCHED, later, at("2013-02-08 06:55"))
    (over,) = night.judge("2013-02-08 06:56", later)
    assert over.state == "resolved"


def test_a_promise_that_is_missed_daily_fits_again_once_it_is_kept(store: Store) -> None:
    """Would catch: an incident of a promise that stays open although its deliveries come earlier
    now.
    """
    night = Night(store)
    for day in range(1, 7):
        night.published(f"2013-02-{day:02d}", f"2013-02-{day + 1:02d} 07:04")
        night.judge(f"2013-02-{day + 1:02d} 07:05")
    night.published("2013-02-07", "2013-02-08 06:30")
    (kept,) = night.judge("2013-02-08 07:05")
    assert (kept.kind, kept.state) == ("deadline_infeasible", "resolved")
    assert (
        "usual arrivals and durations end before the deadline again" in timeline(store, kept.id)[-1]
    )


def test_what_is_seen_too_late_each_day_is_told_too(store: Store) -> None:
    """Would catch: files that are there in time, and are looked for after the deadline each day:
    missed daily, and nothing is open.
    """
    night = Night(store)
    for day in range(1, 7):
        night.published(f"2013-02-{day:02d}", f"2013-02-{day + 1:02d} 07:04")
        with store.write(None) as tx:
            tx.execute(
                "update delivery set arrived_at = arrived_at - 3600000000 where partition = ?",
                (f"2013-02-{day:02d}",),
            )
        night.judge(f"2013-02-{day + 1:02d} 07:05")
    (item,) = night.all()
    assert (item.kind, item.node) == ("deadline_infeasible", "c")
    assert item.summary.startswith(
        "usually there at 07:04 (src at 06:04, but isn't observed before 07:04); due by 07:00; fits"
        " if due by 07:04"
    )


def test_a_missing_library_is_one_incident_until_the_last_asset_has_it_back(store: Store) -> None:
    """Would catch: an incident for each asset that is left, while they are run again one after the
    other; one for each source.
    """
    names = [f"a{number}" for number in range(5)]
    nodes = [node(f"s{number}", Grain.DAY, source=True) for number in range(5)]
    declared_promises = declare(
        [*nodes, *(node(name, Grain.DAY, f"s{name[1:]}") for name in names)],
        consumer("c", *names, due="07:00"),
    )
    night, day = Night(store), "2013-02-02"
    night.published("2013-02-01", "2013-02-02 04:00", *(item.name for item in nodes), *names)
    night.judge("2013-02-02 07:30", declared_promises)
    night.published(day, "2013-02-03 04:00", *(item.name for item in nodes))
    error = (
        '{"kind": "deterministic", "code": "body_failed", "message": "ModuleNotFoundError: No'
        " module named 'scipy'\"}"
    )
    with store.write(None) as tx:
        for name in names:
            night.attempt(tx, name, day, "failed", at("2013-02-03 04:10"), error)
            night.stand(tx, name, day, "failed", at("2013-02-03 04:10"))
    (item,) = night.judge("2013-02-03 04:11", declared_promises)
    assert (item.kind, item.summary) == (
        "code_error",
        "5 nodes: ModuleNotFoundError: No module named 'scipy'",
    )
    for number, name in enumerate(names):
        assert [
            each.state for each in night.judge(f"2013-02-03 05:{number}1", declared_promises)
        ] == ["open"]
        night.published(day, f"2013-02-03 05:{number}2", name)
    assert [each.state for each in night.judge("2013-02-03 06:00", declared_promises)] == [
        "resolved"
    ]


def test_what_was_held_and_is_published_before_anybody_judges_is_no_incident(store: Store) -> None:
    """Would catch: an incident that opens after its end, since what held a delivery is read after
    what took its place.
    """
    night = Night(store)
    night.published("2013-02-01", "2013-02-02 04:00")
    night.judge("2013-02-02 07:30")
    night.held("2013-02-02", "2013-02-03 04:00")
    night.published("2013-02-02", "2013-02-03 04:01")
    assert night.judge("2013-02-03 04:02") == []


def test_a_delivery_of_an_interval_to_come_by_a_clock_that_is_ahead_is_one_incident_and_ends(
    store: Store,
) -> None:
    """Would catch: evidence of tomorrow that is over today and stays; an incident that is restored
    before it began.
    """
    night = Night(store)
    night.published("2013-02-01", "2013-02-02 04:00")
    night.judge("2013-02-02 07:30")
    night.held(
        "2013-03-01", "2013-02-03 09:00"
    )  # a month ahead, and written by a clock that is two hours ahead
    (item,) = night.judge("2013-02-03 07:00")
    assert (item.kind, item.partition, item.state) == ("null_spike", "2013-03-01", "open")
    night.published("2013-03-01", "2013-02-03 07:10")
    night.published("2013-02-02", "2013-02-03 07:10")
    (over,) = night.judge("2013-02-03 07:11")
    assert over.state == "resolved"
    assert over.restored_at is not None and over.restored_at <= at("2013-02-03 07:11")


def test_a_history_with_gaps_is_no_incident(store: Store) -> None:
    """Would catch: days told as missing that nobody promised and that came before or after a pause
    of weeks.
    """
    night = Night(store)
    for key, when in (
        ("2013-01-01", "2013-01-02 04:00"),
        ("2013-01-20", "2013-01-21 04:00"),
        ("2013-02-02", "2013-02-03 04:00"),
    ):
        night.published(key, when)
    assert [item.kind for item in night.judge("2013-02-03 06:00")] == []


def test_a_consumer_that_reads_nothing_keeps_nobody_from_judging(store: Store) -> None:
    """Would catch: causes that can't be judged at all, or an incident of Headrace's own, because
    one consumer has nothing to wait for.
    """
    declared_promises = declare(
        NODES, consumer("idle", due="07:00"), consumer("c", "a", due="07:00")
    )
    night = Night(store)
    night.published("2013-02-01", "2013-02-02 04:00")
    night.judge("2013-02-02 07:30", declared_promises)
    night.held("2013-02-02", "2013-02-03 04:00")
    (item,) = night.judge("2013-02-03 07:30", declared_promises)
    assert (item.kind, item.affected.consumers) == ("null_spike", ("c",))
    night.published("2013-02-02", "2013-02-03 08:00")
    assert [each.state for each in night.judge("2013-02-03 08:01", declared_promises)] == [
        "resolved"
    ]


@pytest.mark.parametrize(
    ("identical", "observed"), [(1, "3 values"), (0, "3 values"), (0, "1 value")]
)
def test_a_warning_from_before_a_new_body_isnt_the_bodys(
    store: Store, monkeypatch: pytest.MonkeyPatch, identical: int, observed: str
) -> None:
    """Would catch: an edit that changes no row makes a reader wrong for good, over a warning that
    it has had for weeks. A warning that is new with the rows of a new body is still the body's."""
    night = Night(store)
    change = Evidence(
        id="version:2:a",
        node="a",
        family=Family.CHANGE,
        observed="body changed by t",
        strength=2.0,
        held=False,
        at_us=at("2013-02-10 05:00"),
        detail="body",
    )

    def warned(when: str, seen: str) -> None:
        night.published("2013-02-02", when, "a")
        with store.write(None) as tx:
            tx.execute(
                "insert into fact (node, partition, epoch, n, kind, column_name, severity,"
                " expected, observed, strength, detail, at) values ('a', '2013-02-02', 1, ?,"
                " 'distribution_shift', 'x', 'warn', '6 values', ?, '11', '', ?)",
                (night.n, seen, at(when)),
            )

    night.published("2013-02-02", "2013-02-03 04:00")
    with store.write(None) as tx:
        tx.execute("delete from partition where node = 'a'")
        tx.execute("delete from publication where node = 'a'")
    warned("2013-02-03 04:00", "3 values")
    assert night.judge("2013-02-03 04:01") == []
    with store.write(None) as tx:
        tx.execute(
            "update publication set ended_snapshot = ?, ended_at = ? where node = 'a'",
            (night.n + 1, at("2013-02-10 06:00")),
        )
    warned("2013-02-10 06:00", observed)
    with store.write(None) as tx:
        tx.execute("update publication set identical = ? where n = ?", (identical, night.n))
    monkeypatch.setattr(changes, "gather", lambda _tx, after: ([change], after))
    result = [item.kind for item in night.judge("2013-02-10 06:01")]
    assert result == ([] if observed == "3 values" else ["code_error"])
    monkeypatch.undo()
    with store.write(None) as tx:
        tx.execute(
            "update publication set ended_snapshot = ?, ended_at = ? where node = 'a' and n = ?",
            (night.n + 1, at("2013-02-10 07:00"), night.n),
        )
    warned("2013-02-10 07:00", observed)  # the same body again: what is open stays open
    with store.write(None) as tx:
        tx.execute("update publication set identical = 1 where n = ?", (night.n,))
    after = [(item.kind, item.state) for item in night.judge("2013-02-10 07:01")]
    assert after == [(kind, "open") for kind in result]


@pytest.mark.parametrize("seed", range(24))
def test_of_random_histories_no_incident_is_restored_before_it_was_found(
    store: Store, seed: int
) -> None:
    """Would catch: a time to restore that is shorter than the time to detect, the same cause within
    a week as another incident, and one later that doesn't name the one before."""
    chance = random.Random(seed)
    night = Night(store)
    nodes = [msgspec.structs.replace(NODES[0], expect_by="05:00"), NODES[1]]
    declared_promises = declare(nodes, consumer("c", "a", due="07:00"))
    waiting: list[str] = []
    day = 0
    while day < 24:
        key, next_day = (
            f"2013-02-{day + 1:02d}" if day < 28 else "",
            date(2013, 2, 1) + timedelta(days=day + 1),
        )
        what = chance.choice(("fine", "fine", "fine", "late", "held", "both"))
        if what in ("held", "both"):
            night.held(
                key,
                f"{next_day} 04:{chance.randrange(10, 60)}",
                chance.choice(("null_spike", "stale_data")),
            )
            waiting.append(key)
        elif what == "late":
            waiting.append(key)
        else:
            night.published(key, f"{next_day} 04:{chance.randrange(10, 60)}")
        for clock in sorted(
            chance.sample(("05:20", "07:10", "08:00", "11:30", "15:45"), k=chance.randrange(1, 6))
        ):
            night.looked(f"{next_day} {clock}")
            night.judge(f"{next_day} {clock}", declared_promises)
            if waiting and chance.random() < 0.5:
                night.published(
                    waiting.pop(chance.randrange(len(waiting))), f"{next_day} {clock[:3]}59"
                )
        day += 1
    for item in night.all():
        assert item.began_at <= item.opened_at, (seed, item)
        assert item.restored_at is None or item.opened_at <= item.restored_at <= (
            item.resolved_at or 0
        ), (seed, item)
    _recurs_as_it_should(night.all(), seed)


def _recurs_as_it_should(result: list[Incident], seed: int) -> None:
    """A later incident of the same fingerprint names the one before, which had ended more than a
    week earlier.
    """
    for place, item in enumerate(result):
        same = [
            it
            for it in result[:place]
            if it.fingerprint == item.fingerprint and it.resolved_at is not None
        ]
        before = [it for it in same if (it.resolved_at or 0) <= item.opened_at]
        if before:
            assert item.recurrence_of is not None, (seed, item)
            assert all(
                item.opened_at - (it.resolved_at or 0) > 7 * 86_400_000_000 for it in before
            ), (seed, item, before)
