"""A column gets another type: what is published is carried into it, or nothing changes.

Readers got NULL for it, while their consumer was served; or a filter over files of both types gave
other rows.
"""

from __future__ import annotations

import io
from datetime import date, timedelta
from typing import Any

import pytest
from overlay_lab import do, planned
from runlab import DAYS, Lab, built_once, three_days

from headrace.cli.commands.plans import columns_lost, render_plan
from headrace.cli.output import CommandOutput
from headrace.cli.plan_markdown import markdown
from headrace.cli.terminal import Screen
from headrace.model import UsageError
from headrace.project.session import ProjectSession, Silent
from headrace.services.apply import apply
from headrace.services.data_pages import DataQuery, data_page
from headrace.services.plans import plan

BERLIN = '[project]\nname = "lab"\ntimezone = "Europe/Berlin"\n[environments.dev]\nworkers = 1\n'
PAIRS = [
    ("cast(2 as BIGINT)", "cast(2 as DECIMAL(18,2))", "2.00"),
    ("cast(2.25 as DECIMAL(9,2))", "cast(0.1 as DOUBLE)", "2.25"),
    ("DATE '2024-01-02'", "TIMESTAMP '2024-01-02 03:00:00'", "2024-01-02 00:00:00"),
    (
        "TIMESTAMP '2024-07-02 00:00:00'",
        "TIMESTAMPTZ '2024-07-03 00:00:00+00'",
        "2024-07-01 22:00:00",
    ),
    ("'2024-01-02'", "DATE '2024-01-03'", "2024-01-02"),
    ("cast(2 as BIGINT)", "'x'", "2"),
]
DAY = timedelta(days=1)
KINDS = ["table", "merge", "snapshot"]


@built_once
def lab(root: Any) -> Lab:
    """Three days of orders, cleaned and summed, published in production."""
    total = "select day, sum(amount) as total, count(amount) as n from clean group by day"
    return three_days(root, BERLIN, total=total)


def applied(lab: Lab, **how: Any) -> Any:
    return apply(lab.session(), confirm=lambda _: True, progress=Silent(), **how)


def query(lab: Lab, sql: str) -> list[list[Any]]:
    return [list(row.values()) for row in lab.headrace("sql", sql)["rows"]]


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_carried_into_the_new_type(sqlite_lab: Lab, kind: str) -> None:
    lab = sqlite_lab
    lab.write("headrace.toml", BERLIN)
    keys = f"{kind}: {{keys: [order_id]}}\n" if kind != "table" else ""
    front = (
        f"partition: {{by: day, column: day}}\nmaterialize: {kind}\n{keys}checks: [not_null: [v0]]"
    )
    for place in (0, 1):
        columns = ", ".join(f"{pair[place]} as v{n}" for n, pair in enumerate(PAIRS))
        lab.sql("t", f"select order_id, cast(day as date) as day, {columns} from orders", front)
        if place:
            (step,) = [
                s for s in plan(lab.session(), progress=Silent()).steps if s.kind == "retype"
            ]
            assert "v0 BIGINT → DECIMAL(18,2), v1 DECIMAL(9,2) → DOUBLE, v2 DATE →" in step.detail
            applied(lab)
            assert query(lab, "select distinct v0::varchar from t") == [["2"]], "until then"
        lab.orders(DAYS[place], 2)
        assert lab.tick().state == "succeeded"
    texts = ", ".join(
        f"(v{n} at time zone 'UTC')::varchar" if n == 3 else f"v{n}::varchar" for n in range(6)
    )
    first = query(lab, f"select distinct {texts} from t where day = '{DAYS[0]}'")
    assert first == [[carried for _, _, carried in PAIRS]]
    assert query(lab, "select count(*), count(v0), count(v5) from t") == [[4, 4, 4]]


def test_a_value_that_would_change_refuses_the_type_until_all_is_recomputed(lab: Lab) -> None:
    """1.5 isn't a whole number: the new code's partition failed over NULLs, or came out beside."""
    lab.sql("clean", "select order_id, amount > 1 as amount, cast(day as date) as day from orders")
    lab.sql("total", "select day, count(amount) as total, count(*) as n from clean group by day")
    applied(lab)
    lab.orders(DAYS[3])
    (attempt,) = [item for item in lab.tick().attempts if item.asset == "clean"]
    assert attempt.state == "failed"
    assert attempt.error is not None
    told = "column `amount` of table `clean` is to become BOOLEAN, and published values can't"
    assert attempt.error.message.startswith(told), "without the name of an exception"
    assert query(lab, "select count(*), min(amount)::varchar from clean") == [[30, "1.5"]]
    days = {"clean": (DAYS[0], DAYS[2]), "total": (DAYS[0], DAYS[2])}
    assert do(lab, planned(days))[1].state == "succeeded"
    lab.headrace("retry", "clean")
    assert query(lab, "select count(*), min(amount)::varchar from clean") == [[40, "true"]]


def test_a_backfill_carries_the_partitions_that_it_does_not_compute(lab: Lab) -> None:
    lab.sql(
        "clean",
        "select order_id, amount::decimal(18,4) as amount, cast(day as date) as day from orders",
    )
    applied(lab)
    assert do(lab, planned({"clean": (DAYS[1], DAYS[1])}))[1].state == "succeeded"
    assert query(lab, "select distinct typeof(amount), amount::varchar from clean") == [
        ["DECIMAL(18,4)", "1.5000"]
    ]


def test_what_an_environment_built_in_another_type_is_promoted_with_the_rest(lab: Lab) -> None:
    lab.sql(
        "clean", "select order_id, amount::varchar as amount, cast(day as date) as day from orders"
    )
    lab.sql("total", "select day, count(amount) as total, count(*) as n from clean group by day")
    dev = ProjectSession.open(lab.root, "dev", None, "tester")
    apply(dev, confirm=lambda _: True, progress=Silent())
    lab.headrace("run", "clean", "--partition", DAYS[2], "--env", "dev")
    applied(lab)
    assert query(lab, "select typeof(amount), count(*) from clean group by 1") == [["VARCHAR", 30]]


CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: n
version: {version}
status: active
schema:
- name: n
  properties:
"""


def test_a_plan_names_what_a_contract_makes_of_values_that_do_not_fit(lab: Lab) -> None:
    """Would catch: a plan without a word, after which each delivery fails."""

    def contract(version: str, types: str) -> None:
        columns = zip("abcd", types.split(), strict=True)
        properties = "".join(
            f"  - {{name: {name}, physicalType: {kind}}}\n" for name, kind in columns
        )
        lab.write("contracts/n.odcs.yaml", CONTRACT.format(version=version) + properties)

    def deliver(day: str, *values: str) -> list[tuple[str, str]]:
        lab.write(f"landing/n_{day}.csv", f"a,b,c,d\n{','.join(values)}\n")
        return [(item.asset, item.state) for item in lab.tick().attempts]

    (lab.root / "contracts").mkdir()
    lab.write(
        "sources/n.yaml",
        "source: n\nowner: acme\npartition: day\nfiles: landing/n_{date:%Y-%m-%d}.csv\n",
    )
    contract("1.0.0", "VARCHAR BIGINT VARCHAR BIGINT")
    applied(lab)
    assert deliver(DAYS[0], "x", "7", "2025-01-02", "8") == [("n", "published")]
    contract("2.0.0", "BIGINT DATE DATE DOUBLE")
    seen = plan(lab.session(), progress=Silent())
    (step,) = [step for step in seen.steps if step.kind == "retype"]
    command = f"headrace backfill n --from {DAYS[0]} --to {DAYS[0]} --mode all"
    assert step.detail == (
        "a VARCHAR → BIGINT, b BIGINT → DATE, c VARCHAR → DATE, d BIGINT → DOUBLE: published values"
        " of a and b can't be converted, so each publication is refused until all that is published"
        f" is recomputed: `{command}`"
    )
    assert command in markdown(seen)
    page = io.StringIO()
    render_plan(seen, CommandOutput(Screen(page, no_color=True), None))
    assert command in " ".join(page.getvalue().split()), "and not cut by a table"
    shown: list[Any] = []
    apply(lab.session(), confirm=lambda response: not shown.append(response), progress=Silent())
    assert command in "".join(step.detail for step in shown[0].steps), "before it is applied"
    later = ("1", "2025-01-03", "2025-01-02", "0.5")
    assert deliver(DAYS[1], *later) == [("n", "failed")]
    lab.write(f"landing/n_{DAYS[0]}.csv", f"a,b,c,d\n{','.join(later)}\n")
    lab.headrace(*command.split()[1:], "--reason", "x", "--yes")
    lab.headrace("retry", "n")
    assert query(lab, "select a, b::varchar, count(*) from n group by all") == [
        [1, "2025-01-03", 2]
    ]


@pytest.mark.long
def test_filters_see_all_rows_of_a_source_whose_type_widened(lab: Lab) -> None:
    """`> 4.9` missed the fives of files written as whole numbers, and `= 4.9` counted them."""
    lab.write(
        "sources/n.yaml",
        "source: n\nowner: acme\npartition: day\nfiles: landing/n_{date:%Y-%m-%d}.csv\n",
    )
    lab.write(
        "assets/big.sql",
        "/* headrace\nowner: core\ninputs: {n: {all: true}}\n*/\nselect count(*) as n, sum(amount) as total from n where amount > 4.9\n",
    )
    applied(lab)
    for number in range(40):  # a file for each day, all of which are rewritten
        lab.write(f"landing/n_{date(2024, 11, 1) + number * DAY}.csv", "amount\n5\n")
    for day, values in zip(DAYS, ("5\n7", "5\n3", "5.5\n1", "5"), strict=False):
        path = lab.root / f"landing/n_{day}.csv"
        path.write_text(f"amount\n{values}\n")
        if day != DAYS[0]:
            lab.tick()
    lab.tick()
    assert lab.read("big")[0] == {"n": 45, "total": 227.5}
    page = data_page(lab.session(), "n", DataQuery(where=('["amount","gt","4.9"]',)))
    assert page.rows_matching == 45
    for condition, count in {
        "> 4.9": 45,
        "= 4.9": 0,
        "<= 4.9": 2,
        "<> 4.9": 47,
        "in (4.9, 5)": 43,
        "> (select 4.9)": 45,
    }.items():
        assert query(lab, f"select count(*) from n where amount {condition}") == [[count]], (
            condition
        )
    lab.headrace(
        "backfill",
        "n",
        "--from",
        DAYS[0],
        "--to",
        DAYS[3],
        "--mode",
        "all",
        "--reason",
        "x",
        "--yes",
    )
    assert lab.headrace("incidents") == [], "the same bytes aren't another past"


def test_kept_partitions_need_the_columns_of_the_new_code(lab: Lab) -> None:
    """`--keep` after a rename said that the data was kept, and its rows read null."""
    lab.sql(
        "total", "select day, sum(amount) as amount, count(amount) as n from clean group by day"
    )
    with pytest.raises(UsageError, match="its rows have no `amount`"):
        applied(lab, keep=["total"], reason="x")


def test_a_plan_says_what_a_renamed_column_leaves_behind(lab: Lab) -> None:
    """Would catch: "readers keep the published values", which the next publication takes away."""
    lab.sql("total", "select day, sum(amount) as sums, count(amount) as n from clean group by day")
    text = columns_lost(plan(lab.session(), progress=Silent()))["total"]
    assert text.startswith("total isn't published again until all of it is recomputed: what is")
    assert text.endswith("published has `total` and no `sums`")


def test_a_retyped_column_is_planned_beside_one_of_an_unknown_type(lab: Lab) -> None:
    """Would catch: a STRUCT beside it, whose type isn't derived, and no step of the plan."""
    counted = "select day, {} as total, {{'n': count(*)}} as n from clean group by day"
    lab.sql("total", counted.format("sum(amount)::decimal(9,2)"))
    applied(lab)
    do(lab, planned({"total": (DAYS[0], DAYS[2])}))
    lab.sql("total", counted.format("sum(amount)::decimal(18,4)"))
    steps = plan(lab.session(), progress=Silent()).steps
    (step,) = [step for step in steps if step.kind == "retype"]
    assert step.detail.startswith("total DECIMAL(9,2) → DECIMAL(18,4)")


def test_an_asset_that_reads_itself_is_retyped_too(lab: Lab) -> None:
    """Its columns aren't known before it runs, and the plan didn't list it."""
    front = "partition: {by: day, column: day}"
    before = "(select max(total) from $self)"
    clean = (
        "select order_id, cast(day as date) as day, amount::decimal(18,{}) as amount from orders"
    )
    lab.sql("clean", clean.format(2))
    lab.sql("total", "select day, count(*) as total, count(amount) as n from clean group by day")
    running = "select day, sum(amount) + coalesce({}, 0) as total from clean group by day"
    lab.sql("running", running.format(before), front)
    highest = "select day, greatest(sum(amount), {}) as total from clean group by day"
    lab.sql("highest", highest.format(before), front)
    applied(lab)
    do(lab, planned({"clean": (DAYS[0], DAYS[2])}))
    lab.tick()
    lab.sql("clean", clean.format(4))
    steps = plan(lab.session(), progress=Silent()).steps
    (step,) = [step for step in steps if step.kind == "retype" and step.node == "running"]
    assert "total DECIMAL(38,2) → DECIMAL(38,4)" in step.detail
    applied(lab)
    lab.orders(DAYS[3])
    states = {item.asset: item for item in lab.tick().attempts}
    assert states["running"].state == "published"
    error = states["highest"].error
    assert error is not None and error.code == "engine_wrong_result", "and not rounded"
    assert "DECIMAL(38,4) to DECIMAL(38,2)" in error.message
    lab.sql("highest", highest.format(f"{before}::decimal(18,4)"), front)
    applied(lab)
    lab.tick()
    assert query(lab, "select typeof(total), count(*) from highest group by 1") == [
        ["DECIMAL(38,4)", 4]
    ]


@pytest.mark.parametrize("field", ["{{'{}': amount}}", "[{{'{}': amount}}]"])
def test_a_struct_whose_only_field_is_renamed_keeps_its_values(lab: Lab, field: str) -> None:
    """DuckDB refuses to write such a cast, and the error was `unexpected`, without a way on."""
    code = "select order_id, amount, {} as x, cast(day as date) as day from orders"
    lab.sql("clean", code.format(field.format("a")))
    applied(lab)
    assert do(lab, planned({"clean": (DAYS[0], DAYS[2])}))[1].state == "succeeded"
    before = query(lab, "select x::varchar from clean")
    lab.sql("clean", code.format(field.format("b")))
    applied(lab)
    lab.orders(DAYS[3])
    (error,) = [each.error for each in lab.tick().attempts if each.error]
    assert error.message.startswith("column `x` of table `clean` is to become STRUCT(b ")
    assert query(lab, "select x::varchar from clean") == before
    assert do(lab, planned({"clean": (DAYS[0], DAYS[3])}))[1].state == "succeeded"
    assert query(lab, "select count(*), count(x) from clean") == [[40, 40]]
