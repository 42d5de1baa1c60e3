"""Analysis of a statement's text alone: tables, placeholders, and changed columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from headrace.model import Place, Problem
from headrace.sql.engine_faults import CODE, WrongResult, refuse_faulty
from headrace.sql.parsing import InvalidSelect, Parsed, normalised, parse, tokenise
from headrace.sql.types import VOLATILE, function_name, is_known_function
from headrace.sql.values import SELF, Analysis, Reference

# The tables that an asset's query reads, its placeholders, and whether it is one SELECT.

_NAMED_PARAMETER = "write `$name` and declare it under `parameters:`"
_TABLE_FUNCTIONS = {
    "range",
    "generate_series",
    "unnest",
    "repeat",
    "repeat_row",
    "json_each",
    "json_tree",
}
_DYNAMIC = {"query", "query_table", "json_execute_serialized_sql"}
_READS_OUTSIDE = {
    "glob",
    "iceberg_scan",
    "delta_scan",
    "sqlite_scan",
    "sqlite_query",
    "mysql_scan",
    "mysql_query",
    "postgres_scan",
    "postgres_scan_pushdown",
    "postgres_query",
    "ducklake_scan",
    "sniff_csv",
    "st_read",
    "arrow_scan",
    "pandas_scan",
    "parquet_scan",
    "which_secret",
    "python_map_function",
    "seq_scan",
    "shapefile_meta",
    "excel_scan",
}
_OUTSIDE_PREFIXES = (
    "read_",
    "parquet_",
    "duckdb_",
    "pragma_",
    "iceberg_",
    "ducklake_",
    "postgres_",
    "mysql_",
    "sqlite_",
    "from_substrait",
)


def analyse(text: str, *, file: str, line: int, name: str) -> Analysis:
    """Return the inputs, placeholders and functions of `text`, which starts at `line` of `file`.

    Never raises; errors are in `problems`.
    """
    try:
        sql, uses_self = _without_self(text)
        parsed = parse(sql)
        refuse_faulty(sql)
        return _Analyser(parsed, file=file, line=line, name=name).analysis(sql, uses_self)
    except InvalidSelect as wrong:
        return Analysis(name=name, file=file, line=line, problems=(_as_problem(wrong, file, line),))
    except WrongResult as wrong:
        place = Place(file=file, line=line)
        problem = Problem(code=CODE, message=str(wrong), hint=wrong.hint, place=place)
        return Analysis(name=name, file=file, line=line, problems=(problem,))


def _as_problem(wrong: InvalidSelect, file: str, line: int) -> Problem:
    near = f", near `{wrong.near}`" if wrong.near else ""
    at = line + wrong.line - 1
    where = f"line {at}, column {wrong.column}: " if wrong.column else ""
    return Problem(
        code=wrong.code,
        message=f"{where}{wrong.message}{near}",
        hint=wrong.hint,
        place=Place(file=file, line=at),
    )


def _without_self(text: str) -> tuple[str, bool]:
    """Return the text with each `$self` outside quotes replaced by a quoted identifier.

    The flag says whether there was any.
    """
    if "$self" not in text.lower():
        return text, False
    pieces: list[str] = []
    end = 0
    for dollar, word in _placeholder_tokens(tokenise(text)):
        if word.text.lower() == "self":
            pieces += [text[end : dollar.start], f'"{SELF}"']
            end = word.end + 1
    return "".join([*pieces, text[end:]]), end > 0


def _placeholder_tokens(tokens: list[Token]) -> Iterator[tuple[Token, Token]]:
    for dollar, word in pairwise(tokens):
        if (
            dollar.token_type == TokenType.PARAMETER
            and dollar.text == "$"
            and word.start == dollar.end + 1
        ):
            yield dollar, word


class _Analyser:
    """Looks at each node once, with the names of the visible CTEs."""

    def __init__(self, parsed: Parsed, *, file: str, line: int, name: str) -> None:
        self._parsed, self._file, self._line, self._name = parsed, file, line, name
        self._inputs: dict[str, int] = {}
        self._table_functions: dict[str, int] = {}
        self._functions: dict[str, None] = {}
        self._volatile: dict[str, int] = {}
        self._problems: list[Problem] = []

    def analysis(self, sql: str, uses_self: bool) -> Analysis:
        placeholders = self._placeholders(sql)
        self._walk(sql)
        self._inputs.pop(SELF, None)
        return Analysis(
            name=self._name,
            file=self._file,
            line=self._line,
            inputs=tuple(self._inputs),
            input_lines=tuple(self._inputs.values()),
            placeholders=placeholders,
            uses_self=uses_self,
            normalised=normalised(self._parsed.tokens),
            sql="" if self._problems else sql,
            table_functions=_references(self._table_functions),
            functions=tuple(self._functions),
            volatile=_references(self._volatile),
            problems=tuple(self._problems),
        )

    def _placeholders(self, sql: str) -> tuple[Reference, ...]:
        results: dict[str, int] = {}
        if "?" not in sql and "$" not in sql:
            return ()
        for token in self._parsed.tokens:
            if token.token_type == TokenType.PLACEHOLDER:
                self._refuse(
                    "positional_parameter", "`?` has no name", token.line, _NAMED_PARAMETER
                )
        for _, word in _placeholder_tokens(self._parsed.tokens):
            if word.token_type == TokenType.NUMBER:
                self._refuse(
                    "positional_parameter",
                    f"`${word.text}` has no name",
                    word.line,
                    _NAMED_PARAMETER,
                )
            else:
                results.setdefault(word.text.lower(), self._line + word.line - 1)
        return _references(results)

    def _walk(self, sql: str) -> None:
        for node, ctes in self._parsed.nodes:
            if isinstance(node, exp.Table):
                self._table(node, ctes, sql)
            elif isinstance(node, exp.Func):
                self._function(node, sql)

    def _table(self, table: exp.Table, names: frozenset[str], sql: str) -> None:
        inner = table.this
        line = _line_of(inner) or 1
        if isinstance(inner, exp.Func):
            self._table_function(function_name(inner, sql), line)
        elif not isinstance(inner, exp.Identifier):
            self._refuse(
                "sql_syntax",
                "a table's name belongs after FROM",
                line,
                "a name can't be a placeholder",
            )
        elif table.args.get("db") is not None:
            text = ".".join(part.name for part in table.parts)
            self._refuse(
                "qualified_name",
                f"`{text}` has a schema in front",
                line,
                f"write `{inner.name}`: sources and assets have plain names",
            )
        elif table.args.get("when") is not None:
            self._refuse(
                "qualified_name",
                f"`{inner.name} AT (…)`: asset code reads the version that it is given",
                line,
                "leave `AT (…)` out",
            )
        elif _is_path(inner.name):
            self._outside(f"reads the file '{inner.name}' directly", line)
        elif inner.name.lower() not in names:
            self._inputs.setdefault(inner.name.lower(), self._line + line - 1)

    def _table_function(self, name: str, line: int) -> None:
        if name in _DYNAMIC:
            self._outside(
                f"`{name}()` runs SQL that can't be seen before it runs",
                line,
                "write the SELECT itself",
            )
        elif name in _READS_OUTSIDE or name.startswith(_OUTSIDE_PREFIXES):
            self._outside(f"`{name}()` reads what no source declares", line)
        elif name not in _TABLE_FUNCTIONS:
            self._table_functions.setdefault(name, self._line + line - 1)

    def _function(self, function: exp.Func, sql: str) -> None:
        if isinstance(function.parent, exp.Table):
            return
        name = function_name(function, sql)
        if name in VOLATILE:
            self._volatile.setdefault(name, self._line + (_line_of(function) or 1) - 1)
        if isinstance(function, exp.Anonymous) and not is_known_function(name):
            self._functions.setdefault(name)

    def _outside(
        self,
        what: str,
        line: int,
        hint: str = "declare it as a source and read the source by its name",
    ) -> None:
        self._refuse("external_read", what, line, hint)

    def _refuse(self, code: str, message: str, line: int, hint: str) -> None:
        self._problems.append(
            Problem(
                code=code,
                message=message,
                hint=hint,
                place=Place(file=self._file, line=self._line + line - 1),
            )
        )


def _references(results: dict[str, int]) -> tuple[Reference, ...]:
    return tuple(Reference(name=name, line=line) for name, line in results.items())


def _line_of(node: exp.Expr) -> int | None:
    line = node.meta.get("line")
    return int(line) if line is not None else None


def _is_path(name: str) -> bool:
    """Return whether a table name looks like a path, which DuckDB would read as a file."""
    return any(character in name for character in "./\\*?:[")


# The columns whose computation differs between two texts of a statement. The comparison goes by
# names and errs on the safe side: where a difference can't be traced to single columns, all columns
# count as changed.

_MULTIPLYING = (exp.Explode, exp.Unnest)
_UNCERTAIN_IN_KEYS = (exp.Columns, exp.Anonymous, exp.Window, exp.Query, exp.Rand)
"""In columns, what may make GROUP BY ALL differ from the keys that seem to be meant."""
_ALL_COLUMNS = "*"
"""The name that stands for all columns of a table."""


class _SelectParts(NamedTuple):
    """One SELECT: the texts of its columns by name, and the text of everything else."""

    columns: dict[str, str]
    expressions: dict[str, exp.Expr]
    rest: str
    tree: exp.Select


def changed_columns(was: str, now: str, parameters: Collection[str] = ()) -> frozenset[str] | None:
    """Return the columns (lower-case) in both texts whose meaning differs in `now`; None means all.

    `parameters` are the `$name`s (lower-case) that are bound to a different value.
    """
    try:
        before, after = parse(was).tree, parse(now).tree
    except InvalidSelect:
        return None
    return _changed(before, after, {}, frozenset(parameters))


def _changed(  # complexipy: ignore (reasons to follow no column, in order)
    was: exp.Expr, now: exp.Expr, above: Mapping[str, frozenset[str]], bound: frozenset[str]
) -> frozenset[str] | None:
    """Compare two queries; `above` maps each earlier CTE to its changed columns."""
    if not isinstance(was, exp.Select) or not isinstance(now, exp.Select):
        return None if was != now or _mentions(now, above, bound) else frozenset()
    named = _of_with(was, now, above, bound)
    before, after = _select_parts(was), _select_parts(now)
    if named is None or before is None or after is None or before.rest != after.rest:
        return None
    names = {*before.columns, *after.columns}
    other = {name for name in names if before.columns.get(name) != after.columns.get(name)}
    if _ALL_COLUMNS in other:
        return None
    results = _followed(after.expressions, other, named, bound)
    if not results:
        return None if _rest_mentions(now, named, bound) else frozenset()
    if (
        _rest_mentions(now, {**named, "": frozenset(results)}, bound)
        or _shapes_rows(before, results)
        or _shapes_rows(after, results)
    ):
        return None
    if _aggregates(was) != _aggregates(now):
        return None
    passed = frozenset[str]().union(*named.values()) if _ALL_COLUMNS in results else frozenset()
    return frozenset(
        (results & before.columns.keys() & after.columns.keys() | passed) - {_ALL_COLUMNS}
    )


def _of_with(  # complexipy: ignore (reasons to follow no column, in order)
    was: exp.Select, now: exp.Select, above: Mapping[str, frozenset[str]], bound: frozenset[str]
) -> Mapping[str, frozenset[str]] | None:
    """Return the changed columns of each CTE; None if they can't be determined."""
    before, after = _with(was), _with(now)
    if list(before) != list(after):
        return None
    results = dict(above)
    for name, cte in after.items():
        renamed = before[name].args.get("alias") != cte.args.get("alias")
        if renamed or _recursive(now):
            if before[name] != cte or _mentions(cte, results, bound):
                return None
            continue
        changed = _changed(before[name].this, cte.this, results, bound)
        if changed is None:
            return None
        if columns := changed | _differing_columns(before[name].this, cte.this):
            results[name] = columns
    return results


def _with(select: exp.Select) -> dict[str, exp.Expr]:
    clause = select.args.get("with_")
    return {cte.alias.lower(): cte for cte in clause.expressions} if clause is not None else {}


def _recursive(select: exp.Select) -> bool:
    clause = select.args.get("with_")
    return clause is not None and bool(clause.args.get("recursive"))


def _differing_columns(was: exp.Expr, now: exp.Expr) -> frozenset[str]:
    """Return the columns that only one of two SELECTs has."""
    before, after = _select_parts(was), _select_parts(now)
    if before is None or after is None:
        return frozenset()
    return frozenset(before.columns.keys() ^ after.columns.keys())


def _select_parts(tree: exp.Expr) -> _SelectParts | None:
    """Return the parts of a SELECT; None if a column has no name or a repeated one."""
    if not isinstance(tree, exp.Select):
        return None
    expressions: dict[str, exp.Expr] = {}
    for expression in tree.expressions:
        name = _ALL_COLUMNS if expression.is_star else expression.alias_or_name.lower()
        if not name or name in expressions:
            return None
        expressions[name] = expression
    rest = tree.copy()
    _write_keys(rest)
    rest.set("expressions", [])
    rest.set("with_", None)
    return _SelectParts(
        {name: _text(_with_all(expr)) for name, expr in expressions.items()},
        expressions,
        _text(rest),
        tree,
    )


def _write_keys(select: exp.Select) -> None:
    """Write out GROUP BY ALL and keys by position, and sort the keys, where they are certain."""
    group, columns = select.args.get("group"), select.expressions
    if group is None or {key for key in group.args if group.args[key]} - {"all", "expressions"}:
        return
    keys = [
        columns[int(key.name) - 1] if key.is_int and int(key.name) <= len(columns) else key
        for key in group.expressions
    ]
    if not any(column.is_star or column.find(*_UNCERTAIN_IN_KEYS) for column in columns):
        keys = keys or [column for column in columns if column.find(exp.AggFunc) is None]
    written = [key.unalias() for key in keys if not isinstance(key.unalias(), exp.Literal)]
    if written:
        group.set("all", None)
        group.set("expressions", sorted(written, key=_text))


def _with_all(column: exp.Expr) -> exp.Expr:
    """Return `*` without its EXCEPT list, since the remaining columns keep their meaning."""
    if not column.is_star:
        return column
    expr = column.copy()
    for star in expr.find_all(exp.Star):
        star.set("except_", None)
    return expr


def _text(node: exp.Expr) -> str:
    return node.sql(dialect="duckdb", comments=False)


def _followed(
    expressions: Mapping[str, exp.Expr],
    other: set[str],
    named: Mapping[str, frozenset[str]],
    bound: frozenset[str],
) -> set[str]:
    """Return these columns and those of the same SELECT that are computed from changed ones."""
    results, before = set(other), -1
    while len(results) != before:
        before = len(results)
        aliases = {**named, "": frozenset(results)} if results else named
        for name, expr in expressions.items():
            passed_on = isinstance(expr, exp.Column) and expr.name.lower() == name
            if _mentions(expr, named if passed_on else aliases, bound):
                results.add(name)
    return results


def _mentions(node: exp.Expr, changed: Mapping[str, frozenset[str]], bound: frozenset[str]) -> bool:
    """Return whether an expression uses a changed column, all columns, or a changed parameter."""
    names = _names(changed)
    for part in node.walk():
        if isinstance(part, exp.Column) and (
            part.name.lower() in names or part.table.lower() in names & {part.name.lower()}
        ):
            return True
        if (
            isinstance(part, exp.Star | exp.Columns)
            and changed
            and not isinstance(part.parent, exp.Count)
        ):
            return True
        if isinstance(part, exp.Parameter | exp.Placeholder) and part.name.lower() in bound:
            return True
    return False


def _names(changed: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the changed columns and their CTEs: a whole row has the name of its table."""
    return frozenset(filter(None, changed)).union(*changed.values())


def _rest_mentions(
    select: exp.Select, changed: Mapping[str, frozenset[str]], bound: frozenset[str]
) -> bool:
    """Return whether the set of rows depends on changed columns or parameters."""
    names = frozenset[str]().union(*changed.values())
    aliases = {"": names} if names else {}
    rest = (value for key, value in select.args.items() if key not in ("expressions", "with_"))
    return any(
        _mentions(part, aliases, bound) or _joins(part, names)
        for value in rest
        for part in _each(value)
    )


def _each(value: object) -> Iterable[exp.Expr]:
    values = value if isinstance(value, list) else [value]
    return (value for value in values if isinstance(value, exp.Expression))


def _joins(part: exp.Expr, names: frozenset[str]) -> bool:
    """Return whether USING or a natural join uses one of these columns."""
    return bool(names) and any(
        (join.args.get("method") or "").lower() == "natural"
        or any(item.name.lower() in names for item in join.args.get("using") or [])
        for join in part.find_all(exp.Join)
    )


def _shapes_rows(parts: _SelectParts, touched: set[str]) -> bool:
    """Return whether these columns determine the set of rows.

    They do with DISTINCT, GROUP BY ALL or by position, and where a list is unnested.
    """
    select = parts.tree
    if select.args.get("distinct") is not None:
        return True
    ours = [expr for name, expr in parts.expressions.items() if name in touched]
    if any(expr.find(*_MULTIPLYING) for expr in ours):
        return True
    aggregates = [expr.find(exp.AggFunc) is not None for expr in ours]
    group = select.args.get("group")
    by_position = group is not None and (
        group.args.get("all")
        or any(isinstance(expression, exp.Literal) for expression in group.expressions)
    )
    if by_position:
        return not all(aggregates)
    order = select.args.get("order")
    by_place = order is not None and any(expression.this.is_int for expression in order.expressions)
    return by_place and select.args.get("limit") is not None


def _aggregates(select: exp.Select) -> bool:
    """Return whether the query aggregates all rows into one, without GROUP BY."""
    if select.args.get("group") is not None:
        return False
    return any(
        item.find_ancestor(exp.Window) is None
        for column in select.expressions
        for item in column.find_all(exp.AggFunc)
    )
