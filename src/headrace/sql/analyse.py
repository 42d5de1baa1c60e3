"""What a body's text alone tells: the tables it reads, its placeholders, and whether it is one SELECT."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from headrace.model import Place, Problem
from headrace.sql.catalogue import VOLATILE, function_name, is_known_function
from headrace.sql.normalise import normalised
from headrace.sql.parsing import InvalidSelect, Parsed, parse, tokenise
from headrace.sql.values import Analysis, Reference

SELF = "__self__"
"""The table that `$self` stands for in what runs."""

_NAMED_PARAMETER = "write `$name` and declare it under `parameters:`"
_TABLE_FUNCTIONS = {"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"}
_DYNAMIC = {"query", "query_table", "json_execute_serialized_sql"}
_READS_OUTSIDE = {
    "glob", "iceberg_scan", "delta_scan", "sqlite_scan", "sqlite_query", "mysql_scan", "mysql_query", "postgres_scan",
    "postgres_scan_pushdown", "postgres_query", "ducklake_scan", "sniff_csv", "st_read", "arrow_scan", "pandas_scan",
    "parquet_scan", "which_secret", "python_map_function", "seq_scan", "shapefile_meta", "excel_scan",
}  # fmt: skip
_OUTSIDE_PREFIXES = ("read_", "parquet_", "duckdb_", "pragma_", "iceberg_", "ducklake_", "postgres_", "mysql_", "sqlite_", "from_substrait")


def analyse(text: str, *, file: str, line: int, name: str) -> Analysis:
    """What `text`, which starts at `line` of `file`, reads and asks for. Never raises: what is wrong is in `problems`."""
    try:
        sql, uses_self = _without_self(text)
        parsed = parse(sql)
        return _Analyser(parsed, file=file, line=line, name=name).analysis(sql, uses_self)
    except InvalidSelect as wrong:
        return Analysis(name=name, file=file, line=line, problems=(_problem(wrong, file, line),))


def _problem(wrong: InvalidSelect, file: str, line: int) -> Problem:
    near = f", near `{wrong.near}`" if wrong.near else ""
    at = line + wrong.line - 1
    where = f"line {at}, column {wrong.column}: " if wrong.column else ""
    return Problem(code=wrong.code, message=f"{where}{wrong.message}{near}", hint=wrong.hint, place=Place(file=file, line=at))


def _without_self(text: str) -> tuple[str, bool]:
    """The text with each `$self` outside quotes replaced by a quoted identifier."""
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
        if dollar.token_type == TokenType.PARAMETER and dollar.text == "$" and word.start == dollar.end + 1:
            yield dollar, word


class _Analyser:
    """One walk over the tree with the names of the CTEs in sight."""

    def __init__(self, parsed: Parsed, *, file: str, line: int, name: str) -> None:
        self._parsed, self._file, self._line, self._name = parsed, file, line, name
        self._inputs: dict[str, int] = {}
        self._table_functions: dict[str, int] = {}
        self._functions: dict[str, None] = {}
        self._volatile: dict[str, int] = {}
        self._problems: list[Problem] = []

    def analysis(self, sql: str, uses_self: bool) -> Analysis:
        placeholders = self._placeholders()
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

    def _placeholders(self) -> tuple[Reference, ...]:
        results: dict[str, int] = {}
        for token in self._parsed.tokens:
            if token.token_type == TokenType.PLACEHOLDER:
                self._refuse("positional_parameter", "`?` has no name", token.line, _NAMED_PARAMETER)
        for _, word in _placeholder_tokens(self._parsed.tokens):
            if word.token_type == TokenType.NUMBER:
                self._refuse("positional_parameter", f"`${word.text}` has no name", word.line, _NAMED_PARAMETER)
            else:
                results.setdefault(word.text.lower(), self._line + word.line - 1)
        return _references(results)

    def _walk(self, sql: str) -> None:
        stack: list[tuple[exp.Expr, frozenset[str]]] = [(self._parsed.tree, frozenset())]
        while stack:
            node, names = stack.pop()
            if isinstance(node, exp.Table):
                self._table(node, names, sql)
            elif isinstance(node, exp.Func):
                self._function(node, sql)
            with_ = node.args.get("with_")
            if with_ is not None:
                names = _push_ctes(with_, names, stack)
            children = [child for child in node.iter_expressions() if child is not with_]
            stack.extend((child, names) for child in reversed(children))

    def _table(self, table: exp.Table, names: frozenset[str], sql: str) -> None:
        inner = table.this
        line = _line_of(inner) or 1
        if isinstance(inner, exp.Func):
            self._table_function(function_name(inner, sql), _line_of(inner) or 1)
        elif not isinstance(inner, exp.Identifier):
            self._refuse("sql_syntax", "a table's name belongs after FROM", line, "a name can't be a placeholder")
        elif table.args.get("db") is not None:
            text = ".".join(part.name for part in table.parts)
            self._refuse(
                "qualified_name", f"`{text}` has a schema in front", line, f"write `{inner.name}`: sources and assets have plain names"
            )
        elif table.args.get("when") is not None:
            self._refuse("qualified_name", f"`{inner.name} AT (…)`: a body reads the version that it is given", line, "leave `AT (…)` out")
        elif _is_path(inner.name):
            self._outside(f"reads the file '{inner.name}' directly", line)
        elif inner.name.lower() not in names:
            self._inputs.setdefault(inner.name.lower(), self._line + line - 1)

    def _table_function(self, name: str, line: int) -> None:
        if name in _DYNAMIC:
            self._outside(f"`{name}()` runs SQL that can't be seen before it runs", line, "write the SELECT itself")
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

    def _outside(self, what: str, line: int, hint: str = "declare it as a source and read the source by its name") -> None:
        self._refuse("external_read", what, line, hint)

    def _refuse(self, code: str, message: str, line: int, hint: str) -> None:
        self._problems.append(Problem(code=code, message=message, hint=hint, place=Place(file=self._file, line=self._line + line - 1)))


def _push_ctes(with_: exp.Expr, names: frozenset[str], stack: list[tuple[exp.Expr, frozenset[str]]]) -> frozenset[str]:
    """Put each CTE's query on the stack with the names that it can see; the names that the main query can see."""
    recursive = bool(with_.args.get("recursive"))
    queries: list[tuple[exp.Expr, frozenset[str]]] = []
    for cte in with_.expressions:
        name = cte.alias.lower()
        body = cte.this
        seen = names | {name} if recursive and isinstance(body, exp.SetOperation) else names
        queries.append((body, seen))
        names = names | {name}
    stack.extend(reversed(queries))
    return names


def _references(results: dict[str, int]) -> tuple[Reference, ...]:
    return tuple(Reference(name=name, line=line) for name, line in results.items())


def _line_of(node: exp.Expr) -> int | None:
    line = node.meta.get("line")
    return int(line) if line is not None else None


def _is_path(name: str) -> bool:
    """DuckDB reads a file where a table's name looks like one."""
    return any(character in name for character in "./\\*?:[")
