"""Edges that a real Airflow builds of DAG files, beside those that the importer reads from them.

`make test-airflow` runs it. Airflow imports its own example DAGs and one with setups and teardowns;
the importer reads the same files without running them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.peers import Unavailable, environment
from headrace_import.importers import DependencyKind
from headrace_import.importers.airflow import read_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
DUMP = """
import json, sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow 2
    from airflow.models.dagbag import DagBag
bag = DagBag(sys.argv[1])
print("DAGS", json.dumps({
    dag.dag_id: {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}
    for dag in bag.dags.values()
}))
"""
TEARDOWNS = """
import datetime
from airflow.sdk import DAG, TaskGroup, setup, task, task_group, teardown
from airflow.providers.standard.operators.empty import EmptyOperator

START = datetime.datetime(2026, 3, 1)

def tasks(names):
    return [EmptyOperator(task_id=name) for name in names]

with DAG("nested", schedule=None, start_date=START):
    s1, t1, s2, t2, before = tasks(["s1", "t1", "s2", "t2", "before"])
    with t1.as_teardown(setups=s1):
        first, second = tasks(["first", "second"])
        first >> second
        tasks(["late"])[0] << before
        with t2.as_teardown(setups=s2):
            inner, = tasks(["inner"])
    after, = tasks(["after"])
    t1 >> after

with DAG("only_a_setup", schedule=None, start_date=START):
    s, x = tasks(["s", "x"])
    with s.as_setup():
        a, b = tasks(["a", "b"])
        a >> x

with DAG("groups", schedule=None, start_date=START):
    first, last = tasks(["first", "last"])
    with TaskGroup("g") as g:
        s, work, t, u = tasks(["s", "work", "t", "u"])
        s >> work >> t.as_teardown(setups=s)
        t >> u.as_teardown()
    with TaskGroup("h") as h:
        s3, work3, free = tasks(["s3", "work3", "free"])
        with s3.as_setup():
            work3 >> tasks(["t3"])[0].as_teardown()
    first >> g >> h >> last

with DAG("functions", schedule=None, start_date=START):
    @setup
    def begin():
        return "id"

    @teardown
    def end(value):
        print(value)

    @task
    def work():
        print("work")

    @task_group
    def section():
        @setup
        def inner_begin():
            return "id"

        @task
        def inner_work(value):
            print(value)

        @teardown
        def inner_end(value):
            print(value)

        value = inner_begin()
        inner_work(value) >> inner_end(value)

    with end(begin()):
        work()
        section()
"""


def _programs(peer: str) -> Path:
    try:
        return environment(peer)
    except Unavailable as error:
        pytest.skip(f"{peer} isn't here: {error}")


def _in_airflow(programs: Path, folder: Path, home: Path) -> dict[str, dict[str, list[str]]]:
    """Return DAG → task → those after it, as Airflow builds them from the files of a folder."""
    done = subprocess.run(
        [str(programs / "python"), "-c", DUMP, str(folder)],
        env={"AIRFLOW_HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("DAGS ")]
    assert lines, done.stderr[-2000:]
    found: dict[str, dict[str, list[str]]] = json.loads(lines[-1].removeprefix("DAGS "))
    return found


def _edges(tasks: dict[str, list[str]]) -> set[tuple[str, str]]:
    return {(task, after) for task, following in tasks.items() for after in following}


def _imported(folder: Path) -> tuple[dict[str, set[tuple[str, str]]], set[str]]:
    """Return DAG → its edges in the import, and the DAGs with names that only a run knows."""
    project = read_project(folder)
    group_of = {item.id: item.group for item in project.items}
    edges: dict[str, set[tuple[str, str]]] = {item.group: set() for item in project.items}
    for row in project.dependencies:
        dag = group_of[row.target]
        if row.how in (DependencyKind.EDGE, DependencyKind.XCOM) and group_of[row.origin] == dag:
            pair = (row.origin.removeprefix(f"{dag}."), row.target.removeprefix(f"{dag}."))
            edges[dag].add(pair)
    return edges, {item.group for item in project.items if "*" in item.id}


def test_setups_and_teardowns_have_airflows_edges(tmp_path: Path) -> None:
    """Would catch: an order of setups, work and teardowns that isn't Airflow's."""
    programs = _programs("airflow")
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "teardowns.py").write_text(TEARDOWNS)
    expected = _in_airflow(programs, folder, tmp_path / "home")
    found, _ = _imported(folder)
    assert set(expected) == {"nested", "only_a_setup", "groups", "functions"}
    for dag, tasks in expected.items():
        assert found[dag] == _edges(tasks), dag


@pytest.mark.parametrize("peer", ["airflow", "airflow2"])
def test_the_example_dags_have_airflows_edges(tmp_path: Path, peer: str) -> None:
    """Would catch: a way to write dependencies that the importer doesn't know."""
    programs = _programs(peer)
    (source,) = programs.parent.glob("lib/python*/site-packages/airflow/example_dags")
    folder = tmp_path / "dags"
    shutil.copytree(source, folder)
    expected = _in_airflow(programs, folder, tmp_path / "home")
    found, unknown = _imported(folder)
    compared = [dag for dag in expected if dag in found and dag not in unknown]
    assert len(compared) > 40, sorted(expected)
    differing = {}
    for dag in compared:
        # Some tasks are built only where a package is installed.
        edges = {pair for pair in found[dag] if expected[dag].keys() >= set(pair)}
        if edges != _edges(expected[dag]):
            differing[dag] = edges ^ _edges(expected[dag])
    assert differing == {}
