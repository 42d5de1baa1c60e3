"""`headrace db`: on both databases, with real projects."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from runlab import DAYS, Lab, lab_on

CLEAN = "select order_id, cast(day as date) as day from orders"
LONG_AGO = 1_200_000_000  # in 2008, before the replay


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = lab_on(request, tmp_path / "p", monkeypatch)
    made.sql("clean", CLEAN)
    for day in DAYS[:3]:
        made.orders(day)
    made.tick()
    return made


def files(lab: Lab, folder: str = "lake/main") -> list[Path]:
    return sorted(path for path in (lab.root / ".headrace" / folder).rglob("*") if path.is_file())


def test_a_whole_state_has_no_finding(lab: Lab) -> None:
    response = lab.headrace("db", "check", "--deep")
    assert (response["ok"], response["findings"]) == (True, [])
    assert response["files"] == 6 and response["audit_entries"] > 6


def test_each_kind_of_damage_is_found_with_what_to_do(lab: Lab) -> None:
    """A lost file, a shortened one, one whose bytes changed, a publication that the catalog doesn't
    have.
    """
    lost, shortened, changed = files(lab)[:3]
    lost.unlink()
    os.truncate(shortened, shortened.stat().st_size - 1)
    with changed.open("r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 40)
    result = lab.headrace("db", "check", "--deep", code=1)["findings"]
    said = " ".join(item["message"] for item in result)
    assert all(path.name in said for path in (lost, shortened, changed)), result
    assert all("restore" in item["todo"] for item in result)
    assert any("run clean --partition" in item["todo"] for item in result)


def test_the_command_for_a_lost_file_can_be_typed(lab: Lab) -> None:
    """Catches: a key that the shell takes for a pattern, and `--partition` for what has none."""
    lab.sql(
        "everything",
        "select customer, sum(amount) as total from orders group by all",
        "description: all of it",
    )
    lab.headrace("apply", "--yes")
    lab.tick()
    ((path,),) = lab.rows(
        "select f.path from ducklake_data_file f join ducklake_table t using (table_id) where"
        " t.table_name = ?",
        "everything",
    )
    next(file for file in files(lab) if file.name == path).unlink()
    (result,) = lab.headrace("db", "check", code=1)["findings"]
    command = result["todo"].partition("compute it again: ")[2]
    assert command == "headrace run everything --again --reason 'lost file'"
    lab.headrace(*shlex.split(command)[1:])
    assert lab.read("everything")


def test_raw_bytes_that_were_changed_are_found_by_a_deep_check(lab: Lab) -> None:
    path = files(lab, "raw")[0]
    path.chmod(0o640)
    path.write_bytes(path.read_bytes().replace(b"1.50", b"9.50", 1))
    assert lab.headrace("db", "check")["ok"]
    (result,) = lab.headrace("db", "check", "--deep", code=1)["differences"]
    assert (result["source"], result["table"]) == ("file", "raw")
    assert result["key"]["path"] == path.relative_to(lab.root / ".headrace").as_posix()


def test_an_audit_trail_that_was_changed_is_found(lab: Lab) -> None:
    if lab.database is not None:
        lab.database.execute(
            "alter table headrace.audit disable trigger audit_no_update",
            "update headrace.audit set event = replace(event, 'tester', 'nobody') where seq = 2",
        )
    else:
        import sqlite3

        with sqlite3.connect(lab.root / ".headrace/state.db") as db:
            db.executescript(
                "drop trigger audit_no_update; update audit set event = replace(event, 'tester',"
                " 'nobody') where seq = 2"
            )
        db.close()
    result = lab.headrace("db", "check", code=1)["findings"]
    assert [item["about"] for item in result] == [
        "audit",
        "audit",
    ], "the trigger that is gone, and the entry"


def test_a_backup_brings_everything_back(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    made = lab.headrace("db", "backup", str(folder))
    assert made["files"] > 6
    before = sorted(row["order_id"] for row in lab.read("clean"))
    shutil.rmtree(lab.root / ".headrace/lake")
    shutil.rmtree(lab.root / ".headrace/raw")
    assert not lab.headrace("db", "check", code=1)["ok"]
    restored = lab.headrace("db", "restore", str(folder), "--force")
    assert restored["aside"] and restored["epoch"] > made["epoch"]
    assert lab.headrace("db", "check", "--deep")["ok"]
    assert sorted(row["order_id"] for row in lab.read("clean")) == before
    assert lab.tick().state == "nothing_due"
    lab.orders(DAYS[3])
    assert [p.partition for p in lab.tick().published] == [DAYS[3]] * 2


@pytest.mark.long
def test_a_backup_can_be_made_after_a_lost_file_was_computed_again(
    lab: Lab, tmp_path: Path
) -> None:
    """Would catch: no backup for as long as earlier snapshots are kept, after a loss
    was repaired."""
    lost = next(path for path in files(lab) if "/clean/" in str(path))
    lost.unlink()
    lab.headrace("db", "backup", str(tmp_path / "refused"), code=3)
    assert not (tmp_path / "refused").exists()
    (result,) = lab.headrace("db", "check", code=1)["findings"]
    lab.headrace(*shlex.split(result["todo"].partition("compute it again: ")[2])[1:])
    made = lab.headrace("db", "backup", str(tmp_path / "kept"))
    assert made["missing_files"] == 1
    shutil.rmtree(lab.root / ".headrace/lake")
    assert lab.headrace("db", "restore", str(tmp_path / "kept"), "--force")["missing_files"] == 1
    assert len(lab.read("clean")) == 30
    assert lab.tick().state == "nothing_due"


def test_what_came_after_the_backup_comes_again_and_once(lab: Lab, tmp_path: Path) -> None:
    """The lake's files are newer than the restored state: they are orphans, left alone until they
    are old."""
    lab.headrace("db", "backup", str(tmp_path / "kept"))
    lab.orders(DAYS[3])
    lab.tick()
    newer = len(files(lab))
    lab.headrace("db", "restore", str(tmp_path / "kept"), "--force")
    assert len(files(lab)) == newer
    assert len(lab.read("clean")) == 30
    assert sorted(p.partition for p in lab.tick().published) == [DAYS[3]] * 2
    assert len(lab.read("clean")) == 40
    assert lab.headrace("db", "check")["ok"]


def test_a_leader_of_the_state_before_is_fenced(lab: Lab, tmp_path: Path) -> None:
    lab.headrace("db", "backup", str(tmp_path / "kept"))
    lab.tick()
    lab.tick()
    (epoch,) = lab.rows("select epoch from lease")[0]
    lab.headrace("db", "restore", str(tmp_path / "kept"), "--force")
    assert lab.rows("select epoch > ?, released from lease".replace("?", str(epoch))) == [(True, 1)]


def test_a_damaged_backup_touches_nothing(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    lab.headrace("db", "backup", str(folder))
    victim = next((folder / "data/lake").rglob("*.parquet"))
    copy = victim.with_suffix(".copy")
    shutil.copy(victim, copy)
    victim.unlink()
    victim.write_bytes(copy.read_bytes()[:-1] + b"x")
    state = lab.rows("select count(*) from audit")
    lab.headrace("db", "restore", str(folder), "--force", code=3)
    assert lab.rows("select count(*) from audit") == state
    assert lab.headrace("db", "check", "--deep")["ok"]


def test_nothing_is_overwritten(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    lab.headrace("db", "backup", str(folder))
    lab.headrace("db", "backup", str(folder), code=2)
    lab.headrace("db", "restore", str(folder), code=3)


@pytest.mark.long
def test_a_backup_is_restored_into_the_other_database(
    lab: Lab, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lab.headrace("db", "backup", str(tmp_path / "kept"))
    before = sorted(row["order_id"] for row in lab.read("clean"))
    other = Lab(
        tmp_path / "q", request.getfixturevalue("postgresql") if lab.database is None else None
    )
    os.environ["PG_PASSWORD"] = (
        other.database.password if other.database else os.environ.get("PG_PASSWORD", "")
    )
    other.sql("clean", CLEAN)
    shutil.copytree(lab.root / "landing", other.root / "landing", dirs_exist_ok=True)
    other.headrace("db", "restore", str(tmp_path / "kept"))
    assert other.headrace("db", "check", "--deep")["ok"]
    assert sorted(row["order_id"] for row in other.read("clean")) == before
    other.orders(DAYS[4])
    other.now = lab.now
    assert [p.partition for p in other.tick().published] == [DAYS[4]] * 2


@pytest.mark.long
def test_gc_frees_what_is_old_and_needed_by_nothing(lab: Lab) -> None:
    orphan = lab.root / ".headrace/lake/main/clean/left-behind.parquet"
    log = lab.root / ".headrace/logs/1/99.jsonl"
    young = lab.root / ".headrace/lake/main/clean/young.parquet"
    for path in (orphan, log, young):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)
    for path in (orphan, log):
        os.utime(path, (LONG_AGO, LONG_AGO))
    kept = set(files(lab)) - {orphan}
    would = lab.headrace("db", "gc", "--dry-run")
    assert {item["kind"]: item["files"] for item in would["freed"]} == {"orphans": 1, "logs": 1}
    assert orphan.exists()
    done = lab.headrace("db", "gc")
    assert done["freed"] == would["freed"]
    assert not orphan.exists() and not log.exists()
    assert set(files(lab)) == kept
    assert lab.headrace("db", "check")["ok"]


@pytest.mark.long
def test_pages_that_no_fetch_goes_on_with_are_freed(lab: Lab) -> None:
    """Would catch: pages of a throttled fetch that stay for ever where its source has changed."""
    old, young = (lab.root / f".headrace/pages/{name}.pages" for name in ("old", "young"))
    old.parent.mkdir()
    for path in (old, young):
        path.write_bytes(b"x" * 10)
    os.utime(old, (LONG_AGO, LONG_AGO))
    would = lab.headrace("db", "gc", "--dry-run")
    assert {item["kind"]: item["files"] for item in would["freed"]} == {"pages": 1}
    assert lab.headrace("db", "gc")["freed"] == would["freed"]
    assert young.exists() and not old.exists()


@pytest.mark.long
def test_raw_bytes_stay_for_as_long_as_their_source_says(lab: Lab) -> None:
    source = lab.root / "sources/orders.yaml"
    raw = files(lab, "raw")
    assert len(raw) == 3
    for path in raw:
        os.utime(path, (LONG_AGO, LONG_AGO))
    assert (
        lab.headrace("db", "gc")["freed"] == []
    )  # the replay's deliveries are younger than 90 days
    source.write_text(source.read_text() + "retain_raw: 1s\n")
    lab.headrace("apply", "--yes")
    freed = {item["kind"]: item["files"] for item in lab.headrace("db", "gc")["freed"]}
    assert freed == {"raw": 3}
    assert len(lab.read("clean")) == 30


def test_a_state_of_a_newer_version_is_refused_and_stays(lab: Lab) -> None:
    newer = "insert into migration (number, name, checksum, applied_at) values (99, 'x', 'y', 0)"
    if lab.database is not None:
        lab.database.execute(newer.replace("migration", "headrace.migration"))
    else:
        import sqlite3

        with sqlite3.connect(lab.root / ".headrace/state.db") as db:
            db.execute(newer)
        db.close()
    for command in (["db", "upgrade"], ["db", "check"], ["status"], ["tick"], ["db", "gc"]):
        lab.headrace(*command, code=1)
    assert lab.rows("select count(*) from migration where number = 99") == [(1,)]


def test_upgrade_of_what_is_up_to_date_does_nothing(lab: Lab) -> None:
    response: Any = lab.headrace("db", "upgrade")
    assert response["before"] == response["after"] and response["backup"] is None
    assert json.dumps(response)
