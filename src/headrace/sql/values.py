"""What is known about a SQL body, as values that can be kept in a cache and sent between processes."""

from __future__ import annotations

import enum

import msgspec

from headrace.model import Problem

UNKNOWN = "UNKNOWN"
"""The type of a column whose type can't be known before it runs; never a guess."""


class Transformation(enum.StrEnum):
    """How an input column reaches an output column, from the most faithful to the least."""

    IDENTITY = "identity"
    CAST = "cast"
    EXPRESSION = "expression"
    WINDOW = "window"
    AGGREGATE = "aggregate"
    JOIN_KEY = "join_key"
    FILTER = "filter"
    OPAQUE = "opaque"


class Edge(msgspec.Struct, frozen=True, array_like=True, order=True):
    """An output column depends on `column` of `input`. The column `*` stands for all columns of an input whose
    columns aren't known."""

    input: str
    column: str
    transformation: Transformation


class Reference(msgspec.Struct, frozen=True, array_like=True):
    """Something that a body names, with the line of the user's file where it does so first."""

    name: str
    line: int


class Analysis(msgspec.Struct, frozen=True, array_like=True):
    """What a body's text alone tells. All names are lower-cased; lines are those of the user's file.

    `sql` is the statement that runs: the user's own text with `$self` replaced by the identifier `"__self__"`,
    so that positions in DuckDB's messages stay the user's. `normalised` is the text without comments, layout and
    case, and doesn't change with the version of any library.
    """

    name: str
    file: str
    line: int
    inputs: tuple[str, ...] = ()
    input_lines: tuple[int, ...] = ()
    placeholders: tuple[Reference, ...] = ()
    """`$name` as used, `$self` excluded."""
    uses_self: bool = False
    normalised: str = ""
    sql: str = ""
    table_functions: tuple[Reference, ...] = ()
    """Table functions that aren't DuckDB's harmless ones: macros of the project, or mistakes."""
    functions: tuple[str, ...] = ()
    """Functions that sqlglot doesn't know: DuckDB's newer ones, or macros of the project."""
    volatile: tuple[Reference, ...] = ()
    """Functions that give another result at another time."""
    problems: tuple[Problem, ...] = ()

    @property
    def usable(self) -> bool:
        """True if the text is one SELECT that could be read."""
        return bool(self.sql)


class Resolved(msgspec.Struct, frozen=True, array_like=True):
    """What a body gives, known its inputs' columns.

    `columns` is None where even the names can't be known; a type that can't be known is `UNKNOWN`. `filters` are
    the edges that affect every column: what rows are kept, joined and grouped by.
    """

    columns: tuple[tuple[str, str], ...] | None
    lineage: dict[str, tuple[Edge, ...]] = {}
    filters: tuple[Edge, ...] = ()
    problems: tuple[Problem, ...] = ()
    partition_column: str | None = None
    not_separable_because: str | None = None
