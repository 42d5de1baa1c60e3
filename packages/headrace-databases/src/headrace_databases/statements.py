"""The statements that read a source. Values are bound and names are quoted, never pasted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from headrace.extension import Source
from headrace.extension.sources import Grain, interval_of
from headrace_databases.engines.engine import SourceDatabase, Values
from headrace_databases.queries import one_select, parts_of, placeholders, with_parameters

Statement = tuple[str, Values]
_DAY = timedelta(days=1)


class SourceRows:
    """The statements that read one source through one engine."""

    def __init__(self, source: Source, engine: SourceDatabase) -> None:
        self.source, self._engine = source, engine
        self.cursor: str | None = source.connector.get("cursor")
        self._column = source.partition.column
        query = source.connector.get("query")
        self._query: str | None = one_select(query) if query is not None else None
        self._asks = query is not None and bool(placeholders(query))

    def of(self, key: str) -> Statement:
        """Return the statement for the rows of an interval, or for all rows without a grain."""
        if self.source.partition.grain is None:
            return f"select * from {self._relation()}", {}
        values = self._values(key)
        if self._asks and self._column is None:
            return f"select * from {self._relation()}", values
        return (
            (
                f"select * from {self._relation()} where"
                f" {self._within('partition_start', 'partition_end')}"
            ),
            values,
        )

    def between(self, after: Any, until: Any) -> Statement:
        """Return the statement for rows whose cursor is above `after` and at most `until`.

        `after` None starts with the first row.
        """
        assert self.cursor is not None
        name, engine = self._engine.quoted(self.cursor), self._engine
        begins = "" if after is None else f"{name} > {engine.mark('after')} and "
        values = {"until": until} if after is None else {"after": after, "until": until}
        return (
            f"select * from {self._relation()} where {begins}{name} <= {engine.mark('until')}",
            values,
        )

    def newest(self, after: Any) -> Any:
        """Return the highest cursor above `after`; None if there is none."""
        assert self.cursor is not None
        name, engine = self._engine.quoted(self.cursor), self._engine
        where, values = (
            ("", {})
            if after is None
            else (f" where {name} > {engine.mark('after')}", {"after": after})
        )
        ((result,),) = engine.rows(
            f"select {engine.as_cursor(f'max({name})')} from {self._relation()}{where}", values
        )
        return result

    def check(self, key: str) -> None:
        """Raise the engine's error if the source's tables or columns are missing or unreadable."""
        self._engine.columns(*self.of(key))

    def summaries(self, keys: Sequence[str]) -> dict[str, tuple[Any, int]]:
        """Return interval → highest cursor and number of rows.

        One statement is enough if a column gives each row's interval.
        """
        if self.source.partition.grain is None or self._asks:
            return {key: self._summary(key) for key in keys}
        return self._summaries(keys)

    def _summary(self, key: str) -> tuple[Any, int]:
        sql, values = self.of(key)
        ((newest, count),) = self._engine.rows(
            f"select {self._aggregates()} from ({sql}) as headrace_rows", values
        )
        return newest, count

    def _summaries(self, keys: Sequence[str]) -> dict[str, tuple[Any, int]]:
        """Summarise all intervals in one scan: a tree of CASEs finds each row's interval."""
        bounds = {key: self._bounds(key) for key in keys}
        edges = sorted({edge for pair in bounds.values() for edge in pair})
        values = {f"edge_{n}": self._bound(edge) for n, edge in enumerate(edges)}
        tree = self._tree(0, len(edges) - 1)
        inside = self._within("edge_0", f"edge_{len(edges) - 1}")
        sql = (
            f"select {tree}, {self._aggregates()} from {self._relation()} where {inside} group by 1"
        )
        cells = {
            int(cell): (newest, count) for cell, newest, count in self._engine.rows(sql, values)
        }
        places = {pair: n for n, pair in enumerate(pairwise(edges))}
        return {key: cells.get(places[pair], (None, 0)) for key, pair in bounds.items()}

    def _tree(self, low: int, high: int) -> str:
        """Return SQL that finds, by bisection, the number of the cell that a row is in."""
        if high - low <= 1:
            return str(low)
        middle = (low + high) // 2
        edge = self._engine.mark(f"edge_{middle}")
        return (
            f"case when {self._name()} < {edge} then {self._tree(low, middle)} else"
            f" {self._tree(middle, high)} end"
        )

    def _aggregates(self) -> str:
        assert self.cursor is not None
        return f"{self._engine.as_cursor(f'max({self._engine.quoted(self.cursor)})')}, count(*)"

    def _within(self, start: str, end: str) -> str:
        return (
            f"{self._name()} >= {self._engine.mark(start)} and {self._name()} <"
            f" {self._engine.mark(end)}"
        )

    def _name(self) -> str:
        assert self._column is not None
        return self._engine.quoted(self._column)

    def _relation(self) -> str:
        engine = self._engine
        if self._query is None:
            return ".".join(map(engine.quoted, parts_of(self.source.connector["table"]) or ()))
        text = with_parameters(
            self._query, engine.mark, percent=engine.percent, backslashes=engine.backslashes
        )
        return f"({text}\n) as headrace_query"

    def _values(self, key: str) -> dict[str, Any]:
        start, end = self._bounds(key)
        return {"partition_start": self._bound(start), "partition_end": self._bound(end)}

    def _bound(self, at: date | datetime) -> Any:
        """Return the value to bind.

        An engine without time types is told which column it is compared with.
        """
        if self._column is None or self._asks:
            return self._engine.bound(at)
        return self._engine.bound(at, f"select {self._name()} as moment from {self._relation()}")

    def _bounds(self, key: str) -> tuple[date, date]:
        """Return start and end in the column's type: dates for days and longer intervals."""
        grain = self.source.partition.time_grain
        interval = interval_of(key, grain, self.source.timezone)
        if grain is Grain.HOUR:
            return interval.start, interval.end
        return interval.start.date(), (interval.end - timedelta(microseconds=1)).date() + _DAY
