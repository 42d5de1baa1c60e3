"""Deliveries that end who reads them: each is put into quarantine by its name, and those beside it
go on.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from poison_books import GOOD, far_cell
from runlab import DAYS, Lab, published

pytestmark = pytest.mark.usefixtures("cold_fork_servers")
EXCEL = "source: orders\nowner: acme\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.xlsx\n"


def kinds(lab: Lab) -> list[tuple[str, str]]:
    return [(item["cause"]["kind"], item["cause"]["node"]) for item in lab.headrace("incidents")]


@pytest.mark.long
def test_a_poison_workbook_is_rejected_at_once_and_the_good_one_published(tmp_path: Path) -> None:
    """Would catch: a 5 KiB workbook that ends three workers in every run, names no file, and keeps
    the good file from being read."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/orders.yaml", EXCEL)
    (lab.root / f"landing/orders_{DAYS[0]}.xlsx").write_bytes(far_cell())
    (lab.root / f"landing/orders_{DAYS[1]}.xlsx").write_bytes(GOOD)
    done = lab.tick()
    assert published(done) == [("orders", DAYS[1])]
    assert [
        (attempt.state, attempt.partitions)
        for attempt in done.attempts
        if attempt.state != "published"
    ] == [("rejected", [DAYS[0]])]
    (waits,) = lab.headrace("quarantine")
    assert "SIGABRT" in waits["reason"] and waits["partition"] == DAYS[0]
    assert kinds(lab) == [("poison_delivery", "orders")]
    (incident,) = lab.headrace("incidents")
    assert (
        incident["cause"]["summary"] == "its delivery ends the process that reads it (by SIGABRT)"
    )
    drop = f"headrace quarantine drop orders@{DAYS[0]} --reason TEXT"
    assert waits["decide"] == [drop], "what nothing can read can't be accepted as it is"
    assert lab.tick().attempts == []
    (lab.root / f"landing/orders_{DAYS[0]}.xlsx").write_bytes(GOOD)
    assert published(lab.tick()) == [("orders", DAYS[0])]
    assert kinds(lab) == []


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A project whose workers are ended by a file that says `die`, as a reader with a bug would end
    them.
    """
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "if 'headrace.runtime.fork_server' in ' '.join(sys.orig_argv):\n"
        "    from headrace.connect import ingest\n"
        "    opens = ingest.open_readable\n"
        "    def deadly(kept, *given, **named):\n"
        "        if b'die' in kept.read_bytes() or (b'once' in kept.read_bytes() and _first()):\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return opens(kept, *given, **named)\n"
        "    def _first():\n"
        "        try:\n"
        f"            os.close(os.open({str(tmp_path / 'died')!r}, os.O_CREAT | os.O_EXCL))\n"
        "        except FileExistsError:\n"
        "            return False\n"
        "        return True\n"
        "    ingest.open_readable = deadly\n"
    )
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    return Lab(tmp_path / "p")


@pytest.mark.long
def test_three_deaths_put_a_delivery_into_quarantine(deadly: Lab) -> None:
    """B19. Would catch: a file that ends workers for ever, or its neighbours that are blamed for it:
    they are its samples, and it is theirs."""
    lab = deadly
    lab.deliver(DAYS[0], [f"1,die,1.50,{DAYS[0]}"])
    for day in DAYS[1:4]:
        lab.orders(day)
    done = lab.tick()
    assert published(done) == [("orders", day) for day in DAYS[1:4]]
    (waits,) = lab.headrace("quarantine")
    assert (
        waits["partition"] == DAYS[0]
        and waits["reason"]
        == "3 workers ended while they read it; the last one was ended by SIGKILL"
    )
    assert kinds(lab) == [("poison_delivery", "orders")]
    assert lab.tick().attempts == []  # the count is the state's
    lab.deliver(DAYS[0], [f"1,lives,1.50,{DAYS[0]}", f"2,lives,1.50,{DAYS[0]}"])
    assert published(lab.tick()) == [("orders", DAYS[0])]
    assert kinds(lab) == []


def test_a_worker_that_is_lost_once_changes_no_type(deadly: Lab) -> None:
    """Would catch: types that are learnt from one delivery because a worker was killed, and from
    several where none was.
    """
    lab = deadly
    lab.deliver(
        DAYS[0], [f"010,once,1.50,{DAYS[0]}"]
    )  # alone it looks like a code with a leading zero
    for day in DAYS[1:5]:
        lab.deliver(day, [f"{number},c1,1.50,{day}" for number in range(10, 15)])
    lab.tick()
    assert lab.rows("select count(*) from attempt where state = 'lost'")[0][0] == 1
    types = {
        item["name"]: item["type"] for item in lab.headrace("contract", "show", "orders")["columns"]
    }
    assert types["order_id"] == "BIGINT"


def test_deaths_are_counted_across_runs(deadly: Lab) -> None:
    """Would catch: a count that begins anew with each leader."""
    lab = deadly
    lab.deliver(DAYS[0], [f"1,die,1.50,{DAYS[0]}"])
    lab.tick()
    lab.headrace("retry", f"orders@{DAYS[0]}", "--reason", "again", code=None)
    lost = lab.rows("select count(*) from attempt where state = 'lost'")[0][0]
    assert lost == 6  # asked for by a person, it is tried three times more, and then rejected again
    assert [item["reason"] for item in lab.headrace("quarantine")][-1].startswith("3 workers ended")
