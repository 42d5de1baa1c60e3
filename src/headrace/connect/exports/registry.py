"""Definitions of exports, and their formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.lake import LakeColumn
from headrace.lake.sqltext import quote
from headrace.model.exports import Export
from headrace.model.plugin_fields import ExportDeclaration
from headrace.model.plugins import (
    EXPORTS,
    BrokenPlugin,
    load_plugin,
    missing_package,
    running,
)
from headrace.security.secrets import Secrets

if TYPE_CHECKING:
    import duckdb

    from headrace.lake.session import DuckDBSession


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


class ExportKind(ExportDeclaration, ABC):
    """A format of exports to files: `headrace.model.plugins` finds it by its name."""

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

    def write_all(
        self,
        connection: duckdb.DuckDBPyConnection,
        portions: Sequence[Portion],
        path: Path,
        options: Mapping[str, Any],
    ) -> None:
        """Write all portions into a new file: one, unless the class says `several`."""
        (portion,) = portions
        self.write(connection, portion, path, options)


def write_file(
    kind: str,
    connection: duckdb.DuckDBPyConnection,
    portions: Sequence[Portion],
    path: Path,
    options: Mapping[str, Any],
) -> None:
    """Write portions into a new file of a format, Headrace's or a package's.

    Raises ExportFailed, and what is the machine's fault, not the package's.
    """
    import duckdb

    try:
        writer = load_plugin(EXPORTS, kind, ExportKind)  # type: ignore[type-abstract]
        if writer is None:
            package = missing_package(EXPORTS, kind)
            raise ExportFailed(
                f"no installed package writes the format {kind}",
                hint=f"install it where workers run: pip install {package}"
                if package
                else "install it where workers run, or write another `format:`",
            )
        with running(EXPORTS, kind, (ExportFailed, duckdb.Error, OSError, MemoryError)):
            writer.write_all(connection, portions, path, options)
    except BrokenPlugin as error:
        raise ExportFailed(str(error), hint=error.hint) from error
