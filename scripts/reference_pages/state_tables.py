"""The tables of the state that queries read."""

from __future__ import annotations

from headrace.lake import STATE_SCHEMA
from headrace.store.queries.state_tables import TABLES
from scripts.reference_pages.markdown import code, table
from scripts.reference_pages.markdown import page as written


def page() -> str:
    """Each table with its columns."""
    lead = (
        f"What Headrace knows of its own work, as tables in the schema `{STATE_SCHEMA}` for"
        " `headrace sql`. They are as of now. Later versions may add columns and tables; those here"
        " keep their names and meaning. What retention has deleted is gone from them."
    )
    parts = []
    for name, declared in TABLES.items():
        rows = [
            (code(column), code(made.type), made.meaning)
            for column, made in declared.columns.items()
        ]
        head = [f"## {STATE_SCHEMA}.{name}", "", f"A row is {declared.row}.", ""]
        parts.append([*head, *table(("column", "type", "meaning"), rows)])
    return written("Tables of the state", lead, *parts)
