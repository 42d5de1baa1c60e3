"""What workers may use and what they may keep, seen through whole runs."""

from __future__ import annotations

import ast
import contextlib
import shlex
import subprocess
import time
from collections.abc import Iterator

import pytest
from runlab import DAYS, Lab, published

from headrace.responses import RunResponse

pytestmark = pytest.mark.usefixtures("cold_fork_servers")


def again(response: RunResponse, name: str) -> str:
    return (
        f"headrace backfill {name} --from {DAYS[0]} --to {DAYS[0]} --reason 'repair of run"
        f" {response.run_id}'"
    )


@pytest.mark.long
def test_too_much_memory_is_an_error_that_says_how_much(lab: Lab) -> None:
    """Would catch: a kill without a reason, retried for ever."""
    lab.python(
        "eats",
        # held until the worker is ended: memory is measured several times a second, not at each use
        "def eats(orders):\n    import time\n    held = bytearray(b'x') * 600_000_000\n"
        "    time.sleep(60 if len(held) > 6 else 0)\n    return orders",
        inputs=["orders"],
        partition="day",
        memory_max="300MiB",
    )
    lab.sql("good", "select order_id, cast(day as date) as day from orders")
    lab.orders(DAYS[0])
    response = lab.tick()
    attempts = [attempt for attempt in response.attempts if attempt.asset == "eats"]
    assert ("good", DAYS[0]) in published(response)
    assert [attempt.state for attempt in attempts] == [
        "failed",
        "failed",
    ], "once more, and then it is an incident"
    error = attempts[-1].error
    assert (
        error is not None
        and error.kind == "resources"
        and error.code == "out_of_memory"
        and "300 MiB" in error.message
    )
    (incident,) = lab.headrace("incidents")
    repair = incident["repair"]
    assert (repair["automatic"], repair["first"]) == (
        False,
        "make eats (assets/eats.py:4) use less memory, or raise its memory_max",
    )
    assert repair["commands"] == ["headrace apply", f"headrace fix {incident['id']}"]
    (row,) = response.repairs
    assert (row.first, row.commands) == (
        repair["first"],
        ["headrace apply", again(response, "eats")],
    )
    seen = incident["cause"]["evidence"]
    assert sorted(item["attempts"] for item in seen) == [[attempt.id] for attempt in attempts], (
        "each attempt is counted once"
    )
    lab.write(
        "assets/eats.py", (lab.root / "assets/eats.py").read_text().replace("600_000_000", "6")
    )
    lab.headrace("apply", "--yes")
    lab.headrace(*shlex.split(row.commands[-1])[1:], "--yes")
    assert lab.headrace("incidents") == []


@pytest.mark.long
@pytest.mark.parametrize("ends", ["os.kill(os.getpid(), 9)", "os._exit(3)"])
def test_code_that_ends_each_worker_is_counted_and_told_what_to_look_at(
    lab: Lab, ends: str
) -> None:
    """Would catch: "partial: 1 partition published" of a run that gave an asset up, without a
    repair; and an incident that asks for `headrace fix` again and again, which loses three more
    workers each time."""
    lab.python(
        "dies", f"def dies(orders):\n    import os\n    {ends}", inputs=["orders"], partition="day"
    )
    lab.orders(DAYS[0])
    response = lab.tick()
    assert [(item.asset, item.partition, item.state) for item in response.rejected] == [
        ("dies", DAYS[0], "failed")
    ]
    first = (
        "look at the machine that runs Headrace, and at dies (assets/dies.py:4): its code, and the"
        " memory that it takes"
    )
    (row,) = response.repairs
    assert (row.first, row.commands) == (first, ["headrace apply", again(response, "dies")])
    (incident,) = lab.headrace("incidents")
    assert incident["cause"]["kind"] == "worker_lost"
    repair = incident["repair"]
    assert (repair["automatic"], repair["first"]) == (False, first)
    assert repair["commands"] == ["headrace apply", f"headrace fix {incident['id']}"]
    lab.headrace("fix", incident["id"], "--yes", code=1)
    (after,) = lab.headrace("incidents")
    assert after["repair"] == repair
    lab.write(
        "assets/dies.py", (lab.root / "assets/dies.py").read_text().replace(ends, "return orders")
    )
    lab.headrace("apply", "--yes")
    lab.headrace("fix", incident["id"], "--yes")
    assert lab.headrace("incidents") == []


@pytest.mark.long
@pytest.mark.parametrize(("computed", "corrected"), [(True, False), (False, False), (False, True)])
def test_lost_workers_are_evidence_against_a_change_that_has_computed_nothing(
    lab: Lab, computed: bool, corrected: bool
) -> None:
    """Would catch: "code_error … version 2 changed its code", and a `fix` that refuses for ever, of
    code that had computed all other days since its change; and tick that says the machine where the
    incident says the code."""
    marker = lab.root / "dying"
    body = (
        "def dies(orders):\n    import os, pathlib\n    if"
        f" pathlib.Path({str(marker)!r}).exists():\n        os._exit(3)\n"
    )
    lab.python("dies", body + "    return orders", inputs=["orders"], partition="day")
    for day in DAYS[:2]:
        lab.orders(day)
    lab.tick()
    lab.write(
        "assets/dies.py",
        (lab.root / "assets/dies.py")
        .read_text()
        .replace("return orders", "return orders.slice(0, 5)"),
    )
    lab.headrace("apply", "--yes")
    if computed:
        lab.headrace(
            "backfill", "dies", "--from", DAYS[0], "--to", DAYS[1], "--reason", "new code", "--yes"
        )
    marker.touch()
    lab.orders(DAYS[2])
    (row,) = lab.tick().repairs
    (incident,) = lab.headrace("incidents")
    machine = (
        "look at the machine that runs Headrace, and at dies (assets/dies.py:4): its code, and the"
        " memory that it takes"
    )
    said = (incident["cause"]["kind"], incident["repair"]["first"], row.first)
    if computed:
        assert said == ("worker_lost", machine, machine)
    else:
        correct = "correct assets/dies.py, or its input"
        assert said == ("code_error", correct, correct)
        assert {item["repair"]["first"] for item in lab.headrace("runs", "--failed")} == {correct}
        marker.unlink()
        if corrected:
            lab.write(
                "assets/dies.py",
                (lab.root / "assets/dies.py").read_text().replace("slice(0, 5)", "slice(0, 6)"),
            )
            lab.headrace("apply", "--yes")
        lab.headrace(
            "backfill", "dies", "--from", DAYS[0], "--to", DAYS[1], "--reason", "new code", "--yes"
        )
        (incident,) = lab.headrace("incidents")
        again = ("code_error", None) if corrected else ("worker_lost", machine)
        assert (
            incident["cause"]["kind"],
            incident["repair"]["first"],
        ) == again, "which code computed the other days"
    marker.unlink(missing_ok=True)
    lab.headrace("fix", incident["id"], "--yes")
    assert lab.headrace("incidents") == []


def test_open_files_that_run_out_name_the_limit(lab: Lab) -> None:
    """Would catch: "fix INC-1" alone, where only a higher limit or other code helps."""
    body = (
        "def opens(orders):\n    held = []\n    while True:\n        held.append(open('/dev/null'))"
    )
    lab.python("opens", body, inputs=["orders"], partition="day")
    lab.orders(DAYS[0])
    response = lab.tick()
    first = (
        "look at opens (assets/opens.py:4): raise the limit (`ulimit -n`), or open fewer files at"
        " once"
    )
    (row,) = response.repairs
    assert (row.first, row.commands) == (first, ["headrace apply", again(response, "opens")])
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["repair"]["first"]) == ("resource_exhausted", first)
    assert incident["repair"]["commands"] == ["headrace apply", f"headrace fix {incident['id']}"]


@pytest.mark.long
def test_duckdb_spills_before_the_limit(lab: Lab) -> None:
    """Would catch: SQL that is killed where DuckDB could have gone to disk, because it wasn't told
    of the limit.
    """
    rows = "select distinct hash(range) as h, repeat('x', 40) || range as s from range(4000000)"
    front = "partition: {by: day, column: day}\nmemory_max: 256MiB"
    lab.sql(
        "big",
        f"select count(*) as n, cast('2025-01-01' as date) as day from ({rows}), orders",
        front,
    )
    lab.orders(DAYS[0], n=1)
    assert ("big", DAYS[0]) in published(lab.tick())


def test_what_works_without_rows_of_python_does_not_load_arrow(lab: Lab) -> None:
    """Would catch: fifty megabytes more in each worker, for deliveries, SQL, their profiles, and
    bodies that only do something.
    """
    lab.sql("first", "select order_id, amount, cast(day as date) as day from orders")
    noted = lab.root / "noted"
    body = f"def last():\n    import os, sys\n    with open({str(noted)!r}, 'w') as file:\n"
    body += (
        "        file.write(repr(('pyarrow' in sys.modules, 'headrace.checks.profiles' in"
        " sys.modules, os.getpid())))"
    )
    lab.python("last", body, depends=["first"], materialize="none", partition="day", start=DAYS[0])
    lab.write(
        "headrace.toml",
        (lab.root / "headrace.toml").read_text().replace("workers = 2", "workers = 1"),
    )
    lab.orders(DAYS[0])
    assert ("first", DAYS[0]) in published(lab.tick())
    assert ast.literal_eval(noted.read_text())[:2] == (
        False,
        True,
    ), "the same worker described what it staged before"


@pytest.mark.slow
def test_a_helper_that_was_changed_and_applied_is_what_runs(lab: Lab) -> None:
    """Would catch: modules of an older version that stay in a warm worker of a leader
    that goes on."""
    lab.write("assets/helper.py", "WORD = 'old'\n")
    lab.python(
        "says",
        "def says(orders):\n    import helper\n    yield {'word': helper.WORD}",
        inputs=["orders"],
        partition="day",
    )
    lab.orders(DAYS[0])
    with serving(lab):
        lab.headrace("run", "says")
        before = lab.read("says")
        lab.write("assets/helper.py", "WORD = 'new'\n")
        lab.headrace("apply", "--yes")
        lab.headrace("run", "says", "--again", "--reason", "its helper changed")
    assert [row["word"] for row in (*before, *lab.read("says"))] == ["old", "new"]


@contextlib.contextmanager
def serving(lab: Lab) -> Iterator[None]:
    """A server that goes on while other processes ask it for things."""
    server = subprocess.Popen(
        lab.command("serve", "--port", "0"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 40
        while not (lab.root / ".headrace/state.db").exists() or not lab.rows(
            "select 1 from sqlite_master where name = 'lease'"
        ):
            assert time.monotonic() < deadline and server.poll() is None
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait(30)
