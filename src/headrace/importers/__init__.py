"""Importers: projects of other tools, read without running anything of them.

Each subpackage reads one tool (`dbt`, `airflow`, `adf`) and returns an `ImportedProject`: what
becomes of each task, with the files of a Headrace project. It writes nothing.
"""

from headrace.importers.imported import (
    Dependency,
    DependencyKind,
    ImportedItem,
    ImportedProject,
    SecretFound,
    Suggestion,
    Verdict,
)

__all__ = [
    "Dependency",
    "DependencyKind",
    "ImportedItem",
    "ImportedProject",
    "SecretFound",
    "Suggestion",
    "Verdict",
]
