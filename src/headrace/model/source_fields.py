"""The fields of a source, with their readers.

A new field is one entry here and a field of `Source`. Those of kinds of sources and of formats are
read together, by `connectors`.
"""

from __future__ import annotations

import re

from headrace.model.common_fields import (
    CHECKED,
    COMMON,
    CONCURRENCY_MAX,
    CONTRACT,
    PARTITION,
    RETAIN,
    START,
    read_partition,
    read_start,
)
from headrace.model.errors import shown
from headrace.model.fields import Fields
from headrace.model.masks import KEPT_CHARACTERS_MAX, METHODS, SHIFT_DAYS_MAX, TIME_UNITS
from headrace.model.nodes import Complete, Expect
from headrace.model.schemas import (
    FLAG,
    FREE,
    TEXT,
    TEXTS,
    TIME_OFFSET,
    Field,
    Schema,
    closed,
    duration_field,
    one_of,
    texts_by_name,
    whole,
    whole_field,
)

DRIFTS = ("added", "dropped", "renamed", "type", "format", "nested", "nullability", "keys")
"""What `on_drift` declares policies for; those of the last two are for checks of the contract."""
_ON_DRIFT = ("block", "map", "allow", "warn")
_ROW_RANGE = re.compile(r"(\d{1,15})?\s*\.\.\s*(\d{1,15})?", re.ASCII)
ROWS_MAX = 10**15
FILES_MAX = 10_000
"""At most this number of files may be required for one interval."""


# Readers of fields that only sources have.


def _expect(fields: Fields) -> Expect:
    block = fields.block_of("expect")
    if block is None:
        return Expect()
    inner = Fields(block, fields.report, ("by", "rows", "unchanged"), what="`expect`")
    low, high = _rows(inner)
    unchanged = inner.choice("unchanged", ("ok",), "") == "ok"
    return Expect(by=inner.offset("by"), rows_min=low, rows_max=high, unchanged=unchanged)


def _rows(fields: Fields) -> tuple[int | None, int | None]:
    """Parse `500..1500`, `500..`, `..1500` or one number into minimum and maximum."""
    written = fields.raw("rows")
    if "rows" not in fields:
        return None, None
    if isinstance(written, int) and not isinstance(written, bool) and 0 <= written <= ROWS_MAX:
        return written, written
    match = _ROW_RANGE.fullmatch(written.strip()) if isinstance(written, str) else None
    if match is None or not any(match.groups()):
        fields.refuse(
            "rows",
            f"{shown(written)} is no range of rows",
            "write rows: 500..1500, or 500.. for at least 500",
        )
        return None, None
    low, high = (int(part) if part else None for part in match.groups())
    if low is not None and high is not None and low > high:
        fields.refuse(
            "rows",
            f"{shown(written)} has its bounds the wrong way round",
            f"write rows: {high}..{low}",
        )
        return None, None
    return low, high


def _complete(fields: Fields) -> Complete:
    block = fields.block_of("complete")
    if block is None:
        return Complete()
    inner = Fields(
        block, fields.report, ("files", "marker", "watermark", "after"), what="`complete`"
    )
    if len(block) > 1:
        fields.refuse(
            "complete",
            "`complete` says more than one thing",
            "one of files, marker, watermark, after",
            code="conflicting_fields",
        )
    return Complete(
        files=inner.whole("files", minimum=1, maximum=FILES_MAX) or 1,
        marker=_marker(inner),
        watermark=inner.choice("watermark", ("later",), "") or None,
        after=inner.offset("after"),
    )


def _marker(fields: Fields) -> str | None:
    marker = fields.text("marker")
    if marker is not None and (
        any(sign in marker for sign in "/\\") or not marker.isprintable() or len(marker) > 100
    ):
        fields.refuse(
            "marker",
            f"{shown(marker)} can't be the end of a file's name",
            "write marker: .done",
            code="bad_path",
        )
        return None
    return marker


def _on_drift(fields: Fields) -> dict[str, str]:
    block = fields.block_of("on_drift")
    if block is None:
        return {}
    inner = Fields(block, fields.report, DRIFTS, what="`on_drift`")
    results = {name: inner.choice(name, _ON_DRIFT, "") for name in DRIFTS if name in inner}
    return {name: value for name, value in results.items() if value}


_ROWS: Schema = {"type": ["string", "integer"], "examples": ["500..1500", "500..", 1]}

_COLUMN_CLASS: Schema = closed(
    {
        "classification": TEXT,
        "personal": FLAG,
        "mask": {
            **closed(
                {
                    "method": one_of(METHODS),
                    "keep": whole(1, KEPT_CHARACTERS_MAX),
                    "from": one_of(("start", "end")),
                    "to": {"anyOf": [{"type": "number"}, one_of(TIME_UNITS)]},
                    "days": whole(1, SHIFT_DAYS_MAX),
                    "by": TEXT,
                    "domain": TEXT,
                },
                "method",
            )
        },
    }
)
SOURCE = (
    Field("source", TEXT, "its name", required=True),
    *COMMON,
    Field("partition", PARTITION, "how its data is cut", "'*'", read=read_partition),
    Field(
        "start",
        START,
        "the first interval that is expected",
        "the oldest delivery; before there is one and with `expect`, the interval in which"
        " the source was declared",
        read=read_start,
    ),
    Field(
        "files", TEXT, "where its files land: a path or URL with one {date:…}, `*` for what varies"
    ),
    Field("connection", TEXT, "a name of [connections]: of a database, or of where `files:` leads"),
    Field("csv", FREE, "how its CSV is written, where that can't be seen from the file"),
    Field("json", FREE, "where the records are, and whether nested values become columns"),
    duration_field("every", "how often a source that can't say whether it changed is read again"),
    Field(
        "expect",
        closed({"by": TIME_OFFSET, "rows": _ROWS, "unchanged": one_of(("ok",))}),
        "what its owner promised: by when after each interval, how many rows; `unchanged: ok` where"
        " an interval may hold the rows of another one, as a list that seldom changes does",
        read=_expect,
    ),
    Field(
        "complete",
        closed(
            {
                "files": whole(1, FILES_MAX),
                "marker": TEXT,
                "watermark": one_of(("later",)),
                "after": TIME_OFFSET,
            }
        ),
        "when an interval is complete",
        "one file",
        read=_complete,
    ),
    RETAIN,
    duration_field("retain_raw", "how long the bytes of a delivery are kept", "90d"),
    duration_field(
        "restate_within",
        "how old an interval may be that is rebuilt without asking when it is delivered again",
        "7d",
    ),
    Field(
        "ignore_in_comparison",
        TEXTS,
        "columns that loading changes, besides those of dlt, Fivetran, Airbyte and Stitch: a"
        " delivery that differs in them alone restates nothing",
        "none",
        read=lambda fields: fields.texts("ignore_in_comparison"),
    ),
    Field(
        "columns",
        texts_by_name(_COLUMN_CLASS),
        "classified columns, besides those that the contract classifies, and their masks",
        "none",
    ),
    Field(
        "on_drift",
        closed(dict.fromkeys(DRIFTS, one_of(_ON_DRIFT))),
        "what a delivery with other columns does, by the kind of change",
        "by kind",
        read=_on_drift,
    ),
    whole_field(
        "concurrency",
        1,
        CONCURRENCY_MAX,
        "how many of its deliveries are ingested at once",
        "no limit but workers and pools",
    ),
    *CHECKED,
    CONTRACT,
)

SOURCE_FIELDS = frozenset(field.name for field in SOURCE)
