"""What `status` says when several things are open that no consumer waits for: each sentence is
true, and each source is named.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from http_server_lab import Reply, Server, reply
from msgspec import to_builtins as builtins
from runlab import DAYS, Lab
from source_packages import NEEDS_DATABASES, NEEDS_HTTP
from warm_fork_servers import headrace

HTTP = """
source: {name}
owner: acme
partition: day
start: "2025-01-01"
http:
  url: {url}/{name}
  params: {{day: "{{date:%Y-%m-%d}}"}}
  records: $.items
  timeout: 5s
  retries: 0
"""
RENAMED = [f"v{number}" for number in range(5)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as made:
        yield made


@pytest.fixture
def served(tmp_path: Path) -> Lab:
    """A project whose only consumer is served."""
    lab = Lab(tmp_path / "lab")
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [clean], due: '07:00'}\n")
    lab.sql("clean", "select order_id, customer, amount, day from orders")
    for day in (*DAYS, "2025-01-08", "2025-01-09"):
        lab.orders(day)
    lab.tick()
    assert headline(lab) == "The consumer is served."
    return lab


def headline(lab: Lab) -> str:
    said: str = lab.headrace("status")["headline"]
    return said


def apply(lab: Lab) -> None:
    lab.headrace("apply", "--yes")
    lab.tick()


def test_before_anything_was_due_there_is_no_figure(served: Lab) -> None:
    """Would catch: an availability of a consumer whose first deadline lies ahead."""
    result = served.headrace("status")
    assert (result["honest_availability"], result["minutes_lost"], result["window_observed"]) == (
        None,
        None,
        None,
    )
    assert result["availability_text"] == "nothing was due yet"
    [consumer] = result["consumers"]
    assert (consumer["availability"]["honest"], consumer["availability"]["text"]) == (
        None,
        "nothing was due yet",
    )


@pytest.mark.long
def test_a_failing_asset_that_nobody_reads(served: Lab) -> None:
    """Would catch: a headline that says nothing of a failure because no consumer waits for it."""
    body = "def broken(ctx: Context, clean):\n    raise ValueError('no')\n"
    served.python("broken", body, partition="day", inputs=["clean"])
    apply(served)
    assert headline(served) == "The consumer is served. Also open: 1 incident (broken fails)."


def test_a_source_that_was_restated_too_late(served: Lab) -> None:
    """Would catch: published partitions that are known to be out of date, and a headline that says
    nothing of it.
    """
    orders = (served.root / "sources/orders.yaml").read_text(encoding="utf-8")
    served.write("sources/orders.yaml", orders.replace("restate_within: 30d", "restate_within: 1d"))
    for day in DAYS[:3]:
        served.orders(day, n=11)
    apply(served)
    result = served.headrace("status")
    assert result["headline"].endswith("3 days of clean are stale (2025-01-01 … 2025-01-03).")
    assert (
        "superseded_upstream" in result["consumers"][0]["states"]
        and result["consumers"][0]["state"] == "served"
    )


@NEEDS_HTTP
def test_servers_that_refuse_are_throttled_or_cant_be_observed(served: Lab, server: Server) -> None:
    """Would catch: a server that asks for a long wait told as one that fails, and sources that
    aren't named.
    """
    server.answers["/prices"] = reply("{}", status=429, Retry_After="30000")
    server.answers["/down"] = Reply(status=500)
    served.write("sources/prices.yaml", HTTP.format(name="prices", url=server.url))
    apply(served)
    said = headline(served)
    assert (
        said.startswith("The consumer is served. Also open: 1 incident, 1 source throttled since ")
        and "(prices" in said
    )
    with Server() as other:
        other.answers["/down"] = reply("{}", status=500)
        served.write(
            "sources/down.yaml",
            HTTP.format(name="down", url=other.url.replace("127.0.0.1", "localhost")),
        )
        apply(served)
    said = headline(served)
    assert (
        "1 source that can't be observed since " in said and "(down)" in said and "(prices" in said
    )


@NEEDS_DATABASES
def test_a_table_that_is_missing_isnt_an_unreachable_source(served: Lab) -> None:
    """Would catch: "1 source unreachable" of a database that answers: "no such table: stores"."""
    served.write(
        "headrace.toml",
        (served.root / "headrace.toml").read_text() + '[connections.erp]\nurl = "sqlite:erp.db"\n',
    )
    served.write(
        "sources/stores.yaml", "source: stores\nowner: acme\nconnection: erp\ntable: stores\n"
    )
    with closing(sqlite3.connect(served.root / "erp.db")) as erp, erp:
        erp.execute("create table shops (id integer)")
    apply(served)
    said = headline(served)
    assert (
        "1 source that can't be observed since " in said
        and said.endswith("(stores).")
        and "unreachable" not in said
    )


@pytest.mark.long
def test_five_incidents_and_their_held_rows(served: Lab) -> None:
    """Would catch: "Nothing is late or wrong" above five open incidents and 110
    quarantined rows.
    """
    for name in RENAMED:
        served.write(
            f"sources/{name}.yaml",
            f"source: {name}\nowner: acme\npartition: day\nfiles:"
            f" landing/{name}_{{date:%Y-%m-%d}}.csv\n",
        )
        served.sql(f"uses_{name}", f"select a, b, day from {name}")
        for day in DAYS[:4]:
            _deliver(served, name, day, "a,b,day", 20)
    apply(served)
    for number, name in enumerate(RENAMED):
        _deliver(served, name, DAYS[4], "a,c,day", 20 + number)
    served.tick()
    assert headline(served) == "The consumer is served. Also open: 5 incidents, 110 held rows."
    result = served.headrace("status")
    assert {item["kind"]: item["count"] for item in result["open"]} == {
        "incident": 5,
        "quarantine": 5,
    }


def _deliver(lab: Lab, name: str, day: str, header: str, rows: int) -> None:
    lines = [header, *(f"{number},{number},{day}" for number in range(rows))]
    lab.write(f"landing/{name}_{day}.csv", "\n".join(lines) + "\n")


def test_what_is_stale_through_its_own_code_is_told_so(served: Lab) -> None:
    """Would catch: days that are stale since their own SQL was edited, told as if a vendor had
    restated them.
    """
    served.sql("clean", "select order_id, customer, amount + 0 as amount, day from orders")
    served.headrace("apply", "--yes", "--now", served.now.isoformat())
    status = served.headrace("status")
    (item,) = status["open"]
    assert item["kind"] == "stale", "nothing upstream has changed"
    assert status["consumers"][0]["states"] == ["served"], "nor for the consumer"
    assert item["text"].startswith("9 days of clean (its own code changed) are stale")
    assert item["nodes"] == ["clean"]


@pytest.mark.long
def test_the_reason_for_a_consumer_is_not_counted_again(served: Lab) -> None:
    """Would catch: "Also open: 1 incident" below the line that names this incident as
    the reason."""
    served.headrace(
        "incidents", "report", "clean", "--from", DAYS[0], "--reason", "counted in cents"
    )
    result = served.headrace("status")
    assert result["consumers"][0]["reason"].startswith("INC-1 clean: counted in cents")
    assert result["headline"] == "1 of 1 consumer isn't served: report (wrong)."
    body = "def broken(ctx: Context, clean):\n    raise ValueError('no')\n"
    served.python("broken", body, partition="day", inputs=["clean"])
    apply(served)
    said = headline(served)
    assert (
        said == "1 of 1 consumer isn't served: report (wrong). Also open: 1 other incident (broken"
        " fails)."
    )


@pytest.mark.long
def test_stale_partitions_whose_code_fails_arent_proposed_before_it_is_corrected(
    served: Lab,
) -> None:
    """Would catch: `status` and `tick` that go on proposing a backfill of days that are stale since
    their code was edited, while that code fails and the incident says to correct it first."""
    query = "select order_id, customer, {} as amount, day from orders"
    served.sql("clean", query.format("cast(concat('x', amount) as integer)"))
    served.headrace("apply", "--yes", "--now", served.now.isoformat())
    (row,) = served.headrace("status")["proposed"]
    assert (row["incident"], row["command"].split()[:3]) == (
        None,
        ["headrace", "backfill", "clean"],
    )
    served.orders("2025-01-10")
    served.now += timedelta(days=1)
    response = served.tick()
    (incident,) = [
        item for item in served.headrace("incidents") if item["cause"]["kind"] == "code_error"
    ]
    result = served.headrace("status")
    for row in (result["proposed"][0], builtins(response.proposed[0])):
        assert (row["incident"], row["command"]) == (
            incident["id"],
            f"headrace incident {incident['id']}",
        )
    shown = headrace(["status", "--project", str(served.root)], Path.cwd(), os.environ, 150).stdout
    assert f"is stale; its code fails and is corrected first ({incident['id']}):" in " ".join(
        shown.split()
    )
    (item,) = [item for item in result["open"] if item["kind"] == "stale"]
    assert item["command"] == f"headrace incident {incident['id']}"

    served.sql("clean", query.format("amount + 0"))
    served.headrace("apply", "--yes", "--now", served.now.isoformat())
    (row,) = served.headrace("status")["proposed"]
    assert (row["incident"], row["command"].split()[:2]) == (
        None,
        ["headrace", "backfill"],
    ), "other code, not tried"
