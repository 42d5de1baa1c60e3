"""CSV and its relatives (semicolons, tabs, pipes), read with an explicit dialect as text, and cast
strictly.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.connect.deliveries import (
    CSV_ENDINGS,
    EMPTY,
    AlmostTyped,
    CannotRead,
    Format,
    SourceSchema,
    TypeDrift,
    UnreadableFile,
    error_text,
    printable,
)
from headrace.connect.formats.csv_dialect import (
    SEPARATOR_LINE,
    above_header,
    beginning,
    declaration,
    dialect,
    from_header,
    hidden_header,
    lines_above,
    rows_of,
    titled,
)
from headrace.connect.formats.headers import BLANKS, column_names, doubled_names, folded
from headrace.connect.formats.registry import FileHeader, FormatKind
from headrace.connect.formats.text_values import (
    COLUMNS_PER_PASS,
    Bad,
    almost_typed,
    bad_columns,
    column_types,
    drift_of,
    located,
    selected,
)
from headrace.connect.raw_files import Opened, UnpackLimits, written
from headrace.connect.text_files import (
    UTF8,
    Quoting,
    blanked,
    has_both_line_ends,
    in_utf8,
    is_cut_in_line,
    one_line_end,
    require_text,
)
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal, quote
from headrace.lake.type_inference import InferredTypes, infer_types
from headrace.model.texts import marked

if TYPE_CHECKING:
    import duckdb

HEADER_BYTES_MAX = 1 << 20
LINE_BYTES_MAX = 2_000_000
FILE_COLUMN = "file"
DELIMITER_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


class Csv(FormatKind):
    """Text with a header and one row per line, or several where quoted values have line breaks."""

    name = "csv"
    endings: tuple[str, ...] = CSV_ENDINGS
    of_lines = recodable = True

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Convert to UTF-8 from the declared or detected encoding, with one kind of line end.

        Lines above the header and comments become blank lines.
        """
        text = _bare(
            in_utf8(opened, _csv_options(opened).get("encoding", UTF8), pinned, temporary, bounds),
            temporary,
            bounds,
            intermediate=opened,
        )
        if not has_both_line_ends(Path(text.path)):
            return text
        form = _declared(text, dialect(beginning(Path(text.path))))
        quoting = Quoting(form.delimiter, form.quote, form.escape) if form.quote else None
        return one_line_end(
            text, temporary, bounds, LINE_BYTES_MAX, quoting, intermediate=text is not opened
        )

    # a CSV file can't be blank, pinned or not
    def inspect(self, opened: Opened, *, known: bool) -> int | None:  # noqa: ARG002
        """Refuse anything but UTF-8 text; without quotes and blank lines each line is a row."""
        rows = require_text(
            Path(opened.path), line_bytes_max=LINE_BYTES_MAX, setting=self.name
        ).rows
        plain = _csv_options(opened).get("quote", '"') == '"'
        return None if rows is None or not plain else rows + (not _has_header(opened))

    def header(
        self,
        connection: duckdb.DuckDBPyConnection,  # noqa: ARG002
        opened: Opened,
        form: Format,
    ) -> FileHeader:
        """Split the first line that isn't blank by the dialect.

        Only the file's beginning is read.
        """
        cells, skip = _first_row(beginning(Path(opened.path), HEADER_BYTES_MAX), form)
        if form.header:
            return FileHeader(form.header, skip=skip)
        if not _has_header(opened):
            return FileHeader(column_names(_csv_options(opened)["columns"]), skip=skip)
        return FileHeader(
            column_names(cells), tuple(cells), skip=skip, doubled=doubled_names(cells)
        )

    def learn(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened
    ) -> tuple[SourceSchema, FileHeader]:
        """Learn the dialect from the first rows and the types from all.

        Raises CannotRead if the first line is data rather than a header.
        """
        shows = dialect(beginning(Path(opened.path)))
        form = _declared(
            opened, msgspec.structs.replace(shows, encoding=opened.encoding, empty_text=True)
        )
        header = self.header(connection, opened, form)
        if len(header.names) == 1:  # writers put `""` for a missing value: others are blank lines
            form = msgspec.structs.replace(form, empty_text=False)
        if not _is_located(opened):
            _refuse_title(opened, header)
        typed = [LakeColumn(name, "DOUBLE", 0) for name in header.names]
        rows = _rows_sql(opened, form, header, typed, _WITHOUT)
        learnt = infer_types(connection, rows, len(header.names), sampled=opened.large)
        form = _with_learnt(form, learnt)
        if _has_header(opened) and not _is_located(opened):
            _require_header(connection, opened, form, learnt)
        columns = tuple(
            LakeColumn(name, kind, 0) for name, kind in zip(header.names, learnt.types, strict=True)
        )
        almost = (
            *almost_typed(connection, rows, header.names, learnt, form),
            *_with_commas(connection, rows, header.names, learnt),
        )
        return SourceSchema(columns, form), msgspec.structs.replace(header, almost=almost)

    def select_sql(
        self, opened: Opened, form: Format, header: FileHeader, columns: Sequence[LakeColumn]
    ) -> str:
        """Read text columns by position, then select `columns` by name."""
        return selected(_rows_sql(opened, form, header, columns), form, header, columns)

    def select_each_sql(
        self,
        opened: Opened,
        form: Format,
        header: FileHeader,
        columns: Sequence[LakeColumn],
        keys: Mapping[str, str],
        key_column: str,
    ) -> str:
        """Select the rows of several files as `select_sql` does those of `opened`.

        `keys` maps the path of each file to its value in `key_column`, which comes last.
        """
        rows = _rows_sql(opened, form, header, columns, files=tuple(keys))
        listed = ", ".join(f"({literal(path)}, {literal(key)})" for path, key in keys.items())
        files = f"(VALUES {listed}) AS files(path, key) ON files.path = each.{FILE_COLUMN}"
        named = f"(SELECT each.*, files.key FROM {rows} AS each JOIN {files})"
        return selected(named, form, header, columns, more=f"key AS {quote(key_column)}")

    def another_format(self, opened: Opened, pinned: SourceSchema) -> tuple[Format, str] | None:
        """Detect another delimiter, another escape for quotes, or a missing header."""
        known = pinned.format
        shows = _declared(opened, dialect(beginning(Path(opened.path))))
        form = msgspec.structs.replace(known, delimiter=shows.delimiter, escape=shows.escape)
        if form == known:
            return _without_header(opened, pinned)
        was, now = (
            DELIMITER_NAMES.get(item.delimiter, printable(item.delimiter)) for item in (known, form)
        )
        return (
            form,
            (
                f"columns are separated by {now}, pinned is {was}"
                if was != now
                else "quotes are escaped otherwise than pinned"
            ),
        )

    def explain(
        self,
        error: Exception,
        connection: duckdb.DuckDBPyConnection,
        opened: Opened,
        schema: SourceSchema,
        header: FileHeader,
    ) -> TypeDrift | UnreadableFile:
        """Explain broken rows first, because only rows that can be split have values."""
        broken = _broken(error, opened)
        if broken:
            return broken
        if repeated := _repeated_header(connection, opened, schema, header):
            return repeated
        bad = bad_columns(
            connection,
            _rows_sql(opened, schema.format, header, schema.columns),
            header,
            schema,
        )
        if bad:
            columns = located(bad, _lines(opened, schema.format, header))
            commas = {item.name for item in bad if _shows_decimal_comma(item)}
            forms = {"DATE": schema.format.date_format, "TIMESTAMP": schema.format.timestamp_format}
            drift = drift_of(
                [
                    msgspec.structs.replace(
                        column,
                        written=forms.get(column.type) or "",
                        hint=_OF_COMMAS if column.column in commas else column.hint,
                    )
                    for column in columns
                ]
            )
            return _cut_in_value(drift, opened, schema.format, header) or drift
        return UnreadableFile(f"can't be read: {error_text(error, opened.path)}")


def _bare(opened: Opened, temporary: Path, bounds: UnpackLimits, *, intermediate: Opened) -> Opened:
    """Return `opened`, or a copy with blank lines instead of those that aren't header or rows.

    `opened` is deleted then, unless it is `intermediate` itself.
    """
    options, text = _csv_options(opened), beginning(Path(opened.path))
    skip, comment = lines_above(options), options.get("comment", "")
    if not skip and (separator := SEPARATOR_LINE.match(text)):
        skip, options = 1, {"delimiter": separator[1], **options}
    if not skip and not comment:
        return opened
    form = _declared(opened, dialect(from_header(text, skip, comment)))
    form = msgspec.structs.replace(form, delimiter=options.get("delimiter", form.delimiter))
    quoting = Quoting(form.delimiter, form.quote, form.escape) if form.quote else None
    lines = blanked(Path(opened.path), LINE_BYTES_MAX, quoting, skip, comment)
    try:
        bare = written(opened, temporary, bounds, lines)
    finally:
        if opened is not intermediate:
            opened.discard()
    return msgspec.structs.replace(bare, options={**opened.options, "csv": options})


def _csv_options(opened: Opened) -> Mapping[str, Any]:
    """Return the source's declaration under `csv:`."""
    results: Mapping[str, Any] = opened.options.get("csv") or {}
    return results


def _is_located(opened: Opened) -> bool:
    """Whether the source declares in which line the header is."""
    return not {"skip", "comment", "header"}.isdisjoint(_csv_options(opened))


def _null_words(opened: Opened) -> tuple[str, ...]:
    declared = _csv_options(opened).get("null", ())
    return (declared,) if isinstance(declared, str) else tuple(declared)


def _has_header(opened: Opened) -> bool:
    return bool(_csv_options(opened).get("header", True))


def _declared(opened: Opened, form: Format) -> Format:
    """Return the detected format, overridden by the source's declaration."""
    declared = _csv_options(opened)
    null = tuple(dict.fromkeys(("", *_null_words(opened))))
    quote = declared.get("quote", form.quote)
    escape = quote if form.escape == form.quote else form.escape
    return msgspec.structs.replace(
        form,
        delimiter=declared.get("delimiter", form.delimiter),
        quote=quote,
        escape=escape,
        null=null,
    )


def _without_header(opened: Opened, pinned: SourceSchema) -> tuple[Format, str] | None:
    """Return a format that reads the first line as data, if it is as wide as the pinned columns.

    Reading shows later whether the values fit. Text columns fit any value, so at least half of the
    columns must have another type.
    """
    cells, skip = _first_row(beginning(Path(opened.path), HEADER_BYTES_MAX), pinned.format)
    typed = sum(column.type not in ("VARCHAR", "JSON") for column in pinned.columns)
    if (
        pinned.format.header
        or not _has_header(opened)
        or len(cells) != len(pinned.columns)
        or 2 * typed < len(cells)
    ):
        return None
    detail = (
        f"there is no header: line {skip + 1} is data, read in the order of the columns as they"
        " were"
    )
    return msgspec.structs.replace(pinned.format, header=pinned.names), detail


def _is_numeric(type_name: str) -> bool:
    return type_name.startswith(("DECIMAL", "DOUBLE", "FLOAT")) or type_name.endswith("INT")


def _refuse_title(opened: Opened, header: FileHeader) -> None:
    """Raise CannotRead if a first file's first line is a title or a comment above the header."""
    if header.raw and (above := hidden_header(header.raw, beginning(Path(opened.path)))):
        raise _titled(*above)


def refuse_even_title(opened: Opened) -> None:
    """Raise CannotRead if a first file's first line seems to be a title as wide as the header."""
    if not _is_located(opened) and (above := titled(beginning(Path(opened.path)))):
        raise _titled(*above)


def _titled(options: Mapping[str, Any], line: int) -> CannotRead:
    return CannotRead(
        f"the header seems to be in line {line}, below other lines: declare"
        f" {declaration(options)}, or skip: 0 if it is in the first line",
        line=line,
        code="delivery_header",
    )


def _require_header(
    connection: duckdb.DuckDBPyConnection, opened: Opened, form: Format, learnt: InferredTypes
) -> None:
    """Raise CannotRead if the first line is data.

    It is if each column of numbers, dates or booleans has such a value in that line too.
    """
    cells, skip = _first_row(beginning(Path(opened.path), HEADER_BYTES_MAX), form)
    typed = [
        cell.strip() for cell, kind in zip(cells, learnt.types, strict=True) if kind != "VARCHAR"
    ]
    if not typed:
        return
    values = ", ".join(f"{literal(cell)} AS c{position}" for position, cell in enumerate(typed, 1))
    if "VARCHAR" not in infer_types(connection, f"(SELECT {values})", len(typed)).types:
        sample = ", ".join(f"`{marked(printable(cell, 20))}`" for cell in cells[:3]) + (
            " …" if len(cells) > 3 else ""
        )
        raise CannotRead(
            f"the first line looks like data, not like a header: {sample}",
            line=skip + 1,
            code="delivery_header",
        )


def _first_row(text: str, form: Format) -> tuple[list[str], int]:
    """Return the first row's cells, and the number of blank lines before it."""
    blank = re.match(r"(?:[^\S\r\n]*(?:\r\n|\r|\n))*", text)
    assert blank is not None
    skip, rest = len(re.findall(r"\r\n|\r|\n", blank[0])), text[blank.end() :]
    try:
        cells = next(rows_of(rest, form), [])
    except csv.Error as error:
        raise CannotRead(
            f"line {skip + 1}: the header can't be read ({printable(error)})",
            line=skip + 1,
            code="delivery_header",
        ) from error
    if (
        not any(mark in rest for mark in "\r\n")
        and len(rest) > HEADER_BYTES_MAX // 4 - 4
        and len(rest.encode()) >= HEADER_BYTES_MAX - 8
    ):
        raise CannotRead(
            f"line {skip + 1} is longer than {HEADER_BYTES_MAX:,} bytes; that is no header",
            line=skip + 1,
            code="delivery_header",
        )
    if not cells:
        raise CannotRead("the file is empty: there isn't even a header", code=EMPTY)
    return cells, skip


_REFUSED, _WITHOUT, _ONLY = (
    "CASE WHEN {} THEN error('the header comes again') ELSE true END",
    "NOT ({})",
    "{}",
)
"""What becomes of rows that repeat the header: the condition for rows that are read."""


def _rows_sql(
    opened: Opened,
    form: Format,
    header: FileHeader,
    columns: Sequence[LakeColumn],
    repeated: str = _REFUSED,
    files: Sequence[str] = (),
) -> str:
    """Return SQL for the file as text columns `c1 … cn`, split strictly.

    The types of `columns` decide which of them get a decimal point if the source declares a decimal
    comma, or if the format has one and the column proves it, and in which a quoted value may be
    null. If `files` are given, they are read instead, and `FILE_COLUMN` has the path of each row's
    file.
    """
    names = [f"c{position}" for position in range(1, len(header.names) + 1)]
    options = {
        "auto_detect": "false",
        "header": str(_has_header(opened) and not form.header).lower(),
        "skip": str(header.skip),
        "columns": column_types(names, ["VARCHAR"] * len(names)),
        "delim": literal(form.delimiter),
        "quote": literal(form.quote),
        "escape": literal(form.escape),
        "comment": "''",
        "nullstr": "[" + ", ".join(map(literal, form.null)) + "]",
        "allow_quoted_nulls": str(not form.empty_text).lower(),
        "strict_mode": "true",
        "null_padding": "false",
        "compression": "'none'",
        "hive_partitioning": "false",
        "max_line_size": str(LINE_BYTES_MAX),
    }
    if files:
        options["filename"] = literal(FILE_COLUMN)
    paths = f"[{', '.join(map(literal, files))}]" if files else literal(opened.path)
    read = f"read_csv({paths}, {', '.join(f'{name}={value}' for name, value in options.items())})"
    types = {column.name: column.type for column in columns}
    if form.decimal == "," and _csv_options(opened).get("decimal") != ",":
        proofs = (
            f"bool_or(regexp_full_match({c}, {literal(_PROVEN_COMMA)})) AS {c}_proven"
            for c in names
        )
        read += f", (SELECT {', '.join(proofs)} FROM {read})"
    values = [
        f"{_value_sql(opened, form, c, types.get(name, 'VARCHAR'))} AS {c}"
        for c, name in zip(names, header.names, strict=True)
    ]
    values += [FILE_COLUMN] if files else []
    where = f" WHERE {repeated.format(again)}" if (again := _is_header_sql(header, types)) else ""
    return f"(SELECT {', '.join(values)} FROM {read}{where})"


def _value_sql(opened: Opened, form: Format, position: str, type_name: str) -> str:
    """Return SQL for the text of a column of this type.

    Quoted, an empty value or a null word is text, unless the source declares it to be null.
    """
    column, null = position, _null_words(opened) if type_name == "VARCHAR" else form.null
    if form.empty_text and null:
        words = ", ".join(map(literal, null))
        column = f"CASE WHEN {column} IN ({words}) THEN NULL ELSE {column} END"
    declared = _csv_options(opened).get("decimal") == ","
    if not _is_numeric(type_name) or not (declared or form.decimal == ","):
        return column
    return _with_point(column, "true" if declared else f"{position}_proven")


def _is_header_sql(header: FileHeader, types: Mapping[str, str]) -> str:
    """Return the condition for a row that repeats the header; empty if a value may be its name.

    `types` are those of columns that aren't text.
    """
    if not header.raw or (
        len(header.raw) == 1 and types.get(header.names[0], "VARCHAR") == "VARCHAR"
    ):
        return ""
    return " AND ".join(
        f"lower(trim(coalesce(c{position}, ''), {literal(BLANKS)})) = {literal(cell)}"
        for position, cell in enumerate(folded(header.raw), 1)
    )


def _repeated_header(
    connection: duckdb.DuckDBPyConnection, opened: Opened, schema: SourceSchema, header: FileHeader
) -> UnreadableFile | None:
    """Return the error for rows that repeat the header; None if there are none."""
    if not _is_header_sql(header, {column.name: column.type for column in schema.columns}):
        return None
    rows = connection.execute(
        f"SELECT count(*) FROM {_rows_sql(opened, schema.format, header, schema.columns, _ONLY)}"
    ).fetchone()
    assert rows is not None
    if not rows[0]:
        return None
    names = folded(header.raw)
    again = (
        (line, row) for line, row in _lines(opened, schema.format, header) if folded(row) == names
    )
    line = next(again, (None, ()))[0]
    where = "" if line is None else f" in line {line}"
    times = "" if rows[0] == 1 else f", and {_count(str(rows[0] - 1), 'more time')}"
    return UnreadableFile(
        f"the header comes again{where}{times}: files may have been joined",
        line,
        code="delivery_header",
    )


_OF_COMMAS = 'with a decimal comma, declare csv: {decimal: ","}'
_COMMA_NUMBER = re.compile(r" *[-+]?([1-9][0-9]{0,2}(\.[0-9]{3})+|[0-9]*)(,[0-9]+)? *")
_PROVEN_COMMA = (
    r" *[-+]?([1-9][0-9]{0,2}(\.[0-9]{3})+,[0-9]+|(0[0-9]*|[0-9]{4,})?,[0-9]+"
    r"|[0-9]+,([0-9]{1,2}|[0-9]{4,})) *"
)
"""Numbers whose comma can't separate thousands: `1.234,567`, `0,125`, `1,5`."""
_COMMA_ROWS_MAX = 10_000
"""Rows of a first file that are searched for decimal commas."""


def _shows_decimal_comma(bad: Bad) -> bool:
    """Whether a column of numbers has numbers with a decimal comma, and nothing else."""
    return _is_numeric(bad.type) and all(
        "," in value and _COMMA_NUMBER.fullmatch(value) for value in bad.values
    )


def _with_commas(
    connection: duckdb.DuckDBPyConnection, rows: str, names: Sequence[str], learnt: InferredTypes
) -> Iterator[AlmostTyped]:
    """Yield the text columns whose values in the first rows all are numbers with a comma."""
    numbers = _COMMA_NUMBER.pattern
    texts = [position for position, kind in enumerate(learnt.types, 1) if kind == "VARCHAR"]
    for start in range(0, len(texts), COLUMNS_PER_PASS):
        some = texts[start : start + COLUMNS_PER_PASS]
        facts = ", ".join(
            f"[count(c{at}), {_matching(at, numbers)}, {_matching(at, _PROVEN_COMMA)}]"
            for at in some
        )
        row = connection.execute(f"SELECT {facts} FROM (FROM {rows} LIMIT {_COMMA_ROWS_MAX})")
        for at, (values, fitting, proven) in zip(some, row.fetchone() or (), strict=True):
            if proven and fitting == values:
                yield AlmostTyped(names[at - 1], "DOUBLE", 0, values, comma=True)


def _matching(position: int, pattern: str) -> str:
    return f"count(*) FILTER (regexp_full_match(c{position}, {literal(pattern)}))"


def _with_point(column: str, proven: str) -> str:
    """Convert `1.234,50` to `1234.50` if the comma is proven; another point makes it invalid."""
    return (
        f"CASE WHEN {proven} AND regexp_full_match({column}, {literal(_COMMA_NUMBER.pattern)})"
        f" THEN replace(replace({column}, '.', ''), ',', '.')"
        f" WHEN regexp_full_match({column}, '[-+ 0-9_]*[.][-+ 0-9_eE]*') THEN {column} || ' (a"
        f" point)' ELSE {column} END"
    )


def _with_learnt(form: Format, learnt: InferredTypes) -> Format:
    return msgspec.structs.replace(
        form,
        null=tuple(dict.fromkeys((*form.null, *learnt.null))),
        date_format=learnt.date_format,
        timestamp_format=learnt.timestamp_format,
    )


def _lines(
    opened: Opened, form: Format, header: FileHeader
) -> Iterator[tuple[int, Sequence[str | None]]]:
    """Yield each row's cells with the line on which it ends.

    Stops at the first row that Python's reader can't read.
    """
    doubled = form.escape == form.quote
    with Path(opened.path).open(encoding="utf-8-sig", newline="") as file:
        for _ in range(header.skip):
            file.readline()
        rows = csv.reader(
            file,
            delimiter=form.delimiter,
            quotechar=form.quote,
            doublequote=doubled,
            escapechar=None if doubled else form.escape,
        )
        try:
            if _has_header(opened) and not form.header:
                next(rows, None)
            for row in rows:
                yield header.skip + rows.line_num, row
        except csv.Error:
            return


def _broken(  # complexipy: ignore (a case per message of DuckDB)
    error: Exception, opened: Opened
) -> UnreadableFile | None:
    """Explain DuckDB's error about a row that can't be split; None for other errors."""
    message = str(error)
    if "Invalid Input Error" not in message:
        return None
    match = re.search(r"CSV Error on Line: (\d+)", message)
    line = int(match[1]) if match else None
    at = f"line {line}: " if line else ""
    if widths := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message):
        text = f"{_count(widths[2], 'value')} where the header has {_count(widths[1], 'column')}"
        if not _is_located(opened) and (
            above := above_header(beginning(Path(opened.path)), besides=int(widths[1]))
        ):
            text += f"; line {above[1]} looks like the header: declare {declaration(above[0])}"
        elif line and int(widths[2]) < int(widths[1]) and is_cut_in_line(Path(opened.path), line):
            return _cut_off(line, text)
        return UnreadableFile(f"{at}{text}", line)
    if "unterminated quote" in message:
        if line and is_cut_in_line(Path(opened.path), line):
            return _cut_off(line, "a quote that isn't closed")
        return UnreadableFile(
            f"{at}a quote that is never closed, or text after a closing quote", line
        )
    if "Maximum line size" in message:
        return UnreadableFile(
            f"{at}a row of more than {LINE_BYTES_MAX:,} bytes; a quote that is never closed, or not"
            " a CSV file",
            line,
        )
    if "invalid state" in message:
        mixed = _mixed_line(Path(opened.path))
        return UnreadableFile(
            (
                f"line {mixed}: line ends are mixed (LF, CRLF or CR)"
                if mixed
                else "not a CSV file by RFC 4180 (quotes or line ends)"
            ),
            mixed,
        )
    return (
        UnreadableFile(f"{at}can't be read as CSV: {error_text(error, opened.path)}", line)
        if match
        else None
    )


def _cut_in_value(
    drift: TypeDrift, opened: Opened, form: Format, header: FileHeader
) -> UnreadableFile | None:
    """Return an error if the only bad value is cut off at the very end of the file.

    An example is `2026-03` for a date, in a last line without a line end.
    """
    bad, *others = drift.columns
    if others or bad.rows != 1 or bad.line is None or bad.column != header.names[-1]:
        return None
    if not is_cut_in_line(Path(opened.path), bad.line):
        return None
    last = deque((row[-1] or "" for _, row in _lines(opened, form, header) if row), maxlen=2)
    if (
        len(last) < 2
        or not _shape(last[0]).startswith(_shape(last[1]))
        or len(last[1]) >= len(last[0])
    ):
        return None
    return _cut_off(bad.line, f"a part of a value where {printable(bad.column)} has {bad.type}")


def _shape(value: str) -> str:
    """Return the shape of a value: each digit as 9, each letter as a."""
    return "".join("9" if item.isdigit() else "a" if item.isalpha() else item for item in value)


def _cut_off(line: int, detail: str) -> UnreadableFile:
    """Return the error for an incomplete last line."""
    reason = f"the file is cut off: line {line}, its last one, has no line end and {detail}"
    return UnreadableFile(reason, line, code="delivery_truncated")


def _count(number: str, noun: str) -> str:
    return f"{number} {noun}" if number == "1" else f"{number} {noun}s"


def _mixed_line(path: Path) -> int | None:
    """Return the first line whose end differs from the previous line's."""
    first = None
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            alone = b"\r" in line.removesuffix(b"\n").removesuffix(b"\r")
            ending = "\r" if alone else "\r\n" if line.endswith(b"\r\n") else "\n"
            if first is not None and ending != first:
                return number
            first = first or ending
    return None
