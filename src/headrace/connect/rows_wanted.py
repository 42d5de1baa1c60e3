"""The statements that a database source is read by. Values are bound, names are quoted; nothing is pasted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from headrace.connect.engines.engine import SourceDatabase, Values
from headrace.model import Source
from headrace.model.database_fields import parts_of
from headrace.model.database_queries import one_select, placeholders, with_parameters
from headrace.model.intervals import interval_of
from headrace.model.nodes import Grain

Statement = tuple[str, Values]
_DAY = timedelta(days=1)


class SourceRows:
    """What one source reads through one engine."""

    def __init__(self, source: Source, engine: SourceDatabase) -> None:
        self.source, self._engine = source, engine
        self.cursor: str | None = source.connector.get("cursor")
        self._column = source.partition.column
        query = source.connector.get("query")
        self._query: str | None = one_select(query) if query is not None else None
        self._asks = query is not None and bool(placeholders(query))

    def of(self, key: str) -> Statement:
        """The rows of an interval, or all of them."""
        if self.source.partition.grain is None:
            return f"select * from {self._relation()}", {}
        values = self._values(key)
        if self._asks and self._column is None:
            return f"select * from {self._relation()}", values
        return f"select * from {self._relation()} where {self._within('partition_start', 'partition_end')}", values

    def between(self, after: Any, until: Any) -> Statement:
        """The rows whose cursor is above `after` (None: from the first), and not above `until`."""
        assert self.cursor is not None
        name, engine = self._engine.quoted(self.cursor), self._engine
        begins = "" if after is None else f"{name} > {engine.mark('after')} and "
        values = {"until": until} if after is None else {"after": after, "until": until}
        return f"select * from {self._relation()} where {begins}{name} <= {engine.mark('until')}", values

    def newest(self, after: Any) -> Any:
        """The highest cursor, if it is above `after`."""
        assert self.cursor is not None
        name, engine = self._engine.quoted(self.cursor), self._engine
        where, values = ("", {}) if after is None else (f" where {name} > {engine.mark('after')}", {"after": after})
        ((result,),) = engine.rows(f"select {engine.as_cursor(f'max({name})')} from {self._relation()}{where}", values)
        return result

    def check(self, key: str) -> None:
        """Whether the source can be asked at all: its tables and columns are there, and may be read."""
        self._engine.columns(*self.of(key))

    def summaries(self, keys: Sequence[str]) -> dict[str, tuple[Any, int]]:
        """Interval → highest cursor and number of rows: one statement where a column says which interval a row is in."""
        if self.source.partition.grain is None or self._asks:
            return {key: self._summary(key) for key in keys}
        return self._summaries(keys)

    def _summary(self, key: str) -> tuple[Any, int]:
        sql, values = self.of(key)
        ((newest, count),) = self._engine.rows(f"select {self._aggregates()} from ({sql}) as headrace_rows", values)
        return newest, count

    def _summaries(self, keys: Sequence[str]) -> dict[str, tuple[Any, int]]:
        """One scan: a tree of CASEs finds a row's interval among the bounds of all that are wanted."""
        bounds = {key: self._bounds(key) for key in keys}
        edges = sorted({edge for pair in bounds.values() for edge in pair})
        values = {f"edge_{n}": self._bound(edge) for n, edge in enumerate(edges)}
        tree = self._tree(0, len(edges) - 1)
        inside = self._within("edge_0", f"edge_{len(edges) - 1}")
        sql = f"select {tree}, {self._aggregates()} from {self._relation()} where {inside} group by 1"
        cells = {int(cell): (newest, count) for cell, newest, count in self._engine.rows(sql, values)}
        places = {pair: n for n, pair in enumerate(pairwise(edges))}
        return {key: cells.get(places[pair], (None, 0)) for key, pair in bounds.items()}

    def _tree(self, low: int, high: int) -> str:
        """The number of the cell between two edges that a row is in, by halving."""
        if high - low <= 1:
            return str(low)
        middle = (low + high) // 2
        edge = self._engine.mark(f"edge_{middle}")
        return f"case when {self._name()} < {edge} then {self._tree(low, middle)} else {self._tree(middle, high)} end"

    def _aggregates(self) -> str:
        assert self.cursor is not None
        return f"{self._engine.as_cursor(f'max({self._engine.quoted(self.cursor)})')}, count(*)"

    def _within(self, start: str, end: str) -> str:
        return f"{self._name()} >= {self._engine.mark(start)} and {self._name()} < {self._engine.mark(end)}"

    def _name(self) -> str:
        assert self._column is not None
        return self._engine.quoted(self._column)

    def _relation(self) -> str:
        engine = self._engine
        if self._query is None:
            return ".".join(map(engine.quoted, parts_of(self.source.connector["table"]) or ()))
        text = with_parameters(self._query, engine.mark, percent=engine.percent, backslashes=engine.backslashes)
        return f"({text}\n) as headrace_query"

    def _values(self, key: str) -> dict[str, Any]:
        start, end = self._bounds(key)
        return {"partition_start": self._bound(start), "partition_end": self._bound(end)}

    def _bound(self, moment: date | datetime) -> Any:
        """What is bound; an engine without types of time is told which column it is compared with."""
        if self._column is None or self._asks:
            return self._engine.bound(moment)
        return self._engine.bound(moment, f"select {self._name()} as moment from {self._relation()}")

    def _bounds(self, key: str) -> tuple[date, date]:
        """Start and end as a column of dates or times is compared with them: dates for days and longer intervals."""
        grain = self.source.partition.grain
        assert grain is not None
        interval = interval_of(key, grain, self.source.timezone)
        if grain is Grain.HOUR:
            return interval.start, interval.end
        return interval.start.date(), (interval.end - timedelta(microseconds=1)).date() + _DAY
