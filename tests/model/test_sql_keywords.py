"""The words of SQL that can't name a node are exactly those that DuckDB can't read in FROM without
quotes.
"""

from __future__ import annotations

import duckdb

from headrace.model.fields import SQL_KEYWORDS


def test_they_are_duckdb_s() -> None:
    """Catches a name that validates and then fails as a syntax error in every body that
    reads it."""

    def refused(word: str) -> bool:
        try:
            duckdb.extract_statements(f"select * from {word}")
        except duckdb.Error:
            return True
        return False

    words = [
        word
        for (word,) in duckdb.connect()
        .execute("select keyword_name from duckdb_keywords()")
        .fetchall()
    ]
    assert {word for word in words if refused(word)} == SQL_KEYWORDS
