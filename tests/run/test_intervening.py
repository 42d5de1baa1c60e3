"""People intervene: retry, cancel, pause, resume, withdraw, with a leader at work and without one."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab

from headrace.model import Refused
from headrace.operations.progress import Silent
from headrace.operations.withdraw import withdraw

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
        lab.python("slow", SLOW.format(flag=str(self.flag), go=str(self.go), day=DAYS[0]), partition="day", inputs=["orders"])
        lab.orders(DAYS[0])
        self.minute = 0
        self.processes: list[subprocess.Popen[str]] = []

    def begin(self, *verb: str) -> subprocess.Popen[str]:
        command = self.lab.command(*verb, "--now", self.now())
        self.processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True))
        return self.processes[-1]

    def now(self) -> str:
        self.minute += 1
        return f"2025-01-10T12:{self.minute:02}:00+00:00"

    def ask(self, *verb: str, code: int = 0) -> Any:
        return self.lab.headrace(*verb, "--now", self.now(), code=code)

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
    return [e for (text,) in lab.rows("select event from audit order by seq") if (e := json.loads(text))["action"] == action]


# cancel -----------------------------------------------------------------------------------------------------------------


def test_a_run_that_is_under_way_is_cancelled(slow: Slow) -> None:
    """A cancelled run that works on, that whoever began it waits for for ever, or of which nobody knows who took it back."""
    leader = slow.begin("tick")
    slow.begun()
    said = slow.ask("cancel", "1", "--reason", "the vendor called")
    assert (said["state"], said["run_id"], said["reason"]) == ("cancelled", "1", "the vendor called")
    out, err = leader.communicate(timeout=50)
    assert json.loads(out)["state"] == "cancelled", err
    assert slow.lab.rows("select state from attempt where node = 'slow'") == [("cancelled",)]
    assert slow.lab.rows("select node from publication") == [("orders",)], "what was published stays"
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
    said = lab.headrace("cancel", "1", code=1)
    assert said["state"] == "succeeded"
    lab.headrace("cancel", "99", code=2)
    lab.headrace("cancel", "x", code=2)
    assert lab.rows("select epoch from lease") == [(1,)]


# retry ------------------------------------------------------------------------------------------------------------------


def picky(lab: Lab, *days: str) -> Path:
    path = lab.root / "bad-days"
    path.write_text(" ".join(days))
    lab.python("picky", BROKEN.format(path=str(path)), partition="day", inputs=["orders"])
    for day in DAYS[:3]:
        lab.orders(day)
    return path


def test_only_what_failed_is_done_again(lab: Lab) -> None:
    """A retry that computes what is published again, or that leaves a failure out."""
    path = picky(lab, *DAYS[:2])
    run = lab.tick().run_id
    path.write_text(DAYS[1])
    said = lab.headrace("retry", str(run), "--reason", "mended", "--now", "2025-01-10T13:00:00+00:00", code=1)
    assert said["state"] == "partial"
    assert [(a["asset"], a["partitions"], a["state"]) for a in said["attempts"]] == [
        ("picky", [DAYS[0]], "published"),
        ("picky", [DAYS[1]], "failed"),
    ]
    path.write_text("")
    said = lab.headrace("retry", f"picky@{DAYS[1]}", "--now", "2025-01-10T13:01:00+00:00")
    assert [a["partitions"] for a in said["attempts"]] == [[DAYS[1]]]
    for nothing in (str(run), "picky", f"picky@{DAYS[0]}"):
        assert lab.headrace("retry", nothing, "--now", "2025-01-10T13:02:00+00:00")["state"] == "nothing_due"
    assert [e["reason"] for e in trail(lab, "run.requested")] == ["mended", ""]


def test_retry_asks_the_leader_that_works(slow: Slow) -> None:
    """A retry that waits until the leader has done everything else, or takes the lease away."""
    path = picky(slow.lab, DAYS[1])
    leader = slow.begin("tick")
    slow.begun()
    deadline = time.monotonic() + 40
    while not slow.lab.rows("select 1 from partition where node = 'picky' and state = 'failed'"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    path.write_text("")
    said = slow.ask("retry", "picky")
    assert [(a["partitions"], a["state"]) for a in said["attempts"]] == [([DAYS[1]], "published")]
    slow.go.touch()
    assert json.loads(leader.communicate(timeout=50)[0])["state"] in ("succeeded", "partial")


@pytest.mark.parametrize(("words", "code"), [(("99",), 2), (("nobody",), 2), (("picky@2013",), 2)])
def test_a_retry_of_what_there_is_not(lab: Lab, words: tuple[str, ...], code: int) -> None:
    """A typing error that ends in a traceback or in silence."""
    picky(lab)
    lab.tick()
    lab.headrace("retry", *words, code=code)


# pause and resume ---------------------------------------------------------------------------------------------------------


def test_nothing_of_what_is_paused_is_started(lab: Lab) -> None:
    """A pause that the next leader doesn't know of, and one that outlives its end."""
    lab.sql("clean", "select order_id, cast(day as date) as day from orders")
    lab.orders(DAYS[0])
    lab.headrace("apply", "--yes", "--now", "2025-01-10T12:00:00+00:00")
    lab.headrace("pause", "clean", "--now", "2025-01-10T12:00:00+00:00", code=3)
    said = lab.headrace("pause", "clean", "--reason", "vendor", "--until", "2h", "--now", "2025-01-10T12:01:00+00:00")
    assert said["changed"] == ["clean"]
    assert [(p["node"], p["kind"], p["reason"]) for p in said["paused"]] == [("clean", "asset", "vendor")]
    assert lab.headrace("pause")["paused"] == said["paused"]
    done = lab.headrace("tick", "--now", "2025-01-10T12:02:00+00:00")
    assert [p["asset"] for p in done["published"]] == ["orders"]
    assert lab.headrace("resume", "clean", "--now", "2025-01-10T12:03:00+00:00")["paused"] == []
    done = lab.headrace("tick", "--now", "2025-01-10T12:04:00+00:00")
    assert [p["asset"] for p in done["published"]] == ["clean"]
    assert [(e["object"]["id"], e["reason"]) for e in trail(lab, "node.paused") + trail(lab, "node.resumed")] == [
        ("clean", "vendor"),
        ("clean", ""),
    ]
    lab.headrace("resume", "clean", code=2)


def test_a_pause_ends_by_itself(lab: Lab) -> None:
    """`--until` that is only a remark."""
    lab.sql("clean", "select order_id, cast(day as date) as day from orders")
    lab.orders(DAYS[0])
    lab.headrace("apply", "--yes", "--now", "2025-01-10T12:00:00+00:00")
    lab.headrace("pause", "*", "--reason", "move", "--until", "2025-01-10T13:00", "--now", "2025-01-10T12:01:00+00:00")
    assert lab.headrace("tick", "--now", "2025-01-10T12:59:00+00:00")["published"] == []
    done = lab.headrace("tick", "--now", "2025-01-10T13:00:00+00:00")
    assert [p["asset"] for p in done["published"]] == ["orders", "clean"]
    lab.headrace("pause", "clean", "--reason", "x", "--until", "2025-01-01", "--now", "2025-01-10T13:01:00+00:00", code=2)


def test_a_leader_at_work_is_told_of_a_pause(slow: Slow) -> None:
    """A pause that comes into force with the next leader only."""
    slow.lab.python("after", "def after(slow):\n    return slow", partition="day", inputs=["slow"])
    leader = slow.begin("tick")
    slow.begun()
    slow.ask("pause", "after", "--reason", "not yet")
    slow.go.touch()
    done = json.loads(leader.communicate(timeout=50)[0])
    assert [p["asset"] for p in done["published"]] == ["orders", "slow"]
    slow.ask("resume", "after")
    assert [p["asset"] for p in slow.ask("tick")["published"]] == ["after"]


# withdraw -----------------------------------------------------------------------------------------------------------------


def shop(lab: Lab) -> None:
    lab.sql("clean", "select order_id, customer, cast(day as date) as day from orders")
    lab.sql("total", "select day, count(*) as n from clean group by day")
    for day in DAYS[:3]:
        lab.orders(day)
    assert lab.tick().state == "succeeded"


def test_a_publication_is_taken_back(lab: Lab) -> None:
    """Rows that readers still see, a neighbour's rows that go with them, dependents that look fresh."""
    shop(lab)
    lab.headrace("withdraw", f"clean@{DAYS[1]}", code=3)
    said = lab.headrace("withdraw", f"clean@{DAYS[1]}", "--reason", "wrong rates", "--now", "2025-01-10T13:00:00+00:00")
    assert (said["rows"], said["state"]) == (10, "withdrawn")
    assert said["stale"] == [{"node": "total", "partitions": [DAYS[1]]}]
    assert sorted({row["day"] for row in lab.read("clean")}) == [DAYS[0], DAYS[2]]
    assert len(lab.read("clean")) == 20
    assert lab.rows("select state, reason from partition where node = 'clean' and partition = ?", DAYS[1]) == [("withdrawn", "wrong rates")]
    assert len(lab.read("total")) == 3, "what was made of it stays until it is made again"
    (entry,) = trail(lab, "partition.withdrawn")
    assert (entry["object"]["id"], entry["reason"], entry["before"]["rows"]) == (f"clean@{DAYS[1]}", "wrong rates", 10)
    done = lab.headrace("tick", "--now", "2025-01-10T13:01:00+00:00")
    assert done["published"] == [], "what a person took back isn't published by the next pass"
    lab.headrace("withdraw", f"clean@{DAYS[1]}", "--reason", "again", code=2)
    done = lab.headrace("run", "clean", "total", "--partition", DAYS[1], "--now", "2025-01-10T13:02:00+00:00")
    assert sorted(p["asset"] for p in done["published"]) == ["clean", "total"]
    assert len(lab.read("clean")) == 30


def test_one_partition_of_a_shared_file_is_taken_back(lab: Lab) -> None:
    """A withdrawal that is refused, or that takes the neighbours' rows with it, because they were computed together."""
    lab.sql("clean", "select order_id, customer, cast(day as date) as day from orders")
    for day in DAYS:
        lab.orders(day)
    lab.tick()
    lab.run("clean", again=True, reason="together")
    files = lab.rows("select count(*) from ducklake_data_file where end_snapshot is null")
    lab.headrace("withdraw", f"clean@{DAYS[3]}", "--reason", "x", "--now", "2025-01-10T13:00:00+00:00")
    assert sorted({row["day"] for row in lab.read("clean")}) == [day for day in DAYS if day != DAYS[3]], files


def test_a_leader_at_work_takes_back(slow: Slow) -> None:
    """A withdrawal behind the back of a leader, which goes on with what it knew."""
    slow.lab.sql("clean", "select order_id, customer, cast(day as date) as day from orders")
    slow.lab.sql("total", "select day, count(*) as n from clean group by day")
    leader = slow.begin("tick")
    slow.begun()
    deadline = time.monotonic() + 40
    while not slow.lab.rows("select 1 from publication where node = 'total'"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    said = slow.ask("withdraw", f"clean@{DAYS[0]}", "--reason", "wrong")
    assert said["stale"] == [{"node": "total", "partitions": [DAYS[0]]}]
    slow.go.touch()
    done = json.loads(leader.communicate(timeout=50)[0])
    assert done["state"] == "succeeded"
    assert slow.lab.rows("select state from partition where node = 'clean'") == [("withdrawn",)]
    assert slow.lab.rows("select epoch from lease") == [(1,)]


@pytest.mark.parametrize("materialize", ["merge", "snapshot", "view"])
def test_what_cannot_be_taken_out_is_refused(lab: Lab, materialize: str) -> None:
    """A partition of a merged table that is taken out although later ones stand on it."""
    extra = {"merge": "partition: day\nmerge: {keys: [order_id]}", "snapshot": "partition: day\nsnapshot: {keys: [order_id]}"}
    lab.sql("kept", "select order_id, cast(day as date) as day from orders", f"materialize: {materialize}\n{extra.get(materialize, '')}")
    with pytest.raises(Refused) as refused:
        withdraw(lab.session(), "kept" if materialize == "view" else f"kept@{DAYS[0]}", reason="x", progress=Silent())
    assert refused.value.hint


def test_a_file_asset_is_taken_back(lab: Lab) -> None:
    """A publication without a table that can't be ended."""
    body = "def letter(ctx: Context, orders):\n    (ctx.output_directory / 'r.txt').write_text('x')"
    lab.python("letter", body, partition="day", inputs=["orders"], materialize="files")
    lab.orders(DAYS[0])
    assert lab.tick().state == "succeeded"
    lab.headrace("withdraw", f"letter@{DAYS[0]}", "--reason", "x", "--now", "2025-01-10T13:00:00+00:00")
    assert lab.rows("select count(*) from publication where node = 'letter' and ended_snapshot is null") == [(0,)]
