"""What Headrace does about a cause by itself: it runs again what lost its worker, and stops where
that leads nowhere; all of it stands in the incident's timeline."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from runlab import DAYS, Lab, published

from headrace.project.session import ProjectSession, Silent
from headrace.services.run_results import tick

pytestmark = pytest.mark.usefixtures("cold_fork_servers")
MANY = [f"2025-01-{d:02d}" for d in range(1, 6)]
DIES = "import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n"


def test_lost_workers_are_replaced_three_times(tmp_path: Path) -> None:
    """Catches: a partition that kills its workers for ever; an act that is nowhere to be read, or
    twice; a repair that a person is asked for where nothing is left to do, and none where something
    is."""
    lab = Lab(tmp_path / "p")
    marker = lab.root / "died"
    once = (
        "def once(orders):\n    import pathlib\n    if not"
        f" pathlib.Path({str(marker)!r}).exists():\n"
    )
    once += (
        f"        pathlib.Path({str(marker)!r}).touch()\n        import os, signal\n       "
        " os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    lab.python("once", once + "    return orders", inputs=["orders"], partition="day")
    lab.python("never", f"def never(orders):\n    {DIES}", inputs=["orders"], partition="day")
    lab.orders(DAYS[0])
    done = lab.tick()
    assert ("once", DAYS[0]) in published(done)
    assert [attempt.state for attempt in done.attempts if attempt.asset == "never"] == ["lost"] * 3

    acts = _acts(lab)
    assert sorted(acts) == [
        ("give_up", "never"),
        ("run_again", "never"),
        ("run_again", "never"),
        ("run_again", "once"),
    ]
    (result,) = [
        item for item in lab.headrace("incidents") if item["cause"]["kind"] == "worker_lost"
    ]
    first = (
        "look at the machine that runs Headrace, and at never (assets/never.py:4): its code, and"
        " the memory that it takes"
    )
    commands = ["headrace apply", f"headrace fix {result['id']}"]
    assert result["repair"] == {
        "command": commands[0],
        "automatic": False,
        "first": first,
        "same": False,
        "expected_at": None,
        "note": None,
        "commands": commands,
        "text": first,
    }
    lab.tick()
    assert len(_acts(lab)) == len(acts)


@pytest.mark.long
def test_what_is_late_is_waited_for_and_runs_at_once(tmp_path: Path) -> None:
    """Catches: a person who is asked to do what comes by itself; an incident over data that has
    come.
    """
    lab = Lab(tmp_path / "p")
    source = (
        "source: orders\nowner: acme\npartition: day\nexpect: {by: '05:00'}\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\n"
    )
    lab.write("sources/orders.yaml", source)
    lab.sql("totals", "select day, sum(amount) as total from orders group by all")
    lab.write(
        "consumers.yaml",
        "- {consumer: report, owner: core, reads: [totals], due: '09:00', since: '2025-01-01'}\n",
    )
    days = [f"2025-01-{d:02d}" for d in range(1, 10)]
    for day in days[:-1]:
        lab.orders(day)
    lab.tick()
    (late,) = lab.headrace("incidents")
    assert (late["cause"]["node"], late["repair"]["automatic"]) == ("orders", True)
    assert lab.rows("select act from incident_event where act is not null") == [("wait",)]
    status = lab.headrace("status")
    assert (status["next"], status["holding"]["command"]) == ("headrace why report", None)

    lab.orders(days[-1])
    assert ("totals", days[-1]) in published(lab.tick())
    (ended,) = lab.headrace("incidents", "--all")
    assert (ended["id"], ended["state"], ended["repair"]) == (late["id"], "resolved", None)


@pytest.mark.long
def test_what_lacks_resources_is_tried_once_more_and_holds_nobody_else_up(tmp_path: Path) -> None:
    """Catches: days that are given up because one of them is too much, and a timeline that says
    nothing of what was tried."""
    lab = Lab(tmp_path / "p")
    much = f"if {MANY[3]!r} in map(str, orders['day'].to_pylist()):\n        raise MemoryError\n"
    lab.python(
        "clean",
        f"def clean(orders):\n    {much}    return orders",
        inputs=["orders"],
        partition="day",
    )
    for day in MANY:
        lab.orders(day)
    lab.now = datetime.fromisoformat("2025-03-10T12:00:00+00:00")
    done = lab.tick()
    assert {key for node, key in published(done) if node == "clean"} == set(MANY) - {MANY[3]}
    acts = [
        act
        for (act,) in lab.rows("select act from incident_event where act is not null order by id")
    ]
    assert acts == ["run_again", "give_up"]


@pytest.mark.long
def test_a_full_disk_is_freed_once_an_hour(tmp_path: Path) -> None:
    """Catches: a disk that stays full for a day although what fills it could go; one that is
    cleared with every pass."""
    lab = Lab(tmp_path / "p")
    room = tmp_path / "room"
    full = "import errno, os\n    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
    full = full.replace("raise", f"if not os.path.exists({str(room)!r}): raise")
    lab.python("writes", f"def writes():\n    {full}    return [{{'n': 1}}]", inputs=[])
    tick(ProjectSession.open(lab.root, "prod", None, "tester"), progress=Silent())
    assert lab.rows("select kind from incident") == []  # once may have been a moment's
    tick(ProjectSession.open(lab.root, "prod", None, "tester"), progress=Silent())
    (result,) = lab.rows("select kind, detail, state from incident")
    assert result == ("resource_exhausted", "no space", "open")
    assert [act for (act,) in lab.rows("select act from incident_event where act = 'reclaim'")] == [
        "reclaim"
    ]
    tick(ProjectSession.open(lab.root, "prod", None, "tester"), progress=Silent())
    assert lab.rows("select count(*) from incident_event where act = 'reclaim'") == [(1,)]
    assert lab.rows("select state, failures from partition where node = 'writes'") == [
        ("waiting", 0)
    ]
    assert lab.rows("select count(*) from evidence where node = 'writes'") == [(1,)]
    room.touch()
    tick(ProjectSession.open(lab.root, "prod", None, "tester"), progress=Silent())
    assert lab.rows("select state from incident") == [("resolved",)]


def _acts(lab: Lab) -> list[tuple[str, str]]:
    """What was done, and at which asset."""
    rows = lab.rows("select act, what from incident_event where act is not null")
    return [(act, "once" if " once@" in what else "never") for act, what in rows]
