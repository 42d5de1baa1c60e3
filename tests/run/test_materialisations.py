"""Materialisations in a project that runs: what a table holds after each pass, each restatement and each kill."""

from __future__ import annotations

from typing import Any

from runlab import DAYS, Lab, published

CHANGES = "select order_id, customer, amount, day as changed from orders"
MERGE = "partition: day\nmaterialize: merge\nmerge: {keys: [order_id]}"


def deliver(lab: Lab, day: str, rows: dict[str, str]) -> None:
    lab.deliver(day, [f"{order},c1,{amount},{day}" for order, amount in rows.items()])


def amounts(lab: Lab, name: str = "latest", **how: Any) -> dict[str, str]:
    arguments = [part for key, value in how.items() for part in (f"--{key}", value)]
    rows = lab.headrace("read", name, *arguments)["rows"]
    found = {str(row["order_id"]): str(row["amount"]) for row in rows}
    assert len(found) == len(rows)
    return found


def test_a_merge_holds_the_newest_of_each_key_and_each_partition_as_it_left_it(lab: Lab) -> None:
    lab.sql("latest", CHANGES, MERGE)
    deliver(lab, DAYS[0], {"1": "1.5", "2": "2.5"})
    deliver(lab, DAYS[1], {"2": "9.5", "3": "3.5"})
    document = lab.tick()
    assert document.state == "succeeded", document.attempts
    assert amounts(lab) == {"1": "1.5", "2": "9.5", "3": "3.5"}
    assert amounts(lab, partition=DAYS[0]) == {"1": "1.5", "2": "2.5"}
    assert [(p.asset, p.partition, p.rows) for p in document.published if p.asset == "latest"] == [
        ("latest", DAYS[0], 2),
        ("latest", DAYS[1], 3),
    ]
    deliver(lab, DAYS[2], {"1": "7.5"})
    assert published(lab.tick()) == [("latest", DAYS[2]), ("orders", DAYS[2])]
    assert amounts(lab) == {"1": "7.5", "2": "9.5", "3": "3.5"}
    assert lab.tick().state == "nothing_due"


def test_a_restated_day_is_merged_again_and_all_that_come_after_it(lab: Lab) -> None:
    """Without the later ones done again the table would stand as the restated day left it."""
    lab.sql("latest", CHANGES, MERGE)
    for day, rows in zip(DAYS, ({"1": "1.5", "2": "2.5"}, {"2": "9.5"}, {"3": "3.5"}), strict=False):
        deliver(lab, day, rows)
    lab.tick()
    deliver(lab, DAYS[0], {"1": "4.5", "7": "7.5"})
    assert published(lab.tick()) == [("latest", DAYS[0]), ("latest", DAYS[1]), ("latest", DAYS[2]), ("orders", DAYS[0])]
    assert amounts(lab) == {"1": "4.5", "7": "7.5", "2": "9.5", "3": "3.5"}
    deliver(lab, DAYS[0], {"7": "7.5", "1": "4.5"})
    assert published(lab.tick()) == [("orders", DAYS[0])]
    assert lab.tick().state == "nothing_due"


def test_the_same_merge_again_leaves_what_came_after_it(lab: Lab) -> None:
    """A partition that comes to the same is published again, and must not take the table back to where it stood then."""
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


def test_a_restatement_that_is_taken_back_ends_where_it_began(lab: Lab) -> None:
    """Between both the table stands as an older day left it; equal hashes must not be taken for equal tables then."""
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
    document = lab.tick()
    (failed,) = [a for a in document.attempts if a.state == "failed"]
    assert failed.error is not None
    assert (failed.asset, failed.error.code) == ("latest", "merge_key")
    assert "order_id = '5'" in failed.error.message
    deliver(lab, DAYS[0], {"5": "2.5"})
    assert ("latest", DAYS[0]) in published(lab.tick())


def test_checks_are_about_the_whole_table_before_it_is_published(lab: Lab) -> None:
    """Rows that were there before count too: the merge would push the table over the limit."""
    lab.sql("latest", CHANGES, MERGE + "\nchecks: [{unique: [order_id]}, {row_count: {max: 3}}, {not_null: [customer]}]")
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


def test_a_reader_sees_the_table_as_its_own_day_left_it(lab: Lab) -> None:
    """However late a day's report is computed, it counts what there was that day."""
    lab.sql("latest", CHANGES, MERGE)
    for n, day in enumerate(DAYS[:3]):
        deliver(lab, day, {str(n): "1.5"})
    lab.tick()
    lab.sql("size", "select $partition_start as day, count(*) as n from latest", "partition: {by: day, column: day}")
    lab.sql("now", "select count(*) as n from latest", "")
    lab.headrace("apply", "--yes")
    lab.tick()
    assert [(row["day"], row["n"]) for row in lab.read("size")] == [(day, n + 1) for n, day in enumerate(DAYS[:3])]
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


def test_a_view_is_computed_where_it_is_read_over_what_the_reader_requires(lab: Lab) -> None:
    lab.sql("big", VIEW, VIEW_FRONT)
    lab.sql("bigger", "select * from big where amount > 2", VIEW_FRONT)
    lab.sql("daily", "select $partition_start as day, count(*) as n from bigger", "partition: {by: day, column: day}")
    lab.python("seen", "def seen(big):\n    return big.group_by([]).aggregate([([], 'count_all')])", partition="day", inputs=["big"])
    deliver(lab, DAYS[0], {"1": "0.5", "2": "1.5", "3": "2.5"})
    deliver(lab, DAYS[1], {"4": "5.5", "5": "6.5"})
    document = lab.tick()
    assert document.state == "succeeded", [a.error for a in document.attempts]
    assert published(document) == sorted((n, d) for n in ("orders", "daily", "seen") for d in DAYS[:2])
    assert [(row["day"], row["n"]) for row in lab.read("daily")] == [(DAYS[0], 1), (DAYS[1], 2)]
    assert [list(row.values()) for row in lab.read("seen")] == [[2], [2]]
    deliver(lab, DAYS[0], {"3": "2.5", "4": "2.5"})
    assert published(lab.tick()) == [("daily", DAYS[0]), ("orders", DAYS[0]), ("seen", DAYS[0])]
    assert lab.tick().state == "nothing_due"


def test_a_changed_view_makes_its_readers_stale(lab: Lab) -> None:
    lab.sql("big", VIEW, VIEW_FRONT)
    lab.sql("daily", "select $partition_start as day, count(*) as n from big", "partition: {by: day, column: day}")
    deliver(lab, DAYS[0], {"1": "0.5", "2": "1.5", "3": "2.5"})
    lab.tick()
    lab.sql("big", VIEW.replace("> 1", "> 2"), VIEW_FRONT)
    lab.headrace("apply", "--yes")
    assert published(lab.tick()) == [("daily", DAYS[0])]
    assert [row["n"] for row in lab.read("daily")] == [1]


def test_a_views_blocking_check_rejects_what_it_reads(lab: Lab) -> None:
    """The view has no publication: what would break it must not come in."""
    lab.write("sources/vat.yaml", "source: vat\nowner: acme\npartition: day\nfiles: landing/vat_{date:%Y-%m-%d}.csv\n")
    lab.sql("joined", "select order_id, amount, rate from orders join vat using (day)", VIEW_FRONT + "\nchecks: [{unique: [order_id]}]")
    lab.sql("daily", "select $partition_start as day, sum(amount * rate) as n from joined", "partition: {by: day, column: day}")
    deliver(lab, DAYS[0], {"1": "1.5"})
    lab.write(f"landing/vat_{DAYS[0]}.csv", f"day,rate\n{DAYS[0]},0.2\n{DAYS[0]},0.3\n")
    document = lab.tick()
    ((source, reason),) = {(r.asset, r.reason) for r in document.rejected if r.state == "rejected"}
    assert source in ("orders", "vat")
    assert "view joined, check unique" in (reason or "")
    assert lab.rows("select 1 from publication where node = 'daily'") == []
    lab.write(f"landing/vat_{DAYS[0]}.csv", f"day,rate\n{DAYS[0]},0.25\n")
    lab.tick()
    lab.run("orders", "vat", "daily")
    assert [float(row["n"]) for row in lab.read("daily")] == [0.375]


def test_views_that_cant_be_are_refused_before_anything_runs(lab: Lab) -> None:
    lab.python("wrong", "def wrong(orders):\n    return orders", materialize="view", inputs=["orders"])
    lab.sql("cut", VIEW, VIEW_FRONT + "\npartition: day")
    lab.sql("own", "select * from $self", VIEW_FRONT)
    lab.sql("asked", "select * from orders where amount > $least", VIEW_FRONT + "\nparameters: {least: 3}")
    problems = lab.headrace("validate", code=1)["problems"]
    assert sorted({p["file"] for p in problems if p["code"] == "wrong_view"}) == [f"assets/{n}" for n in ("asked.sql", "cut.sql", "own.sql", "wrong.py")]
