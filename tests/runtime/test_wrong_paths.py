"""Looks that were made where the project itself sent them say nothing of when the
vendor delivered."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from runlab import Lab

from headrace.ledger.claims import ELSEWHERE

RIGHT = "landing/orders_{date:%Y-%m-%d}.csv"
WRONG = "landing/order_{date:%Y-%m-%d}.csv"


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2025-01-{text}+00:00")


def declare(lab: Lab, files: str) -> None:
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nexpect: {by: '05:00'}\nrestate_within:"
        f" 30d\nfiles: {files}\n",
    )


def deliver(lab: Lab, day: str) -> None:
    lab.deliver(day, [f"{i},c{i % 3},{1.5 + i % 5},{day}" for i in range(30)])
    came = (datetime.fromisoformat(f"{day}T01:00:00+00:00") + timedelta(days=1)).timestamp()
    os.utime(lab.root / f"landing/orders_{day}.csv", (came, came))


def tick(lab: Lab, text: str) -> None:
    lab.headrace("tick", "--now", at(text).isoformat())


@pytest.mark.long
def test_a_delivery_that_a_wrong_path_hid_came_when_its_file_says(tmp_path: Path) -> None:
    """Would catch: "delivered 3 h to 5 h later than agreed" of a file that was there at 01:00,
    while the project's own `files:` sent the looks elsewhere until 10:00; and two hours of them put
    to Headrace."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "owners.yaml",
        "core: {kind: team}\nacme: {kind: vendor, manager: core}\ndesk: {kind: team}\n",
    )
    lab.write("consumers.yaml", "- {consumer: report, owner: desk, reads: [clean], due: '07:00'}\n")
    lab.sql("clean", "select * from orders")
    declare(lab, RIGHT)
    for day in range(1, 5):
        deliver(lab, f"2025-01-{day:02d}")
        tick(lab, f"{day + 1:02d}T01:05:00")
        tick(lab, f"{day + 1:02d}T06:05:00")
    declare(lab, WRONG)
    lab.headrace("apply", "--yes", "--now", at("05T10:00:00").isoformat())
    deliver(lab, "2025-01-05")
    for text in ("06T01:05:00", "06T05:30:00", "06T08:00:00"):
        tick(lab, text)
    (wrong,) = lab.headrace("incidents")
    assert wrong["repair"]["first"] == "correct sources/orders.yaml:1"
    declare(lab, RIGHT)
    lab.headrace("apply", "--yes", "--now", at("06T10:00:00").isoformat())
    (corrected,) = lab.headrace("incidents")
    assert (corrected["repair"]["first"], corrected["repair"]["command"]) == (
        None,
        f"headrace fix {wrong['id']}",
    )
    tick(lab, "06T10:00:30")
    now = ("--now", at("06T10:10:00").isoformat())

    newest = lab.headrace("deliveries", "orders", *now)[0]
    assert (newest["partition"], newest["at"]) == ("2025-01-05", "2025-01-06T01:00:00Z")
    (incident,) = lab.headrace("incidents", "--all", *now)
    assert incident["cause"]["kind"] == "configuration_error"
    assert "delivered at Mon 2025-01-06 01:00" in incident["ended"]
    told = lab.headrace("why", "report@2025-01-05", *now)
    first, second, third = told["segments"][:3]
    assert (first["kind"], first["note"]) == ("source", "delivered, as agreed")
    assert (second["kind"], second["incident"], second["note"]) == ("hold", "INC-1", ELSEWHERE)
    assert third["kind"] == "detection" and third["seconds"] < 60
    largest = told["shares"][0]
    assert (largest["owner"], round(largest["seconds"] / 3600)) == ("core", 9)


def test_a_delivery_that_came_to_a_new_place_before_it_was_declared(tmp_path: Path) -> None:
    """Would catch: the time until the project declares where the vendor delivers now put to the
    vendor, although no deadline had passed and no incident says whose it was."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "owners.yaml",
        "core: {kind: team}\nacme: {kind: vendor, manager: core}\ndesk: {kind: team}\n",
    )
    lab.sql("clean", "select * from orders")
    declare(lab, WRONG)
    deliver(lab, "2025-01-01")
    tick(lab, "02T02:00:00")
    declare(lab, RIGHT)
    lab.headrace("apply", "--yes", "--now", at("02T04:00:00").isoformat())
    tick(lab, "02T04:00:30")
    told = lab.headrace("why", "clean@2025-01-01", "--now", at("02T04:10:00").isoformat())
    kinds = [(item["kind"], item["note"], item["decider"]) for item in told["segments"][:2]]
    assert kinds == [("source", "delivered, as agreed", None), ("hold", ELSEWHERE, "core")]
