"""`headrace audit verify`: the trail beside the event log, the publications and the decisions that
it must tell of.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from runlab import DAYS, Lab, lab_on

from headrace.security.audit import chain_hash
from headrace.services.audit import verify_trail

UNIQUE = "partition: {by: day, column: day}\nchecks:\n  - unique: [order_id]"
DROP = {
    "sqlite": [
        f"drop trigger {name}" for name in ("audit_in_order", "audit_no_update", "audit_no_delete")
    ],
    "postgresql": ["drop trigger audit_in_order on audit", "drop trigger audit_no_update on audit"],
}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = lab_on(request, tmp_path / "p", monkeypatch)
    made.sql("clean", "select order_id, cast(day as date) as day from orders")
    for day in DAYS[:3]:
        made.orders(day)
    made.tick()
    return made


def change(lab: Lab, *statements: str, unguarded: bool = False) -> None:
    """As somebody who may write the database does it; `unguarded`: without the trail's triggers."""
    if unguarded:
        statements = (*DROP["sqlite" if lab.database is None else "postgresql"], *statements)
    if lab.database is not None:
        lab.database.execute("set search_path to headrace, headrace_lake", *statements)
        return
    with sqlite3.connect(lab.root / ".headrace/state.db") as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def test_a_whole_trail_agrees_and_says_what_it_cannot_know(lab: Lab) -> None:
    response = lab.headrace("audit", "verify")
    assert (response["ok"], response["reconciled"], response["missing"]) == (True, True, [])
    assert response["proven_to"] is None
    assert "checkpoint" in response["notes"][0]


def test_an_emptied_trail_is_found(lab: Lab) -> None:
    change(lab, "delete from audit", unguarded=True)
    response = lab.headrace("audit", "verify", code=1)
    assert not response["reconciled"] and response["entries"] == 0
    missing = " ".join(response["missing"])
    assert "audit_no_update" in missing and "all of them are gone" in missing
    assert "partition.published" in missing and "project.applied" in missing


def test_a_trail_whose_end_was_cut_is_found_though_its_chain_fits(lab: Lab) -> None:
    change(lab, "delete from audit where seq > 4", unguarded=True)
    response = lab.headrace("audit", "verify", code=1)
    assert response["broken_at"] is None, "the chain alone shows nothing"
    assert "those after entry 4 are gone" in " ".join(response["missing"])


def test_dropped_triggers_alone_are_found(lab: Lab) -> None:
    change(lab, unguarded=True)
    response = lab.headrace("audit", "verify", code=1)
    assert len(response["missing"]) == (3 if lab.database is None else 2)
    result = lab.headrace("db", "check", code=1)
    assert {item["source"] for item in result["differences"]} == {"audit"}


HOLLOW = {
    "sqlite": (
        "drop trigger audit_no_delete",
        "create trigger audit_no_delete before delete on audit when 0 begin select 1; end",
    ),
    "postgresql": (
        """create or replace function audit_append_only() returns trigger language plpgsql
        as $$ begin return null; end $$""",
    ),
}


def test_triggers_that_refuse_nothing_any_more_are_found(lab: Lab) -> None:
    """Catches: a trigger of the same name that lets everything through."""
    change(lab, *HOLLOW["sqlite" if lab.database is None else "postgresql"])
    name = "audit_no_delete" if lab.database is None else "audit_no_update"
    missing = lab.headrace("audit", "verify", code=1)["missing"]
    assert missing == [f"the trigger {name}, which guards the trail"]
    result = lab.headrace("db", "check", code=1)["differences"]
    assert [item["key"] for item in result] == [{"trigger": name}]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("delete from publication where id = 2", "the publication of attempt"),
        ("update publication set rows = 11 where id = 2", "publications 11"),
        (
            "insert into withdrawal (node, partition, at) values ('clean', '2025-01-06', 5)",
            "an entry partition.withdrawn for clean@2025-01-06",
        ),
    ],
)
def test_what_the_trail_and_the_state_say_is_compared(lab: Lab, statement: str, said: str) -> None:
    change(lab, statement)
    response = lab.headrace("audit", "verify", code=1)
    assert said in " ".join(response["missing"]), response


def test_an_entry_that_headrace_did_not_write_is_found_though_its_chain_fits(lab: Lab) -> None:
    seq, head, event = lab.rows("select seq, hash, event from audit order by seq desc limit 1")[0]
    at = lab.rows("select at from audit order by seq desc limit 1")[0][0]
    forged = chain_hash(seq + 1, head, event)
    values = f"({seq + 1}, {at}, '{event}', '{head}', '{forged}')"
    change(lab, f"insert into audit (seq, at, event, prev_hash, hash) values {values}")
    response = lab.headrace("audit", "verify", code=1)
    assert "written without Headrace" in " ".join(response["missing"])


def test_a_checkpoint_kept_elsewhere_proves_and_finds(lab: Lab, tmp_path: Path) -> None:
    kept = tmp_path / "kept elsewhere.json"
    made = lab.headrace("audit", "checkpoint", "--out", str(kept))
    assert json.loads(kept.read_text()) == {
        "seq": made["seq"],
        "head": made["head"],
        "signature": None,
    }
    lab.orders(DAYS[3])
    lab.tick()
    response = lab.headrace("audit", "verify", "--checkpoint", str(kept))
    assert (response["ok"], response["proven_to"]) == (True, made["seq"])
    (note,) = response["notes"]
    assert note.endswith("the checkpoint proves the trail alone")
    kept.write_text(json.dumps({"seq": made["seq"], "head": "0" * 64, "signature": None}))
    assert (
        "rewritten" in lab.headrace("audit", "verify", "--checkpoint", str(kept), code=1)["reason"]
    )
    kept.write_text(json.dumps({"seq": 10_000, "head": "0" * 64, "signature": None}))
    assert "cut off" in lab.headrace("audit", "verify", "--checkpoint", str(kept), code=1)["reason"]
    lab.headrace("audit", "checkpoint", "--out", str(kept), code=2)


@pytest.mark.long
def test_after_maintenance_the_checkpoint_holds_the_anchor(lab: Lab) -> None:
    lab.headrace("db", "gc")
    assert lab.headrace("audit", "verify")["ok"]
    lab.orders(DAYS[3])
    lab.tick()
    assert lab.headrace("audit", "verify")["ok"]
    change(lab, "delete from audit where seq > 4", unguarded=True)
    assert not lab.headrace("audit", "verify", code=1)["ok"]


def test_an_acceptance_tells_of_what_it_published(lab: Lab) -> None:
    """Would catch: an exception that looks as if nobody had published it, and rows of one that
    nobody compares.
    """
    lab.sql("once", "select order_id, cast(day as date) as day from orders", UNIQUE)
    lab.headrace("apply", "--yes")
    lab.deliver(DAYS[3], [f"1,c,1.50,{DAYS[3]}"] * 2)
    lab.tick()
    lab.headrace(
        "quarantine", "accept", f"once@{DAYS[3]}", "--reason", "they stand by it", "--until", "5d"
    )
    assert lab.headrace("audit", "verify")["reconciled"]
    (accepted,) = lab.headrace("audit", "show", "--action", "quarantine.accepted")
    assert accepted["after"]["rows"] == 2
    change(lab, f"update publication set rows = 7 where node = 'once' and partition = '{DAYS[3]}'")
    missing = lab.headrace("audit", "verify", code=1)["missing"]
    assert (
        f"agreement on attempt {accepted['version']}: the trail says 2 rows, its publications 7"
        in missing
    )


def test_an_acceptance_that_says_no_rows_tells_of_its_publication_too(lab: Lab) -> None:
    """Would catch: a trail that an earlier Headrace wrote, and that is called incomplete."""
    lab.sql("once", "select order_id, cast(day as date) as day from orders", UNIQUE)
    lab.headrace("apply", "--yes")
    lab.deliver(DAYS[3], [f"1,c,1.50,{DAYS[3]}"] * 2)
    lab.tick()
    lab.headrace("quarantine", "accept", f"once@{DAYS[3]}", "--reason", "they stand by it")
    change(
        lab,
        """update audit set event = replace(event, '"after":{"rows":2}', '"after":null')""",
        unguarded=True,
    )
    missing = lab.headrace("audit", "verify", code=1)["missing"]
    assert not [item for item in missing if "attempt" in item], missing


@pytest.mark.long
def test_verifying_twice_in_one_process_counts_each_entry_once(lab: Lab) -> None:
    """Catches: a server that calls a trail incomplete when it is asked a second time."""
    lab.headrace("db", "gc")
    for _ in range(2):
        session = lab.session()
        assert verify_trail(session, None).missing == []
        session.close()
