"""What workers may use and what they may keep, seen through whole runs."""

from __future__ import annotations

import ast
import contextlib
import subprocess
import time
from collections.abc import Iterator

import pytest
from runlab import DAYS, Lab, published

pytestmark = pytest.mark.usefixtures("cold_mothers")


def test_too_much_memory_is_an_error_that_says_how_much(lab: Lab) -> None:
    """Would catch: a kill without a reason, retried for ever."""
    lab.python(
        "eats",
        "def eats(orders):\n    held = bytearray(b'x') * 600_000_000\n    return orders",
        inputs=["orders"],
        partition="day",
        memory_max="300MiB",
    )
    lab.sql("good", "select order_id, cast(day as date) as day from orders")
    lab.orders(DAYS[0])
    document = lab.tick()
    attempts = [one for one in document.attempts if one.asset == "eats"]
    assert ("good", DAYS[0]) in published(document)
    assert [one.state for one in attempts] == ["failed", "failed"], "once more, and then it is an incident"
    error = attempts[-1].error
    assert error is not None and error.kind == "resources" and error.code == "out_of_memory" and "300 MiB" in error.message
    (incident,) = lab.headrace("incidents")
    repair = incident["repair"]
    assert (repair["automatic"], repair["first"]) == (False, "make eats (assets/eats.py:4) use less memory, or raise its memory_max")
    assert repair["commands"] == ["headrace apply", f"headrace fix {incident['id']}"]


def test_duckdb_spills_before_the_limit(lab: Lab) -> None:
    """Would catch: SQL that is killed where DuckDB could have gone to disk, because it wasn't told of the limit."""
    rows = "select distinct hash(range) as h, repeat('x', 40) || range as s from range(4000000)"
    front = "partition: {by: day, column: day}\nmemory_max: 256MiB"
    lab.sql("big", f"select count(*) as n, cast('2025-01-01' as date) as day from ({rows}), orders", front)
    lab.orders(DAYS[0], n=1)
    assert ("big", DAYS[0]) in published(lab.tick())


def test_what_works_without_rows_of_python_does_not_load_arrow(lab: Lab) -> None:
    """Would catch: fifty megabytes more in each worker, for deliveries, SQL, their profiles, and bodies that only do something."""
    lab.sql("first", "select order_id, amount, cast(day as date) as day from orders")
    noted = lab.root / "noted"
    body = f"def last():\n    import os, sys\n    with open({str(noted)!r}, 'w') as file:\n"
    body += "        file.write(repr(('pyarrow' in sys.modules, 'headrace.quality.describing' in sys.modules, os.getpid())))"
    lab.python("last", body, depends=["first"], materialize="none", partition="day", start=DAYS[0])
    lab.write("headrace.toml", (lab.root / "headrace.toml").read_text().replace("workers = 2", "workers = 1"))
    lab.orders(DAYS[0])
    assert ("first", DAYS[0]) in published(lab.tick())
    assert ast.literal_eval(noted.read_text())[:2] == (False, True), "the same worker described what it staged before"


@pytest.mark.slow
def test_a_helper_that_was_changed_and_applied_is_what_runs(lab: Lab) -> None:
    """Would catch: modules of an older version that stay in a warm worker of a leader that goes on."""
    lab.write("assets/helper.py", "WORD = 'old'\n")
    lab.python("says", "def says(orders):\n    import helper\n    yield {'word': helper.WORD}", inputs=["orders"], partition="day")
    lab.orders(DAYS[0])
    with serving(lab):
        lab.headrace("run", "says")
        before = lab.read("says")
        lab.write("assets/helper.py", "WORD = 'new'\n")
        lab.headrace("apply")
        lab.headrace("run", "says", "--again", "--reason", "its helper changed")
    assert [row["word"] for row in (*before, *lab.read("says"))] == ["old", "new"]


@contextlib.contextmanager
def serving(lab: Lab) -> Iterator[None]:
    """A server that goes on while other processes ask it for things."""
    server = subprocess.Popen(lab.command("serve", "--port", "0"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 40
        while not (lab.root / ".headrace/state.db").exists() or not lab.rows("select 1 from sqlite_master where name = 'lease'"):
            assert time.monotonic() < deadline and server.poll() is None
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait(30)
