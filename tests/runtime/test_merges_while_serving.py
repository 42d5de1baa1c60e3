"""A server merges small files while it ingests and publishes: their number stays bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from runlab import BEGUN, ORDERS, Lab

from headrace.faults import FaultPoint

FILES_MAX, FILES_BETWEEN = 16, 4
LIMITS = f"""import sys
if "serve" in sys.argv or "serve" in sys.orig_argv:
    import headrace.runtime.small_merges as it
    it.CURRENT_FILES_MAX, it.FILES_BETWEEN = {FILES_MAX}, {FILES_BETWEEN}
    import headrace.serving.serving as it
    it.MAINTENANCE_SECONDS = 0.1
"""
ROUNDS = f"""import sys
if "serve" in sys.argv or "serve" in sys.orig_argv:
    import headrace.lake.catalog.small_merges as it
    it.MERGED_AT_MOST = 8
    import headrace.runtime.small_merges as it
    it.CURRENT_FILES_MAX, it.FILES_BETWEEN, it.SLICES_PER_ROUND = {FILES_MAX}, 1_000, 1
    import headrace.serving.serving as it
    it.MAINTENANCE_SECONDS = it.MAINTENANCE_RETRY_SECONDS = 0.1
"""
"""No round begins because of new files."""
CURRENT = (
    "select count(*) from ducklake_data_file f join ducklake_table t on t.table_id = f.table_id"
    " where f.end_snapshot is null and t.table_name = 'orders'"
)
SECONDS = 150.0


def wait_until(true: Callable[[], bool], output: Path) -> None:
    until = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < until, output.read_text()
        time.sleep(0.1)


def published(lab: Lab) -> int:
    ((number,),) = lab.rows("select count(*) from publication")
    return int(number)


def serving(
    lab: Lab, folder: Path, limits: str = LIMITS, **environment: str
) -> subprocess.Popen[str]:
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(limits)
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "serve", "--port", "0", "--project", str(lab.root)],
            env={**os.environ, "PYTHONPATH": str(folder), **environment},
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        )
    BEGUN.append(process)
    return process


def deliver(lab: Lab, number: int, day: str) -> None:
    """In one step, so that the server sees no unfinished file."""
    rows = "".join(f"{number + 1}0{n},c{n},1.5,{day}\n" for n in range(9))
    (lab.root / "unfinished").write_text(f"{ORDERS[0]}\n{rows}")
    (lab.root / "unfinished").rename(lab.root / f"landing/orders_{day}.csv")


@pytest.mark.long
def test_the_number_of_files_stays_bounded_while_deliveries_arrive(
    lab: Lab, tmp_path: Path
) -> None:
    """Catches: merges that never begin, that make a publication fail or that outlive the server,
    and a partition published twice because a merge came between."""
    lab.sql("clean", "select order_id, amount, cast(day as date) as day from orders")
    today = datetime.now(UTC)
    days = [f"{today - timedelta(days=back):%Y-%m-%d}" for back in range(60, 0, -1)]
    lab.headrace("apply", "--yes")  # the state is there before anything reads it
    process = serving(lab, tmp_path / "preloaded")
    output = tmp_path / "preloaded/output"
    for number, day in enumerate(days):
        deliver(lab, number, day)
        if number % 6 == 5:  # in several rounds, so that merges come between publications
            wait_until(lambda done=number + 1: published(lab) >= 2 * done, output)  # type: ignore[misc]
    # counted again only after so many new files
    files_max = FILES_MAX + FILES_BETWEEN
    wait_until(lambda: lab.rows(CURRENT) <= [(files_max,)], output)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=SECONDS) == 0
    # A slow machine takes several deliveries in one attempt, which writes one file for all.
    ((merged,),) = lab.rows("select count(*) from ducklake_files_scheduled_for_deletion")
    ((current,),) = lab.rows(CURRENT)
    assert merged > 0 or current + merged <= files_max, "nothing was ever merged"
    assert lab.rows("select distinct state from attempt") == [("published",)]
    assert lab.rows("select node, count(*) from publication group by node order by 1") == [
        ("clean", 60),
        ("orders", 60),
    ]
    counted = "select (select count(*) from orders) as o, (select count(*) from clean) as c"
    assert lab.headrace("sql", counted)["rows"] == [{"o": 540, "c": 540}]
    lab.headrace("db", "check", "--deep")


@pytest.mark.long
def test_a_server_continues_after_each_round_and_after_one_that_failed(
    lab: Lab, tmp_path: Path
) -> None:
    """Catches: files that stay until new ones arrive, because a round merges only so many slices
    or because of an error that nobody expected."""
    today = datetime.now(UTC)
    for back in range(40, 0, -1):
        deliver(lab, back, f"{today - timedelta(days=back):%Y-%m-%d}")
    lab.headrace("apply", "--yes")
    lab.headrace("tick")
    assert lab.rows(CURRENT) > [(FILES_MAX,)]  # those of the last days share one
    once = tmp_path / "once"
    process = serving(
        lab,
        tmp_path / "preloaded",
        ROUNDS,
        HEADRACE_FAULT=f"{FaultPoint.SLICE_STAGED}=error",
        HEADRACE_FAULT_ONCE=str(once),
    )
    output = tmp_path / "preloaded/output"
    wait_until(lambda: lab.rows(CURRENT) <= [(FILES_MAX,)], output)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=SECONDS) == 0
    assert once.exists()
    assert "small files can't be merged" in output.read_text()
    lab.headrace("db", "check", "--deep")
