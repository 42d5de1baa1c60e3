"""Excel: one sheet of a workbook becomes one table. Values keep the types of their cells; a column
of several is text.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.connect.deliveries import (
    CannotRead,
    Format,
    SourceSchema,
    TypeDrift,
    UnreadableFile,
    first_line,
    printable,
)
from headrace.connect.formats.headers import column_names, doubled_names
from headrace.connect.formats.registry import FileHeader, reads
from headrace.connect.formats.text_values import bad_columns, drift_of, located, selected
from headrace.connect.formats.workbook_files import CellRange, cells_of, formula_error, suspects
from headrace.connect.raw_files import Opened, UnpackLimits, place_for
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from python_calamine import CalamineSheet, CalamineWorkbook

BATCH_ROWS = 4_096
WHOLE_MAX = 2**53
"""2^53: Excel's numbers are doubles, and larger integers aren't exact."""
ROW = "row"
"""The first column of a converted sheet: the row of each value, from 1."""
DOUBLED = b"doubled"
"""The metadata key in a converted sheet for names that its header has twice."""
KINDS = {
    "DOUBLE": "number",
    "VARCHAR": "text",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "BOOLEAN": "boolean",
    "TIME": "time",
}


class SheetSelection(NamedTuple):
    """The selected part of a sheet.

    Positions count from 0; `columns` are the ones that are read.
    """

    cells: CellRange
    header: int
    columns: tuple[int, ...]
    names: tuple[str, ...]


@reads
class Excel:
    """Workbooks: `.xlsx`, `.xlsm`, `.xls`, `.xlsb` and `.ods`.

    The first row of the sheet is the header unless `excel:` says otherwise.
    """

    kind = "excel"
    endings: tuple[str, ...] = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")

    def unfold(
        self,
        opened: Opened,
        temporary: Path,
        bounds: UnpackLimits,
        pinned: SourceSchema | None,  # noqa: ARG002
    ) -> Opened:
        """Write the sheet to a Parquet file: row numbers, then its columns.

        Numbers become doubles, columns of several types text.
        """
        settings = opened.options.get("excel") or {}
        suspect_members = suspects(Path(opened.path), bounds)
        book = _workbook(opened)
        name = _sheet_name(book, settings.get("sheet"))
        cells = cells_of(settings.get("range"))
        output = place_for(opened, temporary)
        try:
            cut = _written(
                book.get_sheet_by_name(name), name, cells, settings.get("header"), output
            )
            _refuse_errors(Path(opened.path), name, cut, suspect_members)
        except BaseException:
            Path(output.path).unlink(missing_ok=True)
            raise
        return output

    def inspect(self, opened: Opened, *, known: bool) -> int | None:  # noqa: ARG002
        """Return None: reading the sheet has checked everything."""
        return None

    def header(
        self,
        connection: duckdb.DuckDBPyConnection,
        opened: Opened,
        form: Format,  # noqa: ARG002
    ) -> FileHeader:
        """Return the header's names, and the types of the cells below them."""
        import pyarrow.parquet as pq

        file = pq.ParquetFile(opened.path)
        described = connection.execute(f"DESCRIBE SELECT * FROM {_source(opened)}").fetchall()
        doubled_json = (file.schema_arrow.metadata or {}).get(DOUBLED, b"[]")
        return FileHeader(
            tuple(file.schema_arrow.names[1:]),
            types=tuple(KINDS[row[1]] for row in described[1:]),
            rows=file.metadata.num_rows,
            doubled=msgspec.json.decode(doubled_json, type=tuple[tuple[str, str], ...]),
        )

    def learn(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened
    ) -> tuple[SourceSchema, FileHeader]:
        """Learn the cells' own types; columns of whole numbers become BIGINT."""
        header = self.header(connection, opened, Format(kind=self.kind))
        numbers = [position for position, kind in enumerate(header.types, 1) if kind == "number"]
        facts = (
            ", ".join(
                f"coalesce(bool_and({_is_whole(f'c{position}')}), false)" for position in numbers
            )
            or "0"
        )
        results = connection.execute(f"SELECT {facts} FROM {_columns(opened, header)}").fetchone()
        assert results is not None
        whole = dict(zip(numbers, results, strict=False))
        types = [
            _type(kind, is_whole=bool(whole.get(position)))
            for position, kind in enumerate(header.types, 1)
        ]
        columns = tuple(
            LakeColumn(name, kind, 0) for name, kind in zip(header.names, types, strict=True)
        )
        return SourceSchema(columns, Format(kind=self.kind)), header

    def select_sql(
        self, opened: Opened, form: Format, header: FileHeader, columns: Sequence[LakeColumn]
    ) -> str:
        """Convert each value to its text, then select `columns` by name."""
        return selected(_rows_sql(opened, header), form, header, columns)

    def another_format(self, opened: Opened, pinned: SourceSchema) -> None:  # noqa: ARG002
        """Return None: a workbook has only one format."""
        return

    def mismatch(self, header: FileHeader, pinned: SourceSchema) -> TypeDrift | None:  # noqa: ARG002
        """Return None: a cell's type isn't binding, as numbers may be written as text."""
        return None

    def explain(
        self,
        error: Exception,
        connection: duckdb.DuckDBPyConnection,
        opened: Opened,
        schema: SourceSchema,
        header: FileHeader,
    ) -> TypeDrift | UnreadableFile:
        """Return values that don't parse as the pinned type, with their row."""
        bad = bad_columns(connection, _rows_sql(opened, header), header, schema)
        if bad:
            return drift_of(located(bad, _lines(connection, opened, header)))
        return UnreadableFile(f"the sheet can't be read: {first_line(error, opened.path)}")


def _refuse_errors(
    path: Path, name: str, cut: SheetSelection, suspect_members: Collection[str]
) -> None:
    if suspect_members and (
        error := formula_error(path, name, cut.cells, cut.columns, suspect_members)
    ):
        raise CannotRead(
            f"sheet {printable(name)}, cell {error.cell}: {error.text}",
            line=error.row,
            code="delivery_cell_error",
        )


def _workbook(opened: Opened) -> CalamineWorkbook:
    import python_calamine as calamine

    if not Path(opened.path).stat().st_size:
        raise CannotRead("the file is empty", code="delivery_empty")
    try:
        return calamine.CalamineWorkbook.from_path(opened.path)
    except calamine.PasswordError as error:
        raise CannotRead(
            "the workbook is protected by a password", code="delivery_encrypted"
        ) from error
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise CannotRead(
            f"isn't a workbook, or is damaged: {first_line(error, opened.path)}"
        ) from error


def _sheet_name(book: CalamineWorkbook, requested: str | int | None) -> str:
    """Find the sheet by name or by number from 1, else take the first."""
    names = book.sheet_names
    if not names:
        raise CannotRead("the workbook has no sheet", code="delivery_sheet")
    if requested is None:
        return names[0]
    if isinstance(requested, int) and requested <= len(names):
        return names[requested - 1]
    if requested in names:
        return str(requested)
    listed = ", ".join(f"`{printable(name)}`" for name in names[:10]) + (
        " …" if len(names) > 10 else ""
    )
    raise CannotRead(
        f"there is no sheet {printable(requested)}; the workbook has {listed}",
        code="delivery_sheet",
    )


def _names_row(rows: Iterator[tuple[int, Sequence[Any]]], number: int, name: str) -> Sequence[Any]:
    names_row = next((row for at, row in rows if at == number), ())
    if all(value == "" for value in names_row):
        raise CannotRead(
            f"row {number + 1} of sheet {printable(name)} is empty; say which row has the names:"
            " excel: {header: n}",
            line=number + 1,
            code="delivery_header",
        )
    return names_row


def _written(
    sheet: CalamineSheet, name: str, cells: CellRange, header: int | None, output: Opened
) -> SheetSelection:
    """Read the sheet in batches of rows, and write the rows that aren't empty."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = _rows(sheet, cells)
    first = (header - 1) if header else cells.top
    names_row = _names_row(rows, first, name)
    table = _Table(len(names_row))
    while batch := list(islice(rows, BATCH_ROWS)):
        table.add([item for item in batch if _holds(item[1])])
    positions = [at for at, name in enumerate(names_row) if name != "" or table.used(at)]
    unnamed = [names_row[at] for at in positions].count("")
    if unnamed * 2 > len(positions):
        raise CannotRead(
            f"row {first + 1} of sheet {printable(name)} names {len(positions) - unnamed} of"
            f" {len(positions)} columns; say which row has the names: excel: {{header: n}}",
            line=first + 1,
            code="delivery_header",
        )
    cells_of_names = [_text(names_row[at]) or "" for at in positions]
    names = column_names(cells_of_names)
    left = (sheet.start or (0, 0))[1]
    made_of = pa.table([table.rows(), *(table.column(at) for at in positions)], names=[ROW, *names])
    metadata = {DOUBLED: msgspec.json.encode(doubled_names(cells_of_names))}
    pq.write_table(made_of.replace_schema_metadata(metadata), output.path, compression="none")
    return SheetSelection(
        cells._replace(top=first),
        first,
        tuple(max(left, cells.left) + at for at in positions),
        names,
    )


def _rows(sheet: CalamineSheet, cells: CellRange) -> Iterator[tuple[int, Sequence[Any]]]:
    """Yield the rows inside the range with their number from 0.

    The library leaves out empty columns on the left, but no rows.
    """
    left = (sheet.start or (0, 0))[1]
    begin, end = max(0, cells.left - left), max(0, cells.right - left + 1)
    for number, row in enumerate(sheet.iter_rows()):
        if number > cells.bottom:
            return
        if number >= cells.top:
            yield number, row[begin:end]


def _holds(row: Sequence[Any]) -> bool:
    return bool(row) and (row[0] != "" or any(value != "" for value in row))


class _Table:
    """Columns as Arrow arrays, added in batches, so that a sheet needs little extra memory."""

    def __init__(self, width: int) -> None:
        self._numbers: list[pa.Array] = []
        self._chunks: list[list[pa.Array]] = [[] for _ in range(width)]

    def add(self, rows: Sequence[tuple[int, Sequence[Any]]]) -> None:
        import pyarrow as pa

        if not rows:
            return
        self._numbers.append(pa.array([number + 1 for number, _ in rows], pa.int32()))
        for chunks, values in zip(
            self._chunks, zip(*(row for _, row in rows), strict=True), strict=True
        ):
            chunks.append(_array(values))

    def used(self, at: int) -> bool:
        return any(chunk.null_count < len(chunk) for chunk in self._chunks[at])

    def rows(self) -> pa.ChunkedArray:
        import pyarrow as pa

        return pa.chunked_array(self._numbers, pa.int32())

    def column(self, at: int) -> pa.ChunkedArray:
        """Return a column with the type of all its values.

        It is a timestamp for days and points in time together, and text for other mixtures.
        """
        import pyarrow as pa

        chunks = self._chunks[at]
        kinds = {chunk.type for chunk in chunks if chunk.null_count < len(chunk)}
        moments = {pa.date32(), pa.timestamp("us")}
        kind = (
            kinds.pop()
            if len(kinds) == 1
            else pa.timestamp("us")
            if kinds and kinds <= moments
            else pa.string()
        )
        return pa.chunked_array([_as(chunk, kind) for chunk in chunks], kind)


def _array(values: Sequence[Any]) -> pa.Array:  # complexipy: ignore (a case per set of types)
    """Return one batch of a column in its type, or as text if it has several types."""
    import pyarrow as pa

    kinds = set(map(type, values))
    if str in kinds and (kinds != {str} or "" in values):
        values = [None if value == "" else value for value in values]
        kinds = set(map(type, values)) - {type(None)}
    if kinds <= {float, int}:
        return pa.array(values, pa.float64())
    single = {
        str: pa.string(),
        bool: pa.bool_(),
        dt.date: pa.date32(),
        dt.datetime: pa.timestamp("us"),
        dt.time: pa.time64("us"),
    }
    if len(kinds) == 1 and (kind := single.get(next(iter(kinds)))) is not None:
        return pa.array(values, kind)
    if kinds == {dt.date, dt.datetime}:
        return pa.array([_as_datetime(value) for value in values], pa.timestamp("us"))
    return pa.array([_text(value) for value in values], pa.string())


def _as(chunk: pa.Array, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if chunk.type == kind:
        return chunk
    if chunk.null_count == len(chunk):
        return pa.nulls(len(chunk), kind)
    values = chunk.to_pylist()
    return pa.array(
        (
            [_as_datetime(value) for value in values]
            if kind == pa.timestamp("us")
            else [_text(value) for value in values]
        ),
        kind,
    )


def _as_datetime(value: dt.date | None) -> dt.datetime | None:
    if value is None or isinstance(value, dt.datetime):
        return value
    return dt.datetime.combine(value, dt.time())


def _text(value: Any) -> str | None:
    """Return a cell's value as text: `5` for 5.0, `true`, ISO 8601."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) <= WHOLE_MAX else repr(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    return str(value)


def _type(kind: str, *, is_whole: bool) -> str:
    if kind == "number":
        return "BIGINT" if is_whole else "DOUBLE"
    return {"text": "VARCHAR"}.get(kind, kind.upper())


def _is_whole(column: str) -> str:
    return f"{column} = trunc({column}) AND abs({column}) <= {WHOLE_MAX}"


def _source(opened: Opened) -> str:
    return f"read_parquet({literal(opened.path)}, hive_partitioning=false)"


def _columns(opened: Opened, header: FileHeader) -> str:
    columns = ["n", *(f"c{position}" for position in range(1, len(header.names) + 1))]
    return f"{_source(opened)} AS rows({', '.join(columns)})"


def _rows_sql(opened: Opened, header: FileHeader, *, numbered: bool = False) -> str:
    """Return SQL for the sheet's values as text columns `c1 … cn`."""
    values = [
        f"{_as_text(f'c{position}', kind)} AS c{position}"
        for position, kind in enumerate(header.types, 1)
    ]
    return (
        f"(SELECT {', '.join([*(['n'] if numbered else []), *values])} FROM"
        f" {_columns(opened, header)})"
    )


def _as_text(column: str, kind: str) -> str:
    if kind == "text":
        return column
    plain = f"CAST({column} AS VARCHAR)"
    return (
        f"CASE WHEN {_is_whole(column)} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE"
        f" {plain} END"
        if kind == "number"
        else plain
    )


def _lines(
    connection: duckdb.DuckDBPyConnection, opened: Opened, header: FileHeader
) -> Iterator[tuple[int, Sequence[str | None]]]:
    result = connection.execute(
        f"SELECT * FROM {_rows_sql(opened, header, numbered=True)} ORDER BY n"
    )
    while rows := result.fetchmany(BATCH_ROWS):
        yield from ((row[0], row[1:]) for row in rows)
