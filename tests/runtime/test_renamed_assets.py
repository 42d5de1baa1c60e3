"""What is known of an asset under its former name counts under the new one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from runlab import DAYS, Lab

PARTITIONED = "partition: {by: day, column: day}"
CHECKED = PARTITIONED + "\nchecks:\n  - row_count: {min: 2}"
CLEAN = "select order_id, amount, day from orders"
TOTAL = "select day, sum(amount) as total from {} group by day"


def rename(lab: Lab, front: str = CHECKED) -> None:
    (lab.root / "assets/clean.sql").unlink()
    lab.sql("cleaned", CLEAN, f"{front}\nrenamed_from: clean")
    lab.sql("total", TOTAL.format("cleaned"))


def reading(lab: Lab, asset: str) -> None:
    lab.write(
        "consumers.yaml",
        f"- {{consumer: report, owner: core, reads: [{asset}], per: day, due: '06:00'}}\n",
    )


@pytest.fixture
def held(lab: Lab) -> Lab:
    """Two days, the second of which a check of `clean` rejects: an incident is open."""
    lab.sql("clean", CLEAN, CHECKED)
    lab.sql("total", TOTAL.format("clean"))
    reading(lab, "total")
    lab.orders(DAYS[0])
    lab.tick()
    lab.orders(DAYS[1], n=1)
    lab.tick()
    return lab


def incidents(lab: Lab) -> list[dict[str, Any]]:
    response = lab.headrace("incidents", "--all")
    return [
        {"id": item["id"], "state": item["state"]}
        | {key: item["cause"][key] for key in ("kind", "node")}
        for item in response
    ]


@pytest.mark.long
def test_an_incident_stays_open_until_the_renamed_asset_is_right(held: Lab) -> None:
    """Would catch: an incident that counts as restored because its asset has another name, while
    its partition is still rejected; a second one of the same cause."""
    (before,) = incidents(held)
    assert (before["state"], before["node"]) == ("open", "clean")
    rename(held)
    assert held.headrace("apply", "--yes")["state"] == "applied"
    held.tick()
    assert incidents(held) == [{**before, "node": "cleaned"}]
    shown = held.headrace("incident", before["id"])
    assert "the asset clean was renamed: it is cleaned from now on" in [
        line["what"] for line in shown["timeline"]
    ]
    held.orders(DAYS[1])
    held.tick()
    (after,) = [item for item in incidents(held) if item["node"] == "cleaned"]
    assert (after["state"], after["id"]) == ("resolved", before["id"])

    held.orders(DAYS[2], n=1)
    held.tick()
    assert {**before, "node": "cleaned"} in incidents(held), "the same within 7 days reopens"


def test_nothing_in_the_state_is_left_under_the_former_name(held: Lab) -> None:
    held.headrace("pause", "clean", "--reason", "later")
    held.headrace("resume", "clean", "--reason", "now")
    held.headrace("read", "clean")
    held.tick()
    rename(held, PARTITIONED)
    held.headrace("apply", "--yes")
    named = [
        table
        for (table,) in held.rows(
            "select m.name from sqlite_master m where m.type = 'table' and exists (select 1 from"
            " pragma_table_info(m.name) where name = 'node')"
        )
        if held.rows(f"select 1 from {table} where node = 'clean'")
    ]
    assert named == []
    for table in ("pause_past", "usage", "weakened", "evidence", "incident", "incident_said"):
        assert held.rows(f"select 1 from {table} where node = 'cleaned'"), table


def test_a_pause_and_its_evidence_go_on_under_the_new_name(any_lab: Lab) -> None:
    lab = any_lab
    lab.sql("clean", CLEAN)
    lab.sql("total", TOTAL.format("clean"))
    reading(lab, "total")
    lab.orders(DAYS[0])
    lab.tick()
    lab.headrace("pause", "clean", "--reason", "looked at")
    lab.orders(DAYS[1])
    lab.tick()
    before = incidents(lab)
    rename(lab, PARTITIONED)
    lab.headrace("apply", "--yes")
    lab.tick()
    assert incidents(lab) == [{**item, "node": "cleaned"} for item in before]
    ids = "select id from evidence where ended_at is null and id like 'act:%'"
    assert all(id_.startswith("act:paused:cleaned@") for (id_,) in lab.rows(ids))


def test_the_past_of_a_promise_is_what_it_was_before_the_rename(lab: Lab) -> None:
    """Would catch: a promise of before that reads a name under which nothing was published."""
    lab.sql("clean", CLEAN)
    reading(lab, "clean")
    lab.orders(DAYS[0])
    lab.tick()
    (lab.root / "assets/clean.sql").unlink()
    lab.sql("cleaned", CLEAN, f"{PARTITIONED}\nrenamed_from: clean")
    reading(lab, "cleaned")
    lab.headrace("apply", "--yes")
    terms = [msgspec.json.decode(text) for (text,) in lab.rows("select terms from promise")]
    assert [each["reads"] for each in terms] == [["cleaned"], ["cleaned"]]


def test_a_name_with_a_history_is_refused(lab: Lab) -> None:
    """Would catch: two assets whose pauses, reads or incidents are counted as those of one."""
    lab.sql("clean", CLEAN)
    lab.sql("cleaned", CLEAN)
    lab.orders(DAYS[0])
    lab.headrace("apply", "--yes")
    lab.headrace("pause", "cleaned", "--reason", "looked at")
    (lab.root / "assets/cleaned.sql").unlink()
    lab.headrace("apply", "--yes")
    (lab.root / "assets/clean.sql").unlink()
    lab.sql("cleaned", CLEAN, f"{PARTITIONED}\nrenamed_from: clean")
    lab.headrace("apply", "--yes", code=1)
    assert lab.rows("select node from pause") == [("cleaned",)]
    assert lab.rows("select count(*) from version") == [(2,)]
