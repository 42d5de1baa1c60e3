"""The tables that the page of queries lists."""

from __future__ import annotations

from clilab import NOW, Project

from headrace.project.session import ProjectSession
from headrace.services.sql import SqlQuery, run_query
from headrace_ui.services.sql_tables import sql_tables


def test_each_table_that_is_listed_can_be_queried(shop: Project) -> None:
    """Would catch: a table that `sql` doesn't know, columns of another type than its rows have, or
    no table of the state."""
    session = ProjectSession(shop.root, "prod", NOW, "t")
    listed = sql_tables(session)
    names = [table.name for table in listed.tables]
    assert listed.total == len(names) and {"orders", "revenue", "headrace.runs"} <= {*names}
    assert "page" not in names  # of files
    assert names.index("revenue") < names.index("headrace.attempts")
    for table in listed.tables:
        if table.columns:
            columns = run_query(session, SqlQuery(f"from {table.name}", limit=1)).columns
            types = {column.name: column.type for column in table.columns}
            found = {column.name: column.type for column in columns if column.name in types}
            aliases = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}
            assert {name: aliases.get(type_, type_) for name, type_ in found.items()} == types


def test_words_find_tables_by_their_columns_too(shop: Project) -> None:
    """Would catch: tables whose column is called so left out, or a cut without a number."""
    session = ProjectSession(shop.root, "prod", NOW, "t")
    found = sql_tables(session, "custom")
    assert [table.name for table in found.tables] == ["orders_clean"]
    assert sql_tables(session, "orders", 1).total > len(sql_tables(session, "orders", 1).tables)
    assert [table.name for table in sql_tables(session, "headrace obl").tables] == [
        "headrace.obligations"
    ]
