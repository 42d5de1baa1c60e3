"""Whatever may build a task leaves an item: a call, a key or a length that isn't known never vanishes."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow_projects import assert_valid, imported, one_dag

from headrace_import.importers.airflow import read_project

# files that build tasks → their tasks, as id or as file:line; the others stay as they are
VANISHED = {
    "a DAG in a dictionary whose keys aren't known": (
        "dags = make()\nwith dags['x'] as dag:\n    EmptyOperator(task_id='a')\n", "*.a"
    ),
    "a DAG given by name from a dictionary": (
        "EmptyOperator(task_id='a', dag=DAGS['x'])\n", "*.a"
    ),
    "two tasks of DAGs that aren't known": (
        ("EmptyOperator(task_id='a', dag=D[0])\nEmptyOperator(task_id=name(), dag=D[1])\n"
        "EmptyOperator(task_id=name(), dag=D[2])\n"), "*.a *.* *.*@20"
    ),
    "an imported function below @task": (
        "from company.tasks import load\nwith DAG('d'):\n    load('x') >> EmptyOperator(task_id='e')\n",
        "d.* d.e",
    ),
    "a task decorator of another package": (
        "from company import etl\n@etl(retries=1)\ndef load():\n    pass\nwith DAG('d'):\n    load()\n",
        "d.*",
    ),
    "a decorator of the project": (
        "def etl(f):\n    return task(f)\n@etl\ndef load():\n    pass\nwith DAG('d'):\n    load()\n",
        "d.load",
    ),
    "a factory of DAGs": (
        "from company.factory import build\npipeline = build('sales.yaml')\n", "dags/f.py"
    ),
    "a factory of DAGs, beside a DAG": (
        ("from company.factory import build_dag\nx = build_dag('s')\nwith DAG('d'):\n    EmptyOperator("
        "task_id='e')\n"), "*.* d.e",
    ),
    "a factory of tasks": (
        "from company.factory import loads\ndag = DAG('d')\nloads(dag, ['x', 'y'])\n", "d.*"
    ),
    "assets of Airflow 3, which are DAGs": (
        ("from airflow.sdk import Asset, asset\n@asset(schedule='@daily')\ndef raw():\n    pass\n"
        "@asset.multi(schedule=raw, outlets=[Asset('x')])\ndef both():\n    pass\n"),
        "raw.raw both.both",
    ),
    "a registry": (
        "MAKERS = registry()\nwith DAG('d'):\n    MAKERS['load']('x')\n", "d.*"
    ),
    "mapping of an imported operator": (
        ("from company import Load\nwith DAG('d'):\n    Load.partial(task_id='l').expand(x=[1])\n"
        "    Load.partial(a=1).expand_kwargs([1])\n"), "d.l d.*"
    ),
    "mapping of a function given to task()": (
        ("def f(x):\n    pass\nwith DAG('d'):\n    task(f).expand(x=[1])\n"
        "    task(other.f).expand(x=[1])\n"), "d.f dags/f.py:22"
    ),
    "a length that isn't known": (
        ("with DAG('d'):\n    for n in range(count()):\n        EmptyOperator(task_id=f't{n}')\n"
        "    x = [EmptyOperator(task_id='l') for _ in rows()]\n"), "d.t* d.l d.*"
    ),
    "a function that nothing calls": (
        "def build():\n    with DAG('d'):\n        EmptyOperator(task_id='a')\n", "dags/f.py:19 dags/f.py:20"
    ),
    "an exception's handler": (
        "with DAG('d'):\n    try:\n        x()\n    except ValueError:\n        BashOperator(task_id='a')\n",
        "d.* dags/f.py:22",
    ),
    "a class of DAGs": (
        "class Mine(DAG):\n    pass\nwith Mine('d'):\n    EmptyOperator(task_id='a')\n", "*.a"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VANISHED)
def test_what_may_build_a_task_leaves_an_item(tmp_path: Path, name: str) -> None:
    body, ids = VANISHED[name]
    project = imported(tmp_path / "a", {"dags/f.py": body})
    given = [f"*.* (dags/f.py:{x[4:]})" if x.startswith("*.*@") else x for x in ids.split()]
    assert sorted(item.id for item in project.items) == sorted(given)
    unknown = [item for item in project.items if "*" in item.id or "/" in item.id]
    assert {item.verdict.value for item in unknown} <= {"person"}
    assert all(item.why and item.todo for item in unknown)
    assert_valid(project, tmp_path / "h")


@pytest.mark.parametrize(
    "body",
    [
        "x = datetime(2024, 1, 1).isoformat()\ny = Variable.get('x').split()\nEmptyOperator(task_id='e')",
        "if False:\n    EmptyOperator(task_id='never')\nEmptyOperator(task_id='e')",
        "for name in []:\n    EmptyOperator(task_id=name)\nEmptyOperator(task_id='e')",
        "from company import Table\nEmptyOperator(task_id='e', params={'x': Table('x')})",
    ],
)
def test_what_builds_nothing_leaves_none(tmp_path: Path, body: str) -> None:
    """Would catch: an item for each call of a DAG file."""
    project = one_dag(tmp_path, body)
    assert [item.id for item in project.items] == ["d.e"]


def test_a_query_beside_a_call_that_is_not_followed_is_not_carried(tmp_path: Path) -> None:
    """Would catch: an asset that waits for nothing, since the load before it isn't known."""
    sql = "TRUNCATE t; INSERT INTO t SELECT a FROM s"
    query = f"q = PostgresOperator(task_id='q', sql={sql!r})\n"
    for number, before in enumerate(
        (
            "from company import load\nload('s') >> q",
            "from company import load\nload(dag)",
            "from company import load\nload('s')",
            "task(other.load).expand(x=[1]) >> q",
            "from company import build_dag\nbuild_dag('s')",
        )
    ):
        project = one_dag(tmp_path / str(number), query + before)
        (item,) = (item for item in project.items if item.id == "d.q")
        assert item.verdict == "command", before


def test_the_path_may_be_the_package_itself(tmp_path: Path) -> None:
    """Would catch: 75 of 108 tasks lost, because `import shop.tasks` is a file of PATH/."""
    files = {
        "shop/__init__.py": "",
        "shop/tasks.py": "def build():\n    EmptyOperator(task_id='a')\n",
        "shop/dags/d.py": "from shop.tasks import build\nimport shop.tasks as t\n"
        "with DAG('d'):\n    build()\nwith DAG('e'):\n    t.build()\n",
    }
    imported(tmp_path, files)
    for root in (tmp_path, tmp_path / "shop"):
        assert sorted(item.id for item in read_project(root).items) == ["d.a", "e.a"]


def test_a_file_alone_finds_the_files_beside_it(tmp_path: Path) -> None:
    """Would catch: `import airflow dags/d.py` without the SQL files and modules beside it."""
    body = "from names import NAME\nwith DAG('d'):\n    PostgresOperator(task_id=NAME, sql='sql/q.sql')\n"
    files = {
        "dags/d.py": body,
        "dags/names.py": "NAME = 'q'\n",
        "dags/other.py": "with DAG('o'):\n    EmptyOperator(task_id='x')\n",
        "dags/sql/q.sql": "CREATE OR REPLACE TABLE t AS SELECT a FROM s",
    }
    imported(tmp_path, files)
    (item,) = read_project(tmp_path / "dags/d.py").items
    assert (item.id, item.verdict) == ("d.q", "carried")


def test_owners_that_differ_in_case_are_one(tmp_path: Path) -> None:
    project = one_dag(
        tmp_path / "a",
        "BashOperator(task_id='a', bash_command='x', owner='Data Team')\n"
        "BashOperator(task_id='b', bash_command='x', owner='data team')",
    )
    assert project.files["owners.yaml"].lower().count("data-team") == 1
    assert_valid(project, tmp_path / "h")
