"""Factories written into a folder for tests, and the imported projects with their problems."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.project.session import ProjectSession, Silent
from headrace.services.validate import validate
from headrace_import.importers.adf import read_project
from headrace_import.importers.imported import ImportedItem, ImportedProject

FOLDERS = {"pipeline": "pipeline", "dataset": "dataset", "service": "linkedService"}


def write(root: Path, path: str, document: Any) -> None:
    """Write a file of a factory: JSON, or text as it is."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    text = document if isinstance(document, str) else json.dumps(document, indent=4)
    file.write_text(text, encoding="utf-8")


def pipeline(root: Path, name: str, activities: list[Any], **more: Any) -> None:
    """Write a pipeline."""
    write(
        root,
        f"pipeline/{name}.json",
        {"name": name, "properties": {"activities": activities, **more}},
    )


def service(root: Path, name: str, kind: str, **settings: Any) -> None:
    """Write a linked service."""
    properties = {"type": kind, "typeProperties": settings}
    write(root, f"linkedService/{name}.json", {"name": name, "properties": properties})


def dataset(root: Path, name: str, kind: str, store: str, **settings: Any) -> None:
    """Write a dataset; its parameters are texts without a default, `columns` are its types."""
    parameters = settings.pop("parameters", {})
    columns = settings.pop("columns", {})
    properties = {
        "type": kind,
        "linkedServiceName": {"referenceName": store, "type": "LinkedServiceReference"},
        "parameters": parameters,
        "schema": [{"name": column, "type": type_} for column, type_ in columns.items()],
        "typeProperties": settings,
    }
    write(root, f"dataset/{name}.json", {"name": name, "properties": properties})


def trigger(root: Path, name: str, kind: str, pipeline_: str, settings: Any, **more: Any) -> None:
    """Write a trigger of one pipeline; `parameters=` are what it passes."""
    reference = {
        "pipelineReference": {"referenceName": pipeline_, "type": "PipelineReference"},
        "parameters": more.pop("parameters", {}),
    }
    key = {"pipeline": reference} if kind.startswith("Tumbling") else {"pipelines": [reference]}
    properties = {
        "type": kind,
        "runtimeState": "Started",
        "typeProperties": settings,
        **key,
        **more,
    }
    write(root, f"trigger/{name}.json", {"name": name, "properties": properties})


def activity(name: str, kind: str, after: Any = (), **more: Any) -> dict[str, Any]:
    """Return an activity; `after` are names, or names with their conditions."""
    pairs = after.items() if isinstance(after, Mapping) else ((one, "Succeeded") for one in after)
    depends = [{"activity": one, "dependencyConditions": [how]} for one, how in pairs]
    settings = more.pop("settings", {})
    return {"name": name, "type": kind, "dependsOn": depends, "typeProperties": settings, **more}


def expression(text: str) -> dict[str, str]:
    """Return an expression."""
    return {"value": text, "type": "Expression"}


EMPTIES = {"type": "AzureSqlSink", "preCopyScript": "TRUNCATE TABLE [dbo].[Orders]"}
"""A sink that empties the table of the dataset `orders_table` before it writes."""


def copy(name: str, origin: str, target: str, after: Any = (), **settings: Any) -> dict[str, Any]:
    """Return a Copy between two datasets; `parameters=` are those of the origin."""
    parameters = settings.pop("parameters", {})
    whole = {
        "source": {"type": "DelimitedTextSource"},
        "sink": EMPTIES if target == "orders_table" else {"type": "AzureSqlSink"},
        **settings,
    }
    found = activity(name, "Copy", after, settings=whole)
    found["inputs"] = [{"referenceName": origin, "parameters": parameters}]
    found["outputs"] = [{"referenceName": target}]
    return found


def script(name: str, text: Any, after: Any = (), store: str = "sql") -> dict[str, Any]:
    """Return a Script over a linked service."""
    settings = {"scripts": [{"type": "NonQuery", "text": text}]}
    found = activity(name, "Script", after, settings=settings)
    found["linkedServiceName"] = {"referenceName": store, "type": "LinkedServiceReference"}
    return found


def basics(root: Path) -> None:
    """Write linked services and datasets that tests share."""
    service(root, "lake", "AzureBlobFS", url="https://shopdata.dfs.core.windows.net/")
    service(root, "sql", "AzureSqlDatabase", connectionString="Data Source=x;Initial Catalog=shop")
    dataset(
        root, "orders_csv", "DelimitedText", "lake", columnDelimiter=";", firstRowAsHeader=True,
        location={"type": "AzureBlobFSLocation", "fileSystem": "raw", "fileName": "orders.csv"},
    )  # fmt: skip
    columns = {"customer": "int", "region": "int", "name": "nvarchar", "day": "date"}
    dataset(
        root, "orders_table", "AzureSqlTable", "sql", schema="dbo", table="Orders", columns=columns
    )


def imported(root: Path, new: Path) -> ImportedProject:
    """Import a factory, write the new project, and require that it validates."""
    project = read_project(root)
    assert len({item.id for item in project.items}) == len(project.items)
    for path, text in project.files.items():
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        (new / path).write_text(text, encoding="utf-8")
    for item in project.items:
        assert set(item.created) <= set(project.files), item.id
    session = ProjectSession.open(new, "prod", "2026-01-01T00:00:00Z", "test")
    response = validate(session, bind_all=True, progress=Silent())
    assert response.ok, [(p.message, p.file, p.hint) for p in response.problems]
    return project


def items(project: ImportedProject) -> dict[str, ImportedItem]:
    """Return the items by id."""
    return {item.id: item for item in project.items}


def verdicts(project: ImportedProject) -> dict[str, str]:
    """Return the verdicts by id."""
    return {item.id: str(item.verdict) for item in project.items}
