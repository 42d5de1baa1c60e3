"""What is known about tables: columns, types, NULLs and keys, with what guards each key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlglot import exp

from headrace.advisor.advice import Premise

_NOT_ENFORCED = frozenset(
    ("bigquery", "snowflake", "redshift", "databricks", "spark", "spark2", "hive", "athena",
     "clickhouse", "trino", "presto", "doris", "starrocks", "fabric")
)  # fmt: skip
"""Dialects of databases that accept PRIMARY KEY and UNIQUE, but don't enforce them."""
_INTEGERS = frozenset(
    ("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "INTEGER", "BIGINT", "HUGEINT", "INT128", "INT256",
     "UTINYINT", "USMALLINT", "UMEDIUMINT", "UINT", "UINTEGER", "UBIGINT", "UHUGEINT", "UINT128",
     "SERIAL", "BIGSERIAL", "SMALLSERIAL")
)  # fmt: skip
_TEXTS = frozenset(("VARCHAR", "TEXT", "NVARCHAR", "STRING", "TINYTEXT", "MEDIUMTEXT", "LONGTEXT"))
_FLOATS = frozenset(("FLOAT", "DOUBLE", "REAL"))
_DECIMALS = frozenset(("DECIMAL", "NUMERIC", "BIGDECIMAL", "MONEY", "SMALLMONEY"))


class Key(NamedTuple):
    """Columns that no two rows share."""

    columns: frozenset[str]
    premise: Premise
    null_safe: bool
    """False if rows with NULL in the key may repeat, as with UNIQUE."""


class Reference(NamedTuple):
    """Columns whose values all occur in another table."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]
    premise: Premise


class TableFacts(NamedTuple):
    """What is known about one table. `types` is None if its columns aren't known."""

    name: str
    types: Mapping[str, str] | None = None
    """Lower-case column → family of types (`family`); empty text for one that isn't known."""
    not_null: Mapping[str, Premise] = {}
    keys: tuple[Key, ...] = ()
    references: tuple[Reference, ...] = ()


Catalog = Mapping[str, TableFacts]
"""Lower-case name → facts; the last part of a qualified name."""


def family(type_: str) -> str:
    """Return a name for types whose values compare without loss; empty for an unknown type."""
    name = type_.upper().partition("(")[0].strip()
    if name in _INTEGERS or name in _DECIMALS:
        return "number"
    if name in _TEXTS:
        return "text"
    if name in _FLOATS:
        return "float"
    return "" if name in ("UNKNOWN", "NULL", '"NULL"') else name.lower()


def table_name(table: exp.Expr) -> str:
    """Return the name by which a table is known: lower-case, without its schema."""
    return str(table.name).lower()


def declared(trees: Iterable[tuple[exp.Expr, str]], dialect: str) -> dict[str, TableFacts]:
    """Return the tables that statements create, with their keys.

    `trees` are statements, each with its place, for the guards.
    """
    tables: dict[str, _Table] = {}
    for tree, place in trees:
        if isinstance(tree, exp.Create):
            _create(tree, place, tables)
        elif isinstance(tree, exp.Alter):
            _alter(tree, place, tables)
    enforced = dialect not in _NOT_ENFORCED
    return {name: table.facts(enforced) for name, table in tables.items()}


class _Table:
    def __init__(self, name: str) -> None:
        self.name = name
        self.types: dict[str, str] | None = None
        self.not_null: dict[str, str] = {}
        self.keys: list[tuple[frozenset[str], str, str]] = []
        """Columns, `PRIMARY KEY` or `UNIQUE`, place."""
        self.references: list[tuple[tuple[str, ...], str, tuple[str, ...], str]] = []

    def facts(self, enforced: bool) -> TableFacts:  # complexipy: ignore (a part per field)
        keys = []
        not_null = {
            column: Premise(
                f"{column} of {self.name} is never NULL",
                f"NOT NULL ({place})" if enforced else None,
            )
            for column, place in self.not_null.items()
        }
        for columns, kind, place in self.keys:
            guard = f"{kind} ({place})" if enforced else None
            text = f"({', '.join(sorted(columns))}) is unique in {self.name}"
            keys.append(Key(columns, Premise(text, guard), kind == "PRIMARY KEY"))
            if kind == "PRIMARY KEY":
                for column in columns:
                    text = f"{column} of {self.name} is never NULL"
                    not_null.setdefault(column, Premise(text, guard))
        references = tuple(
            Reference(
                columns,
                table,
                to,
                Premise(
                    f"each ({', '.join(columns)}) of {self.name} is in {table}",
                    f"FOREIGN KEY ({place})" if enforced else None,
                ),
            )
            for columns, table, to, place in self.references
        )
        return TableFacts(self.name, self.types, not_null, tuple(keys), references)


def _create(tree: exp.Create, place: str, tables: dict[str, _Table]) -> None:
    target = tree.this
    if isinstance(target, exp.Index) and tree.args.get("unique"):
        _unique_index(target, place, tables)
    if not isinstance(target, exp.Schema) or tree.kind != "TABLE":
        return
    table = tables.setdefault(table_name(target.this), _Table(target.this.name))
    table.types = {}
    for part in target.expressions:
        if isinstance(part, exp.ColumnDef):
            _column(part, place, table)
        else:
            _constraint(part, place, table)


def _unique_index(index: exp.Index, place: str, tables: dict[str, _Table]) -> None:
    of, parameters = index.args.get("table"), index.args.get("params")
    if of is None or parameters is None or parameters.args.get("where"):
        return
    parts = [part.this if isinstance(part, exp.Ordered) else part for part in
             parameters.args.get("columns") or []]  # fmt: skip
    if parts and all(isinstance(part, exp.Column) for part in parts):
        table = tables.setdefault(table_name(of), _Table(of.name))
        columns = frozenset(part.name.lower() for part in parts)
        table.keys.append((columns, "UNIQUE INDEX", place))


def _alter(tree: exp.Alter, place: str, tables: dict[str, _Table]) -> None:
    table = tables.setdefault(table_name(tree.this), _Table(tree.this.name))
    for action in tree.args.get("actions") or []:
        if isinstance(action, exp.AddConstraint):
            for part in action.expressions:
                _constraint(part, place, table)


def _column(column: exp.ColumnDef, place: str, table: _Table) -> None:
    name = column.name.lower()
    assert table.types is not None
    kind = column.args.get("kind")
    table.types[name] = family(kind.sql("duckdb")) if isinstance(kind, exp.DataType) else ""
    for constraint in column.args.get("constraints") or []:
        what = constraint.args.get("kind")
        if isinstance(what, exp.PrimaryKeyColumnConstraint):
            table.keys.append((frozenset((name,)), "PRIMARY KEY", place))
        elif isinstance(what, exp.UniqueColumnConstraint):
            table.keys.append((frozenset((name,)), "UNIQUE", place))
        elif isinstance(what, exp.NotNullColumnConstraint) and not what.args.get("allow_null"):
            table.not_null[name] = place
        elif isinstance(what, exp.Reference):
            _reference((name,), what, place, table)


def _constraint(  # complexipy: ignore (a case per kind)
    part: exp.Expr, place: str, table: _Table
) -> None:
    if isinstance(part, exp.Constraint):
        for inner in part.expressions:
            _constraint(inner, place, table)
    elif isinstance(part, exp.PrimaryKey):
        if columns := _names(part.expressions):
            table.keys.append((frozenset(columns), "PRIMARY KEY", place))
    elif isinstance(part, exp.UniqueColumnConstraint) and isinstance(part.this, exp.Schema):
        if columns := _names(part.this.expressions):
            table.keys.append((frozenset(columns), "UNIQUE", place))
    elif isinstance(part, exp.ForeignKey):
        reference = part.args.get("reference")
        if isinstance(reference, exp.Reference) and (columns := _names(part.expressions)):
            _reference(columns, reference, place, table)


def _reference(columns: tuple[str, ...], part: exp.Reference, place: str, table: _Table) -> None:
    schema = part.this
    if isinstance(schema, exp.Schema) and (to := _names(schema.expressions)):
        table.references.append((columns, table_name(schema.this), to, place))


def _names(parts: Iterable[exp.Expr]) -> tuple[str, ...]:
    names = []
    for part in parts:
        inner = part.this if isinstance(part, exp.Ordered) else part
        if not isinstance(inner, exp.Identifier | exp.Column):
            return ()
        names.append(inner.name.lower())
    return tuple(names)
