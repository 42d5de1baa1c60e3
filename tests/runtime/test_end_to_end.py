"""The main job on a small project: what becomes visible, what doesn't, and what is
computed again."""

from __future__ import annotations

import json

import pytest
from runlab import DAYS, Lab, published

CLEAN = (
    "select order_id, customer, cast(amount as decimal(18,2)) as amount, cast(day as date) as day"
    " from orders"
)
CHECKED = (
    "partition: {by: day, column: day}\nchecks: [{unique: [order_id]}, {not_null: [customer]}]"
)
TOTAL = "select day, sum(amount) as total, count(*) as n from clean group by day"


@pytest.fixture
def lab(any_lab: Lab) -> Lab:
    """All of these on both databases."""
    return any_lab


def pipeline(lab: Lab) -> None:
    lab.sql("clean", CLEAN, CHECKED)
    lab.sql("total", TOTAL)


def test_deliveries_flow_to_the_last_asset_and_a_second_pass_does_nothing(lab: Lab) -> None:
    pipeline(lab)
    for day in DAYS[:3]:
        lab.orders(day)
    first = lab.tick()
    assert first.state == "succeeded"
    assert published(first) == sorted(
        (n, d) for n in ("orders", "clean", "total") for d in DAYS[:3]
    )
    assert lab.tick().state == "nothing_due"
    assert sorted(r["total"] for r in lab.read("total")) == ["15.00"] * 3


def test_a_restated_day_is_rebuilt_and_nothing_else(lab: Lab) -> None:
    pipeline(lab)
    for day in DAYS[:3]:
        lab.orders(day)
    lab.tick()
    lab.orders(DAYS[1], amount="2.00")
    assert published(lab.tick()) == [("clean", DAYS[1]), ("orders", DAYS[1]), ("total", DAYS[1])]
    assert sorted(r["total"] for r in lab.read("total")) == ["15.00", "15.00", "20.00"]


def test_the_same_content_again_stops_the_wave(lab: Lab) -> None:
    pipeline(lab)
    lab.orders(DAYS[0])
    lab.tick()
    lab.deliver(
        DAYS[0], [f"01{i},c{i % 3},1.50,{DAYS[0]}" for i in reversed(range(10))]
    )  # other order, same rows
    again = lab.tick()
    assert [(p.asset, p.identical) for p in again.published] == [("orders", True)]


def test_a_rejected_partition_is_never_seen_and_its_dependents_wait(lab: Lab) -> None:
    pipeline(lab)
    lab.orders(DAYS[0])
    lab.deliver(DAYS[1], [f"7,c1,1.00,{DAYS[1]}"] * 2)
    response = lab.tick()
    assert response.state == "partial"
    assert [(r.asset, r.partition, r.state) for r in response.rejected] == [
        ("clean", DAYS[1], "rejected")
    ]
    assert ("total", DAYS[1]) not in published(response)
    assert {r["day"] for r in lab.read("clean")} == {DAYS[0]}
    ((state, rows, sample),) = lab.rows("select state, rows, sample from quarantine")
    assert (state, rows) == ("rejected", 2)
    assert "order_id" in sample


def test_what_readers_see_stays_when_a_restatement_is_rejected(lab: Lab) -> None:
    """Promise 1: a bad redelivery must not take the good data away."""
    pipeline(lab)
    lab.orders(DAYS[0])
    lab.tick()
    lab.deliver(DAYS[0], [f"7,c1,1.00,{DAYS[0]}"] * 2)
    lab.tick()
    assert len(lab.read("clean")) == 10
    lab.orders(DAYS[0], n=4)
    assert ("total", DAYS[0]) in published(lab.tick())
    assert len(lab.read("clean")) == 4
    assert lab.rows("select distinct state from quarantine") == [("superseded",)]


def test_rows_outside_the_partition_reject_it(lab: Lab) -> None:
    pipeline(lab)
    lab.deliver(DAYS[0], [f"1,c1,1.00,{DAYS[0]}", f"2,c1,1.00,{DAYS[1]}"])
    (rejected,) = lab.tick().rejected
    assert "1 row" in (rejected.reason or "")
    assert ("row_outside_partition",) in lab.rows(
        "select name from check_result where outcome = 'failed'"
    )


def test_rows_without_a_day_are_no_rows_that_fail(lab: Lab) -> None:
    """Would catch: "0 of 10 rows fail", of a result that lacks the column which says the day of
    each."""
    lab.python(
        "bare",
        "def bare(ctx: Context, orders):\n    return orders.drop_columns(['day'])",
        inputs=["orders"],
        partition={"by": "day", "column": "day"},
    )
    lab.orders(DAYS[0])
    lab.tick()
    (incident,) = lab.headrace("incidents")
    (evidence,) = incident["cause"]["evidence"]
    assert (evidence["what"], evidence["expected"]) == (
        "check row_outside_partition",
        "row_outside_partition holds",
    )
    assert "rows fail" not in evidence["observed"] and "day" in evidence["observed"], evidence[
        "observed"
    ]


def test_a_renamed_column_holds_the_delivery(lab: Lab) -> None:
    pipeline(lab)
    lab.orders(DAYS[0])
    lab.tick()
    lab.deliver(DAYS[1], [f"1,c1,1.00,{DAYS[1]}"], header="order_id,client,amount,day")
    response = lab.tick()
    assert [(r.asset, r.state) for r in response.rejected] == [("orders", "held")]
    assert "customer" in (response.rejected[0].reason or "")
    assert "client" in (response.rejected[0].reason or "")
    lab.orders(DAYS[1])
    assert ("total", DAYS[1]) in published(lab.tick())


def test_changed_code_is_applied_only_by_apply_and_computed_again_only_if_somebody_asks(
    lab: Lab,
) -> None:
    """What runs is what was applied: an edited file changes nothing by itself, and what readers see
    isn't replaced behind their backs."""
    pipeline(lab)
    lab.orders(DAYS[0])
    lab.tick()
    lab.sql("total", TOTAL.replace("sum(amount)", "sum(amount) * 2"))
    lab.orders(DAYS[1])
    assert published(lab.tick()) == [("clean", DAYS[1]), ("orders", DAYS[1]), ("total", DAYS[1])]
    assert [r["total"] for r in lab.read("total")] == ["15.00", "15.00"]
    assert lab.headrace("status")["not_applied"] == 1
    lab.headrace("apply", code=3)
    assert lab.headrace("apply", "--yes")["state"] == "applied"
    lab.orders(DAYS[2])
    assert published(lab.tick()) == [("clean", DAYS[2]), ("orders", DAYS[2]), ("total", DAYS[2])]
    assert [r["total"] for r in lab.read("total")] == ["15.00", "15.00", "30.00"]
    assert published(lab.run("total")) == [("total", DAYS[0]), ("total", DAYS[1])]
    assert [r["total"] for r in lab.read("total")] == ["30.00"] * 3
    assert lab.tick().state == "nothing_due"


def test_columns_may_change_with_the_code(lab: Lab) -> None:
    pipeline(lab)
    lab.orders(DAYS[0])
    lab.tick()
    for place, columns in (
        (1, "sum(amount) as total"),
        (2, "sum(amount) as total, max(amount) as most"),
    ):
        lab.sql("total", f"select day, {columns} from clean group by day")
        lab.headrace("apply", "--yes")
        lab.orders(DAYS[place])
        lab.tick()
    assert [sorted(r) for r in lab.read("total")] == [["day", "most", "total"]] * 3


def test_run_takes_a_selection_and_a_range(lab: Lab) -> None:
    pipeline(lab)
    for day in DAYS[:4]:
        lab.orders(day)
    lab.run("orders", "clean", first=DAYS[1], last=DAYS[2])
    assert {
        d for (d,) in lab.rows("select partition from publication where node = 'clean'")
    } == set(DAYS[1:3])
    assert not lab.rows("select 1 from publication where node = 'total'")
    assert lab.run("total", partitions=[DAYS[0]]).reason is not None
    assert published(lab.run("total", partitions=[DAYS[1]])) == [("total", DAYS[1])]


def test_run_again_replaces_and_needs_a_reason(lab: Lab) -> None:
    pipeline(lab)
    lab.orders(DAYS[0])
    lab.tick()
    assert lab.run("total").state == "nothing_due"
    assert published(lab.run("total", again=True, reason="to see")) == [("total", DAYS[0])]


def test_a_whole_table_follows_the_file_it_is_made_of(lab: Lab) -> None:
    lab.write("sources/orders.yaml", "source: orders\nowner: acme\nfiles: landing/orders_all.csv\n")
    lab.sql("all_orders", "select * from orders", "description: everything")
    path = lab.root / "landing/orders_all.csv"
    path.write_text("id,name\n1,a\n")
    assert lab.tick().state == "succeeded"
    path.write_text("id,name\n1,a\n2,b\n")
    assert published(lab.tick()) == [("all_orders", "*"), ("orders", "*")]
    assert len(lab.read("all_orders")) == 2


def test_every_number_of_a_run_is_in_the_store(lab: Lab) -> None:
    """One derivation: the document's rows are those of the publications."""
    pipeline(lab)
    lab.orders(DAYS[0], n=7)
    response = lab.tick()
    stored = dict(lab.rows("select node, rows from publication"))
    assert (
        {p.asset: p.rows for p in response.published}
        == stored
        == {"orders": 7, "clean": 7, "total": 1}
    )


def test_the_audit_trail_tells_of_every_publication_and_verifies(lab: Lab) -> None:
    pipeline(lab)
    lab.orders(DAYS[0])
    lab.tick()
    actions = [
        json.loads(event)["action"] for (event,) in lab.rows("select event from audit order by seq")
    ]
    assert actions.count("partition.published") == 3
    assert "project.applied" in actions


def test_a_first_delivery_of_a_header_alone_pins_nothing(lab: Lab) -> None:
    """Catches columns that stay text for ever because the first file had no rows."""
    pipeline(lab)
    lab.deliver(DAYS[0], [])
    assert [(p.asset, p.rows) for p in lab.tick().published] == [("orders", 0)]
    lab.orders(DAYS[1])
    assert ("total", DAYS[1]) in published(lab.tick())
    assert lab.headrace("read", "orders")["columns"][2] == {"name": "amount", "type": "DOUBLE"}


def test_a_later_empty_delivery_is_held(lab: Lab) -> None:
    pipeline(lab)
    lab.orders(DAYS[0])
    lab.tick()
    lab.deliver(DAYS[1], [])
    assert [(r.asset, r.state) for r in lab.tick().rejected] == [("orders", "held")]


def test_asking_for_one_asset_again_leaves_what_is_held_above_it_alone(lab: Lab) -> None:
    """Catches a run that ends badly because of another day's held delivery, which
    nobody asked for.
    """
    pipeline(lab)
    lab.orders(DAYS[0])
    lab.deliver(DAYS[1], ["1"], header="something_else")
    lab.tick()
    response = lab.run("total", partitions=[DAYS[0]], again=True, reason="to see")
    assert response.state == "succeeded"
    assert [a.asset for a in response.attempts] == ["total"]


def test_what_a_contract_promises_is_checked_on_every_delivery(lab: Lab) -> None:
    (lab.root / "contracts").mkdir()
    lab.write(
        "contracts/orders.odcs.yaml",
        "apiVersion: v3.1.0\nkind: DataContract\nid: orders\nversion: 1.0.0\nstatus:"
        " active\nschema:\n- name: orders\n  properties:\n  - {name: order_id, logicalType: string,"
        " required: true, unique: true}\n  - {name: customer, logicalType: string}\n  - {name:"
        " amount, logicalType: number, physicalType: 'DECIMAL(18,2)'}\n  - {name: day, logicalType:"
        " date}\n",
    )
    lab.orders(DAYS[0])
    assert [(p.asset, p.verdict) for p in lab.tick().published] == [("orders", "passed")]
    assert [c["type"] for c in lab.headrace("read", "orders")["columns"]] == [
        "VARCHAR",
        "VARCHAR",
        "DECIMAL(18,2)",
        "DATE",
    ]
    lab.deliver(DAYS[1], [f"7,c1,1.00,{DAYS[1]}"] * 2)
    (rejected,) = lab.tick().rejected
    assert "order_id" in (rejected.reason or "")


def test_bodies_may_use_the_project_s_macros(lab: Lab) -> None:
    (lab.root / "macros").mkdir()
    lab.write("macros/money.sql", "create macro cents(x) as cast(x * 100 as bigint);\n")
    lab.sql(
        "clean",
        "select order_id, cents(cast(amount as decimal(18,2))) as c, cast(day as date) as day from"
        " orders",
    )
    lab.sql("seen", "select order_id, cents(c) as c from clean", "materialize: view")
    checks = (
        "references: {column: order_id, to: seen.order_id}",
        'sql: {query: "select * from $self anti join seen using (order_id)"}',
        'sql: {query: "select * from seen where c <> cents(150)"}',
    )
    lab.sql(
        "paid",
        "select order_id, day from clean",
        "partition: {by: day, column: day}\nchecks:\n"
        + "".join(f"  - {each}\n" for each in checks),
    )
    lab.orders(DAYS[0])
    assert published(lab.tick()) == [("clean", DAYS[0]), ("orders", DAYS[0]), ("paid", DAYS[0])]
    assert {r["c"] for r in lab.read("clean")} == {150}
    outcomes = lab.rows("select count(*), min(outcome), max(outcome) from check_result")
    assert outcomes == [(3, "passed", "passed")], "checks of a view with a macro were rejected"


def test_a_source_and_an_asset_may_be_cut_into_other_partitions(lab: Lab) -> None:
    """Catches old keys that stay beside the new ones, so that rows count twice or the leader trips
    over them."""
    pipeline(lab)
    for day in DAYS[:3]:
        lab.orders(day)
    lab.tick()
    lab.sql(
        "total", "select sum(amount) as total, count(*) as n from clean", "description: all days"
    )
    lab.headrace("apply", "--yes")
    assert published(lab.tick()) == [("total", "*")]
    assert [r["n"] for r in lab.read("total")] == [30]
    lab.sql("total", TOTAL)
    lab.headrace("apply", "--yes")
    assert published(lab.tick()) == [("total", day) for day in DAYS[:3]]
    assert [r["n"] for r in lab.read("total")] == [10] * 3


def test_an_asset_that_comes_back_with_other_code_is_computed_again(lab: Lab) -> None:
    pipeline(lab)
    lab.orders(DAYS[0])
    lab.tick()
    (lab.root / "assets/total.sql").unlink()
    lab.headrace("apply", "--yes")
    lab.sql("total", TOTAL.replace("sum(amount)", "sum(amount) * 3"))
    lab.headrace("apply", "--yes")
    assert published(lab.run("total")) == [("total", DAYS[0])]
    assert [r["total"] for r in lab.read("total")] == ["45.00"]
