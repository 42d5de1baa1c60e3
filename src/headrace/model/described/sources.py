"""The fields of a source that no other node has."""

from __future__ import annotations

from headrace.model.described.vocabulary import DURATION, FREE, MOMENT, TEXT, FieldDescription, Schema, closed, one_of, whole
from headrace.model.scheduling_fields import CONCURRENCY_MAX
from headrace.model.sources import _DRIFTS, _ON_DRIFT, FILES_MAX

_ROWS: Schema = {"type": ["string", "integer"], "examples": ["500..1500", "500..", 1]}

SOURCE = (
    FieldDescription("source", TEXT, "its name", required=True),
    FieldDescription("files", TEXT, "where its files land: a path or URL with one {date:…}, `*` for what varies"),
    FieldDescription("http", FREE, "an address, or a mapping with `url`, `records`, `headers`, `page` …; see how-to/http-api.md"),
    FieldDescription("connection", TEXT, "a name of [connections]: of a database, or of where `files:` leads"),
    FieldDescription("query", TEXT, "of a database: the SELECT that gives its rows"),
    FieldDescription("table", TEXT, "of a database: the table, instead of a query"),
    FieldDescription("cursor", FREE, "of a database: the column that only grows, so that each look takes what is new"),
    FieldDescription("csv", FREE, "how its CSV is written, where that can't be seen from the file"),
    FieldDescription("excel", FREE, "which sheet, header and range of a workbook is read"),
    FieldDescription("fixed_width", FREE, "the columns of lines without separators"),
    FieldDescription("json", FREE, "where in a document the records are, and what of them is flattened"),
    FieldDescription("xml", FREE, "where in a document the records are, and what of them is flattened"),
    FieldDescription("every", DURATION, "how often a source that can't say whether it changed is read again"),
    FieldDescription(
        "expect",
        closed({"by": MOMENT, "rows": _ROWS, "unchanged": one_of(("ok",))}),
        "what its owner promised: by when after each interval, how many rows; `unchanged: ok` where an interval may hold the rows of "
        "another one, as a list that seldom changes does",
    ),
    FieldDescription(
        "complete",
        closed({"files": whole(1, FILES_MAX), "marker": TEXT, "watermark": one_of(("later",)), "after": MOMENT}),
        "when an interval is complete",
        "one file",
    ),
    FieldDescription("retain_raw", DURATION, "how long the bytes of a delivery are kept", "90d"),
    FieldDescription(
        "restate_within", DURATION, "how old an interval may be that is rebuilt without asking when it is delivered again", "7d"
    ),
    FieldDescription(
        "on_drift",
        closed(dict.fromkeys(_DRIFTS, one_of(_ON_DRIFT))),
        "what a delivery with other columns does, by the kind of change",
        "by kind",
    ),
    FieldDescription(
        "concurrency", whole(1, CONCURRENCY_MAX), "how many of its deliveries are ingested at once", "as many as there is room for"
    ),
)
