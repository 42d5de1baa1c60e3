"""One leader at a time, killed, stopped and asked for things: nothing is lost or done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runlab import BEGUN, DAYS, Lab, published

from headrace.faults import FaultPoint
from headrace.model import LeaseLost
from headrace.project.session import ProjectSession
from headrace.runtime.leadership import hold
from headrace.store import Store

SLOW = """\
def slow(orders):
    import time, pathlib
    pathlib.Path({flag!r}).touch()
    while not pathlib.Path({go!r}).exists():
        time.sleep(0.01)
    return orders"""


def slow_project(lab: Lab) -> tuple[Path, Path]:
    """A project in which `slow` works until it is let go: what is there when it has begun, and what
    lets it go.
    """
    flag, go = lab.root / "slow-has-begun", lab.root / "slow-may-end"
    lab.python("slow", SLOW.format(flag=str(flag), go=str(go)), partition="day", inputs=["orders"])
    lab.orders(DAYS[0])
    return flag, go


def begin(lab: Lab, *command: str) -> subprocess.Popen[str]:
    """A command in a process of its own, which ends with the test at the latest."""
    process = subprocess.Popen(
        lab.command(*command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    BEGUN.append(process)
    return process


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=50)
    assert process.returncode == 0, err
    return json.loads(out)  # type: ignore[no-any-return]


def descendants(pid: int) -> list[int]:
    children = [
        int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]
    return [*children, *(descendant for child in children for descendant in descendants(child))]


def until(met: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 40
    while not met():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def wait_for(path: Path) -> None:
    until(path.exists, f"{path} never appeared")


def test_a_killed_leader_leaves_a_state_from_which_the_next_one_finishes(lab: Lab) -> None:
    flag, _ = slow_project(lab)
    leader = begin(lab, "tick", "--now", "2025-01-10T12:00:00+00:00")
    wait_for(flag)
    os.kill(leader.pid, signal.SIGKILL)
    leader.communicate()
    lab.write("assets/slow.py", "")  # what runs is what was applied: the next one still computes it
    flag.unlink()
    second = begin(lab, "tick", "--now", "2025-01-10T12:05:00+00:00")
    wait_for(flag)  # the same partition was begun again, at once
    os.killpg(second.pid, signal.SIGKILL)
    second.communicate()
    assert lab.rows("select state from attempt where node = 'slow' order by epoch") == [
        ("lost",),
        ("running",),
    ]
    assert lab.rows("select node from publication") == [("orders",)]


@pytest.mark.long
def test_workers_end_with_their_leader(lab: Lab) -> None:
    flag, _ = slow_project(lab)
    leader = begin(lab, "tick", "--now", "2025-01-10T12:00:00+00:00")
    wait_for(flag)
    until(
        lambda: len(descendants(leader.pid)) == 3,
        "not the two, and the process that they are forked from",
    )
    workers = descendants(leader.pid)
    os.kill(leader.pid, signal.SIGKILL)
    leader.communicate()
    until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers),
        "a worker outlived its leader",
    )


@pytest.mark.long
def test_a_second_command_asks_the_leader_and_gets_its_own_response(lab: Lab) -> None:
    flag, go = slow_project(lab)
    first = begin(lab, "tick", "--now", "2025-01-10T12:00:00+00:00")
    wait_for(flag)
    second = begin(
        lab, "run", "orders", "--again", "--reason", "to see", "--now", "2025-01-10T12:01:00+00:00"
    )
    until(lambda: lab.rows("select 1 from request"), "it never asked")
    go.touch()
    said = [answer(p) for p in (first, second)]
    assert [d["state"] for d in said] == ["succeeded", "succeeded"]
    assert [p["asset"] for p in said[1]["published"]] == ["orders"]
    assert [e for (e,) in lab.rows("select epoch from lease")] == [1], (
        "the second command led itself"
    )


@pytest.mark.long
def test_a_command_takes_over_when_the_leader_it_asked_dies(lab: Lab) -> None:
    flag, _ = slow_project(lab)
    first = begin(lab, "tick", "--now", "2025-01-10T12:00:00+00:00")
    wait_for(flag)
    second = begin(lab, "run", "orders", "--now", "2025-01-10T12:01:00+00:00")
    until(lambda: lab.rows("select 1 from request"), "it never asked")
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    out, err = second.communicate(timeout=50)
    assert second.returncode == 0, err
    assert json.loads(out)["state"] == "nothing_due"


def test_a_leader_that_lost_its_lease_commits_nothing(lab: Lab) -> None:
    """Fencing: the epoch is checked in the transaction that publishes."""
    lab.sql("clean", "select order_id, cast(day as date) as day from orders")
    lab.orders(DAYS[0])
    assert lab.tick().state == "succeeded"
    session = lab.session()
    with hold(session.root, session.settings, actor=_actor(), now=session.now_given) as held:
        with (
            Store.open(session.root, session.settings, create=True) as other,
            other.write(None) as tx,
        ):
            tx.execute("update lease set epoch = epoch + 1")
        with pytest.raises(LeaseLost), held.store.write(held.lease.epoch) as tx:
            tx.execute("delete from publication")
    assert len(lab.rows("select 1 from publication")) == 2


def test_a_leader_suspended_as_it_took_the_lease_touches_nothing_of_the_next(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a leader that resumes deletes what the next one's workers have written, and
    fences their exports."""
    lab.orders(DAYS[0])
    lab.tick()
    monkeypatch.setenv("HEADRACE_FAULT", f"{FaultPoint.LEASE_TAKEN}=stop")
    suspended = begin(lab, "tick", "--now", "2025-01-10T12:01:00+00:00")
    monkeypatch.delenv("HEADRACE_FAULT")
    until(lambda: _state(suspended.pid) == "T", "it never took the lease")
    session = lab.session()
    with Store.open(session.root, session.settings) as store, store.write(None) as tx:
        tx.execute("update lease set expires_at = 1")
    with hold(session.root, session.settings, actor=_actor(), now=session.now_given) as held:
        half = held.folders.temporary / "half.parquet"
        half.parent.mkdir(parents=True, exist_ok=True)
        half.touch()
        suspended.send_signal(signal.SIGCONT)
        _, err = suspended.communicate(timeout=50)
        assert half.exists()
        assert held.folders.fence.read_text() == str(held.lease.epoch)
    assert "another leader has taken over" in err


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _actor():  # type: ignore[no-untyped-def]
    from headrace.security.audit import Actor, ActorType

    return Actor(ActorType.PERSON, "tester")


@pytest.mark.long
def test_two_ticks_at_once_publish_once(lab: Lab) -> None:
    lab.sql("clean", "select order_id, cast(day as date) as day from orders")
    for day in DAYS:
        lab.orders(day)
    results: list[int] = []

    def go() -> None:
        p = begin(lab, "tick", "--now", "2025-01-10T12:00:00+00:00")
        p.communicate(timeout=50)
        results.append(p.returncode)

    threads = [threading.Thread(target=go) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == [0, 0, 0]
    assert lab.rows("select count(*), count(distinct node || partition) from publication") == [
        (14, 14)
    ]
    assert published(lab.tick()) == []


def test_status_is_answered_while_a_leader_works(lab: Lab) -> None:
    flag, go = slow_project(lab)
    leader = begin(lab, "tick", "--now", "2025-01-10T12:00:00+00:00")
    wait_for(flag)
    assert lab.headrace("status")["runtime"] == "running"
    go.touch()
    leader.communicate(timeout=50)
    assert lab.headrace("status")["runtime"] == "stopped"
    assert ProjectSession.open(lab.root, "prod", None, "x").store is not None


def test_an_interrupted_leader_says_that_its_work_is_lost(lab: Lab) -> None:
    """Catches a run that `runs` calls running although nobody works at it any more."""
    flag, _ = slow_project(lab)
    leader = begin(lab, "tick", "--now", "2025-01-10T12:00:00+00:00")
    wait_for(flag)
    leader.send_signal(signal.SIGINT)
    leader.communicate(timeout=30)
    assert leader.returncode == 4
    assert lab.rows("select state from run") == [("lost",)]
    assert lab.rows("select state from attempt where node = 'slow'") == [("lost",)]
    assert lab.rows("select node from publication") == [("orders",)]
