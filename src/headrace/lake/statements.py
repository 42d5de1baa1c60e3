"""Users' SQL text as part of a statement of ours: what it needs to stand there, and that it can't leave its place."""

from __future__ import annotations

import duckdb


def without_semicolons(text: str) -> str:
    """The statement without the semicolons at its end, which could not stand inside another one. Lines stay as they are."""
    if ";" not in text:
        return text
    data = bytearray(text.encode())
    for offset, _ in reversed(duckdb.tokenize(text)):
        if data[offset : offset + 1] != b";":
            break
        data[offset : offset + 1] = b" "
    return data.decode()


def is_one_query(text: str) -> bool:
    """Whether it is one SELECT by itself, so that parentheses around it hold it. Raises `duckdb.Error` for what is no SQL."""
    statements = duckdb.extract_statements(text)
    return len(statements) == 1 and statements[0].type == duckdb.StatementType.SELECT


def is_one_condition(text: str) -> bool:
    """Whether it is one expression by itself. Raises `duckdb.Error` for what is none."""
    bare, held = f"SELECT 1 WHERE {text}\n", f"SELECT 1 WHERE ({text}\n)"
    return is_one_query(bare) and is_one_query(held)
