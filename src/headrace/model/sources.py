"""`sources/*.yaml`: data that arrives from outside."""

from __future__ import annotations

import re
from typing import Any

from headrace.model.checks import read_checks
from headrace.model.common import COMMON, ON_FAIL, read_common, read_on_anomaly
from headrace.model.connectors import READERS, read_connectors
from headrace.model.documents import Items, LocatedMapping, kind_of
from headrace.model.fields import Fields
from headrace.model.names import check_node
from headrace.model.nodes import Complete, Expect, PartitionSpec, Source
from headrace.model.other_tools import FILES
from headrace.model.partitions import read_partition, read_start
from headrace.model.paths import read_pattern
from headrace.model.reporting import Report, shown
from headrace.model.scheduling_fields import read_concurrency

_FIELDS = frozenset(
    (*COMMON, "source", "partition", "start", "files", "complete", "expect", "retain_raw", "restate_within", "on_drift",
     "every", "contract", "checks", "on_fail", "on_anomaly", "concurrency", *READERS)
)  # fmt: skip
_DRIFTS = ("added", "dropped", "renamed", "type", "format", "nested", "nullability", "keys")
_ON_DRIFT = ("block", "map", "allow", "warn")
_ROWS = re.compile(r"(\d{1,15})?\s*\.\.\s*(\d{1,15})?", re.ASCII)
ROWS_MAX = 10**15
FILES_MAX = 10_000
"""Files of one interval."""
SOURCES_IN_A_FILE_MAX = 10_000


def read_sources(document: object, report: Report) -> tuple[Source, ...]:
    """The source of a file, or all of its list."""
    if isinstance(document, LocatedMapping):
        blocks: list[Any] = [document]
    elif isinstance(document, list):
        blocks = document
    else:
        report.error("wrong_type", 1, f"a source must be a mapping, not {kind_of(document)}", "write source: name, owner: …, files: …")
        return ()
    sources = []
    for index, block in enumerate(blocks):
        if not isinstance(block, LocatedMapping):
            line = document.lines[index] if isinstance(document, Items) else 1
            report.error("wrong_type", line, f"a source must be a mapping, not {kind_of(block)}", "write - source: name")
        elif (source := _source(block, report)) is not None:
            sources.append(source)
    return tuple(sources)


def _source(block: LocatedMapping, report: Report) -> Source | None:
    name = block.get("source")
    fields = Fields(block, report, _FIELDS, what=f"the source {shown(name)}" if isinstance(name, str) else "a source")
    name = fields.required("source", "add `source:` with the name")
    named = name is not None and check_node(name, fields.line("source"), report, "source")
    common = read_common(fields)
    results = _parts(fields)
    if name is None or not named or "owner" not in common:
        return None
    return Source(name=name, place=report.place(fields.line("source")), **common, **results)


def _files(fields: Fields, partition: PartitionSpec) -> str | None:
    """The pattern of the files; refused where nothing reads files with that ending."""
    pattern = read_pattern(fields, "files", partition)
    if pattern is None:
        return None
    endings = [ending.lower() for ending in pattern.rpartition("/")[2].split(".")[1:]]
    for ending in endings[-2:]:
        if ending in FILES:
            fields.refuse("files", f"{shown(pattern)}: no reader for `.{ending}` files", FILES[ending], code="unsupported_kind")
            return None
    return pattern


def _parts(fields: Fields) -> dict[str, Any]:
    """Everything but the common fields, as keyword arguments of `Source`."""
    partition = read_partition(fields)
    return {
        "partition": partition,
        "start": read_start(fields),
        "files": _files(fields, partition) if "files" in fields else None,
        "connector": read_connectors(fields, partition),
        "every": fields.duration("every", "") or None,
        "expect": _expect(fields),
        "complete": _complete(fields),
        "contract": fields.text("contract") if "contract" in fields else None,
        "on_drift": _on_drift(fields),
        "retain_raw": fields.duration("retain_raw", "90d"),
        "restate_within": fields.duration("restate_within", "7d"),
        "checks": read_checks(fields),
        "on_fail": fields.choice("on_fail", ON_FAIL, "reject"),
        "on_anomaly": read_on_anomaly(fields),
        "concurrency": read_concurrency(fields) if "concurrency" in fields else None,
    }


def _expect(fields: Fields) -> Expect:
    block = fields.block_of("expect")
    if block is None:
        return Expect()
    inner = Fields(block, fields.report, ("by", "rows", "unchanged"), what="`expect`")
    low, high = _rows(inner)
    unchanged = inner.choice("unchanged", ("ok",), "") == "ok"
    return Expect(by=inner.moment("by"), rows_min=low, rows_max=high, unchanged=unchanged)


def _rows(fields: Fields) -> tuple[int | None, int | None]:
    """`500..1500`, `500..`, `..1500`, or one number."""
    written = fields.raw("rows")
    if "rows" not in fields:
        return None, None
    if isinstance(written, int) and not isinstance(written, bool) and 0 <= written <= ROWS_MAX:
        return written, written
    match = _ROWS.fullmatch(written.strip()) if isinstance(written, str) else None
    if match is None or not any(match.groups()):
        fields.refuse("rows", f"{shown(written)} is no range of rows", "write rows: 500..1500, or 500.. for at least 500")
        return None, None
    low, high = (int(part) if part else None for part in match.groups())
    if low is not None and high is not None and low > high:
        fields.refuse("rows", f"{shown(written)} has its bounds the wrong way round", f"write rows: {high}..{low}")
        return None, None
    return low, high


def _complete(fields: Fields) -> Complete:
    block = fields.block_of("complete")
    if block is None:
        return Complete()
    inner = Fields(block, fields.report, ("files", "marker", "watermark", "after"), what="`complete`")
    if len(block) > 1:
        fields.refuse(
            "complete", "`complete` says more than one thing", "one of files, marker, watermark, after", code="conflicting_fields"
        )
    return Complete(
        files=inner.whole("files", minimum=1, maximum=FILES_MAX) or 1,
        marker=_marker(inner),
        watermark=inner.choice("watermark", ("later",), "") or None,
        after=inner.moment("after"),
    )


def _marker(fields: Fields) -> str | None:
    marker = fields.text("marker") if "marker" in fields else None
    if marker is not None and (any(sign in marker for sign in "/\\") or not marker.isprintable() or len(marker) > 100):
        fields.refuse("marker", f"{shown(marker)} can't be the end of a file's name", "write marker: .done", code="bad_path")
        return None
    return marker


def _on_drift(fields: Fields) -> dict[str, str]:
    block = fields.block_of("on_drift")
    if block is None:
        return {}
    inner = Fields(block, fields.report, _DRIFTS, what="`on_drift`")
    results = {name: inner.choice(name, _ON_DRIFT, "") for name in _DRIFTS if name in inner}
    return {name: value for name, value in results.items() if value}
