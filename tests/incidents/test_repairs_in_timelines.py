"""What Headrace does by itself about incidents, what a partition is made of, and repair times."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_facts import SmallFacts, consumer, declare, node, reads

from headrace.incidents.diagnosis.evidence import NO_WORKER, Evidence, Family
from headrace.incidents.repairs import (
    ACTS_MAX,
    Occurred,
    RepairTimes,
    except_paused,
    is_made_of,
    note_self_healing,
    repair_times,
)
from headrace.model import Grain, InputMode, Settings
from headrace.model.nodes import PartitionSpec
from headrace.slo.declared_promises import Node
from headrace.slo.obligations import EvaluationContext
from headrace.store import Store, Transaction
from headrace.store.queries import evidence as stored_evidence
from headrace.store.queries import incidents
from headrace.store.queries.evidence import StoredEvidence
from headrace.store.queries.incidents import Affected, Incident

DAY, NEXT = "2025-01-09", "2025-01-10"


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Transaction]:
    with (
        Store.open(tmp_path, Settings(name="t"), create=True) as store,
        store.write(None) as opened,
    ):
        opened.execute(
            "insert into run (id, kind, request, actor, state, started_at) values (1, 'tick', '{}',"
            " 't', 'succeeded', 0)"
        )
        yield opened


def opened(tx: Transaction, number: int, **more: Any) -> Incident:
    given: dict[str, Any] = {
        "id": number, "state": "open", "kind": "worker_lost", "detail": "", "node": "a",
        "partition": DAY, "columns": (), "fingerprint": str(number), "owner": "o", "summary": "s",
        "confidence": 0.9, "evidence": (), "began_at": 1, "opened_at": 1, "updated_at": 5,
        "affected": Affected(("b",), ("report",), (DAY,)), **more,
    }  # fmt: skip
    item = Incident(**given)
    incidents.write(tx, item)
    return item


def lost(tx: Transaction, id_: str, family: Family = Family.LOST, **more: Any) -> Evidence:
    item = Evidence(
        id=id_, node="a", partition=more.pop("partition", DAY), family=family, strength=8.0,
        at_us=more.pop("at_us", 9),
    )  # fmt: skip
    content = msgspec.msgpack.encode(item)
    row = StoredEvidence(id_, "a", item.partition, 1, None, held=True, content=content, at=9)
    stored_evidence.keep(tx, [row])
    tx.execute("update evidence set incident_id = 1 where id = ?", (id_,))
    return item


def attempt(
    tx: Transaction, n: int, *keys: str, state: str = "lost", error: dict[str, str] | None = None
) -> None:
    tx.execute(
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
        " started_at, finished_at, error, snapshot_read) values (2, ?, 1, 'a', 'produce', ?, ?, 0,"
        " 0, 0, ?, 0)",
        (n, json.dumps(keys), state, None if error is None else json.dumps(error)),
    )


def stands(tx: Transaction, key: str, state: str) -> None:
    tx.execute(
        "insert into partition (node, partition, state, since, revision) values ('a', ?, ?, 0, 1)",
        (key, state),
    )


def acts(tx: Transaction, number: int = 1) -> list[tuple[str | None, str]]:
    return [(line.act, line.what) for line in incidents.timeline_of(tx, number)]


def test_each_end_of_lost_work_has_its_own_line(tx: Transaction) -> None:
    """Would catch: "run again by another" for what isn't run any more, another attempt's fate, and
    a line about evidence that isn't an attempt's."""
    opened(tx, 1)
    attempt(tx, 1, "p1")
    attempt(tx, 2, "p2")
    attempt(tx, 3, "p3")
    attempt(tx, 4, "p4", "p5", state="failed")
    attempt(tx, 5, "p6", "p7")
    attempt(tx, 6, "p8", state="failed", error={"code": "poison_delivery"})
    attempt(tx, 7, "p3")
    attempt(tx, 8, "*", state="failed")
    for key, state in (("p1", "waiting"), ("p2", "failed"), ("p3", "failed"), ("p8", "failed")):
        stands(tx, key, state)
    seen = [
        lost(tx, "attempt:2.1@p1", partition="p1", at_us=8),
        lost(tx, "attempt:2.2@p2", partition="p2"),
        lost(tx, "attempt:2.3@p3", partition="p3"),
        lost(tx, "attempt:2.4@p4", Family.RESOURCES, partition="p4"),
        lost(tx, "attempt:2.5@p6", partition="p6"),
        lost(tx, "attempt:2.6@p8", Family.RESOURCES, partition="p8"),
        lost(tx, "attempt:2.8@", Family.RESOURCES, partition=""),
        lost(tx, "attempt:2.99@p1", partition="p1"),
        lost(tx, "space:2.1@p1", Family.RESOURCES, partition="p1"),
        lost(tx, "attempt:2.1@p1x", Family.DURATION, partition="p1"),
    ]
    note_self_healing(tx, {}, seen[::-1])
    assert acts(tx) == [
        ("run_again", "attempt 2.1 at a@p1 lost its worker: run again by another"),
        ("give_up",
         ("attempt 2.2 at a@p2 lost its worker too: Headrace runs it again only if its inputs or its"
         " declaration change, or if somebody requests it")),
        ("run_again", "attempt 2.3 at a@p3 lost its worker: run again by another"),
        ("smaller_batches",
         "attempt 2.4 lacked resources with 2 partitions at once: tried again in smaller batches"),
        ("run_again", "attempt 2.5 at a@p6 lost its worker: run again by another"),
        ("keep_only",
         ("attempt 2.6 at a@p8 took more memory than it may: what was delivered is kept, and not"
         " read any more")),
        ("run_again", "attempt 2.8 at a lacked resources: run again by another"),
    ]  # fmt: skip


def test_at_most_forty_lines_are_written_the_oldest_first(tx: Transaction) -> None:
    """Would catch: a timeline of thousands of lines after an outage."""
    opened(tx, 1)
    many = []
    for n in range(1, ACTS_MAX + 3):
        attempt(tx, n, "p")
        many.append(lost(tx, f"attempt:2.{n}@p", partition="p", at_us=n))
    note_self_healing(tx, {}, many)
    lines = [what for act, what in acts(tx) if act == "run_again"]
    assert len(lines) == ACTS_MAX
    assert f"attempt 2.{ACTS_MAX} " in lines[-1]


def test_what_headrace_waits_for_is_said_once_but_for_what_is_paused(tx: Transaction) -> None:
    """Would catch: the same line with each evaluation; "runs as soon as it is there" of a paused
    node, or about an outage in which nothing runs."""
    late = opened(tx, 1, kind="late_source")
    opened(tx, 2, kind="runtime_down", detail=NO_WORKER)
    opened(tx, 3, kind="runtime_down")
    opened(tx, 4, kind="null_spike")
    opened(tx, 5, kind="restatement", node="whole")
    opened(tx, 6, kind="restatement", node="day")
    for name, until in (("b", None), ("report", 6), ("a", 5), ("z", None)):
        tx.execute(
            "insert into pause (node, actor, reason, since, until) values (?, 'ann', 'x', 0, ?)",
            (name, until),
        )
    nodes: dict[str, Node] = {
        "whole": node("whole", None, source=True),
        "day": node("day", Grain.DAY, source=True),
    }
    for _ in range(2):
        note_self_healing(tx, nodes, ())
    clause = ", but for b, report, which are paused"
    first = "Headrace waits for it: what needs it runs as soon as it is there"
    assert acts(tx) == [("wait", f"{first}{clause}")]
    assert [acts(tx, number) for number in (2, 4)] == [[], []]
    assert [act for act, _ in acts(tx, 3)] == ["catch_up"]
    ((act, whole),), ((same, partitioned),) = acts(tx, 5), acts(tx, 6)
    assert act == same == "rebuild"
    assert "unpartitioned assets" in whole
    assert "`restate_within`" in partitioned
    assert except_paused(tx, late, 6) == ", but for b, which is paused"
    paused = opened(tx, 7, kind="paused")
    assert except_paused(tx, paused, 5) == ""
    tx.execute("delete from pause where node <> 'z'")
    assert except_paused(tx, late, 5) == ""


def test_what_a_partition_is_made_of_follows_its_inputs() -> None:
    """Would catch: another day's cause, one beside the path, and a node that was removed."""
    nodes = [
        node("src", Grain.DAY, source=True),
        node("far", Grain.DAY, source=True),
        node("ref", None, source=True),
        node("mid", Grain.DAY, "src", reads("ref", mode=InputMode.ALL)),
        node("twin", Grain.DAY, "src"),
        node("top", Grain.DAY, "mid", "twin", "gone"),
        node("all", None, reads("mid", mode=InputMode.ALL)),
    ]
    context = EvaluationContext(
        declare([*nodes, node("gone", Grain.DAY, source=True)], consumer("c", "top")), SmallFacts()
    )
    assert nodes[2].partition == PartitionSpec()
    assert is_made_of(context, "top", DAY, "src", {DAY})
    assert not is_made_of(context, "top", DAY, "src", {NEXT})
    assert not is_made_of(context, "top", DAY, "far", {DAY})
    assert is_made_of(context, "top", DAY, "ref", set())
    assert is_made_of(context, "src", DAY, "src", {DAY})
    assert is_made_of(context, "all", "*", "mid", {NEXT})
    assert not is_made_of(context, "unknown", DAY, "src", {DAY})


def occurred(
    number: int, began: int, opened_us: int, restored: int | None, **more: Any
) -> Occurred:
    given = {"kind": "null_spike", "recurrence_of": None, **more}
    return Occurred(
        number=number, node="a", owner="o", began_us=began, opened_us=opened_us,
        restored_us=restored, **given,
    )  # fmt: skip


def test_repair_times_lean_towards_the_bad_side() -> None:
    """Would catch: the smaller of two medians, negative times of clocks that differ, an open
    incident left out, and counts that are exchanged."""
    assert repair_times([], 100) == RepairTimes(0, 0, 0, 0, None, None, None, None)
    result = repair_times(
        [
            occurred(1, 10, 12, 40),
            occurred(2, 10, 15, None, kind="reported"),
            occurred(3, 50, 40, 45, recurrence_of=1),
            occurred(4, 10, 17, 60, kind="reported", recurrence_of=2),
            occurred(5, 10, 11, None, kind="reported"),
            occurred(6, 10, 14, 31),
        ],
        100,
    )
    assert result == RepairTimes(
        incidents=6, open=2, found_by_people=3, recurrences=2, detect_median_us=4,
        detect_worst_us=7, restore_median_us=50, restore_worst_us=90,
    )  # fmt: skip
