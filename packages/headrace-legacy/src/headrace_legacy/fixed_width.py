"""Fixed width: each value has a declared position in a line of text, or in a record of equally
many bytes, as mainframes write them in EBCDIC.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.extension.formats import (
    COLUMNS_MAX,
    ENCODINGS,
    RECORD_MAX,
    SINGLE_BYTE,
    CannotRead,
    Fields,
    FileHeader,
    Format,
    FormatKind,
    LakeColumn,
    LocatedMapping,
    Opened,
    PartitionSpec,
    Report,
    SourceSchema,
    TypeDrift,
    UnpackLimits,
    UnreadableFile,
    almost_typed,
    bad_columns,
    column_names,
    drift_of,
    error_text,
    has_both_line_ends,
    in_utf8,
    infer_types,
    kind_of,
    literal,
    located,
    one_line_end,
    parse,
    plain,
    require_text,
    selected,
    shown,
    written,
)
from headrace_legacy.code_pages import EBCDIC, NO_LINE_BREAKS, OVERPUNCH

if TYPE_CHECKING:
    import duckdb

LINE_BYTES_MAX = 4_000_000
RECORDS_PER_CHUNK = 10_000
END_BYTES_MAX = 1 << 12
"""Limit of the end of a file: its last byte, repeated to fill a block, and line ends."""
SEPARATOR = "\x01"
"""A character that no line may have.

DuckDB reads each line as one value of a CSV file with this separator.
"""
_BYTE = re.compile(r"0x[0-9A-Fa-f]{2}")
_TIME_OF_DAY = re.compile("%[HIMSf]")
_DATE_FORMAT = re.compile(r"(%[YymdHMSfjbBIp]|[^%'])*%[Yy]([^%']|%[YymdHMSfjbBIp])*")
_OF_DATES = ("date", "timestamp")
_TYPE = re.compile(
    r"(tinyint|smallint|integer|int|bigint|double|float|boolean|bool|date|time|timestamp|timestamptz|varchar|text"
    r"|(decimal|numeric)\(\s*([1-9]|[12]\d|3[0-8])\s*,\s*\d{1,2}\s*\))",
    re.IGNORECASE,
)


class FixedWidthColumn(NamedTuple):
    """The position of a column in a line (from 0), and how its text is read."""

    name: str
    start: int
    width: int
    type: str | None
    scale: int
    overpunched: bool
    format: str = ""
    """How dates or times are written, such as `%Y%m%d`; empty for ISO 8601."""

    @property
    def meant(self) -> str:
        """The type that goes with how values are written, if one of the first isn't written so."""
        if self.format:
            return "TIMESTAMP" if _TIME_OF_DAY.search(self.format) else "DATE"
        if self.scale or self.overpunched:  # 007 is a number in a DECIMAL, and a code in a BIGINT
            return f"DECIMAL({min(max(self.width, self.scale), 38)},{self.scale})"
        return "VARCHAR"


class Layout(msgspec.Struct, frozen=True):
    """The declaration under `fixed_width:`."""

    places: tuple[FixedWidthColumn, ...]
    length: int
    """Number of characters per line."""
    skip: int
    encoding: str
    record: int | None
    """Number of bytes per record; None for files with lines."""
    trimmed: bool = False
    """Whether blanks at the ends of lines are cut, so that lines may be shorter."""
    end: bytes = b""
    """The byte that ends the file; empty if there is none."""

    def fits(self, length: int) -> bool:
        """Whether a line may have that many characters."""
        return length == self.length or (self.trimmed and length < self.length)


def layout(declared: Any) -> Layout:
    """Parse the declaration: a list of columns, or a mapping with more options."""
    options: dict[str, Any] = declared if isinstance(declared, dict) else {"columns": declared}
    places, end, length = [], 0, 0
    for column in options["columns"]:
        start = column.get("start", end + 1) - 1
        end = start + column["width"]
        length = max(length, end)
        if "name" in column:
            kind = parse(column["type"]).text if "type" in column else None
            places.append(
                FixedWidthColumn(
                    column["name"],
                    start,
                    column["width"],
                    kind,
                    column.get("scale", 0),
                    column.get("sign") == "overpunch",
                    column.get("format", ""),
                )
            )
    record = options.get("record")
    return Layout(
        tuple(places),
        record or length,
        options.get("skip", 0),
        options.get("encoding", "utf-8"),
        record,
        options.get("trimmed", False),
        bytes.fromhex(options.get("end", "").removeprefix("0x")),
    )


class FixedWidth(FormatKind):
    """Lines or records of equal length; the file itself doesn't name the columns."""

    name = "fixed_width"
    meaning = "the columns of lines without separators"
    endings: tuple[str, ...] = ()
    unmistakable = of_lines = recodable = True

    def read_value(self, fields: Fields, partition: PartitionSpec) -> Any:
        """Validate a list of columns, or a mapping with them.

        For example `{columns: […], skip: 1, encoding: cp037, record: 300}`.
        """
        del partition
        columns: Any = fields.raw(self.name)
        if isinstance(columns, LocatedMapping):
            columns = _read_options(fields, columns)
        if not isinstance(columns, list) or not 0 < len(columns) <= COLUMNS_MAX:
            fields.refuse(
                self.name,
                "`fixed_width` lists no columns",
                "write fixed_width: [{name: id, width: 8}, {name: amount, width: 12}]",
            )
            return None
        names = [name for item in columns if (name := _read_column(item, fields)) is not None]
        named = [item for item in columns if isinstance(item, LocatedMapping) and "name" in item]
        if len(names) == len(named):
            _refuse_twice(fields.report, fields.line(self.name), names)
        if not named:
            fields.refuse(
                self.name, "`fixed_width` names no column", "give at least one column a name"
            )
        return plain(fields.raw(self.name))

    def value_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a list or a mapping."""
        return {"type": ["object", "array"]}

    def stated(self, options: Mapping[str, Any]) -> list[str]:
        """Return the columns with a declared type."""
        places = layout(options[self.name]).places if self.name in options else ()
        return [place.name for place in places if place.type]

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Convert to lines in UTF-8, one per record, without the byte that ends the file."""
        how = _layout(opened)
        whole = opened if not how.end else _without_end(opened, how.end, temporary, bounds)
        result = None
        try:
            result = _unfolded(whole, how, temporary, bounds, pinned)
        finally:
            if whole is not opened and result is not whole:
                whole.discard()
        return result

    # the columns are always known
    def inspect(self, opened: Opened, *, known: bool) -> int | None:  # noqa: ARG002
        """Refuse anything but text; each line is a row."""
        how = _layout(opened)
        lines = require_text(
            Path(opened.path),
            line_bytes_max=LINE_BYTES_MAX,
            blank=how.record is not None,
            setting=self.name,
        )
        if not lines.plain and (number := _blank_line(Path(opened.path), _skipped(how))):
            raise CannotRead(
                f"line {number}: 0 characters where {how.length:,} are declared", line=number
            )
        return max(0, lines.ends + bool(lines.open_bytes) - _skipped(how))

    def header(
        self,
        connection: duckdb.DuckDBPyConnection,  # noqa: ARG002
        opened: Opened,
        form: Format,  # noqa: ARG002
    ) -> FileHeader:
        """Return the declared columns."""
        return FileHeader(column_names([place.name for place in _layout(opened).places]))

    def learn(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened
    ) -> tuple[SourceSchema, FileHeader]:
        """Use the declared types; infer the others from the values."""
        header = self.header(connection, opened, Format(kind=self.name))
        places = _layout(opened).places
        rows = _rows_sql(opened)
        learnt = infer_types(connection, rows, len(places), formats=False, sampled=opened.large)
        types = [
            place.type or (place.meant if result == "VARCHAR" else result)
            for place, result in zip(places, learnt.types, strict=True)
        ]
        form = Format(kind=self.name, encoding=opened.encoding, null=learnt.null)
        declared = {place.name for place in places if place.type is not None}
        almost = tuple(
            item
            for item in almost_typed(connection, rows, header.names, learnt, form)
            if item.column not in declared
        )
        header = msgspec.structs.replace(header, almost=almost)
        return (
            SourceSchema(
                tuple(
                    LakeColumn(name, kind, 0)
                    for name, kind in zip(header.names, types, strict=True)
                ),
                form,
            ),
            header,
        )

    def select_sql(
        self, opened: Opened, form: Format, header: FileHeader, columns: Sequence[LakeColumn]
    ) -> str:
        """Select the pieces of the lines as text, then `columns` by name."""
        return selected(_rows_sql(opened, form.null), form, header, columns)

    def explain(
        self,
        error: Exception,
        connection: duckdb.DuckDBPyConnection,
        opened: Opened,
        schema: SourceSchema,
        header: FileHeader,
    ) -> TypeDrift | UnreadableFile:
        """Explain lines of a wrong length first, because only correct lines have values."""
        how = _layout(opened)
        if broken := _broken_line(Path(opened.path), how):
            return broken
        bad = bad_columns(connection, _rows_sql(opened, schema.format.null), header, schema)
        if bad:
            return drift_of(located(bad, _lines(Path(opened.path), how)))
        return UnreadableFile(f"can't be read as fixed width: {error_text(error, opened.path)}")


def _read_options(fields: Fields, written: LocatedMapping) -> Any:
    """Validate the options of a mapping; return its columns as written."""
    known = ("columns", "skip", "encoding", "record", "trimmed", "end")
    inner = Fields(written, fields.report, known, what="`fixed_width`")
    columns = inner.raw("columns")
    if inner.flag("trimmed") and "record" in inner:
        inner.refuse(
            "trimmed",
            "records of bytes have no ends of lines to be cut",
            "leave it out",
            code="conflicting_fields",
        )
    end = inner.text("end")
    if end is not None and not _BYTE.fullmatch(end):
        inner.refuse("end", f"{shown(end)} is no byte", 'write end: "0x1A"')
    inner.whole("skip", minimum=0, maximum=RECORD_MAX)
    record = inner.whole("record", minimum=1, maximum=RECORD_MAX)
    encodings = (*ENCODINGS, *(page for page in EBCDIC if page not in ENCODINGS))
    encoding = inner.choice("encoding", encodings, "utf-8")
    if record and encoding not in (*SINGLE_BYTE, *EBCDIC):
        inner.refuse(
            "record",
            "records of bytes need an encoding of one byte a character",
            "add encoding: latin-1, or cp037 for EBCDIC",
        )
    return columns


def _read_column(item: Any, fields: Fields) -> str | None:
    """Report one column's problems and return its name."""
    if not isinstance(item, LocatedMapping):
        fields.refuse(
            "fixed_width",
            f"a column is {kind_of(item)}",
            "write {name: id, width: 8}",
            code="wrong_type",
        )
        return None
    inner = Fields(
        item,
        fields.report,
        ("name", "width", "type", "start", "scale", "sign", "format"),
        what="a column of `fixed_width`",
    )
    if "width" not in inner:
        inner.report.error(
            "missing_field", item.line, "a column of `fixed_width` has no `width`", "add width: 8"
        )
    inner.whole("width", minimum=1, maximum=RECORD_MAX)
    inner.whole("start", minimum=1, maximum=RECORD_MAX)
    inner.whole("scale", minimum=0, maximum=38)
    inner.choice("sign", ("leading", "overpunch"), "leading")
    kind = inner.text("type")
    if kind is not None and not _TYPE.fullmatch(kind.strip()):
        inner.refuse(
            "type",
            f"{shown(kind)} is no type of a column",
            "write type: bigint, date, decimal(9,2) or varchar",
        )
    form = inner.text("format")
    if form is not None and not _DATE_FORMAT.fullmatch(form):
        inner.refuse(
            "format", f"{shown(form)} is no format of dates", 'write format: "%Y%m%d" or "%d%m%y"'
        )
    if form is not None and kind is not None and kind.strip().lower() not in _OF_DATES:
        inner.refuse(
            "format",
            f"`format` is how dates are written, the column is {shown(kind)}",
            "write type: date, or timestamp",
            code="conflicting_fields",
        )
    return inner.text("name")


def _refuse_twice(report: Report, line: int, names: list[str]) -> None:
    folded = [name.lower() for name in names]
    twice = next((name for name in folded if folded.count(name) > 1), None)
    if twice is not None:
        report.error(
            "wrong_value",
            line,
            f"the column {shown(twice)} is listed twice",
            "give each column a name of its own",
        )


def _unfolded(
    opened: Opened,
    how: Layout,
    temporary: Path,
    bounds: UnpackLimits,
    pinned: SourceSchema | None,
) -> Opened:
    if how.record is not None:
        _require_whole(Path(opened.path), how)
        return written(opened, temporary, bounds, _records(Path(opened.path), how))
    text = in_utf8(opened, how.encoding, pinned, temporary, bounds)
    if not has_both_line_ends(Path(text.path)):
        return text
    return one_line_end(text, temporary, bounds, LINE_BYTES_MAX, intermediate=text is not opened)


def _without_end(opened: Opened, end: bytes, temporary: Path, bounds: UnpackLimits) -> Opened:
    """Return a copy without the bytes that end the file, and without line ends after them.

    Raises CannotRead if they are missing, because the file is cut off then.
    """
    size = Path(opened.path).stat().st_size
    with Path(opened.path).open("rb") as file:
        file.seek(max(0, size - END_BYTES_MAX))
        tail = file.read()
    bare = tail.rstrip(b"\r\n")
    if not bare.endswith(end):
        raise CannotRead(
            f"the file is cut off: it doesn't end with 0x{end.hex().upper()}, as is declared",
            code="delivery_truncated",
        )
    return written(
        opened, temporary, bounds, _first_bytes(opened, size - len(tail) + len(bare.rstrip(end)))
    )


def _first_bytes(opened: Opened, count: int) -> Iterator[bytes]:
    with Path(opened.path).open("rb") as file:
        while count and (chunk := file.read(min(count, 1 << 20))):
            count -= len(chunk)
            yield chunk


def _layout(opened: Opened) -> Layout:
    return layout(opened.options["fixed_width"])


def _skipped(how: Layout) -> int:
    """Return the number of lines before the rows.

    0 for records, where skipped ones aren't written.
    """
    return 0 if how.record is not None else how.skip


def _require_whole(path: Path, how: Layout) -> None:
    size = path.stat().st_size
    assert how.record is not None
    if not size:
        raise CannotRead("the file is empty", code="delivery_empty")
    if size % how.record:
        whole = size // how.record
        raise CannotRead(
            f"{size:,} bytes aren't a whole number of records of {how.record:,} bytes: "
            f"record {whole + 1:,} has {size % how.record:,}",
            line=whole + 1,
            code="delivery_truncated",
        )


def _records(path: Path, how: Layout) -> Iterator[bytes]:
    """Yield records as lines: one byte becomes one character, so positions stay the same."""
    assert how.record is not None
    with path.open("rb") as file:
        file.seek(how.skip * how.record)
        while data := file.read(how.record * RECORDS_PER_CHUNK):
            text = data.decode(how.encoding, errors="replace").translate(NO_LINE_BREAKS)
            yield "".join(
                text[at : at + how.record] + "\n" for at in range(0, len(text), how.record)
            ).encode()


def _rows_sql(opened: Opened, null: Sequence[str] = ("",)) -> str:
    """Return SQL for the declared pieces as text columns `c1 … cn`.

    Lines of another length raise.
    """
    how = _layout(opened)
    options = {
        "auto_detect": "false",
        "header": "false",
        "skip": str(_skipped(how)),
        "columns": "{'line': 'VARCHAR'}",
        "delim": literal(SEPARATOR),
        "quote": "''",
        "escape": "''",
        "comment": "''",
        "nullstr": literal("\x02"),
        "strict_mode": "true",
        "null_padding": "false",
        "compression": "'none'",
        "hive_partitioning": "false",
        "max_line_size": str(LINE_BYTES_MAX),
    }
    lines = (
        f"read_csv({literal(opened.path)},"
        f" {', '.join(f'{name}={value}' for name, value in options.items())})"
    )
    other = ">" if how.trimmed else "<>"
    checked = (
        f"CASE WHEN coalesce(length(line), 0) {other} {how.length} THEN error('a line of another"
        " length') ELSE line END AS line"
    )
    steps = (_cut_out, _signed, _scaled, _dated, partial(_or_null, null=null))
    rows = f"(SELECT {checked} FROM {lines})"
    for step in steps:
        values = [f"{step(place, f'c{n}')} AS c{n}" for n, place in enumerate(how.places, 1)]
        rows = f"(SELECT {', '.join(values)} FROM {rows})"
    return rows


# the first step has no input text
def _cut_out(place: FixedWidthColumn, text: str) -> str:  # noqa: ARG001
    """Return SQL for the piece of the line, without blanks around it."""
    return f"trim(substring(line, {place.start + 1}, {place.width}))"


def _signed(place: FixedWidthColumn, text: str) -> str:
    """Return SQL that writes out an overpunched sign; other text stays, and the cast refuses it."""
    if not place.overpunched:
        return text
    at = f"strpos({literal(OVERPUNCH)}, right({text}, 1))"
    signed = (
        f"(CASE WHEN {at} > 10 THEN '-' ELSE '' END) || left({text}, -1) || CAST(({at} - 1) % 10 AS"
        " VARCHAR)"
    )
    return f"CASE WHEN regexp_full_match({text}, '[0-9]*[{{}}A-R]') THEN {signed} ELSE {text} END"


def _scaled(place: FixedWidthColumn, text: str) -> str:
    """Return SQL that inserts the implied decimal point."""
    if not place.scale:
        return text
    digits = f"ltrim({text}, '+-')"
    padded = f"lpad({digits}, CAST(greatest(length({digits}), {place.scale + 1}) AS INTEGER), '0')"
    minus = f"CASE WHEN left({text}, 1) = '-' THEN '-' ELSE '' END"
    scaled = f"({minus}) || left({padded}, -{place.scale}) || '.' || right({padded}, {place.scale})"
    return f"CASE WHEN regexp_full_match({text}, '[-+]?[0-9]+') THEN {scaled} ELSE {text} END"


def _dated(place: FixedWidthColumn, text: str) -> str:
    """Return SQL that writes a date or time in ISO 8601; text that isn't in its format stays."""
    if not place.format:
        return text
    parsed, form = f"try_strptime({text}, {literal(place.format)})", literal(place.format)
    has_time = _TIME_OF_DAY.search(place.format)
    iso = literal("%Y-%m-%d %H:%M:%S.%f" if has_time else "%Y-%m-%d")
    return (
        f"CASE WHEN strftime({parsed}, {form}) = {text} THEN strftime({parsed}, {iso})"
        f" ELSE {text} END"
    )


def _or_null(place: FixedWidthColumn, text: str, null: Sequence[str]) -> str:  # noqa: ARG001
    """Return SQL that turns empty text and null words into NULL."""
    return (
        f"CASE WHEN {text} IN ({', '.join(map(literal, dict.fromkeys(('', *null))))}) THEN NULL"
        f" ELSE {text} END"
    )


def _blank_line(path: Path, skipped: int) -> int | None:
    """Return the first blank line after the skipped ones, which DuckDB's reader would ignore."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for match in re.finditer(rb"^\r?\n", data, re.MULTILINE):
            number = data[: match.start()].count(b"\n") + 1
            if number > skipped:
                return number
    return None


def _line_problem(number: int, line: str, how: Layout) -> UnreadableFile | None:
    bare, length = line.rstrip("\r\n"), how.length
    if bare == line and len(bare) < length and not how.trimmed:
        reason = f"the file is cut off: line {number}, its last one, ends after"
        reason = f"{reason} {len(bare):,} of {length:,} characters"
        return UnreadableFile(reason, number, code="delivery_truncated")
    if not how.fits(len(bare)):
        text = "1 character" if len(bare) == 1 else f"{len(bare):,} characters"
        return UnreadableFile(f"line {number}: {text} where {length:,} are declared", number)
    if SEPARATOR in bare:
        return UnreadableFile(
            f"line {number}: a control character (0x01); the file isn't text", number
        )
    return None


def _broken_line(path: Path, how: Layout) -> UnreadableFile | None:
    """Return the first line with another length than declared, or with invalid characters."""
    with path.open(encoding="utf-8", newline="") as file:
        ending = None
        for number, line in enumerate(file, 1):
            if number <= _skipped(how):
                continue
            if problem := _line_problem(number, line, how):
                return problem
            result = line[len(line.rstrip("\r\n")) :]
            if ending is not None and result and result != ending:
                return UnreadableFile(
                    f"line {number}: line ends are mixed (LF, CRLF or CR)", number
                )
            ending = ending or result
    return None


def _lines(path: Path, how: Layout) -> Iterator[tuple[int, Sequence[str | None]]]:
    """Yield the pieces of each line without surrounding blanks, with the line's number."""
    with path.open(encoding="utf-8", newline="") as file:
        for number, line in enumerate(file, 1):
            if number > _skipped(how):
                yield (
                    number,
                    [
                        line[place.start : place.start + place.width].strip(" ")
                        for place in how.places
                    ],
                )
