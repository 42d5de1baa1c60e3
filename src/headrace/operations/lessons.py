"""What was learnt of sources at their first publication, and from which deliveries."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headrace.connect import SourceSchema
from headrace.connect.deliveries import Disagreement
from headrace.operations.responses import DisagreedRow, LearntColumnRow, LearntRow
from headrace.store import Transaction
from headrace.store.queries import arriving

BY_CONTRACT = "contract"
SEPARATED = ("csv",)
"""Kinds of files whose columns a delimiter separates."""
_TEXT = ("csv", "fixed_width")
_FORMATS = {
    "csv": "CSV", "fixed_width": "fixed width", "jsonl": "JSON lines", "json": "JSON", "xml": "XML",
    "parquet": "Parquet", "excel": "Excel",
}  # fmt: skip
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def of_sources(tx: Transaction, sources: Iterable[str]) -> list[LearntRow]:
    """In the order of `sources`, those of which it is known."""
    rows = (of_source(tx, source) for source in sources)
    return [row for row in rows if row is not None]


def of_source(tx: Transaction, source: str) -> LearntRow | None:
    """What a source is held to, with what it was learnt from; None where nothing is pinned, or nobody kept that."""
    text = arriving.pinned_schema(tx, source)
    return None if text is None else of_schema(source, msgspec.json.decode(text, type=SourceSchema))


def of_schema(source: str, schema: SourceSchema) -> LearntRow | None:
    """The same, of a pinned schema."""
    lesson, form = schema.lesson, schema.format
    if lesson is None:
        return None
    return LearntRow(
        source=source,
        read_as=read_as(schema),
        by=BY_CONTRACT if schema.pinned_by == BY_CONTRACT else "deliveries",
        format=form.kind,
        encoding=lesson.encoding,
        declared_encoding=lesson.declared_encoding or None,
        delimiter=form.delimiter if form.kind in SEPARATED else None,
        header=lesson.header,
        decimal=form.decimal,
        date_format=form.date_format,
        timestamp_format=form.timestamp_format,
        columns=[LearntColumnRow(name=column.name, type=column.type) for column in schema.columns],
        deliveries=list(lesson.deliveries),
        disagreed=[_disagreed(disagreement) for disagreement in lesson.disagreed],
        undecided=list(lesson.undecided),
        warnings=list(lesson.warnings),
        attempt=lesson.attempt,
    )


def read_as(schema: SourceSchema) -> str:
    """`CSV, UTF-8, semicolon, header, decimal comma, dates %d.%m.%Y`."""
    lesson, form = schema.lesson, schema.format
    words = [_FORMATS.get(form.kind, form.kind)]
    if lesson is not None and form.kind in _TEXT:
        words.append(lesson.encoding.upper())
    if lesson is not None and form.kind in SEPARATED:
        words.append(_DELIMITERS.get(form.delimiter, repr(form.delimiter)))
        words.append("header" if lesson.header else "no header")
    if form.decimal == ",":
        words.append("decimal comma")
    words += [f"dates {item}" for item in (form.date_format, form.timestamp_format) if item]
    return ", ".join(words)


def _disagreed(disagreement: Disagreement) -> DisagreedRow:
    return DisagreedRow(
        delivery=disagreement.delivery,
        column=disagreement.column or None,
        type=disagreement.type or None,
        value=disagreement.value or None,
        line=disagreement.line,
        text=disagreement.text,
    )
