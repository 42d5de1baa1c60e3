"""Whose rows `erase` erases: the condition as typed, and the columns that its values went to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import msgspec

from headrace.extension import (
    ALL_COLUMNS,
    Compiled,
    HeadraceError,
    Lineage,
    ProjectSession,
    UsageError,
    command_line,
    did_you_mean,
)
from headrace.lake import catalog
from headrace.model import UnknownName
from headrace.model.erased_rows import ErasedKey, ErasedRows
from headrace.sql.values import Edge, Transformation
from headrace.store import Transaction
from headrace_erase.ledger import tokens
from headrace_erase.search import cast_texts

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
    reused: dict[str, list[str]]
    """Nodes → columns that had the key by earlier code, and have something else by now."""


class _Version(msgspec.Struct, frozen=True):
    """A version of the project, with the columns of each node."""

    compiled: Compiled
    lineage: Lineage
    columns: Mapping[str, tuple[str, ...]]


class _Path(msgspec.Struct, frozen=True):
    """Where the keys of an alternative begin in a version, and what has each of them, by node."""

    version: _Version
    origin: str
    carried: tuple[dict[str, set[str]], ...]

    def columns_at(self, node: str) -> list[list[str]]:
        """Return the columns of a node that have each key."""
        return [sorted(places.get(node, ())) for places in self.carried]


def nodes_of(
    session: ProjectSession,
    tx: Transaction,
    codes: Sequence[tuple[Compiled, Lineage]],
    condition: Condition,
    start: str | None,
) -> Found:
    """Return the nodes that the subject's rows went to, from the nodes that the keys are in.

    `codes` are the project and the earlier versions that made rows, in which columns may have had
    other names. Raise UsageError if the keys don't say which node they are of, and UnknownName.
    """
    now, *before = [_Version(*code, _columns(tx, code[0], codes[0][0])) for code in codes]
    places = [
        place
        for keys in condition
        for place in _places(session, tx, now, keys, _paths(now, before, keys, start))
    ]
    by_node: dict[str, dict[ErasedRows, None]] = defaultdict(dict)
    for node, rows, _, _ in places:
        by_node[node].update(dict.fromkeys(rows))
    results = {node: tuple(rows) for node, rows in by_node.items() if rows}
    return Found(
        results,
        {node: lacks for node, _, lacks, _ in places if lacks and node not in results},
        {node: others for node, _, _, others in places if others},
    )


def _hashed(
    session: ProjectSession, tx: Transaction, keys: Sequence[Key], paths: Sequence[_Path]
) -> list[tuple[str, ...]]:
    """Return the hashes of each key's values, as columns of all their types have them."""
    types = _types(tx, [places for path in paths for places in path.carried])
    texts = cast_texts([value for key in keys for value in key.values], types)
    return [tokens(session.data_folder, _texts(texts, key)) for key in keys]


def _places(
    session: ProjectSession,
    tx: Transaction,
    now: _Version,
    keys: Sequence[Key],
    paths: Sequence[_Path],
) -> Iterator[tuple[str, list[ErasedRows], list[str], list[str]]]:
    """Yield each node on the paths, its rows, the keys that it lacks, and the names it reuses.

    An earlier version tells only of columns that it has.
    """
    hashed = _hashed(session, tx, keys, paths)
    for path, node in _steps(paths):
        columns = path.columns_at(node)
        lacks = [key.column for key, names in zip(keys, columns, strict=True) if not names]
        others = [] if path.version is now else _others(session, paths[0], node, columns)
        rows = [] if others else list(_rows_of(columns, hashed))
        if path.version is now or not lacks:
            yield node, rows, lacks, others


def _steps(paths: Sequence[_Path]) -> Iterator[tuple[_Path, str]]:
    for path in paths:
        yield path, path.origin
        yield from ((path, node) for node in _downstream(path.version.compiled, path.origin))


def _paths(
    now: _Version, before: Sequence[_Version], keys: Sequence[Key], start: str | None
) -> list[_Path]:
    """Return where an alternative leads in each version that has its columns."""
    paths: list[_Path] = []
    problem: HeadraceError | None = None
    for version in (now, *before):
        begin = paths[0].origin if paths else start
        try:
            origin = _origin(version.compiled, version.columns, keys, begin)
        except HeadraceError as error:
            problem = problem or error
            continue
        places = [
            _carried(version.compiled, version.lineage, version.columns, origin, key.column)
            for key in keys
        ]
        paths.append(_Path(version, origin, tuple(places)))
    if not paths and problem is not None:
        raise problem
    return paths


def _others(
    session: ProjectSession, path: _Path, node: str, columns: Sequence[Sequence[str]]
) -> list[str]:
    """Return columns of earlier code whose names the code in force gives to something else."""
    declared = None if session.compiled is None else session.compiled.nodes.get(node)
    if declared is None:
        return []
    has_key = {name for names in path.columns_at(node) for name in names}
    others = set(declared.column_names or ()) - has_key
    return sorted({name for names in columns for name in names} & others)


def _rows_of(
    columns: Sequence[Sequence[str]], hashed: Sequence[tuple[str, ...]]
) -> Iterator[ErasedRows]:
    """Yield how rows are recognised, for each choice of the columns that have the keys."""
    for chosen in list(product(*columns))[:ALTERNATIVES_MAX]:
        pairs = zip(chosen, hashed, strict=True)
        yield ErasedRows(tuple(ErasedKey(column, known) for column, known in pairs))


def _texts(texts: Mapping[str, Sequence[str]], key: Key) -> list[str]:
    return [text for value in key.values for text in texts[value]]


def _columns(tx: Transaction, compiled: Compiled, now: Compiled) -> dict[str, tuple[str, ...]]:
    """Return the columns of each node: as declared, and of its table.

    Of an earlier version they are those that its code had, as far as they are known.
    """
    results = {}
    for name, node in compiled.nodes.items():
        declared = node.column_names or ()
        table = None if catalog.missing(tx) else catalog.table(tx, name)
        if table is not None and (compiled is now or not declared):
            own_columns = (column.name for column in table.columns[1:])
            results[name] = tuple(dict.fromkeys((*own_columns, *declared)))
        else:
            results[name] = declared
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
    if columns[node]:  # nothing is known of those of a source that never published
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
    named = (name for name in columns[origin] if name.lower() == column.lower())
    own_column = next(named, column)
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
