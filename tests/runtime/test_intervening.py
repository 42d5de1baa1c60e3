"""People intervene: retry, cancel, pause, resume, withdraw, with a leader at work and
without one.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab

from headrace.model import ProjectError, Refused, UsageError
from headrace.project.session import Silent
from headrace.responses import RunResponse
from headrace.responses.interventions import PauseResponse, WithdrawResponse
from headrace.services.interventions import cancel, unpublish
from headrace.services.pause import pause, paused, resume
from headrace.services.run import retry

pytestmark = pytest.mark.long

SLOW = """\
def slow(ctx: Context, orders):
    import time, pathlib
    pathlib.Path({flag!r}).touch()
    while ctx.partition == {day!r} and not pathlib.Path({go!r}).exists():
        time.sleep(0.01)
    return orders"""
BROKEN = """\
def picky(ctx: Context, orders):
    import pathlib
    if ctx.partition in pathlib.Path({path!r}).read_text().split():
        raise ValueError("not today")
    return orders"""


class Slow:
    """A project in which `slow` works until it is let go."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.flag, self.go = lab, lab.root / "has-begun", lab.root / "may-end"
        lab.python(
            "slow",
            SLOW.format(flag=str(self.flag), go=str(self.go), day=DAYS[0]),
            partition="day",
            inputs=["orders"],
        )
        lab.orders(DAYS[0])
        self.minute = 0
        self.processes: list[subprocess.Popen[str]] = []

    def begin(self, *command: str) -> subprocess.Popen[str]:
        command = self.lab.command(*command, "--now", self.now())
        self.processes.append(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return self.processes[-1]

    def now(self) -> str:
        self.minute += 1
        return f"2025-01-10T12:{self.minute:02}:00+00:00"

    def ask(self, *command: str, code: int = 0) -> Any:
        return self.lab.headrace(*command, "--now", self.now(), code=code)

    def until(self, sql: str) -> None:
        deadline = time.monotonic() + 40
        while not self.lab.rows(sql):
            assert time.monotonic() < deadline, sql
            time.sleep(0.02)

    def begun(self) -> None:
        deadline = time.monotonic() + 40
        while not self.flag.exists():
            assert time.monotonic() < deadline, "it never began"
            time.sleep(0.01)


@pytest.fixture
def slow(lab: Lab) -> Iterator[Slow]:
    made = Slow(lab)
    yield made
    made.go.touch()
    for process in made.processes:
        process.kill()
        process.communicate()


def trail(lab: Lab, action: str) -> list[dict[str, Any]]:
    return [
        e
        for (text,) in lab.rows("select event from audit order by seq")
        if (e := json.loads(text))["action"] == action
    ]


# cancel
# --------------------------------------------------------------------------------------------------


def test_a_run_that_is_under_way_is_cancelled(slow: Slow) -> None:
    """A cancelled run that works on, that whoever began it waits for for ever, or of which nobody
    knows who took it back.
    """
    leader = slow.begin("tick")
    slow.begun()
    told = slow.lab.headrace("why", "slow")
    assert (told["state"], told["waiting_for"][0]["kind"], told["waiting_for"][0]["attempt"]) == (
        "running",
        "running",
        "1.2",
    )
    said = slow.ask("cancel", "1", "--reason", "the vendor called")
    assert (said["state"], said["run_id"], said["reason"]) == (
        "cancelled",
        "1",
        "the vendor called",
    )
    out, err = leader.communicate(timeout=50)
    assert json.loads(out)["state"] == "cancelled", err
    assert slow.lab.rows("select state from attempt where node = 'slow'") == [("cancelled",)]
    assert slow.lab.rows("select node from publication") == [("orders",)], (
        "what was published stays"
    )
    rows = slow.lab.headrace("runs", "1")
    assert {(row["run_state"], row["cancelled_by"], row["cancel_reason"]) for row in rows} == {
        ("cancelled", said["by"], "the vendor called")
    }
    assert [e["reason"] for e in trail(slow.lab, "run.cancelled")] == ["the vendor called"]
    slow.go.touch()
    assert slow.ask("tick")["state"] == "succeeded", "what it left undone is done by the next pass"


def test_a_run_that_has_ended_says_so(lab: Lab) -> None:
    """`cancel` that claims to have done something, or that takes the lease to find out."""
    lab.orders(DAYS[0])
    lab.tick()
    assert cancel(lab.session(), "1", reason=None, progress=Silent()).state == "succeeded"
    for unknown in ("99", "x", "1" * 30):
        with pytest.raises(UsageError, match="there is no run"):
            cancel(lab.session(), unknown, reason=None, progress=Silent())
    assert lab.rows("select epoch from lease") == [(1,)]


# retry
# --------------------------------------------------------------------------------------------------


def picky(lab: Lab, *days: str) -> Path:
    path = lab.root / "bad-days"
    path.write_text(" ".join(days))
    lab.python("picky", BROKEN.format(path=str(path)), partition="day", inputs=["orders"])
    for day in DAYS[:3]:
        lab.orders(day)
    return path


def test_only_what_failed_is_done_again(lab: Lab) -> None:
    """A retry that computes what is published again, or that leaves a failure out; a typing error
    that ends in a traceback."""
    path = picky(lab, *DAYS[:2])
    run = lab.tick().run_id
    path.write_text(DAYS[1])

    def again(target: str | None, reason: str | None = None) -> RunResponse:
        return retry(lab.session(), str(target), reason=reason, progress=Silent())

    said = again(run, "mended")
    assert said.state == "partial"
    assert sorted((a.asset, a.partitions, a.state) for a in said.attempts) == [
        ("picky", [DAYS[0]], "published"),
        ("picky", [DAYS[1]], "failed"),
    ]
    path.write_text("")
    assert [a.partitions for a in again(f"picky@{DAYS[1]}").attempts] == [[DAYS[1]]]
    for nothing in (run, "picky", f"picky@{DAYS[0]}"):
        assert again(nothing).state == "nothing_due"
    for wrong in ("99", "nobody", "picky@2013"):
        with pytest.raises(UsageError):
            again(wrong)
    assert [e["reason"] for e in trail(lab, "run.requested")] == ["mended", ""]


@pytest.mark.parametrize("keep", [True, False])
def test_what_failed_before_new_code_was_applied_is_retried(lab: Lab, keep: bool) -> None:
    """Would catch: "nothing of picky failed" while it waits for the next tick, after `apply`."""
    path = picky(lab, DAYS[1])
    lab.tick()
    path.write_text("")
    code = lab.root / "assets/picky.py"
    code.write_text(code.read_text().replace("not today", "another day"))
    kept = ["--keep", "picky", "--reason", "the same values"] if keep else []
    lab.headrace("apply", *kept, "--yes", "--now", lab.session().now().isoformat())
    said = retry(lab.session(), "picky", reason="new code", progress=Silent())
    assert [(a.asset, a.partitions, a.state) for a in said.attempts] == [
        ("picky", [DAYS[1]], "published")
    ]


# pause and resume
# --------------------------------------------------------------------------------------------------


def hold(
    lab: Lab, *select: str, reason: str | None = "vendor", until: str | None = None
) -> PauseResponse:
    return pause(lab.session(), select, exclude=[], reason=reason, until=until, progress=Silent())


def let_go(lab: Lab, *select: str) -> PauseResponse:
    return resume(lab.session(), select, exclude=[], reason=None, progress=Silent())


def test_nothing_of_what_is_paused_is_started(lab: Lab) -> None:
    """A pause that the next leader doesn't know of, one without a reason, and one that outlives its
    end."""
    lab.sql("clean", "select order_id, cast(day as date) as day from orders")
    lab.orders(DAYS[0])
    with pytest.raises(ProjectError, match="nothing is applied yet"):
        hold(lab, "clean")
    lab.python("never", "def never(orders):\n    return orders", partition="day", inputs=["orders"])
    lab.headrace("apply", "--yes", "--now", "2025-01-10T12:01:00+00:00")
    with pytest.raises(Refused, match="pause needs --reason"):
        hold(lab, "clean", reason=" ")
    said = hold(lab, "clean")
    assert said.changed == ["clean"]
    assert [(p.node, p.kind, p.reason, p.by, p.until) for p in said.paused] == [
        ("clean", "asset", "vendor", "tester", None)
    ]
    assert paused(lab.session()).paused == said.paused
    hold(lab, "never", reason="move", until="2h")
    assert [p.asset for p in lab.tick().published] == ["orders"]
    assert [p.node for p in let_go(lab, "clean").paused] == ["never"]
    assert [p.asset for p in lab.tick().published] == ["clean"]
    lab.now += timedelta(hours=2)
    assert [p.asset for p in lab.tick().published] == ["never"], "its time is over"
    assert [(e["object"]["id"], e["reason"]) for e in trail(lab, "node.paused")] == [
        ("clean", "vendor"),
        ("never", "move"),
    ]
    assert [(e["object"]["id"], e["before"]["reason"]) for e in trail(lab, "node.resumed")] == [
        ("clean", "vendor")
    ]
    for wrong in (
        lambda: let_go(lab, "clean"),
        lambda: hold(lab, "nobody"),
        lambda: hold(lab, "clean", until="2025-01-01"),
    ):
        with pytest.raises(UsageError):
            wrong()


# withdraw
# --------------------------------------------------------------------------------------------------


def shop(lab: Lab) -> None:
    lab.sql("clean", "select order_id, customer, cast(day as date) as day from orders")
    lab.sql("total", "select day, count(*) as n from clean group by day")
    for day in DAYS[:3]:
        lab.orders(day)
    assert lab.tick().state == "succeeded"


def take_back(lab: Lab, target: str, reason: str | None = "wrong rates") -> WithdrawResponse:
    return unpublish(lab.session(), target, reason=reason, progress=Silent())


def test_a_publication_is_taken_back(lab: Lab) -> None:
    """Rows that readers still see, a neighbour's rows that go with them, dependents that look
    fresh.
    """
    shop(lab)
    with pytest.raises(Refused, match="unpublish needs --reason"):
        take_back(lab, f"clean@{DAYS[1]}", None)
    said = take_back(lab, f"clean@{DAYS[1]}")
    assert (said.rows, said.state) == (10, "withdrawn")
    assert [(item.node, item.partitions) for item in said.stale] == [("total", [DAYS[1]])]
    assert sorted(row["day"] for row in lab.read("clean")) == [DAYS[0]] * 10 + [DAYS[2]] * 10
    assert lab.rows(
        "select state, reason from partition where node = 'clean' and partition = ?", DAYS[1]
    ) == [("withdrawn", "wrong rates (by tester)")]
    assert lab.rows(
        "select count(*) from publication where node = 'total' and ended_at is null"
    ) == [(3,)], "it stays until it is made again"
    (entry,) = trail(lab, "partition.withdrawn")
    assert (entry["object"]["id"], entry["reason"], entry["before"]["rows"]) == (
        f"clean@{DAYS[1]}",
        "wrong rates",
        10,
    )
    assert lab.tick().published == [], "what a person took back isn't published by the next pass"
    for wrong in (f"clean@{DAYS[1]}", "clean", "clean@2013-01-01", "nobody"):
        with pytest.raises(UsageError):
            take_back(lab, wrong)
    done = lab.run("clean", "total", partitions=[DAYS[1]])
    assert sorted(p.asset for p in done.published) == ["clean", "total"]
    assert len(lab.read("clean")) == 30


def test_what_was_in_time_stays_known_when_it_is_taken_back(lab: Lab) -> None:
    """Would catch: a report that was there by its deadline and is said to have been late, because
    nobody had judged it before what it reads was withdrawn."""
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [clean], due: '+12h'}\n")
    lab.sql("clean", "select order_id, customer, cast(day as date) as day from orders")
    lab.orders(DAYS[0])
    due = date.fromisoformat(DAYS[0]) + timedelta(days=1)
    lab.headrace("tick", "--now", f"{due}T06:00:00+00:00")
    assert lab.rows("select count(*) from obligation where interval = ?", DAYS[0]) == [(0,)], (
        "it isn't due yet"
    )
    lab.headrace(
        "unpublish", f"clean@{DAYS[0]}", "--reason", "wrong rates", "--now", f"{due}T18:00:00+00:00"
    )
    lab.headrace("tick", "--now", f"{due}T20:00:00+00:00")
    assert lab.rows(
        "select met_at is not null and met_at < due_at from obligation where interval = ?", DAYS[0]
    ) == [(1,)]


def test_what_was_exported_and_taken_back_since_is_not_called_corrected_and_can_be_waived(
    lab: Lab,
) -> None:
    """Would catch: "corrected since it was exported" of what somebody withdrew, with a command that
    exports nothing; and "is met" of an obligation that `status` calls late."""
    export = "export: {to: 'out/r_{date:%Y-%m-%d}.csv'}"
    lab.write(
        "consumers.yaml",
        f"- {{consumer: report, owner: core, reads: [clean], due: '+12h', {export}}}\n",
    )
    lab.sql("clean", "select order_id, customer, cast(day as date) as day from orders")
    lab.orders(DAYS[0])
    due = date.fromisoformat(DAYS[0]) + timedelta(days=1)
    lab.headrace("tick", "--now", f"{due}T06:00:00+00:00")
    lab.orders(DAYS[1])
    due += timedelta(days=1)
    lab.headrace("tick", "--now", f"{due}T06:00:00+00:00")
    lab.headrace("tick", "--now", f"{due}T13:00:00+00:00")
    lab.headrace(
        "unpublish", f"clean@{DAYS[1]}", "--reason", "wrong rates", "--now", f"{due}T14:00:00+00:00"
    )
    (report,) = lab.headrace("status")["consumers"]
    assert report["state"] == "late"
    assert report["reason"].endswith(f"; withdrawn since it was exported: {DAYS[1]}")
    lab.headrace(
        "waive",
        f"report@{DAYS[1]}",
        "--reason",
        "nobody needs it",
        "--now",
        f"{due}T15:00:00+00:00",
    )
    status = lab.headrace("status")
    (report,) = status["consumers"]
    assert (report["state"], report["next"]) == ("served", None)
    assert lab.rows(
        "select met_at < due_at, waived_at > due_at from obligation where interval = ?", DAYS[1]
    ) == [(1, 1)]
    assert lab.headrace("db", "check")["ok"]


def test_one_partition_of_a_shared_file_is_taken_back(lab: Lab) -> None:
    """A withdrawal that is refused, or that takes the neighbours' rows with it, because they were
    computed together.
    """
    lab.sql("clean", "select order_id, customer, cast(day as date) as day from orders")
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: {by: day, column: day}\nfiles:"
        " landing/orders_all.csv\n",
    )
    path = lab.root / "landing/orders_all.csv"
    path.write_text(
        "order_id,customer,amount,day\n"
        + "".join(f"{i},c,1.5,{day}\n" for i, day in enumerate(DAYS))
    )
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert lab.tick().state == "succeeded"
    files = (
        "select count(*) from ducklake_data_file f join ducklake_table t using (table_id) where"
        " table_name = 'orders'"
    )
    assert lab.rows(f"{files} and f.end_snapshot is null") == [(1,)], "they lie in one file"
    take_back(lab, f"orders@{DAYS[3]}")
    assert [row["day"] for row in lab.read("orders")] == [day for day in DAYS if day != DAYS[3]]
    assert lab.rows(f"{files} and f.end_snapshot is null") == [(1,)]


@pytest.mark.parametrize("materialize", ["merge", "snapshot", "view"])
def test_what_cannot_be_taken_out_is_refused(lab: Lab, materialize: str) -> None:
    """A partition of a merged table that is taken out although later ones stand on it."""
    extra = {
        "merge": "partition: day\nmerge: {keys: [order_id]}",
        "snapshot": "partition: day\nsnapshot: {keys: [order_id]}",
    }
    lab.sql(
        "kept",
        "select order_id, cast(day as date) as day from orders",
        f"materialize: {materialize}\n{extra.get(materialize, '')}",
    )
    with pytest.raises(Refused) as refused:
        unpublish(
            lab.session(),
            "kept" if materialize == "view" else f"kept@{DAYS[0]}",
            reason="x",
            progress=Silent(),
        )
    assert refused.value.hint


def test_a_file_asset_is_taken_back(lab: Lab) -> None:
    """A publication without a table that can't be ended."""
    body = "def letter(ctx: Context, orders):\n    (ctx.output_directory / 'r.txt').write_text('x')"
    lab.python("letter", body, partition="day", inputs=["orders"], materialize="files")
    lab.orders(DAYS[0])
    assert lab.tick().state == "succeeded"
    take_back(lab, f"letter@{DAYS[0]}")
    assert lab.rows(
        "select count(*) from publication where node = 'letter' and ended_snapshot is null"
    ) == [(0,)]


# With a leader at work
# --------------------------------------------------------------------------------------------------


def test_a_leader_at_work_does_what_people_ask(slow: Slow) -> None:
    """What comes into force with the next leader only, waits until this one has done everything
    else, or takes the lease away."""
    lab = slow.lab
    lab.python("after", "def after(slow):\n    return slow", partition="day", inputs=["slow"])
    lab.sql("clean", "select order_id, customer, cast(day as date) as day from orders")
    lab.sql("total", "select day, count(*) as n from clean group by day")
    path = picky(lab, DAYS[1])
    leader = slow.begin("tick")
    slow.begun()
    slow.until("select 1 from partition where node = 'picky' and state = 'failed'")
    path.write_text("")
    assert [(a["partitions"], a["state"]) for a in slow.ask("retry", "picky")["attempts"]] == [
        ([DAYS[1]], "published")
    ]
    slow.until(f"select 1 from publication where node = 'total' and partition = '{DAYS[0]}'")
    said = slow.ask("unpublish", f"clean@{DAYS[0]}", "--reason", "wrong")
    assert said["stale"] == [{"node": "total", "partitions": [DAYS[0]]}]
    slow.ask("pause", "after", "--reason", "not yet")
    slow.go.touch()
    done = json.loads(leader.communicate(timeout=50)[0])
    assert ("slow", DAYS[0]) in {(p["asset"], p["partition"]) for p in done["published"]}
    assert ("after", DAYS[0]) not in {(p["asset"], p["partition"]) for p in done["published"]}
    assert lab.rows(
        "select state from partition where node = 'clean' and partition = ?", DAYS[0]
    ) == [("withdrawn",)]
    assert lab.rows("select epoch from lease") == [(1,)]
