"""The field `http:` of a source: a URL, or a mapping that describes the request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from headrace.extension import LocatedMapping
from headrace.extension.sources import (
    Fields,
    Grain,
    PartitionSpec,
    check_headers,
    check_url,
    directives_of,
    json_path,
    kind_of,
    names_interval,
    shown,
    size_in_bytes,
)

METHODS = ("GET", "POST")
PAGINGS = ("page", "offset", "cursor", "link")
PAGES_MAX = 1_000_000
"""Upper limit of `pages_max`."""
PAGE_SIZE_MAX = 10_000_000
RETRIES_MAX = 20
DIRECTIVES = "YmdHMSjyGVuz"
"""strftime directives supported in `{date:…}` and `{end:…}`."""
_HTTP_FIELDS = (
    "url",
    "method",
    "records",
    "headers",
    "params",
    "body",
    "page",
    "rate_limit",
    "timeout",
    "retries",
    "bytes_max",
)
_PAGE_FIELDS = (
    "by",
    "parameter",
    "size",
    "size_parameter",
    "start",
    "next",
    "has_more",
    "end",
    "pages_max",
)
_RATE = re.compile(r"(\d{1,6})\s*/\s*(s|m|h)", re.ASCII)
_URL = re.compile(r"https?://[^/?#\s]+([/?][^\s#]*)?", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{(date|end):([^{}]*)\}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")


def read_http(fields: Fields, partition: PartitionSpec) -> None:
    """Report what is wrong with `http:` of a source with this partitioning."""
    http = fields.raw("http")
    if isinstance(http, str):
        check_url("http", http, fields.line("http"), fields.report)
        _check_url(fields, "http", http)
    elif isinstance(http, LocatedMapping):
        check_headers(http, fields.report)
        _read_block(Fields(http, fields.report, _HTTP_FIELDS, what="`http`"))
    else:
        fields.wrong("http", "a URL, or a mapping with `url`")
        return
    _check_intervals(fields, http, partition)


def rate_of(text: str) -> tuple[int, float] | None:
    """Parse a rate (`5/s`, `100/m`, `1000/h`) into requests and seconds; None if invalid."""
    match = _RATE.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        return None
    return int(match[1]), {"s": 1.0, "m": 60.0, "h": 3600.0}[match[2]]


def _read_block(fields: Fields) -> None:
    url = fields.required("url", "add `url: https://…`")
    if url is not None:
        _check_url(fields, "url", url)
    method = fields.choice("method", METHODS, "GET")
    if "body" in fields and method != "POST":
        fields.refuse(
            "body", "only a POST has a body", "add `method: POST`", code="conflicting_fields"
        )
    if "body" in fields and not isinstance(fields.raw("body"), (str, LocatedMapping, list)):
        fields.wrong("body", "text, or what becomes JSON")
    _check_path(fields, "records")
    _check_headers(fields)
    _check_params(fields)
    fields.duration("timeout", "30s")
    fields.whole("retries", minimum=0, maximum=RETRIES_MAX)
    fields.checked("bytes_max", size_in_bytes, "wrong_value")
    if (
        "rate_limit" in fields
        and (rate := fields.text("rate_limit")) is not None
        and rate_of(rate) is None
    ):
        fields.refuse("rate_limit", f"{shown(rate)} is no rate", "write 5/s, 100/m or 1000/h")
    if (page := fields.block_of("page")) is not None:
        _read_page(Fields(page, fields.report, _PAGE_FIELDS, what="`page`"))


def _read_page(fields: Fields) -> None:
    if fields.required("by", "add `by: page`, offset, cursor or link") is None:
        return
    by = fields.choice("by", PAGINGS, "")
    if by == "cursor" and "next" not in fields:
        fields.refuse(
            "by",
            "`by: cursor` needs to know where the next cursor is",
            "add `next: $.meta.next_cursor`",
        )
    if "size_parameter" in fields and "size" not in fields:
        fields.refuse("size_parameter", "`size_parameter` without `size`", "add `size: 100`")
    _check_path(fields, "next")
    _check_path(fields, "has_more")
    fields.whole("end", minimum=404, maximum=404)
    for name in ("parameter", "size_parameter"):
        if name in fields:
            fields.text(name)
    fields.whole("size", minimum=1, maximum=PAGE_SIZE_MAX)
    fields.whole("start", minimum=0, maximum=PAGE_SIZE_MAX)
    fields.whole("pages_max", minimum=1, maximum=PAGES_MAX)
    unused = {"cursor": ("start",), "link": ("start", "parameter")}.get(by, ("next",))
    for name in unused:
        if name in fields and by:
            fields.refuse(
                name,
                f"{shown(name)} means nothing with `by: {by}`",
                "leave it out",
                code="conflicting_fields",
            )


def _check_path(fields: Fields, name: str) -> None:
    if name in fields and (text := fields.text(name)) is not None and json_path(text) is None:
        fields.refuse(name, f"{shown(text)} is no path", f"write {name}: $.items, or $.meta.next")


def _check_url(fields: Fields, name: str, url: str) -> None:
    if not url.startswith("${") and _URL.fullmatch(_PLACEHOLDER.sub("", url)) is None:
        fields.refuse(
            name,
            f"{shown(name)} isn't the URL of a server",
            "write https://host/path, without spaces and without `#`",
        )


def _check_headers(fields: Fields) -> None:
    block = fields.block_of("headers")
    for key, value in (block or {}).items():
        if not _HEADER_NAME.fullmatch(key):
            _report_wrong(fields, block, key, f"{shown(key)} can't be the name of a header")
        elif not isinstance(value, str) or not value.isprintable():
            _report_wrong(
                fields,
                block,
                key,
                f"the header {shown(key)} must be text in one line, not {kind_of(value)}",
            )


def _check_params(fields: Fields) -> None:
    block = fields.block_of("params")
    for key, value in (block or {}).items():
        values = value if isinstance(value, list) else [value]
        if not values or any(isinstance(value, (dict, list)) or value is None for value in values):
            _report_wrong(
                fields,
                block,
                key,
                f"the parameter {shown(key)} must be a value or a list of values",
            )


def _report_wrong(fields: Fields, block: LocatedMapping | None, key: str, message: str) -> None:
    assert block is not None
    fields.report.error(
        "wrong_type",
        block.lines.get(key, block.line),
        message,
        "`headrace explain wrong_type` shows examples",
    )


def _check_intervals(fields: Fields, http: LocatedMapping | str, partition: PartitionSpec) -> None:
    """Report sources partitioned by time without a date in the request, and others with one."""
    if partition.key is not None:
        fields.refuse(
            "http",
            "`http` can't be partitioned by key",
            "one source per key, or partition by time",
            code="conflicting_fields",
        )
    results = list(_placeholders(http))
    known = True
    for _, directives in results:
        if not directives or not re.fullmatch(rf"(?:%[{DIRECTIVES}]|[^%])+", directives):
            known = False
            fields.refuse(
                "http", f"{shown(directives)} is no way to write a date", "write {date:%Y-%m-%d}"
            )
    if partition.grain is None and results:
        fields.refuse(
            "http",
            "{date:…} in a source that isn't partitioned by time",
            "add partition: day",
            code="conflicting_fields",
        )
    elif partition.grain is not None and not results:
        fields.refuse(
            "http",
            f"nothing in `http` says which {partition.grain.value} is asked for",
            "write {date:%Y-%m-%d} (the interval's start) or {end:%Y-%m-%d} into url, params or"
            " body",
            code="conflicting_fields",
        )
    elif partition.grain is not None and known and not _ask_for_interval(results, partition.grain):
        fields.refuse(
            "http",
            f"the dates in `http` don't tell one {partition.grain.value} from another: several"
            " would get the same answer",
            "write for example {date:%Y-%m-%d}",
        )


def _ask_for_interval(placeholders: Sequence[tuple[str, str]], grain: Grain) -> bool:
    """Return whether the dates of intervals' starts, or of their ends, differ by interval."""
    return any(
        names_interval(
            [
                letter
                for name, date_format in placeholders
                if name == instant
                for letter in directives_of(date_format)
            ],
            grain,
        )
        for instant in ("date", "end")
    )


def request_dates(http: Any) -> list[str]:
    """Return the formats of all dates in an `http:` field, in order."""
    return [date_format for _, date_format in _placeholders(http)]


def _placeholders(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield from _PLACEHOLDER.findall(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _placeholders(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _placeholders(inner)
