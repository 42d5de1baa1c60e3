"""Backups that the leader makes by itself, and what `db restore` makes of them."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from warm_fork_servers import headrace

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from runlab import DAYS, SETTINGS, Lab, lab_on

from headrace.faults import FaultPoint
from headrace.security.state import FILE

CLEAN = "select order_id, amount, cast(day as date) as day from orders"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return made(lab_on(request, tmp_path / "p", monkeypatch))


@pytest.fixture
def sqlite(tmp_path: Path) -> Lab:
    return made(Lab(tmp_path / "p"))


def made(lab: Lab) -> Lab:
    lab.sql("clean", CLEAN)
    lab.orders(DAYS[0])
    return lab


def settings(lab: Lab, text: str) -> None:
    lab.write("headrace.toml", f"{SETTINGS}{text}\n")


def backups(lab: Lab, folder: str = ".headrace/backups") -> list[Path]:
    """Those that count: whole ones, oldest first."""
    return sorted(path for path in (lab.root / folder).glob("*") if not path.name.startswith("."))


def lose(lab: Lab) -> None:
    if lab.database is not None:
        lab.database.execute("drop schema headrace cascade", "drop schema headrace_lake cascade")
    for path in (lab.root / ".headrace").glob("state.db*"):
        path.unlink()


def aged(folder: Path, hours: float) -> None:
    """As if it had been made earlier."""
    manifest = folder / "manifest.json"
    said = json.loads(manifest.read_text())
    said["made_at"] -= int(hours * 3_600e6)
    manifest.write_text(json.dumps(said))


def command(lab: Lab, *arguments: str, **environment: str) -> Any:
    return headrace(
        [*arguments, "--project", str(lab.root)], Path.cwd(), {**os.environ, **environment}, 50
    )


@pytest.mark.long
def test_a_tick_makes_one_a_day_and_a_lost_state_comes_back_from_it(lab: Lab) -> None:
    lab.headrace("tick")
    (first,) = backups(lab)
    assert {path.name for path in first.iterdir()} == {"manifest.json", "state.db"}
    lab.headrace("tick")
    assert backups(lab) == [first], "the next is due in a day"
    aged(first, 25)
    lab.orders(DAYS[1])
    lab.headrace("tick")
    _, second = backups(lab)

    lose(lab)
    told = command(lab, "db", "restore")
    assert told.returncode == 3
    assert str(second) in told.stdout
    assert "lost: what was published and decided after" in told.stdout
    restored = lab.headrace("db", "restore", "--yes")
    assert (restored["folder"], restored["restored"], restored["lost_files"]) == (
        str(second),
        True,
        0,
    )
    assert restored["tables"]["publication"] == 4
    assert lab.headrace("db", "check", "--deep")["ok"]
    assert len(lab.read("clean")) == 20
    assert "state.restored" in {entry["action"] for entry in lab.headrace("audit", "show")}
    lab.orders(DAYS[2])
    assert lab.headrace("tick")["state"] == "succeeded"


@pytest.mark.long
def test_what_is_newer_than_the_backup_is_said_and_comes_again(sqlite: Lab) -> None:
    sqlite.headrace("tick")
    sqlite.orders(DAYS[1])
    sqlite.headrace("tick")
    lose(sqlite)
    offered = sqlite.headrace("db", "restore", code=3)
    assert offered["lost_since"] is not None
    assert (offered["lost_files"], offered["restored"]) == (2, False)
    sqlite.headrace("db", "restore", offered["folder"])
    assert len(sqlite.read("clean")) == 10
    sqlite.headrace("tick")
    assert len(sqlite.read("clean")) == 20
    assert sqlite.headrace("db", "check")["ok"]


def test_a_backup_whose_files_are_gone_is_not_offered(sqlite: Lab) -> None:
    """The newest that fits, not the newest."""
    sqlite.headrace("tick")
    (first,) = backups(sqlite)
    aged(first, 25)
    sqlite.orders(DAYS[1])
    sqlite.headrace("tick")
    _, second = backups(sqlite)
    files = sorted(
        (sqlite.root / ".headrace/lake/main/clean").glob("*.parquet"),
        key=lambda path: path.stat().st_mtime_ns,
    )
    files[-1].unlink()
    lose(sqlite)
    assert sqlite.headrace("db", "restore", code=3)["folder"] == str(first)
    assert "lacks 1 of its 4 files" in command(sqlite, "db", "restore", str(second)).stderr.replace(
        "\n    ", " "
    )
    files[0].unlink()
    none = command(sqlite, "db", "restore", "--yes")
    assert none.returncode == 3
    assert "--new-state" in none.stderr


@pytest.mark.long
def test_snapshots_whose_files_were_deleted_since_expire_with_the_restore(sqlite: Lab) -> None:
    """Retention deletes files that only old snapshots of a backup name: the restored catalog must
    not promise them.
    """
    sqlite.headrace("tick")
    sqlite.orders(DAYS[0], n=4)
    sqlite.headrace("tick")
    sqlite.headrace("run", "clean", "--partition", DAYS[0], "--again", "--reason", "restated")
    ended = "select path from ducklake_data_file where end_snapshot is not null"
    names = {Path(path).name for (path,) in sqlite.rows(ended)}
    old = [
        path
        for path in (sqlite.root / ".headrace/lake/main").rglob("*.parquet")
        if path.name in names
    ]
    assert len(old) == 2
    aged(backups(sqlite)[0], 25)
    sqlite.headrace("tick")
    newest = backups(sqlite)[-1]
    for path in old:
        path.unlink()
    lose(sqlite)
    sqlite.headrace("db", "restore", str(newest))
    assert len(sqlite.read("clean")) == 4
    assert sqlite.headrace("db", "check", "--deep")["ok"]
    assert sqlite.headrace("tick")["state"] == "nothing_due"


@pytest.mark.long
def test_a_new_state_adopts_nothing(lab: Lab) -> None:
    lab.headrace("tick")
    before = json.loads((lab.root / ".headrace/lake" / FILE).read_text())["identity"]
    ((epoch,),) = lab.rows("select epoch from lease")
    refused = command(lab, "db", "restore", "--new-state")
    assert refused.returncode == 3
    assert "--force" in refused.stderr
    lose(lab)
    response = lab.headrace("db", "restore", "--new-state")
    aside = Path(response["lake_aside"])
    assert len(list(aside.rglob("lake/main/**/*.parquet"))) == 2
    assert json.loads((lab.root / ".headrace/lake" / FILE).read_text())["identity"] != before
    assert lab.headrace("read", "clean")["rows"] == []
    actions = [entry["action"] for entry in lab.headrace("audit", "show")]
    assert "state.begun_anew" in actions
    ticked = lab.headrace("tick")
    assert len(ticked["published"]) == 2
    assert lab.rows("select epoch from lease")[0][0] > epoch
    assert lab.headrace("db", "check", "--deep")["ok"]


def test_a_state_of_another_project_makes_way_for_the_backup_that_fits(
    sqlite: Lab, tmp_path: Path
) -> None:
    sqlite.headrace("tick")
    other = made(Lab(tmp_path / "q"))
    other.headrace("tick")
    lose(sqlite)
    (other.root / ".headrace/state.db").rename(sqlite.root / ".headrace/state.db")
    response = sqlite.headrace("db", "restore", "--yes")
    assert response["aside"]
    assert Path(response["aside"]).exists()
    assert sqlite.headrace("db", "check")["ok"]
    assert "of state" in command(sqlite, "db", "restore", str(backups(other)[0]), "--force").stderr


@pytest.mark.long
def test_as_many_are_kept_as_are_asked_for_and_others_are_left_alone(
    sqlite: Lab, tmp_path: Path
) -> None:
    settings(sqlite, f'[backup]\nevery = "1h"\nkeep = 2\nto = "{tmp_path}/elsewhere"')
    other = made(Lab(tmp_path / "q"))
    settings(other, f'[backup]\nto = "{tmp_path}/elsewhere"')
    other.headrace("tick")
    (theirs,) = backups(sqlite, str(tmp_path / "elsewhere"))
    for _ in range(4):
        sqlite.headrace("tick")
        for path in backups(sqlite, str(tmp_path / "elsewhere")):
            aged(path, 1 + 1 / 3_600)
    left = backups(sqlite, str(tmp_path / "elsewhere"))
    assert len(left) == 3
    assert theirs in left
    assert not backups(sqlite)


@pytest.mark.long
def test_off_is_off_and_a_replay_makes_none(sqlite: Lab, tmp_path: Path) -> None:
    settings(sqlite, '[backup]\nevery = "off"')
    sqlite.headrace("tick")
    assert not backups(sqlite)
    assert [
        row["state"] for row in sqlite.headrace("doctor", code=None) if row["name"] == "backups"
    ] == ["warn"]
    replay = made(Lab(tmp_path / "r"))
    replay.tick()
    assert not backups(replay)
    assert [
        row["state"] for row in replay.headrace("doctor", code=None) if row["name"] == "backups"
    ] == ["ok"]


@pytest.mark.long
def test_doctor_says_when_the_last_was_made(sqlite: Lab) -> None:
    sqlite.headrace("tick")

    def said() -> Any:
        return next(row for row in sqlite.headrace("doctor", code=None) if row["name"] == "backups")

    assert said()["state"] == "ok"
    aged(backups(sqlite)[0], 72)
    assert said()["state"] == "warn"


@pytest.mark.parametrize(
    "field", ['every = "soon"', "keep = 0", 'to = "s3://bucket/x"', "often = 1"]
)
def test_a_field_that_cannot_be_is_refused(sqlite: Lab, field: str) -> None:
    settings(sqlite, f"[backup]\n{field}")
    assert command(sqlite, "validate").returncode == 1


KILLS = (
    FaultPoint.BACKUP_COPIED,
    FaultPoint.BACKUP_WRITTEN,
    FaultPoint.BACKUP_NAMED,
    FaultPoint.BACKUP_ROTATING,
)


@pytest.mark.long
@pytest.mark.parametrize("point", KILLS)
def test_a_killed_backup_is_never_half_made(sqlite: Lab, point: FaultPoint) -> None:
    settings(sqlite, '[backup]\nevery = "1h"\nkeep = 1')
    sqlite.headrace("tick")
    (first,) = backups(sqlite)
    aged(first, 2)
    killed = command(sqlite, "tick", HEADRACE_FAULT=f"{point}=kill")
    assert killed.returncode == -signal.SIGKILL
    for path in backups(sqlite):
        offered = sqlite.headrace("db", "restore", str(path), "--force")
        assert offered["restored"]
    sqlite.headrace("tick")
    aged(backups(sqlite)[-1], 2)
    sqlite.headrace("tick")
    assert len(backups(sqlite)) == 1
    assert {
        path.name
        for path in (sqlite.root / ".headrace/backups").iterdir()
        if path.name.startswith(".")
    } == {".lock"}
    assert sqlite.headrace("db", "check")["ok"]


def test_a_folder_that_cannot_be_written_fails_no_tick(sqlite: Lab) -> None:
    (sqlite.root / "taken").write_text("a file")
    settings(sqlite, '[backup]\nto = "taken/backups"')
    done = command(sqlite, "tick")
    assert done.returncode == 0
    assert "no backup was made" in done.stderr
