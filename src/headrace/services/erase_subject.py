"""Whose rows `erase` erases: the condition as typed, and the columns that its values went to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import msgspec

from headrace.lake import catalog
from headrace.model import UnknownName, UsageError
from headrace.model.erased_rows import ErasedKey, ErasedRows
from headrace.model.errors import did_you_mean
from headrace.model.partitions import command_line
from headrace.plan.compiled import Compiled
from headrace.plan.impact import ALL_COLUMNS, Lineage
from headrace.runtime.erasure_search import cast_texts
from headrace.security.erasures import tokens
from headrace.services.session import ProjectSession
from headrace.sql.values import Edge, Transformation
from headrace.store import Transaction

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

WHERE_CHARACTERS_MAX = 10_000
VALUES_MAX = 200
ALTERNATIVES_MAX = 64
GRAMMAR = (
    "--where \"id = 42\", \"email in ('a@example.com', 'b@example.com')\" or"
    ' "customers.id = 42 or orders.customer = 42"'
)
_FAITHFUL = (Transformation.IDENTITY, Transformation.CAST)
"""Transformations that pass a key on as it is."""


class Key(msgspec.Struct, frozen=True):
    """A column that must have one of these values; `node` is empty where none was typed."""

    node: str
    column: str
    values: tuple[str, ...]


Condition = tuple[tuple[Key, ...], ...]
"""Alternatives; a row is the subject's if it matches all keys of one of them."""


def parsed(text: str) -> Condition:
    """Return the condition of --where. Raise UsageError for anything but keys with values."""
    import sqlglot

    if not text.strip() or len(text) > WHERE_CHARACTERS_MAX:
        raise UsageError("--where needs the keys of the subject", hint=f"for example {GRAMMAR}")
    try:
        expression = sqlglot.parse_one(text, dialect="duckdb")
    except (sqlglot.errors.SqlglotError, RecursionError):
        raise _unreadable() from None  # its message would repeat the value
    alternatives = tuple(tuple(_keys(part)) for part in _alternatives(expression))
    if sum(len(key.values) for keys in alternatives for key in keys) > VALUES_MAX:
        raise UsageError(
            f"--where names more than {VALUES_MAX} values", hint="erase one subject after another"
        )
    return alternatives


def _unreadable() -> UsageError:
    return UsageError(
        "--where isn't a list of keys with their values: COLUMN = VALUE or COLUMN in (VALUE, …),"
        " joined by `and` and `or`",
        hint=f"for example {GRAMMAR}",
    )


def _alternatives(expression: Expr) -> Iterator[Expr]:
    from sqlglot import expressions

    inner = expression.unnest()
    if isinstance(inner, expressions.Or):
        yield from _alternatives(inner.this)
        yield from _alternatives(inner.expression)
    else:
        yield inner


def _keys(expression: Expr) -> Iterator[Key]:
    from sqlglot import expressions

    match expression.unnest():
        case expressions.And(this=left, expression=right):
            yield from _keys(left)
            yield from _keys(right)
        case expressions.EQ(this=left, expression=right):
            column, value = (left, right) if isinstance(left, expressions.Column) else (right, left)
            yield _key(column, [value])
        case expressions.In(this=column, expressions=values) if values:
            yield _key(column, values)
        case _:
            raise _unreadable()


def _key(column: Expr, values: Sequence[Expr]) -> Key:
    from sqlglot import expressions

    if not isinstance(column, expressions.Column) or column.args.get("db") is not None:
        raise _unreadable()
    if not column.name or isinstance(column.this, expressions.Star):
        raise _unreadable()
    return Key(column.table, column.name, tuple(_value(value) for value in values))


def _value(value: Expr) -> str:
    from sqlglot import expressions

    inner = value.unnest()
    if isinstance(inner, expressions.Neg) and isinstance(inner.this, expressions.Literal):
        return f"-{inner.this.this}"
    if isinstance(inner, expressions.Boolean):
        return str(inner.this).lower()
    if not isinstance(inner, expressions.Literal):
        raise _unreadable()
    return str(inner.this)


class Found(msgspec.Struct, frozen=True):
    """Where the rows of a subject are: by node, how they are recognised, and what can't be told."""

    keys: dict[str, tuple[ErasedRows, ...]]
    without: dict[str, list[str]]
    """Nodes that read the subject's data and lack the key → the columns that they lack."""


def nodes_of(  # complexipy: ignore (each alternative, with the nodes that it reaches)
    session: ProjectSession,
    tx: Transaction,
    compiled: Compiled,
    lineage: Lineage,
    condition: Condition,
    start: str | None,
) -> Found:
    """Return the nodes that the subject's rows went to, from the nodes that the keys are in.

    Raise UsageError if the keys don't say which node they are of, and UnknownName.
    """
    columns = _columns(tx, compiled)
    by_node: dict[str, list[ErasedRows]] = defaultdict(list)
    without: dict[str, list[str]] = {}
    for keys in condition:
        origin = _origin(compiled, columns, keys, start)
        carried = [_carried(compiled, lineage, columns, origin, key.column) for key in keys]
        texts = cast_texts([value for key in keys for value in key.values], _types(tx, carried))
        hashed = [tokens(session.data_folder, _texts(texts, key)) for key in keys]
        for node in [origin, *_downstream(compiled, origin)]:
            pairs = zip(keys, carried, strict=True)
            lacks = [key.column for key, places in pairs if not places.get(node)]
            if lacks:
                without[node] = lacks
            else:
                by_node[node] += _rows_of([sorted(places[node]) for places in carried], hashed)
    results = {node: tuple(rows) for node, rows in by_node.items()}
    return Found(results, {node: lacks for node, lacks in without.items() if node not in results})


def _rows_of(
    columns: Sequence[Sequence[str]], hashed: Sequence[tuple[str, ...]]
) -> Iterator[ErasedRows]:
    """Yield how rows are recognised, for each choice of the columns that have the keys."""
    for chosen in list(product(*columns))[:ALTERNATIVES_MAX]:
        pairs = zip(chosen, hashed, strict=True)
        yield ErasedRows(tuple(ErasedKey(column, known) for column, known in pairs))


def _texts(texts: Mapping[str, Sequence[str]], key: Key) -> list[str]:
    return [text for value in key.values for text in texts[value]]


def _columns(tx: Transaction, compiled: Compiled) -> dict[str, tuple[str, ...]]:
    """Return the columns of each node: of its table if it has one, otherwise as declared."""
    results = {}
    for name, node in compiled.nodes.items():
        table = None if catalog.missing(tx) else catalog.table(tx, name)
        results[name] = (
            tuple(column.name for column in table.columns[1:])
            if table is not None
            else node.column_names or ()
        )
    return results


def _origin(
    compiled: Compiled,
    columns: Mapping[str, tuple[str, ...]],
    keys: Sequence[Key],
    start: str | None,
) -> str:
    """Return the node whose columns an alternative names."""
    typed = {key.node for key in keys if key.node} or ({start} if start else set())
    if len(typed) > 1:
        raise UsageError(
            f"keys joined by `and` are of one node, not of {' and '.join(sorted(typed))}",
            hint="join the keys of different nodes by `or`",
        )
    if typed:
        return _typed_origin(compiled, columns, keys, *typed)
    for kind in (compiled.project.sources, compiled.project.assets):
        names = [name for name in kind if _has(columns.get(name, ()), keys)]
        if len(names) > 1:
            raise UsageError(
                f"{' and '.join(names[:8])} have {_named(keys)}: whose rows are the subject's?",
                hint=f"{command_line('erase', 'SUBJECT', '--from', names[0])} --where …,"
                " or write NODE.COLUMN",
            )
        if names:
            return names[0]
    raise UsageError(
        f"no source or asset has {_named(keys)}", hint="headrace ls --json lists columns"
    )


def _typed_origin(
    compiled: Compiled, columns: Mapping[str, tuple[str, ...]], keys: Sequence[Key], name: str
) -> str:
    """Return the node that was typed. Raise UnknownName, and UsageError if it lacks a column."""
    node = next((known for known in columns if known.lower() == name.lower()), None)
    if node is None:
        known = [*compiled.project.sources, *compiled.project.assets]
        raise UnknownName(
            f"there is no source or asset {name[:60]!r}",
            hint=did_you_mean(name, known) or "headrace ls",
        )
    _require_columns(node, columns[node], keys)
    return node


def _has(columns: Sequence[str], keys: Sequence[Key]) -> bool:
    present = {column.lower() for column in columns}
    return all(key.column.lower() in present for key in keys)


def _require_columns(node: str, columns: Sequence[str], keys: Sequence[Key]) -> None:
    present = {column.lower() for column in columns}
    for key in keys:
        if key.column.lower() not in present:
            raise UsageError(
                f"{node} has no column `{key.column[:60]}`",
                hint=did_you_mean(key.column, columns)
                or f"its columns are: {', '.join(columns[:12])}",
            )


def _named(keys: Sequence[Key]) -> str:
    return "a column " + " and ".join(f"`{key.column[:60]}`" for key in keys)


def _downstream(compiled: Compiled, origin: str) -> list[str]:
    """Return the assets that read the node, directly or not, in project order."""
    reached = {origin}
    results = []
    for name in compiled.order:
        node = compiled.nodes[name]
        if name not in reached and any(spec.node in reached for spec in node.inputs):
            reached.add(name)
            if name in compiled.project.assets:
                results.append(name)
    return results


def _carried(  # complexipy: ignore (one walk over the assets, in project order)
    compiled: Compiled,
    lineage: Lineage,
    columns: Mapping[str, tuple[str, ...]],
    origin: str,
    column: str,
) -> dict[str, set[str]]:
    """Return the columns that have the key's value as it is, by node."""
    own_column = next(name for name in columns[origin] if name.lower() == column.lower())
    carried = {origin: {own_column}}
    for name in compiled.order:
        if name in compiled.project.assets and name != origin:
            edges = lineage.of(name).columns
            outputs = {
                output
                for output in columns.get(name, ())
                if any(_passes(carried, *edge) for edge in _faithful(edges, output))
            }
            if outputs:
                carried[name] = outputs
    return carried


def _faithful(edges: Mapping[str, Sequence[Edge]], output: str) -> Iterator[tuple[str, str]]:
    """Yield the inputs and columns whose values an output column has as they are."""
    for edge in {*edges.get(output, ()), *edges.get(output.lower(), ())}:
        if edge.transformation in _FAITHFUL:
            yield edge.input, edge.column
    for edge in edges.get(ALL_COLUMNS, ()):
        if edge.transformation in _FAITHFUL:
            yield edge.input, output


def _passes(carried: Mapping[str, set[str]], node: str, column: str) -> bool:
    names = [name for name in carried if name.lower() == node.lower()]
    return any(column.lower() in {known.lower() for known in carried[name]} for name in names)


def _types(tx: Transaction, carried: Sequence[Mapping[str, set[str]]]) -> list[str]:
    """Return the types of all columns that have a key's value."""
    names = {(node, name) for places in carried for node in places for name in places[node]}
    if catalog.missing(tx):
        return []
    tables = {node: catalog.table(tx, node) for node, _ in names}
    return sorted(
        {
            column.type
            for node, table in tables.items()
            for column in (table.columns if table is not None else ())
            if (node, column.name) in names
        }
    )
