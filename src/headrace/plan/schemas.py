"""Requests and results of SQL analysis for one asset, and the columns of its table.

All are values: they are sent to worker processes and stored in the cache.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.model import (
    Asset,
    Grain,
    InputMode,
    InputSpec,
    PartitionSpec,
    Place,
    Problem,
    Project,
    Source,
    SqlBody,
)
from headrace.model.checks import ADDED_BY_SNAPSHOT
from headrace.model.errors import did_you_mean, shown
from headrace.plan.compiled import Columns
from headrace.sql.values import ANY_TYPE, UNKNOWN, Analysis, Edge, Transformation

# Analysis of one asset's SQL: its text alone, and its output columns once the inputs' columns are
# known.


class Query(msgspec.Struct, frozen=True, array_like=True):
    """The text of an SQL check, and where the check is declared."""

    name: str
    text: str
    file: str
    line: int


class AssetText(msgspec.Struct, frozen=True, array_like=True):
    """The SQL of an asset's own file; `body` is None for assets that aren't SQL."""

    name: str
    body: tuple[str, str, int] | None
    """(text, file, line)."""
    checks: tuple[Query, ...] = ()


class AssetTextAnalysis(msgspec.Struct, frozen=True, array_like=True):
    """The analysis of an asset's query, and of each SQL check: its tables and problems."""

    analysis: Analysis | None
    checks: tuple[Analysis, ...] = ()


class InputSchema(msgspec.Struct, frozen=True, array_like=True):
    """An input as a query reads it."""

    name: str
    """Lower-case, as in the query."""
    columns: Columns | None
    routing: str | None
    """The input's column that routes rows to partitions."""
    cut: bool
    """Whether the asset reads it partition by partition."""


class OutputSchemaRequest(msgspec.Struct, frozen=True, array_like=True):
    """Everything needed to determine a query's output columns."""

    analysis: Analysis
    inputs: tuple[InputSchema, ...]
    parameters: tuple[tuple[str, str], ...]
    """(placeholder, type)."""
    cut_by_time: bool
    column: str | None
    """The declared routing column."""
    place: Place
    """The declaration of the asset."""
    mixing: str
    """Why the declaration alone prevents computing partitions together; empty if it doesn't."""
    checks: tuple[Analysis, ...] = ()
    """The SQL checks, whose `$self` is the query's output."""
    added: Columns = ()
    """Columns that the materialisation adds to the output."""
    thresholds: tuple[tuple[str, str], ...] = ()
    """(column of aggregates, column that counts their people)."""


class ColumnLineage(msgspec.Struct, frozen=True, array_like=True):
    """The lineage of one query: by column, the edges that affect all columns, and mere mentions."""

    columns: dict[str, tuple[Edge, ...]]
    filters: tuple[Edge, ...] = ()
    mentions: tuple[Edge, ...] = ()

    @property
    def uses(self) -> Iterator[Edge]:
        """All edges, with repetitions."""
        for edges in (*self.columns.values(), self.filters, self.mentions):
            yield from edges


class OutputSchema(msgspec.Struct, frozen=True, array_like=True):
    """The output of a query."""

    columns: Columns | None
    problems: tuple[Problem, ...] = ()
    partition_column: str | None = None
    mixes: str = ""


def asset_text(node: Asset | Source) -> AssetText | None:
    """Return the SQL of a node: its query and its SQL checks; None if it has neither."""
    checks = tuple(
        Query(check.name, str(check.arguments.get("query", "")), check.place.file, check.place.line)
        for check in node.checks
        if check.kind == "sql"
    )
    body = node.body if isinstance(node, Asset) else None
    if isinstance(body, SqlBody) and body.text:
        return AssetText(node.name, (body.text, body.file, body.line), checks)
    return AssetText(node.name, None, checks) if checks else None


# Binding of one SQL statement by DuckDB before it runs. The binding process and the cache use these
# values.


class StatementTable(msgspec.Struct, frozen=True, array_like=True):
    """A table that a statement reads, with its known columns."""

    name: str
    columns: Columns | None

    @property
    def known(self) -> bool:
        """Whether every column has a known type."""
        return self.columns is not None and all(type_ != UNKNOWN for _, type_ in self.columns)


class BoundsType(enum.StrEnum):
    """The type of $partition_start and $partition_end."""

    NONE = ""
    """They have no value."""
    DATE = "date"
    INSTANT = "instant"


class SelectStatement(msgspec.Struct, frozen=True, array_like=True):
    """A SELECT with its tables and bound values."""

    sql: str
    tables: tuple[StatementTable, ...]
    parameters: dict[str, Any] = {}
    bounds: BoundsType = BoundsType.NONE

    @property
    def complete(self) -> bool:
        """Whether everything needed for binding is known.

        If not, the statement is only parsed and its functions are looked up.
        """
        return all(table.known for table in self.tables)


class BindResult(msgspec.Struct, frozen=True, array_like=True):
    """DuckDB's answer; `code` is empty for a statement that can run.

    `line` counts from 1 within the statement. `columns` are those of the result; None if the
    statement was only parsed, or refused.
    """

    columns: Columns | None = None
    code: str = ""
    message: str = ""
    hint: str = ""
    line: int = 1


class Prepare(msgspec.Struct, frozen=True, tag="prepare"):
    """A request to define the project's macros (path → text).

    The answer is an empty `BindResult`.
    """

    macros: dict[str, str]


class Bind(msgspec.Struct, frozen=True, tag="bind"):
    """A request to parse and bind one statement."""

    statement: SelectStatement


BindRequest = Prepare | Bind


# Materialisations: the table's columns, and unsupported combinations (SEMANTICS §5).


def table_columns(asset: Asset, body: Columns | None) -> Columns | None:
    """Return the columns of an asset's table, from those of its query."""
    if body is None:
        return None
    if asset.materialize == "merge" and asset.merge_delete is not None:
        return tuple(column for column in body if column[0].lower() != asset.merge_delete.lower())
    if asset.materialize == "snapshot":
        return (
            *body,
            *zip(
                ADDED_BY_SNAPSHOT,
                (validity_type(asset), validity_type(asset), "BOOLEAN"),
                strict=True,
            ),
        )
    return body


def untyped_columns(asset: Asset, names: Sequence[str] | None) -> Columns:
    """Return the columns of a table whose types aren't known, as `ANY_TYPE`.

    Those that the materialisation adds have their types. Without names, `*` stands for the others.
    """
    added = dict(table_columns(asset, ()) or ())
    known = ("*", *added) if names is None else names
    return tuple((name, added.get(name, ANY_TYPE)) for name in known)


def validity_type(asset: Asset) -> str:
    """Return DuckDB's type of `valid_from` and `valid_to`.

    Days and coarser grains have dates, everything else instants.
    """
    return "DATE" if asset.partition.grain not in (None, Grain.HOUR) else "TIMESTAMP WITH TIME ZONE"


def materialization_problems(
    asset: Asset,
    inputs: Sequence[InputSpec],
    body: Columns | None,
    project: Project,
    analysis: Analysis | None,
) -> Iterator[Problem]:
    """Yield problems that prevent the declared materialisation of an asset."""
    if asset.accumulates:
        yield from _accumulating(asset, body)
    if asset.materialize == "append":
        yield from _append(asset, inputs, project)
    if asset.materialize == "view":
        yield from _view(asset, inputs, analysis)


def _accumulating(asset: Asset, body: Columns | None) -> Iterator[Problem]:
    if asset.partition.key is not None:
        message = (
            f"{shown(asset.name)} is materialised as `{asset.materialize}`, and partitioned by"
            f" `{asset.partition.key}`"
        )
        yield _problem(
            asset,
            "conflicting_fields",
            message,
            f"add `{asset.partition.key}` to the keys, and partition by time or not at all",
        )
    if body is None:
        return
    known = [name for name, _ in body]
    named = (
        *asset.merge_keys,
        *((asset.merge_delete,) if asset.merge_delete else ()),
        *asset.snapshot_columns,
    )
    for name in named:
        if name.lower() not in {column.lower() for column in known}:
            hint = did_you_mean(name, known) or f"its columns are: {', '.join(known[:12])}"
            message = (
                f"`{asset.materialize}` of {shown(asset.name)} names the column {shown(name)},"
                " which its code doesn't return"
            )
            yield _problem(asset, "unknown_merge_column", message, hint)
    clashes = (
        {column.lower() for column in known} & set(ADDED_BY_SNAPSHOT)
        if asset.materialize == "snapshot"
        else set()
    )
    for name in sorted(clashes):
        message = (
            f"the code of {shown(asset.name)} returns `{name}`, which `materialize: snapshot` adds"
            " itself"
        )
        yield _problem(asset, "duplicate_column", message, "rename it with AS")


def _append(asset: Asset, inputs: Sequence[InputSpec], project: Project) -> Iterator[Problem]:
    if not asset.partition.by_delivery or delivering_input(inputs, project) is not None:
        return
    message = (
        f"{shown(asset.name)} is appended to and isn't partitioned by time, so it needs one input"
        " whose deliveries it follows"
    )
    yield _problem(
        asset,
        "conflicting_fields",
        message,
        "partition it by time, or mark its other inputs as `all`",
    )


def delivering_input(inputs: Sequence[InputSpec], project: Project) -> InputSpec | None:
    """Return the only input that has a partition for each delivery.

    None if there isn't exactly one.
    """
    required = [spec for spec in inputs if spec.mode is InputMode.REQUIRED and not spec.optional]
    if len(required) != 1:
        return None
    node = project.sources.get(required[0].node) or project.assets.get(required[0].node)
    is_view = isinstance(node, Asset) and node.materialize == "view"
    return (
        required[0]
        if node is not None and not is_view and (node.partition.whole or node.partition.by_delivery)
        else None
    )


def following_deliveries(project: Project, inputs: Mapping[str, Sequence[InputSpec]]) -> Project:
    """Return the project in which unpartitioned merges and snapshots process deliveries one by one.

    This applies where the input that they follow has a partition for each delivery.
    """
    cut = {
        name: msgspec.structs.replace(asset, partition=PartitionSpec(by_delivery=True))
        for name, asset in project.assets.items()
        if asset.accumulates
        and asset.partition.whole
        and _by_delivery(delivering_input(inputs[name], project), project)
    }
    return msgspec.structs.replace(project, assets={**project.assets, **cut}) if cut else project


def _by_delivery(spec: InputSpec | None, project: Project) -> bool:
    node = None if spec is None else project.sources.get(spec.node) or project.assets[spec.node]
    return node is not None and node.partition.by_delivery


def _view(
    asset: Asset, inputs: Sequence[InputSpec], analysis: Analysis | None
) -> Iterator[Problem]:
    name = shown(asset.name)
    if not isinstance(asset.body, SqlBody):
        yield _problem(
            asset,
            "wrong_view",
            f"{name} is a view, and its code isn't SQL",
            "write a SELECT, or materialize: table",
        )
    if not asset.partition.whole:
        yield _problem(
            asset,
            "wrong_view",
            f"{name} is a view, and has `partition:`",
            "take it out: a view is partitioned like what reads it",
        )
    if analysis is not None and analysis.uses_self:
        yield _problem(
            asset,
            "wrong_view",
            f"{name} is a view, and reads `$self`",
            "a view has no rows of its own; materialize: table",
        )
    for reference in analysis.placeholders if analysis is not None else ():
        message = (
            f"{name} is a view, and names `${reference.name}`, which only what reads it could say"
        )
        yield _problem(asset, "wrong_view", message, "write the value, or let the reader filter")
    for spec in inputs:
        if spec.mode in (InputMode.PREVIOUS, InputMode.WITHIN):
            message = f"{name} is a view, and reads {shown(spec.node)} as `{spec.mode}`"
            yield _problem(
                asset,
                "wrong_view",
                message,
                "a view reads what its reader requires, `all`, or with a lookback",
            )


def _problem(asset: Asset, code: str, message: str, hint: str) -> Problem:
    return Problem(code=code, message=message, hint=hint, place=asset.place)


# Columns that are join keys anywhere downstream, under whatever name they have there.

PLACES_MAX = 500
"""Maximum number of columns searched for the origin of one; beyond it the column counts as not
joined."""
_UNCHANGED = (Transformation.IDENTITY, Transformation.CAST)


def is_join_key(  # complexipy: ignore (a walk that ends at the first join)
    node: str,
    columns: Iterable[str],
    readers: Callable[[str], Iterable[str]],
    lines: Callable[[str], ColumnLineage | None],
) -> bool:
    """Return whether data derived from `node` is joined by one of these columns.

    `readers` returns the readers of a node, `lines` a node's lineage; where that is None, no join
    is assumed.
    """
    seen, waiting = set[tuple[str, str]](), [(node, column.lower()) for column in columns]
    while waiting and len(seen) < PLACES_MAX:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        for reader in readers(at[0]):
            lineage = lines(reader)
            if lineage is None:
                continue
            if any(_is_of(edge, at, Transformation.JOIN_KEY) for edge in lineage.filters):
                return True
            waiting += [(reader, name) for name in _passed_on(lineage, at)]
    return False


def _passed_on(lineage: ColumnLineage, at: tuple[str, str]) -> list[str]:
    """Return the reader's columns (lower-case) with the unchanged values of a column."""
    return [
        name.lower()
        for name, edges in lineage.columns.items()
        if any(_is_of(edge, at, *_UNCHANGED) for edge in edges)
    ]


def _is_of(edge: Edge, at: tuple[str, str], *how: Transformation) -> bool:
    return (edge.input, edge.column.lower()) == (
        at[0].lower(),
        at[1],
    ) and edge.transformation in how


# Digests of values, and the encoded lineage of one asset under the digest of its inputs.

_ENCODER = msgspec.msgpack.Encoder()


def digest(value: Any) -> bytes:
    """Return a short digest of a value's encoding."""
    return hashlib.blake2b(_ENCODER.encode(value), digest_size=16).digest()


def lines_key(sql: str, inputs: tuple[tuple[str, tuple[str, ...] | None], ...]) -> bytes:
    """Return a digest of what a query's lineage depends on.

    Its text and its inputs' column names.
    """
    return digest((sql, inputs))


class KeptLines(msgspec.Struct, frozen=True, array_like=True):
    """The encoded lineage of one asset's code, and a digest of its inputs.

    It is encoded so that a reader of one doesn't decode all.
    """

    key: bytes
    lines: msgspec.Raw
