"""Deliveries that can be staged: the format of a file, its columns, and the SELECT of its rows."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path, PurePosixPath

import msgspec

from headrace.connect import parser_process
from headrace.connect.deliveries import (
    Drift,
    SourceSchema,
    TypeDrift,
    UnreadableFile,
    printable,
)
from headrace.connect.formats.headers import header_drift
from headrace.connect.formats.registry import FileHeader, FormatKind, own_readers, reader
from headrace.connect.raw_files import OLE, ZIP, Opened, UnpackLimits, is_workbook
from headrace.connect.schemas import (
    Adapt,
    Adapted,
    computed,
)
from headrace.model.connectors import FORMAT_FIELDS, READERS
from headrace.model.plugin_fields import format_by_ending
from headrace.model.plugins import FORMATS, plugin_names


class PreparedDelivery(msgspec.Struct, frozen=True):
    """A delivery that can be staged.

    `schema` is the pinned schema or, if `learnt`, the schema to pin if the delivery is published.
    """

    schema: SourceSchema
    learnt: bool
    select_sql: str
    """Selects `schema.columns` in their order, and reads only `opened`.

    Values that don't parse raise an error when it is executed.
    """
    opened: Opened
    header: FileHeader
    parts: tuple[PreparedDelivery, ...] = ()
    """All files of a delivery that has several; `opened` is then the first file's."""
    name: str = ""
    """The path under which one of several files was delivered."""
    header_names: tuple[str, ...] = ()
    """The column names as the file has them."""

    def discard(self) -> None:
        """Delete unpacked files; call it after the SELECT was executed and its error explained."""
        self.opened.discard()
        for part in self.parts:
            part.discard()


def parquet_as_delivered(prepared: PreparedDelivery) -> Path | None:
    """Return the Parquet file whose columns are those of the schema, in order, with their types.

    None if the delivery has another format or several files, or if a value, a name or a column has
    to change.
    """
    if prepared.schema.format.kind != "parquet" or prepared.parts:
        return None
    header, columns = prepared.header, prepared.schema.columns
    if prepared.header_names != header.names or header.types != tuple(c.type for c in columns):
        return None
    plain = prepared_delivery(
        reader("parquet"), prepared.opened, prepared.schema, header, learnt=prepared.learnt
    )
    if header.names != prepared.schema.names or prepared.select_sql != plain.select_sql:
        return None
    return Path(prepared.opened.path)


Result = PreparedDelivery | Drift | TypeDrift | UnreadableFile


def miscounted(prepared: PreparedDelivery, rows: int) -> UnreadableFile | None:
    """Return an error if the number of staged rows isn't the number in the file's lines or footer.

    None if they agree or the file doesn't give a number. A reader that stopped early without an
    error has been seen (`text_files.require_text`); such a delivery isn't published.
    """
    expected = prepared.header.rows
    if expected is None or expected == rows:
        return None
    return UnreadableFile(
        f"{rows:,} rows were read where the file has {expected:,}", code="delivery_miscounted"
    )


def fingerprint(schema: SourceSchema, sha256: str) -> str:
    """Return the hash of a delivery's content, column types and format.

    The same content under another schema is another delivery.
    """
    form = msgspec.to_builtins(schema.format)
    del form["stated"]  # the types say it
    if not schema.format.empty_text:  # hashes of older versions lack it
        del form["empty_text"]
    encoded = msgspec.json.encode(
        [[(column.name, column.type) for column in schema.columns], form, sha256]
    )
    return hashlib.sha256(encoded).hexdigest()


def kind_of(opened: Opened) -> str:
    """Return the declared format, else detect it from magic bytes, ending or first character."""
    return _declared_kind(opened) or _detected_kind(opened)


def _declared_kind(opened: Opened) -> str | None:
    known = [name for name in sorted(FORMAT_FIELDS) if name in opened.options]
    others = [name for name in opened.options if name not in READERS and name not in known]
    added = [name for name in others if name in plugin_names(FORMATS)]
    return next(iter([*known, *added]), None)


def _detected_kind(opened: Opened) -> str:
    with Path(opened.path).open("rb") as file:
        start = file.read(256)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(OLE) or (start.startswith(ZIP) and is_workbook(Path(opened.path))):
        return "excel"
    ending = PurePosixPath(opened.name).suffix.lower()
    if ending == ".json" and start.lstrip().startswith(b"["):
        return "json"
    endings = {ending: kind.name for kind in own_readers() for ending in kind.endings}
    if ending in endings:
        return endings[ending]
    if ending and (added := format_by_ending(ending)) is not None:
        return added.name
    return "jsonl" if start.lstrip().startswith(b"{") else "csv"


def other_kind(result: str, pinned: str, name: str) -> UnreadableFile | None:
    """Return an error if the file isn't in the pinned format and one of both is unmistakable."""
    if result == pinned or not any(reader(kind).unmistakable for kind in (result, pinned)):
        return None
    return UnreadableFile(f"the format is {result}, {pinned} is pinned ({printable(name)})")


def unfolded(
    kind: FormatKind,
    opened: Opened,
    temporary: Path,
    bounds: UnpackLimits,
    pinned: SourceSchema | None,
) -> Opened:
    """Convert `opened` to the form that the reader reads, then discard the original."""
    unfold = partial(parser_process.PARSER.unfold, kind.name) if kind.libraries else kind.unfold
    converted = unfold(opened, temporary, bounds, pinned)
    if converted.path != opened.path and converted.document is None:
        opened.discard()
    return converted


def with_file_names(
    delivery: PreparedDelivery, results: tuple[str, ...], meant: Adapted
) -> PreparedDelivery:
    """Add the file's own column names, and replace columns that are computed from others."""
    select = delivery.select_sql
    if meant.computed:
        select = computed(select, delivery.schema, meant.computed)
    return msgspec.structs.replace(delivery, header_names=results, select_sql=select)


def map_columns(header: FileHeader, pinned: SourceSchema, adapt: Adapt | None) -> Adapted | Drift:
    """Map the file's column names to columns. A file of records without any record has no names."""
    if header.rows == 0 and not header.names:
        return Adapted({})
    if adapt is not None:
        return adapt(header)
    return header_drift(header, pinned) or Adapted({name: name for name in header.names})


def with_row_count(header: FileHeader, rows: int | None) -> FileHeader:
    """Return the header with the file's number of rows, if that is known."""
    return header if rows is None else msgspec.structs.replace(header, rows=rows)


def prepared_delivery(
    kind: FormatKind, opened: Opened, schema: SourceSchema, header: FileHeader, *, learnt: bool
) -> PreparedDelivery:
    """Return the delivery with the SELECT that reads the columns of `schema`."""
    return PreparedDelivery(
        schema,
        learnt,
        kind.select_sql(opened, schema.format, header, schema.columns),
        opened,
        header,
    )
