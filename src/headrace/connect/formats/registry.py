"""The kinds of files that can be ingested, and what each must answer.

A format is a subclass of `FormatKind`, which `headrace.model.plugins` finds by its name: one of
Headrace itself in the module of this package with that name, one of an installed package by its
entry point in the group `headrace.formats`. Its test is a subclass of the contract suite.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from headrace.connect.deliveries import AlmostTyped, Format, SourceSchema, TypeDrift, UnreadableFile
from headrace.connect.raw_files import Opened, UnpackLimits
from headrace.lake import LakeColumn
from headrace.model.errors import HeadraceError, shown
from headrace.model.plugin_fields import FormatDeclaration
from headrace.model.plugins import FORMATS, load_plugin, missing_package, own_kinds

if TYPE_CHECKING:
    import duckdb


class FileHeader(msgspec.Struct, frozen=True):
    """A file's statements about its columns, available before its rows are read."""

    names: tuple[str, ...]
    """Column names (`headers.column_names`), in the file's order."""
    raw: tuple[str, ...] = ()
    """The names as the file writes them, if the reader needs that."""
    types: tuple[str, ...] = ()
    """The type that the file itself states for each column, in its reader's terms.

    Those are DuckDB's types for Parquet, and `JSON` or empty for JSON lines; the tuple is empty for
    CSV.
    """
    skip: int = 0
    """Number of blank lines before the header."""
    rows: int | None = None
    """The expected number of rows, if it is known without reading them."""
    optional: tuple[str, ...] = ()
    """Names that some rows lack."""
    paths: tuple[tuple[str, ...], ...] = ()
    """For records: the keys that lead to each column's value."""
    kinds: tuple[tuple[str, ...], ...] = ()
    """For records: the kinds of plain values in each column."""
    doubled: tuple[tuple[str, str], ...] = ()
    """Names that the header gives to a second column (`headers.doubled_names`)."""
    inside: tuple[str, ...] = ()
    """For records: the structure of each column's objects and arrays.

    Empty for columns without any.
    """
    almost: tuple[AlmostTyped, ...] = ()
    """Text columns that only a few values keep from another type, if inferred from text."""


class FormatKind(FormatDeclaration):
    """A format of files, and how one is read. All methods raise CannotRead for an unreadable file.

    A format that only turns a file into records is a `records.RecordFormat`.
    """

    unmistakable: ClassVar[bool] = False
    """Whether no other format's reader ever tries such files, nor this one theirs."""
    of_lines: ClassVar[bool] = False
    """Whether files consist of lines of text, one per row."""
    of_records: ClassVar[bool] = False
    """Whether rows may leave a column out."""
    recodable: ClassVar[bool] = False
    """Whether files may have any encoding, which the source's options declare as `encoding`."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Modules that read files in a process of its own, because they may end it.

    Empty for a format whose `unfold` runs in the worker.
    """

    def stated(self, options: Mapping[str, Any]) -> Collection[str]:
        """Return the columns whose types the source's options declare."""
        del options
        return ()

    def tables(self, path: Path) -> Mapping[str, Mapping[str, Any] | None]:
        """Return the tables of a file for `headrace init --from`: name → options that read it.

        The name is empty for the only table; a table without rows, which is left out, has None.
        Empty if the file is one table without options.
        """
        del path
        return {}

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Return `opened`, or a temporary file converted from it, for all other methods to read."""
        del temporary, bounds, pinned
        return opened

    def inspect(self, opened: Opened, *, known: bool) -> int | None:
        """Refuse files that no parser should see, and return the number of rows.

        `known`: whether the schema is known without the file. The number is None if only parsing
        gives it.
        """
        del opened, known
        return None

    @abstractmethod
    def header(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened, form: Format
    ) -> FileHeader:
        """Return the file's columns, read with the pinned format; cheap."""

    @abstractmethod
    def learn(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened
    ) -> tuple[SourceSchema, FileHeader]:
        """Detect the schema from all rows; expensive."""

    @abstractmethod
    def select_sql(
        self, opened: Opened, form: Format, header: FileHeader, columns: Sequence[LakeColumn]
    ) -> str:
        """Return a SELECT of `columns`, in that order, from the file, without any detection.

        Its execution raises for every row and value that doesn't fit `form` and the types.
        """

    def another_format(self, opened: Opened, pinned: SourceSchema) -> tuple[Format, str] | None:
        """Return the file's format if it isn't the pinned one, and a clause about the difference.

        None if the formats are the same.
        """
        del opened, pinned
        return None

    def mismatch(self, header: FileHeader, pinned: SourceSchema) -> TypeDrift | None:
        """Return types in the header that don't fit the pinned ones."""
        del header, pinned
        return None

    @abstractmethod
    def explain(
        self,
        error: Exception,
        connection: duckdb.DuckDBPyConnection,
        opened: Opened,
        schema: SourceSchema,
        header: FileHeader,
    ) -> TypeDrift | UnreadableFile:
        """Explain the SELECT's error: a second, tolerant pass finds lines, counts and values."""


def reader(name: str) -> FormatKind:
    """Return the reader of one format, Headrace's or a package's.

    Raises HeadraceError if no installed package has it, and BrokenPlugin.
    """
    kind = load_plugin(FORMATS, name, FormatKind)  # type: ignore[type-abstract]
    if kind is None:
        package = missing_package(FORMATS, name)
        raise HeadraceError(
            f"no installed package reads the format {shown(name)}",
            hint=f"install it where workers run: pip install {package}" if package else "",
        )
    return kind


def own_readers() -> list[FormatKind]:
    """Return the readers of Headrace's own formats."""
    return [reader(name) for name in own_kinds(FORMATS)]
