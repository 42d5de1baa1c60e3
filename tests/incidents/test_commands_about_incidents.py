"""Which commands are about an incident, by the audit trail, and what they have come to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_facts import SmallFacts, at, consumer, declare, node

from headrace.incidents.commands import actions_since, gave_other_rows, note_actions
from headrace.model import Grain, Settings
from headrace.plan.backfills import Backfill, BackfillSpan, Chosen, Mode, Publishes
from headrace.slo.blockage import Blockage
from headrace.slo.obligations import EvaluationContext
from headrace.store import Store, Transaction
from headrace.store.queries import incidents
from headrace.store.queries.incidents import Affected, Happened, Incident, Symptom

DAY, OTHER = "2025-01-09", "2025-01-20"
NODES = [
    node("src", Grain.DAY, source=True),
    node("far", Grain.DAY, source=True),
    node("mid", Grain.DAY, "src"),
    node("apart", Grain.DAY, "far"),
]
CONTEXT = EvaluationContext(declare(NODES, consumer("report", "mid", due="07:00")), SmallFacts())
NOW = 1_000


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Transaction]:
    with (
        Store.open(tmp_path, Settings(name="t"), create=True) as store,
        store.write(None) as opened,
    ):
        # a leader is there, so that what runs isn't lost
        opened.execute("update lease set released = 0, expires_at = 9000000000000000")
        yield opened


def opened(tx: Transaction, number: int = 7, **more: Any) -> Incident:
    given: dict[str, Any] = {
        "id": number, "state": "open", "kind": "null_spike", "detail": "", "node": "src",
        "partition": DAY, "columns": (), "fingerprint": str(number), "owner": "o", "summary": "s",
        "confidence": 0.9, "evidence": (), "began_at": 1, "opened_at": 1, "updated_at": 1,
        "affected": Affected(("mid", "apart"), ("report",), (DAY,)), **more,
    }  # fmt: skip
    item = Incident(**given)
    incidents.write(tx, item)
    incidents.seen_at(tx, number, [(item.node, DAY)], 1)
    return item


def typed(tx: Transaction, action: str, thing: str, **more: Any) -> int:
    """An entry of the audit trail."""
    (last,) = tx.execute("select coalesce(max(seq), 0) from audit").fetchone()
    event = {
        "action": action,
        "actor": {"id": more.pop("actor", "ann"), "type": more.pop("type", "person")},
        "object": {"id": thing},
        **more,
    }
    text = json.dumps(event, sort_keys=True, separators=(",", ":"))
    seq, at = int(last) + 1, more.get("at", (int(last) + 1) * 10)
    tx.execute(
        "insert into audit (seq, at, event, prev_hash, hash) values (?, ?, ?, ?, ?)",
        (seq, at, text, "0" * 64, "0" * 64),
    )
    return seq


def run(tx: Transaction, number: int, state: str = "succeeded", plan: int | None = None) -> None:
    tx.execute(
        "insert into run (id, kind, request, actor, state, started_at, plan_id) values (?, 'run',"
        " '{}', 'ann', ?, 0, ?)",
        (number, state, plan),
    )


def attempt(
    tx: Transaction, n: int, of: int, name: str, key: str, at: int | None, plan: int = 0
) -> None:
    """An attempt of a run; `at` is when it was published, if it was."""
    tx.execute(
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
        " started_at, finished_at, published_at, snapshot_read) values (1, ?, ?, ?, 'produce', ?,"
        " ?, 0, 0, 0, ?, 0)",
        (plan * 1_000_000_000 + n, of, name, json.dumps([key]),
         "failed" if at is None else "published", at),
    )  # fmt: skip


def done(tx: Transaction, item: Incident, *numbers: int, acts: tuple[str, ...] = ()) -> list[Any]:
    """(number, participle, addition, places) of what had an effect."""
    lines = [Happened(1, "x", "ann", f"command:{number}") for number in numbers]
    lines += [Happened(1, "x", "ann", act) for act in acts]
    return [
        (command.seq, command.did, command.extra, command.places)
        for command in actions_since(tx, CONTEXT, item, lines)
    ]


@pytest.mark.parametrize(
    ("action", "thing", "more", "expected"),
    [
        ("quarantine.dropped", f"src@{DAY}", {}, ("dropped", "", (("src", DAY),))),
        ("quarantine.dropped", f"src@{OTHER}", {}, None),
        ("quarantine.dropped", f"mid@{DAY}", {}, ("dropped", "", (("mid", DAY),))),
        ("quarantine.dropped", f"mid@{OTHER}", {}, None),
        ("quarantine.dropped", f"mid@{DAY}/eu", {}, ("dropped", "", (("mid", f"{DAY}/eu"),))),
        ("quarantine.dropped", f"far@{DAY}", {}, None),
        ("quarantine.dropped", "shown@2025-03-01", {}, ("dropped", "", (("shown", "2025-03-01"),))),
        ("quarantine.dropped", f"src@{DAY}", {"type": "scheduler"}, None),
        ("quarantine.dropped", f"src@{DAY}", {"type": "service"}, ("dropped", "", (("src", DAY),))),
        ("node.paused", "src", {"after": {"until": "2025-03-01T17:00:00.000000Z"}},
         ("paused", "until Sat 2025-03-01 12:00", (("src", ""),))),
        ("node.resumed", "src", {"after": {"until": ""}}, ("resumed", "", (("src", ""),))),
        ("quarantine.accepted", f"src@{DAY}", {"after": {"until_us": 0}},
         ("accepted as an exception", "until Wed 1969-12-31 19:00", (("src", DAY),))),
        ("contract.accepted", "src", {"after": {"from": DAY}},
         ("names accepted", f"from {DAY} on", (("src", ""),))),
        ("contract.accepted", "src", {"after": {"from": OTHER}}, None),
        ("contract.accepted", "src", {"after": {"names": {"a": "a"}, "convert": {"a": '"a"'}}},
         ("values accepted as they are", "", (("src", ""),))),
        ("contract.accepted", "src", {"after": {"names": {"a": "a"}, "convert": {"a": "a / 100"}}},
         ("conversion accepted", "", (("src", ""),))),
        ("contract.accepted", "src", {"after": {"names": {"a": "b"}, "convert": {"a": '"b"'}}},
         ("names accepted", "", (("src", ""),))),
        ("environment.promoted", "test", {"after": {"partitions": {"src": [], "mid": [], "apart": []}}},
         ("promoted", "from test", (("apart", ""), ("src", "")))),
        ("incident.fixed", "7", {}, ("repaired", "with `headrace fix INC-7`", (("7", ""),))),
        ("incident.fixed", "8", {}, None),
    ],
)  # fmt: skip
def test_a_command_is_about_the_incident_whose_places_it_names(
    tx: Transaction, action: str, thing: str, more: dict[str, Any], expected: tuple[Any, ...] | None
) -> None:
    """Would catch: a command about other days or nodes on an incident's timeline, what Headrace
    did as what a person did, and names that hold from a later day on as the repair of this one."""
    item = opened(tx)
    tx.execute(
        "insert into symptom (incident_id, node, partition, what, at) values (7, 'shown',"
        " '2025-03-01', 'x', 1)"
    )
    assert incidents.symptoms_of(tx, 7) == [Symptom("shown", "2025-03-01", "x", 1)]
    seq = typed(tx, action, thing, **more)
    note_actions(tx, Blockage(CONTEXT, NOW), 0)
    lines = incidents.timeline_of(tx, 7)
    if action == "incident.fixed":  # it writes its own line
        assert lines == []
    else:
        assert [line.act for line in lines] == ([f"command:{seq}"] if expected else [])
        assert all((line.at, line.actor) == (seq * 10, "ann") for line in lines)
    acts = [f"command:{seq}"] if expected else []
    results = [
        (command.did, command.extra, command.places)
        for command in actions_since(tx, CONTEXT, item, [Happened(1, "x", "ann", a) for a in acts])
    ]
    assert results == ([expected] if expected else [])


def test_commands_are_read_once_and_not_those_from_before(tx: Transaction) -> None:
    """Would catch: a line with each evaluation, and commands from before an incident on it."""
    blockage = Blockage(CONTEXT, NOW)
    first = typed(tx, "quarantine.dropped", f"src@{DAY}", reason="a  test\nfile")
    assert note_actions(tx, blockage, 0) == first  # no incident is open
    run(tx, 1, "running")
    first = typed(tx, "run.requested", "1", after={"select": ["far"]})
    assert note_actions(tx, blockage, 0) == first  # nobody waits for what it does
    attempt(tx, 1, 1, "far", DAY, None)
    opened(tx)
    assert note_actions(tx, blockage, -1) == first
    assert note_actions(tx, blockage, first) == first
    assert incidents.timeline_of(tx, 7) == []
    assert note_actions(tx, blockage, 0) == first
    (line,) = incidents.timeline_of(tx, 7)
    assert line.what == f"dropped by ann: src@{DAY} (a test file)"


def test_a_run_counts_once_it_has_attempts_and_where_it_published(tx: Transaction) -> None:
    """Would catch: "run again" for a run that did nothing or failed, and its line lost because it
    had not begun when it was read."""
    item, blockage = opened(tx), Blockage(CONTEXT, NOW)
    request = {"select": ["src"], "partitions": [DAY]}
    seqs = [typed(tx, "run.requested", str(number), after=request) for number in (1, 2, 3, 4)]
    run(tx, 1)
    attempt(tx, 1, 1, "src", DAY, 50)
    attempt(tx, 2, 1, "src", OTHER, 50)
    attempt(tx, 3, 1, "mid", DAY, None)
    run(tx, 2, "nothing_due")
    run(tx, 3, "failed")
    attempt(tx, 4, 3, "src", DAY, None)
    run(tx, 4, "running")
    assert note_actions(tx, blockage, 0) == seqs[3] - 1
    assert [line.act for line in incidents.timeline_of(tx, 7)] == ["command:1", "command:3"]
    attempt(tx, 5, 4, "src", DAY, None)
    assert note_actions(tx, blockage, seqs[3] - 1) == seqs[3]
    assert [line.act for line in incidents.timeline_of(tx, 7)][2:] == ["command:4"]
    assert done(tx, item, *seqs) == [
        (1, "run again", "", (("src", DAY),)),
        (4, "run again", "", (("src", DAY),)),
    ]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"retry": f"src@{DAY}"}, (("src", DAY),)),
        ({"retry": "src"}, (("src", ""),)),
        ({"retry": "5"}, (("src", DAY),)),
        ({"select": ["src", "mid"]}, (("src", ""), ("mid", ""))),
        ({"select": ["src"], "partitions": [DAY, OTHER]}, (("src", DAY),)),
        ({}, None),
    ],
)
def test_a_run_is_about_what_it_was_requested_for_until_it_computes(
    tx: Transaction, request_: dict[str, Any], expected: tuple[Any, ...] | None
) -> None:
    """Would catch: a retry of run 5 read as one of a node `5`; a run with its own entry twice."""
    item = opened(tx)
    run(tx, 5)
    attempt(tx, 9, 5, "src", DAY, None)
    run(tx, 6, "running")
    seq = typed(tx, "run.requested", "6", after=request_)
    assert done(tx, item, seq) == ([(seq, "run again", "", expected)] if expected else [])


def planned(tx: Transaction, number: int, *names: str) -> None:
    chosen = tuple(
        Chosen(node=name, spans=(BackfillSpan(first=DAY, last=DAY),), partitions=1, why="")
        for name in names
    )
    content = Backfill(
        mode=Mode.MISSING, chosen=chosen, skipped=(), steps=(), publishes=Publishes.ATOMICALLY
    )
    tx.execute(
        "insert into plan (id, state, actor, reason, request, version, content, created_at) values"
        " (?, 'running', 'ann', 'x', '{}', 1, ?, 0)",
        (number, msgspec.msgpack.encode(content)),
    )


def test_a_backfill_counts_where_it_published_and_not_once_it_is_cancelled(tx: Transaction) -> None:
    """Would catch: a cancelled backfill as what ended an incident, other than of a missing
    approval; a backfill of other days."""
    item, waits = opened(tx), opened(tx, 8, kind="approval_pending")
    planned(tx, 3, "src", "mid", "far")
    made = typed(tx, "plan.made", "3", after={"chosen": {"src": 1, "mid": 1, "far": 1}})
    run(tx, 1, plan=3)
    assert done(tx, item, made) == []
    attempt(tx, 1, 1, "mid", OTHER, 50, plan=3)
    assert done(tx, item, made) == []
    attempt(tx, 2, 1, "src", DAY, 50, plan=3)
    assert done(tx, item, made) == [(made, "backfill planned", "(backfill 3)", (("src", ""),))]
    cancelled = typed(tx, "plan.cancelled", "3")
    assert done(tx, item, cancelled) == []
    assert done(tx, waits, cancelled) == [
        (cancelled, "backfill cancelled", "(backfill 3)", (("src", ""), ("mid", "")))
    ]
    gone = typed(tx, "plan.cancelled", "4")
    assert done(tx, waits, gone) == []


def test_steps_of_a_repair_are_told_as_the_repair(tx: Transaction) -> None:
    """Would catch: each step of `fix` besides the repair itself, another person's command taken for
    a step, and a failed repair as what ended an incident."""
    item = opened(tx)
    before = typed(tx, "contract.accepted", "src")
    fix = typed(tx, "incident.fixed", "7")
    step = typed(tx, "contract.accepted", "src")
    other = typed(tx, "contract.accepted", "src", actor="bob")
    dropped = typed(tx, "quarantine.dropped", f"src@{DAY}")
    later = typed(tx, "contract.accepted", "src")
    every = (before, fix, step, other, dropped, later)
    ends = (f"repair done:{fix}-{dropped}",)
    assert [row[0] for row in done(tx, item, *every, acts=ends)] == [
        before, fix, other, dropped, later,
    ]  # fmt: skip
    running = [row[0] for row in done(tx, item, *every)]
    assert running == [before, fix, other, dropped]
    failed = (f"repair failed:{fix}-{dropped}",)
    assert [row[0] for row in done(tx, item, *every, acts=failed)] == [
        before, other, dropped, later,
    ]  # fmt: skip


def test_a_repair_that_published_nothing_is_its_other_steps(tx: Transaction) -> None:
    """Would catch: "repaired with fix" where its run failed and only a name was accepted."""
    item = opened(tx)
    fix = typed(tx, "incident.fixed", "7")
    step = typed(tx, "contract.accepted", "src")
    again = typed(tx, "run.requested", "1", after={"select": ["src"], "partitions": [DAY]})
    run(tx, 1, "failed")
    attempt(tx, 1, 1, "src", DAY, None)
    every = (fix, step, again)
    assert [row[0] for row in done(tx, item, *every)] == [step]
    attempt(tx, 2, 1, "src", DAY, 60)
    assert [row[0] for row in done(tx, item, *every)] == [fix]


def test_a_dropped_delivery_isnt_the_merit_of_runs_further_down(tx: Transaction) -> None:
    """Would catch: "run again: mid" besides the drop that ended an incident."""
    item = opened(tx)
    below = typed(tx, "run.requested", "1", after={"select": ["mid"], "partitions": [DAY]})
    here = typed(tx, "run.requested", "2", after={"select": ["src"], "partitions": [DAY]})
    for number, name in ((1, "mid"), (2, "src")):
        run(tx, number)
        attempt(tx, number, number, name, DAY, 50)
    assert [row[0] for row in done(tx, item, below, here)] == [below, here]
    drop = typed(tx, "quarantine.dropped", f"src@{DAY}")
    assert [row[0] for row in done(tx, item, below, here, drop)] == [here, drop]


def test_who_gave_an_input_other_rows_between_a_failure_and_a_success(tx: Transaction) -> None:
    """Would catch: the first command instead of the last, one outside of the time, or one that
    published another node."""
    for number, name, published in ((1, "src", 15), (2, "src", 25), (3, "far", 35), (4, "src", 90)):
        typed(tx, "run.requested", str(number), after={"select": [name]})
        run(tx, number)
        attempt(tx, number, number, name, DAY, published)
    result = gave_other_rows(tx, CONTEXT, {"src", "mid"}, 10, 50)
    assert result is not None
    assert (result.seq, result.places) == (2, (("src", DAY),))
    first = gave_other_rows(tx, CONTEXT, {"src"}, 10, 19)
    assert first is not None
    assert first.seq == 1
    assert gave_other_rows(tx, CONTEXT, {"src"}, 30, 39) is None
    assert gave_other_rows(tx, CONTEXT, {"mid"}, 10, 50) is None


def test_a_waiver_is_about_what_its_interval_waited_for(tx: Transaction) -> None:
    """Would catch: a waiver that no timeline mentions because its consumer isn't among those that
    the incident affects, and one on the timelines of other incidents."""
    opened(tx, affected=Affected((), (), (DAY,)))
    opened(tx, 8, node="far", affected=Affected((), (), (DAY,)))
    typed(tx, "obligation.waived", f"report@{DAY}")
    note_actions(tx, Blockage(CONTEXT, at("2025-01-15 00:00")), 0)
    assert [line.what for line in incidents.timeline_of(tx, 7)] == [f"waived by ann: report@{DAY}"]
    assert incidents.timeline_of(tx, 8) == []
