"""A table is carried only if nothing that stays in Airflow writes or reads it.

Each case published other rows than Airflow's table has: the asset computed its query, and a task
that stayed outside changed, filled or read the table of the origin.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow_projects import assert_valid, imported, one_dag, verdicts

FILL = (
    "m = PostgresOperator(task_id='m',"
    " sql='TRUNCATE mart.m; INSERT INTO mart.m SELECT a FROM raw.s')"
)


def _sql(task: str, statement: str, **more: object) -> str:
    given = "".join(f", {name}={value!r}" for name, value in more.items())
    return f"{task} = PostgresOperator(task_id={task!r}, sql={statement!r}{given})"


READ = "TRUNCATE mart.n; INSERT INTO mart.n SELECT a FROM mart.m"
CHANGES = [
    "UPDATE mart.m SET a = 50",
    "DELETE FROM mart.m WHERE a > 1",
    "INSERT INTO mart.m VALUES (1)",
    "INSERT INTO mart.m SELECT b FROM raw.t",
    "MERGE INTO mart.m USING raw.t ON m.a = t.a WHEN MATCHED THEN UPDATE SET a = t.a + 1",
    "CALL refresh()",
    "SELECT refresh_all()",
    "ALTER TABLE mart.m ADD COLUMN b int",
    "COPY mart.m FROM 's3://x'",
]
OUTSIDE = [
    *([FILL, _sql("u", statement), "m >> u"] for statement in CHANGES),
    # without an order, and by names that differ
    [FILL, _sql("u", "UPDATE m SET a = 50")],
    [FILL, _sql("u", "UPDATE mart.m SET a = 50", postgres_conn_id="other")],
    [FILL, _sql("u", "UPDATE {{ params.t }} SET a = 50", params={"t": "mart.m"})],
    [FILL, _sql("u", "UPDATE {{ params.t }} SET a = 50")],
    [FILL, _sql("u", "UPDATE {{ var.value.t }} SET a = 50")],
    [FILL, _sql("n", READ, postgres_conn_id="other"), "m >> n"],
    # what comes before fills what is read: a source doesn't wait for it
    [FILL, "PythonOperator(task_id='load', python_callable=print) >> m"],
    [FILL, "PythonOperator(task_id='l', python_callable=print) >> EmptyOperator(task_id='e') >> m"],
    [FILL, "FileSensor(task_id='f', filepath='/data/{{ ds }}.csv') >> m"],
    [FILL, "def f():\n    hook.run('insert into raw.s values (1)')",
     "PythonOperator(task_id='p', python_callable=f)"],
    [FILL, "SQL = 'insert into raw.s values (1)'", "def g():\n    hook.run(SQL)",
     "def f():\n    g()", "PythonOperator(task_id='p', python_callable=f)"],
    [FILL, "@task\ndef load(table):\n    hook.run(table)\nload('raw.s')"],
    [FILL, "BashOperator(task_id='b', bash_command='python fill.py')"],
    [FILL, "class Job:\n    def run(self):\n        hook.run('insert into raw.s values (1)')",
     "def f():\n    Job().run()", "PythonOperator(task_id='p', python_callable=f)"],
    # what comes after reads a table that nobody fills any more
    [FILL, "m >> BashOperator(task_id='b', bash_command='report')"],
    [FILL, "BashOperator(task_id='b', bash_command='psql -c \"copy mart.m to stdout\"')"],
    # two carried queries in no order
    [FILL, _sql("n", READ)],
    [FILL, _sql("n", READ), "n >> m"],
]  # fmt: skip


@pytest.mark.parametrize("lines", OUTSIDE)
def test_a_table_that_something_outside_shares_stays_in_airflow(
    tmp_path: Path, lines: list[str]
) -> None:
    (tmp_path / "a/dags").mkdir(parents=True)
    (tmp_path / "a/dags/fill.py").write_text("run('insert into raw.s values (1)')")
    project = one_dag(tmp_path / "a", "\n".join(lines))
    found = verdicts(project)
    assert found["d.m"] == "command"
    assert found.get("d.n", "command") == "command"
    assert_valid(project, tmp_path / "h")


TOGETHER = [
    [FILL],
    [FILL, _sql("n", READ), "m >> n"],
    [FILL, _sql("n", READ), "m >> EmptyOperator(task_id='e') >> n"],
    [FILL, "BashOperator(task_id='b', bash_command='python other.py')"],
    ["from airflow.operators.email import EmailOperator", FILL,
     "m >> EmailOperator(task_id='e', to='a@example.com', subject='mart.m')"],
]  # fmt: skip


@pytest.mark.parametrize("lines", TOGETHER)
def test_queries_whose_tables_nothing_outside_shares_are_carried(
    tmp_path: Path, lines: list[str]
) -> None:
    project = one_dag(tmp_path / "a", "\n".join(lines))
    found = verdicts(project)
    assert (found["d.m"], found.get("d.n", "carried")) == ("carried", "carried")
    assert any("raw.s from sources" in item.todo for item in project.items)
    programs = (
        "unless a program in Airflow uses mart.m or raw.s: what they do isn't read here (d.b)"
    )
    runs_one = any("python other.py" in line for line in lines)
    assert max(item.todo.count(programs) for item in project.items) == runs_one, "told once"
    assert_valid(project, tmp_path / "h")


def test_a_sensor_whose_target_is_for_a_person_is_no_dependency(tmp_path: Path) -> None:
    """Would catch: assets that wait for nothing, because what the sensor waited for is no asset."""
    project = imported(
        tmp_path / "a",
        {
            "dags/d.py": "with DAG('a', schedule='@daily', start_date=START):\n"
            "    BashOperator(task_id='x', bash_command='x', trigger_rule='all_done')\n"
            "with DAG('b', schedule='@daily', start_date=START):\n"
            "    w = ExternalTaskSensor(task_id='w', external_dag_id='a', external_task_id='x')\n"
            f"    {FILL}\n    e = EmptyOperator(task_id='e')\n"
            "    w >> e >> m >> BashOperator(task_id='last', bash_command='x')\n"
        },
    )
    assert verdicts(project) == {
        "a.x": "person", "b.w": "person", "b.e": "carried", "b.m": "command", "b.last": "command",
    }  # fmt: skip
    notes = {item.id: item.todo for item in project.items}
    assert "b.w" in notes["b.m"], notes["b.m"]
    assert_valid(project, tmp_path / "h")
