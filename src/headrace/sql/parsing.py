"""Parsing of SQL text into one SELECT, or an error with its position.

The parser accepts any text and raises only `InvalidSelect`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from headrace.model.errors import words_of

TEXT_CHARACTERS_MAX = 1_000_000
TOKENS_MAX = 200_000
NESTING_MAX = 150
"""Maximum nesting of brackets; sqlglot and this package walk expressions recursively."""
JOINS_MAX = 1_000
"""Maximum number of joins whose conditions come after all of them."""
PARSED_KEPT_MAX = 256

_DIALECT = DuckDB()
_BRACKETS = {
    **dict.fromkeys((TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE), 1),
    **dict.fromkeys((TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END), -1),
}
_CONDITIONS = {TokenType.ON, TokenType.USING}
_UNCONDITIONAL = {TokenType.CROSS, TokenType.NATURAL}
"""Joins that have no condition, after which sqlglot looks for none."""
_STARTS = {
    TokenType.SELECT,
    TokenType.WITH,
    TokenType.FROM,
    TokenType.L_PAREN,
    TokenType.VALUES,
    TokenType.TABLE,
}
FORBIDDEN = (
    exp.DDL,
    exp.DML,
    exp.Command,
    exp.Describe,
    exp.Show,
    exp.Set,
    exp.Pragma,
    exp.Attach,
    exp.Detach,
    exp.Copy,
    exp.Into,
)
"""What isn't allowed anywhere in a statement."""
_OF_CTES = (exp.Query, exp.Values, exp.Pivot)
"""What a CTE may hold; sqlglot reads any other statement there too, DuckDB refuses it."""

_TEMPLATE = re.compile(r"\{[{%]-?\s*(.*?)\s*-?[%}]\}", re.DOTALL)
_NAME = r"""\s*['"]([A-Za-z_][A-Za-z_0-9]*)['"]\s*"""
_TEMPLATES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(rf"ref\({_NAME}\)"),
        "write the name itself: from {0}; the order of assets is found in the SQL",
    ),
    (
        re.compile(rf"ref\({_NAME},{_NAME}\)"),
        "write the name itself: from {1}; the order of assets is found in the SQL",
    ),
    (
        re.compile(rf"source\({_NAME},{_NAME}\)"),
        "declare it in sources/{1}.yaml, and write its name: from {1}",
    ),
    (re.compile(rf"(?:env_)?var\({_NAME}"), "write ${0}, and declare it under `parameters:`"),
    (
        re.compile(r"config\("),
        (
            "write what config() says in the front matter: /* headrace, `materialize: …`, `owner:"
            " …`, */"
        ),
    ),
    (
        re.compile(r"this\b"),
        "write $self for the rows that the asset has already (`materialize: merge`)",
    ),
    (
        re.compile(r"(?:data_interval_start|execution_date|logical_date|ds|ts|macros\.ds)\b"),
        "write $partition_start",
    ),
    (
        re.compile(r"(?:data_interval_end|next_ds|next_execution_date|tomorrow_ds)\b"),
        "write $partition_end",
    ),
    (
        re.compile(r"(?:if\s+is_incremental|is_incremental)\b"),
        (
            "`partition: day` with $partition_start and $partition_end is what computes one day at"
            " a time"
        ),
    ),
    (
        re.compile(r"(?:params|var\.value)\.([A-Za-z_][A-Za-z_0-9]*)"),
        "write ${0}, and declare it under `parameters:`",
    ),
)
"""Pattern inside a template of dbt or Airflow → what to write instead; the first match counts."""
_IN_QUOTES = re.compile(
    r"\{\{\s*((?:ds|ds_nodash|ts|execution_date|logical_date|data_interval_(?:start|end)|next_ds|prev_ds)\b[^}]*)\}\}"
)
"""Airflow's dates, which users write in quotes. Any other text in quotes may contain braces."""
_NO_TEMPLATE = (
    "values are bound as $name (`parameters:`), shared SQL is a macro in macros/, and other assets"
    " are named as they are"
)


class InvalidSelect(Exception):
    """The text isn't one SELECT.

    `line` and `column` count from 1 within the text; column 0 means unknown. `near` is the text at
    that position.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        line: int = 1,
        column: int = 0,
        near: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.line, self.column, self.near, self.hint = (
            code,
            message,
            line,
            column,
            near,
            hint,
        )


_Visible = tuple[exp.Expr, frozenset[str]]
"""A node of a statement, and the names of the CTEs (lower-case) that are visible to it."""


class Parsed(NamedTuple):
    """A statement with its tokens, shared between callers: never modify the tree.

    `nodes` are all nodes except names and literals, which are three quarters of a statement, and
    except WITH and its CTEs themselves. A query comes before those of its CTEs.
    """

    tree: exp.Expr
    tokens: list[Token]
    nodes: list[_Visible]


def tokenise(text: str) -> list[Token]:
    """Return the tokens of DuckDB SQL.

    Raises `InvalidSelect` for text that is too long, too deeply nested, or ends inside a quote.
    """
    if len(text) > TEXT_CHARACTERS_MAX:
        raise InvalidSelect(
            "sql_too_large",
            f"the statement has {len(text):,} characters; the limit is {TEXT_CHARACTERS_MAX:,}",
        )
    try:
        # sqlglot 30.30 takes a final '' after a parameter (`$self`) for an open quote.
        tokens = _DIALECT.tokenize(f"{text} " if text.endswith("''") else text)
    except TokenError as error:
        raise _unclosed(text, error) from None
    if len(tokens) > TOKENS_MAX:
        raise InvalidSelect(
            "sql_too_large",
            f"the statement has {len(tokens):,} tokens; the limit is {TOKENS_MAX:,}",
        )
    if len(tokens) > NESTING_MAX:  # fewer can't be nested deeper
        check_depth(tokens)
    if "$" in text:
        _correct_places(tokens, text)
    return tokens


def _correct_places(tokens: list[Token], text: str) -> None:
    """Set the line and column of each token's end.

    sqlglot 30.30 tries each `$` as the start of a quote and doesn't take back the lines that it
    has counted meanwhile, to the end of the text.
    """
    line, at = 1, 0
    for token in tokens:
        line, at = line + text.count("\n", at, token.end), token.end
        token.line, token.col = line, at - text.rfind("\n", 0, at)


@lru_cache(maxsize=PARSED_KEPT_MAX)
def parse(text: str) -> Parsed:
    """Return the one SELECT (WITH, set operation, VALUES) in the text; raises `InvalidSelect`."""
    tokens = tokenise(text)
    if "{" in text:
        _check_templates(tokens, text)
    _check_start(tokens)
    if ";" in text:
        _check_single(tokens)
    try:
        statements = _DIALECT.parser().parse(tokens, text)
    except ParseError as error:
        raise _bare_pivot(error, tokens) or _syntax(error) from None
    except RecursionError:
        raise InvalidSelect("sql_too_large", "the statement is nested too deeply") from None
    except (SqlglotError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        # sqlglot's parser raises these instead of its own error for some malformed texts
        raise InvalidSelect(
            "sql_syntax", f"the statement can't be read ({words_of(error)})"
        ) from None
    tree = _single(statements)
    nodes = _nodes(tree)
    # a statement has many nodes of few classes, and testing a node against the tuple is slow
    if any(issubclass(kind, FORBIDDEN) for kind in {type(node) for node, _ in nodes}):
        forbidden = next(node for node in tree.walk() if isinstance(node, FORBIDDEN))
        raise InvalidSelect(
            "not_a_select", f"{forbidden.key.upper()} inside a body: a body only selects"
        )
    return Parsed(tree, tokens, nodes)


def _nodes(tree: exp.Expr) -> list[_Visible]:
    """Return `Parsed.nodes`."""
    results: list[_Visible] = []
    stack: list[_Visible] = [(tree, frozenset())]
    while stack:
        visible = stack.pop()
        results.append(visible)
        node, ctes = visible
        with_ = node.args.get("with_")
        if with_ is not None:
            ctes = _push_ctes(with_, ctes, stack)
        for value in reversed(node.args.values()):
            children = reversed(value) if type(value) is list else (value,)
            stack += [(child, ctes) for child in children if _is_inner(child)]
    return results


def _push_ctes(with_: exp.Expr, ctes: frozenset[str], stack: list[_Visible]) -> frozenset[str]:
    """Push each CTE's query with the names visible to it.

    Return the names visible to the main query.
    """
    recursive = bool(with_.args.get("recursive"))
    queries: list[_Visible] = []
    for cte in with_.expressions:
        name = cte.alias.lower()
        body = cte.this
        if not isinstance(body, _OF_CTES):
            raise _no_query(cte)
        sees_itself = recursive and isinstance(body, exp.SetOperation)
        queries.append((body, ctes | {name} if sees_itself else ctes))
        ctes |= {name}
    stack.extend(reversed(queries))
    return ctes


def _no_query(cte: exp.Expr) -> InvalidSelect:
    """Return the error for a CTE that holds something else, on the line of its name."""
    plain = isinstance(cte.this, exp.Column | exp.Literal)
    kind = "no SELECT" if plain else f"a {cte.this.key.upper()} statement"
    line = cte.args["alias"].this.meta.get("line", 1)
    return InvalidSelect(
        "not_a_select", f"{kind} in a CTE: a body only selects", line=line, near=cte.alias
    )


_NOT_INNER = frozenset({exp.Identifier, exp.Literal, exp.With, type(None), bool, str})


def _is_inner(value: object) -> bool:
    """Return whether an argument is a node, but not a name, a literal or WITH."""
    kind = type(value)
    if kind is exp.Column:
        kind = type(value.args.get("this"))  # type: ignore[attr-defined]  # `t.*` has expressions below it
    return kind not in _NOT_INNER and isinstance(value, exp.Expr)


def _single(statements: list[exp.Expr | None]) -> exp.Expr:
    exprs = [
        statement
        for statement in statements
        if statement is not None and not isinstance(statement, exp.Semicolon)
    ]
    if len(exprs) != 1:
        raise InvalidSelect("not_a_select", f"{len(exprs)} statements where one SELECT belongs")
    tree = exprs[0]
    if not isinstance(tree, exp.Query | exp.Values):
        raise InvalidSelect(
            "not_a_select", f"a {tree.key.upper()} statement where a SELECT belongs"
        )
    return tree


def _check_single(tokens: list[Token]) -> None:
    """Refuse several statements before parsing.

    sqlglot would log warnings about unknown statements.
    """
    begun, ended = False, False
    for token in tokens:
        if token.token_type != TokenType.SEMICOLON:
            if ended:
                raise InvalidSelect(
                    "not_a_select",
                    "several statements where one SELECT belongs",
                    line=token.line,
                    near=token.text[:40],
                )
            begun = True
        elif begun:
            ended = True


def _check_quoted(token: Token) -> None:
    if quoted := _IN_QUOTES.search(token.text):
        hint = next(
            (hint for pattern, hint in _TEMPLATES if pattern.match(quoted[1])), _NO_TEMPLATE
        )
        raise InvalidSelect(
            "sql_template",
            "a template in quotes stays as it is: there is no Jinja",
            line=token.line,
            near=quoted[0][:40],
            hint=hint,
        )


def _check_templates(tokens: list[Token], text: str) -> None:
    """Refuse `{{ … }}` and `{% … %}` outside quotes, which users of dbt and Airflow write.

    No SQL token starts like that.
    """
    for token in tokens:
        if token.token_type == TokenType.STRING:
            _check_quoted(token)
    for first in tokens:
        if first.token_type not in (TokenType.L_BRACE, TokenType.BLOCK_START) or text[
            first.start : first.start + 2
        ] not in ("{{", "{%"):
            continue
        written = _TEMPLATE.match(text, first.start)
        inside = written[1] if written else ""
        raise InvalidSelect(
            "sql_template",
            "SQL is never a template here: there is no Jinja",
            line=first.line,
            near=(
                " ".join(written[0].split())[:40]
                if written
                else text[first.start : first.start + 2]
            ),
            hint=next(
                (
                    hint.format(*match.groups())
                    for pattern, hint in _TEMPLATES
                    if (match := pattern.match(inside))
                ),
                _NO_TEMPLATE,
            ),
        )


def _check_start(tokens: list[Token]) -> None:
    first = next((token for token in tokens if token.token_type != TokenType.SEMICOLON), None)
    if first is None:
        raise InvalidSelect("not_a_select", "there is no statement", hint="write one SELECT")
    if first.token_type not in _STARTS:
        word = first.text[:40]
        hint = (
            "did you mean `select`?"
            if word.lower() in {"selec", "slect", "selct", "selet", "seelct"}
            else "a body is one SELECT"
        )
        raise InvalidSelect(
            "not_a_select",
            f"starts with `{word}` where a SELECT belongs",
            line=first.line,
            near=word,
            hint=hint,
        )


def check_depth(tokens: Iterable[Token]) -> None:
    """Raise InvalidSelect for a text that sqlglot's parser would read too deeply nested.

    Its compiled parser reads brackets, and joins whose conditions all come later, recursively:
    20,000 such joins overflow its stack, which ends the process. Each statement is
    counted alone.
    """
    depth = joins = 0
    before = None
    for token in tokens:
        kind = token.token_type
        if kind is TokenType.SEMICOLON:
            depth = joins = 0
        depth = max(0, depth + _BRACKETS.get(kind, 0))
        joins = max(0, joins + _joins_of(kind, before))
        if depth > NESTING_MAX:
            what = f"brackets are nested more than {NESTING_MAX} deep"
            raise InvalidSelect("sql_too_large", what, line=token.line)
        if joins > JOINS_MAX:
            what = f"more than {JOINS_MAX:,} joins follow each other without a condition"
            raise InvalidSelect("sql_too_large", what, line=token.line)
        before = kind


def _joins_of(kind: TokenType, before: TokenType | None) -> int:
    """Return 1 for a join that waits for its condition, -1 for a condition, else 0."""
    if kind in _CONDITIONS:
        return -1
    if kind is TokenType.JOIN:
        return int(before not in _UNCONDITIONAL)
    return int(kind is TokenType.FROM and before is kind)


def _unclosed(text: str, error: TokenError) -> InvalidSelect:
    at = min(error.end or 0, len(text))
    near = " ".join(text[max(0, (error.start or 0)) : at].split())[-40:]
    message = (
        "a quote, comment or bracket isn't closed"
        if at >= len(text) - 1
        else "these characters can't be read"
    )
    return InvalidSelect("sql_syntax", message, line=text.count("\n", 0, at) + 1, near=near)


def _syntax(error: ParseError) -> InvalidSelect:
    results = error.errors[0] if error.errors else {}
    line, end_column = results.get("line") or 1, results.get("col") or 1
    near = str(results.get("highlight") or "")
    column = max(1, end_column - len(near) + 1)
    what = str(results.get("description") or "unexpected token").rstrip(".")
    hint = ""
    if near.strip() == "`":
        hint = 'a name that isn\'t a plain word stands in double quotes: "order"'
    elif near.strip().isdigit() and re.search(
        r"\btop\s*$", str(results.get("start_context") or ""), re.IGNORECASE
    ):
        hint = f"write `limit {near.strip()}` at the end"
    if what.startswith("Required keyword"):
        what = "something is missing here"
    elif (got := what.find(" but got <Token")) > 0:  # sqlglot prints the token's `repr`
        what = what[:got]
    elif what.startswith("Expecting "):
        what = f"expected `{what.removeprefix('Expecting ')}` here"
    elif what.startswith("Invalid expression"):
        what = "unexpected token"
    return InvalidSelect(
        "sql_syntax",
        f"{what[:1].lower()}{what[1:]}",
        line=line,
        column=column,
        near=" ".join(near.split())[:40],
        hint=hint,
    )


def _bare_pivot(error: ParseError, tokens: Sequence[Token]) -> InvalidSelect | None:
    """Return the error for a PIVOT in EXISTS, IN or as a value, which sqlglot can't read."""
    at = tuple(error.errors[0].get(key) or 1 for key in ("line", "col")) if error.errors else (0, 0)
    before = [token for token in tokens if (token.line, token.col) <= at][-4:]
    for opening, word in pairwise(before):
        if opening.token_type is TokenType.L_PAREN and word.text.upper() in ("PIVOT", "UNPIVOT"):
            return InvalidSelect(
                "sql_syntax",
                f"{word.text.upper()} is read in parentheses after FROM only",
                line=word.line,
                near=word.text,
                hint=f"write (from ({word.text} …)), which DuckDB reads in the same way",
            )
    return None


# The normal form of a statement, without layout, comments and the case of unquoted text. It is
# built from tokens and not from a parsed tree, so a newer sqlglot never changes the fingerprint of
# an asset.

_QUOTED = {
    TokenType.STRING: "'",
    TokenType.NATIONAL_STRING: "n'",
    TokenType.BYTE_STRING: "e'",
    TokenType.RAW_STRING: "r'",
    TokenType.HEREDOC_STRING: "'",
    TokenType.IDENTIFIER: '"',
}


def normalised(tokens: Iterable[Token]) -> str:
    """Return the tokens as one line, independent of layout, comments, and case outside quotes."""
    words = [
        _quoted(token) if token.token_type in _QUOTED else token.text.lower() for token in tokens
    ]
    while words and words[-1] == ";":
        words.pop()
    return " ".join(words)


def _quoted(token: Token) -> str:
    opening = _QUOTED[token.token_type]
    closing = opening[-1]
    return f"{opening}{token.text.replace(closing, closing * 2)}{closing}"


# Conversions of a vendor's column: one expression over the columns of a delivery, decided by a
# person. It is stored in a contract and applied whenever a delivery is ingested. Only the nodes in
# the list below are allowed: no subquery, no function other than arithmetic and text, nothing that
# reads a file, a setting or the clock.

CONVERSION_CHARACTERS_MAX = 500
_CONVERSION_NODES = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren,
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.DPipe,
    exp.Cast, exp.TryCast, exp.DataType, exp.DataTypeParam, exp.Case, exp.If, exp.Coalesce,
    exp.Nullif, exp.Abs, exp.Round, exp.Floor, exp.Ceil, exp.And, exp.Or, exp.Not, exp.Is,
    exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.In, exp.Between,
    exp.Lower, exp.Upper, exp.Trim, exp.Replace, exp.Substring, exp.Concat, exp.Left, exp.Right,
)  # fmt: skip
"""All node types that an expression may contain."""


class Conversion:
    """A checked expression; `columns` are the columns of the file that it reads."""

    def __init__(self, tree: exp.Expr, columns: tuple[str, ...]) -> None:
        self._tree, self.columns = tree, columns

    @property
    def is_identity(self) -> bool:
        """Whether it is a single unchanged column."""
        return isinstance(self._tree.unnest(), exp.Column)

    def over(self, names: Mapping[str, str]) -> str:
        """Return the expression as DuckDB SQL.

        `names` maps the file's column names to those of the table.
        """

        def rename_column(node: exp.Expr) -> exp.Expr:
            if not isinstance(node, exp.Column):
                return node
            return exp.Column(this=exp.to_identifier(names.get(node.name, node.name), quoted=True))

        return self._tree.copy().transform(rename_column).sql(dialect="duckdb", comments=False)


@lru_cache(256)
def parse_conversion(text: str) -> Conversion:
    """Return the expression in a text; raises `InvalidSelect` for anything else."""
    if len(text) > CONVERSION_CHARACTERS_MAX:
        raise InvalidSelect(
            "conversion_invalid", f"it has more than {CONVERSION_CHARACTERS_MAX} characters"
        )
    if not text.strip():
        raise InvalidSelect("conversion_invalid", "it is empty")
    tree = parse(f"SELECT (\n{text}\n)").tree
    results = tree.expressions
    if (
        not isinstance(tree, exp.Select)
        or set(_conversion_parts(tree)) != {"expressions"}
        or len(results) != 1
    ):
        raise InvalidSelect("conversion_invalid", "it isn't one expression")
    inside = results[0]
    if not isinstance(inside, exp.Paren):
        raise InvalidSelect("conversion_invalid", "it isn't one expression")
    for node in inside.walk():
        _require_known(node)
    columns = tuple(dict.fromkeys(node.name for node in inside.find_all(exp.Column)))
    if not columns:
        raise InvalidSelect("conversion_invalid", "it reads no column of the delivery")
    return Conversion(inside, columns)


def _conversion_parts(tree: exp.Expr) -> list[str]:
    return [name for name, value in tree.args.items() if value]


def _require_known(node: exp.Expr) -> None:
    if type(node) not in _CONVERSION_NODES:
        what = node.name if isinstance(node, exp.Anonymous) else node.key
        raise InvalidSelect(
            "conversion_invalid",
            f"`{what[:40]}` isn't allowed in it",
            hint="arithmetic, CASE, CAST, round, coalesce and texts of the delivery's columns are",
        )
    if isinstance(node, exp.Column) and (node.table or not isinstance(node.this, exp.Identifier)):
        raise InvalidSelect(
            "conversion_invalid", f"`{node.sql()[:40]}` isn't a column's name alone"
        )
    if isinstance(node, exp.In) and (node.args.get("query") or node.args.get("unnest")):
        raise InvalidSelect("conversion_invalid", "a subquery isn't allowed in it")
