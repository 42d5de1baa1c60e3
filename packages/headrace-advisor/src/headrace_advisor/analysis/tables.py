"""What is known about tables: columns, types, NULLs and keys, with what guards each key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlglot import exp

from headrace_advisor.analysis.advice import Premise

_ENFORCED = frozenset(
    ("duckdb", "postgres", "mysql", "tsql", "oracle", "sqlite", "teradata", "singlestore")
)  # fmt: skip
"""Dialects of databases that enforce PRIMARY KEY and UNIQUE; others accept them as a comment."""
_INTEGERS = frozenset(
    ("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "INTEGER", "BIGINT", "HUGEINT", "INT128",
     "UTINYINT", "USMALLINT", "UMEDIUMINT", "UINT", "UINTEGER", "UBIGINT",
     "SERIAL", "BIGSERIAL", "SMALLSERIAL")
)  # fmt: skip
"""UHUGEINT isn't among them: DuckDB compares it with other integers as DOUBLE."""
_TEXTS = frozenset(("VARCHAR", "TEXT", "NVARCHAR", "STRING", "TINYTEXT", "MEDIUMTEXT", "LONGTEXT"))
_FLOATS = frozenset(("FLOAT", "DOUBLE", "REAL"))
_INDEX = "UNIQUE INDEX"
_DECIMALS = frozenset(("DECIMAL", "NUMERIC", "BIGDECIMAL", "MONEY", "SMALLMONEY"))

COLLATED = "collated text"
LOOSELY_EQUAL = frozenset(("interval", "timetz", COLLATED))
"""Families of types in which values that differ may be equal, such as one month and 30 days."""


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
    schema: str = ""
    """The other table's schema, as it is written."""


class TableFacts(NamedTuple):
    """What is known about one table. `types` is None if its columns aren't known."""

    name: str
    types: Mapping[str, str] | None = None
    """Lower-case column → family of types (`family`); empty text for one that isn't known."""
    not_null: Mapping[str, Premise] = {}
    keys: tuple[Key, ...] = ()
    references: tuple[Reference, ...] = ()
    schema: str = ""
    """The schema in lower case; empty if the statement names none."""


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


def schema_name(table: exp.Expr) -> str:
    """Return the schema that a table's name is written with, in lower case; empty without one."""
    return str(table.text("db")).lower()


def declared(trees: Iterable[tuple[exp.Expr, str]], dialect: str) -> dict[str, TableFacts]:
    """Return the tables that statements create, with their keys.

    Of a name that is created twice, or whose table loses a column or a constraint, nothing is
    known. `trees` are statements, each with its place, for the guards.
    """
    tables: dict[str, _Table] = {}
    for tree, place in trees:
        if isinstance(tree, exp.Create):
            _create(tree, place, tables)
        elif isinstance(tree, exp.Alter):
            _alter(tree, place, tables)
        elif isinstance(tree, exp.Drop) and tree.args.get("kind") == "INDEX":
            _drop_indexes(tables.values())
    return {name: table.facts(dialect) for name, table in tables.items()}


class _Table:
    def __init__(self, name: str) -> None:
        self.name = name
        self.created = 0
        self.schemas: set[str] = set()
        self.changed = False
        self.types: dict[str, str] | None = None
        self.not_null: dict[str, str] = {}
        self.keys: list[tuple[frozenset[str], str, str]] = []
        """Columns, `PRIMARY KEY` or `UNIQUE`, place."""
        self.references: list[tuple[tuple[str, ...], exp.Expr, tuple[str, ...], str]] = []

    @property
    def is_certain(self) -> bool:
        """Whether all statements are about one table that keeps what they declare."""
        return self.created <= 1 and len(self.schemas - {""}) <= 1 and not self.changed

    def facts(self, dialect: str) -> TableFacts:  # complexipy: ignore (a part per field)
        if not self.is_certain:
            return TableFacts(self.name)
        enforced = dialect in _ENFORCED
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
            no_nulls = kind == "PRIMARY KEY" and dialect != "sqlite"  # which lets NULLs repeat
            if not self._is_collated(columns):
                keys.append(Key(columns, Premise(text, guard), no_nulls))
            if no_nulls:
                for column in columns:
                    text = f"{column} of {self.name} is never NULL"
                    not_null.setdefault(column, Premise(text, guard))
        references = tuple(
            Reference(
                columns,
                table_name(table),
                to,
                Premise(
                    f"each ({', '.join(columns)}) of {self.name} is in {table_name(table)}",
                    f"FOREIGN KEY ({place})" if enforced else None,
                ),
                schema_name(table),
            )
            for columns, table, to, place in self.references
        )
        schema = "".join(self.schemas)
        return TableFacts(self.name, self.types, not_null, tuple(keys), references, schema)

    def _is_collated(self, columns: frozenset[str]) -> bool:
        """Whether a key has texts of a collation, by which DISTINCT may compare, but not the key.

        DuckDB keeps 'a' and 'A' in a primary key, and takes them for the same in DISTINCT.
        """
        types = self.types or {}
        return any(types.get(column) == COLLATED for column in columns)


def _named(of: exp.Expr, tables: dict[str, _Table]) -> _Table:
    """Return the table of a name, and note the schema that it is written with."""
    table = tables.setdefault(table_name(of), _Table(of.name))
    table.schemas.add(schema_name(of))
    return table


def _create(tree: exp.Create, place: str, tables: dict[str, _Table]) -> None:
    target = tree.this
    if isinstance(target, exp.Index) and tree.args.get("unique"):
        _unique_index(target, place, tables)
    if tree.kind not in ("TABLE", "VIEW"):
        return
    table = _named(target.this if isinstance(target, exp.Schema) else target, tables)
    table.created += 1
    for parent in _parents(tree):  # has the rows of this table among its own, but not its keys
        _named(parent, tables).changed = True
    if not isinstance(target, exp.Schema) or tree.kind == "VIEW":
        return
    table.types = {}
    for part in target.expressions:
        if isinstance(part, exp.ColumnDef):
            _column(part, place, table)
        else:
            _constraint(part, place, table)


def _parents(tree: exp.Create) -> list[exp.Expr]:
    return [of for part in tree.find_all(exp.InheritsProperty) for of in part.expressions]


def _drop_indexes(tables: Iterable[_Table]) -> None:
    """Forget what unique indexes of any table say: the statement may name none."""
    for table in tables:
        table.keys = [key for key in table.keys if key[1] != _INDEX]


def _unique_index(index: exp.Index, place: str, tables: dict[str, _Table]) -> None:
    of, parameters = index.args.get("table"), index.args.get("params")
    if of is None or parameters is None or parameters.args.get("where"):
        return
    parts = [part.this if isinstance(part, exp.Ordered) else part for part in
             parameters.args.get("columns") or []]  # fmt: skip
    if parts and all(isinstance(part, exp.Column) for part in parts):
        columns = frozenset(part.name.lower() for part in parts)
        _named(of, tables).keys.append((columns, _INDEX, place))


def _alter(tree: exp.Alter, place: str, tables: dict[str, _Table]) -> None:
    table = _named(tree.this, tables)
    for action in tree.args.get("actions") or []:
        if isinstance(action, exp.AddConstraint):
            for part in action.expressions:
                _constraint(part, place, table)
        elif isinstance(action, exp.ColumnDef) and table.types is not None:
            _column(action, place, table)
        else:
            table.changed = True


def _column(column: exp.ColumnDef, place: str, table: _Table) -> None:
    name = column.name.lower()
    assert table.types is not None
    if name in table.types:  # names that differ in upper and lower case only
        table.changed = True
    kind = column.args.get("kind")
    table.types[name] = family(kind.sql("duckdb")) if isinstance(kind, exp.DataType) else ""
    for constraint in column.args.get("constraints") or []:
        what = constraint.args.get("kind")
        if isinstance(what, exp.CollateColumnConstraint):
            table.types[name] = COLLATED
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
        table.references.append((columns, schema.this, to, place))


def _names(parts: Iterable[exp.Expr]) -> tuple[str, ...]:
    names = []
    for part in parts:
        inner = part.this if isinstance(part, exp.Ordered) else part
        if not isinstance(inner, exp.Identifier | exp.Column):
            return ()
        names.append(inner.name.lower())
    return tuple(names)
