"""The kinds of files that can be ingested, and what each must answer.

To add a kind is to add a module in this folder with a class decorated by `@reads` (and its test, a subclass of the contract
suite); modules are found by listing the folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from headrace.connect.deliveries import AlmostTyped, Format, SourceSchema, TypeDrift, UnreadableFile
from headrace.connect.raw_files import Opened, UnpackLimits
from headrace.lake import LakeColumn

if TYPE_CHECKING:
    import duckdb


class FileHeader(msgspec.Struct, frozen=True):
    """What a file says about its columns before its rows are read."""

    names: tuple[str, ...]
    """As columns are named (`names.column_names`), in the file's order."""
    raw: tuple[str, ...] = ()
    """As the file writes them, where the reader needs that."""
    types: tuple[str, ...] = ()
    """What the file itself states of each column, as its reader understands it: DuckDB's types for Parquet, `JSON` or empty for
    JSON lines; empty for CSV."""
    skip: int = 0
    """Blank lines before the header."""
    rows: int | None = None
    """How many rows there must be, where that can be told without reading them."""
    optional: tuple[str, ...] = ()
    """Names that not every row has."""
    paths: tuple[tuple[str, ...], ...] = ()
    """Of records: the keys that lead to each column's value."""
    kinds: tuple[tuple[str, ...], ...] = ()
    """Of records: which kinds of plain values each column has."""
    doubled: tuple[tuple[str, str], ...] = ()
    """Of names that the header gives to a second column (`names.doubled_names`)."""
    inside: tuple[str, ...] = ()
    """Of records: the structure of each column's objects and arrays; empty for one without."""
    almost: tuple[AlmostTyped, ...] = ()
    """Text columns that a few values keep from another type, where the types were learnt from text."""


class FormatReader(Protocol):
    """One kind of file. All methods raise CannotRead for a file that can't be read."""

    kind: str
    endings: tuple[str, ...]
    """Endings of names, lower case, with their dot."""

    def unfold(self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None) -> Opened:
        """What all other methods are given: `opened` itself, or a temporary file made of it that a table can be read from."""

    def inspect(self, opened: Opened, *, known: bool) -> int | None:
        """Refuse early what no parser should see. `known`: whether the schema is known without the file. Returns how many rows
        there must be, where that can be told without parsing."""

    def header(self, connection: duckdb.DuckDBPyConnection, opened: Opened, form: Format) -> FileHeader:
        """The file's columns, read with the pinned format; cheap."""

    def learn(self, connection: duckdb.DuckDBPyConnection, opened: Opened) -> tuple[SourceSchema, FileHeader]:
        """The schema by detection over all rows; dear."""

    def select_sql(self, opened: Opened, form: Format, header: FileHeader, columns: Sequence[LakeColumn]) -> str:
        """A SELECT that gives `columns`, in that order, from the file, without detecting anything. Its execution raises for
        every row and value that isn't what `form` and the types say."""

    def another_format(self, opened: Opened, pinned: SourceSchema) -> tuple[Format, str] | None:
        """How the file shows to be read where that isn't as pinned, and what differs in a clause; None if nothing does."""

    def mismatch(self, header: FileHeader, pinned: SourceSchema) -> TypeDrift | None:
        """What the header alone tells about types that don't fit."""

    def explain(
        self, error: Exception, connection: duckdb.DuckDBPyConnection, opened: Opened, schema: SourceSchema, header: FileHeader
    ) -> TypeDrift | UnreadableFile:
        """Why the SELECT raised: a second, tolerant pass that finds lines, counts and values."""


_READERS: dict[str, FormatReader] = {}
_Kind = TypeVar("_Kind", bound=FormatReader)


def reads(kind: type[_Kind]) -> type[_Kind]:
    """Class decorator: register one kind of file."""
    reader = kind()
    _READERS[reader.kind] = reader
    return kind


def readers() -> dict[str, FormatReader]:
    """All kinds, by name."""
    _load_all()
    return _READERS


@cache
def _load_all() -> None:
    """Import every module of this folder. That one of them is imported already, and has registered its
    kind, doesn't say that the others are."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"headrace.connect.formats.{module.name}")


def reader(kind: str) -> FormatReader:
    """The reader of one kind; KeyError for a kind that isn't there."""
    return readers()[kind]
