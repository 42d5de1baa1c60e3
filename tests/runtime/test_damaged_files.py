"""Files of the lake that are deleted, cut short or overwritten are found before a reader finds out,
and repaired by one command."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from runlab import Lab

from headrace.incidents.evidence import downtime
from headrace.lake.files import check_file, footer_hash

DAYS = [f"2025-01-{d:02d}" for d in range(1, 10)]
"""All that were due when the lab's clock stands still."""
ONE_BY_ONE = "partition: {by: day, column: day}\nbatch: off"
"""A file for each day: else it's timing that decides which days are computed at once, into one
file."""
CONSUMERS = """\
- {consumer: shops, owner: core, reads: [totals], due: '09:00'}
- {consumer: board, owner: core, reads: [twice], due: '09:00'}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.sql(
        "totals", "select day, customer, sum(amount) as total from orders group by all", ONE_BY_ONE
    )
    made.sql("twice", "select day, 2 * total as total from totals", ONE_BY_ONE)
    made.write("consumers.yaml", CONSUMERS)
    for day in DAYS:
        made.orders(day)
    made.tick()
    look_at_all(made)
    return made


def look_at_all(lab: Lab, *, here: bool = False) -> list[str]:
    """Pass after pass until every file was looked at since now; the ids of the incidents that were
    opened. `here` runs them in this process.
    """
    opened: list[str] = []
    since = lab.rows("select coalesce(max(looked_at), 0) from lake_file_look")[0][0]
    for _ in range(50):
        opened += lab.tick().incidents_opened if here else lab.headrace("tick")["incidents_opened"]
        (left,) = lab.rows(
            "select count(*) from ducklake_data_file f left join lake_file_look l on l.file_id ="
            " f.data_file_id where f.end_snapshot is null and coalesce(l.looked_at, 0) <= ?",
            since,
        )[0]
        if not left:
            return opened
    raise AssertionError("the rotation doesn't come round")


def lake(lab: Lab) -> Path:
    return lab.root / ".headrace/lake"


def file_of(lab: Lab, node: str, key: str) -> Path:
    """The only file that holds a partition, and nothing else."""
    rows = lab.rows(
        "select s.path || t.path || f.path from ducklake_data_file f join ducklake_table t on"
        " t.table_id = f.table_id join ducklake_schema s on s.schema_id = t.schema_id join"
        " ducklake_file_column_stats c on c.data_file_id = f.data_file_id and c.column_id = 1 where"
        " t.table_name = ? and f.end_snapshot is null and c.min_value = ?",
        node,
        key,
    )
    ((path,),) = rows
    return lake(lab) / path


def states(lab: Lab) -> dict[str, str]:
    return {row["name"]: row["state"] for row in lab.headrace("status")["consumers"]}


def deleted(path: Path) -> None:
    path.unlink()


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 40)


def footer_overwritten(path: Path) -> None:
    """Its length and its end are what they were."""
    with path.open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        footer_bytes = int.from_bytes(file.read(4), "little")
        file.seek(-8 - footer_bytes, os.SEEK_END)
        file.write(b"\xff" * 16)


def garbage(path: Path) -> None:
    path.write_bytes(b"\xa5" * path.stat().st_size)


def magic_overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"XXXX")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def folder_gone(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


WAYS = [deleted, cut_short, footer_overwritten, garbage, magic_overwritten, a_folder, folder_gone]


def test_files_of_two_assets_are_two_repairs(lab: Lab) -> None:
    """Would catch: files that were damaged at two assets at one time, put down to the source that
    both are computed from: nothing is wrong there, and no command repaired them."""
    newest = DAYS[-1]
    for node in ("totals", "twice"):
        cut_short(file_of(lab, node, newest))
    opened = lab.headrace("tick")["incidents_opened"]
    causes = {item: lab.headrace("incident", item)["cause"] for item in opened}
    assert {(cause["kind"], cause["node"]) for cause in causes.values()} == {
        ("data_corrupted", "totals"),
        ("data_corrupted", "twice"),
    }
    for item in sorted(opened, key=lambda one: str(causes[one]["node"])):
        assert lab.headrace("fix", item, "--yes")["state"] == "resolved"
    assert states(lab) == {"shops": "served", "board": "served"}


@pytest.mark.long
@pytest.mark.parametrize("damage", WAYS)
def test_it_is_found_said_and_repaired(lab: Lab, damage: Callable[[Path], None]) -> None:
    """Catches: a consumer called served over a file that can't be read; a repair refused because
    nothing has changed; an incident that stays open over files that are right again, or that closes
    over others."""
    newest = DAYS[-1]
    damage(file_of(lab, "totals", newest))
    (opened,) = lab.headrace("tick")["incidents_opened"]
    incident = lab.headrace("incident", opened)
    assert (incident["cause"]["kind"], incident["cause"]["node"]) == ("data_corrupted", "totals")
    assert newest in incident["affected"]["partitions"]
    assert incident["affected"]["consumers"] == ["shops", "board"]
    assert incident["repair"]["command"] == f"headrace fix {opened}"
    assert all(
        item["expected"].startswith("main/totals/") for item in incident["cause"]["evidence"]
    )
    assert states(lab) == {"shops": "wrong", "board": "served"}
    assert f"{opened} totals: " in lab.headrace("why", "shops")["verdict"]
    own = lab.headrace("why", f"totals@{newest}")
    assert ("can't be read since" in own["verdict"], own["next"]) == (
        True,
        f"headrace incident {opened}",
    ), own["verdict"]

    said = failing(lab, "read", "totals", "--partition", newest)
    assert said.startswith(f"error: totals@{newest} can't be read: its file main/totals/"), said
    assert f"hint: headrace fix {opened}" in said
    assert "totals@" in failing(lab, "sql", "select sum(total) from totals")

    done = lab.headrace("fix", opened, "--yes")
    assert (done["fix"], done["state"], done["still"]) == ("done", "resolved", [])
    assert states(lab) == {"shops": "served", "board": "served"}
    assert len(lab.read("totals")) == 3 * len(DAYS)
    assert lab.headrace("tick")["incidents_opened"] == []


def test_what_was_there_in_time_and_is_gone_is_said_to_be_wrong(tmp_path: Path) -> None:
    """Would catch: "report 2025-01-02 was there 05:31, in time" below "✗ wrong", and nothing of the
    file."""
    lab = Lab(tmp_path / "p")
    lab.sql("totals", "select day, sum(amount) as total from orders group by all")
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '07:00'}\n"
    )
    for number, day in enumerate(("2025-01-01", "2025-01-02"), start=2):
        lab.orders(day)
        lab.now = datetime.fromisoformat(f"2025-01-0{number}T05:30:00+00:00")
        lab.tick()
    file_of(lab, "totals", "2025-01-02").unlink()
    now = ("--now", "2025-01-03T08:00:00+00:00")
    (opened,) = lab.headrace("tick", *now)["incidents_opened"]
    result = lab.headrace("why", "report", *now)
    said = (
        f"report is wrong since 08:00: {opened} totals: the file is gone. report 2025-01-02 was"
        " there 05:31, in time (due 07:00)"
    )
    assert (result["verdict"], result["next"]) == (said, f"headrace incident {opened}")


@pytest.mark.long
def test_what_is_left_of_a_repaired_file_is_told_with_what_to_do(lab: Lab) -> None:
    """Would catch: `db check` after a repair that proposes to restore a backup over a file which
    only reads of earlier times need, and nothing else."""
    cut_short(file_of(lab, "totals", DAYS[-1]))
    (opened,) = lab.headrace("tick")["incidents_opened"]
    (broken,) = lab.headrace("db", "check", code=1)["findings"]
    assert "headrace run totals" in broken["todo"] and "nothing that is read" not in broken["todo"]
    lab.headrace("fix", opened, "--yes")
    (left,) = lab.headrace("db", "check", code=1)["findings"]
    assert left["message"].endswith("it is of earlier snapshots only")
    assert left["todo"].startswith(
        "nothing that is read now needs it; for reads at an earlier time"
    )
    later = (lab.now + timedelta(days=40)).isoformat()
    assert "headrace db gc" in left["todo"]
    lab.headrace("db", "gc", "--now", later)
    assert lab.headrace("db", "check")["ok"], "as the sentence says"


def failing(lab: Lab, *arguments: str) -> str:
    from warm_fork_servers import headrace

    done = headrace([*arguments, "--project", str(lab.root)], Path.cwd(), os.environ, 50)
    assert done.returncode in (1, 2), (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return " ".join(str(done.stderr).split())


def test_a_source_is_ingested_again_from_its_raw_bytes(lab: Lab) -> None:
    """Catches: a repair that needs the vendor's file to be there still."""
    for path in (lab.root / "landing").iterdir():
        path.unlink()
    file_of(lab, "orders", DAYS[2]).unlink()
    (opened,) = look_at_all(lab)
    assert states(lab) == {
        "shops": "served",
        "board": "served",
    }  # they read what was computed from it before
    assert lab.headrace("fix", opened, "--yes")["state"] == "resolved"
    assert len(lab.read("orders")) == 10 * len(DAYS)


@pytest.mark.long
def test_a_file_that_is_put_back_ends_it(lab: Lab, tmp_path: Path) -> None:
    """Catches: an incident that only a repair of ours can end; one that isn't found a
    second time.
    """
    path = file_of(lab, "totals", DAYS[-1])
    for _ in range(2):
        path.rename(tmp_path / "aside")
        lab.headrace("tick")
        assert states(lab)["shops"] == "wrong"
        (tmp_path / "aside").rename(path)
        lab.headrace("tick")
        assert states(lab)["shops"] == "served"
    (incident,) = lab.headrace("incidents", "--all")
    assert incident["state"] == "resolved"


def test_others_are_looked_at_in_turn(lab: Lab) -> None:
    """Catches: a file that no consumer's newest publication needs, and nobody ever looks at."""
    file_of(lab, "totals", DAYS[0]).unlink()
    assert len(look_at_all(lab)) == 1
    looked = lab.headrace("status")["lake"]
    assert looked == {
        "files": 3 * len(DAYS),
        "looked_at_24h": 3 * len(DAYS),
        "damaged": 1,
        "elsewhere": 0,
    }


def test_more_damaged_files_than_evidence(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: files beyond the limit that nothing counts or repairs, and files that were repaired
    that hide others until the rotation has forgotten them."""
    monkeypatch.setattr(downtime, "FILES_MAX", 2, raising=False)
    for day in DAYS[:3]:
        file_of(lab, "totals", day).unlink()
    look_at_all(lab, here=True)
    (incident,) = lab.headrace("incidents")
    evidence = lab.headrace("incident", incident["id"])["cause"]["evidence"]
    assert len(evidence) == 2
    with sqlite3.connect(lab.root / ".headrace/state.db") as db:
        db.executemany(
            "insert into lake_file_look values (?, '', 1, 'is gone', 1)",
            [(-number,) for number in range(10, 510)],
        )
    assert lab.headrace("status")["lake"]["damaged"] == 3


@pytest.mark.long
def test_three_other_things_are_wrong_at_once(lab: Lab) -> None:
    """Catches: damage that is put down to something else, or something else that is put down to
    damage."""
    lab.headrace("incidents", "report", "twice", "--from", DAYS[1], "--reason", "wrong sign")
    lab.deliver("2025-01-08", ["x,c,many,2025-01-08"])  # delivered again, and it can't be read
    lab.headrace("pause", "twice", "--reason", "maintenance")
    file_of(lab, "totals", DAYS[-1]).unlink()
    file_of(lab, "orders", DAYS[0]).unlink()
    look_at_all(lab)
    kinds = sorted(
        (row["cause"]["kind"], row["cause"]["node"]) for row in lab.headrace("incidents")
    )
    assert [kind for kind in kinds if kind[0] == "data_corrupted"] == [
        ("data_corrupted", "orders"),
        ("data_corrupted", "totals"),
    ]
    assert ("reported", "twice") in kinds
    for row in lab.headrace("incidents"):
        if row["cause"]["kind"] == "data_corrupted":
            assert lab.headrace("fix", row["id"], "--yes")["state"] == "resolved"
    left = {row["cause"]["kind"] for row in lab.headrace("incidents")}
    assert "data_corrupted" not in left and "reported" in left


def test_a_whole_table_is_computed_again(tmp_path: Path) -> None:
    """Catches: a repair that knows partitioned assets only, and evidence without a partition."""
    lab = Lab(tmp_path / "p")
    lab.sql(
        "everything",
        "select customer, sum(amount) as total from orders group by all",
        "description: all of it",
    )
    lab.write(
        "consumers.yaml", "- {consumer: shops, owner: core, reads: [everything], max_age: 3000d}\n"
    )
    lab.orders(DAYS[0])
    lab.tick()
    file_of(lab, "everything", "*").unlink()
    (opened,) = lab.headrace("tick")["incidents_opened"]
    assert states(lab) == {"shops": "wrong"}
    assert lab.headrace("fix", opened, "--yes")["state"] == "resolved"
    assert states(lab) == {"shops": "served"}


@pytest.mark.long
def test_published_files_are_read_only_and_still_collected(lab: Lab) -> None:
    """Catches: a file that a stray redirect overwrites; files that gc can't delete any more, or
    merging leaves writable.
    """

    def writable() -> list[Path]:
        return [
            path
            for path in lake(lab).rglob("*.parquet")
            if stat.S_IMODE(path.stat().st_mode) & 0o222
        ]

    assert writable() == []
    for day in DAYS:
        lab.orders(day, 12)
    lab.tick()
    lab.headrace("db", "gc")
    assert writable() == []
    lab.headrace("db", "check")


def test_looking_reads_only_the_end(tmp_path: Path) -> None:
    """Catches: errors of the file system that end a pass, and a link that is followed out of the
    lake.
    """
    path = tmp_path / "f.parquet"
    body = b"PAR1" + b"d" * 50 + b"footer" + (6).to_bytes(4, "little") + b"PAR1"
    path.write_bytes(body)
    assert check_file(path, len(body), 6) == ("", footer_hash(body[-14:]))
    assert (
        check_file(path, len(body), 6, "another").wrong
        == "isn't the Parquet file that was published: its footer differs"
    )
    assert (
        check_file(path, len(body) + 1, 6).wrong == f"has {len(body)} bytes and not {len(body) + 1}"
    )
    assert (
        check_file(path, len(body), 7).wrong
        == "isn't the Parquet file that was published: its end differs"
    )
    (tmp_path / "link").symlink_to(path)
    assert check_file(tmp_path / "link", len(body), 6).wrong.startswith("can't be opened")
    assert (
        check_file(tmp_path / "none", 1, 1).wrong
        == check_file(path / "below", 1, 1).wrong
        == "is gone"
    )
    assert check_file(tmp_path, 1, 1).wrong == "is no file"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
def test_what_may_not_be_read_is_said_so(tmp_path: Path) -> None:
    """Catches: permissions that end a pass, or that are told as a deleted file."""
    path = tmp_path / "f.parquet"
    path.write_bytes(b"PAR1")
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        folder.chmod(folder.stat().st_mode | 0o055)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        os.write(writing, check_file(path, 4, 0).wrong.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    assert os.read(reading, 200).decode() == "can't be opened (permission denied)"
    os.close(reading)
