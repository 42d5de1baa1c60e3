"""The tables that a query may name, with their columns, for the page of queries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from headrace.extension import SEE, ProjectSession, command
from headrace.lake import STATE_SCHEMA
from headrace.plan import Compiled
from headrace.responses import ColumnRow
from headrace.services.render import typed_columns
from headrace.store.queries.state_tables import TABLES
from headrace_ui.responses.catalog import SqlTableRow, SqlTablesResponse

STATE = "state"


@command("sql tables", SEE, lists=True, http="GET /sql/tables sql_tables")
def sql_tables(
    session: ProjectSession, q: str = "", limit: Annotated[int, Meta(ge=1, le=500)] = 100
) -> SqlTablesResponse:
    """Return the tables whose name or one of whose columns contains all words, by name.

    Sources and assets come first, the tables of the state last; those only for readers of all
    nodes. Assets of files have no table.
    """
    words = q.lower().split()
    fitting = [
        (kind, name)
        for kind, name, columns in _tables(session)
        if any(all(word in text.lower() for word in words) for text in (name, *columns))
    ]
    return SqlTablesResponse(
        tables=[
            SqlTableRow(kind=kind, name=name, columns=_columns(session, kind, name))
            for kind, name in fitting[:limit]
        ],
        total=len(fitting),
    )


def _tables(session: ProjectSession) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield kind, name and names of columns of each table."""
    project = session.project()
    tables = [name for name, asset in project.assets.items() if asset.materialize != "files"]
    for name in sorted((*project.sources, *tables), key=str.lower):
        if session.shows(name):
            kind = "source" if name in project.sources else "asset"
            yield kind, name, _known_names(session.compiled, name)
    if session.visible is None:
        for name, table in TABLES.items():
            yield STATE, f"{STATE_SCHEMA}.{name}", tuple(table.columns)


def _known_names(compiled: Compiled | None, node: str) -> tuple[str, ...]:
    known = None if compiled is None else compiled.nodes.get(node)
    return () if known is None else tuple(known.column_names or ())


def _columns(session: ProjectSession, kind: str, name: str) -> list[ColumnRow]:
    typed = (
        [(column, known.type) for column, known in TABLES[name.split(".")[1]].columns.items()]
        if kind == STATE
        else typed_columns(session, name, session.compiled)
    )
    return [ColumnRow(name=column, type=type_) for column, type_ in typed]
