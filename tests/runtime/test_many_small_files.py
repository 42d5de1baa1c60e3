"""Tables with too many small files: merged in slices, and nothing that anybody reads changes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from runlab import BEGUN, Lab, published

from headrace.faults import FaultPoint
from headrace.lake import LakeTable
from headrace.model import LakeError
from headrace.runtime import small_merges
from headrace.runtime.small_merges import (
    MergedSlices,
    NoSliceProcess,
    SmallMerges,
    _Process,
    _Slice,
)
from headrace.store import Clock, Store

CLEAN = "select order_id, amount, cast(day as date) as day from orders"
LATEST = "select order_id, amount from clean"
DAYS = [f"2024-12-{day:02d}" for day in range(1, 21)]
CURRENT = (
    "select t.table_name, count(*) from ducklake_data_file f join ducklake_table t on t.table_id ="
    " f.table_id and t.end_snapshot is null where f.end_snapshot is null group by t.table_name"
)


LEADER = """import sys
from datetime import datetime
from pathlib import Path
from headrace.runtime.small_merges import SmallMerges
from headrace.project.session import ProjectSession
from headrace.store import Clock, Store

session = ProjectSession.open(Path(sys.argv[1]), "prod", "2025-02-01T00:00:00+00:00", "tester")
with Store.open(session.root, session.settings, create=True) as store:
    with store.write(None) as tx:
        clock = Clock.for_writing(tx, datetime.fromisoformat("2025-02-01T00:00:00+00:00"))
    SmallMerges(store, None, session.folders, clock).merge(files_max=10)
"""


def merge(
    lab: Lab,
    files_max: int = 10,
    slices_max: int | None = None,
    left_out: set[str] | None = None,
) -> MergedSlices:
    """As a server does, in a process that leads."""
    session = lab.session()
    with Store.open(session.root, session.settings, create=True) as store:
        with store.write(None) as tx:
            clock = Clock.for_writing(tx, lab.now)
        return SmallMerges(store, None, session.folders, clock).merge(
            files_max=files_max, slices_max=slices_max, left_out=left_out
        )


def files(lab: Lab) -> dict[str, int]:
    return dict(lab.rows(CURRENT))


def contents(lab: Lab, name: str) -> list[dict[str, Any]]:
    rows = lab.headrace("read", name, "--limit", "10000")["rows"]
    return sorted(rows, key=lambda row: (row["order_id"], str(row)))


def oldest_file(lab: Lab, name: str) -> Path:
    ((path,),) = lab.rows(
        "select f.path from ducklake_data_file f join ducklake_table t on t.table_id = f.table_id"
        " where t.table_name = ? and t.end_snapshot is null and f.end_snapshot is null order by"
        " f.data_file_id limit 1",
        name,
    )
    return lab.root / ".headrace/lake/main" / name / path


def corrupted(path: Path) -> None:
    """Its size and its footer are what they were; its first page isn't."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 64)


def overwritten(path: Path, sql: str) -> None:
    """By a valid Parquet file."""
    with duckdb.connect() as connection:
        rows = sql.format(f"read_parquet('{path}.before')")
        connection.execute(f"COPY ({rows}) TO '{path}' (FORMAT parquet)")


def build(lab: Lab) -> Lab:
    lab.sql("clean", CLEAN)
    lab.sql("latest", LATEST, "partition: day\nmaterialize: merge\nmerge: {keys: [order_id]}")
    for day in DAYS:
        lab.orders(day)
    lab.tick()
    return lab


@pytest.mark.long
def test_rows_evidence_and_log_are_as_before(any_lab: Lab) -> None:
    """Catches: lost rows, partitions that nobody knows, a state that differs from its event log,
    and a table merged by key whose next publication finds other files."""
    lab = build(any_lab)
    before = {name: contents(lab, name) for name in ("orders", "clean", "latest")}
    hashes = lab.rows("select node, partition, content_hash from publication order by 1, 2")
    assert {name: files(lab)[name] for name in ("orders", "clean")} == {"orders": 20, "clean": 20}
    assert merge(lab).files == {"clean": 16, "orders": 16}
    assert {name: files(lab)[name] for name in ("orders", "clean")} == {"orders": 5, "clean": 5}
    assert {name: contents(lab, name) for name in before} == before
    assert lab.rows("select node, partition, content_hash from publication order by 1, 2") == hashes
    lab.headrace("db", "check", "--deep")
    lab.headrace("db", "gc")
    lab.headrace("db", "check", "--deep")
    assert merge(lab) == MergedSlices()
    lab.orders(DAYS[-3], n=11)
    assert set(published(lab.tick())) >= {("clean", DAYS[-3]), ("orders", DAYS[-3])}
    days = [row["day"] for row in contents(lab, "clean")]
    assert {day: days.count(day) for day in DAYS} == {
        day: 11 if day == DAYS[-3] else 10 for day in DAYS
    }
    lab.headrace("db", "check", "--deep")


@pytest.mark.long
def test_a_table_with_a_damaged_file_is_left_out(lab: Lab) -> None:
    """Catches a merge that fails each time because of it, and other tables that wait for it."""
    build(lab)
    oldest_file(lab, "orders").unlink()
    with pytest.raises(LakeError, match="small files of `orders` can't be merged"):
        merge(lab)
    lab.tick()
    assert files(lab)["orders"] == 20
    merge(lab)
    assert {name: files(lab)[name] for name in ("orders", "clean")} == {"orders": 20, "clean": 5}


@pytest.mark.long
def test_a_command_stops_after_some_slices_and_the_next_continues(lab: Lab) -> None:
    build(lab)
    assert merge(lab, slices_max=1).slices == {"clean": 1}
    assert merge(lab, slices_max=1).slices == {"orders": 1}


@pytest.mark.long
def test_an_unreadable_file_stops_no_other_table(any_lab: Lab) -> None:
    """Catches one flipped page that the regular checks can't see, and that keeps the tables after
    it from being merged, or is tried again by each check of a server."""
    lab = build(any_lab)
    corrupted(oldest_file(lab, "clean"))
    left_out: set[str] = set()
    with pytest.raises(LakeError, match="small files of `clean` can't be merged"):
        merge(lab, left_out=left_out)
    assert (files(lab)["clean"], files(lab)["orders"]) == (20, 5)
    assert left_out == {"clean"}
    assert merge(lab, left_out=left_out) == MergedSlices()


@pytest.mark.long
def test_another_file_in_a_sources_place_is_found_and_not_merged(any_lab: Lab) -> None:
    """Catches a merge that hides for ever that the rows aren't those that were published."""
    lab = build(any_lab)
    path = oldest_file(lab, "orders")
    path.rename(f"{path}.before")
    overwritten(path, "SELECT * REPLACE (amount || '0' AS amount) FROM {}")
    with pytest.raises(LakeError, match=f"main/orders/{path.name} has .* bytes and not"):
        merge(lab)
    assert (files(lab)["clean"], files(lab)["orders"]) == (5, 20)
    findings = str(lab.headrace("db", "check", code=None))
    assert f"main/orders/{path.name}" in findings


@pytest.mark.long
def test_a_footer_that_differs_from_the_known_one_is_found(lab: Lab) -> None:
    """Catches a merge that doesn't know what the regular checks know: the footer's hash."""
    build(lab)
    lab.tick()  # looks at the files
    path = oldest_file(lab, "orders")
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"DuckDB") if b"DuckDB" in content else content.rindex(b"arrow")] ^= 1
    path.write_bytes(content)
    with pytest.raises(LakeError, match="its footer differs"):
        merge(lab)
    assert files(lab)["orders"] == 20


@pytest.mark.long
def test_a_process_that_cant_start_is_an_error_of_the_lake(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: an OSError that ends the thread of a server, tables that are left out although
    nothing is wrong with them, and a process that is started for nothing."""
    build(lab)
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    left_out: set[str] = set()
    with pytest.raises(NoSliceProcess, match="no process can be started"):
        merge(lab, left_out=left_out)
    assert left_out == set()
    monkeypatch.undo()
    merge(lab)
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert merge(lab, files_max=4) == MergedSlices()  # five each, and no eight alike


@pytest.mark.long
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "has ended"),
        ('{"staged": {"path"', "has ended"),
        ('{"staged": {"path"\\n', "can't be read"),
        ("\\x00\\n", "can't be read"),
    ],
)
def test_an_answer_that_is_cut_short_is_an_error_of_the_table(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, why: str
) -> None:
    """Catches: an error of the JSON decoder that ends the thread, a process that has ended and is
    asked for the next table, and half an answer that is taken for one."""
    build(lab)
    once = tmp_path / "once"
    (tmp_path / "broken_slices.py").write_text(
        "import os, pathlib, sys\n"
        f"if pathlib.Path({str(once)!r}).exists():\n"
        f"    import {small_merges.PROCESS} as it\n"
        "    it.main()\n"
        f"pathlib.Path({str(once)!r}).touch()\n"
        "sys.stdin.buffer.readline()\n"
        f"os.write(1, b'{answer}')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(small_merges, "PROCESS", "broken_slices")
    with pytest.raises(LakeError, match=f"small files of `clean` can't be merged: .*{why}"):
        merge(lab)
    assert (files(lab)["clean"], files(lab)["orders"]) == (20, 5)


def test_a_lake_whose_path_is_no_text_is_an_error_of_the_lake(tmp_path: Path) -> None:
    """Catches a UnicodeEncodeError that ends the thread of a server."""
    lake = Path(os.fsdecode(bytes(tmp_path) + b"/\xff"))
    with _Process(lake, give_way=False) as process, pytest.raises(LakeError, match="utf-8"):
        process.merge(_Slice(LakeTable("t", ()), (), {}))


@pytest.mark.long
def test_the_process_ends_with_a_killed_leader(lab: Lab, tmp_path: Path) -> None:
    """Catches a process that goes on reading and writing, beside that of the next leader."""
    build(lab)
    trace = tmp_path / "trace"
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER, str(lab.root)],
        env={
            **os.environ,
            "HEADRACE_FAULT": f"{FaultPoint.SLICE_WRITTEN}=sleep:100000",
            "HEADRACE_FAULT_TRACE": str(trace),
        },
        text=True,
        start_new_session=True,
    )
    BEGUN.append(leader)
    marked = f"{FaultPoint.SLICE_WRITTEN} "
    until = time.monotonic() + 150
    while not (trace.exists() and marked in trace.read_text()):
        assert leader.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    pid = int(trace.read_text().partition(marked)[2].split()[0])
    assert pid != leader.pid
    leader.kill()
    leader.wait()
    while (
        Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    ):
        assert time.monotonic() < until
        time.sleep(0.05)
