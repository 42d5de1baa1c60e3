"""Published rows for pages: filtered, sorted and cut into pages on one snapshot, and profiled.

What a reader may see is decided as for `read` over a network: classified columns are masked or left
out, and filters, order and profiles see masked values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple

import msgspec
from msgspec import Meta

from headrace.access.permissions import READ, command
from headrace.lake import PARTITION_COLUMN, LakeColumn
from headrace.lake.masks import masked_types
from headrace.lake.sqltext import quote
from headrace.model import HeadraceError, UsageError
from headrace.plan.compiled import is_view
from headrace.privacy.masking import column_refused
from headrace.project import lake_files, targets
from headrace.project.read_queries import ReadQuery, note_reads
from headrace.project.session import ProjectSession
from headrace.responses import ColumnRow
from headrace.responses.rows import (
    ColumnFiguresRow,
    DataPageResponse,
    DataProfileResponse,
    DataStateRow,
    ValueCountRow,
    ValueRangeRow,
)
from headrace.runtime import usage
from headrace.services import sql
from headrace.services.read import ReadLocation, VisibleColumns, find, visible_columns
from headrace.slo.data_states import DataStateKind
from headrace.standing.data_states import is_wrong, metadata

if TYPE_CHECKING:
    from headrace.lake.row_pages import ColumnFigures, RowPages
    from headrace.lake.session import DuckDBSession

COLUMNS_MAX = 40
"""Columns of a page, and of a profile."""
ROWS_MAX = 500
_CURSOR = re.compile(r"(\d{1,18})\.(\d{1,12})")


class DataQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a page: `where` has JSON arrays of column, operator and value.

    `sort` has columns, with `-` in front for descending. `at` and `version` exclude each other.
    """

    partition: str | None = None
    at: str | None = None
    version: Annotated[int, Meta(ge=0)] | None = None
    columns: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    search: str = ""
    only_sound: bool = False


class _Opened(NamedTuple):
    """A relation with the columns that the reader may see; without `duckdb`, there are no rows."""

    duckdb: DuckDBSession | None
    relation: str
    columns: Sequence[LakeColumn]
    ordered: bool
    snapshot: int | None
    published_at: datetime | None
    data_through: str | None
    state: str
    states: list[DataStateRow]
    masked: list[str]


@command(
    "read page",
    READ,
    of="name",
    http="GET /assets/{name}/rows data_page",
    rows=True,
    not_for_agents="`read` gives the same rows",
)
def data_page(
    session: ProjectSession,
    name: str,
    query: DataQuery,
    *,
    cursor: str | None = None,
    limit: Annotated[int, Meta(ge=1, le=ROWS_MAX)] = 100,
) -> DataPageResponse:
    """Return one page of an asset's or a source's published rows, filtered and sorted.

    Following pages are of the first one's snapshot. Raise UsageError for an unknown column,
    partition or snapshot, and for a filter that doesn't fit its column.
    """
    query, offset = _at_cursor(query, cursor)
    with _opened(session, name, query) as opened:
        chosen = _chosen(opened.columns, query.columns)
        rows: Sequence[dict[str, object]] = ()
        total = matching = None if cursor else 0
        if opened.duckdb is not None:
            pages = _pages(opened, opened.duckdb, query)
            if cursor is None:
                total, matching = pages.count()
            rows = pages.page(chosen, limit=limit + 1, offset=offset)
    more = len(rows) > limit and opened.snapshot is not None
    return DataPageResponse(
        asset=name,
        snapshot=opened.snapshot,
        published_at=opened.published_at,
        data_through=opened.data_through,
        state=opened.state,
        states=opened.states,
        columns=_column_rows(chosen),
        others=_column_rows([item for item in opened.columns if item not in chosen]),
        masked=opened.masked,
        rows=list(rows[:limit]),
        rows_total=total,
        rows_matching=matching,
        next=f"{opened.snapshot}.{offset + limit}" if more else None,
    )


@command(
    "read profile",
    READ,
    of="name",
    http="GET /assets/{name}/profile data_profile",
    rows=True,
    not_for_agents="`sql` gives the same figures",
)
def data_profile(session: ProjectSession, name: str, query: DataQuery) -> DataProfileResponse:
    """Return nulls, distinct values, bounds and frequencies of the columns of published rows.

    They are of the rows that fit the filters. Raise as `data_page`.
    """
    with _opened(session, name, query) as opened:
        chosen = _chosen(opened.columns, query.columns)
        total, estimated = 0, False
        figures: Sequence[ColumnFigures] = ()
        if opened.duckdb is not None:
            total, estimated, figures = _pages(opened, opened.duckdb, query).profile(chosen)
    return DataProfileResponse(
        asset=name,
        snapshot=opened.snapshot,
        rows=total,
        columns=[_figures_row(item) for item in figures],
        estimated=estimated,
    )


@command("read", READ, of="name")
def write_data(
    session: ProjectSession, name: str, query: DataQuery, out: BinaryIO, data_format: str
) -> None:
    """Write all rows that fit as `csv`, `parquet` or `arrow`, in their order. Raise as
    `data_page`, and HeadraceError if nothing was published.
    """
    from headrace.lake.reading import DataFormat
    from headrace.lake.row_pages import column_of

    with _opened(session, name, query) as opened:
        if opened.duckdb is None:
            raise HeadraceError(f"nothing of {name} was published", hint="headrace status")
        chosen = (
            [column_of(opened.columns, item) for item in query.columns]
            if query.columns
            else opened.columns
        )
        _pages(opened, opened.duckdb, query).write(
            chosen,
            out,
            DataFormat(data_format),
            about=metadata(
                asset=name,
                snapshot=opened.snapshot,
                published_at=opened.published_at,
                data_through=opened.data_through,
                state=opened.state,
                states=opened.states,
            ),
        )


def _at_cursor(query: DataQuery, cursor: str | None) -> tuple[DataQuery, int]:
    """Return the query on the cursor's snapshot, and the number of rows before the page."""
    if cursor is None:
        return query, 0
    matched = _CURSOR.fullmatch(cursor)
    if matched is None:
        raise UsageError("this cursor can't be read", hint="ask for the first page again")
    version, offset = map(int, matched.groups())
    return msgspec.structs.replace(query, version=version, at=None), offset


def _pages(opened: _Opened, duckdb: DuckDBSession, query: DataQuery) -> RowPages:
    from headrace.lake.row_pages import RowPages, RowsView, filters_of

    view = RowsView(filters_of(query.where), query.search, query.sort, opened.ordered)
    return RowPages(duckdb, opened.relation, opened.columns, view)


def _chosen(columns: Sequence[LakeColumn], names: Sequence[str]) -> list[LakeColumn]:
    from headrace.lake.row_pages import column_of

    if len(names) > COLUMNS_MAX:
        raise UsageError(f"a page has at most {COLUMNS_MAX} columns", hint="choose fewer columns")
    if names:
        return list(dict.fromkeys(column_of(columns, name) for name in names))
    return list(columns[:COLUMNS_MAX])


@contextmanager
def _opened(session: ProjectSession, name: str, query: DataQuery) -> Iterator[_Opened]:
    node = targets.target(name, session.project()).node
    view = is_view(session.project(), node)
    with (_view_opened if view else _table_opened)(session, node, query) as opened:
        _refuse_left_out(node, query, opened)
        yield opened


def _refuse_left_out(name: str, query: DataQuery, opened: _Opened) -> None:
    """Raise ColumnRefused if the query names a column that the reader may not see."""
    from headrace.lake.row_pages import filters_of

    left_out = set(opened.masked).difference(column.name.lower() for column in opened.columns)
    named = [
        *query.columns,
        *(item.removeprefix("-") for item in query.sort),
        *(item.column for item in filters_of(query.where)),
    ]
    refused = next((column for column in named if column.lower() in left_out), None)
    if refused is not None:
        raise column_refused([name], refused)


@contextmanager
def _table_opened(session: ProjectSession, name: str, query: DataQuery) -> Iterator[_Opened]:
    from headrace.lake import reading

    partitions = () if query.partition is None else (query.partition,)
    read_query = ReadQuery(
        asset=name,
        partitions=partitions,
        at=query.at,
        version=query.version,
        only_sound=query.only_sound,
    )
    location = find(session, read_query, query.columns or None)
    if location.manifest:
        raise UsageError(
            f"{name} publishes files, which have no rows here",
            hint=f"headrace read {name} lists them",
        )
    visible = visible_columns(session, read_query, None, over_network=True)
    columns = _visible_of(location, visible)
    note_reads(session, [location.node.name], usage.READ)
    session.close()  # DuckDB reads from here on: a process never has both DuckDB and the state open
    empty = _Opened(
        None,
        "",
        masked_types(columns, visible.masks),
        True,
        location.snapshot,
        location.published_at,
        location.data_through,
        location.state,
        location.shown_states,
        visible.masked,
    )
    if not location.files or not columns:
        yield empty
        return
    with (
        lake_files.naming_damage(session, location.files),
        reading.relation(
            Path(location.lake),
            location.files,
            columns,
            timezone=session.timezone,
            masks=visible.masks,
        ) as (duckdb, text),
    ):
        yield empty._replace(duckdb=duckdb, relation=text)


def _visible_of(location: ReadLocation, visible: VisibleColumns) -> list[LakeColumn]:
    present = () if location.table is None else location.table.columns
    names = None if visible.columns is None else {item.lower() for item in visible.columns}
    return [
        item
        for item in present
        if item.name != PARTITION_COLUMN and (names is None or item.name.lower() in names)
    ]


@contextmanager
def _view_opened(session: ProjectSession, view: str, query: DataQuery) -> Iterator[_Opened]:
    from headrace.lake import reading

    if query.partition is not None:
        raise UsageError(f"{view} is a view: it has no partitions of its own", hint="leave it out")
    state, through = sql.state_and_end(session, view)
    visible = visible_columns(session, ReadQuery(asset=view), None, over_network=True)
    selected = "*" if visible.columns is None else ", ".join(map(quote, visible.columns))
    question = sql.SqlQuery(
        f"select {selected} from {quote(view)}",
        at=query.at,
        version=query.version,
        over_network=True,
        only_sound=query.only_sound,
    )
    with sql.prepared(session, question) as (duckdb, text, _, seen), reading.in_plain_words():
        columns = reading.described(duckdb, text, {})
        if is_wrong(seen.states):
            state = DataStateKind.WRONG
        yield _Opened(
            duckdb,
            text,
            columns,
            False,
            seen.id,
            seen.at,
            through,
            state,
            seen.states,
            visible.masked,
        )


def _column_rows(columns: Sequence[LakeColumn]) -> list[ColumnRow]:
    return [ColumnRow(name=item.name, type=item.type) for item in columns]


def _figures_row(figures: ColumnFigures) -> ColumnFiguresRow:
    return ColumnFiguresRow(
        column=figures.column.name,
        type=figures.column.type,
        nulls=figures.nulls,
        distinct=figures.distinct,
        least=figures.least,
        greatest=figures.greatest,
        ranges=[ValueRangeRow(low=low, high=high, rows=n) for low, high, n in figures.ranges],
        frequent=[ValueCountRow(value=value, rows=n) for value, n in figures.frequent],
    )
