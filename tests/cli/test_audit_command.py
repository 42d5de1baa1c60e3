"""`headrace audit`: what was done is found again, and any change of the record is seen."""

from __future__ import annotations

import json
import sqlite3

from clilab import Project

from headrace.cli.completion import candidates
from headrace.security.audit import canonical, chain_hash, verify_rows


def test_entries_are_found_by_what_who_and_when(shop: Project) -> None:
    """Would catch: a filter that lets others through, or one that loses entries of a node's
    partitions."""
    every = shop.json("audit", "show", "--limit", "1000")
    assert [row["seq"] for row in every] == list(range(len(every), 0, -1))
    revenue = shop.json("audit", "show", "--object", "revenue")
    assert {row["object"] for row in revenue} == {
        f"partition:revenue@2025-03-0{day}" for day in (1, 2, 3)
    }
    assert shop.json("audit", "show", "--object", "revenue@2025-03-02") == [
        row for row in revenue if row["object"].endswith("02")
    ]
    rejected = shop.json("audit", "show", "--action", "partition.rejected")
    assert [row["object"] for row in rejected] == ["partition:orders_clean@2025-03-04"]
    assert {row["actor"] for row in shop.json("audit", "show", "--actor", "headrace")} == {
        "headrace"
    }
    first_tick = [row for row in every if row["at"] < "2025-03-05"]
    assert (
        shop.json("audit", "show", "--since", "2025-03-05", "--limit", "1000")
        == every[: len(every) - len(first_tick)]
    )
    assert len(shop.json("audit", "show", "--limit", "3")) == 3
    assert shop.json("audit", "show", "--object", "nothing*") == []


def test_one_entry_shows_all_that_it_says(shop: Project) -> None:
    """Would catch: a reason or what changed that can't be read anywhere."""
    (row,) = shop.json("audit", "show", "--action", "partition.rejected")
    text = shop.text("audit", "show", str(row["seq"]))
    assert "orders_clean@2025-03-04" in text
    assert row["after"]["reason"] in text
    assert row["hash"] in text
    assert "no entry 9999" in shop.refused("audit", "show", "9999")
    assert "--object revenue" in shop.refused("audit", "show", "revenue")
    assert "isn't known" in shop.refused("audit", "export")


def test_entries_of_actions_and_actors_of_former_versions_are_read(shop: Project) -> None:
    """Would catch: a trail that can't be shown or verified any more because of a name in it."""
    with sqlite3.connect(shop.root / ".headrace/state.db") as db:
        seq, at, before, text = db.execute(
            "select seq, at, hash, event from audit order by seq desc limit 1"
        ).fetchone()
        event = json.loads(text) | {
            "action": "schema.pinned",
            "actor": {"type": "scheduler", "id": "cron", "display": ""},
        }
        entry = canonical(event)
        db.execute(
            "insert into audit (seq, at, event, prev_hash, hash) values (?, ?, ?, ?, ?)",
            (seq + 1, at, entry, before, chain_hash(seq + 1, before, entry)),
        )
    (row,) = shop.json("audit", "show", "--action", "schema.pinned")
    assert (row["seq"], row["actor"]) == (seq + 1, "cron")
    assert "schema.pinned" in shop.text("audit", "show", str(seq + 1))
    with sqlite3.connect(shop.root / ".headrace/state.db") as db:
        chain = db.execute("select seq, at, event, prev_hash, hash from audit order by seq")
        assert verify_rows(chain.fetchall()).ok


def test_a_changed_entry_is_named(shop: Project) -> None:
    """Would catch: a trail that somebody with the database's file altered, and that
    still verifies.
    """
    response = shop.json("audit", "verify")
    assert response["ok"]
    assert response["broken_at"] is None
    assert "as written" in shop.text("audit", "verify")
    with sqlite3.connect(shop.root / ".headrace/state.db") as db:
        db.execute("drop trigger audit_no_update")
        db.execute(
            "update audit set event = replace(event, '\"allowed\"', '\"denied\"') where seq = 12"
        )
    broken = shop.json("audit", "verify")
    assert (broken["ok"], broken["broken_at"], broken["entries"]) == (False, 12, 11)
    assert "entry 12" in shop.text("audit", "verify", code=1)


def test_an_end_that_was_cut_off_shows_by_the_head_that_was_noted(shop: Project) -> None:
    """Would catch: the last entries taken away, which a chain alone can't show."""
    response = shop.json("audit", "verify")
    assert shop.json("audit", "verify", "--head", response["head"])["ok"]
    with sqlite3.connect(shop.root / ".headrace/state.db") as db:
        db.execute("drop trigger audit_no_delete")
        db.execute("delete from audit where seq > ?", (response["entries"] - 2,))
    assert "those after entry" in " ".join(shop.json("audit", "verify")["missing"]), (
        "the event log knows the last entry"
    )
    cut = shop.json("audit", "verify", "--head", response["head"])
    assert not cut["ok"]
    assert "cut off" in cut["reason"]
    assert "no hash" in shop.refused("audit", "verify", "--head", "beef")


def test_before_anything_ran_the_trail_is_empty(new: Project) -> None:
    """Would catch: a traceback, or a state that is made by looking."""
    assert new.json("audit", "show") == []
    assert new.json("audit", "verify")["entries"] == 0
    assert not (new.root / ".headrace/state.db").exists()


def test_the_actions_are_completed() -> None:
    """Would catch: a shell that offers files behind `audit`."""
    assert candidates(["audit", ""]) == ["show", "verify", "checkpoint"]
    assert candidates(["audit", "show", ""]) == []
    assert "--object" in candidates(["audit", "show", "--ob"])
