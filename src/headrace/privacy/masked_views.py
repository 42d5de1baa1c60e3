"""Views for somebody with a limited role: computed from clear values, then masked like tables.

The clear relations exist only inside the view's own query, so the reader's query can't name them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headrace.lake import LakeColumn
from headrace.lake.sqltext import quote, relation_sql
from headrace.model import HeadraceError
from headrace.model.reachability import reachable
from headrace.plan import Compiled
from headrace.plan.column_limits import ColumnLimits
from headrace.privacy.masking import all_left_out, column_limits, fitting_masks
from headrace.project.session import ProjectSession

if TYPE_CHECKING:
    from headrace.lake.reading import QueryTable
    from headrace.lake.session import DuckDBSession as DuckDB


class MaskedViews:
    """The views of one query, in topological order, and the clear tables that they read.

    Opening it reads the state; `query` needs none.
    """

    def __init__(
        self,
        session: ProjectSession,
        compiled: Compiled,
        views: Sequence[str],
        tables: Sequence[QueryTable],
        *,
        over_network: bool = False,
        past: bool = False,
    ) -> None:
        self._session, self._compiled, self._views = session, compiled, views
        self._tables: Mapping[str, QueryTable] = {table.name: table for table in tables}
        self._limits: dict[str, ColumnLimits] = {
            name: column_limits(session, name, over_network=over_network, past=past)
            for name in (*views, *self._tables)
        }
        self.left_out: dict[str, frozenset[str]] = {}
        """The columns that are left out of the views in the query, in lower case."""

    @property
    def limited(self) -> bool:
        """Whether a column of the views or of their inputs isn't shown in the clear."""
        return any(limits.limited for limits in self._limits.values())

    def query(self, duckdb: DuckDB, text: str, named: Sequence[str]) -> str:
        """Return the query with the views that it names as common table expressions.

        Raise Refused for a view of which no column may be read.
        """
        defined = [
            f"{quote(view)} AS ({self._masked(duckdb, view)})"
            for view in self._views
            if view.lower() in named
        ]
        return f"WITH {', '.join(defined)} SELECT * FROM ({text}\n) AS asked" if defined else text

    def columns(self, duckdb: DuckDB, view: str) -> tuple[frozenset[str], list[str]]:
        """Return the columns that are left out, in lower case, and the names of all columns."""
        clear = self._clear(view)
        columns = _described(duckdb, clear)
        left_out, _ = fitting_masks(self._session, self._limits[view], columns)
        return left_out, [column.name for column in columns]

    def _masked(self, duckdb: DuckDB, view: str) -> str:
        from headrace.lake.masked_queries import masked_query

        clear, limits = self._clear(view), self._limits[view]
        if not limits.limited:
            return clear
        columns = _described(duckdb, clear)
        left_out, masks = fitting_masks(self._session, limits, columns)
        self.left_out[view] = left_out
        visible = [column for column in columns if column.name.lower() not in left_out]
        if not visible:
            raise all_left_out(view)
        return masked_query(duckdb.connection, clear, visible, masks)

    def _clear(self, view: str) -> str:
        """Return the view's query over clear values."""
        needed = reachable([view], self._inputs)
        tables = [self._tables[name] for name in self._tables if name in needed]
        before = [
            f"{quote(table.name)} AS ({relation_sql(table.files, table.columns)})"
            for table in tables
        ]
        before += [
            f"{quote(name)} AS ({self._sql(name)}\n)"
            for name in self._views
            if name in needed and name != view
        ]
        query = f"SELECT * FROM ({self._sql(view)}\n) AS computed"
        return f"WITH {', '.join(before)} {query}" if before else query

    def _sql(self, view: str) -> str:
        return self._compiled.nodes[view].sql or ""

    def _inputs(self, name: str) -> Iterator[str]:
        if name in self._views:
            yield from (spec.node for spec in self._compiled.nodes[name].inputs)


def _described(duckdb: DuckDB, query: str) -> tuple[LakeColumn, ...]:
    from headrace.lake.reading import described, in_plain_words

    with in_plain_words():
        return described(duckdb, query, {})  # views have no parameters


@contextmanager
def without_values(views: Sequence[str], *, hiding: bool) -> Iterator[None]:
    """Raise an error of a query without its words, which may quote a clear value of a view.

    Without `hiding`, errors are raised as they are.
    """
    import duckdb

    from headrace.lake.masks import mask_failure

    about_names = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)
    try:
        yield
    except (duckdb.Error, HeadraceError) as error:
        cause = error if isinstance(error, duckdb.Error) else error.__cause__
        if not hiding or not isinstance(cause, duckdb.Error) or isinstance(cause, about_names):
            raise
        if (failed := mask_failure(cause)) is not None:
            raise failed from None
        raise HeadraceError(
            f"the query failed while {', '.join(views)[:200]} was computed from columns that you"
            " may not read; the error may quote a value, so it isn't shown",
            hint="ask somebody who may read these columns to run it",
        ) from None
