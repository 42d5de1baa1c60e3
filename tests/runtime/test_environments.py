"""Environments: what is as in production is read from there, what is changed is built apart, and
production never notices.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from runlab import DAYS, Lab, built_once, published, three_days

from headrace.model import UsageError
from headrace.project.read_queries import ReadQuery
from headrace.project.session import ProjectSession, Silent
from headrace.services.apply import apply
from headrace.services.read import read
from headrace.services.run import run
from headrace.services.run_results import tick
from headrace.services.status import status

TOML = """[project]
name = "lab"
timezone = "UTC"
[run]
workers = 2
[parameters]
factor = 1
[environments.dev]
workers = 1
[environments.dev.parameters]
factor = 3
[environments.small.paths]
landing = "samples"
"""


@built_once
def lab(root: Path) -> Lab:
    """Three days of orders, cleaned and summed, published in production."""
    report = "- {consumer: report, owner: core, reads: [total], due: '07:00'}\n"
    return three_days(
        root,
        TOML,
        consumers=report,
        total="select day, sum(amount) as total from clean group by day",
    )


def opened(lab: Lab, env: str = "dev") -> ProjectSession:
    return ProjectSession.open(lab.root, env, None, "tester")


def totals(session: ProjectSession) -> list[object]:
    return [row["total"] for row in read(session, ReadQuery("total")).rows]


def test_what_is_unchanged_is_read_from_production_without_a_copy(lab: Lab) -> None:
    assert published(tick(opened(lab), progress=Silent())) == []
    assert totals(opened(lab)) == totals(opened(lab, "prod"))
    assert not list((lab.root / ".headrace/env/dev/lake").rglob("*.parquet"))


def test_a_changed_asset_is_built_apart_and_production_stays_as_it_was(lab: Lab) -> None:
    before = totals(opened(lab, "prod"))
    lab.sql("total", "select day, 2 * sum(amount) as total from clean group by day")
    assert published(tick(opened(lab), progress=Silent())) == [("total", day) for day in DAYS[:3]]
    assert [float(str(total)) for total in totals(opened(lab))] == [
        2 * float(str(total)) for total in before
    ]
    assert totals(opened(lab, "prod")) == before
    assert published(lab.tick()) == []


def test_what_reads_a_changed_asset_is_built_apart_too(lab: Lab) -> None:
    lab.sql("clean", "select order_id, customer, 10 * amount as amount, day from orders")
    assert {asset for asset, _ in published(tick(opened(lab), progress=Silent()))} == {
        "clean",
        "total",
    }


def test_a_restatement_in_production_makes_stale_what_was_built_from_it(lab: Lab) -> None:
    """The environment's core sees publications that it didn't make."""
    lab.sql("total", "select day, 2 * sum(amount) as total from clean group by day")
    tick(opened(lab), progress=Silent())
    lab.orders(DAYS[1], amount="4.00")
    lab.orders(DAYS[3])
    lab.run("clean")
    again = published(tick(opened(lab), progress=Silent()))
    assert again == [("total", DAYS[1]), ("total", DAYS[3])]
    assert published(tick(opened(lab), progress=Silent())) == []


def test_an_environment_has_figures_of_its_own(lab: Lab) -> None:
    lab.sql("total", "select day, 2 * sum(amount) as total from clean group by day")
    (never,) = status(opened(lab)).consumers
    tick(opened(lab), progress=Silent())
    (here,) = status(opened(lab)).consumers
    (there,) = status(opened(lab, "prod")).consumers
    assert (never.state, here.data_through, there.data_through) == ("never", DAYS[2], DAYS[2])


def test_a_change_of_checks_is_run_apart(lab: Lab) -> None:
    """Borrowed data wouldn't be audited by what the environment says."""
    lab.sql(
        "total",
        "select day, sum(amount) as total from clean group by day",
        "partition: {by: day, column: day}\nchecks: [{range: {column: total, max: 1}}]",
    )
    response = tick(opened(lab), progress=Silent())
    assert {(a.asset, a.state) for a in response.attempts} == {("total", "rejected")}


def test_parameters_of_an_environment_count(lab: Lab) -> None:
    lab.sql("total", "select day, $factor * sum(amount) as total from clean group by day")
    apply(lab.session(), confirm=lambda _: True, progress=Silent())
    lab.tick()
    tick(opened(lab), progress=Silent())
    assert [float(str(t)) for t in totals(opened(lab))] == [
        3 * float(str(t)) for t in totals(opened(lab, "prod"))
    ]


def test_other_folders_make_other_deliveries(lab: Lab) -> None:
    (lab.root / "samples").mkdir()
    (lab.root / f"samples/orders_{DAYS[5]}.csv").write_text(
        f"order_id,customer,amount,day\n1,c,2.50,{DAYS[5]}\n"
    )
    response = tick(opened(lab, "small"), progress=Silent())
    assert published(response) == [(node, DAYS[5]) for node in ("clean", "orders", "total")]


def test_an_environment_goes_back_to_borrowing(lab: Lab) -> None:
    """What it built before isn't seen any more once it is as in production."""
    sql = "select day, sum(amount) as total from clean group by day"
    lab.sql("total", sql.replace("sum", "2 * sum"))
    tick(opened(lab), progress=Silent())
    lab.sql("total", sql)
    apply(opened(lab), confirm=lambda _: True, progress=Silent())
    run(
        opened(lab),
        [],
        exclude=[],
        partitions=[],
        first=None,
        last=None,
        again=False,
        reason=None,
        progress=Silent(),
    )
    assert totals(opened(lab)) == totals(opened(lab, "prod"))


def test_before_production_ran_everything_is_built(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "p")
    lab.write("headrace.toml", TOML)
    lab.orders(DAYS[0])
    assert published(tick(opened(lab), progress=Silent())) == [("orders", DAYS[0])]
    assert not (lab.root / ".headrace/state.db").exists()


def test_an_unknown_environment_is_named_with_those_that_exist(lab: Lab) -> None:
    with pytest.raises(UsageError, match="devel") as caught:
        status(opened(lab, "devel"))
    assert "dev" in caught.value.hint


def test_borrowed_data_of_growing_keys_and_of_merges_is_read(tmp_path: Path) -> None:
    """Production's keys are asked of production, and a merged table's rows don't lie under the
    interval that is asked for."""
    lab = Lab(tmp_path / "p")
    lab.write("headrace.toml", TOML)
    lab.write(
        "sources/shops.yaml",
        "source: shops\nowner: acme\npartition: [day, {key: shop}]\nfiles:"
        " landing/{key}_{date:%Y-%m-%d}.csv\n",
    )
    lab.sql(
        "stock",
        "select shop, sum(n) as n from shops group by shop",
        "partition: day\nmaterialize: merge\nmerge: {keys: [shop]}",
    )
    lab.sql("summary", "select count(*) as shops from stock", "partition: day")
    for day in DAYS[:2]:
        for number, shop in enumerate(("ulm", "bonn")):
            (lab.root / f"landing/{shop}_{day}.csv").write_text(f"shop,n\n{shop},{number + 1}\n")
    lab.tick()
    lab.sql("summary", "select count(*) as shops, sum(n) as n from stock", "partition: day")
    assert published(tick(opened(lab), progress=Silent())) == [("summary", day) for day in DAYS[:2]]
    assert [
        (row["shops"], int(str(row["n"]))) for row in read(opened(lab), ReadQuery("summary")).rows
    ] == [(2, 3), (2, 3)]
    lab.sql(
        "stock",
        "select shop, max(n) as n from shops group by shop",
        "partition: day\nmaterialize: merge\nmerge: {keys: [shop]}",
    )
    apply(opened(lab), confirm=lambda _: True, progress=Silent())
    again = run(
        opened(lab),
        [],
        exclude=[],
        partitions=[],
        first=None,
        last=None,
        again=False,
        reason=None,
        progress=Silent(),
    )
    assert published(again) == [(node, day) for node in ("stock", "summary") for day in DAYS[:2]]
