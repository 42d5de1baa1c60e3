"""The kinds of files that can be ingested, and what each must answer.

To add a format, add a module to this package with a class decorated by `@reads` (and its test, a
subclass of the contract suite); modules are found by listing the folder. An installed package adds
one by a `formats.records.RecordFormat` in the group of entry points `headrace.formats`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

import msgspec

from headrace.connect.deliveries import AlmostTyped, Format, SourceSchema, TypeDrift, UnreadableFile
from headrace.connect.raw_files import Opened, UnpackLimits
from headrace.lake import LakeColumn
from headrace.model.plugin_fields import FormatDeclaration
from headrace.model.plugins import FORMATS, load_plugin

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


@runtime_checkable
class FormatReader(Protocol):
    """A reader of one format. All methods raise CannotRead for an unreadable file."""

    kind: str
    endings: tuple[str, ...]
    """Endings of file names, in lower case, with their dot."""

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Return `opened`, or a temporary file converted from it, for all other methods to read."""

    def inspect(self, opened: Opened, *, known: bool) -> int | None:
        """Refuse files that no parser should see, and return the number of rows.

        `known`: whether the schema is known without the file. The number is None if only parsing
        gives it.
        """

    def header(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened, form: Format
    ) -> FileHeader:
        """Return the file's columns, read with the pinned format; cheap."""

    def learn(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened
    ) -> tuple[SourceSchema, FileHeader]:
        """Detect the schema from all rows; expensive."""

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

    def mismatch(self, header: FileHeader, pinned: SourceSchema) -> TypeDrift | None:
        """Return types in the header that don't fit the pinned ones."""

    def explain(
        self,
        error: Exception,
        connection: duckdb.DuckDBPyConnection,
        opened: Opened,
        schema: SourceSchema,
        header: FileHeader,
    ) -> TypeDrift | UnreadableFile:
        """Explain the SELECT's error: a second, tolerant pass finds lines, counts and values."""


_READERS: dict[str, FormatReader] = {}
_Kind = TypeVar("_Kind", bound=FormatReader)


def reads(kind: type[_Kind]) -> type[_Kind]:
    """Register the decorated class as the reader of its format."""
    reader = kind()
    _READERS[reader.kind] = reader
    return kind


def readers() -> dict[str, FormatReader]:
    """Return all readers by format."""
    _load_all()
    return _READERS


@cache
def _load_all() -> None:
    """Import every module of this package.

    One that is already imported, and has registered its format, doesn't mean that the others are.
    """
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"headrace.connect.formats.{module.name}")


def reader(kind: str) -> FormatReader:
    """Return the reader of one format, Headrace's or a package's.

    Raises KeyError for an unknown one, and BrokenPlugin.
    """
    if kind in readers():
        return readers()[kind]
    added = load_plugin(FORMATS, kind, FormatDeclaration)
    if added is None:
        raise KeyError(kind)
    assert isinstance(added, FormatReader), f"{type(added)} isn't a RecordFormat"
    return added
