"""An exception that has lapsed is an incident: somebody owns it, `status` says what ends it, and
that does end it.
"""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab

ODD = DAYS[2]
AT = f"orders@{ODD}"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Three days, of which the last has an amount below 0; it is accepted for a day, and its time
    is over.
    """
    made = Lab(tmp_path / "p")
    made.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nrestate_within: 30d\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\nchecks:\n  - range: {column: amount, min: 0}\n",
    )
    made.sql("totals", "select day, sum(amount) as total from orders group by all")
    # its deadline is within the week: of one further away its owner reads in the digest
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 9d}\n"
    )
    for day in DAYS[:2]:
        made.orders(day)
    made.orders(ODD, amount="-1.50")
    made.tick()
    _command(made, "quarantine", "accept", AT, "--reason", "a refund", "--until", "1d")
    made.now += timedelta(days=2)
    made.tick()
    return made


def _command(lab: Lab, *words: str, code: int | None = 0) -> Any:
    lab.now += timedelta(minutes=1)
    return lab.headrace(*words, "--now", lab.now.isoformat(), code=code)


def _report(lab: Lab) -> dict[str, Any]:
    (result,) = lab.headrace("status")["consumers"]
    return dict(result)


def test_it_opens_the_incident_again_that_it_came_from(lab: Lab) -> None:
    """Would catch: a consumer that is wrong for ever, without an incident, an owner, or
    a message."""
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["cause"]["node"], incident["owner"]) == (
        "distribution_shift",
        "orders",
        "acme",
    )
    who = incident["timeline"][1]["by"]
    assert (
        incident["cause"]["summary"]
        == f"check range_amount fails; the exception of {who} has lapsed"
    )
    assert [line["what"].partition(":")[0] for line in incident["timeline"]] == [
        "opened",
        f"accepted as an exception by {who} until Sat 2025-01-11 12",
        "resolved",
        "opened again",
    ]
    assert f"the exception of {who} has lapsed" in incident["timeline"][-1]["what"]
    assert incident["affected"]["consumers"] == ["report"]
    result = _report(lab)
    assert (result["state"], result["incident"]) == ("wrong", incident["id"])
    assert f"exception of {who} lapsed" in result["reason"]
    titles = [
        title for (title,) in lab.rows("select title from notice where kind = 'opened' order by id")
    ]
    assert f"the exception of {who} has lapsed (again)" in titles[-1]


@pytest.mark.parametrize("how", ["status", "incident", "whole incident"])
def test_it_is_renewed_by_the_command_that_is_printed(lab: Lab, how: str) -> None:
    """Would catch: a printed command that leaves the incident open."""
    (incident,) = lab.headrace("incidents")
    command = _report(lab)["next"] if how == "status" else incident["repair"]["command"]
    words = shlex.split(command.replace("TEXT", "again").replace("--until T", "--until 7d"))[1:]
    if how == "whole incident":
        words[2] = incident["id"]
    assert _command(lab, *words)["state"] == "published"
    assert lab.headrace("incidents") == []
    assert _report(lab)["state"] == "at_risk"
    assert _report(lab)["reason"] in _command(lab, "why", "report")["verdict"], (
        "why says what status says"
    )
    assert lab.headrace("quarantine") == []


def test_a_redelivery_ends_it(lab: Lab) -> None:
    """Would catch: a correction of what was accepted that is called a vendor's restatement."""
    (incident,) = lab.headrace("incidents")
    lab.orders(ODD, amount="2.50")
    lab.tick()
    assert lab.headrace("incidents") == []
    assert _report(lab)["state"] == "served"
    assert {item["id"] for item in lab.headrace("incidents", "--all")} == {incident["id"]}


def test_what_was_made_of_it_is_wrong_until_it_is_taken_back_as_well(lab: Lab) -> None:
    """Would catch: a consumer that is served data which somebody took back, since its exception
    lapsed."""
    _command(lab, "unpublish", AT, "--reason", "no refund")
    result = _report(lab)
    assert (result["state"], result["next"]) == (
        "wrong",
        f"headrace unpublish totals@{ODD} --reason TEXT",
    )
    (incident,) = lab.headrace("incidents")
    assert incident["repair"]["command"] == result["next"]
    assert not incident["repair"]["automatic"]
    _command(lab, "unpublish", f"totals@{ODD}", "--reason", "no refund")
    assert _report(lab)["state"] != "wrong"
    assert lab.headrace("incidents") == []


@pytest.mark.long
def test_the_rows_of_availability_add_up(lab: Lab) -> None:
    """Would catch: minutes by somebody's exception that stand among the served ones."""
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '07:00'}\n"
    )
    _command(lab, "apply", "--yes")
    lab.now = datetime.fromisoformat("2025-01-15T06:00:00+00:00")
    for day in range(4, 14):  # a day that is missing would make it late
        lab.orders(f"2025-01-{day:02d}")
    lab.orders("2025-01-14", amount="-1.50")
    lab.tick()
    _command(
        lab, "quarantine", "accept", "orders@2025-01-14", "--reason", "a refund", "--until", "1d"
    )
    _command(lab, "quarantine", "accept", AT, "--reason", "a refund")
    for hour in range(1, 30):
        lab.now = datetime.fromisoformat("2025-01-15T06:05:00+00:00") + timedelta(hours=hour)
        lab.orders("2025-01-15")
        lab.tick()
    rows = lab.headrace("status", "--explain", "availability")["rows"]
    spent = sum(row["seconds"] for row in rows)
    good = sum(
        row["seconds"]
        for row in rows
        if row["state"] in ("served", "at_risk") and not row["by_exception"]
    )
    result = _report(lab)
    assert (result["state"], rows[-1]["state"], rows[-1]["by_exception"]) == (
        "wrong",
        "wrong",
        False,
    )
    assert any(row["by_exception"] for row in rows)
    assert abs(100 * good / spent - float(result["availability"]["honest"])) < 0.1


def test_until_when_it_was_accepted_is_told_as_elsewhere(lab: Lab) -> None:
    """Would catch: another way to write a time in quarantine than in the timeline of
    the incident."""
    (row,) = lab.headrace("quarantine", AT)
    until = datetime.fromisoformat(row["at"])
    said = f" until {until:%a %Y-%m-%d %H:%M}"
    assert said in row["reason"]
    (incident,) = lab.headrace("incidents")
    assert any(said in line["what"] for line in incident["timeline"])
