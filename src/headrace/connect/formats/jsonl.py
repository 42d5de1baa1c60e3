"""JSON lines: one object a line. Values are read as text and cast strictly; objects and arrays in
them stay JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headrace.connect.deliveries import (
    EMPTY,
    BadColumn,
    CannotRead,
    Format,
    Inside,
    SourceSchema,
    TypeDrift,
    UnreadableFile,
    error_text,
    printable,
)
from headrace.connect.formats.headers import column_names
from headrace.connect.formats.json_records import as_text, broken_array, unique
from headrace.connect.formats.json_shapes import Shapes, flat_shapes, object_bytes_max
from headrace.connect.formats.json_text import loaded, problem_of, require_characters
from headrace.connect.formats.registry import FileHeader, FormatKind
from headrace.connect.formats.structures import learnt, missing_keys_clause, otherwise, structures
from headrace.connect.formats.text_values import (
    bad_columns,
    column_types,
    drift_of,
    located,
    selected,
)
from headrace.connect.raw_files import Opened, UnpackLimits, written
from headrace.connect.text_files import require_text
from headrace.lake import LakeColumn
from headrace.lake.exact_json import OBJECT_BYTES_MAX, exact_lines, file_has_inexact
from headrace.lake.sqltext import literal
from headrace.lake.strict_casts import bad_value_condition
from headrace.lake.type_inference import INSTANT, infer_types

if TYPE_CHECKING:
    import duckdb

NESTED = frozenset(("OBJECT", "ARRAY"))
SOME_VALUES = frozenset(("VALUE",))
"""The kinds of a key with plain values, if they weren't asked for."""
WHOLE_NUMBERS = frozenset(("BIGINT", "UBIGINT"))
_PLACE = re.compile(r',? (in|at|near) (file "the file"|byte \d+|line \d+|record/value \d+)')
_IN_A_PATH = frozenset('"*')
"""Characters with a special meaning in a quoted key of a JSON path."""
KEYS_SQL = """
    SELECT e.key, list(DISTINCT e.type), count(*), min(l.n * 100000 + e.id)
    FROM (SELECT j, row_number() OVER () AS n FROM {objects} WHERE json_type(j) = 'OBJECT') AS l,
        json_each(l.j) AS e
    GROUP BY ALL ORDER BY 4
"""

SHAPES_SQL = """
    SELECT json_type(j) = 'OBJECT', json_keys(j),
        CASE WHEN contains(t, '[') OR contains(substr(t, 2), '{{')
            THEN regexp_matches(t, '[:,\\[]\\s*[\\[{{]') ELSE false END, count(*)
    FROM (SELECT j, CAST(j AS VARCHAR) AS t FROM {objects})
    GROUP BY ALL ORDER BY 4 DESC LIMIT {most}
"""
"""Query for the objects' keys, and whether any value may be nested.

One pass, at a twentieth of the cost of `KEYS_SQL`.
"""
SHAPES_MAX = 1_000


class JsonKey(msgspec.Struct, frozen=True):
    """A key of the file's objects: its text, its values' JSON types, and its number of objects."""

    raw: str
    kinds: frozenset[str]
    rows: int


class JsonLines(FormatKind):
    """Text with one JSON object per line.

    Keys may come in any order; keys that some objects lacked when the schema was learnt may be
    missing.
    """

    name = "jsonl"
    endings: tuple[str, ...] = (".jsonl", ".ndjson", ".json")
    of_lines = of_records = True

    def unfold(
        self,
        opened: Opened,
        temporary: Path,
        bounds: UnpackLimits,
        pinned: SourceSchema | None,  # noqa: ARG002
    ) -> Opened:
        """Return the file, or a copy that quotes the numbers that a double doesn't hold."""
        path = Path(opened.path)
        if not file_has_inexact(path):
            return opened
        copy = written(opened, temporary, bounds, exact_lines(path))
        return msgspec.structs.replace(copy, document=opened)

    def inspect(self, opened: Opened, *, known: bool) -> int | None:
        """Refuse anything but UTF-8 text.

        A file without objects is allowed if the schema is known.
        """
        require_text(Path(opened.path), line_bytes_max=OBJECT_BYTES_MAX, blank=known)
        return None

    def header(
        self,
        connection: duckdb.DuckDBPyConnection,
        opened: Opened,
        form: Format,  # noqa: ARG002
    ) -> FileHeader:
        """Return all keys of all objects: a reader with fixed names would silently ignore new ones.

        One pass over the file; a second one if values are nested.
        """
        return _with_structures(
            connection, opened, *(plain_keys_of(connection, opened) or keys_of(connection, opened))
        )

    def learn(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened
    ) -> tuple[SourceSchema, FileHeader]:
        """Use JSON's types; text that always is a date becomes a date.

        Keys that some objects lack are optional.
        """
        rows, keys = told_keys_of(connection, opened)
        header = _with_structures(connection, opened, rows, keys)
        if not keys:
            raise CannotRead("there is no object to learn the columns from", code=EMPTY)
        columns = tuple(
            LakeColumn(name, kind, 0)
            for name, kind in zip(
                header.names, _types(connection, opened, header, keys), strict=True
            )
        )
        form = Format(kind=self.name, encoding=opened.encoding)
        return (
            SourceSchema(
                columns,
                form,
                optional=header.optional,
                inside=inside_of(connection, opened, header),
            ),
            header,
        )

    def select_sql(
        self, opened: Opened, form: Format, header: FileHeader, columns: Sequence[LakeColumn]
    ) -> str:
        """Select `columns` by key; NULL for objects without it."""
        return selected(rows_sql(opened, header, columns), form, header, columns)

    def mismatch(self, header: FileHeader, pinned: SourceSchema) -> TypeDrift | None:
        """Return a TypeDrift for nested values that don't fit the pinned schema.

        These are objects or arrays where plain values are pinned and, in columns that stay JSON,
        missing keys and values of another kind.
        """
        nested = dict(zip(header.names, header.types, strict=True))
        results = [
            (column, "an object or an array")
            for column in pinned.columns
            if column.type != "JSON" and nested.get(column.name)
        ]
        if results:
            names = ", ".join(printable(column.name) for column, _ in results)
            return TypeDrift(
                _bad(results), f"objects or arrays where plain values are pinned: {names}"
            )
        changed = list(_changed_inside(header, pinned))
        if not changed:
            return None
        return TypeDrift(_bad(changed), "; ".join(printable(text, 200) for _, text in changed[:3]))

    def explain(
        self,
        error: Exception,
        connection: duckdb.DuckDBPyConnection,
        opened: Opened,
        schema: SourceSchema,
        header: FileHeader,
    ) -> TypeDrift | UnreadableFile:
        """Explain lines that aren't objects first, then values."""
        if file := broken(opened):
            return file
        bad = bad_columns(connection, rows_sql(opened, header, schema.columns), header, schema)
        if bad:
            return drift_of(located(bad, _rows(Path(opened.path), header)))
        return UnreadableFile(f"can't be read as JSON lines: {reason_of(error, opened)}")


def _bad(columns: Sequence[tuple[LakeColumn, str]]) -> tuple[BadColumn, ...]:
    return tuple(
        BadColumn(column.name, column.type, 1, printable(text)) for column, text in columns
    )


def _with_structures(
    connection: duckdb.DuckDBPyConnection, opened: Opened, rows: int, keys: Sequence[JsonKey]
) -> FileHeader:
    nested = [key.raw for key in keys if key.kinds & NESTED]
    results = dict(zip(nested, structures(connection, objects_sql(opened), nested), strict=True))
    return msgspec.structs.replace(
        header_of(rows, keys), inside=tuple(results.get(key.raw, "") for key in keys)
    )


def inside_of(
    connection: duckdb.DuckDBPyConnection, opened: Opened, header: FileHeader
) -> tuple[Inside, ...]:
    """Return the structure of the objects and arrays in a first file."""
    columns = zip(header.names, header.raw, header.inside, strict=bool(header.inside))
    return learnt(
        connection,
        objects_sql(opened),
        [(name, key, structure) for name, key, structure in columns if structure],
    )


def objects_sql(opened: Opened) -> str:
    """Return SQL for the file's objects as they are, in the column `j`."""
    return f"read_json_objects({literal(opened.path)}, {_options(opened)}) AS objects(j)"


def keys_of(connection: duckdb.DuckDBPyConnection, opened: Opened) -> tuple[int, list[JsonKey]]:
    """Return the number of objects, and their keys in order of appearance.

    Raises CannotRead for lines that aren't objects.
    """
    import duckdb

    objects = objects_sql(opened)
    try:
        counted = connection.execute(
            f"SELECT count(*), count(*) FILTER (json_type(j) <> 'OBJECT') FROM {objects}"
        ).fetchone()
        assert counted is not None
        results = (
            connection.execute(KEYS_SQL.format(objects=objects)).fetchall()
            if counted[0] and not counted[1]
            else []
        )
    except duckdb.InvalidInputException as error:
        file = broken(opened) or UnreadableFile(
            f"can't be read as JSON: {reason_of(error, opened)}"
        )
        raise CannotRead(file.reason, line=file.line, code=file.code) from error
    if counted[1]:
        file = broken(opened) or UnreadableFile(f"{counted[1]} values aren't objects")
        raise CannotRead(file.reason, line=file.line, code=file.code)
    return counted[0], [
        JsonKey(key, frozenset(kinds) - {"NULL"}, rows) for key, kinds, rows, _ in results
    ]


def told_keys_of(
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    filled: frozenset[str] = frozenset(),
) -> tuple[int, list[JsonKey]]:
    """Like `keys_of`, but query each object for known keys if no values are nested.

    That takes a tenth of the time, in memory that doesn't grow with the number of objects. If all
    keys are `filled`, which are known to have values, the kinds of plain values aren't queried:
    they are `SOME_VALUES`.
    """
    plain = plain_keys_of(connection, opened)
    if plain is not None and filled.issuperset(key.raw for key in plain[1]):
        return plain[0], [msgspec.structs.replace(key, kinds=SOME_VALUES) for key in plain[1]]
    if plain is None or any(not key.raw or not _IN_A_PATH.isdisjoint(key.raw) for key in plain[1]):
        return keys_of(connection, opened)
    rows, keys = plain
    paths = ", ".join(literal(f'$."{key.raw}"') for key in keys)
    kinds = ", ".join(f"list(DISTINCT t[{position}])" for position in range(1, len(keys) + 1))
    results = connection.execute(
        f"SELECT {kinds} FROM (SELECT json_type(j, [{paths}]) AS t FROM {objects_sql(opened)})"
    ).fetchone()
    assert results is not None
    return rows, [
        msgspec.structs.replace(key, kinds=frozenset(item or ()) - {"NULL", None})
        for key, item in zip(keys, results, strict=True)
    ]


def plain_keys_of(
    connection: duckdb.DuckDBPyConnection, opened: Opened
) -> tuple[int, list[JsonKey]] | None:
    """Like `keys_of`, without the kinds of values, for files without nested values.

    Most files are such; None for all others.
    """
    shapes = _shapes(connection, opened)
    if shapes is None:
        return None
    rows: dict[str, int] = {}
    for keys, count in shapes:
        for key in keys:
            rows[key] = rows.get(key, 0) + count
    return sum(count for _, count in shapes), [
        JsonKey(key, frozenset(), count) for key, count in rows.items()
    ]


def _shapes(connection: duckdb.DuckDBPyConnection, opened: Opened) -> Shapes | None:
    """Return the lists of keys of all objects; None for nested values and unusual keys."""
    import duckdb

    objects = objects_sql(opened)
    try:
        shapes = flat_shapes(connection, objects, Path(opened.path), array=opened.array)
        if shapes is not None:
            return shapes
        results = connection.execute(SHAPES_SQL.format(objects=objects, most=SHAPES_MAX)).fetchall()
    except duckdb.InvalidInputException:
        return None
    key_lists = [keys for _, keys, _, _ in results]
    unsupported = any(not is_object or nested for is_object, _, nested, _ in results)
    if (
        unsupported
        or not results
        or len(results) == SHAPES_MAX
        or any(len(set(keys)) < len(keys) or "\\" in "".join(keys) for keys in key_lists)
    ):
        return None
    return [(keys, count) for _, keys, _, count in results]


def require_no_nul(keys: Iterable[str]) -> None:
    """Raise CannotRead for a key that no statement can name."""
    for key in keys:
        if "\0" in key:
            reason = f"the key `{printable(key)}` holds a NUL character"
            raise CannotRead(reason, code="delivery_header")


def header_of(rows: int, keys: Sequence[JsonKey]) -> FileHeader:
    """Return keys as columns. Raises CannotRead for keys that can't be columns."""
    raw = tuple(key.raw for key in keys)
    if "" in raw:
        raise CannotRead("a key is empty", code="delivery_header")
    require_no_nul(raw)
    alike: dict[str, str] = {}
    for key in raw:
        other = alike.setdefault(" ".join(key.split()).lower(), key)
        if other != key:
            raise CannotRead(
                f"the keys `{printable(other)}` and `{printable(key)}` differ in case or blanks"
                " only",
                code="delivery_header",
            )
    names = column_names(raw)
    types = tuple("JSON" if key.kinds & NESTED else "" for key in keys)
    return FileHeader(
        names,
        raw,
        types,
        rows=rows,
        optional=tuple(name for name, key in zip(names, keys, strict=True) if key.rows < rows),
    )


def _types(
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    header: FileHeader,
    keys: Sequence[JsonKey],
) -> list[str]:
    """Return a type for each key.

    The values of text and whole numbers decide: text may be dates, a number too large for BIGINT.
    """
    rows = rows_sql(opened, header, [])
    shown_as = infer_types(
        connection,
        rows,
        len(keys),
        among=("BIGINT", "DATE", "TIMESTAMP", INSTANT),
        words=False,
        formats=False,
        sampled=opened.large,
    ).types
    rounded = rounded_columns(connection, rows, [key.kinds for key in keys])
    return [
        "VARCHAR" if number in rounded else type_of(key.kinds, inferred)
        for number, (key, inferred) in enumerate(zip(keys, shown_as, strict=True), 1)
    ]


def rounded_columns(
    connection: duckdb.DuckDBPyConnection, rows: str, kinds: Sequence[frozenset[str]]
) -> list[int]:
    """Return the positions (from 1) of fractions beside whole numbers that no double holds."""
    mixed = [number for number, of in enumerate(kinds, 1) if "DOUBLE" in of and of & WHOLE_NUMBERS]
    if not mixed:
        return []
    form = Format(kind=JsonLines.name)
    flags = ", ".join(f"bool_or({bad_value_condition(f'c{n}', 'DOUBLE', form)})" for n in mixed)
    row = connection.execute(f"SELECT {flags} FROM {rows}").fetchone()
    assert row is not None
    return [number for number, bad in zip(mixed, row, strict=True) if bad]


def type_of(kinds: frozenset[str], inferred: str) -> str:
    """Return the type for values of these JSON kinds, whose text was inferred as `inferred`."""
    if kinds & NESTED:
        return "JSON"
    if kinds == {"BOOLEAN"}:
        return "BOOLEAN"
    if kinds and kinds <= WHOLE_NUMBERS:
        return "BIGINT" if inferred == "BIGINT" else "VARCHAR"
    if kinds and kinds <= WHOLE_NUMBERS | {"DOUBLE"}:
        return "DOUBLE"
    return inferred if kinds == {"VARCHAR"} and inferred != "BIGINT" else "VARCHAR"


def rows_sql(opened: Opened, header: FileHeader, columns: Sequence[LakeColumn]) -> str:
    """Return SQL for the objects' values as `c1 … cn`: text, or JSON for columns of that type."""
    kinds = {column.name: "JSON" for column in columns if column.type == "JSON"}
    raw = header.raw or ("no key",)
    types = [kinds.get(name, "VARCHAR") for name in header.names] or ["VARCHAR"]
    options = (
        f"{_options(opened)}, auto_detect=false, records=true, columns={column_types(raw, types)}"
    )
    aliases = ", ".join(f"c{position}" for position in range(1, len(raw) + 1))
    return f"read_json({literal(opened.path)}, {options}) AS rows({aliases})"


def _options(opened: Opened) -> str:
    layout = "array" if opened.array else "newline_delimited"
    bytes_max = OBJECT_BYTES_MAX if opened.array else object_bytes_max(Path(opened.path))
    return (
        f"format='{layout}', compression='uncompressed', hive_partitioning=false,"
        f" maximum_object_size={bytes_max}"
    )


def _objects(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that aren't blank with their numbers; a line that is too long is cut."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(OBJECT_BYTES_MAX + 2):
            number += 1
            if line.strip():
                yield number, line
            if len(line) > OBJECT_BYTES_MAX:
                return


def reason_of(error: Exception, opened: Opened) -> str:
    """Return DuckDB's reason without its place, which isn't the delivery's.

    It reads a temporary copy by several threads, and counts lines as each of them sees them.
    """
    return _PLACE.sub("", error_text(error, opened.path))


def broken(opened: Opened) -> UnreadableFile | None:
    """Return the first error about invalid JSON objects, with its line; None if all are valid."""
    document = opened.document or opened
    path = Path(document.path)
    return broken_array(path) if document.array else _broken_line(path)


def _broken_line(path: Path) -> UnreadableFile | None:
    """Return the first line that isn't one JSON object with unique keys, by Python's reader."""
    problems = (_line_problem(number, line) for number, line in _objects(path))
    return next(filter(None, problems), None)


def _line_problem(number: int, line: bytes) -> UnreadableFile | None:
    if len(line) > OBJECT_BYTES_MAX:
        return UnreadableFile(f"line {number}: longer than {OBJECT_BYTES_MAX:,} bytes", number)
    try:
        text = line.rstrip(b"\r\n").decode("utf-8-sig")
        value = loaded(text, unique)
        require_characters(text, value)
    except json.JSONDecodeError as error:
        if not line.endswith((b"\n", b"}")):
            reason = f"the file is cut off: line {number}, its last one, ends within its object"
            return UnreadableFile(reason, number, code="delivery_truncated")
        whole = (
            "; a JSON document over several lines isn't JSON lines"
            if number == 1 and line.strip() in (b"{", b"[")
            else ""
        )
        at = f"line {number}, column {error.colno}"
        return UnreadableFile(f"{at}: {problem_of(error)}{whole}", number)
    except RecursionError:
        return UnreadableFile(f"line {number}: nested too deeply", number)
    except ValueError as error:
        return UnreadableFile(f"line {number}: {printable(error, 120)}", number)
    if not isinstance(value, dict):
        kind = "an array" if isinstance(value, list) else "a plain value"
        return UnreadableFile(f"line {number}: {kind}; each line must be one object", number)
    return None


def _rows(path: Path, header: FileHeader) -> Iterator[tuple[int, Sequence[str | None]]]:
    """Yield each object's values as text, in the header's order, with its line.

    Stops at a line that Python can't read.
    """
    for number, line in _objects(path):
        try:
            value = loaded(line.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return
        yield number, [as_text(value.get(key)) for key in header.raw]


def _changed_inside(header: FileHeader, pinned: SourceSchema) -> Iterator[tuple[LakeColumn, str]]:
    """Yield the columns of JSON that lack keys or have values of another kind, with a clause."""
    now = dict(zip(header.names, header.inside, strict=False))
    known = {item.column: item for item in pinned.inside}
    for column in pinned.columns:
        if (
            column.type != "JSON"
            or column.name not in known
            or column.name in pinned.format.lenient
            or not now.get(column.name)
        ):
            continue
        was, inside = known[column.name], now[column.name]
        if problem := missing_keys_clause(was, inside) or otherwise(was, inside):
            yield column, problem
