"""A limit on the nesting of SQL: sqlglot's compiled parser ends the process if it goes too deep."""

from __future__ import annotations

import sqlglot
from sqlglot import exp

from headrace.sql.parsing import InvalidSelect, check_depth


class TooDeep(ValueError):
    """SQL that is nested too deeply to be parsed."""


def parse_statements(text: str, dialect: str) -> list[exp.Expr]:
    """Return the statements of a text. Raise TooDeep, or what sqlglot raises."""
    _require_shallow(text, dialect)
    return [tree for tree in sqlglot.parse(text, read=dialect) if tree is not None]


def parse_statement(text: str, dialect: str) -> exp.Expr:
    """Return the first statement of a text. Raise TooDeep, or what sqlglot raises."""
    _require_shallow(text, dialect)
    return sqlglot.parse_one(text, read=dialect)


def _require_shallow(text: str, dialect: str) -> None:
    try:
        check_depth(sqlglot.tokenize(text, read=dialect))
    except InvalidSelect as error:
        raise TooDeep("it is nested too deeply") from error
