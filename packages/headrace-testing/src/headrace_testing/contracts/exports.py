"""The contract suite for formats of exports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from headrace.connect.exports.registry import Portion
from headrace.extension import ExportKind, literal, quote
from headrace.lake import LakeColumn
from headrace.lake.session import DuckDBSession
from headrace.model.plugins import EXPORTS
from headrace_testing.contracts.plugins import HOSTILE_NAMES, check_plugin

Row = dict[str, str | None]
HOSTILE_VALUES = (
    " ",
    '"',
    "'",
    ";",
    ",",
    "|",
    "a\nb",
    "a\r\nb",
    "\t",
    "\\",
    "NULL",
    "naïve ☃",
    "<script>",
    "0123",
    "x" * 5_000,
    "%s {}",
)


class ExportContract(ABC):
    """Abstract: a subclass has the format, and reads its files back."""

    format: ClassVar[type[ExportKind]]

    @abstractmethod
    def read_back(self, path: Path) -> list[Row]:
        """Return the rows of a written file in their order, each value as text."""

    def expected(self, value: str) -> str:
        """Return what a value is when it is read back; by default the same."""
        return value

    def _written(self, folder: Path, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
        columns = tuple(LakeColumn(name, "VARCHAR", at) for at, name in enumerate(names, 2))
        listed = ", ".join(map(quote, names))
        values = ", ".join(
            f"({', '.join([str(at), *map(_sql, row)])})" for at, row in enumerate(rows)
        )
        empty = f"({', '.join(['0', *('NULL::VARCHAR' for _ in names)])})"
        source = f"SELECT * FROM (VALUES {values or empty}) AS v(position, {listed})"
        if not rows:
            source += " WHERE false"
        order = " ORDER BY position"
        path = folder / "written.export"
        with DuckDBSession(folder) as session:
            portion = Portion("asset", columns, len(rows), source, order)
            options = {name: values[0] for name, values in self.format.options.items()}
            self.format().write(session.connection, portion, path, options)
        return path

    def test_the_package_has_the_entry_point(self) -> None:
        """Would catch: a class that no export finds, or that brings DuckDB to the leader."""
        check_plugin(EXPORTS, self.format, ExportKind)

    def test_rows_arrive_in_order(self, tmp_path: Path) -> None:
        """Would catch: lost rows, another order, columns that aren't the asset's."""
        rows = [(str(number), f"name {number}") for number in range(3_000)]
        path = self._written(tmp_path, ["id", "who"], rows)
        assert self.read_back(path) == [{"id": id_, "who": who} for id_, who in rows]

    def test_no_rows(self, tmp_path: Path) -> None:
        """Would catch: a file without columns that fails, or that counts as a row."""
        assert self.read_back(self._written(tmp_path, ["id", "who"], [])) == []

    def test_hostile_names(self, tmp_path: Path) -> None:
        """Would catch: a column's name that changes a statement or the file's form."""
        for number, name in enumerate(HOSTILE_NAMES):
            folder = tmp_path / str(number)
            folder.mkdir()
            assert self.read_back(self._written(folder, [name], [("x",)])) == [{name: "x"}], name

    def test_hostile_values(self, tmp_path: Path) -> None:
        """Would catch: a value that ends a cell or a line, or arrives as another one."""
        rows = [(value, "end") for value in HOSTILE_VALUES]
        read = self.read_back(self._written(tmp_path, ["value", "mark"], rows))
        assert [row["mark"] for row in read] == ["end"] * len(rows)
        assert [row["value"] for row in read] == [self.expected(value) for value in HOSTILE_VALUES]


def _sql(value: Any) -> str:
    return "NULL::VARCHAR" if value is None else literal(str(value))
