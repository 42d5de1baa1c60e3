"""What is held of a history that was loaded at once: one list, not an incident per kind
and column.
"""

from __future__ import annotations

import random
import shlex
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from runlab import SETTINGS, Lab

SEED = 7
FIRST = date(2023, 1, 1)
DAYS = [(FIRST + timedelta(at)).isoformat() for at in range(42)]
HISTORY, LATER = DAYS[:40], DAYS[40]
NULLS, ROWS = (DAYS[33], DAYS[36]), (DAYS[34], DAYS[38])
BAD = sorted((*NULLS, *ROWS))


def rows(day: str) -> list[str]:
    """A day of about 100 orders, the same whenever it is asked for."""
    dice = random.Random(f"{SEED} {day}")
    n = dice.randint(95, 105) * (40 if day in ROWS else 1)
    null = (*NULLS, LATER)
    return [
        f"{day}-{at},{'' if day in null and at % 2 else f'{dice.lognormvariate(3, 0.4):.2f}'},{day}"
        for at in range(n)
    ]


def decide(lab: Lab, act: str, day: str) -> None:
    now = lab.now.isoformat()
    lab.headrace("quarantine", act, f"orders@{day}", "--reason", "seen", "--now", now)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.sql("totals", "select day, sum(amount) as total, count(id) as n from orders group by all")
    for day in HISTORY:
        made.deliver(day, rows(day), "id,amount,day")
    made.now = datetime.fromisoformat(f"{HISTORY[-1]}T06:00:00+00:00") + timedelta(1)
    return made


@pytest.mark.long
def test_held_days_of_a_history_are_one_incident(lab: Lab) -> None:
    """Would catch: an incident or a repair for each kind and column of an adopter's history; a list
    that misses a day, that says too much after a decision, or that outlives the last one; a bad day
    that arrives later and disappears in the list."""
    loaded = lab.tick()
    states = dict(lab.rows("select partition, state from partition where node = 'orders'"))
    assert sorted(day for day, state in states.items() if state != "published") == BAD, SEED

    (item,) = lab.headrace("incidents")
    assert loaded.incidents_opened == [item["id"]]
    assert sorted(item["affected"]["partitions"]) == BAD
    said = item["cause"]["summary"]
    assert said.startswith("4 of 40 intervals of history held: ")
    assert "null_spike in amount (2)" in said
    assert "volume_anomaly (2)" in said

    (repair,) = loaded.repairs
    assert (repair.partitions, repair.commands) == (BAD, ["headrace quarantine orders"])
    assert repair.first is not None
    assert said in repair.first
    assert item["repair"]["command"] == repair.commands[0]
    waiting = lab.headrace(*shlex.split(repair.commands[0])[1:])
    assert sorted(row["partition"] for row in waiting) == BAD

    lab.now += timedelta(1)
    lab.deliver(LATER, rows(LATER), "id,amount,day")
    later = lab.tick()
    result = {row["id"]: row for row in lab.headrace("incidents")}
    assert len(result) == 2
    (own,) = later.incidents_opened
    assert result[own]["affected"]["partitions"] == [LATER]
    assert result[own]["cause"]["kind"] == "null_spike"
    assert "history" not in result[own]["cause"]["summary"]
    assert sorted(result[item["id"]]["affected"]["partitions"]) == BAD

    decisions = zip((3, 2, 1, 0), BAD, ("accept", "drop", "drop", "accept"), strict=True)
    for left, day, act in decisions:
        lab.now += timedelta(minutes=1)
        decide(lab, act, day)
        lab.tick()
        still = {row["id"]: row for row in lab.headrace("incidents")}
        assert (item["id"] in still) == (left > 0), (day, act)
        assert own in still
        if left:
            assert still[item["id"]]["cause"]["summary"].startswith(f"{left} of 40 "), (day, act)


@pytest.mark.long
def test_people_are_written_to_once_about_a_history(lab: Lab) -> None:
    """Would catch: a message for each kind, or another one with each decision."""
    lab.write(
        "owners.yaml",
        "core: {kind: team, contact: ['mailto:core@example.com']}\n"
        "acme: {kind: vendor, contact: ['mailto:acme@example.com'], tell: true}\n",
    )
    lab.write("headrace.toml", SETTINGS + '[notify.mail]\nurl = "file:outbox"\n')
    lab.tick()
    told = lab.rows("select channel, kind from notice where incident_id is not null")
    assert told == [("mailto:acme@example.com", "opened")]
    lab.now += timedelta(minutes=1)
    decide(lab, "drop", BAD[0])
    lab.tick()
    assert lab.rows("select channel, kind from notice where incident_id is not null") == told


def test_a_few_days_at_once_are_no_history(tmp_path: Path) -> None:
    """Would catch: a project that begins with a week whose bad days open no incident of
    their own.
    """
    lab = Lab(tmp_path / "p")
    lab.sql("totals", "select day, sum(amount) as total, count(id) as n from orders group by all")
    for day in DAYS[:5]:
        lab.deliver(day, rows(day), "id,amount,day")
    lab.now = datetime.fromisoformat(f"{DAYS[5]}T06:00:00+00:00")
    lab.deliver(DAYS[5], [], "id,client,day")
    lab.tick()
    assert all("history" not in row["cause"]["summary"] for row in lab.headrace("incidents"))


@pytest.mark.long
@pytest.mark.parametrize("size", ["header", "nothing"])
def test_an_empty_delivery_is_a_volume_anomaly(tmp_path: Path, size: str) -> None:
    """Would catch: an incident of unknown cause for the delivery that the documentation names."""
    lab = Lab(tmp_path / "p")
    lab.sql("totals", "select day, sum(amount) as total, count(id) as n from orders group by all")
    for day in DAYS[:5]:
        lab.deliver(day, rows(day), "id,amount,day")
    lab.now = datetime.fromisoformat(f"{DAYS[5]}T06:00:00+00:00")
    lab.tick()
    lab.now += timedelta(1)
    lab.deliver(DAYS[5], [], "id,amount,day")
    if size == "nothing":
        (lab.root / f"landing/orders_{DAYS[5]}.csv").write_bytes(b"")
    lab.tick()
    (cause,) = [row["cause"] for row in lab.headrace("incidents")]
    assert (cause["kind"], cause["detail"]) == ("volume_anomaly", "empty file")
    assert cause["certainty"] == "established"
    assert "unknown" not in cause["summary"]
    state = "held" if size == "header" else "rejected"
    assert f"1 {state} partition" in lab.headrace("status")["headline"]


@pytest.mark.long
def test_an_empty_day_of_a_history_has_its_kind_in_the_list(lab: Lab) -> None:
    """Would catch: `unknown (1)` in the list of what a history's held days are."""
    lab.deliver(DAYS[20], [], "id,amount,day")
    lab.tick()
    (item,) = lab.headrace("incidents")
    assert "volume_anomaly (3)" in item["cause"]["summary"]
    assert "unknown" not in item["cause"]["summary"]
