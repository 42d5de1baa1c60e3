"""Checks that read other tables: those come first, and what can't be checked yet waits instead of
being rejected.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from runlab import DAYS, Lab, published

KEYS = "select distinct customer, day from orders"
SALES = "select order_id, customer, amount, day from orders"
FRONT = (
    "partition: {by: day, column: day}\nchecks:\n  - references: {column: customer, to:"
    " keys.customer}"
)
CONSUMERS = "- {consumer: shops, owner: core, reads: [a_sales], due: '09:00'}\n"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """`a_sales` and `keys` read one source; the check of the first reads the second."""
    made = Lab(tmp_path / "p")
    made.sql("a_sales", SALES, FRONT)
    made.sql("keys", KEYS)
    made.write("consumers.yaml", CONSUMERS)
    for day in DAYS[:3]:
        made.orders(day)
    return made


def state(lab: Lab, node: str) -> dict[str, str]:
    return dict(lab.rows("select partition, state from partition where node = ? order by 1", node))


def test_the_target_comes_first(lab: Lab) -> None:
    """Catches: a check evaluated before its target was ever published, rejected for good."""
    response = lab.tick()
    assert not response.rejected
    assert state(lab, "a_sales") == dict.fromkeys(DAYS[:3], "published")
    assert lab.rows("select distinct outcome from check_result where node = 'a_sales'") == [
        ("passed",)
    ]


def test_an_unpartitioned_target_comes_first(lab: Lab) -> None:
    """Catches: an order that holds only between what is partitioned alike."""
    lab.sql("keys", "select distinct customer from orders", "description: all customers")
    lab.tick()
    assert state(lab, "keys") == {"*": "published"}
    assert set(state(lab, "a_sales").values()) == {"published"}


def test_what_a_query_reads_comes_first(lab: Lab) -> None:
    """Catches: an order for `references` alone, while `sql` checks read tables too."""
    query = "select * from $self where customer not in (select customer from keys)"
    lab.sql(
        "a_sales",
        SALES,
        f'partition: {{by: day, column: day}}\nchecks:\n  - sql: {{name: known, query: "{query}"}}',
    )
    lab.tick()
    assert set(state(lab, "a_sales").values()) == {"published"}


def test_a_check_of_a_source_waits_for_another_source(lab: Lab) -> None:
    """Catches: deliveries rejected because another source's come later in the same pass."""
    lab.write(
        "sources/places.yaml",
        "source: places\nowner: acme\npartition: '*'\nfiles: landing/places.csv\n",
    )
    checked = "checks:\n  - references: {column: customer, to: places.customer}\n"
    with (lab.root / "sources/orders.yaml").open("a", encoding="utf-8") as file:
        file.write(checked)
    assert not lab.tick().rejected
    assert state(lab, "orders") == {}
    why = lab.headrace("why", f"orders@{DAYS[0]}")
    assert any("waits for places" in row["text"] for row in why["waiting_for"]), why
    (lab.root / "landing/places.csv").write_text("customer\nc0\nc1\nc2\n", encoding="utf-8")
    lab.now += timedelta(hours=1)
    lab.tick()
    assert set(state(lab, "orders").values()) == {"published"}


def test_a_held_target_is_waited_for(lab: Lab) -> None:
    """Catches: a partition that is rejected, or never computed, because what it is checked against
    has to be decided about first.
    """
    lab.sql(
        "keys",
        KEYS,
        "partition: {by: day, column: day}\non_fail: hold\nchecks:\n  - row_count: {min: 4}",
    )
    lab.tick()
    assert state(lab, "keys") == dict.fromkeys(DAYS[:3], "held")
    assert state(lab, "a_sales") == {}
    why = lab.headrace("why", f"a_sales@{DAYS[0]}")
    assert any(
        "waits for keys 2025-01-01, which is held" in row["text"] for row in why["waiting_for"]
    ), why["waiting_for"]
    for day in DAYS[:3]:
        lab.headrace("quarantine", "accept", f"keys@{day}", "--reason", "there are but three")
    lab.tick()
    assert state(lab, "a_sales") == dict.fromkeys(DAYS[:3], "published")


def test_nothing_becomes_stale_through_a_check(lab: Lab) -> None:
    """Catches: a target taken for an input: what reads it only to check is computed again for each
    change of it."""
    lab.tick()
    lab.sql("keys", "select distinct customer, day, 1 as one from orders")
    lab.headrace("apply", "--yes")
    lab.headrace(
        "backfill",
        "keys",
        "--from",
        DAYS[0],
        "--to",
        DAYS[2],
        "--mode",
        "all",
        "--reason",
        "one more column",
        "--yes",
    )
    assert [key for _, key in published(lab.tick())] == []
    assert lab.rows("select count(*) from attempt where node = 'a_sales'")[0][0] <= len(DAYS[:3])
    assert lab.rows("select distinct stale from partition where node = 'a_sales'") == [(0,)]


def test_a_backfill_of_both_keeps_the_order(lab: Lab) -> None:
    """Catches: a plan in which the check is evaluated before the plan has computed its target, or
    one that can't plan it.
    """
    lab.sql("slow", "select day, customer from keys")
    lab.headrace("apply", "--yes")
    made = lab.headrace(
        "backfill",
        "orders+",
        "--from",
        DAYS[0],
        "--to",
        DAYS[2],
        "--reason",
        "from the beginning",
        "--yes",
    )
    assert (made["state"], made["failed"]) == ("succeeded", 0)
    again = lab.headrace(
        "backfill",
        "a_sales",
        "--from",
        DAYS[0],
        "--to",
        DAYS[2],
        "--mode",
        "all",
        "--reason",
        "once more",
        "--yes",
    )
    assert (again["state"], again["published"]) == ("succeeded", 3)


def test_an_environment_keeps_the_order(lab: Lab) -> None:
    """Catches: an environment in which a target that is read from production isn't there."""
    lab.tick()
    lab.sql("a_sales", f"{SALES} where amount > 0", FRONT)
    with (lab.root / "headrace.toml").open("a", encoding="utf-8") as file:
        file.write("[environments.dev]\n")
    lab.headrace("apply", "--yes", "--env", "dev")
    made = lab.headrace("run", "a_sales", "--env", "dev")
    assert {row["state"] for row in made["attempts"]} == {"published"}, made


def test_a_check_that_reads_what_is_computed_from_its_asset_is_refused(lab: Lab) -> None:
    """Catches: two assets that wait for each other for ever, without a word."""
    lab.sql("keys", "select distinct customer, day from a_sales")
    (problem,) = lab.headrace("validate", code=1)["problems"]
    assert problem["code"] == "cycle"
    assert (
        problem["message"]
        == "a check of `a_sales` reads `keys`, which waits for `a_sales`: a_sales → keys → a_sales"
    )
    assert "put the check on `keys`" in problem["hint"]


def test_a_check_may_read_its_own_table(lab: Lab) -> None:
    """Catches: an asset that waits for itself."""
    query = "select customer from $self where (select count(*) from a_sales) < 0"
    lab.sql(
        "a_sales",
        SALES,
        f'partition: {{by: day, column: day}}\nchecks:\n  - sql: {{name: own, query: "{query}"}}',
    )
    assert lab.headrace("validate")["problems"] == []
