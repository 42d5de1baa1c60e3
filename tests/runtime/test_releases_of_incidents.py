"""Releases of what an incident holds: all of its partitions at once, or one with a word about the
others.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from runlab import DAYS, Lab

HEADER = "order_id,customer,amount,day"
HELD = DAYS[1:7]
HISTORY = [(date(2024, 12, 20) + timedelta(at)).isoformat() for at in range(20)]
TWICE, RENAMED, FEW = "2025-01-02", "2025-01-04", "2025-01-06"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Six days without the column that the totals are made of."""
    made = Lab(tmp_path / "p")
    made.sql("totals", "select day, sum(amount) as total from orders group by all")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 400d}\n"
    )
    made.deliver(DAYS[0], [f"1{n},c{n},{n}.5,{DAYS[0]}" for n in range(12)], HEADER)
    made.tick()
    for day in HELD:
        rows = [f"1{day[-2:]}{n},c{n},{day}" for n in range(12)]
        made.deliver(day, rows, HEADER.replace(",amount", ""))
    made.tick()
    return made


def states(lab: Lab) -> list[str]:
    rows = lab.rows("select state from partition where node = 'orders' order by partition")
    return [state for (state,) in rows]


@pytest.mark.long
def test_a_release_of_an_incident_releases_all_of_it(lab: Lab) -> None:
    """Would catch: one of six partitions released, and five that wait on without a word."""
    (incident,) = lab.headrace("incidents")
    assert incident["affected"]["partitions"] == HELD
    assert states(lab) == ["published", *["held"] * 6]
    result = lab.headrace("quarantine", "accept", incident["id"], "--reason", "it isn't known")
    assert (result["state"], result["partitions"], result["still_waiting"]) == (
        "published",
        HELD,
        [],
    )
    assert states(lab) == ["published"] * 7
    assert lab.headrace("quarantine") == []
    refused = lab.headrace("quarantine", "accept", incident["id"], "--reason", "again", code=None)
    assert refused is None or refused.get("error")
    entries = lab.headrace("audit", "show", "--limit", "50")
    decisions = [entry for entry in entries if "quarantine" in entry["action"]]
    assert len(decisions) == 6  # each partition has its own


def test_a_release_of_one_names_the_others(lab: Lab) -> None:
    """Would catch: five partitions that wait on and are told of nowhere; a next command
    that fails."""
    (incident,) = lab.headrace("incidents")
    reason = "it isn't known; see the vendor's note"
    result = lab.headrace("quarantine", "accept", f"orders@{HELD[2]}", "--reason", reason)
    assert result["still_waiting"] == [f"orders@{day}" for day in HELD if day != HELD[2]]
    assert incident["id"] in result["next"]
    dropped = lab.headrace("quarantine", "drop", incident["id"], "--reason", "not any more")
    assert (dropped["state"], len(dropped["partitions"])) == ("dropped", 5)
    assert lab.headrace("quarantine") == []


def test_what_was_accepted_is_reported_where_another_partition_fails(tmp_path: Path) -> None:
    """Would catch: one of three partitions published, and an answer that says nothing of it."""
    lab = Lab(tmp_path / "p")
    source = (
        "source: orders\nowner: acme\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
    )
    lab.write("sources/orders.yaml", f"{source}checks:\n  - range: {{column: amount, min: 0}}\n")
    lab.orders(DAYS[0])
    for day in DAYS[1:4]:
        lab.orders(day, amount="-1.50")
    lab.tick()
    (incident,) = lab.headrace("incidents")
    gone = lab.headrace("quarantine", f"orders@{DAYS[2]}")[0]["path"]
    (lab.root / gone).unlink()
    result = lab.headrace("quarantine", "accept", incident["id"], "--reason", "refunds", code=1)
    assert (result["state"], result["partitions"]) == ("partial", [DAYS[1], DAYS[3]])
    (failed,) = result["undecided"]
    assert (failed["partition"], result["still_waiting"]) == (
        f"orders@{DAYS[2]}",
        [f"orders@{DAYS[2]}"],
    )
    assert "isn't there any more" in failed["reason"]
    assert result["next"] == f"headrace quarantine orders@{DAYS[2]}"
    assert [row["partition"] for row in lab.headrace("quarantine")] == [DAYS[2]]


@pytest.fixture
def several(tmp_path: Path) -> Lab:
    """A history of 20 days: one has each row twice, one another name for its amounts,
    one few rows.
    """
    made = Lab(tmp_path / "p")
    made.sql("totals", "select day, sum(amount) as total from orders group by all")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 400d}\n"
    )
    for day in HISTORY:
        rows = [f"1{day[-2:]}{n},c{n % 3},{1.5 + n % 7},{day}" for n in range(24)]
        header = HEADER.replace("amount", "amount_no") if day == RENAMED else HEADER
        made.deliver(day, rows * 2 if day == TWICE else rows[:3] if day == FEW else rows, header)
    made.tick()
    return made


@pytest.mark.long
def test_each_is_released_as_the_table_is_after_the_others(several: Lab) -> None:
    """Would catch: a delivery that can't be accepted any more, whatever is typed, because another
    one gave the table a column.
    """
    lab = several
    assert [row["partition"] for row in lab.headrace("quarantine", "orders")] == [
        TWICE,
        RENAMED,
        FEW,
    ]
    for day in (RENAMED, FEW, TWICE):
        result = lab.headrace(
            "quarantine", "accept", f"orders@{day}", "--reason", "that is all there was"
        )
        assert (result["state"], result["partitions"]) == ("published", [day]), result
    assert lab.headrace("quarantine") == []
    assert {row["day"]: row["total"] is None for row in lab.read("totals")} == {
        day: day == RENAMED for day in HISTORY
    }
    assert (
        len(lab.read("orders")) == 24 * 18 + 48 + 3
    )  # 17 sound days, the renamed one, and the others as they came


@pytest.mark.long
def test_what_was_accepted_of_a_history_is_no_other_incident(several: Lab) -> None:
    """Would catch: a second incident, "found 5 days later", of a delivery that the first one names
    and that somebody has accepted, because it was ingested once more; one that says that an
    interval is held, when none is."""
    lab = several
    (incident,) = lab.headrace("incidents")
    for day, left in ((RENAMED, 2), (FEW, 1)):
        lab.headrace("quarantine", "accept", f"orders@{day}", "--reason", "that is all there was")
        (still,) = lab.headrace("incidents")
        assert (still["id"], still["cause"]["summary"].partition(" ")[0]) == (
            incident["id"],
            str(left),
        )
    lab.headrace("quarantine", "accept", f"orders@{TWICE}", "--reason", "that is all there was")
    lab.tick()
    (over,) = lab.headrace("incidents", "--all")
    assert (over["id"], over["state"]) == (incident["id"], "resolved")
    assert over["ended"].startswith("Accepted as an exception by "), over["ended"]


@pytest.mark.long
def test_a_release_of_several_leaves_names_undecided(several: Lab) -> None:
    """Would catch: a delivery whose column has another name published without its values, because
    it waits beside others; and those others refused because of it."""
    lab = several
    (incident,) = lab.headrace("incidents")
    rows = {row["partition"]: row["decide"] for row in lab.headrace("quarantine", "orders")}
    of_all = f"headrace quarantine accept {incident['id']} --reason TEXT"
    assert {day: of_all in decide for day, decide in rows.items()} == {
        TWICE: True,
        RENAMED: False,
        FEW: True,
    }
    result = lab.headrace(
        "quarantine", "accept", incident["id"], "--reason", "that is all there was", code=1
    )
    assert (result["state"], result["partitions"]) == ("partial", [TWICE, FEW])
    (left,) = result["undecided"]
    assert (left["partition"], left["hint"]) == (
        f"orders@{RENAMED}",
        f"headrace contract accept orders@{RENAMED}",
    )
    assert (result["still_waiting"], result["next"]) == ([f"orders@{RENAMED}"], left["hint"])
    (waits,) = lab.headrace("quarantine", "orders")
    assert waits["decide"] == [f"headrace quarantine drop orders@{RENAMED} --reason TEXT"]
    reread = lab.headrace("contract", "accept", f"orders@{RENAMED}")["reread"]
    assert reread == [RENAMED, *(day for day in HISTORY if day > RENAMED and day != FEW)], (
        "what somebody has accepted stays accepted"
    )
    lab.tick()
    assert lab.headrace("quarantine") == []
    assert lab.headrace("incidents") == []
    assert {row["total"] is None for row in lab.read("totals")} == {False}


def test_a_release_of_one_proposes_what_can_be_done_about_the_others(several: Lab) -> None:
    """Would catch: "quarantine accept INC-1" as the next command where nothing is left that it can
    accept.
    """
    lab = several
    (incident,) = lab.headrace("incidents")
    first = lab.headrace("quarantine", "accept", f"orders@{TWICE}", "--reason", "right")
    assert first["next"] == f"headrace quarantine accept {incident['id']} --reason right"
    second = lab.headrace("quarantine", "accept", f"orders@{FEW}", "--reason", "right")
    assert (second["still_waiting"], second["next"]) == (
        [f"orders@{RENAMED}"],
        f"headrace contract accept orders@{RENAMED}",
    )
