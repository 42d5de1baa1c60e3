"""A source delivers the past again: what depends on it follows inside the window, is proposed
beyond it, and readers are told how much.
"""

from __future__ import annotations

import os
import shlex
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from runlab import DAYS, Lab, built_once, published

from headrace.cli.run_results import restated_text
from headrace.project.session import Silent
from headrace.services.apply import apply
from headrace.services.status import status
from headrace.services.why import why


@built_once
def lab(root: Path) -> Lab:
    """Three days, published; what a source delivers again is followed for a week after each day (it
    is the 10th).
    """
    lab = Lab(root)
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nrestate_within: 7d\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\n",
    )
    lab.sql("clean", "select order_id, customer, amount, day from orders")
    lab.sql("total", "select day, customer, sum(amount) as total from clean group by day, customer")
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [total], due: '07:00'}\n")
    for day in (DAYS[0], DAYS[3], DAYS[4]):
        lab.orders(day, n=2)
    lab.tick()
    return lab


def test_inside_the_window_what_changes_follows_and_readers_are_told(lab: Lab) -> None:
    """Would catch: a past that changes without a word; or one that is told of although it is what
    it was.
    """
    assert status(lab.session()).restated == []
    lab.orders(DAYS[3], n=3)
    response = lab.tick()
    assert published(response) == [(node, DAYS[3]) for node in ("clean", "orders", "total")]
    told = {row.node: row for row in response.restated}
    assert {
        name: (row.partitions, row.from_, row.rows_before, row.rows_after, row.because)
        for name, row in told.items()
    } == {
        "orders": (1, DAYS[3], 2, 3, ["orders"]),
        "clean": (1, DAYS[3], 2, 3, ["orders"]),
        "total": (1, DAYS[3], 2, 3, ["orders"]),
    }
    assert told["total"].consumers == ["report"]
    assert [row.node for row in why(lab.session(), "report").restated] == ["total"]
    assert {row.node for row in status(lab.session()).restated} == {"orders", "clean", "total"}
    lab.orders(DAYS[5], n=2)
    assert lab.tick().restated == []


def test_as_many_rows_as_before_are_said_to_be_others(lab: Lab) -> None:
    """Would catch: "2 → 2 rows" of a past that changed."""
    lab.orders(DAYS[3], n=2, amount="2.50")
    (orders,) = [row for row in lab.tick().restated if row.node == "orders"]
    said = restated_text(orders)
    assert said.startswith(
        f"the past of orders changed: {DAYS[3]}, 2 rows as before, with other values, because"
    )


@pytest.mark.long
def test_a_type_that_our_code_changed_isnt_said_to_be_a_vendors_other_values(lab: Lab) -> None:
    """Would catch: "2 rows as before, with other values, because orders delivered a correction", of
    days in which only a type differs, and which are recomputed for that."""
    lab.orders(DAYS[3], n=2, amount="2.50")
    lab.tick()
    lab.sql("late", "select customer, amount, day from clean")
    apply(lab.session(), confirm=lambda _: True, progress=Silent())
    days = ("--from", DAYS[0], "--to", DAYS[4], "--reason", "as text", "--yes")
    lab.headrace("backfill", "late", *days, "--now", lab.now.isoformat())
    lab.sql("late", "select customer, cast(amount as decimal(9,2)) as amount, day from clean")
    apply(lab.session(), confirm=lambda _: True, progress=Silent())
    lab.now += timedelta(minutes=2)
    lab.headrace("backfill", "late", *days, "--now", lab.now.isoformat())
    (late,) = [row for row in status(lab.session()).restated if row.node == "late"]
    assert restated_text(late) == (
        f"the past of late changed: {DAYS[0]} … {DAYS[4]} (3), 6 rows as before, with other values,"
        " columns or types, because its code changed"
    )


def test_files_are_said_to_be_published_again(lab: Lab) -> None:
    """Would catch: "0 rows as before, with other values", of files, of which no rows are known."""
    lab.python(
        "page",
        "def page(ctx: Context, orders):\n"
        "    (ctx.output_directory / 'page.txt').write_text(str(orders.to_pylist()))",
        partition="day",
        inputs=["orders"],
        materialize="files",
    )
    apply(lab.session(), confirm=lambda _: True, progress=Silent())
    assert lab.run("page", partitions=[DAYS[3]]).state == "succeeded"
    lab.orders(DAYS[3], n=2, amount="2.50")
    (page,) = [row for row in lab.tick().restated if row.node == "page"]
    assert (page.rows_before, page.rows_after) == (None, None)
    assert restated_text(page).startswith(
        f"the past of page changed: {DAYS[3]}, published again, because orders delivered again"
    )


def test_a_correction_isnt_said_to_be_of_an_exception(lab: Lab) -> None:
    """Would catch: "what had been accepted as an exception", of a delivery that an incident had
    named, which nobody accepted.
    """
    lab.orders(DAYS[3], n=3)
    (orders,) = [row for row in lab.tick().restated if row.node == "orders"]
    assert restated_text(msgspec.structs.replace(orders, cause="correction")).endswith(
        "because orders delivered a correction"
    )


def test_a_past_that_is_again_what_it_was_isnt_told_of(lab: Lab) -> None:
    """Would catch: "2 rows as before, with other values", of a file that was delivered otherwise
    and then as at first.
    """
    lab.orders(DAYS[3], n=3)
    lab.tick()
    lab.orders(DAYS[3], n=2)
    response = lab.tick()
    assert {(row.rows_before, row.rows_after) for row in response.restated} == {(3, 2)}, (
        "of this run it is told"
    )
    assert status(lab.session()).restated == []


def test_beyond_it_a_command_is_proposed_that_does_it(lab: Lab) -> None:
    """Would catch: an old restatement that rebuilds by itself, that is forgotten, or whose command
    doesn't run.
    """
    lab.orders(DAYS[0], n=3)
    response = lab.tick()
    assert published(response) == [("orders", DAYS[0])]
    (waits,) = response.proposed
    assert (waits.node, waits.partitions, waits.from_) == ("clean", 1, DAYS[0])
    assert "headrace run" not in (response.reason or ""), "one command is proposed, the backfill's"
    assert status(lab.session()).proposed == [waits]
    assert lab.tick().proposed == [waits]
    words = [
        word if word != "TEXT" else "the vendor corrected it"
        for word in shlex.split(waits.command)[1:]
    ]
    lab.headrace(*words, "--yes", "--now", lab.now.isoformat())
    after = status(lab.session())
    assert after.proposed == []
    assert [row["total"] for row in lab.read("total")].__len__() == 2 + 2 + 3


def test_an_incident_stays_open_while_readers_see_what_it_superseded(lab: Lab) -> None:
    """Would catch: a restatement that is "served again" after a day, beside a consumer that still
    shows the old figures.
    """
    lab.orders(DAYS[0], n=3)
    lab.tick()
    for days in (2, 5):
        lab.now += timedelta(days=days)
        lab.tick()
        (item,) = [
            one
            for one in lab.headrace("incidents", "--now", lab.now.isoformat())
            if one["cause"]["kind"] == "restatement"
        ]
        assert (item["state"], item["ended"]) == ("open", None)
        assert "superseded_upstream" in status(lab.session()).consumers[0].states
    command = status(lab.session()).proposed[0].command
    words = [
        word if word != "TEXT" else "the vendor corrected it" for word in shlex.split(command)[1:]
    ]
    lab.headrace(*words, "--yes", "--now", lab.now.isoformat())
    lab.tick()
    result = lab.headrace("incidents", "--all", "--now", lab.now.isoformat())
    (over,) = [item for item in result if item["cause"]["kind"] == "restatement"]
    assert over["state"] == "resolved"
    assert (
        over["ended"].startswith("Backfill planned by ")
        and "(the vendor corrected it)" in over["ended"]
    )


def test_what_was_superseded_is_over_when_readers_have_the_new_figures(lab: Lab) -> None:
    """Would catch: "over, 30 min after it began", of figures that readers had the next morning,
    when somebody asked for them."""
    lab.orders(DAYS[0], n=3)
    words = [
        word if word != "TEXT" else "the vendor corrected it"
        for word in shlex.split(lab.tick().proposed[0].command)[1:]
    ]
    lab.now += timedelta(hours=15)
    repaired = lab.now
    lab.headrace(*words, "--yes", "--now", lab.now.isoformat())
    lab.now += timedelta(days=2)
    lab.tick()
    result = lab.headrace("incidents", "--all", "--now", lab.now.isoformat())
    (over,) = [item for item in result if item["cause"]["kind"] == "restatement"]
    assert over["state"] == "resolved"
    assert (
        timedelta(0) <= datetime.fromisoformat(over["restored_at"]) - repaired < timedelta(hours=1)
    )


def test_a_changed_code_is_told_of_as_such(lab: Lab) -> None:
    """Would catch: a vendor blamed for what a change of our own did."""
    lab.sql(
        "total", "select day, customer, 2 * sum(amount) as total from clean group by day, customer"
    )
    apply(lab.session(), confirm=lambda _: True, progress=Silent())
    lab.run("total")
    (row,) = status(lab.session()).restated
    assert (row.node, row.cause, row.because, row.partitions) == ("total", "code", [], 3)


def test_each_partition_of_the_past_has_its_own_reason(lab: Lab) -> None:
    """Would catch: a day whose code was changed that is put down to the vendor, since another day
    was delivered again meanwhile.
    """
    lab.orders(DAYS[3], n=3)
    lab.tick()
    lab.sql("clean", "select order_id, customer, amount + 1 as amount, day from orders")
    apply(lab.session(), confirm=lambda _: True, progress=Silent())
    lab.run("clean", partitions=[DAYS[4]], again=True, reason="the other amount")
    lab.run("total", partitions=[DAYS[4]])
    result = {
        (row.node, row.cause): (row.from_, row.to, row.because)
        for row in status(lab.session()).restated
    }
    assert result[("clean", "restatement")] == (DAYS[3], DAYS[3], ["orders"])
    assert result[("clean", "code")] == (DAYS[4], DAYS[4], [])
    assert result[("orders", "restatement")] == (DAYS[3], DAYS[3], ["orders"])
    assert ("total", "restatement") in result


@pytest.mark.long
def test_an_optional_input_that_came_later_is_why_it_was_recomputed(tmp_path: Path) -> None:
    """Would catch: "because it was recomputed" of a day that was computed without the weather, and
    again when the weather had come."""
    lab = Lab(tmp_path / "p")
    lab.now = datetime.fromisoformat("2025-01-02T06:00:00+00:00")
    lab.write(
        "sources/weather.yaml",
        "source: weather\nowner: acme\npartition: day\nexpect: {by: '05:00'}\nrestate_within: 7d\n"
        "files: landing/weather_{date:%Y-%m-%d}.csv\n",
    )
    lab.sql("clean", "select * from weather")
    lab.sql(
        "total",
        "select o.day, count(*) as n, count(c.celsius) as known from orders o left join clean c on"
        " c.day = o.day group by all",
        "partition: {by: day, column: day}\ninputs: {clean: {optional: true}}",
    )
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [total], due: '07:00'}\n")
    _weather(lab, DAYS[0])
    lab.orders(DAYS[0])
    lab.tick()
    lab.now += timedelta(days=1)
    lab.orders(DAYS[1])
    assert ("total", DAYS[1]) in published(lab.tick())
    _weather(lab, DAYS[1])
    lab.now += timedelta(hours=2)
    response = lab.tick()
    assert ("total", DAYS[1]) in published(response)
    (total,) = [row for row in response.restated if row.node == "total"]
    assert (total.cause, total.because) == ("arrival", ["weather"])
    assert "because weather came after it was computed without; read by report" in restated_text(
        total
    )


def _weather(lab: Lab, day: str) -> None:
    lab.write(f"landing/weather_{day}.csv", f"day,celsius\n{day},4.5\n")
    came = lab.now.timestamp() - 300
    os.utime(lab.root / f"landing/weather_{day}.csv", (came, came))


@pytest.mark.long
def test_restated_rows_over_which_code_fails_dont_go_on_by_themselves(tmp_path: Path) -> None:
    """Would catch: "Headrace does it by itself" of a restatement whose new rows an asset of ours
    refuses, which only somebody who corrects the asset, or the vendor, can end."""
    lab = Lab(tmp_path / "p")
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [total], due: '07:00'}\n")
    body = (
        "def clean(ctx: Context, orders):\n    if max(orders['amount'].to_pylist()) > 8:\n"
        "        raise ValueError('more than 8')\n    return orders\n"
    )
    lab.python("clean", body, partition={"by": "day", "column": "day"}, inputs=["orders"])
    lab.sql("total", "select day, sum(amount) as total from clean group by day")
    for day in (DAYS[3], DAYS[4]):
        lab.orders(day, n=2)
    lab.tick()
    lab.orders(DAYS[3], n=2, amount="8.50")
    lab.tick()
    result = {item["cause"]["kind"]: item for item in lab.headrace("incidents")}
    assert result.keys() == {"restatement", "code_error"}
    repair, other = result["restatement"]["repair"], result["code_error"]["id"]
    assert not repair["automatic"]
    assert repair["text"].startswith(
        f"clean@{DAYS[3]} failed over it ({other}): correct clean, or ask"
    )
    assert repair["command"] == f"headrace incident {other}"
