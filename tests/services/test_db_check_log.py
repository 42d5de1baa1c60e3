"""`headrace db check`: rows that somebody changed behind Headrace's back are named, and repaired
from the event log.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from runlab import DAYS, Lab, lab_on

CLEAN = "select order_id, cast(day as date) as day from orders"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = lab_on(request, tmp_path / "p", monkeypatch)
    made.sql("clean", CLEAN)
    made.write("consumers.yaml", "- {consumer: sales, owner: core, reads: [clean], due: '09:00'}\n")
    for day in DAYS[:3]:
        made.orders(day)
    made.tick()
    return made


def change(lab: Lab, *statements: str) -> None:
    """As somebody who may write the database does it, without Headrace."""
    if lab.database is not None:
        lab.database.execute("set search_path to headrace, headrace_lake", *statements)
        return
    with sqlite3.connect(lab.root / ".headrace/state.db") as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def differences(lab: Lab) -> list[dict[str, Any]]:
    response = lab.headrace("db", "check", code=1)
    assert not response["ok"]
    result: list[dict[str, Any]] = response["differences"]
    return result


CHANGES = {
    "publication.verdict": "update publication set verdict = 'held' where id = 1",
    "publication.rows": "update publication set rows = rows + 1 where id = 2",
    "publication.content_hash": "update publication set content_hash = 'x' where id = 2",
    "attempt.finished_at": "update attempt set finished_at = finished_at - 1 where n = 1",
    "ducklake_data_file.record_count": (
        "update ducklake_data_file set record_count = record_count * 2"
        " where data_file_id = (select min(data_file_id) from ducklake_data_file)"
    ),
    "delivery.sha256": "update delivery set sha256 = 'y' where id = 1",
}


@pytest.mark.parametrize("column", CHANGES)
def test_a_value_that_was_edited_is_named_and_repaired(lab: Lab, column: str) -> None:
    table, _, field = column.partition(".")
    change(lab, CHANGES[column])
    (result,) = differences(lab)
    assert (result["table"], result["field"]) == (table, field)
    assert result["stored"] != result["expected"]
    assert result["source"] == ("catalog" if table.startswith("ducklake") else "event_log")
    response = lab.headrace("db", "check", "--repair", "--reason", "edited by hand")
    assert (response["ok"], response["repaired"], response["differences"]) == (True, 1, [])
    assert lab.headrace("db", "check")["ok"]
    (entry,) = lab.headrace("audit", "show", "--action", "state.repaired")
    assert (entry["after"], entry["reason"]) == ({table: 1}, "edited by hand")


def test_a_row_that_was_deleted_or_added_is_named_and_repaired(lab: Lab) -> None:
    change(
        lab,
        "delete from publication where id = 3",
        "insert into firing (node, at) values ('clean', 7)",
    )
    result = {difference["table"]: difference for difference in differences(lab)}
    assert result["publication"]["stored"] is None and result["publication"]["expected"]["id"] == 3
    assert result["publication"]["field"] is None
    assert result["firing"]["expected"] is None and result["firing"]["stored"]["at"] == 7
    assert lab.headrace("db", "check", "--repair")["ok"]


def test_the_consumers_of_a_difference_are_named(lab: Lab) -> None:
    change(lab, "update publication set verdict = 'held' where node = 'orders'")
    assert {tuple(difference["consumers"]) for difference in differences(lab)} == {("sales",)}
    change(lab, "update obligation set met_at = 1")
    result = [difference for difference in differences(lab) if difference["table"] == "obligation"]
    assert all(item["consumers"] == ["sales"] for item in result)


def test_what_is_kept_by_hash_alone_is_found_and_not_repaired(lab: Lab) -> None:
    change(
        lab, "update profile set columns = columns || ' ' where n = (select min(n) from profile)"
    )
    result = differences(lab)
    assert {item["table"] for item in result} == {"profile"}
    assert all(item["expected"].startswith("sha256:") for item in result)
    lab.headrace("db", "check", "--repair", code=3)


def test_records_of_the_log_itself_are_chained(lab: Lab) -> None:
    change(lab, "delete from event_log where seq = 5")
    assert {difference["table"] for difference in differences(lab)} >= {"event_log"}


def test_an_emptied_log_is_no_new_one(lab: Lab) -> None:
    change(lab, "delete from event_log")
    assert [difference["table"] for difference in differences(lab)] == ["event_log"]
    lab.orders(DAYS[3])
    lab.tick()
    assert "event_log" in {difference["table"] for difference in differences(lab)}


@pytest.mark.long
def test_maintenance_shortens_the_log_and_what_follows_is_still_compared(lab: Lab) -> None:
    lab.headrace("db", "gc")
    response = lab.headrace("db", "check")
    assert response["ok"] and response["checked"]["publication"] == 6
    assert "ducklake_data_file" in response["checked"]
    assert lab.rows("select count(*) < 6 from event_log") == [(True,)]
    lab.orders(DAYS[3])
    lab.tick()
    assert lab.headrace("db", "check")["checked"]["publication"] == 8
    change(lab, "update publication set rows = 1 where id = 2")
    assert [(difference["table"], difference["field"]) for difference in differences(lab)] == [
        ("publication", "rows")
    ]
    before = lab.rows("select count(*) from event_log")
    lab.headrace("db", "gc", code=1)
    assert lab.rows("select count(*) from event_log") >= before, "what shows the difference is kept"


@pytest.mark.long
def test_a_checkpoint_that_was_changed_or_lost_is_found(lab: Lab) -> None:
    lab.headrace("db", "gc")
    (file,) = (lab.root / ".headrace/checkpoints").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert [(difference["table"], difference["field"]) for difference in differences(lab)] == [
        ("event_log", "checkpoint")
    ]
    file.unlink()
    assert [(difference["table"], difference["field"]) for difference in differences(lab)] == [
        ("event_log", "checkpoint")
    ]
