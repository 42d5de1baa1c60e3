"""Materialisations in a project that runs: what a table holds after each pass, each restatement and
each kill.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from typing import Any

import pytest
from runlab import DAYS, Lab, published

CHANGES = "select order_id, customer, amount, day as changed from orders"
MERGE = "partition: day\nmaterialize: merge\nmerge: {keys: [order_id]}"


def deliver(lab: Lab, day: str, rows: dict[str, str]) -> None:
    lab.deliver(day, [f"{order},c1,{amount},{day}" for order, amount in rows.items()])


def amounts(lab: Lab, name: str = "latest", **how: Any) -> dict[str, str]:
    arguments = [part for key, value in how.items() for part in (f"--{key}", value)]
    rows = lab.headrace("read", name, *arguments)["rows"]
    result = {str(row["order_id"]): str(row["amount"]) for row in rows}
    assert len(result) == len(rows)
    return result


def test_a_merge_holds_the_newest_of_each_key_and_each_partition_as_it_left_it(lab: Lab) -> None:
    lab.sql("latest", CHANGES, MERGE)
    deliver(lab, DAYS[0], {"1": "1.5", "2": "2.5"})
    deliver(lab, DAYS[1], {"2": "9.5", "3": "3.5"})
    response = lab.tick()
    assert response.state == "succeeded", response.attempts
    assert amounts(lab) == {"1": "1.5", "2": "9.5", "3": "3.5"}
    assert amounts(lab, partition=DAYS[0]) == {"1": "1.5", "2": "2.5"}
    assert [(p.asset, p.partition, p.rows) for p in response.published if p.asset == "latest"] == [
        ("latest", DAYS[0], 2),
        ("latest", DAYS[1], 3),
    ]
    deliver(lab, DAYS[2], {"1": "7.5"})
    assert published(lab.tick()) == [("latest", DAYS[2]), ("orders", DAYS[2])]
    assert amounts(lab) == {"1": "7.5", "2": "9.5", "3": "3.5"}
    assert lab.tick().state == "nothing_due"


@pytest.mark.long
def test_a_restated_day_is_merged_again_and_all_that_come_after_it(any_lab: Lab) -> None:
    """Without the later ones done again the table would stand as the restated day left it."""
    lab = any_lab
    lab.sql("latest", CHANGES, MERGE)
    for day, rows in zip(
        DAYS, ({"1": "1.5", "2": "2.5"}, {"2": "9.5"}, {"3": "3.5"}), strict=False
    ):
        deliver(lab, day, rows)
    lab.tick()
    deliver(lab, DAYS[0], {"1": "4.5", "7": "7.5"})
    assert published(lab.tick()) == [
        ("latest", DAYS[0]),
        ("latest", DAYS[1]),
        ("latest", DAYS[2]),
        ("orders", DAYS[0]),
    ]
    assert amounts(lab) == {"1": "4.5", "7": "7.5", "2": "9.5", "3": "3.5"}
    deliver(lab, DAYS[0], {"7": "7.5", "1": "4.5"})
    assert published(lab.tick()) == [("orders", DAYS[0])]
    assert lab.tick().state == "nothing_due"


def test_the_same_merge_again_leaves_what_came_after_it(lab: Lab) -> None:
    """A partition that comes to the same is published again, and must not take the table back to
    where it stood then.
    """
    lab.sql("latest", CHANGES, MERGE)
    deliver(lab, DAYS[0], {"1": "1.5", "2": "2.5"})
    deliver(lab, DAYS[1], {"2": "9.5"})
    lab.tick()
    again = lab.run("latest", partitions=[DAYS[0]], again=True, reason="to see")
    assert [(p.partition, p.identical) for p in again.published] == [(DAYS[0], True)]
    assert amounts(lab) == {"1": "1.5", "2": "9.5"}
    assert lab.tick().state == "nothing_due"
    deliver(lab, DAYS[2], {"1": "8.5"})
    lab.tick()
    assert amounts(lab) == {"1": "8.5", "2": "9.5"}


@pytest.mark.long
def test_a_restatement_that_is_taken_back_ends_where_it_began(lab: Lab) -> None:
    """Between both the table stands as an older day left it; equal hashes must not be taken for
    equal tables then.
    """
    lab.sql("latest", CHANGES, MERGE)
    deliver(lab, DAYS[0], {"1": "1.5", "2": "2.5"})
    for day in DAYS[1:4]:
        deliver(lab, day, {day: "1.5"})
    lab.tick()
    deliver(lab, DAYS[0], {"1": "5.5"})
    lab.run("orders", "latest", partitions=[DAYS[0]])
    deliver(lab, DAYS[0], {"1": "1.5", "2": "2.5"})
    lab.tick()
    lab.tick()
    assert amounts(lab) == {"1": "1.5", "2": "2.5", **dict.fromkeys(DAYS[1:4], "1.5")}


def test_keys_that_say_nothing_fail_with_their_name_and_the_next_delivery_goes_on(lab: Lab) -> None:
    lab.sql("latest", CHANGES, MERGE)
    lab.deliver(DAYS[0], [f"5,c1,1.5,{DAYS[0]}", f"5,c2,2.5,{DAYS[0]}"])
    response = lab.tick()
    (failed,) = [a for a in response.attempts if a.state == "failed"]
    assert failed.error is not None
    assert (failed.asset, failed.error.code) == ("latest", "merge_key")
    assert "order_id = '5'" in failed.error.message
    deliver(lab, DAYS[0], {"5": "2.5"})
    assert ("latest", DAYS[0]) in published(lab.tick())


def test_checks_are_about_the_whole_table_before_it_is_published(lab: Lab) -> None:
    """Rows that were there before count too: the merge would push the table over the limit."""
    lab.sql(
        "latest",
        CHANGES,
        MERGE + "\nchecks: [{unique: [order_id]}, {row_count: {max: 3}}, {not_null: [customer]}]",
    )
    deliver(lab, DAYS[0], {"1": "1.5", "2": "2.5"})
    deliver(lab, DAYS[1], {"2": "3.5", "3": "3.5"})
    assert lab.tick().state == "succeeded"
    deliver(lab, DAYS[2], {"4": "1.5"})
    (rejected,) = lab.tick().rejected
    assert "4 rows, at most 3 expected" in (rejected.reason or "")
    assert sorted(amounts(lab)) == ["1", "2", "3"]
    deliver(lab, DAYS[2], {"3": "1.5"})
    assert ("latest", DAYS[2]) in published(lab.tick())
    assert amounts(lab) == {"1": "1.5", "2": "3.5", "3": "1.5"}


@pytest.mark.long
def test_a_reader_sees_the_table_as_its_own_day_left_it(lab: Lab) -> None:
    """However late a day's report is computed, it counts what there was that day."""
    lab.sql("latest", CHANGES, MERGE)
    for n, day in enumerate(DAYS[:3]):
        deliver(lab, day, {str(n): "1.5"})
    lab.tick()
    lab.sql(
        "size",
        "select $partition_start as day, count(*) as n from latest",
        "partition: {by: day, column: day}",
    )
    lab.sql("now", "select count(*) as n from latest", "")
    lab.headrace("apply", "--yes")
    lab.tick()
    assert [(row["day"], row["n"]) for row in lab.read("size")] == [
        (day, n + 1) for n, day in enumerate(DAYS[:3])
    ]
    assert lab.read("now") == [{"n": 3}]


def test_versions_are_dated_by_the_day_that_brought_them(lab: Lab) -> None:
    lab.sql(
        "history",
        "select order_id, amount from orders",
        "partition: day\nmaterialize: snapshot\nsnapshot: {keys: [order_id], deletes: close}",
    )
    deliver(lab, DAYS[0], {"1": "1.5", "2": "2.5"})
    deliver(lab, DAYS[1], {"1": "1.5", "2": "9.5"})
    deliver(lab, DAYS[2], {"2": "9.5"})
    assert lab.tick().state == "succeeded"
    rows = sorted(tuple(str(value) for value in row.values()) for row in lab.read("history"))
    assert rows == [
        ("1", "1.5", DAYS[0], DAYS[2], "False"),
        ("2", "2.5", DAYS[0], DAYS[1], "False"),
        ("2", "9.5", DAYS[1], "None", "True"),
    ]
    deliver(lab, DAYS[1], {"1": "1.5", "2": "2.5"})
    lab.tick()
    assert sorted(tuple(str(value) for value in row.values()) for row in lab.read("history")) == [
        ("1", "1.5", DAYS[0], DAYS[2], "False"),
        ("2", "2.5", DAYS[0], DAYS[2], "False"),
        ("2", "9.5", DAYS[2], "None", "True"),
    ]


# Views


VIEW = "select order_id, customer, amount, cast(day as date) as day from orders where amount > 1"
VIEW_FRONT = "materialize: view"


@pytest.mark.long
def test_a_view_is_computed_where_it_is_read_over_what_the_reader_requires(lab: Lab) -> None:
    lab.sql("big", VIEW, VIEW_FRONT)
    lab.sql("bigger", "select * from big where amount > 2", VIEW_FRONT)
    lab.sql(
        "daily",
        "select $partition_start as day, count(*) as n from bigger",
        "partition: {by: day, column: day}",
    )
    lab.python(
        "seen",
        "def seen(big):\n    return big.group_by([]).aggregate([([], 'count_all')])",
        partition="day",
        inputs=["big"],
    )
    deliver(lab, DAYS[0], {"1": "0.5", "2": "1.5", "3": "2.5"})
    deliver(lab, DAYS[1], {"4": "5.5", "5": "6.5"})
    response = lab.tick()
    assert response.state == "succeeded", [a.error for a in response.attempts]
    assert published(response) == sorted(
        (n, d) for n in ("orders", "daily", "seen") for d in DAYS[:2]
    )
    assert [(row["day"], row["n"]) for row in lab.read("daily")] == [(DAYS[0], 1), (DAYS[1], 2)]
    assert [list(row.values()) for row in lab.read("seen")] == [[2], [2]]
    deliver(lab, DAYS[0], {"3": "2.5", "4": "2.5"})
    assert published(lab.tick()) == [("daily", DAYS[0]), ("orders", DAYS[0]), ("seen", DAYS[0])]
    assert lab.tick().state == "nothing_due"


def test_a_changed_view_makes_its_readers_stale(lab: Lab) -> None:
    lab.sql("big", VIEW, VIEW_FRONT)
    lab.sql(
        "daily",
        "select $partition_start as day, count(*) as n from big",
        "partition: {by: day, column: day}",
    )
    deliver(lab, DAYS[0], {"1": "0.5", "2": "1.5", "3": "2.5"})
    lab.tick()
    lab.sql("big", VIEW.replace("> 1", "> 2"), VIEW_FRONT)
    lab.headrace("apply", "--yes")
    assert published(lab.run("daily")) == [("daily", DAYS[0])]
    assert [row["n"] for row in lab.read("daily")] == [1]


def test_a_view_and_its_reader_together_have_no_form_that_duckdb_gets_wrong(lab: Lab) -> None:
    """Would catch: rows that are lost because two conditions meet only where the view is read."""
    lab.sql("marked", "select *, customer is distinct from 'c9' as other from orders", VIEW_FRONT)
    lab.sql(
        "daily",
        "select $partition_start as day, count(*) as n from marked where other or customer = 'c9'",
        "partition: {by: day, column: day}",
    )
    lab.deliver(DAYS[0], [f"{number},,1.5,{DAYS[0]}" for number in range(3)])
    (error,) = {each.error for each in lab.tick().attempts if each.error}
    assert "duckdb #25992" in str(error)
    assert lab.rows("select 1 from publication where node = 'daily'") == []


@pytest.mark.long
def test_a_views_blocking_check_rejects_what_it_reads(lab: Lab) -> None:
    """The view has no publication: what would break it must not come in."""
    lab.write(
        "sources/vat.yaml",
        "source: vat\nowner: acme\npartition: day\nfiles: landing/vat_{date:%Y-%m-%d}.csv\n",
    )
    lab.sql(
        "joined",
        "select order_id, amount, rate from orders join vat using (day)",
        VIEW_FRONT + "\nchecks: [{unique: [order_id]}]",
    )
    lab.sql(
        "daily",
        "select $partition_start as day, sum(amount * rate) as n from joined",
        "partition: {by: day, column: day}",
    )
    deliver(lab, DAYS[0], {"1": "1.5"})
    lab.write(f"landing/vat_{DAYS[0]}.csv", f"day,rate\n{DAYS[0]},0.2\n{DAYS[0]},0.3\n")
    response = lab.tick()
    ((source, reason),) = {(r.asset, r.reason) for r in response.rejected if r.state == "rejected"}
    assert source in ("orders", "vat")
    assert "view joined, check unique" in (reason or "")
    assert lab.rows("select 1 from publication where node = 'daily'") == []
    lab.write(f"landing/vat_{DAYS[0]}.csv", f"day,rate\n{DAYS[0]},0.25\n")
    lab.tick()
    lab.run("orders", "vat", "daily")
    assert [float(row["n"]) for row in lab.read("daily")] == [0.375]


def test_views_that_cant_be_are_refused_before_anything_runs(lab: Lab) -> None:
    lab.python(
        "wrong", "def wrong(orders):\n    return orders", materialize="view", inputs=["orders"]
    )
    lab.sql("cut", VIEW, VIEW_FRONT + "\npartition: day")
    lab.sql("own", "select * from $self", VIEW_FRONT)
    lab.sql(
        "asked",
        "select * from orders where amount > $least",
        VIEW_FRONT + "\nparameters: {least: 3}",
    )
    problems = lab.headrace("validate", code=1)["problems"]
    assert sorted({p["file"] for p in problems if p["code"] == "wrong_view"}) == [
        f"assets/{n}" for n in ("asked.sql", "cut.sql", "own.sql", "wrong.py")
    ]


# Append


def people(lab: Lab, *rows: str) -> None:
    path = lab.root / "landing/people.csv"
    path.write_text("\n".join(["id,name", *rows]) + "\n", encoding="utf-8")
    past = lab.now.timestamp() - 1000 + len(rows)
    os.utime(path, (past, past))


def test_each_delivery_is_appended_once(any_lab: Lab) -> None:
    lab = any_lab
    lab.write(
        "sources/people.yaml",
        "source: people\nowner: acme\npartition: '*'\nfiles: landing/people.csv\n",
    )
    lab.sql("log", "select id, name, count(*) over () as n from people", "materialize: append")
    people(lab, "1,a", "2,b")
    assert [node for node, _ in published(lab.tick())] == ["log", "people"]
    assert lab.tick().state == "nothing_due"
    people(lab, "1,a", "2,b", "3,c")
    lab.tick()
    assert sorted((row["id"], row["n"]) for row in lab.read("log")) == [
        (1, 2),
        (1, 3),
        (2, 2),
        (2, 3),
        (3, 3),
    ]
    keys = [
        key
        for (key,) in lab.rows("select partition from publication where node = 'log' order by id")
    ]
    assert all(len(key) == 12 for key in keys)
    first = lab.run("log", partitions=[keys[0]], again=True, reason="to see")
    assert [(p.partition, p.rows, p.identical) for p in first.published] == [(keys[0], 2, True)]
    people(lab, "3,c", "2,b", "1,a")
    assert [node for node, _ in published(lab.tick())] == ["people"], (
        "the same rows again are nothing to append"
    )
    assert len(lab.read("log")) == 5


def test_appending_by_day_replaces_a_day_that_comes_again(lab: Lab) -> None:
    lab.sql(
        "log",
        "select order_id, amount, cast(day as date) as day from orders",
        "materialize: append\npartition: {by: day, column: day}",
    )
    deliver(lab, DAYS[0], {"1": "1.5"})
    deliver(lab, DAYS[1], {"2": "2.5"})
    lab.tick()
    deliver(lab, DAYS[0], {"1": "7.5"})
    lab.tick()
    assert amounts(lab, "log") == {"1": "7.5", "2": "2.5"}


def test_what_is_appended_needs_one_input_to_follow(lab: Lab) -> None:
    lab.sql("log", "select order_id from orders", "materialize: append")
    problems = lab.headrace("validate", code=1)["problems"]
    assert [(p["code"], p["file"]) for p in problems if p["severity"] == "error"] == [
        ("conflicting_fields", "assets/log.sql")
    ]


# Other declarations over the same data


def test_a_renamed_asset_goes_on_without_being_computed_again(any_lab: Lab) -> None:
    lab = any_lab
    lab.sql("latest", CHANGES, MERGE)
    deliver(lab, DAYS[0], {"1": "1.5"})
    deliver(lab, DAYS[1], {"2": "2.5"})
    lab.tick()
    attempts = lab.rows("select epoch, n from attempt")
    (lab.root / "assets/latest.sql").unlink()
    lab.sql("newest", CHANGES, MERGE + "\nrenamed_from: latest")
    changes = lab.headrace("apply", "--yes")["plan"]["changes"]
    assert [(c["node"], c["change"], c["partitions_stale"]) for c in changes] == [
        ("newest", "metadata", 0)
    ]
    assert lab.tick().state == "nothing_due"
    assert amounts(lab, "newest") == {"1": "1.5", "2": "2.5"}
    assert amounts(lab, "newest", partition=DAYS[0]) == {"1": "1.5"}
    deliver(lab, DAYS[1], {"2": "9.5"})
    assert published(lab.tick()) == [("newest", DAYS[1]), ("orders", DAYS[1])]
    assert amounts(lab, "newest") == {"1": "1.5", "2": "9.5"}
    assert lab.headrace("apply", "--yes")["state"] == "nothing"
    assert {
        node for (node,) in lab.rows("select node from attempt union select node from partition")
    } == {"newest", "orders"}
    assert set(attempts) < set(lab.rows("select epoch, n from attempt"))


def test_a_former_name_that_nothing_has_or_that_is_there_still_is_refused(lab: Lab) -> None:
    lab.sql("a", CHANGES, MERGE)
    lab.tick()
    lab.sql("b", CHANGES, MERGE + "\nrenamed_from: a")
    assert [p["code"] for p in lab.headrace("validate", code=1)["problems"]] == [
        "conflicting_fields"
    ]
    lab.sql("b", CHANGES, MERGE + "\nrenamed_from: never")
    lab.headrace("apply", "--yes", code=1)
    lab.sql("b", CHANGES, MERGE)
    assert lab.headrace("apply", "--yes")["state"] == "applied"


def test_old_partitions_have_what_the_code_of_their_time_gave(lab: Lab) -> None:
    """Added columns are null in them, values have the type of now, what is dropped is gone, until
    they are computed again.
    """
    front = "partition: {by: day, column: day}\nmaterialize: append"
    lab.sql(
        "log",
        "select cast(day as date) as day, 1::integer as n, 'x' as gone, 5 as again from orders",
        front,
    )
    deliver(lab, DAYS[0], {"1": "1.5"})
    lab.tick()
    for place, added in ((1, ""), (2, ", 7 as added")):
        lab.sql(
            "log",
            f"select cast(day as date) as day, 5000000000 as n, 'text' as again{added} from orders",
            front,
        )
        lab.headrace("apply", "--yes")
        deliver(lab, DAYS[place], {"2": "1.5"})
        lab.run("orders", "log", partitions=[DAYS[place]])
    assert lab.read("log") == [
        {"day": DAYS[0], "n": 1, "again": "5", "added": None},
        {"day": DAYS[1], "n": 5_000_000_000, "again": "text", "added": None},
        {"day": DAYS[2], "n": 5_000_000_000, "again": "text", "added": 7},
    ]
    lab.run("log")
    assert [row["added"] for row in lab.read("log")] == [7, 7, 7]


@pytest.mark.long
def test_a_table_that_becomes_a_merge_and_a_table_again_holds_no_row_twice(lab: Lab) -> None:
    body = "select order_id, amount, cast(day as date) as day from orders"
    deliver(lab, DAYS[0], {"1": "1.5", "2": "2.5"})
    deliver(lab, DAYS[1], {"2": "9.5"})
    lab.tick()
    for front, expected in (
        ("partition: {by: day, column: day}", 3),
        ("partition: day\nmaterialize: merge\nmerge: {keys: [order_id]}", 2),
        ("partition: day\nmaterialize: snapshot\nsnapshot: {keys: [order_id]}", 3),
        ("partition: {by: day, column: day}", 3),
    ):
        lab.sql("t", body, front)
        lab.headrace("apply", "--yes")
        lab.tick()
        assert len(lab.read("t")) == expected, front


def test_a_merge_into_a_table_that_isnt_cut_knows_what_only_repeats(lab: Lab) -> None:
    lab.write(
        "sources/people.yaml",
        "source: people\nowner: acme\npartition: '*'\nfiles: landing/people.csv\n",
    )
    lab.sql("known", "select id, name from people", "materialize: merge\nmerge: {keys: [id]}")
    lab.sql(
        "history",
        "select id, name from people",
        "materialize: snapshot\nsnapshot: {keys: [id], deletes: close}",
    )
    people(lab, "1,a", "2,b")
    lab.tick()
    people(lab, "2,B", "3,c", "4,d")
    lab.tick()
    assert sorted((row["id"], row["name"]) for row in lab.read("known")) == [
        (1, "a"),
        (2, "B"),
        (3, "c"),
        (4, "d"),
    ]
    rows = sorted((row["id"], row["name"], row["is_current"]) for row in lab.read("history"))
    assert rows == [
        (1, "a", False),
        (2, "B", True),
        (2, "b", False),
        (3, "c", True),
        (4, "d", True),
    ]
    again = lab.run("known", again=True, reason="to see")
    assert [(p.asset, p.identical) for p in again.published] == [("known", True)]


@pytest.mark.long
def test_a_pass_that_is_killed_goes_on_where_it_was(lab: Lab) -> None:
    """The table after a kill, and after the next pass, is what the published partitions say."""
    lab.sql("latest", CHANGES, MERGE + "\nchecks: [{unique: [order_id]}]")
    expected: dict[str, str] = {}
    for n, day in enumerate(DAYS):
        rows = {str(order): f"{n}.5" for order in range(n, n + 4)}
        deliver(lab, day, rows)
        expected |= rows
    process = subprocess.Popen(
        lab.command("tick", "--now", lab.now.isoformat()),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    database = lab.root / ".headrace/state.db"
    while process.poll() is None:
        if database.exists() and _merged(lab) >= 2:
            process.kill()
            break
    process.wait()
    done = [
        key
        for (key,) in lab.rows(
            "select partition from publication where node = 'latest' and ended_snapshot is null"
        )
    ]
    result = amounts(lab) if done else {}
    assert len(result) == (len(done) + 3 if done else 0)
    lab.tick()
    assert amounts(lab) == expected


def _merged(lab: Lab) -> int:
    try:
        return len(lab.rows("select 1 from publication where node = 'latest'"))
    except sqlite3.OperationalError:
        return 0  # there is no store yet


def test_a_merge_takes_the_deliveries_of_what_it_follows_in_their_order(lab: Lab) -> None:
    """A source of new rows (`cursor:`) or an appended log: each delivery is changes, and two may
    have the same key.
    """
    lab.write(
        "sources/people.yaml",
        "source: people\nowner: acme\npartition: '*'\nfiles: landing/people.csv\n",
    )
    lab.sql("log", "select id, name from people", "materialize: append")
    lab.sql("known", "select id, name from log", "materialize: merge\nmerge: {keys: [id]}")
    lab.sql(
        "names", "select count(*) as n, string_agg(name, '' order by id) as names from known", ""
    )
    people(lab, "1,a", "2,b")
    lab.tick()
    people(lab, "2,B", "3,c", "4,d")
    response = lab.tick()
    keys = [
        key
        for (key,) in lab.rows("select partition from publication where node = 'known' order by id")
    ]
    assert keys == [
        key
        for (key,) in lab.rows("select partition from publication where node = 'log' order by id")
    ]
    assert ("known", keys[1]) in published(response)
    assert lab.read("names") == [{"n": 4, "names": "aBcd"}]
    assert lab.tick().state == "nothing_due"
