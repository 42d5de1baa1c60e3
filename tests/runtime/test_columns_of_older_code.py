"""Code returns another column, and partitions of the older code stay: nothing is published over
values that are gone, or over nulls that no code has returned.

A sum over all days lacked the days before a rename, while its consumer was served.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from overlay_lab import do, planned
from runlab import DAYS, Lab, built_once, three_days

from headrace.project.session import Silent
from headrace.services.apply import apply

UTC = '[project]\nname = "lab"\ntimezone = "UTC"\n[environments.dev]\nworkers = 1\n'
RENAMED = "select order_id, customer, amount as paid, day from orders"
GROWN = "select order_id, customer, amount, 2 * amount as twice, day from orders"
ALL = "inputs: {clean: {all: true}}"


@built_once
def lab(root: Any) -> Lab:
    """Three days of orders, cleaned and published."""
    return three_days(root, UTC)


def applied(lab: Lab) -> Any:
    return apply(lab.session(), confirm=lambda _: True, progress=Silent())


def query(lab: Lab, sql: str) -> list[Any]:
    return [tuple(row.values()) for row in lab.headrace("sql", sql)["rows"]]


def next_day(lab: Lab, day: str = DAYS[3]) -> dict[str, tuple[str, str]]:
    """Deliver a day and pass; each asset's state and error."""
    lab.orders(day)
    return {
        each.asset: (each.state, each.error.message if each.error else "")
        for each in lab.tick().attempts
    }


def test_a_renamed_column_takes_no_values_away(lab: Lab) -> None:
    lab.sql("clean", RENAMED)
    lab.sql("history", "select count(paid) as n, sum(paid) as total from clean", "")
    applied(lab)
    state, error = next_day(lab)["clean"]
    assert state == "failed"
    assert error == (
        f"clean@{DAYS[0]} still has `amount` and no `paid`; recompute it first: headrace backfill"
        f" clean --from {DAYS[0]} --to {DAYS[3]} --mode all --reason TEXT"
    )
    assert query(lab, "select count(*), sum(amount) from clean") == [(30, 45.0)]
    assert do(lab, planned({"clean": (DAYS[0], DAYS[1])}))[1].state == "failed", "a day would stay"
    assert query(lab, "select count(*), sum(amount) from clean") == [(30, 45.0)]
    assert do(lab, planned({"clean": (DAYS[0], DAYS[3])}))[1].state == "succeeded"
    lab.tick()
    assert query(lab, "select * from history") == [(40, 60.0)]


def test_a_renamed_asset_keeps_the_values_of_a_renamed_column(lab: Lab) -> None:
    (lab.root / "assets/clean.sql").unlink()
    day = "partition: {by: day, column: day}\nrenamed_from: clean"
    lab.sql("bought", "select order_id, customer, amount, day from orders", day)
    applied(lab)
    assert next_day(lab)["bought"] == ("published", "")
    lab.sql("bought", RENAMED, day)
    applied(lab)
    assert f"bought@{DAYS[0]} still has `amount`" in next_day(lab, DAYS[4])["bought"][1]


def test_what_an_environment_has_of_a_renamed_column_is_promoted_as_a_whole(lab: Lab) -> None:
    lab.sql("clean", RENAMED)
    lab.headrace("apply", "--env", "dev", "--yes")
    lab.headrace("run", "clean", "--partition", DAYS[2], "--env", "dev")
    applied(lab)
    assert query(lab, "select count(*), sum(amount) from clean") == [(30, 45.0)]


def test_readers_of_a_new_column_wait_for_the_days_before_it(lab: Lab) -> None:
    """Others go on, by what they name or declare, or for days that have it."""
    for name, body in {
        "history": "select sum(twice) as total from clean",
        "other": "select sum(amount) as total from clean",
        "daily": "select day, sum(twice) as total from clean group by day",
        "through": "select sum(double) as total from seen",
    }.items():
        kind = "partition: {by: day, column: day}" if name == "daily" else ""
        lab.sql(name, body, kind)
    lab.sql("seen", "select amount, twice as double from clean", "materialize: view")
    body = "def {}(context: Context, clean):\n    return clean.select(['amount'])"
    lab.python("opaque", body.format("opaque"))
    lab.python("named", body.format("named"), columns={"reads": {"clean": ["amount"]}})
    lab.sql("clean", GROWN)
    lab.write(
        "consumers.yaml",
        "- {consumer: week, owner: core, reads: [clean], due: '+9d 09:00', per: week, export: {to:"
        " 'out/{date:%Y-%m-%d}.csv'}}\n",
    )
    applied(lab)
    lab.orders(DAYS[4])
    ended = next_day(lab)
    assert ended["clean"][0] == ended["daily"][0] == "published"
    waiting = {name for name, (_, error) in ended.items() if "had the column `twice`" in error}
    assert waiting == {"history", "through", "opaque", "week"}
    for name in ("other", "named"):
        assert ended[name][0] == "published", ended[name]
    (text,) = {error for _, error in ended.values() if error}
    assert text == (
        f"clean@{DAYS[0]} was published before clean had the column `twice`, which this reads;"
        f" recompute it first: headrace backfill clean --from {DAYS[0]} --to {DAYS[2]}"
        " --mode all --reason TEXT"
    )
    lab.headrace(
        *("backfill", "clean", "--from", DAYS[0], "--to", DAYS[2], "--reason", "x", "--yes")
    )
    lab.tick()
    assert query(lab, "select * from history") == query(lab, "select * from through")
    assert query(lab, "select total from history") == [(150.0,)]


def test_a_column_that_a_delivery_brings_is_null_before(lab: Lab) -> None:
    """No code has changed but that of an asset which only has to run before: recomputed, the days
    before would be the same.
    """
    lab.sql("before", "select 1 as n", "")
    lab.sql("clean", "select * from orders", "partition: {by: day, column: day}\ndepends: [before]")
    applied(lab)
    lab.tick()
    do(lab, planned({"clean": (DAYS[0], DAYS[2])}))
    lab.sql("before", "select 2 as n", "")
    applied(lab)
    lab.deliver(DAYS[3], [f"1,c,1.5,{DAYS[3]},x"], "order_id,customer,amount,day,note")
    lab.tick()
    lab.sql("history", "select count(note) as n from clean", "")
    applied(lab)
    lab.tick()
    assert query(lab, "select * from history") == [(1,)]


def test_a_column_that_comes_back_is_null_where_it_had_gone(lab: Lab) -> None:
    """Would catch: equal code before and after, and the days before lose what they had."""
    lab.sql("history", "select count(*) as n, sum(amount) as total from clean", "")
    applied(lab)
    code = (lab.root / "assets/clean.sql").read_text(encoding="utf-8")
    lab.sql("clean", "select order_id, customer, day from orders")
    (lab.root / "assets/history.sql").unlink()
    applied(lab)
    assert next_day(lab)["clean"][0] == "published"
    lab.write("assets/clean.sql", code)
    lab.sql("history", "select count(*) as n, sum(amount) as total from clean", "")
    applied(lab)
    error = next_day(lab, DAYS[4])["history"][1]
    assert error.startswith(f"clean@{DAYS[0]} was published before clean had the column `amount`")
    lab.headrace(*shlex.split(error.partition(": headrace ")[2]), "--yes")
    lab.tick()
    assert query(lab, "select n, total from history") == [(50, 75.0)]


def test_a_new_field_of_a_struct_is_a_new_column(lab: Lab) -> None:
    fields = "select order_id, day, {{'amount': amount{}}} as x from orders"
    lab.sql("clean", fields.format(""))
    applied(lab)
    do(lab, planned({"clean": (DAYS[0], DAYS[2])}))
    lab.sql("clean", fields.format(", 'twice': 2 * amount"))
    lab.sql("history", "select sum(x.twice) as total from clean", "")
    lab.sql("other", "select sum(amount) as total from orders", "")
    applied(lab)
    ended = next_day(lab)
    assert "had the column `x`" in ended["history"][1] and ended["other"][0] == "published"


@pytest.mark.parametrize("column", ["amount as paid", "amount, 2 * amount as twice"])
def test_what_passes_all_columns_on_gets_them_too(lab: Lab, column: str) -> None:
    """Would catch: `select *` whose table never may get the column that its input got."""
    lab.sql("through", "select * from clean")
    lab.sql("again", "select * from through")
    lab.python(
        "opaque",
        "def opaque(context: Context, clean):\n    return clean",
        partition={"by": "day", "column": "day"},
    )
    applied(lab)
    lab.tick()
    lab.sql("clean", f"select order_id, customer, {column}, day from orders")
    applied(lab)
    ended = next_day(lab)
    names, error = ("clean", "through", "again", "opaque"), ended["clean"][1]
    if error:
        lab.headrace(*shlex.split(error.partition(": headrace ")[2]), "--yes")
        lab.tick()
    else:
        assert [ended[name] for name in names] == [("published", "")] * 4
    new = column.rpartition(" ")[2]
    for name in names:
        assert query(lab, f"select count({new}) > 0 from {name}") == [(True,)], name


def test_partitions_by_key_are_recomputed_by_the_command_of_the_error(lab: Lab) -> None:
    source = "source: shops\nowner: acme\npartition: {key: shop}\nfiles: landing/s_{key}.csv\n"
    lab.write("sources/shops.yaml", source)
    for key in ("Ham", "Ulm, A"):
        lab.write(f"landing/s_{key}.csv", "id,amount\n1,2\n")
    body = "select $partition_key as shop, id, amount{} from shops"
    lab.sql("sold", body.format(""), "partition: {key: shop}")
    applied(lab)
    lab.tick()
    lab.sql("sold", body.format(" as paid"), "partition: {key: shop}")
    applied(lab)
    lab.write("landing/s_Bonn.csv", "id,amount\n1,2\n")
    failed = lab.tick().attempts[-1].error
    assert failed is not None and failed.message.startswith("sold@Ham still has `amount`")
    lab.headrace(*shlex.split(failed.message.partition(": headrace ")[2]), "--yes")
    assert query(lab, "select count(*), count(paid) from sold") == [(3, 3)]


def test_an_asset_that_reads_its_day_before_has_the_column_there(lab: Lab) -> None:
    running = (
        "select day, {} + coalesce((select max({}) from $self), 0) as {} from clean group by day"
    )
    lab.sql("running", running.format("count(*)", "n", "n"))
    applied(lab)
    lab.tick()
    both = running.format("count(*)", "n", "n").replace(" from clean", ", {} from clean")
    lab.sql("running", both.format("1 as one"))
    applied(lab)
    assert next_day(lab)["running"][0] == "published", "the new column isn't read"
    second = "1 as one, coalesce((select max(two) from $self), 0) + 1 as two"
    lab.sql("running", both.format(second))
    applied(lab)
    assert "had the column `two`" in next_day(lab, DAYS[4])["running"][1]
    assert do(lab, planned({"running": (DAYS[0], DAYS[4])}))[1].state == "succeeded"
    assert query(lab, "select list(two order by day) from running") == [([1, 2, 3, 4, 5],)]


@pytest.mark.parametrize("kind", ["merge", "snapshot"])
@pytest.mark.parametrize("by", ["day", "*"])
def test_rows_that_a_table_has_collected_keep_their_values(lab: Lab, kind: str, by: str) -> None:
    partition = "partition: {by: day, column: day}\n" if by == "day" else ""
    front = f"{partition}materialize: {kind}\n{kind}: {{keys: [order_id]}}"
    body = "select order_id, amount{}, day from " + ("orders" if by == "day" else "latest")
    lab.sql("latest", "select * from orders where day = (select max(day) from orders)", "")
    lab.sql("kept", body.format(""), front)
    applied(lab)
    lab.tick()
    lab.sql("kept", body.format(" as paid"), front)
    applied(lab)
    assert "still has `amount` and no `paid`" in next_day(lab)["kept"][1]
    assert query(lab, "select count(amount) = count(*) from kept") == [(True,)]
    if by == "day":
        lab.headrace(
            *("backfill", "kept", "--from", DAYS[0], "--to", DAYS[3], "--reason", "x", "--yes")
        )
        assert query(lab, "select count(*), count(paid) from kept") == [(40, 40)]


def test_tables_that_a_reader_lacks_together_are_recomputed_together(lab: Lab) -> None:
    """A backfill of one computes the reader, too, which lacked the other: neither was published."""

    def recompute(error: str) -> None:
        command = error.partition("first: ")[2].replace("TEXT", "x")
        assert command.startswith("headrace backfill clean other --from"), error
        lab.headrace(*shlex.split(command)[1:], "--yes")

    other = "select order_id, {}, day from orders"
    history = "select sum({}) as a, sum({}) as b from clean join seen using (order_id, day)"
    lab.sql("other", other.format("amount"), "partition: {by: day, column: day}")
    lab.sql("seen", "select * from other", "materialize: view")
    applied(lab)
    lab.tick()
    lab.sql("clean", GROWN)
    lab.sql("other", other.format("3 * amount as t, amount"), "partition: {by: day, column: day}")
    lab.sql("history", history.format("twice", "t"), "")
    applied(lab)
    recompute(next_day(lab)["history"][1])
    assert query(lab, "select * from history") == [(120.0, 180.0)]
    lab.sql("clean", RENAMED)
    lab.sql("other", other.format("amount as p"), "partition: {by: day, column: day}")
    lab.sql("history", history.format("paid", "p"), "")
    applied(lab)
    run = do(lab, planned({"clean": (DAYS[0], DAYS[3]), "history": ("*", "*")}))[1].run_id
    ((error,),) = lab.rows("select error from attempt where run_id = ? and error != ''", run)
    recompute(json.loads(error)["message"])
    assert query(lab, "select * from history") == [(60.0, 60.0)]
