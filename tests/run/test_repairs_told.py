"""Messages to people propose the repair that the incident's page proposes, and no other."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, ORDERS, SETTINGS, Lab

SOURCE = "source: orders\nowner: acme\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
OWNERS = (
    "core: {kind: team, contact: ['mailto:core@example.com']}\n"
    "acme: {kind: vendor, contact: ['mailto:acme@example.com'], tell: true}\n"
)  # fmt: skip
FAILS = "select day, error('no') as total from orders group by all"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A day that was published, with a consumer and people who are written to."""
    made = Lab(tmp_path / "p")
    made.write("headrace.toml", SETTINGS + '[notify.mail]\nurl = "file:outbox"\n')
    made.write("owners.yaml", OWNERS)
    made.write("sources/orders.yaml", SOURCE)
    made.sql("totals", "select day, sum(amount) as total from orders group by all")
    made.write("consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 400d}\n")
    made.orders(DAYS[0])
    made.tick()
    return made


def dropped_column(lab: Lab) -> None:
    lab.deliver(DAYS[1], [f"{n},c{n},{DAYS[1]}" for n in range(10)], "order_id,customer,day")


def type_change(lab: Lab) -> None:
    lab.orders(DAYS[1], amount="n/a")


def code_error(lab: Lab) -> None:
    lab.orders(DAYS[1])
    lab.sql("totals", FAILS)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())


def told(lab: Lab) -> set[str]:
    """The lines about the repair, of all messages about open incidents."""
    bodies = [str(body) for (body,) in lab.rows("select body from notice where kind = 'opened' order by id")]
    assert bodies
    return {line.removeprefix("Repair: ") for body in bodies for line in body.splitlines() if line.startswith("Repair: ")}


@pytest.mark.parametrize("fault", [dropped_column, type_change, code_error])
def test_a_message_proposes_what_the_page_does(lab: Lab, fault: Any) -> None:
    """Would catch: mail that names `headrace fix` where that answers that only a person can repair it."""
    lab.now += timedelta(minutes=1)
    fault(lab)
    lab.tick()
    (incident,) = lab.headrace("incidents")
    repair = incident["repair"]
    assert repair["first"] is not None
    assert told(lab) == {f"{repair['first']}, then {repair['command']}"}
    lab.headrace("fix", incident["id"], "--dry-run", code=3)


def test_a_rename_is_repaired_by_fix(lab: Lab) -> None:
    """Would catch: mail that doesn't name the one command that repairs it."""
    lab.now += timedelta(minutes=1)
    header = ORDERS[0].replace("amount", "amount_eur")
    lab.deliver(DAYS[1], [f"{n},c{n},1.50,{DAYS[1]}" for n in range(10)], header)
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert incident["repair"]["first"] is None
    assert told(lab) == {f"headrace fix {incident['id']}"}
    lab.headrace("fix", incident["id"], "--dry-run")
