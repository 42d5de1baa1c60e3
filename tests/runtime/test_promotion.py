"""What an environment has built is published in production as it is: computed once, and only where
it is what production would compute.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from runlab import DAYS, Lab, built_once, published, three_days

from headrace.project.read_queries import ReadQuery
from headrace.project.session import ProjectSession, Silent
from headrace.responses import ApplyResponse
from headrace.services.apply import apply
from headrace.services.read import read
from headrace.services.run_results import tick

TOML = (
    '[project]\nname = "lab"\ntimezone = "UTC"\n[run]\nworkers = 2\n[environments.dev]\nworkers'
    " = 1\n"
)
DOUBLED = (
    "select customer, day, 2 * sum(amount) as total, count(*) as n from clean group by"
    " customer, day"
)


@built_once
def lab(root: Path) -> Lab:
    """Three days of orders, cleaned and summed, published in production."""
    return three_days(
        root,
        TOML,
        total="select day, customer, sum(amount) as total from clean group by day, customer",
        best="select day, max(total) as best from total group by day",
    )


def dev(lab: Lab) -> ProjectSession:
    return ProjectSession.open(lab.root, "dev", None, "tester")


def applied(lab: Lab) -> ApplyResponse:
    return apply(lab.session(), confirm=lambda _: True, progress=Silent())


def promoted(response: ApplyResponse) -> dict[str, int]:
    return {row.node: row.partitions for row in response.promoted}


def rows(lab: Lab, name: str, env: str = "prod") -> list[tuple[tuple[str, str], ...]]:
    response = read(ProjectSession.open(lab.root, env, None, "tester"), ReadQuery(name))
    return sorted(
        tuple(sorted((key, str(value)) for key, value in row.items())) for row in response.rows
    )


def attempts(lab: Lab) -> int:
    return int(lab.rows("select count(*) from attempt where started_at is not null")[0][0])


@pytest.mark.long
def test_what_was_built_is_published_and_nothing_is_computed(lab: Lab) -> None:
    """Would catch: a promotion that computes, that reads columns by the wrong field ids (the
    environment's table has others), that leaves what reads it stale, or that loses what its audit
    came to."""
    lab.sql("total", DOUBLED, "partition: {by: day, column: day}\nchecks: [{not_null: [total]}]")
    tick(dev(lab), progress=Silent())
    before = attempts(lab)
    response = applied(lab)
    assert promoted(response) == {"total": 3, "best": 3}
    assert attempts(lab) == before
    assert rows(lab, "total") == rows(lab, "total", "dev")
    assert rows(lab, "best") == rows(lab, "best", "dev")
    assert lab.rows("select count(*) from partition where stale <> 0 or state <> 'published'") == [
        (0,)
    ]
    assert published(lab.tick()) == []
    assert lab.rows(
        "select count(distinct snapshot) from publication where node in ('total', 'best') and"
        " ended_snapshot is null"
    ) == [(1,)]
    checks = lab.rows(
        "select c.outcome from check_result c join publication p on p.epoch = c.epoch and p.n = c.n"
        " and p.partition = c.partition where p.node = 'total' and p.ended_snapshot is null"
    )
    assert len(checks) == 3
    assert lab.rows("select count(*) from audit where event like '%environment.promoted%'") == [
        (1,)
    ]
    assert lab.headrace("audit", "verify")["ok"]
    lab.orders(DAYS[3])
    assert published(lab.tick()) == [
        (node, DAYS[3]) for node in ("best", "clean", "orders", "total")
    ]


@pytest.mark.long
def test_what_read_other_inputs_is_computed(lab: Lab) -> None:
    """Would catch: a promotion of what was made from a delivery that has been restated since, or of
    code that has changed since.
    """
    lab.sql("total", DOUBLED)
    tick(dev(lab), progress=Silent())
    lab.orders(DAYS[1], amount="9.00")
    lab.tick()
    assert promoted(applied(lab)) == {"total": 2, "best": 2}
    lab.sql("total", DOUBLED.replace("2 *", "3 *"))
    tick(dev(lab), progress=Silent())
    lab.sql("total", DOUBLED.replace("2 *", "4 *"))
    assert promoted(applied(lab)) == {}


@pytest.mark.slow
def test_what_isnt_what_was_audited_isnt_published(lab: Lab) -> None:
    """Would catch: files of an environment that somebody changed after their audit."""
    lab.sql("total", DOUBLED, "partition: {by: day, column: day}\nbatch: 'off'")
    tick(dev(lab), progress=Silent())
    file = min((lab.root / ".headrace/env/dev/lake/main/total").glob("*.parquet"))
    changed = file.with_suffix(".changed")
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (select * replace (total + 1 as total) from '{file}') to '{changed}' (format"
            " parquet)"
        )
    changed.replace(file)
    response = applied(lab)
    assert promoted(response) == {"total": 2, "best": 2}


@pytest.mark.slow
def test_a_new_asset_is_promoted_and_then_there_is_nothing_to_apply(lab: Lab) -> None:
    """Would catch: an asset that production never had and computes all the same; and an offer that
    never ends."""
    lab.sql("total", DOUBLED)
    lab.sql("late", "select day, count(*) as n from total group by day")
    tick(dev(lab), progress=Silent())
    assert promoted(applied(lab)) == {"total": 3, "best": 3, "late": 3}
    assert applied(lab).state == "nothing"


@pytest.mark.slow
def test_what_a_backfill_made_in_an_environment_is_promoted(lab: Lab) -> None:
    """Would catch: a backfill whose parts read each other before either was published, and are
    computed again for that; and a promotion of what the first change had built."""
    lab.sql("total", DOUBLED)
    tick(dev(lab), progress=Silent())
    lab.sql("total", DOUBLED.replace("2 *", "5 *"))
    apply(dev(lab), confirm=lambda _: True, progress=Silent())
    lab.headrace(
        "backfill",
        "total",
        "--from",
        DAYS[0],
        "--to",
        DAYS[2],
        "--reason",
        "five times",
        "--yes",
        "--env",
        "dev",
    )
    assert promoted(applied(lab)) == {"total": 3, "best": 3}
    assert rows(lab, "total") == rows(lab, "total", "dev")


@pytest.mark.slow
def test_what_reads_what_was_promoted_and_isnt_itself_follows(lab: Lab) -> None:
    """Would catch: a merge above a promotion that keeps what it made of the old rows."""
    lab.sql(
        "newest",
        "select customer, total from total",
        "partition: day\nmaterialize: merge\nmerge: {keys: [customer]}",
    )
    applied(lab)
    lab.tick()
    lab.sql("total", DOUBLED)
    tick(dev(lab), progress=Silent())
    assert promoted(applied(lab)) == {"total": 3, "best": 3}
    assert {asset for asset, _ in published(lab.tick())} == {"newest"}
    assert rows(lab, "newest") == rows(lab, "newest", "dev")


@pytest.mark.long
def test_a_promotion_is_whole_or_not_there(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: half of a promotion visible where the process is killed within it; and a
    promotion that is forgotten then."""
    lab.sql("total", DOUBLED)
    tick(dev(lab), progress=Silent())
    before = rows(lab, "total")
    monkeypatch.setenv("HEADRACE_FAULT", "environment.promoted=kill")
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat(), code=-9)
    monkeypatch.delenv("HEADRACE_FAULT")
    assert rows(lab, "total") == before
    assert promoted(applied(lab)) == {"total": 3, "best": 3}


@pytest.mark.slow
def test_in_postgresql_both_lie_in_one_database(postgresql_lab: Lab) -> None:
    """Would catch: statements that only SQLite takes, and an environment's schema taken for
    production's."""
    lab = postgresql_lab
    lab.write(
        "headrace.toml",
        (lab.root / "headrace.toml").read_text() + "[environments.dev]\nworkers = 1\n",
    )
    lab.sql("total", "select day, sum(amount) as total from orders group by day")
    for day in DAYS[:2]:
        lab.orders(day)
    lab.tick()
    lab.sql("total", "select day, count(*) as n, sum(amount) as total from orders group by day")
    tick(dev(lab), progress=Silent())
    assert [row["node"] for row in lab.headrace("plan", "--env", "dev")["diff"]] == ["total"]
    assert promoted(applied(lab)) == {"total": 2}
    assert [row["node"] for row in lab.headrace("status")["restated"]] == ["total"]
    assert lab.headrace("audit", "verify")["ok"]
    assert len(lab.headrace("audit", "show", "--action", "environment.*")) == 1
