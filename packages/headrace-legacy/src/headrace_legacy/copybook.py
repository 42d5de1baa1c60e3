"""COBOL copybooks: records of mainframes, whose layout is the copybook of the program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.extension.formats import (
    RECORD_MAX,
    SINGLE_BYTE,
    CannotRead,
    Fields,
    Opened,
    Parquet,
    PartitionSpec,
    SourceSchema,
    UnpackLimits,
    place_for,
    plain,
    shown,
)
from headrace_legacy.code_pages import EBCDIC
from headrace_legacy.copybooks import BAD_RECORDS, MACHINES, OCCURS, RECORDS, CopybookError

if TYPE_CHECKING:
    from headrace_legacy.copybook_values import Table

CODE_PAGES = (*SINGLE_BYTE, *(page for page in EBCDIC if page not in SINGLE_BYTE))


def _table(options: Mapping[str, Any]) -> Table:
    """Return the columns that a source declares. Raises CopybookError."""
    # NumPy and Arrow, which a project without copybooks shouldn't wait for
    from headrace_legacy.copybook_values import table_of

    return table_of(options)


class Copybook(Parquet):
    """Records of programs in COBOL, laid out by a copybook: numbers keep their digits and types."""

    name = "copybook"
    meaning = "the copybook by which the records of a mainframe are read"
    endings = ()
    unmistakable = True
    fields = (
        *("text", "code_page", "records", "length", "machine", "occurs", "null_blanks"),
        *("choose", "rows", "trailer", "conditions", "bad_records"),
    )

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate the copybook with its choices: `{text: …, code_page: cp037, records: rdw}`."""
        before = len(fields.report.problems)
        fields.required("text", "add text: |, and the copybook below it")
        fields.choice("code_page", CODE_PAGES, EBCDIC[0])
        fields.choice("records", RECORDS, RECORDS[0])
        fields.choice("machine", MACHINES, MACHINES[0])
        fields.choice("occurs", OCCURS, OCCURS[0])
        fields.choice("bad_records", BAD_RECORDS, BAD_RECORDS[0])
        fields.flag("null_blanks")
        fields.whole("length", minimum=1, maximum=RECORD_MAX)
        fields.text("rows")
        fields.texts("conditions")
        _read_choose(fields)
        _read_trailer(fields)
        options = super().read(fields, partition)
        if options is None or len(fields.report.problems) > before:
            return None
        try:
            table = _table(plain(options))
        except CopybookError as error:
            fields.refuse("text", str(error), "the page on copybooks says what is read")
            return None
        _require_fit(table, fields)
        return options

    def stated(self, options: Mapping[str, Any]) -> list[str]:
        """Return all columns: the copybook has their types."""
        declared = options.get(self.name)
        return _table(declared).schema.names if declared else []

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Write the records as a Parquet file."""
        import pyarrow.parquet as pq

        from headrace_legacy.copybook_rows import rows_of

        del pinned
        if not Path(opened.path).stat().st_size:
            raise CannotRead("the file is empty", code="delivery_empty")
        if opened.encoding != "utf-8":
            raise CannotRead("the file begins as text in UTF-16 does: its first bytes are 0xFFFE")
        if "text" not in opened.options.get(self.name, {}):
            raise CannotRead("the source declares no copybook")
        table = _table(opened.options[self.name])
        size = Path(opened.path).stat().st_size
        target = place_for(opened, temporary)
        try:
            with pq.ParquetWriter(target.path, table.schema) as writer:
                for batch in rows_of(Path(opened.path), table, accepted=opened.accepted):
                    writer.write_batch(batch)
                    bounds.check(Path(target.path).stat().st_size, size)
        except BaseException:
            target.discard()
            raise
        return target


# The declaration.


def _read_choose(fields: Fields) -> None:
    choose: dict[str, Any] = fields.block_of("choose") or {}
    for name, chosen in choose.items():
        if not isinstance(chosen, str) and not (
            isinstance(chosen, dict)
            and chosen.keys() == {"by", "values"}
            and isinstance(chosen["by"], str)
            and isinstance(chosen["values"], dict)
            and all(isinstance(item, str) for item in chosen["values"].values())
        ):
            fields.refuse(
                "choose",
                f"{shown(name)} needs the name of an item, or `by` and `values`",
                "write choose: {HEADER: {by: KIND, values: {H: HEADER, D: DETAIL}}}",
            )


def _read_trailer(fields: Fields) -> None:
    block = fields.block_of("trailer")
    if block is None:
        return
    inner = Fields(block, fields.report, ("record", "of", "count", "sums"), what="`trailer`")
    inner.required("record", "add record: TRAILER-RECORD")
    inner.text("of")
    inner.text("count")
    sums: dict[str, Any] = inner.block_of("sums") or {}
    if not all(isinstance(item, str) for item in sums.values()):
        inner.refuse("sums", "a total has the name of one item", "write sums: {TOTAL: AMOUNT}")
    if "count" not in inner and not sums:
        inner.refuse("record", "`trailer` names no total", "add count: RECORD-COUNT")


def _require_fit(table: Table, fields: Fields) -> None:
    """Report what the copybook and the other options don't agree on."""
    layout = table.layout
    records = layout.options.get("records", RECORDS[0])
    size, length = layout.root.size, layout.length
    problem: tuple[str, str, str] | None = None
    if records == "lines" and table.has_binary:
        problem = ("records", "lines have no binary or packed numbers", "write records: fixed")
    elif length is not None and records != "fixed":
        problem = ("length", "only fixed records have a `length`", "leave it out")
    elif length is not None and length < size and not any(layout.sliding.values()):
        problem = ("length", f"the copybook's records have {size:,} bytes", "leave it out")
    if problem is not None:
        fields.refuse(*problem, code="conflicting_fields")
