"""One file in, what it declares out. A pure function of the file's path and bytes: what it returns is cached by content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from headrace.model import toml, yaml
from headrace.model.calendars import read_calendar
from headrace.model.consumers import read_consumers
from headrace.model.contracts import read_contract
from headrace.model.files import FileKind, ProjectFile, read_text, text_of
from headrace.model.modules import ModuleFacts
from headrace.model.nodes import Asset, AssetTest, Calendar, Consumer, Contract, Owner, Settings, Source, SqlBody, Value
from headrace.model.owners import read_owners
from headrace.model.problems import Problem
from headrace.model.python_files import read_module
from headrace.model.reporting import Report
from headrace.model.settings import read_settings
from headrace.model.sources import read_sources
from headrace.model.sql_files import read_sql
from headrace.model.tests_files import read_tests
from headrace.model.yaml_assets import read_yaml_assets


class Declared(Value, kw_only=True):
    """What one file declares, and the problems that can be told from it alone. `path` is relative to the project.

    `sql` is the statement of an `.sql` file without front matter; an asset whose `SqlBody.text` is empty is the front matter
    for the file that the body names. `link` puts the two together.
    """

    path: str
    settings: Settings | None = None
    owners: tuple[Owner, ...] = ()
    sources: tuple[Source, ...] = ()
    assets: tuple[Asset, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    contracts: tuple[Contract, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    macros: dict[str, str] = msgspec.field(default_factory=dict)
    tests: tuple[AssetTest, ...] = ()
    sql: SqlBody | None = None
    facts: ModuleFacts | None = None
    """Of a Python file: what it uses."""
    problems: tuple[Problem, ...] = ()


def parse_file(root: Path, file: ProjectFile) -> Declared:
    """What the file declares, read now. Never raises for what is in the file, whatever it is."""
    report = Report(file.path)
    return _parsed(file.kind, read_text(root, file, report), report)


def parse_bytes(file: ProjectFile, data: bytes) -> Declared:
    """What a file declares that holds these bytes. Never raises for what they are."""
    report = Report(file.path)
    return _parsed(file.kind, text_of(file.kind, data, report), report)


def _parsed(kind: FileKind, text: str | None, report: Report) -> Declared:
    if text is None:
        return Declared(path=report.file, problems=tuple(report.problems))
    return parse_text(kind, text, report)


def parse_text(kind: FileKind, text: str, report: Report) -> Declared:
    """What a text declares that is, or once was, the file that `report` is about."""
    results = _READERS[kind](text, report)
    return Declared(path=report.file, problems=tuple(report.problems), **results)


def _settings(text: str, report: Report) -> dict[str, Any]:
    document = toml.load(text, report)
    return {} if document is None else {"settings": read_settings(document, report)}


def _yaml(field: str, read: Callable[[Any, Report], Any]) -> Callable[[str, Report], dict[str, Any]]:
    """A reader for a kind of YAML file."""

    def reader(text: str, report: Report) -> dict[str, Any]:
        before = len(report.problems)
        document = yaml.load(text, report)
        if document is None:
            if len(report.problems) == before:
                report.error("file_empty", 1, "the file declares nothing", "write what it should declare, or delete it")
            return {}
        return {field: read(document, report)}

    return reader


def _sql(text: str, report: Report) -> dict[str, Any]:
    asset, body = read_sql(text, report)
    return {"assets": (asset,)} if asset is not None else {"sql": body}


def _python(text: str, report: Report) -> dict[str, Any]:
    assets, facts = read_module(text, report)
    return {"assets": assets, "facts": facts}


def _macro(text: str, report: Report) -> dict[str, Any]:
    return {"macros": {report.file: text}}


_READERS: dict[FileKind, Callable[[str, Report], dict[str, Any]]] = {
    FileKind.SETTINGS: _settings,
    FileKind.OWNERS: _yaml("owners", read_owners),
    FileKind.SOURCE: _yaml("sources", read_sources),
    FileKind.SQL: _sql,
    FileKind.PYTHON: _python,
    FileKind.YAML_ASSET: _yaml("assets", read_yaml_assets),
    FileKind.CONSUMERS: _yaml("consumers", read_consumers),
    FileKind.CONTRACT: _yaml("contracts", read_contract),
    FileKind.CALENDAR: _yaml("calendars", read_calendar),
    FileKind.MACRO: _macro,
    FileKind.TEST: _yaml("tests", read_tests),
}
