"""Which steps of an `apply` policy wants approved: what computes more again than
`backfill_approval` lets through."""

from __future__ import annotations

import subprocess

import pytest
from runlab import DAYS, Lab

from headrace.project.session import Silent
from headrace.repairs.backfill_planning import BackfillArguments
from headrace.services.backfills import backfill

SETTINGS = '[project]\nname = "lab"\ntimezone = "UTC"\n[run]\nworkers = 1\n'
RULE = '[policy]\nbackfill_approval = "{}"\n'
BODY = "select order_id, amount * {} as amount, day from orders"


def lab_of(lab: Lab, rule: str) -> Lab:
    """Two days are published of `clean`, and of `total`, which reads it."""
    lab.write("headrace.toml", SETTINGS + RULE.format(rule))
    lab.sql("clean", BODY.format(1))
    lab.sql("total", "select day, sum(amount) as total from clean group by day")
    for day in DAYS[:2]:
        lab.orders(day)
    lab.tick()
    return lab


@pytest.mark.long
@pytest.mark.parametrize(
    ("rule", "needed"),
    [
        ("partitions > 3", True),
        ("partitions > 4", False),
        ("tag:regulated", False),
    ],
)
def test_a_step_says_whether_computing_it_again_needs_an_approval(
    sqlite_lab: Lab, rule: str, needed: bool
) -> None:
    """Would catch: a plan that says that nothing needs an approval, followed by a backfill that
    waits for one. Two days of two assets are four partitions."""
    lab = lab_of(sqlite_lab, rule)
    lab.sql("clean", BODY.format(2))
    planned = lab.headrace("plan")
    steps = {row["kind"]: row["needs_approval"] for row in planned["steps"]}
    assert steps == {"declare": False, "invalidate": needed}
    shown_to_people = subprocess.run(
        [*lab.command("plan")[:-3], *lab.command("plan")[-2:]],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ("recomputing clean needs an approval" in shown_to_people) is needed
    (again,) = planned["backfills"]
    assert lab.headrace("apply", planned["plan_id"], "--yes")["state"] == "applied"
    (kept,) = lab.headrace("versions", "2")
    assert kept["plan_id"] == planned["plan_id"]
    shown = backfill(
        lab.session(),
        BackfillArguments(
            again["select"], [], again["from"], again["to"], None, again["mode"], "x"
        ),
        dry_run=True,
        confirm=lambda _: False,
        progress=Silent(),
    )
    assert (shown.partitions_total, shown.needs_approval) == (4, needed)


def test_what_the_next_run_would_compute_unasked_is_refused_instead(sqlite_lab: Lab) -> None:
    """Would catch: a rule that backfills and runs obey, and that changing how a table is built
    walks around."""
    lab = lab_of(sqlite_lab, "partitions > 1")
    merged = "partition: {by: day, column: day}\nmaterialize: merge\nmerge: {keys: [order_id]}"
    lab.sql("clean", BODY.format(1), merged)
    planned = lab.headrace("plan")
    (step,) = (row for row in planned["steps"] if row["kind"] == "invalidate")
    assert (step["detail"], step["needs_approval"]) == ("computed again by the next run", True)
    said = lab.headrace("apply", planned["plan_id"], "--yes", code=3)
    assert (said["state"], said["refused"]["code"], said["steps_done"]) == (
        "refused",
        "needs_approval",
        0,
    )
    assert "headrace.toml:7 backfill_approval = 'partitions > 1'" in said["refused"]["text"]
    (request,) = lab.headrace("approvals")
    assert (request["id"], request["plan_id"], request["state"]) == (
        "A1",
        planned["plan_id"],
        "open",
    )
    lab.headrace("run", "clean", "--again", "--reason", "the same by hand", code=3)
    lab.write("headrace.toml", SETTINGS + RULE.format("partitions > 100"))
    assert lab.headrace("apply", "--yes", code=3)["state"] == "refused", "the applied rule holds"
