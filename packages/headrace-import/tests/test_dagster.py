"""`import dagster`: assets, jobs, schedules and sensors, each once, as commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

import headrace
from headrace.project.session import Silent
from headrace_import.importers import ImportedProject
from headrace_import.importers.dagster import read_project
from headrace_import.services.project import import_project

ASSETS = '''
import dagster as dg
from dagster import AssetKey, AssetOut, AssetSpec, DailyPartitionsDefinition, asset, multi_asset

open("executed", "w").close()
daily = DailyPartitionsDefinition(start_date="2024-03-01")
warehouse = AssetSpec("warehouse_orders")

# What the tills send.
@asset(partitions_def=daily, group_name="shop", key_prefix=["raw"])
def orders(context):
    """Orders of one day.

    More.
    """

@asset(partitions_def=daily, deps=[AssetKey(["raw", "orders"]), "warehouse_orders"])
def clean():
    pass

@dg.asset(owners=["team:finance"])
def revenue(clean, database: dg.ResourceParam[str]):
    pass

@multi_asset(outs={"left": AssetOut(), "right": AssetOut(key="other")}, deps=[revenue])
def both():
    pass

@asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def by_letter():
    pass

@dg.asset_check(asset=revenue, blocking=True)
def revenue_is_positive():
    pass

every_day = dg.define_asset_job("every_day", selection=[revenue])
morning = dg.ScheduleDefinition(job=every_day, cron_schedule="0 7 * * *")
'''
JOBS = """
from dagster import Definitions, RunRequest, graph, job, op, schedule, sensor

@op
def fetch():
    return 1

@op
def store(value):
    pass

@op
def unused():
    pass

@graph
def both_ways(value):
    store(value)

@job
def nightly():
    value = fetch()
    both_ways(value)

@schedule(cron_schedule="0 1 * * *", job=nightly)
def at_one():
    return RunRequest()

@schedule(cron_schedule="0 2 * * *", job=nightly)
def at_two(context):
    return RunRequest(run_config={"day": context.scheduled_execution_time})

@sensor(job=nightly)
def on_file():
    pass

defs = Definitions(jobs=[nightly])
"""


def project(root: Path, **files: str) -> Path:
    for name, text in {"shop/__init__.py": "", "shop/assets.py": ASSETS, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def verdicts(imported: ImportedProject) -> dict[str, str]:
    ids = [item.id for item in imported.items]
    assert len(set(ids)) == len(ids)
    return {item.id: item.verdict.value for item in imported.items}


def test_everything_is_an_item_once(tmp_path: Path) -> None:
    """Would catch: an asset of a multi-asset, an op of a graph or a check that is lost, and code
    of the project that is run.
    """
    imported = read_project(project(tmp_path, **{"shop/jobs.py": JOBS}))
    assert verdicts(imported) == {
        "raw/orders": "command",
        "clean": "command",
        "revenue": "command",
        "left": "command",
        "other": "command",
        "by_letter": "command",
        "warehouse_orders": "person",
        "revenue:revenue_is_positive": "command",
        "nightly": "command",
        "nightly.fetch": "command",
        "nightly.both_ways": "command",
        "nightly.both_ways.store": "command",
        "every_day": "carried",
        "unused": "person",
        "every_day_schedule": "carried",
        "at_one": "carried",
        "at_two": "person",
        "on_file": "person",
    }
    (check,) = [item for item in imported.items if item.id == "revenue:revenue_is_positive"]
    assert "fails the asset's command" in check.why, "it is blocking"
    edges = {(item.origin, item.target) for item in imported.dependencies}
    assert {
        ("raw/orders", "clean"),
        ("warehouse_orders", "clean"),
        ("clean", "revenue"),
        ("revenue", "left"),
        ("revenue", "other"),
        ("nightly.fetch", "nightly.both_ways"),
        ("revenue", "revenue:revenue_is_positive"),
    } <= edges
    assert not [*tmp_path.rglob("executed")]


def test_assets_keep_partitions_order_and_schedule(tmp_path: Path) -> None:
    """Would catch: a partition that begins on another day, a lost dependency or trigger."""
    files = read_project(project(tmp_path, **{"shop/jobs.py": JOBS})).files
    orders = yaml.safe_load(files["assets/raw_orders.yaml"])
    assert (orders["partition"], str(orders["start"])) == ("day", "2024-03-01")
    assert orders["description"] == "Orders of one day."
    assert orders["tags"] == ["shop"]
    assert orders["command"] == [
        "python3", "jobs/dagster_work.py", "asset", "-m", "shop.jobs", "raw/orders", "%Y-%m-%d",
    ]  # fmt: skip
    assert "# What the tills send.\n" in files["assets/raw_orders.yaml"]
    revenue = yaml.safe_load(files["assets/revenue.yaml"])
    assert revenue["depends"] == ["clean"]
    assert revenue["owner"] == "finance"
    assert revenue["trigger"] == {"cron": "0 7 * * *", "catch_up": "latest"}
    nightly = yaml.safe_load(files["assets/nightly.yaml"])
    assert nightly["trigger"] == {"cron": "0 1 * * *", "catch_up": "latest"}


def test_the_new_project_is_valid(tmp_path: Path) -> None:
    """Would catch: an asset that validate refuses, and names that collide after cleaning."""
    more = "from dagster import asset\n\n@asset(key='raw_orders')\ndef one():\n    pass\n"
    root = project(tmp_path / "origin", **{"shop/jobs.py": JOBS, "shop/more.py": more})
    response = import_project("dagster", root, tmp_path / "new", "test", Silent())
    assert response.validate is not None
    assert response.validate.ok, response.validate.problems


def test_weeks_and_months(tmp_path: Path) -> None:
    """Would catch: weeks from Sunday to Sunday carried as weeks from Monday."""
    text = """
from dagster import MonthlyPartitionsDefinition, WeeklyPartitionsDefinition, asset

@asset(partitions_def=WeeklyPartitionsDefinition("2024-03-04"))
def from_sunday(): ...

@asset(partitions_def=WeeklyPartitionsDefinition("2024-03-04", day_offset=1))
def from_monday(): ...

@asset(partitions_def=MonthlyPartitionsDefinition("2024-03-01", timezone="Europe/Berlin"))
def monthly(): ...
"""
    imported = read_project(project(tmp_path, **{"shop/assets.py": text}))
    assert verdicts(imported) == {
        "from_sunday": "person",
        "from_monday": "command",
        "monthly": "command",
    }
    fields = yaml.safe_load(imported.files["assets/monthly.yaml"])
    assert (fields["start"], fields["timezone"]) == ("2024-03", "Europe/Berlin")


def test_bad_files_are_items(tmp_path: Path) -> None:
    """Would catch: one bad file that ends the import."""
    imported = read_project(project(tmp_path, **{"shop/bad.py": "import dagster\nclass (:\n"}))
    assert verdicts(imported)["shop/bad.py"] == "person"


def test_the_program_names_the_partition(tmp_path: Path) -> None:
    """Would catch: a key in another format than Dagster's."""
    files = read_project(project(tmp_path / "origin", **{"shop/jobs.py": JOBS})).files
    program = tmp_path / "dagster_work.py"
    program.write_text(files["jobs/dagster_work.py"], encoding="utf-8")
    fake = tmp_path / "bin/dagster"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > called\n', encoding="utf-8")
    fake.chmod(0o755)
    context = tmp_path / "context.json"
    interval = {"start": "2024-03-01T05:00:00+00:00", "end": "2024-03-01T06:00:00+00:00"}
    context.write_text(json.dumps({"interval": interval}), encoding="utf-8")
    environment = {
        **os.environ,
        "PATH": f"{fake.parent}:{os.environ['PATH']}",
        "HEADRACE_CONTEXT": str(context),
        "DAGSTER_PROJECT": str(tmp_path),
    }
    words = ["asset", "-f", "a.py", "raw/x", "%Y-%m-%d-%H:%M"]
    subprocess.run([sys.executable, str(program), *words], env=environment, check=True)
    called = (tmp_path / "called").read_text(encoding="utf-8").split()
    assert called == [
        "asset", "materialize", "-f", "a.py", "--select", "raw/x", "--partition", "2024-03-01-05:00",
    ]  # fmt: skip


def test_partitions_by_key_are_carried(tmp_path: Path) -> None:
    """Would catch: `[day × static key]` for a person, or a key in another order than Dagster's."""
    text = """
import dagster as dg

day = dg.DailyPartitionsDefinition("2024-03-01")
areas = dg.StaticPartitionsDefinition(["eu", "us"])

@dg.asset(partitions_def=areas, group_name="g", owners=["team:Data"])
def by_area(): ...

@dg.asset(partitions_def=dg.MultiPartitionsDefinition({"day": day, "area": areas}))
def crossed(): ...

@dg.asset(partitions_def=dg.MultiPartitionsDefinition({"a": areas, "b": areas}))
def two_keys(): ...

@dg.asset(partitions_def=dg.StaticPartitionsDefinition(keys()))
def unknown(): ...

@dg.asset(partitions_def=day, owners=["team:data"])
def daily(): ...

job = dg.define_asset_job("job", selection=dg.AssetSelection.assets(daily))
each_day = dg.build_schedule_from_partitioned_job(job, hour_of_day=5)
group = dg.define_asset_job("group", selection=dg.AssetSelection.groups("g"))
weekly = dg.ScheduleDefinition(job=group, cron_schedule="0 7 * * 1")
"""
    root = project(tmp_path / "origin", **{"shop/assets.py": text})
    imported = read_project(root)
    found = verdicts(imported)
    assert {name: found[name] for name in ("by_area", "crossed", "two_keys", "unknown")} == {
        "by_area": "command", "crossed": "command", "two_keys": "person", "unknown": "person",
    }  # fmt: skip
    assert (found["job_schedule"], found["group_schedule"]) == ("carried", "carried")
    both = yaml.safe_load(imported.files["assets/crossed.yaml"])
    assert both["partition"] == ["day", {"key": "area", "values": ["eu", "us"]}]
    assert both["command"][-1] == "{key}|%Y-%m-%d"
    by_area = yaml.safe_load(imported.files["assets/by_area.yaml"])
    assert by_area["partition"] == {"key": "key", "values": ["eu", "us"]}
    assert by_area["trigger"]["cron"] == "0 7 * * 1"
    daily = yaml.safe_load(imported.files["assets/daily.yaml"])
    assert daily["trigger"]["cron"] == "0 5 * * *"
    assert imported.files["owners.yaml"].lower().count("data") == 1
    response = import_project("dagster", root, tmp_path / "new", "test", Silent())
    assert response.validate is not None
    assert response.validate.ok, response.validate.problems


def test_what_starts_an_asset_does_not_vanish(tmp_path: Path) -> None:
    """Would catch: a job of assets that are for a person, or of assets that nobody knows, called
    carried; and conditions by which Dagster starts an asset, of which nothing is said."""
    text = """
import dagster as dg

every = dg.DailyPartitionsDefinition("2024-03-01", hour_offset=2)

@dg.asset(partitions_def=every)
def late(): ...

@dg.asset(automation_condition=dg.AutomationCondition.on_cron("@hourly"))
def eager(): ...

@dg.asset(auto_materialize_policy=dg.AutoMaterializePolicy.eager())
def after(eager): ...

outside = dg.define_asset_job("outside", selection=["late", "eager"])
unknown = dg.define_asset_job("unknown", selection="*eager")
known = dg.define_asset_job("known", selection=["eager"])
"""
    imported = read_project(project(tmp_path, **{"shop/assets.py": text}))
    items = {item.id: item for item in imported.items}
    found = {name: items[name].verdict.value for name in ("outside", "unknown", "known")}
    assert found == {"outside": "person", "unknown": "person", "known": "carried"}
    assert "late" in items["outside"].why and "*eager" in items["unknown"].original
    assert "automation_condition" in str(items["eager"].todo)
    assert "auto_materialize_policy" in str(items["after"].todo)


PURE = """
import pandas as pd
import dagster as dg

day = dg.DailyPartitionsDefinition("2024-03-01")
areas = dg.StaticPartitionsDefinition(["eu", "us"])
both = dg.MultiPartitionsDefinition({"day": day, "area": areas})
RATE = 2

@dg.asset
def orders() -> pd.DataFrame:
    return pd.DataFrame({"id": [1, 2, 3], "who": ["a", "b", "a"], "net": [1.5, 2.0, 4.0]})

@dg.asset
def totals(orders: pd.DataFrame) -> pd.DataFrame:
    sums = orders.groupby("who", as_index=False)["net"].sum()
    return sums.assign(net=sums["net"] * RATE)

@dg.asset
def large(orders: pd.DataFrame) -> list[dict]:
    return [{"id": int(row.id), "net": row.net} for row in orders.itertuples() if row.net > 1.9]

@dg.asset(deps=[totals])
def count(large: list[dict]) -> list[dict]:
    return [{"n": len(large), "net": sum(row["net"] for row in large)}]

@dg.asset(partitions_def=both)
def sales(context: dg.AssetExecutionContext) -> list[dict]:
    keys = context.partition_key.keys_by_dimension
    context.log.info("sales")
    return [{"what": context.partition_key, "day": keys["day"], "area": keys["area"]}]

nightly = dg.define_asset_job("nightly", selection="*")
at_two = dg.ScheduleDefinition(job=nightly, cron_schedule="0 2 * * *")
"""


def test_functions_of_rows_are_carried_with_their_rows(tmp_path: Path) -> None:
    """Would catch: a plain project of which nothing is carried, and rows that differ."""
    root = project(tmp_path / "origin", **{"shop/assets.py": PURE})
    response = import_project("dagster", root, tmp_path / "new", "test", Silent())
    assert response.validate is not None
    assert response.validate.ok, response.validate.problems
    found = verdicts(read_project(root))
    assert set(found.values()) == {"carried"}, found
    session = headrace.Session(tmp_path / "new", now="2024-03-03T04:00:00+00:00")
    for name in ("orders", "totals", "large", "count"):
        session.run(name)
    session.run("sales", partitions=["2024-03-02/eu"])
    read = headrace.Session(tmp_path / "new").read
    assert [tuple(row.values()) for row in read("orders").rows()] == [
        (1, "a", 1.5), (2, "b", 2.0), (3, "a", 4.0),
    ]  # fmt: skip
    assert [tuple(row.values()) for row in read("large").rows()] == [(2, 2.0), (3, 4.0)]
    assert [tuple(row.values()) for row in read("totals").rows()] == [("a", 11.0), ("b", 4.0)]
    assert [tuple(row.values()) for row in read("count").rows()] == [(2, 6.0)]
    sold = [tuple(row.values()) for row in read("sales").rows()]
    assert ("eu|2024-03-02", "2024-03-02", "eu") in [row[:3] for row in sold]


OUTSIDE = [
    "@dg.asset\ndef report(orders):\n    print(orders)",
    "@dg.asset(deps=['orders'])\ndef report():\n    run('dbt')",
    "@dg.asset_check(asset='orders')\ndef report(orders):\n    return dg.AssetCheckResult(passed=True)",
    "defs = dg.Definitions(resources={'io_manager': other()})",
]
IMPURE = [
    "return pd.read_csv('x.csv')", "return pd.DataFrame({'t': [pd.Timestamp.now()]})",
    "return pd.DataFrame({'t': [open('x').read()]})", "return helper()",
    "import os\n    return pd.DataFrame({'t': [os.environ['X']]})",
    "return pd.DataFrame({'t': [context.run_id]})", "return pd.DataFrame(list({'a', 'b'}))",
]  # fmt: skip


def test_what_something_outside_shares_stays_in_dagster(tmp_path: Path) -> None:
    """Would catch: an asset whose rows a command goes on reading where Dagster stored them."""
    plain = (
        "import dagster as dg\nimport pandas as pd\n@dg.asset\n"
        "def orders({}) -> pd.DataFrame:\n    {}\n"
    )
    texts = [plain.format("", "return pd.DataFrame({'a': [1]})") + more for more in OUTSIDE]
    texts += [plain.format("context" if "context" in body else "", body) for body in IMPURE]
    for number, text in enumerate(texts):
        root = project(tmp_path / str(number), **{"shop/assets.py": text})
        assert verdicts(read_project(root))["orders"] == "command", text
