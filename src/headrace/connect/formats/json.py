"""JSON documents: an array of objects, or records anywhere inside an object (`json: {records:
"$.data.items"}`).
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.connect.deliveries import (
    BadColumn,
    CannotRead,
    Format,
    Inside,
    SourceSchema,
    TypeDrift,
    UnreadableFile,
    printable,
)
from headrace.connect.formats.headers import column_names
from headrace.connect.formats.json_arrays import NotLines, lines_of_array
from headrace.connect.formats.json_records import as_text, records
from headrace.connect.formats.json_shapes import keys_with_values
from headrace.connect.formats.json_text import loaded
from headrace.connect.formats.jsonl import (
    NESTED,
    broken,
    header_of,
    inside_of,
    keys_of,
    objects_sql,
    reason_of,
    require_no_nul,
    rounded_columns,
    rows_sql,
    told_keys_of,
    type_of,
)
from headrace.connect.formats.registry import FileHeader, FormatKind
from headrace.connect.formats.structures import (
    extracted,
    leaves,
    misfit,
    missing_keys_clause,
    pointers,
    require_shallow,
    structures,
    target_structure,
)
from headrace.connect.formats.structures import type_of as nested_type
from headrace.connect.formats.text_values import bad_columns, drift_of, located, value_sql
from headrace.connect.raw_files import Opened, UnpackLimits, written
from headrace.connect.text_files import require_text
from headrace.lake import LakeColumn
from headrace.lake.exact_json import file_has_inexact
from headrace.lake.sqltext import literal, quote
from headrace.lake.type_inference import INSTANT, infer_types
from headrace.lake.types import parse
from headrace.model.connectors import json_path

if TYPE_CHECKING:
    import duckdb


# Shared by JSON documents and XML, once both are records: nested values of objects become STRUCT
# and LIST columns or, flattened, columns of their own.

ONE_LINE = 1 << 62
"""Line limit for documents, which may be one line."""
VALUE = "value"
"""The header's type for a column of plain values.

Nested columns have their structure there, columns of nulls an empty text.
"""


class JsonRecordReader(FormatKind):
    """Base of readers for files of JSON objects, which `unfold` may write.

    Subclasses define `unfold`, and the types that text may be inferred as.
    """

    endings: tuple[str, ...] = ()
    of_records = True
    among: tuple[str, ...] = ("BIGINT", "DATE", "TIMESTAMP", INSTANT)
    textual = False
    """Whether all values are text, so that numbers are inferred from text too."""

    def inspect(self, opened: Opened, *, known: bool) -> int | None:  # noqa: ARG002
        """Refuse anything but UTF-8 text."""
        require_text(Path(opened.path), line_bytes_max=ONE_LINE, blank=True)
        return None

    def header(
        self,
        connection: duckdb.DuckDBPyConnection,
        opened: Opened,
        form: Format,  # noqa: ARG002
    ) -> FileHeader:
        """Return all keys of all records, with the structure of nested values.

        One pass over the file; a second one if values are nested.
        """
        filled = frozenset[str]() if opened.array else keys_with_values(Path(opened.path))
        return self._header(connection, opened, filled)

    def _header(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened, filled: frozenset[str]
    ) -> FileHeader:
        return (
            self._flat(connection, opened)
            if self._flattened(opened)
            else self._top(connection, opened, filled)
        )

    def learn(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened
    ) -> tuple[SourceSchema, FileHeader]:
        """Use the types of the records' values; keys that some records lack are optional."""
        header = self._header(connection, opened, frozenset())
        if not header.names:
            raise CannotRead("there is no record to learn the columns from", code="delivery_empty")
        rows = self._rows_sql(opened, header, texts=True)
        inferred = infer_types(
            connection,
            rows,
            len(header.names),
            among=self.among,
            words=False,
            formats=False,
            sampled=opened.large,
        ).types
        rounded = rounded_columns(connection, rows, [frozenset(kinds) for kinds in header.kinds])
        types = [
            "VARCHAR"
            if position + 1 in rounded
            else self._type(header, position, inferred[position])
            for position in range(len(header.names))
        ]
        columns = tuple(
            LakeColumn(name, kind, 0) for name, kind in zip(header.names, types, strict=True)
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
        """Select `columns` by key; NULL for records without it."""
        at = {name: position for position, name in enumerate(header.names, 1)}
        values = [
            f"{_value(at.get(column.name), column, form)} AS {quote(column.name)}"
            for column in columns
        ]
        return f"SELECT {', '.join(values)} FROM {self._rows_sql(opened, header)}"

    def mismatch(self, header: FileHeader, pinned: SourceSchema) -> TypeDrift | None:
        """Return a TypeDrift for values whose structure doesn't fit the pinned type.

        These are nested values that the type can't hold, plain values where it is nested, and
        missing keys inside objects.
        """
        stated = dict(zip(header.names, header.types, strict=True))
        known = {item.column: item for item in pinned.inside}
        held = [column for column in pinned.columns if column.name not in pinned.format.lenient]
        bad = [
            (column, result)
            for column in held
            if (result := _misfit(stated.get(column.name, ""), column, known.get(column.name)))
        ]
        if not bad:
            return None
        columns = tuple(
            BadColumn(column.name, column.type, 1, printable(result)) for column, result in bad
        )
        return TypeDrift(columns, "; ".join(printable(result, 200) for _, result in bad[:3]))

    def explain(
        self,
        error: Exception,
        connection: duckdb.DuckDBPyConnection,
        opened: Opened,
        schema: SourceSchema,
        header: FileHeader,
    ) -> TypeDrift | UnreadableFile:
        """Explain what isn't an object first, then values."""
        if file := broken(opened):
            return file
        plain = msgspec.structs.replace(
            schema,
            columns=tuple(column for column in schema.columns if not _is_nested(column.type)),
        )
        if bad := bad_columns(connection, self._rows_sql(opened, header), header, plain):
            return drift_of(located(bad, _numbered(opened, header)), unit="record")
        return UnreadableFile(f"can't be read as {self.name}: {reason_of(error, opened)}")

    def _flattened(self, opened: Opened) -> bool:
        return bool((opened.options.get(self.name) or {}).get("flatten"))

    def _top(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened, filled: frozenset[str]
    ) -> FileHeader:
        rows, keys = told_keys_of(connection, opened, filled)
        header = header_of(rows, keys)
        nested = [key.raw for key in keys if key.kinds & NESTED]
        results = dict(
            zip(nested, structures(connection, objects_sql(opened), nested), strict=True)
        )
        types = tuple(results.get(key.raw) or (VALUE if key.kinds else "") for key in keys)
        inside = tuple(results.get(key.raw, "") for key in keys)
        kinds = tuple(tuple(sorted(key.kinds)) for key in keys)
        return msgspec.structs.replace(
            header, types=types, paths=tuple((key.raw,) for key in keys), kinds=kinds, inside=inside
        )

    def _flat(self, connection: duckdb.DuckDBPyConnection, opened: Opened) -> FileHeader:
        counted, _ = keys_of(connection, opened)  # also refuses records that aren't objects
        require_shallow(connection, objects_sql(opened))
        row = connection.execute(
            f"SELECT json_group_structure(j) FROM {objects_sql(opened)}"
        ).fetchone()
        structure = json.loads(row[0]) if row and row[0] and counted else {}
        results = list(leaves(structure)) if isinstance(structure, dict) else []
        paths = tuple(path for path, _ in results)
        raw = tuple("_".join(path) for path in paths)
        require_no_nul(raw)
        names = column_names(raw)
        _refuse_repeated(raw)
        present = _present(connection, opened, paths)
        types = tuple(_type_of_leaf(kind) for _, kind in results)
        kinds = tuple(_kinds_of_leaf(kind) for _, kind in results)
        optional = tuple(
            name for name, count in zip(names, present, strict=True) if count < counted
        )
        return FileHeader(
            names, raw, types, rows=counted, optional=optional, paths=paths, kinds=kinds
        )

    def _rows_sql(self, opened: Opened, header: FileHeader, *, texts: bool = False) -> str:
        """Return SQL for the records' values as text columns `c1 … cn`.

        Nested ones as JSON or as its text.
        """
        if not self._flattened(opened):
            if texts:
                return rows_sql(opened, header, [])
            nested = [
                LakeColumn(name, "JSON", 0)
                for name, kind in zip(header.names, header.types, strict=True)
                if kind not in ("", VALUE)
            ]
            return rows_sql(opened, header, nested)
        if not header.paths:
            return f"(SELECT CAST(NULL AS VARCHAR) AS c1 FROM {objects_sql(opened)})"
        values = ", ".join(
            f"v[{position}] AS c{position}" for position in range(1, len(header.paths) + 1)
        )
        return (
            f"(SELECT {values} FROM (SELECT json_extract_string(j, {pointers(header.paths)}) AS v"
            f" FROM {objects_sql(opened)}))"
        )

    def _type(self, header: FileHeader, position: int, inferred: str) -> str:
        stated = header.types[position]
        if stated not in ("", VALUE):
            result = nested_type(json.loads(stated))
            return result.text if result else "JSON"
        kinds = frozenset(header.kinds[position])
        if self.textual or not kinds:
            return inferred if self.textual else "VARCHAR"
        return type_of(kinds, inferred)


def _present(
    connection: duckdb.DuckDBPyConnection, opened: Opened, paths: Sequence[tuple[str, ...]]
) -> Sequence[int]:
    """Return the number of records that have each value."""
    if not paths:
        return ()
    facts = ", ".join(f"count(v[{position}])" for position in range(1, len(paths) + 1))
    row = connection.execute(
        f"SELECT {facts} FROM ({extracted(objects_sql(opened), paths)})"
    ).fetchone()
    assert row is not None
    return row


def _is_nested(type_name: str) -> bool:
    return type_name == "JSON" or type_name.endswith("]") or type_name.startswith("STRUCT(")


def _value(position: int | None, column: LakeColumn, form: Format) -> str:
    if position is None or not _is_nested(column.type) or column.type == "JSON":
        return value_sql(position, column, form)
    cast = "TRY_CAST" if column.name in form.lenient else "CAST"
    return (
        f"from_json({cast}(c{position} AS JSON),"
        f" {literal(json.dumps(target_structure(parse(column.type)), ensure_ascii=False))})"
    )


def _misfit(stated: str, pinned: LakeColumn, known: Inside | None) -> str | None:
    name = f"column {pinned.name}"
    if not stated or pinned.type == "JSON":
        return None
    if stated == VALUE:
        return (
            f"{name} is a plain value, {pinned.type} is pinned" if _is_nested(pinned.type) else None
        )
    return (missing_keys_clause(known, stated) if known else None) or misfit(
        json.loads(stated), parse(pinned.type), name
    )


def _numbered(opened: Opened, header: FileHeader) -> Iterator[tuple[int, Sequence[str | None]]]:
    """Yield each record's values as text, in the header's order, with the record's number."""
    for number, record in enumerate(_texts(opened), 1):
        value = loaded(record if isinstance(record, str) else record.decode("utf-8-sig"))
        yield number, [as_text(_inside(value, path)) for path in header.paths]


def _texts(opened: Opened) -> Iterator[str | bytes]:
    if opened.array:
        yield from (text for _, text in records(Path(opened.path), ()))
        return
    with Path(opened.path).open("rb") as file:  # text would end lines at a lone CR, too
        yield from (line for line in file if line.strip())


def _inside(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


BATCH = 1_000
CHUNK_BYTES = 1 << 20


class Json(JsonRecordReader):
    """One JSON document per delivery."""

    name = "json"

    def unfold(
        self,
        opened: Opened,
        temporary: Path,
        bounds: UnpackLimits,
        pinned: SourceSchema | None,  # noqa: ARG002
    ) -> Opened:
        """Write one record per line.

        An array that can't be cut into lines is read as it is, unless it has numbers that need to
        be quoted.
        """
        path = Path(opened.path)
        require_text(path, line_bytes_max=ONE_LINE)
        options = opened.options.get(self.name) or {}
        steps, key = json_path(options.get("records") or "$") or (), options.get("keys")
        if steps or key or not _is_array(path):
            return written(opened, temporary, bounds, _lines(path, steps, key))
        document = msgspec.structs.replace(opened, array=True)
        try:
            lines = written(opened, temporary, bounds, lines_of_array(path))
        except (NotLines, CannotRead, OSError) as error:
            if not _is_optional(error):
                raise
            if file_has_inexact(path):
                return written(opened, temporary, bounds, _lines(path, steps))
            return document
        return msgspec.structs.replace(lines, document=document)

    def inspect(self, opened: Opened, *, known: bool) -> int | None:
        """Like the base, for records that `unfold` wrote; it has checked a whole array itself."""
        if opened.array or opened.document is not None:
            return None
        return super().inspect(opened, known=known)


def _is_optional(error: Exception) -> bool:
    """Whether a document can still be read after this error: the lines only save time."""
    if isinstance(error, CannotRead):
        return error.value.code == "delivery_too_large"
    return isinstance(error, NotLines) or getattr(error, "errno", None) == errno.ENOSPC


def _lines(path: Path, steps: tuple[str, ...], key: str | None = None) -> Iterator[bytes]:
    batch: list[str] = []
    for _, text in records(path, steps, key):
        batch.append(text)
        if len(batch) == BATCH:
            yield ("\n".join(batch) + "\n").encode()
            batch.clear()
    if batch:
        yield ("\n".join(batch) + "\n").encode()


def _is_array(path: Path) -> bool:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES).lstrip():
            return chunk.startswith(b"[")
    return False


def _refuse_repeated(names: tuple[str, ...]) -> None:
    lowered = [name.lower() for name in names]
    for name in names:
        if lowered.count(name.lower()) > 1:
            raise CannotRead(
                f"flattened, two values are called `{printable(name)}`", code="delivery_header"
            )


def _kinds_of_leaf(kind: Any) -> tuple[str, ...]:
    """Return the kinds of a leaf's plain values; whole numbers may be among fractions."""
    if isinstance(kind, list) or kind == "NULL":
        return ()
    return ("DOUBLE", "BIGINT") if kind == "DOUBLE" else (kind,)


def _type_of_leaf(kind: Any) -> str:
    if isinstance(kind, list):
        return json.dumps(kind)
    return "" if kind == "NULL" else VALUE
