"""Time zones, ends and starts of DAGs, and what catches up."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow_projects import assert_valid, by_id, imported, one_dag

from headrace_import.importers import ImportedProject

QUERY = (
    "DELETE FROM t WHERE day = '{{ ds }}'; INSERT INTO t SELECT day FROM s WHERE day = '{{ ds }}'"
)
STAMPS = (
    "INSERT INTO t SELECT '{{ ds }}' AS day, x FROM s WHERE at >= '{{ data_interval_start }}'"
    " AND at < '{{ data_interval_end }}'"
)
NEW_YORK = 'pendulum.datetime(2026, 11, 20, tz="America/New_York")'


def dag(root: Path, start: str, schedule: str, sql: str = QUERY, more: str = "") -> ImportedProject:
    """Import a DAG with a task of SQL and one of Bash."""
    text = (
        "import pendulum, pytz\nfrom zoneinfo import ZoneInfo\n"
        f"with DAG('w', schedule={schedule!r}, start_date={start}{more}):\n"
        f"    PostgresOperator(task_id='q', sql={sql!r})\n"
        "    BashOperator(task_id='b', bash_command='x')\n"
    )
    return imported(root, {"dags/w.py": text})


STARTS = [
    NEW_YORK,
    'datetime(2026, 11, 20, tzinfo=pendulum.timezone("America/New_York"))',
    'datetime(2026, 11, 20, tzinfo=ZoneInfo("America/New_York"))',
    'datetime(2026, 11, 20).replace(tzinfo=pytz.timezone("America/New_York"))',
    'pendulum.parse("2026-11-20", tz="America/New_York")',
]


@pytest.mark.parametrize("start", STARTS)
def test_the_time_zone_of_a_dag_is_that_of_its_trigger(tmp_path: Path, start: str) -> None:
    """Would catch: 05:30 in New York that fires at 05:30 UTC."""
    project = dag(tmp_path / "a", start, "30 5 * * *")
    for path in ("assets/t.sql", "assets/w_b.yaml"):
        text = project.files[path]
        assert "cron: 30 5 * * *, timezone: America/New_York" in text
        assert "start: 2026-11-20" in text
    assert "command: [python3, jobs/airflow_task.py, w, b, '05:30', America/New_York]" in text
    assert_valid(project, tmp_path / "h")


def test_partitions_have_the_dates_that_airflow_prints(tmp_path: Path) -> None:
    """Midnight in Zurich is 23:00 UTC of the day before, and so is `{{ ds }}`."""
    start = 'datetime(2026, 11, 20, tzinfo=pendulum.timezone("Europe/Zurich"))'
    project = dag(tmp_path / "a", start, "@daily")
    assert by_id(project)["w.q"].verdict.value == "carried"
    assert "start: 2026-11-19" in project.files["assets/t.sql"]
    assert "timezone: Europe/Zurich" in project.files["assets/t.sql"]
    assert_valid(project, tmp_path / "h")


@pytest.mark.parametrize(
    ("start", "schedule", "sql"),
    [
        ('pendulum.datetime(2026, 11, 20, tz="Europe/Zurich")', "@daily", STAMPS),
        ('pendulum.datetime(2026, 11, 20, tz="Europe/Zurich")', "@monthly", QUERY),
        ('pendulum.datetime(2026, 11, 20, tz="Europe/London")', "30 0 * * *", QUERY),
        ("datetime(2026, 11, 20, tzinfo=Variable.get('zone'))", "@daily", QUERY),
        ('pendulum.datetime(2026, 11, 20, tz="Asia/Kolkata")', "@hourly", QUERY),
    ],
)
def test_an_interval_that_is_no_partition_in_utc(
    tmp_path: Path, start: str, schedule: str, sql: str
) -> None:
    """Would catch: rows of a local day published as those of a day in UTC."""
    project = dag(tmp_path, start, schedule, sql)
    assert by_id(project)["w.q"].verdict.value != "carried"


def test_a_timedelta_counts_from_the_start(tmp_path: Path) -> None:
    """Would catch: intervals from 06:30 to 06:30 taken for days."""
    text = (
        "with DAG('w', schedule=timedelta(days=1), start_date=datetime(2026, 11, 20, 6, 30)):\n"
        f"    PostgresOperator(task_id='q', sql={STAMPS!r})\n"
    )
    project = imported(tmp_path, {"dags/w.py": text})
    assert by_id(project)["w.q"].verdict.value == "command"


def test_an_end_date_is_named(tmp_path: Path) -> None:
    """Would catch: a DAG that ended, and runs on here without a word."""
    end = ', end_date=pendulum.datetime(2026, 11, 22, tz="UTC")'
    project = dag(tmp_path, NEW_YORK, "30 5 * * *", more=end)
    for item in project.items:
        assert "end_date (2026-11-22)" in item.todo


def test_assets_of_a_dag_without_catchup_catch_up_with_the_latest_interval(tmp_path: Path) -> None:
    """Would catch: a task after another one that starts for each day since the DAG's start."""
    body = (
        "poll = BashOperator(task_id='poll', bash_command='x')\n"
        "poll >> BashOperator(task_id='use', bash_command='y')"
    )
    project = one_dag(tmp_path / "a", body)
    for name in ("d_poll", "d_use"):
        text = project.files[f"assets/{name}.yaml"]
        assert "trigger: {cron: 0 0 * * *, catch_up: latest}" in text
        assert "start: 2024-01-01" not in text
    assert "depends: [d_poll]" in text
    assert_valid(project, tmp_path / "h")
