"""SQL of Airflow tasks as one query, its table, and how its rows replace earlier ones.

The result says the same as the origin's statements, or `NotCarried` says why nothing does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from headrace_import.importers.airflow.statement_forms import unknown_clause, what_is_lost
from headrace_import.importers.airflow.templates import Instant, Piece, Refused, Setting, XComPull
from headrace_import.importers.sql_depth import TooDeep, parse_statements

TEXT_CHARACTERS_MAX = 200_000
NESTING_MAX = 100
_TOKEN = re.compile(r"hrtoken(\d+)x")
TableName = tuple[str, ...]
"""Parts of a table's name as the origin writes it, the last one the table's own."""


class NotCarried(Exception):
    """Why statements aren't one asset; with `person`, running them unchanged doesn't help."""

    def __init__(self, reason: str, todo: str = "", *, person: bool = False) -> None:
        super().__init__(reason)
        # no token of `sql_text`, which no file of the origin has
        self.reason, self.todo, self.person = _TOKEN.sub("{{ … }}", reason), todo, person
        self.writes: TableName = ()
        """The table that the statements write, if one is known."""
        self.prepares: Statements | None = None
        """The statements, where they only clear or define tables."""


@dataclass(frozen=True, slots=True)
class SqlText:
    """Statements with tokens for the values that stand in them."""

    text: str
    dialect: str


@dataclass(frozen=True, slots=True)
class Target:
    """Where an operator itself puts the rows of a SELECT (BigQuery)."""

    table: TableName
    replaces: bool
    """Whether the rows of before go."""
    one_interval: bool = False
    """Whether the table's name ends with the partition of the interval (`$20240101`)."""
    column: str = ""


@dataclass(slots=True)
class Statements:
    """Statements of one or more tasks, sorted by what they do to one table."""

    query: exp.Query | None = None
    target: TableName | None = None
    columns: list[str] = field(default_factory=list)
    inserts: bool = False
    """Whether the table is another statement's, so that its types may change the values."""
    kind: str = "select"
    """`select`, `insert`, `replace` (all rows), `create`, `view`, `merge`."""
    if_missing: bool = False
    cleared: set[TableName] = field(default_factory=set)
    deletes: dict[TableName, exp.Expr | None] = field(default_factory=dict)
    defined: dict[TableName, list[exp.ColumnDef]] = field(default_factory=dict)
    merge_keys: list[str] = field(default_factory=list)
    partition_column: str = ""
    temporary: dict[str, exp.Query] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    """What the import leaves out, in words."""
    notes: list[str] = field(default_factory=list)
    """What differs from the origin, in words."""
    comments: list[str] = field(default_factory=list)
    """Lines of comments on statements that an asset doesn't need."""
    foreign_deletes: bool = False
    """Whether a DELETE alone removes other rows than those of one interval."""

    def prepared_by(self, others: Sequence[Statements]) -> None:
        """Add what earlier tasks did to the table."""
        for other in others:
            if self.target is not None and self.target in other.cleared:
                self.cleared.add(self.target)
            if self.target is not None and other.defined.get(self.target):
                self.defined.setdefault(self.target, other.defined[self.target])


def sql_text(pieces: Sequence[Piece], dialect: str, values: list[Instant | Setting]) -> SqlText:
    """Put tokens in the place of values, which are appended to `values`. Raises `NotCarried`."""
    parts: list[str] = []
    for position, piece in enumerate(pieces):
        after = pieces[position + 1] if position + 1 < len(pieces) else ""
        if isinstance(piece, str):
            parts.append(piece)
            continue
        value = _value(piece)
        if isinstance(value, Setting) and not _stands_alone(parts, after, value):
            parts.append(str(value.default))
            continue
        parts.append(f"hrtoken{len(values)}x")
        values.append(value)
    text = "".join(parts)
    if len(text) > TEXT_CHARACTERS_MAX:
        raise NotCarried(f"its SQL is longer than {TEXT_CHARACTERS_MAX:,} characters")
    return SqlText(text, dialect)


def _value(piece: Piece) -> Instant | Setting:
    if isinstance(piece, XComPull):
        raise NotCarried(
            "its SQL contains a value that another task returns (XCom)",
            "write the value into a table and read it from there",
            person=True,
        )
    if isinstance(piece, Refused):
        raise NotCarried(
            f"its SQL contains {piece.reason}, which is known only when Airflow runs it",
            "write the value as a parameter, and the statement as an asset"
            if "conf" in piece.reason
            else "",
            person="conf" in piece.reason,
        )
    if isinstance(piece, Setting) and piece.kind != "param":
        raise NotCarried(
            f"its SQL contains Airflow's {piece.kind} `{piece.name}`, whose value isn't in the"
            " project",
            f"declare `{piece.name}` with its value below [parameters] in headrace.toml, and write"
            f" `${piece.name}` in the query",
            person=True,
        )
    assert isinstance(piece, Instant | Setting)
    return piece


def _stands_alone(before: list[str], after: Piece, value: Setting) -> bool:
    """Whether a param is a whole literal, not a part of a name or of a longer text."""
    left = before[-1][-1:] if before else ""
    right = after[:1] if isinstance(after, str) else ""
    if left == "'" and right == "'":
        return True
    number = isinstance(value.default, int | float) and not isinstance(value.default, bool)
    return number and not re.match(r"[\w.`\"]", left) and not re.match(r"[\w.`\"]", right)


def read_statements(sql: SqlText, target: Target | None, into: Statements) -> None:
    """Parse statements and add them to `into`. Raises `NotCarried`."""
    if sql.text.count("(") > NESTING_MAX and _nesting(sql.text) > NESTING_MAX:
        raise NotCarried("its SQL is nested too deeply")
    statements = [statement for statement in _parsed(sql) if statement is not None]
    if not statements:
        raise NotCarried("it has no SQL statement")
    for statement in statements:
        if not isinstance(statement, exp.Query):
            into.comments += "\n".join(statement.comments or []).splitlines()
        _add(statement, target, into)


def _parsed(sql: SqlText) -> list[exp.Expr | None]:
    try:
        return list(parse_statements(sql.text, sql.dialect or ""))
    except TooDeep:
        raise NotCarried("its SQL is nested too deeply") from None
    except (SqlglotError, RecursionError, ValueError):
        named = sql.dialect or "SQL"
        raise NotCarried(f"its statements can't be read as {named}") from None


def _nesting(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    return deepest


def _add(statement: exp.Expr, target: Target | None, into: Statements) -> None:
    if clause := unknown_clause(statement):
        word = statement.key.removesuffix("table").upper()
        raise NotCarried(f"its {word} has {clause}, which isn't followed")
    if isinstance(statement, exp.Query):
        _add_select(statement, target, into)
        return
    add = _ADDED.get(type(statement))
    if add is not None:
        add(statement, into)
        return
    lost = what_is_lost(statement)
    if lost is None:
        raise NotCarried(f"`{_first_words(statement)}` isn't a query that an asset can be")
    into.lost += [lost] if lost else []


def _first_words(statement: exp.Expr) -> str:
    return " ".join(statement.sql().split()[:3])[:40]


def _claim(into: Statements, table: TableName, query: exp.Query, kind: str) -> None:
    if into.query is not None:
        raise NotCarried("it writes more than once, and an asset is one query")
    if into.temporary:
        query = _with_temporary(query, into.temporary)
    into.query, into.target, into.kind = query, table, kind


def _with_temporary(query: exp.Query, temporary: Mapping[str, exp.Query]) -> exp.Query:
    """Put temporary tables before a query, as common table expressions."""
    used = {table.name.lower() for table in query.find_all(exp.Table) if not table.db}
    needed = [name for name in temporary if name in used]
    if query.ctes and needed:
        raise NotCarried("its temporary table is read by a query with WITH")
    for name in reversed(list(temporary)):
        if used:
            query = query.with_(name, as_=temporary[name].copy(), append=False, copy=False)
    return query


def _add_select(query: exp.Query, target: Target | None, into: Statements) -> None:
    if query.args.get("into"):
        raise NotCarried("`SELECT … INTO` isn't followed")
    if target is None:
        _claim(into, (), query, "select")
        return
    _claim(into, target.table, query, "replace" if target.replaces else "insert")
    into.partition_column = target.column
    if target.one_interval:
        into.kind = "insert"
        into.deletes[target.table] = None


def _add_insert(statement: exp.Insert, into: Statements) -> None:
    query = statement.expression
    table, columns = _insert_target(statement)
    if not isinstance(query, exp.Query) or isinstance(query, exp.Values):
        raise NotCarried("it inserts values, not the result of a query")
    conflict = statement.args.get("conflict")
    if tables := statement.args.get("with_"):
        if query.args.get("with_"):
            raise NotCarried("it has WITH before and after INSERT")
        query.set("with_", tables)
    if conflict is not None:
        _claim(into, table, query, "merge")
        into.merge_keys = _conflict_keys(conflict, columns or _output_names(query))
    else:
        _claim(into, table, query, "replace" if statement.args.get("overwrite") else "insert")
    into.columns, into.inserts = columns, True
    partition = statement.args.get("partition") or statement.this.args.get("partition")
    if partition is not None:
        _add_static_partition(partition, into)


def _insert_target(statement: exp.Insert) -> tuple[TableName, list[str]]:
    where = statement.this
    if isinstance(where, exp.Schema):
        return name_of(where.this), [column.name for column in where.expressions]
    if not isinstance(where, exp.Table):
        raise NotCarried("where it inserts isn't a table")
    return name_of(where), []


def _output_names(query: exp.Query) -> list[str]:
    """The names of a query's columns; none if one has no name or two have the same."""
    names = [part.output_name for part in query.selects]
    known = all(names) and "*" not in names and len(set(names)) == len(names)
    return names if known else []


def _conflict_keys(conflict: exp.Expr, columns: list[str]) -> list[str]:
    """The keys of `ON CONFLICT (…) DO UPDATE` that sets every other column."""
    keys = [key.name for key in conflict.args.get("conflict_keys") or []]
    others = set(columns) - set(keys)
    assigned = _excluded_columns(conflict)
    whole = keys and set(keys) <= set(columns) and assigned is not None
    if not whole or (assigned or set()) - set(keys) != others or conflict.args.get("where"):
        raise NotCarried("its ON CONFLICT doesn't replace whole rows")
    return keys


def _excluded_columns(conflict: exp.Expr) -> set[str] | None:
    """Columns that get their new row's values; None if one gets another value."""
    names = set()
    for part in conflict.expressions or []:
        right = part.expression
        same = isinstance(part, exp.EQ) and isinstance(right, exp.Column)
        if not same or right.table.lower() != "excluded" or right.name != part.this.name:
            return None
        names.add(part.this.name)
    return names


def _add_static_partition(partition: exp.Expr, into: Statements) -> None:
    """Hive's `PARTITION (dt = '…')` gives each row a column."""
    assert into.query is not None
    assert into.target is not None
    if len(partition.expressions) != 1 or not isinstance(partition.expressions[0], exp.EQ):
        raise NotCarried("its PARTITION isn't one column with one value")
    column, value = partition.expressions[0].this, partition.expressions[0].expression
    if not isinstance(into.query, exp.Select):
        raise NotCarried("its PARTITION is that of a set operation")
    into.query = into.query.select(exp.alias_(value.copy(), column.name), copy=False)
    into.columns = [*into.columns, column.name] if into.columns else []
    into.partition_column = column.name
    if into.kind == "replace":
        into.kind = "insert"
        into.deletes[into.target] = None


def _add_create(statement: exp.Create, into: Statements) -> None:
    kind = (statement.args.get("kind") or "").upper()
    query = statement.expression
    query = query.this if isinstance(query, exp.Subquery) else query
    if kind == "SCHEMA":
        return
    if kind not in ("TABLE", "VIEW"):
        raise NotCarried(f"`CREATE {kind}` isn't a query that an asset can be")
    if not isinstance(query, exp.Query):
        _add_definition(statement, name_of(statement.this), into)
    elif _is_temporary(statement):
        _add_temporary(statement, query, into)
    else:
        if kind == "VIEW":
            _check_view(statement)
        _claim(into, name_of(statement.this), query, _kind_of(statement, kind))
        into.if_missing = bool(statement.args.get("exists"))
        _name_columns(statement.this, into)


def _add_temporary(statement: exp.Create, query: exp.Query, into: Statements) -> None:
    if into.query is not None:
        raise NotCarried("it creates a temporary table after its last query")
    if isinstance(statement.this, exp.Schema):
        raise NotCarried("it names the columns of a temporary table")
    into.temporary[name_of(statement.this)[-1]] = query


def _name_columns(table: exp.Expr, into: Statements) -> None:
    """`CREATE TABLE t (a, b) AS …`."""
    parts = table.expressions if isinstance(table, exp.Schema) else []
    into.columns = [part.name for part in parts if isinstance(part, exp.ColumnDef | exp.Identifier)]
    into.defined[name_of(table)] = [part for part in parts if isinstance(part, exp.ColumnDef)]


def _kind_of(statement: exp.Create, kind: str) -> str:
    if kind == "VIEW":
        return "view"
    return "replace" if statement.args.get("replace") else "create"


def _check_view(statement: exp.Create) -> None:
    properties = statement.args.get("properties")
    materialized = properties is not None and properties.find(exp.MaterializedProperty)
    if materialized:
        raise NotCarried("a materialized view is refreshed by statements of its own")


def _is_temporary(statement: exp.Create) -> bool:
    properties = statement.args.get("properties")
    return properties is not None and properties.find(exp.TemporaryProperty) is not None


def _add_definition(statement: exp.Create, table: TableName, into: Statements) -> None:
    if _is_temporary(statement):
        raise NotCarried("it fills a temporary table by other statements")
    if statement.args.get("replace"):
        into.cleared.add(table)
    schema = statement.this
    parts = getattr(schema, "expressions", [])
    if any(isinstance(part, exp.LikeProperty) for part in parts):
        raise NotCarried("its CREATE TABLE has the columns of another table")
    into.defined[table] = [part for part in parts if isinstance(part, exp.ColumnDef)]


def _add_truncation(statement: exp.TruncateTable, into: Statements) -> None:
    into.cleared |= {name_of(table) for table in statement.expressions}


def _add_delete(statement: exp.Delete, into: Statements) -> None:
    if into.query is not None:
        raise NotCarried("it deletes after it has written")
    if not isinstance(statement.this, exp.Table) or statement.args.get("using"):
        raise NotCarried("its DELETE reads other tables")
    where = statement.args.get("where")
    table = name_of(statement.this)
    if where is None:
        into.cleared.add(table)
    else:
        into.deletes[table] = where.this


def _add_drop(statement: exp.Drop, into: Statements) -> None:
    dropped = {name_of(table) for table in statement.args.get("tables") or [statement.this]}
    if into.query is not None:
        if all(name[-1] in into.temporary for name in dropped):
            return
        raise NotCarried("it drops a table after it has written")
    if (statement.args.get("kind") or "").upper() not in ("TABLE", "VIEW"):
        raise NotCarried("it drops something other than a table")
    into.cleared |= dropped


def _add_merge(statement: exp.Merge, into: Statements) -> None:
    source = statement.args["using"]
    alias = statement.this.alias or statement.this.name
    keys = _merge_keys(statement.args["on"], alias, source.alias_or_name)
    columns = _merged_columns(statement, source.alias_or_name, keys)
    if isinstance(source, exp.Subquery):
        query = source.this
    else:
        query = exp.select(*[exp.column(name) for name in columns]).from_(
            exp.Table(**{key: value for key, value in source.args.items() if key != "alias"})
        )
    if isinstance(query, exp.Select) and {p.alias_or_name for p in query.expressions} != set(
        columns
    ):
        raise NotCarried("its MERGE writes other columns than its query has")
    _claim(into, name_of(statement.this), query, "merge")
    into.merge_keys = keys


def _merge_keys(condition: exp.Expr, target: str, source: str) -> list[str]:
    keys = []
    condition = condition.unnest()
    parts = list(condition.flatten()) if isinstance(condition, exp.And) else [condition]
    for part in parts:
        sides = (part.this, part.expression) if isinstance(part, exp.EQ) else ()
        names = {side.table: side.name for side in sides if isinstance(side, exp.Column)}
        if set(names) != {target, source} or len(set(names.values())) != 1:
            raise NotCarried("its MERGE doesn't match rows by equal key columns")
        keys.append(names[target])
    return keys


def _merged_columns(statement: exp.Merge, source: str, keys: list[str]) -> list[str]:
    """The columns of a MERGE that inserts new rows and replaces known ones, and nothing else."""
    updated: set[str] = set()
    inserted: list[str] = []
    for when in statement.args["whens"].expressions:
        action, matched = when.args.get("then"), when.args.get("matched")
        if when.args.get("condition") is not None:
            raise NotCarried("its MERGE has a condition for some rows")
        if matched and isinstance(action, exp.Update):
            updated = _updated_columns(action, source)
        elif not matched and isinstance(action, exp.Insert):
            inserted = _inserted_columns(action, source)
        else:
            raise NotCarried("its MERGE does more than insert and update")
    if not inserted or set(inserted) - set(keys) != updated - set(keys):
        raise NotCarried("its MERGE doesn't replace whole rows")
    return inserted


def _updated_columns(action: exp.Update, source: str) -> set[str]:
    names: set[str] = set()
    for assignment in action.expressions:
        right = assignment.expression
        same = isinstance(right, exp.Column) and right.table == source
        if not same or right.name != assignment.this.name:
            raise NotCarried("its MERGE computes values while it updates")
        names.add(right.name)
    return names


def _inserted_columns(action: exp.Insert, source: str) -> list[str]:
    names = [column.name for column in getattr(action.this, "expressions", [])]
    values = getattr(action.expression, "expressions", [])
    given = [value.name for value in values if isinstance(value, exp.Column)]
    if not names or names != given or any(value.table not in ("", source) for value in values):
        raise NotCarried("its MERGE computes values while it inserts")
    return names


_ADDED: Mapping[type[exp.Expr], Callable[[Any, Statements], None]] = {
    exp.Insert: _add_insert,
    exp.Create: _add_create,
    exp.Delete: _add_delete,
    exp.Merge: _add_merge,
    exp.TruncateTable: _add_truncation,
    exp.Drop: _add_drop,
}


def name_of(table: exp.Expr | None) -> TableName:
    """Return the parts of a table's name. Raises `NotCarried` for anything else."""
    if isinstance(table, exp.Schema):
        table = table.this
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        raise NotCarried("it reads or writes something other than a table by name")
    parts = tuple(part.name for part in table.parts if part.name)
    if any(_TOKEN.search(part) for part in parts):
        raise NotCarried("the name of a table changes from run to run")
    return tuple(part.lower() for part in parts)


def token_of(node: exp.Expr) -> int | None:
    """Return the number of the token that a literal or a name consists of, or None."""
    text = node.name if isinstance(node, exp.Literal | exp.Column | exp.Identifier) else ""
    match = _TOKEN.fullmatch(text)
    return int(match.group(1)) if match else None


def token_parts(text: str) -> list[str | int]:
    """Split a text at its tokens."""
    parts: list[str | int] = []
    for position, part in enumerate(_TOKEN.split(text)):
        if position % 2:
            parts.append(int(part))
        elif part:
            parts.append(part)
    return parts
