"""Dagster projects: assets and jobs become commands that run them unchanged.

`read_project` reads the files' syntax trees; nothing of the project is imported or run.
"""

from headrace_import.importers.dagster.project import read_project

__all__ = ["read_project"]
