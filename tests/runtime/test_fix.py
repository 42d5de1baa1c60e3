"""An incident is repaired by one command: planned first, then done as one; and where only a person
can help, that is said.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from runlab import Lab

from headrace.model import Refused
from headrace.project.session import Silent
from headrace.responses.repairs import FixResponse
from headrace.services.fix import fix

OLD = "order_id,customer,amount,day"
NEW = "order_id,client_name,total_amount,day"
DAYS = [f"2025-01-{d:02d}" for d in range(1, 10)]
"""All that were due when the lab's clock stands still."""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.sql("totals", "select day, customer, sum(amount) as total from orders group by all")
    made.sql("twice", "select day, 2 * total as total from totals")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [twice], due: '09:00'}\n"
    )
    for day in DAYS[:-2]:
        made.deliver(day, rows(day), OLD)
    made.now, now = made.now - timedelta(days=2, hours=4), made.now
    made.tick()
    made.now = now
    return made


def rows(day: str) -> list[str]:
    return [f"{day[-2:]}{i},c{i % 3},{1.5 + i % 5},{day}" for i in range(30)]


def test_a_rename_is_repaired_as_one(lab: Lab) -> None:
    """Catches: a plan that forgets what is held, or that writes; a repair that publishes a part;
    one that is done twice, or isn't in the incident's timeline; an incident that stays open over
    data that is right."""
    for day in DAYS[-2:]:
        lab.deliver(day, rows(day), NEW)
    assert lab.headrace("tick")["incidents_opened"] == ["INC-1"]

    planned = _fix(lab, dry_run=True)
    assert [(step.act, step.what) for step in planned.steps] == [
        ("map", "contracts/orders.odcs.yaml"),
        ("read", "orders"),
        ("build", "2 assets"),
        ("publish", "atomically"),
    ]
    assert planned.steps[1].text == "2 partitions, 60 rows"
    assert planned.steps[2].text.startswith("4 partitions")
    assert not (lab.root / "contracts").exists()
    assert _fix(lab, agreed=False).fix == "declined"
    assert lab.rows("select count(*) from plan") == [(0,)]

    done = _fix(lab)
    assert (done.fix, done.state) == ("done", "resolved")
    assert done.backfill is not None and done.waited_seconds is not None
    assert (done.backfill.state, done.backfill.published) == ("succeeded", 6)
    assert [line.by for line in done.timeline if line.what.startswith("repair begun")] == [
        lab.session().actor
    ]
    result = lab.headrace(
        "sql", "select day, sum(total) as total from twice group by all order by all"
    )["rows"]
    assert [row["total"] for row in result] == [210.0] * len(DAYS)
    assert _fix(lab).steps == []
    assert lab.rows("select count(*) from plan") == [(1,)]


def test_what_a_machine_cannot_decide_is_said(lab: Lab) -> None:
    """Catches: a repair that accepts whatever a vendor sends, and one that says nothing of what to
    do.
    """
    for day in DAYS[-2:]:
        lab.deliver(
            day,
            [line.rpartition(",")[0].rpartition(",")[0] + f",{day}" for line in rows(day)],
            "order_id,customer,day",
        )
    lab.headrace("tick")
    with pytest.raises(Refused) as refused:
        _fix(lab)
    assert "INC-1 isn't a machine's to repair: ask acme" in str(refused.value)
    assert "or accept them as exceptions (headrace quarantine accept INC-1 --reason TEXT)" in str(
        refused.value
    )
    assert "headrace tick" in (refused.value.hint or "")


def test_a_held_delivery_can_be_accepted_wherever_its_repair_is_told(lab: Lab) -> None:
    """Catches: a wait that somebody "could have ended", and an incident that names no command with
    which.
    """
    day = DAYS[-1]
    lab.deliver(
        day,
        [line.rpartition(",")[0].rpartition(",")[0] + f",{day}" for line in rows(day)],
        "order_id,customer,day",
    )
    accept = f"or accept it as an exception (headrace quarantine accept orders@{day} --reason TEXT)"
    assert [accept in row["first"] for row in lab.headrace("tick")["repairs"]] == [True]
    (incident,) = lab.headrace("incidents")
    assert accept in incident["repair"]["first"]
    with pytest.raises(Refused, match="or accept it as an exception"):
        _fix(lab)
    (waiting,) = lab.headrace("quarantine")
    assert accept in waiting["todo"]


def test_what_comes_out_the_same_is_not_made_again(lab: Lab) -> None:
    """Catches: a repair that makes what a vendor's data spoils again, to the same end, and says
    that it is done."""
    lab.headrace("incidents", "report", "orders", "--from", DAYS[2], "--reason", "amounts in cents")
    with pytest.raises(Refused) as refused:
        _fix(lab)
    assert "ask acme for the file as it was agreed" in str(refused.value)
    (row,) = lab.headrace("incidents")
    first = row["repair"]["first"]
    assert row["repair"] == {
        "command": "headrace tick",
        "automatic": False,
        "first": first,
        "note": None,
        "same": False,
        "expected_at": None,
        "commands": ["headrace tick"],
        "text": first,
    }
    assert first.startswith("ask acme") and "accept" not in first


def _fix(lab: Lab, *, dry_run: bool = False, agreed: bool = True) -> FixResponse:
    return fix(lab.session(), "INC-1", dry_run=dry_run, confirm=lambda _: agreed, progress=Silent())


@pytest.mark.long
def test_what_reads_an_asset_that_is_retried_is_computed(tmp_path: Path) -> None:
    """Would catch: "INC-1 resolved", and a report that only the next pass computes."""
    lab = Lab(tmp_path / "p")
    secret = lab.root / "secret"
    body = (
        "def clean(ctx: Context, orders):\n"
        "    from pathlib import Path\n"
        f"    if not Path({str(secret)!r}).exists():\n"
        "        raise PermissionError(13, 'Permission denied')\n"
        "    return orders"
    )
    lab.python("clean", body, partition={"by": "day", "column": "day"})
    lab.sql("totals", "select day, sum(amount) as total from clean group by all")
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '07:00'}\n"
    )
    secret.touch()
    for day in DAYS:
        if day == DAYS[-1]:
            secret.unlink()
        lab.orders(day)
        lab.now = datetime.fromisoformat(f"{day}T05:00:00+00:00") + timedelta(days=1)
        lab.tick()
    (row,) = lab.headrace("incidents", "--now", "2025-01-10T05:10+00:00")
    assert (row["cause"]["kind"], row["repair"]["commands"]) == (
        "access_denied",
        [f"headrace fix {row['id']}"],
    )
    secret.touch()
    assert (
        lab.headrace("fix", row["id"], "--yes", "--now", "2025-01-10T05:20+00:00")["fix"] == "done"
    )
    (report,) = lab.headrace("status", "--now", "2025-01-10T05:30+00:00")["consumers"]
    assert report["data_through"] == DAYS[-1]
