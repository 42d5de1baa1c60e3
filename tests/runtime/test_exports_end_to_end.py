"""Consumers that are exported to: real ticks, real workers, real files and tables, and leaders that
are killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab, published
from source_packages import NEEDS_DATABASES

from headrace.connect.exports import fence
from headrace.model import UsageError
from headrace.project.read_queries import ReadQuery
from headrace.responses import ConsumerRow
from headrace.services.logs import logs
from headrace.services.read import find
from headrace.services.runs import runs
from headrace.services.status import status

pytestmark = pytest.mark.long

CLEAN = (
    "select order_id, customer, cast(amount as decimal(9,2)) as amount, cast(day as date) as day"
    " from orders"
)
CSV = '{to: "exports/clean_{date:%Y-%m-%d}.csv"}'
LAST = DAYS[2]


@pytest.fixture
def exporting(lab: Lab) -> Lab:
    """Three days of orders, an asset, and a consumer that gets a file a day. `now` is in the
    morning after the third.
    """
    lab.now = lab.now.replace(day=4, hour=6)
    lab.sql("clean", CLEAN)
    declare(lab)
    for day in DAYS[:3]:
        lab.orders(day, 3)
    return lab


def declare(lab: Lab, export: str = CSV, more: str = "", promise: str = "due: '07:00'") -> None:
    lab.write(
        "consumers.yaml",
        f"- consumer: extract-1\n  owner: core\n  reads: [clean]\n  {promise}\n  export:"
        f" {export}\n{more}",
    )


def exports(lab: Lab) -> dict[str, str]:
    folder = lab.root / "exports"
    return (
        {path.name: path.read_text() for path in sorted(folder.iterdir())}
        if folder.exists()
        else {}
    )


def attempts(lab: Lab) -> list[tuple[str, str]]:
    return lab.rows(
        "select json_extract(partitions, '$[0]'), state from attempt where kind = 'export' order by"
        " epoch, n"
    )  # type: ignore[return-value]


def consumer(lab: Lab) -> ConsumerRow:
    (result,) = status(lab.session()).consumers
    return result


def line(day: str, amount: str = "1.50") -> str:
    return f"{day[-2:]}0,c0,{amount},{day}\n"


def test_a_tick_exports_what_is_due_once(exporting: Lab) -> None:
    """Catches intervals that are never written, written twice, or with another interval's rows."""
    response = exporting.tick()
    assert [item for item in published(response) if item[0] == "extract-1"] == [
        ("extract-1", day) for day in DAYS[:3]
    ]
    files = exports(exporting)
    assert list(files) == [f"clean_{day}.csv" for day in DAYS[:3]]
    assert all(line(day) in files[f"clean_{day}.csv"] for day in DAYS[:3])
    assert files["clean_2025-01-01.csv"].startswith("order_id,customer,amount,day\n")
    assert exporting.tick().state == "nothing_due"
    assert len(attempts(exporting)) == 3
    (row,) = exporting.rows(
        "select manifest, rows, content_hash from publication where node = 'extract-1' and"
        " partition = ?",
        LAST,
    )
    assert '"target":"exports/clean_2025-01-03.csv"' in row[0] and row[1] == 3 and len(row[2]) == 64
    told = consumer(exporting)
    assert (
        told.state,
        told.export and told.export.state,
        told.export and told.export.interval,
    ) == ("served", "exported", LAST)
    assert (
        told.export is not None
        and told.export.target == f"exports/clean_{LAST}.csv"
        and told.export.at is not None
    )


def test_an_export_is_no_asset(exporting: Lab) -> None:
    """Catches exports among the assets' counts."""
    exporting.tick()
    counts = status(exporting.session()).assets
    assert (counts.fresh, counts.behind + counts.stale + counts.never) == (1, 0)


def test_a_correction_is_sent_again(exporting: Lab) -> None:
    """Catches a file that stays as it was after its data was corrected, and files written again for
    nothing."""
    exporting.tick()
    before = {path.name: path.stat().st_mtime_ns for path in (exporting.root / "exports").iterdir()}
    exporting.orders(LAST, 4, "9.99")
    exporting.tick()
    assert line(LAST, "9.99") in exports(exporting)[f"clean_{LAST}.csv"]
    after = {path.name: path.stat().st_mtime_ns for path in (exporting.root / "exports").iterdir()}
    assert [name for name in after if after[name] != before[name]] == [f"clean_{LAST}.csv"]
    told = consumer(exporting)
    assert (
        told.export is not None and told.export.state == "exported" and told.export.superseded == []
    )


def test_a_correction_that_changes_nothing_isnt_sent(exporting: Lab) -> None:
    """Catches a wave that doesn't stop where nothing changed."""
    exporting.tick()
    exporting.orders(LAST, 3)
    os.utime(exporting.root / f"landing/orders_{LAST}.csv", (1, 1))
    exporting.tick()
    assert len(attempts(exporting)) == 3


def test_with_tell_a_correction_is_only_told(exporting: Lab) -> None:
    """Catches a regulator who gets another file without having been asked, and a correction that
    nobody is told of."""
    declare(exporting, '{to: "exports/clean_{date:%Y-%m-%d}.csv", on_restatement: tell}')
    exporting.tick()
    exporting.orders(LAST, 4, "9.99")
    exporting.tick()
    exporting.tick()
    assert line(LAST) in exports(exporting)[f"clean_{LAST}.csv"]
    told = consumer(exporting)
    assert told.export is not None and (told.export.state, told.export.superseded) == (
        "superseded",
        [LAST],
    )
    assert told.state == "served" and LAST in told.reason and told.next == "headrace run extract-1"
    exporting.run("extract-1", again=True, reason="they asked for it", partitions=[LAST])
    assert line(LAST, "9.99") in exports(exporting)[f"clean_{LAST}.csv"]
    told = consumer(exporting)
    assert told.export is not None and (told.export.state, told.export.superseded) == (
        "exported",
        [],
    )


def test_run_of_a_consumer_sends_what_was_only_told(exporting: Lab) -> None:
    """Catches the command that `status` proposes doing nothing."""
    declare(exporting, '{to: "exports/clean_{date:%Y-%m-%d}.csv", on_restatement: tell}')
    exporting.tick()
    exporting.orders(LAST, 4, "9.99")
    exporting.tick()
    exporting.run("extract-1")
    assert line(LAST, "9.99") in exports(exporting)[f"clean_{LAST}.csv"]


def test_an_obligation_is_met_by_its_export(exporting: Lab) -> None:
    """Catches a consumer that is served by data that never left."""
    (exporting.root / "exports").symlink_to(exporting.root / "gone/away")
    exporting.tick()
    exporting.now = exporting.now.replace(hour=8)
    exporting.tick()
    assert exporting.rows("select met_at from obligation where interval = ?", LAST) == [(None,)]
    told = consumer(exporting)
    assert told.state == "late"
    covers = "3 partitions, 2025-01-01 to 2025-01-03, first: "
    said = "exports/clean_2025-01-01.csv can't be written: exports is a link"
    assert told.reason.startswith(f"INC-1 extract-1: {covers}{said}")
    assert told.export is not None and told.export.state == "failed"
    assert told.next == f"headrace logs extract-1@{LAST}", "the first that was promised"
    (exporting.root / "exports").unlink()
    exporting.now = exporting.now.replace(hour=9)
    exporting.tick()
    assert len(exports(exporting)) == 3
    ((met,),) = exporting.rows("select met_at from obligation where interval = ?", LAST)
    ((at,),) = exporting.rows(
        "select published_at from publication where node = 'extract-1' and partition = ?", LAST
    )
    assert met == at
    assert consumer(exporting).state == "served"


def test_a_destination_that_is_something_else_for_a_while_is_tried_again(exporting: Lab) -> None:
    """Catches an export that is given up because a file lay where its folder should be: nobody
    retries it once the folder is back; a person who is asked to do what comes by itself."""
    (exporting.root / "exports").write_text("a file where a folder was")
    exporting.tick()
    exporting.now = exporting.now.replace(hour=8)
    exporting.tick()
    assert consumer(exporting).state == "late"
    (away,) = exporting.headrace("incidents")
    assert (away["cause"]["kind"], away["repair"]["automatic"]) == ("destination_unavailable", True)
    (exporting.root / "exports").unlink()
    exporting.now = exporting.now.replace(hour=9)
    exporting.tick()
    assert len(exports(exporting)) == 3
    assert exporting.rows("select kind, state from incident") == [
        ("destination_unavailable", "resolved")
    ]


def test_what_headrace_does_by_itself_waits_for_no_person(exporting: Lab) -> None:
    """Catches "of which waiting for a person: 1 h" of an export that was tried again and again, and
    that a person hurried on.
    """
    (exporting.root / "exports").write_text("a file where a folder was")
    exporting.tick()
    (exporting.root / "exports").unlink()
    now = exporting.now.replace(hour=9).isoformat()
    result = exporting.headrace("fix", "INC-1", "--yes", "--now", now, code=None)
    assert any(line["what"].startswith("repair begun: ") for line in result["timeline"])
    assert result["waited_seconds"] is None


def test_another_reason_is_no_recovery(exporting: Lab) -> None:
    """Catches "it can be written again", mailed to the owner, of a target that was full and then
    wasn't a folder any more."""
    target = exporting.root / "exports"
    target.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(target)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs can't be mounted here: {mounted.stderr.decode().strip()}")
    try:
        with contextlib.suppress(OSError):
            (target / "filler").write_bytes(b"x" * 1_000_000)
        exporting.tick()
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True)
    assert exporting.rows("select kind, state from incident") == [
        ("destination_unavailable", "open")
    ]
    target.rmdir()
    target.write_text("a file where a folder was")
    exporting.now = exporting.now.replace(hour=8)
    exporting.tick()
    exporting.tick()
    ((ended,),) = exporting.rows(
        "select what from incident_event where incident_id = 1 and what like 'resolved: %'"
    )
    assert ended.startswith("resolved: it can't be written for another reason now, INC-2"), ended


def test_a_fix_tries_at_once(exporting: Lab) -> None:
    """Catches "still open: … can't be written" by a repair that wrote nothing, because the next try
    was some seconds away."""
    (exporting.root / "exports").write_text("a file where a folder was")
    exporting.tick()
    assert exporting.rows(
        "select count(*) from partition where not_before is not null and node = 'extract-1'"
    ) != [(0,)]
    (exporting.root / "exports").unlink()
    exporting.headrace("fix", "INC-1", "--yes", "--now", exporting.now.isoformat(), code=0)
    assert len(exports(exporting)) == 3


def test_a_mistake_is_tried_again_when_somebody_asks(exporting: Lab) -> None:
    """Catches an export that fails for good, and one that is tried for ever though nothing can mend
    it."""
    for day in DAYS[:3]:
        (exporting.root / f"exports/clean_{day}.csv").mkdir(parents=True)
    exporting.tick()
    exporting.tick()
    assert sorted(attempts(exporting)) == [(day, "failed") for day in DAYS[:3]]
    shutil.rmtree(exporting.root / "exports")
    exporting.run("extract-1", partitions=[LAST])
    assert list(exports(exporting)) == [f"clean_{LAST}.csv"]
    (result,) = [
        row
        for row in runs(exporting.session(), None, failed=False, since=None, limit=1)
        if row.node == "extract-1"
    ]
    assert (result.partition, result.state) == (LAST, "published")
    lines = logs(exporting.session(), f"extract-1@{LAST}", grep=None)
    assert (
        lines is not None and lines.attempt.state == "published" and lines.attempt.kind == "export"
    )


def test_read_of_a_consumer_says_what_can_be_read(exporting: Lab) -> None:
    """Catches a traceback, or an error that leaves one alone."""
    exporting.tick()
    with pytest.raises(UsageError, match="is a consumer") as refused:
        find(exporting.session(), ReadQuery("extract-1"))
    assert "clean" in refused.value.hint


def test_a_new_target_gets_everything(exporting: Lab) -> None:
    """Catches a target that was changed, and that gets only what comes from now on."""
    exporting.tick()
    declare(exporting, '{to: "elsewhere/{date:%Y/%m/%d}.jsonl"}')
    exporting.headrace("apply", "--yes", "--now", exporting.now.isoformat())
    exporting.tick()
    assert sorted(path.name for path in (exporting.root / "elsewhere/2025/01").iterdir()) == [
        "01.jsonl",
        "02.jsonl",
        "03.jsonl",
    ]
    assert len(attempts(exporting)) == 6


def test_another_grain_begins_anew(exporting: Lab) -> None:
    """Catches keys of days that stay beside those of months."""
    exporting.tick()
    declare(exporting, '{to: "exports/clean_{date:%Y-%m}.csv"}', more="  per: month\n")
    exporting.headrace("apply", "--yes", "--now", exporting.now.isoformat())
    exporting.tick()
    keys = exporting.rows(
        "select partition from publication where node = 'extract-1' and ended_snapshot is null"
    )
    assert [key for (key,) in keys if len(key) != 7] == []


def test_whole_data_is_one_export(exporting: Lab) -> None:
    """Catches data that isn't partitioned by time and is never exported, or exported anew by each tick."""
    exporting.sql(
        "totals", "select customer, sum(amount) as amount from clean group by customer", front=""
    )
    declare(exporting, "{to: exports/totals.csv}")
    exporting.write(
        "consumers.yaml",
        (exporting.root / "consumers.yaml").read_text().replace("[clean]", "[totals]"),
    )
    exporting.tick()
    assert attempts(exporting) == [("*", "published")]
    assert exports(exporting) == {"totals.csv": "customer,amount\nc0,4.50\nc1,4.50\nc2,4.50\n"}
    assert consumer(exporting).state == "served"
    exporting.tick()
    exporting.orders(DAYS[3], 3)
    exporting.now = exporting.now.replace(day=5)
    exporting.tick()
    assert exports(exporting) == {"totals.csv": "customer,amount\nc0,6.00\nc1,6.00\nc2,6.00\n"}
    assert len(attempts(exporting)) == 2
    assert consumer(exporting).state == "served"


def test_what_fails_without_a_deadline_is_no_quiet_service(lab: Lab) -> None:
    """Would catch: "All consumers are served" while the export of data without a rhythm fails, for
    no interval waits for it, and `doctor` that finds its folder writable."""
    lab.write("sources/orders.yaml", "source: orders\nowner: acme\nfiles: landing/orders.csv\n")
    lab.sql("clean", "select order_id from orders", "")
    declare(lab, "{to: exports/clean.csv}", promise="max_age: 3d")
    file = lab.root / "landing/orders.csv"
    file.write_text("order_id\n1\n", encoding="utf-8")
    lab.tick()
    shutil.rmtree(lab.root / "exports")
    (lab.root / "exports").write_text("no folder", encoding="utf-8")
    file.write_text("order_id\n1\n2\n", encoding="utf-8")
    lab.tick()
    (consumer,) = lab.headrace("status", "--now", lab.now.isoformat())["consumers"]
    assert (consumer["state"], consumer["incident"]) == ("at_risk", "INC-2")
    assert consumer["reason"].startswith("export to exports/clean.csv failed")
    assert consumer["risk"]["due_at"][:16] == f"{lab.now + timedelta(days=3, minutes=-1):%FT%H:%M}"
    (item,) = (
        item
        for item in lab.headrace("doctor", "--now", lab.now.isoformat(), code=None)
        if item["name"] == "export extract-1"
    )
    assert (item["state"], item["todo"]) == ("fail", "headrace incident INC-2")


def test_an_export_that_fails_for_longer_than_the_age_is_late(lab: Lab) -> None:
    """Would catch: "at risk" for ever, and an availability of 100 %, while nothing but what was
    exported days ago is there to read, as the assets behind it are published each day."""
    lab.write("sources/orders.yaml", "source: orders\nowner: acme\nfiles: landing/orders.csv\n")
    lab.sql("clean", "select order_id from orders", "")
    declare(lab, "{to: exports/clean.csv}", promise="max_age: 3d")
    file = lab.root / "landing/orders.csv"
    file.write_text("order_id\n1\n", encoding="utf-8")
    lab.tick()
    began = lab.now
    shutil.rmtree(lab.root / "exports")
    (lab.root / "exports").write_text("no folder", encoding="utf-8")
    for day in range(1, 5):
        lab.now = began + timedelta(days=day)
        file.write_text("order_id\n" + "1\n" * (day + 1), encoding="utf-8")
        lab.tick()
    (consumer,) = lab.headrace("status", "--now", lab.now.isoformat())["consumers"]
    since = f"{began + timedelta(days=3):%FT%H:%M}"
    assert (consumer["state"], consumer["since"][:16]) == ("late", since)
    assert consumer["reason"].startswith("INC-2 extract-1: exports/clean.csv can't be written")
    assert (consumer["incident"], consumer["risk"]) == ("INC-2", None)
    past = consumer["availability"]
    assert past["minutes"] >= 24 * 60 and past["minutes"] - past["lost_minutes"] <= 1, past


def test_a_failing_export_under_a_daily_promise_has_no_deadline(lab: Lab) -> None:
    """Would catch: a time to be late at that nobody declared."""
    lab.write("sources/orders.yaml", "source: orders\nowner: acme\nfiles: landing/orders.csv\n")
    lab.sql("clean", "select order_id from orders", "")
    declare(lab, "{to: exports/clean.csv}", promise="due: '07:00'")
    file = lab.root / "landing/orders.csv"
    file.write_text("order_id\n1\n", encoding="utf-8")
    lab.tick()
    shutil.rmtree(lab.root / "exports")
    (lab.root / "exports").write_text("no folder", encoding="utf-8")
    file.write_text("order_id\n1\n2\n", encoding="utf-8")
    lab.tick()
    (consumer,) = lab.headrace("status", "--now", lab.now.isoformat())["consumers"]
    assert (consumer["state"], consumer["risk"]["due_at"]) == ("at_risk", None)


def test_a_whole_read_beside_days_has_what_the_day_brought(exporting: Lab) -> None:
    """Catches a day's export with a summary that doesn't know the day yet."""
    exporting.sql(
        "totals", "select customer, sum(amount) as amount from clean group by customer", front=""
    )
    declare(exporting, '{to: "exports/{asset}_{date:%Y-%m-%d}.csv"}')
    exporting.write(
        "consumers.yaml",
        (exporting.root / "consumers.yaml").read_text().replace("[clean]", "[clean, totals]"),
    )
    exporting.tick()
    assert "c0,4.50\n" in exports(exporting)[f"totals_{LAST}.csv"]
    exporting.orders(DAYS[3], 3)
    exporting.now = exporting.now.replace(day=5)
    exporting.tick()
    assert "c0,6.00\n" in exports(exporting)[f"totals_{DAYS[3]}.csv"]
    assert len(attempts(exporting)) == 4


@NEEDS_DATABASES
def test_a_table_gets_each_day(exporting: Lab) -> None:
    """Catches a connection that isn't handed to the worker, and a correction that doubles rows."""
    settings = exporting.root / "headrace.toml"
    settings.write_text(
        settings.read_text() + '[connections.warehouse]\ntype = "sqlite"\npath = "${WAREHOUSE}"\n'
    )
    declare(exporting, "{to: {connection: warehouse, table: delays}}")
    os.environ["WAREHOUSE"] = str(exporting.root / "out/w.db")
    try:
        exporting.tick()
        exporting.orders(LAST, 4, "9.99")
        exporting.tick()
    finally:
        del os.environ["WAREHOUSE"]
    with sqlite3.connect(exporting.root / "out/w.db") as db:
        assert db.execute(
            "select _interval, count(*), max(amount) from delays group by 1 order by 1"
        ).fetchall() == [
            (DAYS[0], 3, 1.5),
            (DAYS[1], 3, 1.5),
            (LAST, 4, 9.99),
        ]
    db.close()
    told = consumer(exporting)
    assert told.export is not None and told.export.target == "warehouse.delays"


def test_a_leader_killed_in_the_middle_leaves_whole_files_and_each_once(exporting: Lab) -> None:
    """Catches half files, files of an attempt that nobody knows of, and intervals that are written
    by two leaders.
    """
    exporting.run("clean")
    path = exporting.root / ".headrace/exports.fence"
    with subprocess.Popen(
        exporting.command("tick", "--now", exporting.now.isoformat()),
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as leader:
        assert _wait_for_export(exporting, path, leader)
        os.kill(leader.pid, signal.SIGKILL)
        leader.wait(30)
    assert all(
        content.startswith("order_id,") and content.count("\n") == 4
        for content in _visible(exporting).values()
    )
    exporting.tick()
    files = exports(exporting)
    assert list(files) == [f"clean_{day}.csv" for day in DAYS[:3]]
    assert all(
        files[f"clean_{day}.csv"].count("\n") == 4 and line(day) in files[f"clean_{day}.csv"]
        for day in DAYS[:3]
    )
    assert exporting.rows(
        "select count(*) from publication where node = 'extract-1' and ended_snapshot is null"
    ) == [(3,)]


def _wait_for_export(lab: Lab, path: Path, leader: subprocess.Popen[bytes]) -> bool:
    """Hold the fence once the leader has it, so that its first export stands before its last step;
    let go when it is killed.
    """
    epoch = lab.rows("select epoch from lease")[0][0]
    while leader.poll() is None:
        with fence._locked(path) as file:
            if int(file.read() or 0) > epoch:
                return _blocked(path, leader)
    return False


def _blocked(path: Path, leader: subprocess.Popen[bytes]) -> bool:
    inode = path.stat().st_ino
    while leader.poll() is None:
        waiting = [
            row.split() for row in Path("/proc/locks").read_text().splitlines() if "->" in row
        ]
        if any(fields[6].endswith(f":{inode}") for fields in waiting):
            return True
    return False


def _visible(lab: Lab) -> dict[str, str]:
    return {name: content for name, content in exports(lab).items() if not name.startswith(".")}


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace isn't installed")
def test_the_start_of_an_export_is_on_the_disk_before_it(exporting: Lab, tmp_path: Path) -> None:
    """A power cut must not forget an attempt whose effect outside was seen: the journal is synced
    before a worker writes the file.
    """
    exporting.run("clean")
    out = tmp_path / "calls"
    command = [
        "strace",
        "-f",
        "-y",
        "-e",
        "trace=fdatasync,fsync,rename,renameat,renameat2",
        "-o",
        str(out),
    ]
    subprocess.run(
        [*command, *exporting.command("tick", "--now", exporting.now.isoformat())],
        check=True,
        capture_output=True,
        timeout=55,
    )
    calls = out.read_text().splitlines()
    journal = next(
        n for n, call in enumerate(calls) if re.search(r"(fdatasync|fsync)\(.*state\.db-wal", call)
    )
    visible = next(
        n for n, call in enumerate(calls) if "rename" in call and "exports/clean_" in call
    )
    synced = next(
        n for n, call in enumerate(calls) if re.search(r"fsync\(.*\.headrace-.*\.tmp", call)
    )
    assert journal < synced < visible


def test_nothing_is_exported_from_an_environment(exporting: Lab) -> None:
    """Catches a try-out that sends files to a regulator, and one that waits for them for ever."""
    settings = exporting.root / "headrace.toml"
    settings.write_text(settings.read_text() + "[environments.dev]\n")
    exporting.headrace("tick", "--env", "dev", "--now", exporting.now.isoformat())
    assert exports(exporting) == {}
    response: Any = exporting.headrace("status", "--env", "dev", "--now", exporting.now.isoformat())
    assert [(item["state"], item["export"]) for item in response["consumers"]] == [("served", None)]


def test_a_view_is_exported_by_day(exporting: Lab) -> None:
    """Catches a view whose every day is everything, and counts of rows that nobody took."""
    exporting.sql(
        "first_customer",
        "select order_id, amount, day from clean where customer = 'c0'",
        front="materialize: view",
    )
    declare(exporting)
    exporting.write(
        "consumers.yaml",
        (exporting.root / "consumers.yaml").read_text().replace("[clean]", "[first_customer]"),
    )
    exporting.tick()
    assert exports(exporting)[f"clean_{LAST}.csv"] == f"order_id,amount,day\n030,1.50,{LAST}\n"
    assert exporting.rows("select rows from publication where node = 'extract-1'") == [
        (1,),
        (1,),
        (1,),
    ]


def test_keys_that_grow_are_exported_by_day(lab: Lab) -> None:
    """Catches an interval's export with the keys of all intervals, or with the first of its keys
    alone.
    """
    lab.now = lab.now.replace(day=3, hour=6)
    (lab.root / "sources/orders.yaml").unlink()
    lab.write(
        "sources/sales.yaml",
        "source: sales\nowner: acme\npartition: [{by: day, column: day}, {key: region}]\nfiles:"
        " landing/{key}_{date:%Y-%m-%d}.csv\n",
    )
    for day, regions in ((DAYS[0], ["EMEA"]), (DAYS[1], ["APAC", "EMEA"])):
        for region in regions:
            lab.write(f"landing/{region}_{day}.csv", f"region,amount,day\n{region},1,{day}\n")
    declare(lab)
    lab.write(
        "consumers.yaml", (lab.root / "consumers.yaml").read_text().replace("[clean]", "[sales]")
    )
    lab.tick()
    lab.tick()
    assert exports(lab)[f"clean_{DAYS[0]}.csv"] == f"region,amount,day\nEMEA,1,{DAYS[0]}\n"
    assert (
        exports(lab)[f"clean_{DAYS[1]}.csv"]
        == f"region,amount,day\nAPAC,1,{DAYS[1]}\nEMEA,1,{DAYS[1]}\n"
    )


def test_what_was_exported_is_not_taken_for_files_of_ones_own(
    exporting: Lab, tmp_path: Path
) -> None:
    """Checking, cleaning and backing up stumbled over the targets of exports."""
    exporting.tick()
    assert exporting.headrace("db", "check")["ok"] is True
    assert exporting.headrace("db", "gc", "--dry-run") is not None
    assert exporting.headrace("db", "backup", str(tmp_path / "kept")) is not None
