"""Declarations: files become an immutable, validated `Project`, or every problem with its file and line.

Pure apart from reading the project's own files: no clock, no database, no network, and nothing of the user's is imported.
"""

from headrace.model.errors import (
    HeadraceError,
    LakeError,
    LeaseLost,
    NotBuilt,
    ProjectError,
    Refused,
    StoreError,
    UsageError,
)
from headrace.model.nodes import (
    Asset,
    Body,
    Calendar,
    CheckSpec,
    CommandBody,
    Complete,
    Consumer,
    Contract,
    ContractColumn,
    Expect,
    Grain,
    InputMode,
    InputSpec,
    Owner,
    PartitionSpec,
    Place,
    Project,
    PythonBody,
    Settings,
    Severity,
    Source,
    SqlBody,
    Value,
)
from headrace.model.problems import Level, Problem

__all__ = [
    "Asset", "Body", "Calendar", "CheckSpec", "CommandBody", "Complete", "Consumer", "Contract", "ContractColumn",
    "Expect", "Grain", "HeadraceError", "InputMode", "InputSpec", "LakeError", "LeaseLost", "Level", "NotBuilt", "Owner",
    "PartitionSpec", "Place", "Problem", "Project", "ProjectError", "PythonBody", "Refused", "Settings", "Severity",
    "Source", "SqlBody", "StoreError", "UsageError", "Value",
]
