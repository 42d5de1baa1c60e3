"""A limit on the nesting of SQL: sqlglot's compiled parser ends the process if it goes too deep."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

BRACKETS_MAX = 150
"""At most this number of brackets are open at once, as in the SQL of assets."""
JOINS_MAX = 1000
"""At most this number of FROM and JOIN follow each other without a condition."""
_BRACKETS = {
    TokenType.L_PAREN: 1,
    TokenType.L_BRACKET: 1,
    TokenType.L_BRACE: 1,
    TokenType.CASE: 1,
    TokenType.R_PAREN: -1,
    TokenType.R_BRACKET: -1,
    TokenType.R_BRACE: -1,
    TokenType.END: -1,
}
_JOINS = {TokenType.JOIN: 1, TokenType.FROM: 1, TokenType.ON: -1, TokenType.USING: -1}
_QUERY_STARTS = {TokenType.SELECT, TokenType.WITH, TokenType.SEMICOLON}


class TooDeep(ValueError):
    """SQL that is nested too deeply to be parsed."""


def parse_statements(text: str, dialect: str) -> list[exp.Expr]:
    """Return the statements of a text. Raise TooDeep, or what sqlglot raises."""
    _require_shallow(sqlglot.tokenize(text, read=dialect))
    return [tree for tree in sqlglot.parse(text, read=dialect) if tree is not None]


def parse_statement(text: str, dialect: str) -> exp.Expr:
    """Return the first statement of a text. Raise TooDeep, or what sqlglot raises."""
    _require_shallow(sqlglot.tokenize(text, read=dialect))
    return sqlglot.parse_one(text, read=dialect)


def _require_shallow(tokens: list[Token]) -> None:
    brackets = joins = 0
    for token in tokens:
        kind = token.token_type
        brackets += _BRACKETS.get(kind, 0)
        joins = 0 if kind in _QUERY_STARTS else max(0, joins + _JOINS.get(kind, 0))
        if brackets > BRACKETS_MAX or joins > JOINS_MAX:
            raise TooDeep("it is nested too deeply")
