"""Results of SQL analysis as values, and DuckDB's names of types.

The values are cached and sent between processes. This module doesn't load sqlglot.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

import msgspec

from headrace.model import Problem

# Analysis of a SQL asset: its references, and its output columns with their lineage.

UNKNOWN = "UNKNOWN"
"""The type of a column whose type can't be known before it runs; Headrace never guesses one."""
SELF = "__self__"
"""The name of `$self` in a statement: the asset's own rows before this partition."""
ANY_TYPE = '"NULL"'
"""DuckDB's type of NULL, for an empty relation whose types aren't known: it adapts to its use."""


class Transformation(enum.StrEnum):
    """How an input column reaches an output column, from the most faithful to the least."""

    IDENTITY = "identity"
    CAST = "cast"
    EXPRESSION = "expression"
    WINDOW_KEY = "window_key"
    """It decides which rows a window combines (PARTITION BY)."""
    WINDOW = "window"
    AGGREGATE = "aggregate"
    GROUP_KEY = "group_key"
    """It decides which rows are combined (GROUP BY, DISTINCT), and passes on no values."""
    JOIN_KEY = "join_key"
    FILTER = "filter"
    OPAQUE = "opaque"
    MENTION = "mention"
    """The text names it, but neither values nor rows depend on it: the order at the end."""


WITHOUT_VALUES = frozenset(
    {
        Transformation.FILTER,
        Transformation.JOIN_KEY,
        Transformation.GROUP_KEY,
        Transformation.MENTION,
    }
)
"""Transformations that pass on no values. (Aggregates may: the greatest name is a name.)"""


class Edge(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A dependency of an output column on `column` of `input`.

    The column `*` stands for all columns of an input with unknown columns.
    """

    input: str
    column: str
    transformation: Transformation


def values_of(edges: Iterable[Edge]) -> list[Edge]:
    """Return the edges that pass on values, of those that decide a column's values."""
    return [edge for edge in edges if edge.transformation not in WITHOUT_VALUES]


class Reference(msgspec.Struct, frozen=True, array_like=True):
    """A name in an asset's query, with the first line of the user's file that mentions it."""

    name: str
    line: int


class Analysis(msgspec.Struct, frozen=True, array_like=True):
    """The analysis of an asset's query by its text alone.

    All names are lower-case; lines are those of the user's file. `sql` is the statement that runs:
    the user's own text with `$self` replaced by the identifier `"__self__"`, so that positions in
    DuckDB's messages fit the user's text. `normalised` is the text without comments, layout and
    case, and is independent of library versions.
    """

    name: str
    file: str
    line: int
    inputs: tuple[str, ...] = ()
    input_lines: tuple[int, ...] = ()
    placeholders: tuple[Reference, ...] = ()
    """Each `$name` in the query, except `$self`."""
    uses_self: bool = False
    normalised: str = ""
    sql: str = ""
    table_functions: tuple[Reference, ...] = ()
    """Table functions other than DuckDB's harmless ones: macros of the project, or mistakes."""
    functions: tuple[str, ...] = ()
    """Functions unknown to sqlglot: newer functions of DuckDB, or macros of the project."""
    volatile: tuple[Reference, ...] = ()
    """Functions whose result depends on when they run."""
    problems: tuple[Problem, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether the text is one readable SELECT without problems."""
        return bool(self.sql)


class Resolved(msgspec.Struct, frozen=True, array_like=True):
    """The output of a query, given the columns of its inputs.

    `columns` is None if even the names are unknown; an unknown type is `UNKNOWN`. `lineage` has for
    each column what its values are computed from or decided by. `filters` are the edges that affect
    every column: columns in filters, joins and GROUP BY. `mentions` are the other columns that the
    text names.
    """

    columns: tuple[tuple[str, str], ...] | None
    lineage: dict[str, tuple[Edge, ...]] = {}
    filters: tuple[Edge, ...] = ()
    mentions: tuple[Edge, ...] = ()
    problems: tuple[Problem, ...] = ()
    partition_column: str | None = None
    not_separable_because: str | None = None


# Type names as users write them → DuckDB's own names. Any other text is `UNKNOWN` and never reaches
# a statement.

_ALIASES = {
    "BIGINT": ("INT8", "LONG", "INT64"),
    "BLOB": ("BYTEA", "BINARY", "VARBINARY"),
    "BOOLEAN": ("BOOL", "LOGICAL"),
    "DATE": (),
    "DOUBLE": ("FLOAT8", "DOUBLE PRECISION"),
    "FLOAT": ("FLOAT4", "REAL"),
    "HUGEINT": ("INT128",),
    "INTEGER": ("INT", "INT4", "INT32", "SIGNED"),
    "INTERVAL": (),
    "JSON": (),
    "SMALLINT": ("INT2", "INT16", "SHORT"),
    "TIME": ("TIME WITHOUT TIME ZONE",),
    "TIME WITH TIME ZONE": ("TIMETZ",),
    "TIMESTAMP": ("DATETIME", "TIMESTAMP WITHOUT TIME ZONE", "TIMESTAMP_US"),
    "TIMESTAMP WITH TIME ZONE": ("TIMESTAMPTZ",),
    "TIMESTAMP_MS": (),
    "TIMESTAMP_NS": (),
    "TIMESTAMP_S": (),
    "TINYINT": ("INT1",),
    "UBIGINT": ("UINT64",),
    "UHUGEINT": ("UINT128",),
    "UINTEGER": ("UINT32",),
    "USMALLINT": ("UINT16",),
    "UTINYINT": ("UINT8",),
    "UUID": ("GUID",),
    "VARCHAR": ("TEXT", "STRING", "CHAR", "BPCHAR"),
}
TYPE_NAMES = {alias: name for name, aliases in _ALIASES.items() for alias in (name, *aliases)}
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|DEC)(?: ?\( ?(\d{1,2}) ?(?:, ?(\d{1,2}) ?)?\))?")
_VARCHAR = re.compile(r"(?:VARCHAR|CHAR|TEXT|STRING|BPCHAR) ?\( ?\d+ ?\)")
LISTS_MAX = 4


def canonical_type(text: str) -> str:
    """Return DuckDB's name for a scalar type or a list of it; `UNKNOWN` for anything else."""
    name = " ".join(text.upper().split())
    lists = 0
    while name.endswith("[]") and lists < LISTS_MAX:
        name, lists = name[:-2].rstrip(), lists + 1
    return UNKNOWN if (result := _canonical_scalar(name)) == UNKNOWN else result + "[]" * lists


def _canonical_scalar(name: str) -> str:
    decimal = _DECIMAL.fullmatch(name)
    if decimal:
        width = int(decimal[1] or 18)
        scale = int(decimal[2] or (0 if decimal[1] else 3))
        return f"DECIMAL({width},{scale})" if 1 <= width <= 38 and scale <= width else UNKNOWN
    if _VARCHAR.fullmatch(name):
        return "VARCHAR"
    return TYPE_NAMES.get(name, UNKNOWN)
