"""`why`: for what waits, what it waits for in the end, and until when that is expected."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab
from warm_fork_servers import headrace

from headrace.project.session import ProjectSession, Silent
from headrace.responses.interventions import WhyResponse
from headrace.services.pause import pause
from headrace.services.why import why


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [total], due: '07:00'}\n"
    )
    made.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nexpect: {by: '05:00'}\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\n",
    )
    made.sql("clean", "select order_id, customer, cast(day as date) as day from orders")
    made.sql("total", "select day, count(*) as n from clean group by day")
    return made


def ask(lab: Lab, subject: str, now: str = "2025-01-03T04:00:00+00:00") -> WhyResponse:
    return why(ProjectSession.open(lab.root, "prod", now, "tester"), subject)


def tick(lab: Lab, now: str) -> None:
    lab.now = datetime.fromisoformat(now)
    lab.tick()


def test_the_delivery_that_everything_waits_for_is_named_with_its_promise(lab: Lab) -> None:
    """Somebody who asks at three in the morning and is told of the asset next to it."""
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T06:00:00+00:00")
    said = ask(lab, "report")
    assert said.verdict == "report 2025-01-02 waits for orders 2025-01-02, expected by 05:00"
    assert (said.interval, said.next) == ("2025-01-02", "headrace deliveries orders")
    assert [(row.waiter, row.node, row.kind) for row in said.waiting_for] == [
        ("total@2025-01-02", "clean", "partition"),
        ("clean@2025-01-02", "orders", "delivery"),
    ]
    assert said.waiting_for[-1].until is not None and said.waiting_for[-1].until.hour == 5
    late = ask(lab, "clean@2025-01-02", "2025-01-03T07:20:00+00:00")
    since = "which hasn't been observed since Thu 01-02 06:01, expected by 05:00"
    assert late.verdict == f"clean@2025-01-02 waits for orders 2025-01-02, {since}"
    spent = [("source", "orders", 18_000.0), ("detection", "orders", 8_400.0)]
    assert [(item.kind, item.node, item.seconds) for item in late.segments or []] == spent
    assert (late.wait_seconds, late.overhead_seconds) == (26_400.0, 8_400.0)
    tick(lab, "2025-01-03T07:20:00+00:00")
    late = ask(lab, "clean@2025-01-02", "2025-01-03T07:21:00+00:00")
    assert (
        late.verdict
        == "clean@2025-01-02 waits for orders 2025-01-02, expected by 05:00, which is 2 h 21"
        " min ago"
    )
    assert [(item.kind, item.node) for item in late.segments or []] == [("source", "orders")]


def test_before_the_first_pass_nothing_is_known_of_deliveries(lab: Lab) -> None:
    """Would catch: a file that is there told as not delivered, and its vendor charged with hours,
    since nobody has looked yet.
    """
    lab.orders(DAYS[0])
    now = "2025-01-02T06:00:00+00:00"
    lab.headrace("apply", "--yes", "--now", now)
    assert ask(lab, "report", now).verdict == "orders hasn't been observed yet"
    for subject, verdict in {
        "orders@2025-01-01": "orders@2025-01-01 isn't known yet: orders hasn't been observed",
        "total@2025-01-01": (
            "total@2025-01-01 waits for orders 2025-01-01, which hasn't been observed yet"
        ),
    }.items():
        said = ask(lab, subject, now)
        assert (said.verdict, said.next) == (verdict, "headrace tick")
        assert [(item.kind, item.seconds) for item in said.segments or []] == [
            ("detection", pytest.approx(21_600.0, abs=1))
        ]
        assert [item.owner for item in said.shares or []] == ["headrace"]


def test_what_failed_is_named_with_its_reason(lab: Lab) -> None:
    """Would catch: `waits for clean` when clean has failed and won't be tried again; another
    command than its incident's.
    """
    lab.sql(
        "clean",
        "select order_id, cast(customer as integer) as customer, cast(day as date) as day from"
        " orders",
    )
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T06:00:00+00:00")
    said = ask(lab, "total@2025-01-01")
    assert said.verdict.startswith("total@2025-01-01 waits for clean 2025-01-01, which failed")
    assert "Could not convert" in said.verdict
    assert said.next == "headrace incident INC-1"
    assert [row.repair.incident for row in said.waiting_for if row.repair] == ["INC-1"]
    assert ask(lab, "clean").verdict.startswith("clean@2025-01-01 failed")


@pytest.mark.parametrize(
    ("first", "cause"),
    [
        ("returns", "returns 2025-01-01, which was rejected"),
        ("clean", "clean 2025-01-01, which failed"),
    ],
)
def test_two_causes_are_named_in_the_order_of_status(lab: Lab, first: str, cause: str) -> None:
    """Would catch: `status` that names one incident, `why` another with "1 more like it", where the
    other isn't like it. Both name the older cause; an attempt each tick decides which that is.
    """
    lab.write(
        "consumers.yaml",
        "- {consumer: report, owner: core, reads: [total, returned], due: '07:00'}\n",
    )
    lab.write(
        "sources/returns.yaml",
        "source: returns\nowner: acme\npartition: day\nfiles:"
        " landing/returns_{date:%Y-%m-%d}.csv\n",
    )
    lab.sql(
        "returned",
        "select $partition_start as day, count(*) as n from returns",
        "partition: {by: day, column: day}",
    )
    lab.sql(
        "clean",
        "select order_id, cast(customer as integer) as customer, cast(day as date) as day from"
        " orders",
    )
    landing = lab.root / "landing"

    def deliver(cause: str) -> None:
        if cause == "clean":
            lab.orders(DAYS[0])
        else:
            (landing / f"returns_{DAYS[0]}.csv").write_bytes(b"id,n\n\x00\x01\x9d\n")

    deliver(first)
    tick(lab, "2025-01-02T06:00:00+00:00")
    deliver("clean" if first == "returns" else "returns")
    tick(lab, "2025-01-02T06:30:00+00:00")
    now = "2025-01-02T09:00:00+00:00"
    (row,) = lab.headrace("status", "--now", now)["consumers"]
    said = ask(lab, "report", now)
    assert row["incident"] == "INC-1"
    assert row["reason"].startswith(f"INC-1 {first}: ")
    assert said.verdict.startswith(f"report 2025-01-01 waits for {cause}")
    assert said.verdict.endswith(" (and 1 other cause: INC-2)")
    assert said.next == "headrace incident INC-1"


def test_a_pause_is_named_with_who_said_so(lab: Lab) -> None:
    """Something that stands still, and nobody knows why."""
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T06:00:00+00:00")
    lab.orders(DAYS[1])
    pause(
        lab.session(),
        ["clean"],
        exclude=[],
        reason="the vendor sends it again",
        until="2d",
        progress=Silent(),
    )
    tick(lab, "2025-01-03T06:00:00+00:00")
    said = ask(lab, "total", "2025-01-03T06:10:00+00:00")
    assert "is paused: the vendor sends it again (by tester" in said.verdict
    assert said.next == "headrace resume clean"


def test_what_was_withdrawn_waits_for_a_correction(lab: Lab) -> None:
    """Would catch: a command that publishes the rows again which somebody took back."""
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T06:00:00+00:00")
    lab.headrace(
        "unpublish", "clean@2025-01-01", "--reason", "x", "--now", "2025-01-02T06:10:00+00:00"
    )
    assert ask(lab, "clean@2025-01-01", "2025-01-02T06:20:00+00:00").next == "headrace apply"
    assert (
        "which was withdrawn" in ask(lab, "total@2025-01-01", "2025-01-02T06:20:00+00:00").verdict
    )


@pytest.mark.parametrize("subject", ["report", "total", "clean@2025-01-01", "orders"])
def test_what_is_there_waits_for_nothing(lab: Lab, subject: str) -> None:
    """A reason for something that nobody waits for."""
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T06:00:00+00:00")
    said = ask(lab, subject, "2025-01-02T06:30:00+00:00")
    if subject == "report":
        assert said.interval == "2025-01-02", "the next one is asked for"
        assert "covers an interval that ends" in said.verdict or "waits for orders" in said.verdict
    else:
        assert said.waiting_for == []
        assert "waits for nothing" in said.verdict


def test_an_export_doesnt_wait_for_itself(lab: Lab) -> None:
    """Would catch: "report 2025-01-02 waits for report 2025-01-02, which covers an interval that
    ends at …"."""
    exported = (
        "- {consumer: report, owner: core, reads: [total], due: '07:00', export: {to:"
        " 'out/{date:%Y-%m-%d}.csv'}}\n"
    )
    lab.write("consumers.yaml", exported)
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T06:00:00+00:00")
    said = ask(lab, "report", "2025-01-02T06:30:00+00:00")
    assert "waits for report" not in said.verdict
    assert said.verdict.startswith("report 2025-01-02 covers an interval that ends at ")


@pytest.mark.parametrize("name", ["orders", "total"])
def test_a_day_without_data_waits_for_nothing(lab: Lab, name: str) -> None:
    """Would catch: "could begin now, and nothing runs it", and hours charged to Headrace, of a
    Saturday on which nothing is due.
    """
    (lab.root / "calendars").mkdir()
    lab.write("calendars/closed.yaml", "- 2025-01-04\n- 2025-01-05\n")
    source = (lab.root / "sources/orders.yaml").read_text(encoding="utf-8")
    lab.write("sources/orders.yaml", f"{source}calendar: closed\n")
    for day in ("2025-01-02", "2025-01-03"):
        lab.orders(day)
    tick(lab, "2025-01-05T06:00:00+00:00")
    said = ask(lab, f"{name}@2025-01-04", "2025-01-05T06:30:00+00:00")
    assert (
        said.verdict
        == f"{name}@2025-01-04 waits for nothing: no data of orders is due then, as declared"
    )
    assert (said.state, said.waiting_for, said.segments, said.next) == (
        "nothing_due",
        [],
        None,
        None,
    )
    assert ask(lab, f"{name}@2025-01-03", "2025-01-05T06:30:00+00:00").state == "published"


def test_before_anything_has_run(lab: Lab) -> None:
    """A traceback for who asks first."""
    assert (
        ask(lab, "report").verdict
        == "report waits for the first pass: no source was looked at yet, and nothing has run"
    )


def test_the_response_is_the_one_that_was_promised(lab: Lab) -> None:
    """A field of the interface that is called otherwise."""
    response: dict[str, Any] = lab.headrace("why", "report")
    promised = {
        "subject",
        "interval",
        "wait_seconds",
        "from",
        "to",
        "segments",
        "overhead_seconds",
        "shortest_possible_seconds",
        "verdict",
    }
    assert promised | {"waiting_for"} <= response.keys()
    lab.headrace("why", "nobody", code=2)
    lab.headrace("why", "report@x", code=2)


@pytest.mark.long
def test_an_incident_that_is_over_isnt_what_a_consumer_waits_for(lab: Lab) -> None:
    """Would catch: `late because of INC-1`, which was repaired an hour ago, where something else
    keeps the same interval since."""
    lab.sql(
        "clean",
        "select order_id, if(amount > 5, error('too much'), customer) as customer, cast(day as"
        " date) as day from orders",
    )
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T06:00:00+00:00")
    (lab.root / "landing" / "orders_2025-01-02.csv").write_bytes(b"")
    tick(lab, "2025-01-03T04:00:00+00:00")
    before = ask(lab, "report", "2025-01-03T08:00:00+00:00")
    assert before.verdict.startswith(
        "report is late since 07:00 because of INC-1: the file is empty"
    )
    lab.orders(DAYS[1], amount="9.50")
    tick(lab, "2025-01-03T08:30:00+00:00")
    after = ask(lab, "report", "2025-01-03T08:31:00+00:00")
    assert "INC-1" not in after.verdict and "INC-2" in after.verdict, after.verdict
    assert any(item.incident == "INC-1" for item in after.segments or ()), (
        "what it waited for until then is still told"
    )


@pytest.mark.long
def test_failures_are_counted_alike_in_why_and_in_the_incident(tmp_path: Path) -> None:
    """Would catch: "after 5 failures" beside an incident that has seen the same 2 times."""
    lab = Lab(tmp_path / "lab")
    command = [
        sys.executable,
        "-c",
        "import sys; print('no answer', file=sys.stderr); sys.exit(75)",
    ]
    declared = {
        "asset": "program",
        "owner": "core",
        "partition": "day",
        "inputs": ["orders"],
        "command": command,
        "attempts_max": 20,
    }
    lab.write("assets/program.yaml", json.dumps(declared))
    lab.orders(DAYS[0])
    lab.tick()
    for _ in range(3):
        lab.now += timedelta(hours=1)
        lab.tick()
    attempts = [state for (state,) in lab.rows("select state from attempt where node = 'program'")]
    assert set(attempts) == {"failed"} and len(attempts) > 2
    verdict = lab.headrace("why", f"program@{DAYS[0]}")["waiting_for"][0]["text"]
    (incident,) = lab.headrace("incidents")
    evidence = incident["cause"]["evidence"]
    assert len({item for row in evidence for item in row["attempts"]}) == len(attempts)
    assert f"after {len(attempts)} failed attempts: " in verdict, verdict


def test_the_newest_delivery_is_told_of_before_the_next_pass(lab: Lab) -> None:
    """Catches: a consumer that was served before its deadline, and the day before it is explained
    until something looks again."""
    for day, now in zip(
        DAYS[:2], ("2025-01-02T06:00:00+00:00", "2025-01-03T06:00:00+00:00"), strict=True
    ):
        lab.orders(day)
        tick(lab, now)
    said = ask(lab, "report", "2025-01-03T08:00:00+00:00")
    assert said.last is not None
    assert (said.last.subject, said.last.interval) == ("report", DAYS[1])


@pytest.mark.long
def test_the_interval_is_explained_that_is_wrong(lab: Lab) -> None:
    """Would catch: the newest interval, which nothing is the matter with, explained to somebody who
    asks why a consumer is wrong."""
    good = "select day, count(*) as n from clean group by day"
    checks = (
        "partition: {by: day, column: day}\nchecks:\n  - range: {column: n, max: 10, severity:"
        " warning}"
    )
    lab.sql("total", good, checks)
    for n in (0, 1):
        lab.orders(DAYS[n])
        tick(lab, f"{DAYS[n + 1]}T06:00:00+00:00")
    for n, code in ((2, good.replace("count(*)", "count(*) * 2")), (3, good)):
        lab.sql("total", code, checks)
        lab.headrace("apply", "--yes", "--now", f"{DAYS[n + 1]}T05:00:00+00:00")
        lab.orders(DAYS[n])
        tick(lab, f"{DAYS[n + 1]}T06:00:00+00:00")
    said = ask(lab, "report", f"{DAYS[4]}T08:00:00+00:00")
    assert (said.state, said.interval, said.next) == ("wrong", DAYS[2], "headrace incident INC-1")
    assert (
        f"INC-1: check range_n fails at total {DAYS[2]}, which core answers for; version 2 changed"
        " its code." in said.verdict
    )


def test_an_age_that_nobody_promised_isnt_named(lab: Lab) -> None:
    """Would catch: "older than None" of a daily consumer whose month isn't there yet."""
    lab.sql(
        "total",
        "select date_trunc('month', day) as month, count(*) as n from clean group by all",
        "partition: {by: month, column: month}",
    )
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T06:00:00+00:00")
    assert "None" not in ask(lab, "report").verdict


@pytest.mark.long
def test_what_it_waits_for_now_is_named_after_what_took_the_most_time(lab: Lab) -> None:
    """Catches: somebody who is sent to what was mended, and not to what is broken now."""
    lab.write(
        "consumers.yaml",
        '- {consumer: report, owner: core, reads: [total], due: "07:00", export: {to:'
        ' "out/{date:%Y-%m-%d}.csv"}}\n',
    )
    lab.sql("total", "select day, error('no') as n from clean group by day")
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T06:00:00+00:00")
    (lab.root / "out").write_text("")
    lab.sql("total", "select day, count(*) as n from clean group by day")
    lab.now = datetime.fromisoformat("2025-01-02T10:00:00+00:00")
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    tick(lab, "2025-01-02T10:01:00+00:00")
    said = ask(lab, f"report@{DAYS[0]}", "2025-01-02T10:05:00+00:00")
    (row,) = lab.headrace("status", "--now", "2025-01-02T10:05:00+00:00")["consumers"]
    assert said.verdict is not None
    assert row["incident"] == "INC-2"
    assert "INC-2" in said.verdict
    assert said.next == "headrace incident INC-2"


def test_a_count_of_what_it_waits_for_that_was_cut_is_told_as_such(lab: Lab) -> None:
    """Would catch: "and 99 more like it" of a day that waits for 140 deliveries, and "--json has
    all" of which it has 100."""
    path = "landing/orders_{date:%Y-%m-%d}.csv"
    lab.write(
        "sources/orders.yaml",
        f"source: orders\nowner: acme\npartition: day\nstart: 2024-08-01\nfiles: {path}\n",
    )
    lab.sql(
        "long",
        "select cast($partition_start as date) as day, count(*) as n from orders",
        "partition: {by: day, column: day}\ninputs: {orders: {lookback: 140d}}",
    )
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T03:00:00+00:00")
    told = ask(lab, f"long@{DAYS[0]}", "2025-01-02T04:00:00+00:00")
    assert told.waiting_limited
    assert told.verdict.endswith(" (and at least 99 more like it)")
    asked = ["--now", "2025-01-02T04:00:00+00:00", "--project", str(lab.root)]
    page = headrace(["why", f"long@{DAYS[0]}", *asked], Path.cwd(), os.environ, 50).stdout
    assert "and at least 88 more things; --json has the first 100" in page
    assert not ask(lab, "orders@2024-12-31", "2025-01-02T04:00:00+00:00").waiting_limited


def test_a_lateness_is_not_put_down_to_what_began_after_it(lab: Lab) -> None:
    """Would catch: "late since Thu 07:00 because of INC-2: nothing was delivered", of a file that
    was promised for the day after, while what made it late is mended."""
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T05:30:00+00:00")
    lab.sql("total", "select day, error('no') as n from clean group by day")
    lab.headrace("apply", "--yes", "--now", "2025-01-02T05:40:00+00:00")
    lab.orders(DAYS[1])
    tick(lab, "2025-01-03T05:30:00+00:00")
    tick(lab, "2025-01-03T09:00:00+00:00")
    assert "late since" in ask(lab, "report", "2025-01-03T09:05:00+00:00").verdict
    tick(lab, "2025-01-04T07:30:00+00:00")
    lab.sql("total", "select day, count(*) as n from clean group by day")
    lab.headrace("apply", "--yes", "--now", "2025-01-04T07:40:00+00:00")
    tick(lab, "2025-01-04T08:00:00+00:00")
    said = ask(lab, "report", "2025-01-04T08:05:00+00:00")
    assert (
        said.verdict
        == "report is late since Fri 01-03 07:00. 2025-01-03 waits since 00:00 because of INC-2: "
        "not delivered yet at orders 2025-01-03, which acme answers for."
    )


def test_an_asset_without_partitions_waits_for_the_source_that_delivered_nothing(
    lab: Lab,
) -> None:
    """Would catch: "nothing of it was ever heard of" about an asset whose file hasn't arrived, and
    a source that can't be reached, or wasn't looked at, told as one that delivered nothing.
    """
    lab.write(
        "sources/planes.yaml", "source: planes\nowner: acme\npartition: '*'\nfiles: landing/p.csv\n"
    )
    lab.sql("fleet", "select * from planes", front="")
    lab.sql("largest", "select max(seats) as seats from fleet", front="")
    now = "2025-01-02T06:00:00+00:00"
    lab.headrace("apply", "--yes", "--now", now)
    for subject in ("fleet", "largest"):
        said = ask(lab, subject, now)
        assert said.verdict == f"{subject} waits for planes, which hasn't been observed yet"
        assert (said.state, said.next) == ("never", "headrace tick")
    tick(lab, now)
    for subject, verdict in {
        "fleet": "fleet waits for planes, of which nothing was delivered yet",
        "largest": "largest waits for planes, of which nothing was delivered yet",
        "planes": "planes hasn't been delivered",
    }.items():
        said = ask(lab, subject, "2025-01-02T06:05:00+00:00")
        assert (said.verdict, said.next) == (verdict, "headrace deliveries planes")
    lab.write("landing/p.csv", "tail,seats\nN1,150\n")
    tick(lab, "2025-01-02T06:10:00+00:00")
    assert ask(lab, "largest", "2025-01-02T06:11:00+00:00").state == "published"


def test_a_pass_says_that_no_name_tells_the_second_of_two_hours(lab: Lab) -> None:
    """Would catch: `which hasn't arrived`, of a file that nobody can name."""
    for name, date in ("h", "%Y-%m-%d_%H"), ("z", "%Y-%m-%d_%H%z"):
        lab.write(
            f"sources/{name}.yaml",
            f"source: {name}\nowner: acme\npartition: hour\ntimezone: America/New_York\n"
            f"files: landing/{name}_{{date:{date}}}.csv\n",
        )
    lab.sql(
        "c", "select h.n from h join z using (n)", "partition: hour\ntimezone: America/New_York"
    )
    for hour in ("00", "01", "02"):
        lab.write(f"landing/h_2026-11-01_{hour}.csv", f"n\n{hour}\n")
    for hour in ("00-0400", "01-0400", "01-0500", "02-0500"):
        lab.write(f"landing/z_2026-11-01_{hour}.csv", f"n\n{hour[:2]}\n")
    lab.now = datetime.fromisoformat("2026-11-01T12:00:00+00:00")
    assert (
        "c@2026-11-01T01:00-05:00 waits for h 2026-11-01T01:00-05:00, which hasn't arrived: it is"
        " the second of two hours with one name, for which no file can be named. Put %z into the"
        " date of `files:`, or hand a file in"
    ) in (lab.tick().reason or "")


@pytest.mark.parametrize("column", [None, "at"])
def test_the_second_of_two_hours_with_one_name_is_said_to_be_so(
    lab: Lab, column: str | None
) -> None:
    """Would catch: a wait for a file that nobody can name, without a word of how it ends."""
    name, partition = (
        ("{date:%Y-%m-%d_%H}", "hour") if column is None else ("*", "{by: hour, column: at}")
    )
    lab.write(
        "sources/h.yaml",
        f"source: h\nowner: acme\npartition: {partition}\ntimezone: America/New_York\n"
        f"files: landing/h_{name}.csv\n",
    )
    rows = {f"{hour:02}": f"at,n\n2026-11-01 {hour:02}:30:00,1\n" for hour in range(5)}
    for hour, text in rows.items():
        lab.write(f"landing/h_2026-11-01_{hour}.csv", text)
    tick(lab, "2026-11-01T12:00:00+00:00")
    now, key = "2026-11-01T12:05:00+00:00", "2026-11-01T01:00-05:00"
    said = ask(lab, f"h@{key}", now)
    assert "it is the second of two hours with one name" in said.verdict
    if column is None:
        assert said.next == f"headrace receive h FILE --for {key} --reason TEXT"
    else:
        assert "Without an offset, times in `at` are in the first one" in said.verdict
