"""The first hours of a project that loads its history: nobody is owed it, and nobody is told about
it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import SETTINGS, Lab

pytest.importorskip("headrace_ui")
from headrace_ui.services.nodes import PartitionListQuery, list_partitions

pytestmark = pytest.mark.long

FIRST = date(2025, 1, 1)
DAYS = [(FIRST + timedelta(at)).isoformat() for at in range(40)]
CONSUMERS = """- {consumer: report, owner: core, reads: [total], due: "07:00"}
- {consumer: board, owner: core, reads: [total], max_age: 32h}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.write("headrace.toml", SETTINGS)
    made.write("consumers.yaml", CONSUMERS)
    made.sql("total", "select day, sum(amount) as total from orders group by day")
    source = (
        "source: orders\nowner: acme\npartition: day\nexpect: {by: '05:00'}\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\n"
    )
    made.write("sources/orders.yaml", source)
    return made


def tick(lab: Lab, morning_after: str, clock: str = "06:00") -> None:
    """One pass on the day after a day."""
    lab.now = datetime.fromisoformat(f"{morning_after}T{clock}:00+00:00") + timedelta(1)
    lab.tick()


def states(lab: Lab) -> dict[str, str]:
    return {item["name"]: item["state"] for item in status(lab)["consumers"]}


def status(lab: Lab) -> Any:
    return lab.headrace("status")


def consumer(lab: Lab, name: str) -> Any:
    return next(item for item in status(lab)["consumers"] if item["name"] == name)


def told(lab: Lab) -> list[Any]:
    """Who was sent what, as far as it is written down."""
    return lab.rows("select recipient, kind, subject, title from notice")


def owed(lab: Lab) -> list[str]:
    return [
        interval
        for (interval,) in lab.rows("select distinct interval from obligation order by interval")
    ]


def test_a_loaded_history_opens_nothing_mails_nobody_and_counts_for_nothing(lab: Lab) -> None:
    """Would catch: `deadline_infeasible` for weeks ago with mails to teams; a new project that is
    late since before it was there; an availability of 68.8 % of 30 days after a perfect first run.
    """
    for day in DAYS[:37]:
        lab.orders(day)
    tick(lab, DAYS[36], "08:00")
    result = status(lab)
    assert states(lab) == {"report": "served", "board": "served"}
    assert [
        (item["backlog"], item["due_interval"], item["data_through"])
        for item in result["consumers"]
    ] == [([], None, DAYS[36])] * 2
    assert all(item["since"].startswith("2025-02-07T08:0") for item in result["consumers"])
    assert (result["honest_availability"], result["minutes_lost"], result["incidents_open"]) == (
        None,
        None,
        0,
    )
    assert (told(lab), owed(lab)) == ([], [])

    lab.orders(DAYS[37])
    tick(lab, DAYS[37])
    tick(lab, DAYS[37], "09:00")
    result = status(lab)
    assert states(lab) == {"report": "served", "board": "served"}
    assert (result["honest_availability"], result["minutes_lost"], result["incidents_open"]) == (
        "100.0",
        0,
        0,
    )
    assert (told(lab), owed(lab)) == ([], [DAYS[37]])


def test_what_is_late_after_a_loaded_history_is_told_as_what_it_is(lab: Lab) -> None:
    """Would catch: what usually arrives when, taken from files that lay there when nobody looked:
    `deadline_infeasible`, "with usual arrivals at Sat 03-22"."""
    for day in DAYS[:37]:
        lab.orders(day)
    tick(lab, DAYS[36], "08:00")
    tick(lab, DAYS[37], "07:30")
    assert states(lab) == {"report": "late", "board": "at_risk"}
    lab.orders(DAYS[37])
    tick(lab, DAYS[37], "07:50")
    assert states(lab) == {"report": "served", "board": "served"}
    assert {item["cause"]["kind"] for item in lab.headrace("incidents", "--all")} == {
        "missing_source"
    }


def rows_in_database(lab: Lab, days: list[str], column: str) -> None:
    path = lab.root / "bank.db"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as bank, bank:
        bank.execute(f"create table orders (day text, {column} real)")
        bank.executemany(
            "insert into orders values (?, ?)", [(day, n + 0.5) for day in days for n in range(30)]
        )


def test_a_few_days_fetched_at_first_say_nothing_of_when_they_come(lab: Lab) -> None:
    """Would catch: `deadline_infeasible`, "usually there at 08:01 2 days later", of days that were
    fetched from a database by the first look, a moment before the source was written down."""
    lab.write("headrace.toml", SETTINGS + '[connections.bank]\nurl = "sqlite:bank.db"\n')
    source = "source: orders\nowner: acme\npartition: day\nconnection: bank\nstart: 2025-01-01\n"
    query = 'query: "select * from orders where day = $partition_start"\n'
    lab.write("sources/orders.yaml", source + query)
    lab.sql(
        "total", "select cast(day as date) as day, sum(amount) as total from orders group by all"
    )
    rows_in_database(lab, DAYS[:6], "amount")
    tick(lab, DAYS[5])
    rows_in_database(lab, DAYS[:7], "betrag")
    tick(lab, DAYS[6])
    (renamed,) = lab.headrace("incidents")
    (lab.root / "bank.db").unlink()
    (lab.root / "bank.db").mkdir()
    tick(lab, DAYS[6], "08:00")
    lab.headrace("fix", renamed["id"], "--yes", "--now", f"{DAYS[7]}T08:10:00+00:00", code=1)
    tick(lab, DAYS[6], "09:00")
    assert states(lab)["report"] == "late"
    kinds = {item["cause"]["kind"] for item in lab.headrace("incidents", "--all")}
    assert kinds == {"schema_change", "source_unavailable"}


def test_days_that_were_missing_before_anybody_promised_them_are_no_incident(lab: Lab) -> None:
    """Would catch: a vendor who is asked in the first hour for the file of the day before."""
    for day in DAYS[:35]:
        lab.deliver(day, [f"1{day[-2:]}{n},c{n % 3},1.50,{day}" for n in range(10)])
    tick(lab, DAYS[36], "08:00")
    assert lab.headrace("incidents", "--all") == []
    assert states(lab) == {
        "report": "served",
        "board": "late",
    }  # what can be read is older than the board's 32 h
    assert told(lab) == []
    board = consumer(lab, "board")
    assert board["since"].startswith("2025-02-07T08:0")
    assert (
        board["reason"] == f"orders@{DAYS[35]}: nothing was delivered, promised by Thu 02-06 05:00"
    )


def test_a_source_that_is_added_later_is_late_from_then_on(lab: Lab) -> None:
    """Would catch: `late_source` of a source that joins an old project, for its newest days of
    before it was declared, which nobody had asked the vendor for; and one that is never late."""
    for day in DAYS[:37]:
        lab.orders(day)
    tick(lab, DAYS[36])
    source = (
        "source: returns\nowner: acme\npartition: day\nexpect: {by: '05:00'}\nfiles:"
        " landing/returns_{date:%Y-%m-%d}.csv\n"
    )
    lab.write("sources/returns.yaml", source)
    for day in DAYS[20:35]:  # DAYS[35:37] were never sent
        lab.write(f"landing/returns_{day}.csv", f"day,amount\n{day},1.5\n")
    lab.headrace("apply", "--yes", "--now", f"{DAYS[37]}T06:10:00+00:00")
    tick(lab, DAYS[36], "06:20")
    assert (lab.headrace("incidents", "--all"), told(lab)) == ([], [])
    lab.orders(DAYS[37])
    lab.write(f"landing/returns_{DAYS[37]}.csv", f"day,amount\n{DAYS[37]},1.5\n")
    tick(lab, DAYS[37], "04:00")
    lab.orders(DAYS[38])
    tick(lab, DAYS[38])
    (incident,) = lab.headrace("incidents", "--all")
    cause = incident["cause"]
    assert (cause["kind"], cause["node"], cause["partition"]) == (
        "late_source",
        "returns",
        DAYS[38],
    )


def test_a_history_that_is_loaded_later_is_owed_to_nobody_either(lab: Lab) -> None:
    """Older deliveries move the first expected interval back, and with it what was due."""
    for day in DAYS[34:37]:
        lab.orders(day)
    tick(lab, DAYS[36], "08:00")
    for day in DAYS[:34]:
        lab.orders(day)
    tick(lab, DAYS[36], "09:00")
    lab.orders(DAYS[37])
    tick(lab, DAYS[37])
    lab.headrace(
        "backfill",
        "total",
        "--from",
        DAYS[0],
        "--to",
        DAYS[5],
        "--mode",
        "all",
        "--reason",
        "t",
        "--yes",
        "--now",
        f"{DAYS[38]}T07:30:00+00:00",
    )
    assert lab.rows(
        "select count(*) from partition where node = 'total' and state = 'published'"
    ) == [(38,)]
    assert owed(lab) == [DAYS[37]]
    assert (lab.headrace("incidents", "--all"), told(lab)) == ([], [])


def test_a_past_that_is_promised_with_since_exists_and_counts(lab: Lab) -> None:
    lab.write(
        "consumers.yaml", CONSUMERS.replace('due: "07:00"', f'due: "07:00", since: {DAYS[36]}')
    )
    for day in DAYS[:37]:
        lab.orders(day)
    tick(lab, DAYS[36], "08:00")
    assert owed(lab) == DAYS[35:37]
    lost = consumer(lab, "report")
    assert (lost["state"], lost["backlog"], lost["due_interval"]) == ("served", [], DAYS[36])
    assert (
        status(lab)["honest_availability"] == "0.0"
    )  # by eight nothing had been there for 25 hours


def test_an_environment_owes_nothing_of_before_it_was_made(lab: Lab) -> None:
    lab.write("headrace.toml", SETTINGS + "[environments.dev]\nworkers = 1\n")
    for day in DAYS[:37]:
        lab.orders(day)
    tick(lab, DAYS[30], "08:00")
    tick(lab, DAYS[36], "08:00")
    lab.sql("total", "select day, 2 * sum(amount) as total from orders group by day")
    lab.headrace("tick", "--env", "dev")
    result = lab.headrace("status", "--env", "dev")
    assert [
        (item["state"], item["backlog"], item["due_interval"]) for item in result["consumers"]
    ] == [("served", [], None)] * 2
    assert (result["honest_availability"], result["incidents_open"]) == (None, 0)


def test_why_says_of_an_interval_of_before_that_it_was_never_promised(lab: Lab) -> None:
    """Would catch: "10 days after it was due", and where those went."""
    for day in DAYS[:37]:
        lab.orders(day)
    tick(lab, DAYS[36], "08:00")
    result = lab.headrace("why", f"report@{DAYS[20]}")
    assert (
        result["verdict"]
        == f"report {DAYS[20]} was never promised: it was due Wed 01-22 07:00, before the promise"
        " began 08:01"
    )
    assert result["wait_seconds"] is None


def test_the_digest_names_a_consumer_that_has_never_had_anything(tmp_path: Path) -> None:
    """Would catch: a consumer without a delivery since its first deadline, and a digest that is
    silent about it; one that is named before that deadline."""
    lab = Lab(tmp_path / "lab")
    owners = (
        "core: {kind: team, contact: ['mailto:core@example.com'], digest: '08:00'}\nacme: {kind:"
        " vendor}\n"
    )
    lab.write("owners.yaml", owners)
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [clean], due: '07:00'}\n")
    lab.sql("clean", "select order_id, customer, amount, day from orders")
    source = (lab.root / "sources/orders.yaml").read_text(encoding="utf-8")
    lab.write("sources/orders.yaml", source + 'start: "2025-01-01"\nexpect: {by: "05:00"}\n')
    for day, hour, named in ((9, 9, False), (10, 6, False), (10, 9, True)):
        lab.now = lab.now.replace(day=day, hour=hour)
        lab.tick()
        result = [
            body
            for (body,) in lab.rows("select body from notice where kind = 'digest' order by id")
        ]
        assert any("never served, due since" in body for body in result) == named, result


def test_a_source_that_never_delivers_is_told_of_until_it_does(lab: Lab) -> None:
    """Would catch: a vendor who never sends the first file: no incident, no mail, "next: headrace
    tick" for ever, and his name nowhere; a first day that is missed for ever, because the vendor
    began a day later."""
    lab.write(
        "owners.yaml",
        "core: {kind: team, contact: ['file:core.txt']}\nacme: {kind: vendor, contact:"
        " ['file:acme.txt']}\n",
    )
    tick(
        lab, DAYS[0], "03:00"
    )  # declared on the second day, which is promised for the third at five
    tick(lab, DAYS[0])
    assert lab.headrace("incidents") == []
    tick(lab, DAYS[1])
    (late,) = lab.headrace("incidents")
    assert (late["cause"]["kind"], late["cause"]["node"], late["affected"]["partitions"]) == (
        "late_source",
        "orders",
        [DAYS[1]],
    )
    assert told(lab)
    result = consumer(lab, "report")
    assert (result["state"], result["incident"]) == ("never", late["id"])
    lab.orders(DAYS[2])
    tick(lab, DAYS[2])
    assert [item["state"] for item in lab.headrace("incidents", "--all")] == ["resolved"]
    assert consumer(lab, "report")["state"] == "served"


def test_a_source_that_is_promised_for_no_time_is_named_as_undelivered(lab: Lab) -> None:
    """Would catch: "total: nothing was ever published", of what waits for a vendor's first file."""
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n",
    )
    tick(lab, DAYS[0])
    result = consumer(lab, "report")
    assert (result["state"], result["reason"]) == ("never", "orders: nothing was ever delivered")


def test_the_calendar_of_a_source_that_never_delivered_shows_what_its_incident_names(
    lab: Lab,
) -> None:
    """Would catch: an open incident about a day of which the source's page says nothing."""
    tick(lab, DAYS[0])
    tick(lab, DAYS[2])
    (late,) = lab.headrace("incidents")
    with closing(lab.session()) as session:
        shown = list_partitions(session, "orders", PartitionListQuery())
    missing = [row.partition for row in shown.partitions if row.state == "missing"]
    assert late["affected"]["partitions"] == sorted(missing) == [DAYS[1], DAYS[2]]
    assert [(row.value, row.count) for row in shown.counted] == [("missing", 2)]


def test_the_calendar_of_a_source_that_was_never_observed_is_empty(lab: Lab) -> None:
    """Would catch: a source that was added today, and misses all days since the project began."""
    tick(lab, DAYS[0])
    lab.now += timedelta(30)
    lab.write(
        "sources/refunds.yaml",
        (lab.root / "sources/orders.yaml").read_text().replace("orders", "refunds"),
    )
    lab.headrace("apply", "--yes")
    with closing(lab.session()) as session:
        assert list_partitions(session, "refunds", PartitionListQuery()).partitions == []
        assert len(list_partitions(session, "orders", PartitionListQuery()).partitions) == 30
