"""Declarations: parses a project's files into an immutable `Project` or a list of problems.

It reads only the project's own files: no clock, no database, no network. It never imports or runs
user code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.model.errors import (
    HeadraceError,
    LakeError,
    LeaseLost,
    NotBuilt,
    Problem,
    ProblemLevel,
    ProjectError,
    Refused,
    StoreError,
    UnknownName,
    UsageError,
)
from headrace.model.nodes import (
    Asset,
    AssetTest,
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
    InputFormat,
    InputMode,
    InputSpec,
    Owner,
    PartitionSpec,
    Place,
    Project,
    PythonBody,
    Settings,
    Severity,
    SignIn,
    Source,
    SqlBody,
    Value,
)

if TYPE_CHECKING:
    from headrace.model.files import FileKind, ProjectFile, Scan
    from headrace.model.intervals import (
        Interval,
        interval_of,
        key_at,
        key_of_date,
        keys_between,
        next_key,
        parse_key,
        previous_key,
    )
    from headrace.model.linking import link
    from headrace.model.parsing import Declared
    from headrace.model.partitions import Required
    from headrace.model.selection import SelectionGraph, select
    from headrace.model.times import Duration, Offset, after, parse_duration

_LAZY = {
    "FileKind": "files",
    "ProjectFile": "files",
    "Scan": "files",
    "Interval": "intervals",
    "interval_of": "intervals",
    "key_at": "intervals",
    "key_of_date": "intervals",
    "keys_between": "intervals",
    "next_key": "intervals",
    "parse_key": "intervals",
    "previous_key": "intervals",
    "link": "linking",
    "Declared": "parsing",
    "Required": "partitions",
    "SelectionGraph": "selection",
    "select": "selection",
    "Duration": "times",
    "Offset": "times",
    "after": "times",
    "parse_duration": "times",
}
"""Exported name → submodule, imported on first access because most commands need few of them."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"headrace.model.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


__all__ = [
    "Asset",
    "AssetTest",
    "Body",
    "Calendar",
    "CheckSpec",
    "CommandBody",
    "Complete",
    "Consumer",
    "Contract",
    "ContractColumn",
    "Declared",
    "Duration",
    "Expect",
    "FileKind",
    "Grain",
    "HeadraceError",
    "InputFormat",
    "InputMode",
    "InputSpec",
    "Interval",
    "LakeError",
    "LeaseLost",
    "NotBuilt",
    "Offset",
    "Owner",
    "PartitionSpec",
    "Place",
    "Problem",
    "ProblemLevel",
    "Project",
    "ProjectError",
    "ProjectFile",
    "PythonBody",
    "Refused",
    "Required",
    "Scan",
    "SelectionGraph",
    "Settings",
    "Severity",
    "SignIn",
    "Source",
    "SqlBody",
    "StoreError",
    "UnknownName",
    "UsageError",
    "Value",
    "after",
    "interval_of",
    "key_at",
    "key_of_date",
    "keys_between",
    "link",
    "next_key",
    "parse_duration",
    "parse_key",
    "previous_key",
    "select",
]  # fmt: skip
