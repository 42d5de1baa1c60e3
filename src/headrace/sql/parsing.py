"""Text → one parsed statement, or what is wrong with it and where. Reads anything, raises only `Unreadable`."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

TEXT_CHARACTERS_MAX = 1_000_000
TOKENS_MAX = 200_000
NESTING_MAX = 150
"""Brackets within brackets; sqlglot and this room walk expressions recursively."""
PARSED_KEPT_MAX = 256

_DIALECT = DuckDB()
_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END}
_STARTS = {TokenType.SELECT, TokenType.WITH, TokenType.FROM, TokenType.L_PAREN, TokenType.VALUES, TokenType.TABLE}
_FORBIDDEN = (exp.DDL, exp.DML, exp.Command, exp.Describe, exp.Show, exp.Set, exp.Pragma, exp.Attach, exp.Detach, exp.Copy, exp.Into)


class Unreadable(Exception):
    """The text isn't one SELECT. `line` and `column` count from 1 within the text
    (column 0: not known); `near` is the text found there."""

    def __init__(self, code: str, message: str, *, line: int = 1, column: int = 0, near: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.line, self.column, self.near, self.hint = code, message, line, column, near, hint


class Parsed(NamedTuple):
    """A statement with its tokens. Shared between callers: never modify the tree."""

    tree: exp.Expr
    tokens: list[Token]


def tokenise(text: str) -> list[Token]:
    """The tokens of DuckDB's SQL. Raises `Unreadable` for text that is too long, too nested, or ends inside a quote."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise Unreadable("sql_too_large", f"the statement has {len(text):,} characters; the limit is {TEXT_CHARACTERS_MAX:,}")
    try:
        tokens = _DIALECT.tokenize(text)
    except TokenError as error:
        raise _unclosed(text, error) from None
    if len(tokens) > TOKENS_MAX:
        raise Unreadable("sql_too_large", f"the statement has {len(tokens):,} tokens; the limit is {TOKENS_MAX:,}")
    _check_nesting(tokens)
    return tokens


@lru_cache(maxsize=PARSED_KEPT_MAX)
def parse(text: str) -> Parsed:
    """The one SELECT (WITH, set operation, VALUES) that the text is. Raises `Unreadable`."""
    tokens = tokenise(text)
    _check_start(tokens)
    _check_single(tokens)
    try:
        statements = _DIALECT.parser().parse(tokens, text)
    except ParseError as error:
        raise _syntax(error) from None
    except RecursionError:
        raise Unreadable("sql_too_large", "the statement is nested too deeply") from None
    except (SqlglotError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        # sqlglot's parser meets some malformed texts with these instead of its own error
        raise Unreadable("sql_syntax", f"the statement can't be read ({type(error).__name__})") from None
    return Parsed(_single(statements), tokens)


def _single(statements: list[exp.Expr | None]) -> exp.Expr:
    found = [statement for statement in statements if statement is not None and not isinstance(statement, exp.Semicolon)]
    if len(found) != 1:
        raise Unreadable("not_a_select", f"{len(found)} statements where one SELECT belongs")
    tree = found[0]
    if not isinstance(tree, exp.Query | exp.Values):
        raise Unreadable("not_a_select", f"a {tree.key.upper()} statement where a SELECT belongs")
    for node in tree.walk():
        if isinstance(node, _FORBIDDEN):
            raise Unreadable("not_a_select", f"{node.key.upper()} inside a body: a body only selects")
    return tree


def _check_single(tokens: list[Token]) -> None:
    """Before parsing: sqlglot writes warnings about statements that it doesn't know."""
    begun, ended = False, False
    for token in tokens:
        if token.token_type != TokenType.SEMICOLON:
            if ended:
                raise Unreadable("not_a_select", "several statements where one SELECT belongs", line=token.line, near=token.text[:40])
            begun = True
        elif begun:
            ended = True


def _check_start(tokens: list[Token]) -> None:
    first = next((token for token in tokens if token.token_type != TokenType.SEMICOLON), None)
    if first is None:
        raise Unreadable("not_a_select", "there is no statement", hint="write one SELECT")
    if first.token_type not in _STARTS:
        word = first.text[:40]
        hint = "did you mean `select`?" if word.lower() in {"selec", "slect", "selct", "selet", "seelct"} else "a body is one SELECT"
        raise Unreadable("not_a_select", f"starts with `{word}` where a SELECT belongs", line=first.line, near=word, hint=hint)


def _check_nesting(tokens: list[Token]) -> None:
    depth = 0
    for token in tokens:
        kind = token.token_type
        if kind in _OPENING:
            depth += 1
            if depth > NESTING_MAX:
                raise Unreadable("sql_too_large", f"brackets are nested more than {NESTING_MAX} deep", line=token.line)
        elif kind in _CLOSING:
            depth -= 1


def _unclosed(text: str, error: TokenError) -> Unreadable:
    at = min(error.end or 0, len(text))
    near = " ".join(text[max(0, (error.start or 0)) : at].split())[-40:]
    message = "a quote, comment or bracket isn't closed" if at >= len(text) - 1 else "these characters can't be read"
    return Unreadable("sql_syntax", message, line=text.count("\n", 0, at) + 1, near=near)


def _syntax(error: ParseError) -> Unreadable:
    found = error.errors[0] if error.errors else {}
    line, end_column = found.get("line") or 1, found.get("col") or 1
    near = str(found.get("highlight") or "")
    column = max(1, end_column - len(near) + 1)
    what = str(found.get("description") or "unexpected token").rstrip(".")
    if what.startswith("Required keyword"):
        what = "something is missing here"
    elif what.startswith("Expecting "):
        what = f"expected `{what.removeprefix('Expecting ')}` here"
    elif what.startswith("Invalid expression"):
        what = "unexpected token"
    return Unreadable("sql_syntax", f"{what[:1].lower()}{what[1:]}", line=line, column=column, near=" ".join(near.split())[:40])
