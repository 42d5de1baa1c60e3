"""What columns that are gone held, and what new ones hold: read from what is published and from the delivery, only where there are both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace.connect.adapting import about_the_machine
from headrace.connect.deliveries import CannotRead
from headrace.connect.keep import Kept
from headrace.connect.take_in import Prepared, prepare
from headrace.lake.relation import relation_sql
from headrace.lake.session import Session, quote
from headrace.quality.drift import Rename, spelled_alike
from headrace.quality.rename_traits import TEXT_MAX, Traits, traits
from headrace.quality.renames import places, propose
from headrace.run.messages import TakeIn
from headrace.run.steps.workshop import Workshop

ROWS_MAX = 2_000
CELLS_MAX = 200_000
"""Of each side: of many columns fewer rows are looked at."""


class RenameEvidence:
    """Proposes renames for one delivery."""

    def __init__(self, task: TakeIn, workshop: Workshop, kept: Kept, name: str) -> None:
        self._task, self._workshop, self._kept, self._name = task, workshop, kept, name

    def propose(self, dropped: Sequence[str], added: Sequence[str], names: Sequence[str]) -> tuple[Rename, ...]:
        """Which of the columns that are gone probably are which of the new ones; `names` is the delivery's header. Names that differ in
        how they are written only are one column; the others are compared by what they hold as well."""
        certain = spelled_alike(dropped, added)
        was, now = {one.column for one in certain}, {one.to for one in certain}
        gone, new = [name for name in dropped if name not in was], [name for name in added if name not in now]
        if not gone or not new:
            return tuple(certain)
        expected = self._task.pinned.names if self._task.pinned is not None else tuple(one.name for one in self._task.promised or ())
        both = [name for name in expected if name in set(names)]
        before = self._published(gone, places(both, expected))
        after = self._delivered(new, places(both, names))
        order = {name: at for at, name in enumerate(dropped)}
        return tuple(sorted((*certain, *propose(before, after)), key=lambda one: order[one.column]))

    def _published(self, columns: Sequence[str], place: dict[str, float]) -> list[Traits]:
        earlier, session = self._task.earlier, self._workshop.session(self._task.source.timezone)
        types = {column.name: column.type for column in self._task.pinned.columns} if self._task.pinned is not None else {}
        types |= {one.name: one.type for one in self._task.promised or () if one.type and one.name not in types}
        have = {column.name for column in earlier.columns} if earlier is not None else set()
        rows_of = relation_sql(earlier.files, earlier.columns) if earlier is not None else ""
        values = _values(session, rows_of, [name for name in columns if name in have])
        return [traits(name, types.get(name, "VARCHAR"), place.get(name, 0.0), values.get(name, ())) for name in columns]

    def _delivered(self, columns: Sequence[str], place: dict[str, float]) -> list[Traits]:
        session = self._workshop.session(self._task.source.timezone)
        path, name = self._kept.parts[0] if self._kept.parts else (self._kept.path, self._name)
        found = prepare(
            Path(path), name, connection=session.connection, temporary=self._workshop.folders.temporary, pinned=None,
            options=self._task.source.connector,
        )  # fmt: skip
        types: dict[str, str] = {}
        values: dict[str, tuple[str | None, ...]] = {}
        if isinstance(found, Prepared):
            try:
                types = {column.name: column.type for column in found.schema.columns}
                values = _values(session, found.select_sql, [name for name in columns if name in types])
            finally:
                found.discard()
        return [traits(name, types.get(name, "VARCHAR"), place.get(name, 0.0), values.get(name, ())) for name in columns]


def _values(session: Session, rows_of: str, columns: Sequence[str]) -> dict[str, tuple[str | None, ...]]:
    """Some rows of these columns, as text; nothing where they can't be read: names alone have to do then."""
    import duckdb

    if not columns or not rows_of:
        return {}
    listed = ", ".join(f"left(CAST({quote(name)} AS VARCHAR), {TEXT_MAX})" for name in columns)
    rows_max = max(100, min(ROWS_MAX, CELLS_MAX // len(columns)))
    try:
        rows = session.connection.execute(f"SELECT {listed} FROM ({rows_of}) LIMIT {rows_max}").fetchall()
    except CannotRead:
        return {}
    except duckdb.Error as error:
        if about_the_machine(error):
            raise
        return {}
    return dict(zip(columns, zip(*rows, strict=True), strict=True)) if rows else {}
