"""What is asked about one node's SQL and what is answered, as values: for worker processes and for the cache."""

from __future__ import annotations

import msgspec

from headrace.model import Asset, Place, Problem, Source, SqlBody
from headrace.plan.values import Columns
from headrace.sql.values import Analysis, Edge


class Query(msgspec.Struct, frozen=True, array_like=True):
    """The text of an SQL check, and where the check is declared."""

    name: str
    text: str
    file: str
    line: int


class AssetText(msgspec.Struct, frozen=True, array_like=True):
    """What can be read of an asset from its own file. `body` is None for assets that aren't SQL."""

    name: str
    body: tuple[str, str, int] | None
    """Text, file, line."""
    checks: tuple[Query, ...] = ()


class AssetTextAnalysis(msgspec.Struct, frozen=True, array_like=True):
    """What was read: of the body, and for each SQL check which tables it names and what is wrong with it."""

    analysis: Analysis | None
    checks: tuple[Analysis, ...] = ()


class InputSchema(msgspec.Struct, frozen=True, array_like=True):
    """An input as a body sees it."""

    name: str
    """Lower-case, as in the body."""
    columns: Columns | None
    routing: str | None
    """The input's column that routes rows to partitions."""
    cut: bool
    """Whether the body gets partitions of it one by one."""


class OutputSchemaRequest(msgspec.Struct, frozen=True, array_like=True):
    """What is needed to say what a body gives."""

    analysis: Analysis
    inputs: tuple[InputSchema, ...]
    parameters: tuple[tuple[str, str], ...]
    """Placeholder → type."""
    cut_by_time: bool
    column: str | None
    """The routing column as declared."""
    place: Place
    """Of the asset."""
    mixing: str
    """Why the declaration alone says that partitions can't be computed together; empty if it doesn't."""
    checks: tuple[Analysis, ...] = ()
    """The SQL checks, whose `$self` is what the body gives."""
    added: Columns = ()
    """What the materialisation adds to that."""


class ColumnLineage(msgspec.Struct, frozen=True, array_like=True):
    """The lineage of one body: per column, and what affects all columns."""

    columns: dict[str, tuple[Edge, ...]]
    filters: tuple[Edge, ...] = ()


class OutputSchema(msgspec.Struct, frozen=True, array_like=True):
    """What a body gives. `names` are known more often than the types in `columns`."""

    columns: Columns | None
    problems: tuple[Problem, ...] = ()
    partition_column: str | None = None
    mixes: str = ""


def text_of(node: Asset | Source) -> AssetText | None:
    """What there is to read of a node: its SQL body, its SQL checks; None if it has neither."""
    checks = tuple(
        Query(check.name, str(check.arguments.get("query", "")), check.place.file, check.place.line)
        for check in node.checks
        if check.kind == "sql"
    )
    body = node.body if isinstance(node, Asset) else None
    if isinstance(body, SqlBody) and body.text:
        return AssetText(node.name, (body.text, body.file, body.line), checks)
    return AssetText(node.name, None, checks) if checks else None
