"""`import prefect`: flows and tasks from their syntax trees, each once, as commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from headrace.project.session import Silent
from headrace_import.importers import ImportedProject, Verdict
from headrace_import.importers.prefect import read_project
from headrace_import.services.project import import_project

ETL = '''
from datetime import timedelta
from prefect import flow, task
from prefect.client.schemas.schedules import CronSchedule
from helpers import notify

open("executed", "w").close()

@task(retries=2)
def extract(day):
    return [day]

@task(name="clean rows")
def clean(rows):
    return rows

@task
def never_called():
    pass

@flow
def load_shop(rows):
    return clean(rows)

# Each morning.
@flow(description="Orders of the shop")
def shop_orders(day: str = "2024-01-01"):
    """Not this one."""
    raw = extract.submit(day)
    rows = clean(raw)
    for part in [rows]:
        load_shop(part)
    helper(rows)

def helper(rows):
    notify.with_options(retries=1)(rows)

if __name__ == "__main__":
    shop_orders.serve(name="daily", cron="0 6 * * *", tags=["shop"])
'''
HELPERS = """
from prefect import task
PASSWORD = "hunter2!x"

@task
def notify(rows):
    pass
"""


def project(root: Path, **files: str) -> Path:
    for name, text in {"flows/etl.py": ETL, "flows/helpers.py": HELPERS, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def verdicts(imported: ImportedProject) -> dict[str, tuple[Verdict, tuple[str, ...]]]:
    ids = [item.id for item in imported.items]
    assert len(set(ids)) == len(ids)
    return {item.id: (item.verdict, item.created) for item in imported.items}


def test_flows_are_commands_with_their_tasks(tmp_path: Path) -> None:
    """Would catch: a task that is lost or listed twice, a subflow that runs by itself, too, and
    code of the project that is run.
    """
    imported = read_project(project(tmp_path))
    asset = ("assets/shop_orders.yaml",)
    assert verdicts(imported) == {
        "shop-orders": (Verdict.COMMAND, asset),
        "load-shop": (Verdict.COMMAND, asset),
        "shop-orders.extract": (Verdict.COMMAND, asset),
        "shop-orders.clean rows": (Verdict.COMMAND, asset),
        "shop-orders.notify": (Verdict.COMMAND, asset),
        "load-shop.clean rows": (Verdict.COMMAND, asset),
        "never_called": (Verdict.PERSON, ()),
    }
    edges = {(item.origin, item.target) for item in imported.dependencies}
    assert ("shop-orders.extract", "shop-orders.clean rows") in edges
    assert ("shop-orders.clean rows", "load-shop") in edges
    assert not [*tmp_path.rglob("executed")]
    assert [item.name for item in imported.secrets] == ["PASSWORD"]
    assert "hunter2" not in "".join(imported.files.values())


def test_the_asset_keeps_schedule_and_description(tmp_path: Path) -> None:
    """Would catch: a deployment's schedule that is dropped."""
    text = read_project(project(tmp_path)).files["assets/shop_orders.yaml"]
    assert text.startswith("# Prefect: shop-orders (flows/etl.py:")
    assert "# Each morning.\n" in text
    fields = yaml.safe_load(text)
    assert fields["trigger"] == {"cron": "0 6 * * *", "catch_up": "latest"}
    assert fields["description"] == "Orders of the shop"
    assert fields["tags"] == ["shop"]
    assert fields["command"] == ["python3", "jobs/prefect_flow.py", "flows/etl.py", "shop_orders"]


def test_prefect_yaml_names_schedules(tmp_path: Path) -> None:
    """Would catch: deployments in YAML that are ignored, and intervals read as another unit."""
    declared = """
deployments:
- name: often
  entrypoint: flows/etl.py:load_shop
  schedules: [{interval: 3600}]
- name: local
  entrypoint: flows/second.py:second
  schedule: {cron: "30 7 * * 1", timezone: Europe/Berlin}
"""
    second = "from prefect import flow\n\n@flow\ndef second():\n    pass\n"
    imported = read_project(
        project(tmp_path, **{"prefect.yaml": declared, "flows/second.py": second})
    )
    assert verdicts(imported)["load-shop"] == (Verdict.PERSON, ())
    fields = yaml.safe_load(imported.files["assets/second.yaml"])
    assert fields["trigger"] == {
        "cron": "30 7 * * 1",
        "catch_up": "latest",
        "timezone": "Europe/Berlin",
    }


def test_bad_files_are_items(tmp_path: Path) -> None:
    """Would catch: one bad file that ends the import."""
    imported = read_project(
        project(tmp_path, **{"flows/bad.py": "import prefect\ndef f(:\n", "prefect.yaml": "a: ["})
    )
    results = verdicts(imported)
    assert results["flows/bad.py"] == results["prefect.yaml"] == (Verdict.PERSON, ())
    assert "shop-orders" in results


def test_the_new_project_is_valid(tmp_path: Path) -> None:
    """Would catch: an asset that validate refuses."""
    root = project(tmp_path / "origin")
    response = import_project("prefect", root, tmp_path / "new", "test", Silent())
    assert response.validate is not None
    assert response.validate.ok, response.validate.problems


def test_the_program_runs_a_flow_with_its_imports(tmp_path: Path) -> None:
    """Would catch: a program that can't find modules next to the flow's file."""
    flow = (
        "import shared\n\ndef go():\n    open('ran', 'w').write(shared.WORD)\n"
        "    async def later(): open('later', 'w').close()\n    return later()\n"
    )
    origin = tmp_path / "origin"
    (origin / "flows").mkdir(parents=True)
    (origin / "flows/go.py").write_text(flow, encoding="utf-8")
    (origin / "flows/shared.py").write_text("WORD = 'word'\n", encoding="utf-8")
    program = tmp_path / "prefect_flow.py"
    program.write_text(
        read_project(project(tmp_path / "other")).files["jobs/prefect_flow.py"], encoding="utf-8"
    )
    environment = {**os.environ, "PREFECT_PROJECT": str(origin)}
    command = [sys.executable, str(program), "flows/go.py", "go"]
    subprocess.run(command, env=environment, check=True)
    assert (origin / "ran").read_text(encoding="utf-8") == "word"
    assert (origin / "later").exists()


DEPLOYED = """
definitions:
  each: &each {tags: [nightly], schedules: [{interval: 3600, anchor_date: 2024-13-99}]}
deployments:
- {name: a, entrypoint: "flows/second.py:second", %s}
"""
SECOND = "from prefect import flow\n\n@flow\ndef second():\n    pass\n"


@pytest.mark.parametrize(
    ("schedule", "trigger"),
    [
        ("<<: *each", {"interval": "1h"}),
        ("schedules: [{interval: 1e400}]", "manual"),
        ("schedules: [{interval: -5}]", "manual"),
        ("schedules: [{interval: .nan}]", "manual"),
        ("schedules: [{interval: 1.5}]", "manual"),
        ("schedules: [{cron: 0 6 * * *, active: no}]", "manual"),
        ("schedules: [{cron: 0 6 * * *, active: Off}, {interval: 60}]", {"interval": "1m"}),
        ("schedules: {cron: 0 6 * * *}", "manual"),
    ],
)
def test_odd_schedules_are_read_as_prefect_reads_them(
    tmp_path: Path, schedule: str, trigger: object
) -> None:
    """Would catch: a date that ends the import, and a trigger that Prefect doesn't have."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/second.py").write_text(SECOND)
    (tmp_path / "prefect.yaml").write_text(DEPLOYED % schedule)
    imported = read_project(tmp_path)
    assert verdicts(imported) == {"second": (Verdict.COMMAND, ("assets/second.yaml",))}
    assert yaml.safe_load(imported.files["assets/second.yaml"])["trigger"] == trigger


def test_a_deep_yaml_file_is_an_item(tmp_path: Path) -> None:
    """Would catch: seconds, or the end of an import, for a nest of brackets."""
    deep = "deployments: " + "[" * 5000 + "]" * 5000
    imported = read_project(project(tmp_path, **{"prefect.yaml": deep}))
    (item,) = [item for item in imported.items if item.id == "prefect.yaml"]
    assert item.verdict is Verdict.PERSON
    assert "levels of nesting" in item.why
    assert "shop-orders" in verdicts(imported)
