"""Airflow projects written into a folder, and their imports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import headrace
from headrace_import.importers import ImportedItem, ImportedProject
from headrace_import.importers.airflow import read_project

HEAD = """
from datetime import datetime, timedelta
from airflow import DAG
from airflow.datasets import Dataset
from airflow.decorators import dag, task, task_group
from airflow.models import Variable
from airflow.models.baseoperator import chain, cross_downstream
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import BranchPythonOperator, PythonOperator, ShortCircuitOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.postgres.operators.postgres import PostgresOperator
from airflow.sensors.external_task import ExternalTaskSensor
from airflow.sensors.filesystem import FileSensor
from airflow.utils.task_group import TaskGroup
START = datetime(2024, 1, 1)
"""


def imported(root: Path, files: Mapping[str, str | bytes]) -> ImportedProject:
    """Import a project of these files; those in Python get the usual imports."""
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            target.write_bytes(text)
        else:
            target.write_text(HEAD + text if path.endswith(".py") else text, encoding="utf-8")
    return read_project(root)


def one_dag(root: Path, body: str, schedule: str = '"@daily"') -> ImportedProject:
    """Import one DAG `d` with these lines as the body of `with DAG(…)`."""
    lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
    start = f'with DAG("d", schedule={schedule}, start_date=START, catchup=False) as dag:\n'
    return imported(root, {"dags/d.py": start + lines + "\n"})


def by_id(project: ImportedProject) -> dict[str, ImportedItem]:
    """Items by id; each id stands once."""
    assert len({item.id for item in project.items}) == len(project.items)
    return {item.id: item for item in project.items}


def verdicts(project: ImportedProject) -> dict[str, str]:
    """Verdicts by id."""
    return {key: item.verdict.value for key, item in by_id(project).items()}


def assert_valid(project: ImportedProject, root: Path) -> None:
    """Write the new project and let `headrace validate` read it."""
    for path, text in project.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    response = headrace.Session(root).validate()
    assert response.ok, [problem.message for problem in response.problems]
