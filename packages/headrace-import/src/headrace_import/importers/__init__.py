"""Importers: projects of other tools, read without running anything of them.

Each subpackage reads one tool (`dbt`, `airflow`, `adf`) and returns an `ImportedProject`: what
becomes of each task, with the files of a Headrace project. It writes nothing. A `read_project`
with the parameter `refused` is asked again, without what `validate` refused.
"""

from headrace_import.importers.imported import (
    Dependency,
    DependencyKind,
    ImportedItem,
    ImportedProject,
    OriginTable,
    Refusal,
    SecretFound,
    Suggestion,
    Verdict,
)

__all__ = [
    "Dependency",
    "DependencyKind",
    "ImportedItem",
    "ImportedProject",
    "OriginTable",
    "Refusal",
    "SecretFound",
    "Suggestion",
    "Verdict",
]
