"""Airflow projects: DAG files of 1.10, 2.x and 3.x, read from their syntax trees.

Nothing of them is imported or run, and nothing is written. `read_project` is the entry.
"""

from headrace_import.importers.airflow.project import read_project

__all__ = ["read_project"]
