"""Excel: one sheet of a workbook becomes one table. Values keep the types of their cells; a column
of several is text.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.extension.formats import (
    LINES_ABOVE_MAX,
    CannotRead,
    Fields,
    FileHeader,
    Format,
    FormatKind,
    LakeColumn,
    Opened,
    PartitionSpec,
    SourceSchema,
    TypeDrift,
    UnpackLimits,
    UnreadableFile,
    bad_columns,
    column_names,
    doubled_names,
    drift_of,
    error_text,
    folded,
    literal,
    located,
    names_below_groups,
    place_for,
    printable,
    selected,
    shown,
)
from headrace_legacy.cell_formats import CellFormats, Codes
from headrace_legacy.workbook_files import (
    RANGE,
    ROWS_MAX,
    CellRange,
    cells_of,
    formula_error,
    suspects,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from python_calamine import CalamineSheet, CalamineWorkbook

SHEET_CHARACTERS_MAX = 255
HEADER_ROWS_MAX = 10
BATCH_ROWS = 4_096
DAY_US = 86_400_000_000
PARQUET_HOURS_US = 2**32 * 1000
"""What a Parquet file has room for besides the days of an INTERVAL; DuckDB cuts what is longer."""
WHOLE_MAX = 2**53
"""2^53: Excel's numbers are doubles, and larger integers aren't exact."""
ROW = "row"
"""The first column of a converted sheet: the row of each value, from 1."""
DOUBLED = b"doubled"
"""The metadata key in a converted sheet for names that its header has twice."""
KINDS = {
    "DOUBLE": "number",
    "BIGINT": "interval",
    "VARCHAR": "text",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "BOOLEAN": "boolean",
    "TIME": "time",
}
"""Types of the converted sheet's columns. Parquet has no durations: they are whole microseconds."""


class SheetSelection(NamedTuple):
    """The selected part of a sheet.

    Positions count from 0; `columns` are the ones that are read.
    """

    cells: CellRange
    header: int
    columns: tuple[int, ...]
    names: tuple[str, ...]


class Excel(FormatKind):
    """Workbooks: `.xlsx`, `.xlsm`, `.xls`, `.xlsb` and `.ods`.

    The first row of the sheet is the header unless `excel:` says otherwise.
    """

    name = "excel"
    meaning = "which sheet, header and range of a workbook is read"
    fields = ("sheet", "header", "range")
    endings: tuple[str, ...] = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
    unmistakable = True
    libraries = ("python_calamine", "pyarrow.parquet")

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate `excel: {sheet: Data, header: 4, range: "A4:F200"}`; `header: [1, 2]` is two."""
        sheet = fields.raw("sheet")
        if isinstance(sheet, str) and len(sheet) > SHEET_CHARACTERS_MAX:
            fields.refuse(
                "sheet",
                f"a sheet's name of {len(sheet):,} characters",
                f"at most {SHEET_CHARACTERS_MAX}",
            )
        elif "sheet" in fields and not isinstance(sheet, str):
            fields.whole("sheet", minimum=1, maximum=10_000)
        header = fields.raw("header")
        if not isinstance(header, list):
            fields.whole("header", minimum=1, maximum=ROWS_MAX)
        elif not _are_rows(header):
            fields.refuse(
                "header",
                "a header in several rows is its first and its last row",
                f"write header: [1, 2]; it has at most {HEADER_ROWS_MAX} rows",
            )
        cells = fields.text("range")
        if cells is not None and not RANGE.fullmatch(cells):
            fields.refuse(
                "range",
                f"{shown(cells)} is no range of cells",
                'write range: "A3:F200", or "A:F" for all rows',
            )
        return super().read(fields, partition)

    def tables(self, path: Path) -> Mapping[str, Mapping[str, Any] | None]:
        """Return the sheets with rows, by name, and then those with a first row alone: None."""
        try:
            book = _workbook(Opened(str(path), path.name))
        except CannotRead:
            return {}
        names = _with_rows(book)
        empty = {
            name: None for name in book.sheet_names if book.get_sheet_by_name(name).height == 1
        }
        if len(names) == 1:
            return {"": {} if names == book.sheet_names[:1] else {"sheet": names[0]}, **empty}
        return {name: {"sheet": name} for name in names} | empty

    def unfold(
        self,
        opened: Opened,
        temporary: Path,
        bounds: UnpackLimits,
        pinned: SourceSchema | None,
    ) -> Opened:
        """Write the sheet to a Parquet file: row numbers, then its columns.

        Numbers become doubles, columns of several types text.
        """
        settings = opened.options.get("excel") or {}
        suspect_members = suspects(Path(opened.path), bounds)
        book = _workbook(opened)
        name = _sheet_name(book, settings.get("sheet"), chooses=pinned is None)
        cells = cells_of(settings.get("range"))
        formats = CellFormats(Path(opened.path), name)
        formats.refuse_impossible(cells)
        formats.refuse_long(cells)
        output = place_for(opened, temporary)
        try:
            header = settings.get("header") or ()
            header_rows = tuple(header if isinstance(header, list | tuple) else (header, header))
            sheet = _Sheet(book.get_sheet_by_name(name), name, cells, header_rows)
            if pinned is None and not sheet.header and not settings.get("range"):
                _refuse_title(sheet)
            cut = _written(sheet, formats, output)
            _refuse_errors(Path(opened.path), name, cut, suspect_members)
        except BaseException:
            Path(output.path).unlink(missing_ok=True)
            raise
        return output

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
        header = self.header(connection, opened, Format(kind=self.name))
        numbers = [position for position, kind in enumerate(header.types, 1) if kind == "number"]
        facts = [f"coalesce(bool_and({_is_whole(f'c{at}')}), false)" for at in numbers]
        (results,) = connection.execute(
            f"SELECT [{', '.join(facts)}], count(*) FROM {_columns(opened, header)}"
        ).fetchall()
        whole = dict(zip(numbers, results[0], strict=True))
        types = [
            _type(kind, is_whole=bool(whole.get(position)))
            for position, kind in enumerate(header.types, 1)
        ]
        columns = tuple(
            LakeColumn(name, kind, 0) for name, kind in zip(header.names, types, strict=True)
        )
        return SourceSchema(columns, Format(kind=self.name)), header

    def select_sql(
        self, opened: Opened, form: Format, header: FileHeader, columns: Sequence[LakeColumn]
    ) -> str:
        """Convert each value to its text, then select `columns` by name."""
        return selected(_rows_sql(opened, header), form, header, columns)

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
        return UnreadableFile(f"the sheet can't be read: {error_text(error, opened.path)}")


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
        raise CannotRead("isn't a workbook, or is damaged") from error


def _sheet_name(
    book: CalamineWorkbook, requested: str | int | None, *, chooses: bool = False
) -> str:
    """Find the sheet by name or by number from 1, else take the first.

    With `chooses`, a first sheet without rows isn't taken if others have some, nor one that may be
    the cover of a larger one.
    """
    names = book.sheet_names
    if not names:
        raise CannotRead("the workbook has no sheet", code="delivery_sheet")
    if requested is None:
        if chooses and (tables := _with_rows(book)) and (flaw := _flaw_of_first(book, tables)):
            raise CannotRead(
                f"the first sheet {flaw}; say which one is read: excel: {{sheet: NAME}}; rows are"
                f" in {_listed(tables)}",
                code="delivery_sheet",
            )
        return names[0]
    if isinstance(requested, int) and requested <= len(names):
        return names[requested - 1]
    if requested in names:
        return str(requested)
    raise CannotRead(
        f"there is no sheet {printable(requested)}; the workbook has {_listed(names)}",
        code="delivery_sheet",
    )


def _flaw_of_first(book: CalamineWorkbook, tables: Sequence[str]) -> str:
    """Return why the first sheet may not be the table, given those with rows; empty if it may."""
    name = book.sheet_names[0]
    if name not in tables:
        return f"{printable(name)} has no rows below its first"
    from python_calamine import SheetVisibleEnum

    first = book.get_sheet_by_name(name)
    sheets = {item.name: item.visible for item in book.sheets_metadata}
    visible = [other for other in tables if sheets[other] == SheetVisibleEnum.Visible]
    for other in map(book.get_sheet_by_name, visible):
        if first.width < other.width and (first.width == 1 or first.height <= other.height):
            return f"`{printable(name)}` is smaller than `{printable(other.name)}`"
    return ""


def _with_rows(book: CalamineWorkbook) -> list[str]:
    return [name for name in book.sheet_names if book.get_sheet_by_name(name).height > 1]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{printable(name)}`" for name in names[:10]) + (
        " …" if len(names) > 10 else ""
    )


class _Sheet(NamedTuple):
    """A sheet, and which part of it is read as declared."""

    content: CalamineSheet
    name: str
    cells: CellRange
    header: tuple[int, ...]
    """The first and the last row with names, as Excel counts them; empty if nothing says so."""

    @property
    def left(self) -> int:
        """The column, from 0, of each row's first value."""
        return max((self.content.start or (0, 0))[1], self.cells.left)


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


def _refuse_title(sheet: _Sheet) -> None:
    """Raise CannotRead if a first file's first row is above the header, or a part of it."""
    (top, first), *below = [*islice(_rows(sheet), LINES_ABOVE_MAX)] or [(0, ())]
    rows = [row for _, row in below]
    groups = _groups_end(sheet, top, first, below)
    for at, (number, row) in enumerate(below[:-1] if _is_title(first, rows) else ()):
        if _is_header(row, rows[at + 1 :]) and number != groups:
            raise _other_header(sheet, number, str(number + 1), "below other rows")
    if groups:
        raise _other_header(sheet, groups, f"[{top + 1}, {groups + 1}]", "below names of groups")


def _other_header(sheet: _Sheet, number: int, header: str, where: str) -> CannotRead:
    return CannotRead(
        f"the header of sheet {printable(sheet.name)} seems to be in row {number + 1}, {where}:"
        f" declare excel: {{header: {header}}}, or header: 1 if it is in row 1",
        line=number + 1,
        code="delivery_header",
    )


def _groups_end(
    sheet: _Sheet, top: int, first: Sequence[Any], below: Sequence[tuple[int, Sequence[Any]]]
) -> int:
    """Return the last row of a header whose first row names groups of columns, 0 if it doesn't."""
    named = [at for at, value in enumerate(first) if value != ""]
    if not below or (len(named) < 2 and named[:1] == [0]):
        return 0
    if _spread(sheet, top, first) == [*first]:
        (number, row), *_ = below
        texts = _are_texts([*first, *row]) and names_below_groups(first, row)
        return number if texts or _are_names_above(first, [row for _, row in below]) else 0
    return next((number for number, row in below if _spread(sheet, number, row) == [*row]), 0)


def _are_names_above(first: Sequence[Any], below: Sequence[Sequence[Any]]) -> bool:
    """Whether what a row doesn't name has texts below it, and no texts further down."""
    row, *others = below
    unnamed = [at for at, value in enumerate(first) if value == "" and row[at] != ""]
    values = [other[at] for other in others for at in unnamed]
    return _are_texts(row) and not _are_texts(values)


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _spread(sheet: _Sheet, number: int, row: Sequence[Any]) -> list[Any]:
    """Return a row with the value of cells that are merged side by side in each of them."""
    spread = [*row]
    for (top, left), (bottom, right) in sheet.content.merged_cell_ranges or ():
        if top <= number <= bottom:
            cells = slice(max(0, left - sheet.left), max(0, right + 1 - sheet.left))
            spread[cells] = [*row[cells][:1]] * len(row[cells])
    return spread


def _is_title(row: Sequence[Any], below: Sequence[Sequence[Any]]) -> bool:
    """Whether a row names at most half of the columns, beginning with the first one."""
    used = [at for at in range(len(row)) if any(other[at] != "" for other in (row, *below))]
    named = [at for at in used if row[at] != ""]
    return len(used) > 1 and named[:1] == used[:1] and 2 * len(named) <= len(used)


def _is_header(row: Sequence[Any], below: Sequence[Sequence[Any]]) -> bool:
    """Whether a row has a name of its own for each column that is used from there on."""
    names = [row[at] for at in range(len(row)) if any(other[at] != "" for other in (row, *below))]
    return len(set(names)) == len(names) and all(isinstance(name, str) and name for name in names)


def _require_named(sheet: _Sheet, row: int, names: Sequence[Any]) -> None:
    """Raise CannotRead if a row names less than half of the columns that are used."""
    if names.count("") * 2 > len(names):
        raise CannotRead(
            f"row {row + 1} of sheet {printable(sheet.name)} names"
            f" {len(names) - names.count('')} of {len(names)} columns; say which row has the names:"
            " excel: {header: n}",
            line=row + 1,
            code="delivery_header",
        )


def _names(
    sheet: _Sheet, rows: Iterator[tuple[int, Sequence[Any]]], above: int, last: int
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return the names of a header in these rows, and its last row."""
    groups = [_spread(sheet, at, _names_row(rows, at, sheet.name)) for at in range(above, last)]
    last_row = _names_row(rows, last, sheet.name)
    return _joined([*groups, last_row]) if groups else last_row, last_row


def _joined(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the name of each column in several rows, without those that a row repeats."""
    columns = zip(*rows, strict=True)
    return [
        " ".join(dict.fromkeys(_text(cell) for cell in cells if cell != "")) for cells in columns
    ]


def _are_rows(header: Sequence[Any]) -> bool:
    return (
        len(header) == 2
        and all(type(row) is int for row in header)
        and 1 <= header[0] < header[1] <= min(ROWS_MAX, header[0] + HEADER_ROWS_MAX - 1)
    )


def _refuse_repeated(names: Sequence[Any], rows: Sequence[tuple[int, Sequence[Any]]]) -> None:
    """Raise CannotRead if a row is the header again, of at least two names."""
    if sum(isinstance(name, str) and name != "" for name in names) < 2:
        return
    header = folded(names)
    for number, row in rows:
        if folded(row[:1]) == header[:1] and folded(row) == header:
            raise CannotRead(
                f"the header comes again in row {number + 1}: sheets may have been joined",
                line=number + 1,
                code="delivery_header",
            )


def _written(sheet: _Sheet, formats: CellFormats, output: Opened) -> SheetSelection:
    """Read the sheet in batches of rows, and write the rows that aren't empty."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = _rows(sheet)
    above, first = (row - 1 for row in sheet.header or [sheet.cells.top + 1] * 2)
    names_row, last_row = _names(sheet, rows, above, first)
    table = _Table(len(names_row), formats_known=formats.known)
    rows = filter(lambda item: _holds(item[1]), _with_codes(rows, formats.codes(), sheet.left))
    while batch := list(islice(rows, BATCH_ROWS)):
        _refuse_repeated(last_row, batch)
        table.add(batch)
    positions = [at for at, name in enumerate(names_row) if name != "" or table.used(at)]
    _require_named(sheet, first, [names_row[at] for at in positions])
    cells_of_names = [_text(names_row[at]) for at in positions]
    names = column_names(cells_of_names)
    columns = [table.column(at, named) for at, named in zip(positions, names, strict=True)]
    made_of = pa.table([table.rows(), *columns], names=[ROW, *names])
    metadata = {DOUBLED: msgspec.json.encode(doubled_names(cells_of_names))}
    pq.write_table(made_of.replace_schema_metadata(metadata), output.path, compression="none")
    return SheetSelection(
        sheet.cells._replace(top=above),
        first,
        tuple(sheet.left + at for at in positions),
        names,
    )


def _rows(sheet: _Sheet) -> Iterator[tuple[int, Sequence[Any]]]:
    """Yield the rows inside the range with their number from 0.

    The library leaves out empty columns on the left, but no rows.
    """
    left = (sheet.content.start or (0, 0))[1]
    begin, end = max(0, sheet.cells.left - left), max(0, sheet.cells.right - left + 1)
    for number, row in enumerate(sheet.content.iter_rows()):
        if number > sheet.cells.bottom:
            return
        if number >= sheet.cells.top:
            yield number, row[begin:end]


def _with_codes(
    rows: Iterator[tuple[int, Sequence[Any]]], codes: Codes, left: int
) -> Iterator[tuple[int, Sequence[Any]]]:
    if not codes.by_column:
        return rows
    return ((number, codes.as_text(number + 1, row, left)) for number, row in rows)


def _holds(row: Sequence[Any]) -> bool:
    return bool(row) and (row[0] != "" or any(value != "" for value in row))


class _Table:
    """Columns as Arrow arrays, added in batches, so that a sheet needs little extra memory."""

    def __init__(self, width: int, *, formats_known: bool) -> None:
        self._types: list[set[type]] = [] if formats_known else [set() for _ in range(width)]
        self._numbers: list[pa.Array] = []
        self._chunks: list[list[pa.Array]] = [[] for _ in range(width)]

    def add(self, rows: Sequence[tuple[int, Sequence[Any]]]) -> None:
        import pyarrow as pa

        if not rows:
            return
        self._numbers.append(pa.array([number + 1 for number, _ in rows], pa.int32()))
        columns = list(zip(*(row for _, row in rows), strict=True))
        for chunks, values in zip(self._chunks, columns, strict=True):
            chunks.append(_array(values))
        for types, values in zip(self._types, columns, strict=False):
            types.update(map(type, values))

    def used(self, at: int) -> bool:
        return any(chunk.null_count < len(chunk) for chunk in self._chunks[at])

    def rows(self) -> pa.ChunkedArray:
        import pyarrow as pa

        return pa.chunked_array(self._numbers, pa.int32())

    def column(self, at: int, name: str) -> pa.ChunkedArray:
        """Return a column with the type of all its values.

        It is a timestamp for days and points in time together, durations for times of the day and
        longer ones together, and text for other mixtures.

        Raises CannotRead for times and dates together in a kind of workbook that shows neither's
        format: 24:00 is 1900-01-01 there.
        """
        import pyarrow as pa

        chunks = self._chunks[at]
        kinds = {chunk.type for chunk in chunks if chunk.null_count < len(chunk)}
        types = self._types[at] if self._types else set()
        if dt.time in types and types & {dt.date, dt.datetime}:
            raise CannotRead(
                f"column {printable(name)} has times of the day and dates, or durations of 24 hours"
                " and more: write them as text, or save the workbook as .xlsx"
            )
        if len(kinds) == 1:
            kind = kinds.pop()
        elif kinds and kinds <= {pa.date32(), pa.timestamp("us")}:
            kind = pa.timestamp("us")
        elif kinds and kinds <= {pa.time64("us"), pa.duration("us")}:
            kind = pa.duration("us")
        else:
            kind = pa.string()
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
        dt.timedelta: pa.duration("us"),
    }
    if len(kinds) == 1 and (kind := single.get(next(iter(kinds)))) is not None:
        return pa.array(values, kind)
    if kinds == {dt.date, dt.datetime}:
        return _converted(values, pa.timestamp("us"))
    if kinds == {dt.time, dt.timedelta}:
        return _converted(values, pa.duration("us"))
    return _converted(values, pa.string())


def _as(chunk: pa.Array, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if chunk.type == kind:
        return chunk
    if chunk.null_count == len(chunk):
        return pa.nulls(len(chunk), kind)
    return _converted(chunk.to_pylist(), kind)


def _converted(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values of several types as timestamps, durations or text."""
    import pyarrow as pa

    convert: Callable[[Any], Any] = _text
    if kind == pa.timestamp("us"):
        convert = _as_datetime
    elif kind == pa.duration("us"):
        convert = _as_duration
    return pa.array([None if value is None else convert(value) for value in values], kind)


def _as_datetime(value: dt.date) -> dt.datetime:
    return value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())


def _as_duration(value: dt.time | dt.timedelta) -> dt.timedelta:
    if isinstance(value, dt.timedelta):
        return value
    return dt.timedelta(0, value.second, value.microsecond, 0, value.minute, value.hour)


def _text(value: Any) -> str:
    """Return a cell's value as text: `5` for 5.0, `true`, ISO 8601, `36:00:00`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) <= WHOLE_MAX else repr(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, dt.timedelta):
        return _clock(value)
    return str(value)


def _clock(value: dt.timedelta) -> str:
    seconds, fraction = divmod(abs(value) // dt.timedelta(microseconds=1), 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    sign = "-" if value < dt.timedelta() else ""
    return f"{sign}{clock}.{fraction:06}" if fraction else f"{sign}{clock}"


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
    if kind == "interval":
        column = (
            f"CASE WHEN {column} < {PARQUET_HOURS_US} THEN to_microseconds({column}) ELSE"
            f" to_days(CAST({column} // {DAY_US} AS INTEGER)) +"
            f" to_microseconds({column} % {DAY_US}) END"
        )
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
