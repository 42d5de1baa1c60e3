"""The contract suite for file formats, and the way of a delivery into rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from headrace.connect.deliveries import Drift, SourceSchema, UnreadableFile
from headrace.connect.ingest import ReadRules, prepare
from headrace.connect.prepared import PreparedDelivery, Result
from headrace.extension import RecordFormat
from headrace.lake.session import DuckDBSession
from headrace.model.plugins import FORMATS
from headrace_testing.contracts.plugins import HOSTILE_NAMES, check_plugin

Row = Mapping[str, Any]
ORDERS: tuple[Row, ...] = ({"id": "1", "who": "ann"}, {"id": "2", "who": "it's"})


def read_delivery(
    path: Path, name: str, pinned: SourceSchema | None = None, **options: Any
) -> tuple[Result, list[dict[str, Any]]]:
    """Return what becomes of a delivered file, and its rows if it is readable.

    `name` is the delivery's name, `options` are those of the source.
    """
    temporary = path.parent / "temporary"
    temporary.mkdir(exist_ok=True)
    with DuckDBSession(path.parent, readable=[temporary]) as session:
        result = prepare(
            path,
            name,
            ReadRules(temporary=temporary, options=options),
            connection=session.connection,
            pinned=pinned,
        )
        if not isinstance(result, PreparedDelivery):
            return result, []
        try:
            cursor = session.connection.execute(result.select_sql)
            names = [column[0] for column in cursor.description or []]
            return result, [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        finally:
            result.discard()


class FormatContract(ABC):
    """Abstract: a subclass has the format, and writes rows in it."""

    format: ClassVar[type[RecordFormat]]
    broken: ClassVar[bytes]
    """A file that isn't of this format."""

    @abstractmethod
    def encode(self, rows: Sequence[Row]) -> bytes:
        """Return a file with these rows; their values are texts. It may have further columns."""

    def _read(
        self, folder: Path, data: bytes, pinned: SourceSchema | None = None
    ) -> tuple[Result, list[dict[str, Any]]]:
        name = f"delivery{self.format.endings[0]}"
        file = folder / f"raw{self.format.endings[0]}"
        file.write_bytes(data)
        return read_delivery(file, name, pinned)

    def _learnt(self, folder: Path, rows: Sequence[Row] = ORDERS) -> SourceSchema:
        result, _ = self._read(folder, self.encode(rows))
        assert isinstance(result, PreparedDelivery), result
        return result.schema

    def test_the_package_has_the_entry_point(self) -> None:
        """Would catch: a class that no delivery finds, or that brings DuckDB to the leader."""
        check_plugin(FORMATS, self.format, RecordFormat)

    def test_rows_are_read(self, tmp_path: Path) -> None:
        """Would catch: lost rows, values in other columns, an ending that nobody reads."""
        result, rows = self._read(tmp_path, self.encode(ORDERS))
        assert isinstance(result, PreparedDelivery), result
        assert result.schema.format.kind == self.format.name
        assert [(str(row["id"]), row["who"]) for row in rows] == [("1", "ann"), ("2", "it's")]

    def test_a_later_delivery_is_read_by_the_pinned_schema(self, tmp_path: Path) -> None:
        """Would catch: types that change from day to day."""
        pinned = self._learnt(tmp_path)
        result, rows = self._read(tmp_path, self.encode([{"id": "3", "who": "7"}]), pinned)
        assert isinstance(result, PreparedDelivery), result
        assert [(str(row["id"]), row["who"]) for row in rows] == [("3", "7")]

    def test_a_renamed_column_is_drift(self, tmp_path: Path) -> None:
        """Would catch: a renamed column that becomes null in silence."""
        pinned = self._learnt(tmp_path)
        result, _ = self._read(tmp_path, self.encode([{"id": "3", "name": "bob"}]), pinned)
        assert isinstance(result, Drift)
        assert result.gone == ("who",)

    def test_hostile_names_of_columns(self, tmp_path: Path) -> None:
        """Would catch: a name that becomes part of a statement."""
        for number, hostile in enumerate(HOSTILE_NAMES):
            folder = tmp_path / str(number)
            folder.mkdir()
            result, rows = self._read(folder, self.encode([{"id": "1", hostile: "x"}]))
            assert isinstance(result, PreparedDelivery), (hostile, result)
            assert "x" in rows[0].values(), hostile

    def test_other_files_are_rejected(self, tmp_path: Path) -> None:
        """Would catch: an exception that ends the attempt, or rows of a file that isn't one."""
        for number, data in enumerate((self.broken, b"")):
            folder = tmp_path / str(number)
            folder.mkdir()
            result, _ = self._read(folder, data)
            assert isinstance(result, UnreadableFile), data
            assert result.reason
