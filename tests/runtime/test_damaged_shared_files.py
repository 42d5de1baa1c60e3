"""Damaged files of the lake that several partitions share: one command repairs them all, and what
can't be repaired is said.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from postgres_cluster import Database
from runlab import SETTINGS, Lab
from warm_fork_servers import headrace

from headrace.runtime import maintenance
from headrace.runtime.folders import Folders
from headrace.runtime.garbage import RetentionPolicy
from headrace.store import Store

pytestmark = pytest.mark.long

DAYS = [f"2025-01-{d:02d}" for d in range(5, 10)]
BY_DAY = "partition: {by: day, column: day}"
CONSUMERS = "- {consumer: shops, owner: core, reads: [totals], due: '09:00'}\n"
DELIVERIES = (
    "source: orders\nowner: acme\npartition: {by: day, column: day}\nrestate_within: 30d\nfiles:"
    " landing/orders_*.csv\n"
)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return filled(Lab(tmp_path / "p"))


def filled(made: Lab) -> Lab:
    """`totals` is computed in one attempt: its days lie in one or two files."""
    made.sql(
        "totals", "select day, customer, sum(amount) as total from orders group by all", BY_DAY
    )
    made.write("consumers.yaml", CONSUMERS)
    for day in DAYS:
        made.orders(day)
    made.run("orders")
    made.run("totals")
    made.tick()
    return made


def shared(lab: Lab, node: str) -> tuple[Path, list[str]]:
    """The file that holds most partitions of a node, and which."""
    rows = lab.rows(
        "select s.path || t.path || f.path, c.extra_stats from ducklake_data_file f join"
        " ducklake_table t on t.table_id = f.table_id join ducklake_schema s on s.schema_id ="
        " t.schema_id join ducklake_file_column_stats c on c.data_file_id = f.data_file_id and"
        " c.column_id = 1 where t.table_name = ? and f.end_snapshot is null and c.extra_stats is"
        " not null",
        node,
    )
    result = [(path, sorted(json.loads(extra)["headrace"]["partitions"])) for path, extra in rows]
    path, keys = max(result, key=lambda item: len(item[1]))
    assert len(keys) > 1, result
    return lab.root / ".headrace/lake" / path, keys


def deleted(path: Path) -> None:
    path.unlink()


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 40)


def garbage(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"\xa5" * path.stat().st_size)


@pytest.mark.parametrize("damage", [deleted, cut_short, garbage])
def test_all_days_of_the_file_are_repaired(lab: Lab, damage: Callable[[Path], None]) -> None:
    """Catches: a repair of one day that needs its neighbours' rows out of the file that is lost."""
    before = lab.read("totals")
    path, keys = shared(lab, "totals")
    damage(path)
    (opened,) = lab.headrace("tick")["incidents_opened"]
    assert sorted(lab.headrace("incident", opened)["affected"]["partitions"]) == keys
    examined = {row["name"]: row for row in lab.headrace("doctor", code=None)}
    assert (
        examined["lake's files"]["state"],
        str(path).endswith(examined["lake's files"]["detail"].split(" ")[0]),
    ) == ("fail", True)
    done = lab.headrace("fix", opened, "--yes")
    assert (done["fix"], done["state"], done["still"]) == ("done", "resolved", [])
    assert lab.read("totals") == before
    assert agreed(lab) <= {str(path.relative_to(lab.root / ".headrace/lake"))}
    assert lab.headrace("status")["lake"]["damaged"] == 0


def agreed(lab: Lab) -> set[str]:
    """`db check` finds nothing but files of earlier snapshots; which."""
    result = lab.headrace("db", "check", code=None)
    assert result["differences"] == [
        item for item in result["differences"] if item["source"] == "file"
    ]
    assert all("of earlier snapshots only" in item["stored"] for item in result["differences"]), (
        result
    )
    return {item["key"]["path"] for item in result["differences"]}


def merged(lab: Lab) -> None:
    """The daily maintenance, which merges what is small."""
    session = lab.session()
    with Store.open(lab.root, session.settings, create=True) as store:
        maintenance.maintain(
            store,
            None,
            Folders.of(lab.root, session.settings),
            RetentionPolicy(session.settings.retention),
            session.clock.now_us(),
        )


def merged_file(lab: Lab, node: str) -> Path:
    ((path,),) = lab.rows(
        "select s.path || t.path || f.path from ducklake_data_file f join ducklake_table t on"
        " t.table_id = f.table_id join ducklake_schema s on s.schema_id = t.schema_id where"
        " t.table_name = ? and f.end_snapshot is null",
        node,
    )
    return lab.root / ".headrace/lake" / path


@pytest.mark.parametrize("node", ["orders", "counted", "totals"])
def test_a_file_that_maintenance_has_merged(lab: Lab, node: str) -> None:
    """Catches: damage to a file of which DuckLake doesn't note the partitions, with a source, with
    asset code that is run for each day alone, and with a query: nobody is told and nothing is
    repaired. A source's days come from the kept raw bytes."""
    lab.python(
        "counted",
        "def counted(ctx: Context, orders):\n    return orders.select(['order_id', 'day'])\n",
        inputs=["orders"],
        partition={"by": "day", "column": "day"},
    )
    lab.write(
        "consumers.yaml", f"- {{consumer: shops, owner: core, reads: [{node}], due: '09:00'}}\n"
    )
    lab.headrace("apply", "--yes")
    lab.headrace("run", "counted")
    before = lab.read(node)
    merged(lab)
    deleted(merged_file(lab, node))
    for path in (lab.root / "landing").iterdir():
        path.unlink()
    (opened,) = lab.headrace("tick")["incidents_opened"]
    incident = lab.headrace("incident", opened)
    assert (incident["affected"]["partitions"], incident["affected"]["consumers"]) == (
        DAYS,
        ["shops"],
    )
    assert lab.headrace("status")["consumers"][0]["state"] == "wrong"
    merged(lab)  # which leaves the damaged table alone, instead of failing over it
    done = lab.headrace("fix", opened, "--yes")
    assert (done["fix"], done["state"], done["still"]) == ("done", "resolved", [])
    assert lab.read(node) == before
    agreed(lab)


def test_a_delivery_of_several_days(tmp_path: Path) -> None:
    """Catches: a source's file of several days of one delivery, of which each is ingested alone."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/orders.yaml", DELIVERIES)
    lab.write("consumers.yaml", CONSUMERS.replace("totals", "orders"))
    lab.deliver("2025-01-10", [f"{n},c{n % 3},1.50,{DAYS[n % len(DAYS)]}" for n in range(20)])
    lab.tick()
    before = lab.read("orders")
    path, keys = shared(lab, "orders")
    assert keys == DAYS
    cut_short(path)
    (lab.root / "landing/orders_2025-01-10.csv").unlink()
    (opened,) = lab.headrace("tick")["incidents_opened"]
    assert lab.headrace("fix", opened, "--yes")["state"] == "resolved"
    assert lab.read("orders") == before
    agreed(lab)


def test_days_that_cant_be_ingested_again_are_named(lab: Lab) -> None:
    """Catches: days that are kept from being repaired by others that can't be; an incident that
    closes over these, or that recommends for ever what can't help; a day that can't be taken back
    because its file is lost."""
    merged(lab)
    deleted(merged_file(lab, "orders"))
    lost = DAYS[1:3]
    for path in (lab.root / "landing").iterdir():
        path.unlink()
    for key in lost:
        ((sha,),) = lab.rows(
            "select sha256 from delivery where source = 'orders' and partition = ?", key
        )
        (lab.root / ".headrace/raw" / sha[:2] / sha).unlink()
    (opened,) = lab.headrace("tick")["incidents_opened"]
    steps = lab.headrace("fix", opened, "--dry-run")["steps"]
    assert [(step["act"], step["partitions"]) for step in steps] == [
        ("give_up", []),
        ("again", DAYS),
    ]

    done = lab.headrace("fix", opened, "--yes", code=None)
    assert (done["fix"], done["state"]) == ("open", "open")
    assert [(item["what"], item["text"]) for item in done["still"]] == [
        (f"orders@{lost[0]}", "its rows (and those of 1 more) can't be read")
    ]
    (line,) = lab.headrace("incidents")
    assert (line["state"], line["cause"]["summary"]) == (
        "open",
        "the file was given up, its rows are lost",
    )
    for key in DAYS:
        if key in lost:
            said = failing(lab, "read", "orders", "--partition", key)
            assert "was given up: its rows were lost with ducklake-" in said
            assert f"hint: headrace fix {opened}" in said
        else:
            assert len(lab.headrace("read", "orders", "--partition", key)["rows"]) == 10
    lab.headrace("tick", code=None)
    assert lab.headrace("status")["lake"]["damaged"] == 1

    said = ""
    for later in range(1, 7):  # until the attempts are spent; each waits longer than the one before
        now = (lab.now + timedelta(hours=later)).isoformat()
        said = failing(lab, "fix", opened, "--yes", "--now", now)
    assert (
        f"orders@{lost[0]} can't be ingested again (nor can 1 more): landing/orders_{lost[0]}.csv"
        " can't be opened" in said
    )
    assert f"headrace unpublish orders@{lost[0]} --reason '{opened}: its rows are lost'" in said
    assert lab.headrace("incident", opened)["repair"]["command"] == "headrace retry orders"
    lab.headrace("unpublish", f"orders@{lost[0]}", "--reason", f"{opened}: its rows are lost")
    lab.orders(lost[1])  # the vendor delivers it once more
    lab.headrace("retry", "orders", code=None)
    lab.headrace("tick", code=None)
    assert sorted({row["day"] for row in lab.read("orders")}) == [
        day for day in DAYS if day != lost[0]
    ]
    assert [
        item for item in lab.headrace("incidents") if item["cause"]["kind"] == "data_corrupted"
    ] == []
    agreed(lab)


def test_inputs_are_repaired_before_what_reads_them(lab: Lab) -> None:
    """Catches: a file that is given up though what it would be computed from is lost as well."""
    before = lab.read("totals")
    merged(lab)
    deleted(merged_file(lab, "totals"))
    deleted(merged_file(lab, "orders"))
    lab.headrace("tick")
    result = {row["cause"]["node"]: row for row in lab.headrace("incidents")}
    orders, totals = result["orders"]["id"], result["totals"]["id"]
    assert f"{totals} isn't repaired yet: totals reads orders, which is damaged too" in failing(
        lab, "fix", totals, "--yes"
    )
    assert result["totals"]["repair"]["command"] == f"headrace fix {orders}"
    assert lab.headrace("fix", orders, "--yes")["state"] == "resolved"
    assert lab.headrace("fix", totals, "--yes")["state"] == "resolved"
    assert lab.read("totals") == before


@pytest.mark.slow
def test_with_the_state_in_postgresql(
    postgresql: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: statements that only one of the databases takes; a catalog in a schema of its own
    that isn't given up in."""
    monkeypatch.setenv("PG_PASSWORD", postgresql.password)
    lab = filled(Lab(tmp_path / "p", postgresql))
    before = lab.read("totals")
    path, keys = shared(lab, "totals")
    deleted(path)
    (opened,) = lab.headrace("tick")["incidents_opened"]
    assert sorted(lab.headrace("incident", opened)["affected"]["partitions"]) == keys
    assert lab.headrace("fix", opened, "--yes")["state"] == "resolved"
    assert lab.read("totals") == before
    agreed(lab)


def test_files_that_are_elsewhere_are_counted_and_not_called_damaged(lab: Lab) -> None:
    """Catches: a file that another writer registered by a URL, said to be gone because it isn't in
    this lake's folder."""
    with sqlite3.connect(lab.root / ".headrace/state.db") as db:
        db.execute(
            "update ducklake_data_file set path = 's3://bucket/f.parquet', path_is_relative = 0"
            " where data_file_id = (select min(data_file_id) from ducklake_data_file where"
            " end_snapshot is null)"
        )
    assert lab.headrace("tick")["incidents_opened"] == []
    result = lab.headrace("status")["lake"]
    assert (result["damaged"], result["elsewhere"]) == (0, 1)


def test_an_environments_own_files_are_looked_at(tmp_path: Path) -> None:
    """Catches: an environment whose files are gone, and whose status says nothing of it; production
    blamed for them."""
    lab = Lab(tmp_path / "p")
    lab.write("headrace.toml", SETTINGS + "[environments.dev]\nworkers = 1\n")
    filled(lab)
    lab.sql(
        "totals", "select day, customer, sum(amount) + 1 as total from orders group by all", BY_DAY
    )
    lab.headrace("apply", "--yes", "--env", "dev")
    lab.headrace("run", "totals", "--env", "dev")
    for path in (lab.root / ".headrace/env/dev/lake/main/totals").iterdir():
        deleted(path)
    lab.headrace("tick", "--env", "dev")
    result = lab.headrace("status", "--env", "dev")["lake"]
    assert result["damaged"] == result["files"] == result["looked_at_24h"] > 0
    lab.headrace("tick")
    assert lab.headrace("status")["lake"]["damaged"] == 0


def failing(lab: Lab, *arguments: str) -> str:
    done = headrace([*arguments, "--project", str(lab.root)], Path.cwd(), os.environ, 50)
    assert done.returncode in (1, 2, 3), (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return " ".join(str(done.stderr).split())


@pytest.mark.parametrize("damage", [deleted, cut_short])
def test_what_reads_a_damaged_file_waits_for_its_repair(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Catches: a query that is right and "correct assets/later.sql" over a file that it couldn't
    read; its own incident, with another owner, for the same cause; a good delivery's day that is
    never computed once the file is repaired."""
    lab = filled(Lab(tmp_path / "p"))
    lab.sql(
        "later",
        "select $partition_start::date as day, sum(t.total) as total from totals t",
        f"{BY_DAY}\ninputs: [{{totals: {{lookback: 4d}}}}]",
    )
    lab.write("consumers.yaml", CONSUMERS.replace("totals", "later"))
    lab.headrace("apply", "--yes")
    lab.tick()
    path, _ = shared(lab, "totals")
    damage(path)
    lab.orders("2025-01-10")
    done = lab.headrace("tick", "--now", "2025-01-11T04:00Z")
    said = {
        item["asset"]: (item["state"], (item["error"] or {}).get("code"))
        for item in done["attempts"]
    }
    assert said["orders"] == ("published", None)
    assert said["later"] == ("skipped", "data_corrupted")
    opened, *others = lab.headrace("incidents")
    assert (opened["cause"]["kind"], opened["cause"]["node"], others) == (
        "data_corrupted",
        "totals",
        [],
    )
    assert done["repairs"] == []
    verdict = lab.headrace("why", "later@2025-01-10", "--now", "2025-01-11T04:05Z")["verdict"]
    assert verdict.startswith("later@2025-01-10 waits for totals 2025-01-0")
    assert "which can't be read: the file " in verdict
    lab.headrace("fix", opened["id"], "--yes", "--now", "2025-01-11T04:10Z", code=None)
    lab.headrace("tick", "--now", "2025-01-11T04:20Z")
    assert [item for item in lab.headrace("incidents") if item["state"] != "resolved"] == []
    assert {row["day"] for row in lab.read("later")} >= {"2025-01-10"}
