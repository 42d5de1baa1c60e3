"""`dbt_utils.star`: the columns of a table, as DuckDB's `* exclude (…)`.

dbt asks the warehouse for the table's columns and lists them. `*` is the same where the query reads
nothing but that table, or CTEs that are `select *` of it. So the macro gives a mark, and once the
whole query is known, marks become stars, or the query is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from sqlglot import exp
from sqlglot.errors import SqlglotError

from headrace_import.importers.dbt.templates import NotStatic
from headrace_import.importers.dbt.values import Relation, Star
from headrace_import.importers.sql_depth import parse_statement

_MARK = re.compile(r"__headrace_star_([0-9a-f]+)_", re.IGNORECASE)
_CTES_DEEP_MAX = 50


class NotOneTable(Exception):
    """A query in which a star would have other columns; the text says why."""


def star(relation: object = None, **options: object) -> Star:
    """Return the mark of `star(from=…, except=[…], relation_alias=…)`. Raise NotStatic."""
    table = options.pop("from", relation)
    alias, excluded = options.pop("relation_alias", None), options.pop("except", None) or []
    options.pop("quote_identifiers", None)
    if any(options.values()):
        raise NotStatic(f"`dbt_utils.star` with {', '.join(options)} asks for the table's columns")
    if not isinstance(table, Relation) or not isinstance(excluded, list | tuple):
        raise NotStatic("`dbt_utils.star` of something else than a table")
    content = json.dumps([table.name, [str(column) for column in excluded]])
    mark = f"__headrace_star_{content.encode().hex()}_"
    return Star(f"{alias}.{mark}" if alias else mark)


def expand_stars(sql: str) -> str:
    """Return a query for DuckDB with its marks as stars. Raise NotOneTable."""
    if not _MARK.search(sql):
        return sql
    try:
        tree = parse_statement(sql.replace("$self", "__headrace_self"), "duckdb")
    except (SqlglotError, RecursionError, ValueError) as error:
        raise NotOneTable("its SQL can't be read") from error
    for column in tree.find_all(exp.Column):
        if _MARK.search(column.name):
            _check(column)
    return _MARK.sub(lambda match: _star(*_content(match[1])), sql)


def _star(_table: str, excluded: Sequence[str]) -> str:
    if not excluded:
        return "*"
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in excluded)
    return f"* exclude ({names})"


def _content(digits: str) -> tuple[str, list[str]]:
    try:
        table, excluded = json.loads(bytes.fromhex(digits))
    except ValueError as error:
        raise NotOneTable("it changes the text that `dbt_utils.star` gives") from error
    return str(table), [str(name) for name in excluded]


def _check(column: exp.Column) -> None:
    """Raise NotOneTable unless `*` in the place of a mark gives the columns of its table."""
    match = _MARK.fullmatch(column.name)
    select = column.parent
    if match is None or not isinstance(select, exp.Select) or column.arg_key != "expressions":
        raise NotOneTable("it uses the columns that `dbt_utils.star` gives one by one")
    table = _content(match[1])[0]
    source = _source(select, column.table)
    if source is None or not _has_columns_of(source, table):
        raise NotOneTable(f"`dbt_utils.star` lists the columns of {table}, not all that it reads")


def _source(select: exp.Select, alias: str) -> exp.Expr | None:
    """Return what a star reads: the source with this alias, or the only one."""
    first = select.args.get("from_") or select.args.get("from")
    sources = [first.this] if first is not None else []
    sources += [join.this for join in select.args.get("joins") or ()]
    if not alias:
        whole = len(sources) == 1 and not select.args.get("laterals")
        return sources[0] if whole else None
    return next((item for item in sources if item.alias_or_name.lower() == alias.lower()), None)


def _has_columns_of(source: exp.Expr, table: str, deep: int = 0) -> bool:
    """Whether a source has exactly the columns of a table."""
    if deep > _CTES_DEEP_MAX:
        return False
    if isinstance(source, exp.Subquery):
        return _selects_all(source.this, table, deep)
    if not isinstance(source, exp.Table) or source.args.get("pivots"):
        return False
    query = _cte(source)
    if query is not None:
        return _selects_all(query, table, deep)
    return source.name.lower() == table.lower().replace("$self", "__headrace_self")


def _cte(table: exp.Table) -> exp.Expr | None:
    """Return the query of the CTE that a table's name means; None if it is a table."""
    node = table.parent
    while node is not None:
        clause = node.args.get("with_") or node.args.get("with")
        for cte in clause.expressions if clause is not None else ():
            inside = table.find_ancestor(exp.CTE)
            if cte.alias_or_name.lower() == table.name.lower() and cte is not inside:
                query: exp.Expr = cte.this
                return query
        node = node.parent
    return None


def _selects_all(query: exp.Expr, table: str, deep: int) -> bool:
    if not isinstance(query, exp.Select) or len(query.expressions) != 1:
        return False
    (only,) = query.expressions
    if not isinstance(only, exp.Star) or any(only.args.values()):
        return False
    source = _source(query, "")
    return source is not None and _has_columns_of(source, table, deep + 1)
