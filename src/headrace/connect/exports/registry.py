"""What an export is made of, and the registries of what it can be written as, and to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.govern.secrets import Secrets
from headrace.lake import LakeColumn
from headrace.model.exports import Export, ExportFormat

if TYPE_CHECKING:
    import duckdb

    from headrace.lake.session import DuckDBSession

FORMATS = {
    ExportFormat.CSV: "csv", ExportFormat.PARQUET: "parquet", ExportFormat.EXCEL: "excel", ExportFormat.JSON: "json",
    ExportFormat.JSONL: "json",
}  # fmt: skip
"""A format → the module of this room that writes it; loaded when it is first needed."""
DATABASES = {"postgresql": "postgresql", "sqlite": "sqlite"}
"""A connection's type → the module that writes its tables."""


class ExportFailed(Exception):
    """Nothing was exported. `code` is `destination_unavailable` (it is tried again) or `configuration_error` (it isn't)."""

    def __init__(self, message: str, *, hint: str = "", code: str = "configuration_error") -> None:
        super().__init__(message)
        self.hint, self.code = hint, code


def unavailable(message: str, hint: str = "it is tried again; `headrace run CONSUMER` doesn't wait") -> ExportFailed:
    """A destination that may be there again later."""
    return ExportFailed(message, hint=hint, code="destination_unavailable")


class Portion(msgspec.Struct, frozen=True):
    """What an interval requires of one read: `select` gives `columns` in the order in which they are exported, `source` the same
    rows as a relation to select from, and `order` how they are sorted."""

    asset: str
    columns: tuple[LakeColumn, ...]
    rows: int
    source: str
    order: str

    def select(self, expression: Callable[[LakeColumn], str]) -> str:
        """A SELECT of all rows in their order, each column as `expression` has it, under its own name."""
        from headrace.lake.session import quote

        values = ", ".join(f"{expression(column)} AS {quote(column.name)}" for column in self.columns)
        return f"SELECT {values} FROM ({self.source}) AS rows{self.order}"


class Assignment(msgspec.Struct, frozen=True):
    """Which export is written, by which attempt."""

    consumer: str
    interval: str
    start: datetime | None
    """The interval's local start; None for what isn't cut by time."""
    epoch: int
    n: int
    now_us: int
    export: Export
    """Its path is resolved, and may hold secrets."""
    project: str
    """The identity of the project's state."""
    take_over: str
    """What the newest take-over of the consumer's target was called; empty where there was none."""
    shown: str
    """The target as it may be told, before a date and an asset are put into it."""


class Surroundings(msgspec.Struct, frozen=True):
    """What an export is written with. `connection` is as declared: `secrets` resolves what it refers to, at the last moment."""

    session: DuckDBSession
    root: Path
    temporary: Path
    fence: Path
    connection: Mapping[str, Any]
    secrets: Secrets


class Written(msgspec.Struct, frozen=True):
    """One file or table as it was written. `sha256` is that of the file's bytes, or of the table's rows."""

    target: str
    asset: str
    size: int
    sha256: str
    rows: int


FileWriter = Callable[["duckdb.DuckDBPyConnection", Sequence[Portion], Path, Mapping[str, Any]], None]
"""Writes the portions (one, but for formats that hold several) into a new file."""
TableWriter = Callable[[Assignment, Sequence[Portion], Surroundings], tuple[Written, ...]]
"""Replaces an interval's rows in tables, in one transaction. Raises ExportFailed, Overtaken."""

_FILES: dict[ExportFormat, FileWriter] = {}
_TABLES: dict[str, TableWriter] = {}


def writes(*formats: ExportFormat) -> Callable[[FileWriter], FileWriter]:
    """Register how files of a format are written."""

    def register(writer: FileWriter) -> FileWriter:
        _FILES.update(dict.fromkeys(formats, writer))
        return writer

    return register


def exports_to(database: str) -> Callable[[TableWriter], TableWriter]:
    """Register how tables of a kind of database are written."""

    def register(writer: TableWriter) -> TableWriter:
        _TABLES[database] = writer
        return writer

    return register


def file_writer(kind: ExportFormat) -> FileWriter:
    """How files of a format are written."""
    import_module(f"headrace.connect.exports.{FORMATS[kind]}")
    return _FILES[kind]


def table_writer(connection_type: str) -> TableWriter:
    """How tables are written over a connection of that type. Raises ExportFailed for one that there is none for."""
    if connection_type not in DATABASES:
        raise ExportFailed(f"tables can't be exported to {connection_type}", hint=f"they can to {', '.join(DATABASES)}")
    import_module(f"headrace.connect.exports.{DATABASES[connection_type]}")
    return _TABLES[connection_type]
