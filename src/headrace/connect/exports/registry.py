"""Definitions of exports, the registries of formats and databases, and values as SQL."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.lake import LakeColumn
from headrace.lake.sqltext import cast_to_text, literal, quote
from headrace.lake.types import parse
from headrace.model.exports import Export, ExportFormat
from headrace.model.plugin_fields import ExportDeclaration
from headrace.model.plugins import EXPORTS, BrokenPlugin, load_plugin, running
from headrace.security.secrets import Secrets

if TYPE_CHECKING:
    import duckdb

    from headrace.lake.session import DuckDBSession


FORMATS = {
    ExportFormat.CSV: "csv",
    ExportFormat.PARQUET: "parquet",
    ExportFormat.EXCEL: "excel",
    ExportFormat.JSON: "json",
    ExportFormat.JSONL: "json",
}
"""Format → module of this package that writes it, imported on first use."""
DATABASES = {"postgresql": "postgresql", "sqlite": "sqlite"}
"""A connection's type → module that writes its tables."""


class ExportFailed(Exception):
    """Nothing was exported.

    `code` is `destination_unavailable` (the export is retried) or `configuration_error` (it isn't).
    """

    def __init__(self, message: str, *, hint: str = "", code: str = "configuration_error") -> None:
        super().__init__(message)
        self.hint, self.code = hint, code


DESTINATION_UNAVAILABLE = "destination_unavailable"


def unavailable(
    message: str, hint: str = "it is tried again; `headrace run CONSUMER` doesn't wait"
) -> ExportFailed:
    """Return the error for a destination that may be available again later."""
    return ExportFailed(message, hint=hint, code=DESTINATION_UNAVAILABLE)


class Portion(msgspec.Struct, frozen=True):
    """The rows of one read that belong to an interval.

    `columns` are in export order, `source` is a relation with the rows, and `order` is their ORDER
    BY.
    """

    asset: str
    columns: tuple[LakeColumn, ...]
    rows: int
    source: str
    order: str

    def select(self, expression: Callable[[LakeColumn], str]) -> str:
        """Return a SELECT of all rows in their order, with `expression` applied to each column."""
        from headrace.lake.sqltext import quote

        values = ", ".join(
            f"{expression(column)} AS {quote(column.name)}" for column in self.columns
        )
        return f"SELECT {values} FROM ({self.source}) AS rows{self.order}"


class Assignment(msgspec.Struct, frozen=True):
    """The export to write, and the attempt that writes it."""

    consumer: str
    interval: str
    start: datetime | None
    """The interval's local start; None for exports that aren't partitioned by time."""
    epoch: int
    n: int
    now_us: int
    export: Export
    """With its path resolved, which may hold secrets."""
    project: str
    """The identity of the project's state."""
    take_over: str
    """The identifier of the newest take-over of the consumer's target; empty without one."""
    label: str
    """The target in a form that may be shown, before its date and asset are inserted."""
    erases: int = 0
    """The epoch of the leader at an erasure, which writes the attempt's export again; 0: none.

    Such an export replaces what the attempt wrote, and makes nothing that isn't there any more.
    """
    replaces: Mapping[str, str] = msgspec.field(default_factory=dict)
    """At an erasure: each target that the attempt wrote, with the hash of its content."""

    @property
    def leader(self) -> int:
        """The epoch of the leader for whom it is written."""
        return self.erases or self.epoch


class Surroundings(msgspec.Struct, frozen=True):
    """The resources for writing an export.

    `connection` is as declared: `secrets` resolves its references just before they are used.
    """

    session: DuckDBSession
    root: Path
    temporary: Path
    fence: Path
    connection: Mapping[str, Any]
    secrets: Secrets


class Written(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file or table that was written.

    `sha256` is the hash of the file's bytes or the table's rows.
    """

    target: str
    asset: str
    size: int
    sha256: str
    rows: int
    gone: bool = False
    """Whether an erasure left it out because it isn't there any more."""


FileWriter = Callable[
    ["duckdb.DuckDBPyConnection", Sequence[Portion], Path, Mapping[str, Any]], None
]
"""A function that writes portions into a new file: one, or several if the format allows it."""
TableWriter = Callable[[Assignment, Sequence[Portion], Surroundings], tuple[Written, ...]]
"""A function that replaces an interval's rows in tables, in one transaction.

Raises ExportFailed, WriterFenced.
"""

_FILES: dict[ExportFormat, FileWriter] = {}
_TABLES: dict[str, TableWriter] = {}


def writes(*formats: ExportFormat) -> Callable[[FileWriter], FileWriter]:
    """Register the decorated function as the writer of these formats."""

    def register(writer: FileWriter) -> FileWriter:
        _FILES.update(dict.fromkeys(formats, writer))
        return writer

    return register


def exports_to(database: str) -> Callable[[TableWriter], TableWriter]:
    """Register the decorated function as the writer of a database's tables."""

    def register(writer: TableWriter) -> TableWriter:
        _TABLES[database] = writer
        return writer

    return register


class ExportKind(ExportDeclaration, ABC):
    """A format of an installed package: entry point in the group `headrace.exports`."""

    @abstractmethod
    def write(
        self,
        connection: duckdb.DuckDBPyConnection,
        portion: Portion,
        path: Path,
        options: Mapping[str, Any],
    ) -> None:
        """Write the rows of a portion into a new file.

        Raises ExportFailed; any other exception fails the export, too, with the package's name.
        """


def file_writer(kind: str) -> FileWriter:
    """Return the writer for files of a format, Headrace's or a package's. Raises ExportFailed."""
    if kind not in FORMATS:
        return _added(kind)
    known = ExportFormat(kind)
    import_module(f"headrace.connect.exports.{FORMATS[known]}")
    return _FILES[known]


def _added(name: str) -> FileWriter:
    try:
        kind = load_plugin(EXPORTS, name, ExportKind)  # type: ignore[type-abstract]
    except BrokenPlugin as error:
        raise ExportFailed(str(error), hint=error.hint) from error
    if kind is None:
        raise ExportFailed(
            f"no installed package writes the format {name}",
            hint="install it where workers run, or write another `format:`",
        )

    def write(
        connection: duckdb.DuckDBPyConnection,
        portions: Sequence[Portion],
        path: Path,
        options: Mapping[str, Any],
    ) -> None:
        (portion,) = portions
        try:
            with running(EXPORTS, name):
                kind.write(connection, portion, path, options)
        except BrokenPlugin as error:
            raise ExportFailed(str(error), hint=error.hint) from error

    return write


def table_writer(connection_type: str) -> TableWriter:
    """Return the writer for tables over a connection of that type.

    Raises ExportFailed for a type without a writer.
    """
    if connection_type not in DATABASES:
        raise ExportFailed(
            f"tables can't be exported to {connection_type}",
            hint=f"they can to {', '.join(DATABASES)}",
        )
    import_module(f"headrace.connect.exports.{DATABASES[connection_type]}")
    return _TABLES[connection_type]


# Values as SQL of DuckDB: times in ISO 8601, binary in base64, nested values as JSON.

_FLOATS = ("FLOAT", "DOUBLE", "REAL")


def is_nested(column: LakeColumn) -> bool:
    """Whether its values are STRUCTs, LISTs or MAPs."""
    return bool(parse(column.type).fields) or column.type.endswith("]")


def has_floats(column: LakeColumn) -> bool:
    """Whether it may contain NaN and infinities."""
    return any(word in column.type.upper() for word in _FLOATS)


def as_text(column: LakeColumn) -> str:
    """Return SQL for the value as text; NULL stays NULL."""
    name = quote(column.name)
    if is_nested(column):
        return f"CAST(to_json({as_json(column)}) AS VARCHAR)"
    if column.type.startswith("TIMESTAMP"):
        return _iso(cast_to_text(column))
    if column.type == "BLOB":
        return f"to_base64({name})"
    if column.type in _FLOATS:
        return _spelt(name)
    return f"CAST({name} AS VARCHAR)"


def as_json(column: LakeColumn) -> str:
    """Return SQL for the value as a part of a JSON object.

    Floats that JSON can't express (NaN) become text; inside nested values they raise an error.
    Decimals aren't converted to JSON here: inside another JSON value DuckDB would read them again,
    as doubles.
    """
    name = quote(column.name)
    if is_nested(column):
        value = _checked(name, column) if has_floats(column) else name
        return _with_digits(value, column) if re.search(r"\bJSON\b", column.type) else value
    if column.type in _FLOATS:
        return f"CASE WHEN isfinite({name}) THEN to_json({name}) ELSE to_json({_spelt(name)}) END"
    return as_text(column) if column.type.startswith("TIMESTAMP") or column.type == "BLOB" else name


def _iso(text: str) -> str:
    """Return SQL for a time in ISO 8601; one before the year 1 stays as DuckDB writes it (BC)."""
    iso = f"regexp_replace(replace({text}, ' ', 'T'), '([+-]\\d\\d)$', '\\1:00')"
    return f"if(contains({text}, '(BC)'), {text}, {iso})"


def _spelt(name: str) -> str:
    infinite = f"WHEN isinf({name}) THEN if({name} > 0, 'Infinity', '-Infinity')"
    return f"CASE WHEN isnan({name}) THEN 'NaN' {infinite} ELSE CAST({name} AS VARCHAR) END"


def _checked(name: str, column: LakeColumn) -> str:
    """Return SQL that refuses NaN in a nested value.

    DuckDB would write it into JSON, which no JSON reader accepts.
    """
    message = literal(
        f"column {column.name} holds NaN or an infinity inside a nested value, which JSON has no"
        " word for"
    )
    bare = f"regexp_replace(CAST(to_json({name}) AS VARCHAR), '\"(?:[^\"\\\\]|\\\\.)*\"', '', 'g')"
    return f"CASE WHEN regexp_matches({bare}, 'NaN|Infinity') THEN error({message}) ELSE {name} END"


def _with_digits(value: str, column: LakeColumn) -> str:
    """Return SQL that refuses a nested value with numbers of JSON that a double doesn't hold.

    DuckDB reads them again where it makes JSON of the whole.
    """
    name = quote(column.name)
    message = literal(
        f"column {column.name} has JSON inside of others, with numbers of many digits"
    )
    numbers = f"regexp_extract_all(CAST({name} AS VARCHAR), '[0-9][0-9.]{{15,}}')"
    lost = f"list_filter({numbers}, lambda n: NOT contains(CAST(to_json({name}) AS VARCHAR), n))"
    return f"CASE WHEN len({lost}) > 0 THEN error({message}) ELSE {value} END"
