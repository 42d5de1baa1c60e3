"""`quarantine accept|drop` where it is hard: files that others share, merges, what can't be read at
all, a leader at work.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from runlab import DAYS, Lab

from headrace.cli.main import run as run_command
from headrace.project.session import Silent
from headrace.responses.interventions import DecisionResponse
from headrace.services.quarantine_decisions import accept_partition
from headrace.store.queries import exceptions, quarantine

UNIQUE = "checks:\n  - unique: [order_id]"
SLOW = """\
def slow(ctx: Context, orders):
    import time, pathlib
    pathlib.Path({flag!r}).touch()
    while not pathlib.Path({go!r}).exists():
        time.sleep(0.01)
    return orders"""


def _accept(lab: Lab, target: str) -> DecisionResponse:
    return accept_partition(
        lab.session(), target, reason="they stand by it", until=None, progress=Silent()
    )


def _twice(lab: Lab, day: str) -> None:
    lab.deliver(day, [f"{day[-2:]}9,c,1.50,{day}"] * 2)


@pytest.mark.long
def test_a_restated_day_is_accepted_out_of_a_file_of_many(any_lab: Lab) -> None:
    """Would catch: neighbours in the same file lost or doubled, readers who see both, downstream
    that isn't made again, an exception that is left open for the next delivery."""
    lab = any_lab
    lab.sql(
        "clean",
        "select order_id, amount, day from orders",
        f"partition: {{by: day, column: day}}\n{UNIQUE}",
    )
    lab.sql("sums", "select day, count(*) as n from clean group by day")
    for day in DAYS[:4]:
        lab.orders(day, n=3)
    lab.tick()
    _twice(lab, DAYS[2])
    lab.tick()
    assert lab.rows(
        "select state from partition where node = 'clean' and partition = ?", DAYS[2]
    ) == [("rejected",)]
    made = _accept(lab, f"clean@{DAYS[2]}")
    assert (made.state, made.partitions, [(row.asset, row.rows) for row in made.published]) == (
        "published",
        [DAYS[2]],
        [("sums", 1)],
    )
    result = {row["day"]: row["n"] for row in lab.read("sums")}
    assert result == {day: 2 if day == DAYS[2] else 3 for day in DAYS[:4]}
    assert len(lab.read("clean")) == 11
    lab.headrace("db", "check")
    lab.headrace("audit", "verify")
    lab.orders(DAYS[2], n=4)
    restated = lab.tick().restated
    assert [row.cause for row in restated if row.node == "orders"] == ["restatement"], (
        "the source's own publication was sound"
    )
    assert lab.rows(
        "select verdict from publication where node = 'clean' and partition = ? order by id desc"
        " limit 1",
        DAYS[2],
    ) == [("passed",)]


def test_a_merge_is_made_again_by_looser_rules(lab: Lab) -> None:
    """Would catch: the changes of a merge published without the rows that they replace, and rules
    that stay loose.
    """
    lab.sql(
        "latest",
        "select order_id, amount from orders",
        "partition: day\nmaterialize: merge\nmerge: {keys: [order_id]}\n"
        "checks:\n  - range: {column: amount, max: 100}",
    )
    lab.orders(DAYS[0])
    lab.orders(DAYS[1], amount="500")
    lab.tick()
    made = _accept(lab, f"latest@{DAYS[1]}")
    assert made.state == "published"
    assert len(lab.read("latest")) == 20
    lab.orders(DAYS[2], amount="500")
    lab.tick()
    assert [row["partition"] for row in lab.headrace("quarantine", "latest")] == [DAYS[2]]


def test_an_exception_waives_only_the_checks_that_were_named(lab: Lab) -> None:
    """Would catch: a delivery that waits for its columns, accepted as it is, and published with
    keys that repeat, which nobody had been told: its checks were evaluated only afterwards."""
    source = lab.root / "sources/orders.yaml"
    source.write_text(source.read_text(encoding="utf-8") + UNIQUE + "\n", encoding="utf-8")
    lab.sql("totals", "select day, sum(amount) as total from orders group by day")
    lab.orders(DAYS[0])
    lab.tick()
    lab.deliver(DAYS[1], [f"1,c,{DAYS[1]}"] * 2, "order_id,customer,day")
    lab.tick()
    (waiting,) = lab.headrace("quarantine", "orders")
    assert waiting["reason"].startswith("1 column gone: amount")
    refused = _accept(lab, f"orders@{DAYS[1]}")
    assert refused.state == "rejected"
    assert refused.waived == []
    (waiting,) = lab.headrace("quarantine", "orders")
    assert [check["name"] for check in waiting["checks"]] == ["unique_order_id"]
    made = _accept(lab, f"orders@{DAYS[1]}")
    assert (made.state, made.waived) == ("published", ["unique_order_id"])
    assert [row["amount"] for row in lab.read("orders")][-2:] == [None, None]


def test_an_exception_waives_only_the_anomalies_that_were_named(lab: Lab) -> None:
    """Would catch: a delivery that waits for its columns, accepted as it is, and published with
    fewer rows than its source expects, which nobody had been told: nobody had read them."""
    source = lab.root / "sources/orders.yaml"
    text = source.read_text(encoding="utf-8")
    source.write_text(f"{text}expect: {{rows: '5..'}}\n", encoding="utf-8")
    lab.sql("totals", "select day, sum(amount) as total from orders group by day")
    lab.orders(DAYS[0])
    lab.tick()
    lab.deliver(DAYS[1], [f"{n},c,{DAYS[1]}" for n in range(2)], "order_id,customer,day")
    lab.tick()
    (waiting,) = lab.headrace("quarantine", "orders")
    assert waiting["reason"].startswith("1 column gone: amount")
    assert _accept(lab, f"orders@{DAYS[1]}").state == "held"
    (waiting,) = lab.headrace("quarantine", "orders")
    assert "2 rows" in waiting["reason"], waiting["reason"]
    assert "amount: 100 % nulls" not in waiting["reason"], "that column was named"
    assert _accept(lab, f"orders@{DAYS[1]}").state == "published"
    assert [row["amount"] for row in lab.read("orders")][-2:] == [None, None]


def test_what_one_day_may_fail_another_may_not(lab: Lab) -> None:
    """Would catch: two days that are accepted at the same time, one of which was known to repeat
    keys, and the other one published with repeated keys as well, which nobody had been told."""
    source = lab.root / "sources/orders.yaml"
    source.write_text(source.read_text(encoding="utf-8") + UNIQUE + "\n", encoding="utf-8")
    lab.sql("totals", "select day, sum(amount) as total from orders group by day")
    lab.orders(DAYS[0])
    lab.tick()
    _twice(lab, DAYS[1])
    lab.deliver(DAYS[2], [f"1,c,{DAYS[2]}"] * 2, "order_id,customer,day")
    lab.tick()
    store = lab.session().store
    assert store is not None
    with store.write(None) as tx:
        for row in quarantine.waiting(tx, node="orders", partition=None):
            acceptance = exceptions.Acceptance(row.id, None, "ana", "they stand by it", 0, None)
            exceptions.accept_exception(tx, "orders", row.partition, acceptance)
        waived = [exceptions.waived_checks(tx, "orders", [day]) for day in DAYS[1:3]]
        emptied = [exceptions.emptied_columns(tx, "orders", [day]) for day in DAYS[1:3]]
    assert waived == [{DAYS[1]: ("unique_order_id",)}, {DAYS[2]: ()}]
    assert emptied == [(), ("amount",)]


def test_readers_see_what_was_accepted_though_it_is_computed_again(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would catch: "readers see none of it" of rows that they see: the exception is in force, and
    the same rows were computed again and rejected as before."""
    lab.sql("clean", "select order_id, amount, day from orders", UNIQUE)
    _twice(lab, DAYS[0])
    lab.tick()

    def words() -> str:
        run_command(["quarantine", "--project", str(lab.root)])
        return capsys.readouterr().out

    assert "1 partition, 2 rows; readers see none of it" in words()
    _accept(lab, "clean")
    lab.run("clean", again=True, reason="once more")
    assert "1 partition, 2 rows; readers see earlier publications of 1 partition" in words()
    (row,) = lab.headrace("quarantine")
    assert (row["state"], row["published"]) == ("rejected", True)


def test_what_no_rule_can_read_stays_where_it_is(lab: Lab) -> None:
    """Would catch: an exception that waits in secret until the next delivery comes, and then lets
    it through.
    """
    lab.sql("days", "select day from orders")
    lab.orders(DAYS[0])
    lab.tick()
    path = lab.root / f"landing/orders_{DAYS[1]}.csv"
    path.write_bytes(b"order_id,customer,amount,day\n\x00\xff\xfe\x00not,a,file\n")
    lab.tick()
    made = _accept(lab, f"orders@{DAYS[1]}")
    assert made.state in ("held", "rejected"), made
    assert lab.rows("select count(*) from accepted where ended_at is null") == [(0,)]
    lab.deliver(DAYS[1], ["1,c,1.50"], header="order_id,customer,amount")
    lab.tick()
    assert [row["partition"] for row in lab.headrace("quarantine", "orders")] == [DAYS[1]], (
        "held by the usual rules"
    )


@pytest.mark.long
def test_an_exception_of_which_nothing_came_ends_nothing(lab: Lab) -> None:
    """Would catch: "accepted as an exception by ann", in the timeline and as what ended it, of a
    file that couldn't be published.
    """
    lab.sql("days", "select day from orders")
    lab.orders(DAYS[0])
    lab.tick()
    (lab.root / f"landing/orders_{DAYS[1]}.csv").write_bytes(b"")
    lab.tick()
    assert _accept(lab, f"orders@{DAYS[1]}").state == "rejected"
    lab.orders(DAYS[1])
    lab.tick()
    (item,) = lab.headrace("incidents", "--all", "--now", lab.now.isoformat())
    result = lab.headrace("incident", item["id"], "--now", lab.now.isoformat())
    assert result["ended"].startswith("Delivered again") and "accepted" not in result["ended"], (
        result["ended"]
    )
    said = [line["what"] for line in result["timeline"] if "accepted" in line["what"]]
    assert said == [f"accepted in vain by tester: orders@{DAYS[1]} (they stand by it)"]


@pytest.mark.long
def test_a_leader_that_works_is_asked(lab: Lab, tmp_path: Path) -> None:
    """Would catch: a decision that waits for the leader's end, or that takes the lease from it."""
    flag, go = tmp_path / "has-begun", tmp_path / "may-end"
    lab.python("slow", SLOW.format(flag=str(flag), go=str(go)), partition="day", inputs=["orders"])
    lab.sql(
        "clean",
        "select order_id, amount, day from orders",
        f"partition: {{by: day, column: day}}\n{UNIQUE}",
    )
    _twice(lab, DAYS[0])
    leader = subprocess.Popen(
        lab.command("tick", "--now", "2025-01-10T12:01:00+00:00"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 40
        while not flag.exists() or not lab.rows("select 1 from quarantine where node = 'clean'"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        said = lab.headrace(
            "quarantine",
            "accept",
            f"clean@{DAYS[0]}",
            "--reason",
            "now",
            "--now",
            "2025-01-10T12:02:00+00:00",
        )
        assert (said["state"], said["rows"]) == ("published", 2)
        assert leader.poll() is None
    finally:
        go.touch()
        out, err = leader.communicate(timeout=50)
    assert json.loads(out)["run_id"] == "1", err
    assert len(lab.read("clean")) == 2


def test_what_nobody_could_read_is_only_offered_to_be_dropped(lab: Lab) -> None:
    """Would catch: `quarantine accept INC-1` proposed for files that were cut, where it publishes
    nothing and fails."""
    lab.orders(DAYS[0])
    lab.tick()
    for day in DAYS[1:3]:
        path = lab.root / f"landing/orders_{day}.csv"
        path.write_text(f'order_id,customer,amount,day\n1,c,1.50,{day}\n2,"c')
        past = path.stat().st_mtime - 3600
        os.utime(path, (past, past))
    lab.tick()
    waiting = lab.headrace("quarantine", "orders")
    assert [row["partition"] for row in waiting] == DAYS[1:3]
    (incident,) = lab.headrace("incidents")
    ending = ["--reason", "TEXT"]
    for row in waiting:
        offered = [shlex.split(item) for item in row["decide"]]
        targets = [f"orders@{row['partition']}", incident["id"]]
        assert offered == [
            ["headrace", "quarantine", "drop", target, *ending] for target in targets
        ]
    lab.headrace(*offered[-1][1:])
    assert lab.headrace("quarantine", "orders") == []


@pytest.mark.long
def test_nobody_is_asked_for_a_file_that_was_dropped_or_whose_source_is_gone(
    tmp_path: Path,
) -> None:
    """Would catch: "repair orders: ask acme for the file" of a delivery that somebody dropped and
    nobody waits for, and rows in quarantine called open, with a command that finds nothing, of a
    source that isn't declared any more."""
    lab = Lab(tmp_path / "p")
    source = lab.root / "sources/orders.yaml"
    source.write_text(
        source.read_text(encoding="utf-8") + "checks:\n  - unique: [order_id]\n", encoding="utf-8"
    )
    lab.orders(DAYS[0])
    _twice(lab, DAYS[1])
    lab.tick()
    lab.headrace("quarantine", "drop", f"orders@{DAYS[1]}", "--reason", "a test of theirs")
    lab.tick()
    waits = [
        item["partitions"] for item in lab.headrace("status")["repairs"] if item["incident"] is None
    ]
    assert waits == []
    _twice(lab, DAYS[2])
    lab.tick()
    source.unlink()
    lab.headrace("apply", "--yes")
    lab.tick()
    status = lab.headrace("status")
    assert (status["repairs"], [item["kind"] for item in status["open"]]) == ([], [])


@pytest.mark.long
def test_values_that_a_column_cant_take_are_null_for_who_accepts_them(lab: Lab) -> None:
    """Would catch: an acceptance offered without a word of what it does to the values; consumers at
    risk from their deadline on, for a column that they don't use, of what they are served by
    exception."""
    header = "order_id,customer,amount,quantity,day"

    def deliver(day: str, unit: str = "") -> None:
        lab.deliver(
            day, [f"{day[-2:]}{n},c{n % 3},{n}.50,{n}{unit},{day}" for n in range(20)], header
        )
        lab.now = datetime.fromisoformat(f"{day}T04:00+00:00") + timedelta(days=1)
        lab.tick()

    lab.sql("totals", "select day, sum(amount) as total from orders group by day")
    lab.sql("pieces", "select day, sum(quantity) as pieces from orders group by day")
    lab.write(
        "consumers.yaml",
        "- {consumer: till, owner: core, reads: [totals], due: '07:00'}\n"
        "- {consumer: stock, owner: core, reads: [pieces], due: '07:00'}\n",
    )
    for day in DAYS[:5]:
        deliver(day)
    deliver(DAYS[5], " pcs")
    (held,) = lab.headrace("incidents")
    assert held["repair"]["first"].endswith(
        ": readers then see NULL in quantity (where it isn't BIGINT)"
    )
    (row,) = lab.headrace("quarantine", "orders")
    assert "see NULL in quantity" in row["todo"]
    _accept(lab, f"orders@{DAYS[5]}")
    later = f"{DAYS[6]}T07:30:00+00:00"
    for item in lab.headrace("status", "--now", later)["consumers"]:
        assert (item["state"], "by exception of" in item["reason"]) == ("served", True), item


def test_accepting_several_days_says_what_all_of_them_lose(lab: Lab) -> None:
    """Would catch: "readers then see NULL in amount" of an incident in whose other days another
    column is emptied as well."""
    header = "order_id,customer,amount,quantity,day"
    lab.sql("totals", "select day, sum(amount) as a, sum(quantity) as q from orders group by day")
    for day in DAYS[:2]:
        lab.deliver(day, [f"{day[-2:]}{n},c,{n}.50,{n},{day}" for n in range(12)], header)
    lab.tick()
    lab.deliver(DAYS[2], [f"3{n},c,much,{n},{DAYS[2]}" for n in range(12)], header)
    lab.deliver(DAYS[3], [f"4{n},c,much,few,{DAYS[3]}" for n in range(12)], header)
    lab.tick()
    (incident,) = lab.headrace("incidents")
    first = lab.headrace("incident", incident["id"])["repair"]["first"]
    assert f"quarantine accept {incident['id']} " in first
    assert first.endswith(
        ": readers then see NULL in amount (where it isn't DOUBLE),"
        " quantity (where it isn't BIGINT)"
    )
