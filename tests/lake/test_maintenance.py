"""Merging, expiring, cleaning: in a process of its own, beside a leader that publishes, without
losing a row or an open file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lakelab import NOON, SECOND, Lake

from headrace.lake import catalog
from headrace.lake.files import orphans

DAY = "SELECT range AS id FROM range({})"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def _maintain(lake: Lake, *arguments: str) -> subprocess.CompletedProcess[str]:
    base = [
        sys.executable,
        "-m",
        "headrace.lake.maintenance",
        arguments[0],
        "--catalog",
        str(lake.catalog_path),
        "--data-folder",
        str(lake.data_folder),
    ]
    return subprocess.run(
        [*base, *arguments[1:]], capture_output=True, text=True, check=False, timeout=50
    )


def _document(lake: Lake, *arguments: str) -> Any:
    done = _maintain(lake, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _at(number: int) -> str:
    return datetime.fromtimestamp((NOON + number * SECOND) / SECOND, UTC).isoformat()


def test_small_files_become_few_and_no_row_is_lost(lake: Lake) -> None:
    for number in range(1, 13):
        lake.publish("t", f"k{number:02d}", DAY.format(number))
    done = _document(lake, "merge", "--files-max", "5")
    assert done["files_before"] == {"t": 12}
    assert done["files_after"]["t"] < 12
    lake.check("t")
    assert len(lake.rows("t")) == 78


def test_expiry_keeps_what_is_pinned_and_cleaning_only_what_is_named(lake: Lake) -> None:
    for rows in range(1, 6):
        lake.publish("t", "k", DAY.format(rows))
    assert _document(lake, "expire", "--before", _at(100), "--keep", "2,4") == {
        "snapshots": [0, 1, 3]
    }
    assert catalog.snapshot_exists(lake.tx, 2)
    late = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    cleaned = _document(lake, "clean", "--before", late, "--longest-attempt-s", "-60")
    assert len(cleaned["paths"]) == 2
    assert [len(lake.rows("t", snapshot=snapshot)) for snapshot in (2, 4, 5)] == [2, 4, 5]
    lake.check("t")


def test_cleaning_what_an_attempt_may_still_read_is_refused(lake: Lake) -> None:
    """Cleaning all at once deletes the files of long readers and open transactions."""
    lake.publish("t", "k", DAY.format(1))
    done = _maintain(
        lake, "clean", "--before", datetime.now(UTC).isoformat(), "--longest-attempt-s", "3600"
    )
    assert done.returncode != 0
    assert "may still be read" in done.stderr


def test_a_snapshot_that_readers_hold_outlives_a_replacement(lake: Lake) -> None:
    """Files leave the disk only with the last snapshot that names them, not when a newer one ends
    them."""
    first = lake.publish("t", "k", DAY.format(3))
    held = catalog.files(lake.tx, "t", None)
    lake.publish("t", "k", DAY.format(4))
    _document(
        lake,
        "clean",
        "--before",
        (datetime.now(UTC) + timedelta(seconds=5)).isoformat(),
        "--longest-attempt-s",
        "-60",
    )
    assert all((lake.data_folder / file.path).is_file() for file in held)
    assert len(lake.rows("t", snapshot=first)) == 3


@pytest.mark.long
def test_maintenance_beside_a_leader_that_publishes_takes_nothing_from_it(lake: Lake) -> None:
    """Both write one SQLite file, from two processes: nobody gets an error that isn't tried again,
    and both results stand.
    """
    for number in range(1, 9):
        lake.publish("t", f"k{number}", DAY.format(number))
    base = [
        sys.executable,
        "-m",
        "headrace.lake.maintenance",
        "merge",
        "--catalog",
        str(lake.catalog_path),
        "--data-folder",
        str(lake.data_folder),
    ]
    with subprocess.Popen(
        base, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        published = 0
        lake.tx.execute("PRAGMA busy_timeout = 10000")
        while process.poll() is None and published < 60:
            lake.publish("u", f"k{published}", DAY.format(1))
            published += 1
        output, errors = process.communicate(timeout=50)
    assert process.returncode == 0, errors
    assert json.loads(output)["files_after"]["t"] < 8
    assert len(lake.rows("u")) == published
    lake.check("t")


def test_the_catalogs_journal_stays_a_write_ahead_log(lake: Lake) -> None:
    """In the default mode one reader with an open transaction locks everybody out."""
    lake.publish("t", "k", DAY.format(1))
    _document(lake, "merge")
    assert lake.tx.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_orphans_are_files_that_nothing_names_and_nobody_is_writing(lake: Lake) -> None:
    lake.publish("t", "named", DAY.format(1))
    open_attempt = lake.stage("t", "open", DAY.format(1))[0].path
    lost = lake.stage("t", "lost", DAY.format(1))[0].path
    fresh = lake.stage("t", "fresh", DAY.format(1))[0].path
    for path in (open_attempt, lost, *(ref.path for ref in catalog.files(lake.tx, "t", None))):
        os.utime(lake.data_folder / path, (1_000_000_000, 1_000_000_000))
    (lake.data_folder / "main" / "t" / "link.parquet").symlink_to("/etc/passwd")
    (lake.data_folder / "main" / "t" / "notes.txt").write_text("ours to leave alone")
    before = 1_500_000_000 * SECOND
    result = orphans(
        lake.data_folder, catalog.named_paths(lake.tx), {open_attempt}, before_us=before
    )
    assert [orphan.path for orphan in result] == [lost]
    assert (lake.data_folder / fresh).is_file()
    assert (lake.data_folder / open_attempt).is_file()
    lake.check("t")


def test_files_of_every_snapshot_and_of_foreign_writers_are_named(lake: Lake) -> None:
    """An orphan listing that looked at the newest snapshot only would delete history, merged files
    and deletions."""
    lake.publish("t", "a", DAY.format(5))
    lake.publish("t", "a", DAY.format(6))
    lake.publish("t", "b", DAY.format(6))
    lake.ducklake("DELETE FROM t WHERE id = 1")
    lake.ducklake("INSERT INTO t VALUES ('c', 1)")
    lake.ducklake("CALL ducklake_merge_adjacent_files('lake')")
    on_disk = {
        path.relative_to(lake.data_folder).as_posix()
        for path in lake.data_folder.rglob("*.parquet")
    }
    assert catalog.named_paths(lake.tx) == on_disk
    assert orphans(lake.data_folder, catalog.named_paths(lake.tx), (), before_us=2**62) == []


def test_staged_files_are_orphans_to_ducklake_and_not_to_us(lake: Lake) -> None:
    """Why orphans aren't left to DuckLake: it would delete what attempts have staged."""
    lake.publish("t", "named", DAY.format(1))
    staged = lake.stage("t", "open", DAY.format(1))[0].path
    theirs = lake.ducklake(
        "CALL ducklake_delete_orphaned_files('lake', dry_run => true, cleanup_all => true)"
    )
    assert any(row[0].endswith(staged) for row in theirs)
    assert orphans(lake.data_folder, catalog.named_paths(lake.tx), {staged}, before_us=2**62) == []
