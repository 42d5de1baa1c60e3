"""Validates the fields of a source that define the origin of its data and its file format.

Each field has one reader function. A valid field is stored as written in `Source.connector`, so
code that uses it needs no further validation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from headrace.model.connections import connection_kind
from headrace.model.errors import Report, one_of, shown
from headrace.model.fields import Fields, LocatedMapping, kind_of, plain, size_in_bytes
from headrace.model.locations import directives_of, names_interval
from headrace.model.nodes import Grain, PartitionSpec, Source
from headrace.model.plugin_fields import (
    SourceDeclaration,
    SourceField,
    read_source_field,
    source_field,
)
from headrace.model.plugins import (
    FORMATS,
    IN_PACKAGES,
    OWN_FORMATS,
    SOURCES,
    BrokenPlugin,
    plugin_names,
    report_missing,
)
from headrace.model.secrets import check_headers, check_url

# Paths into a JSON document: `$`, `$.items`, `$.meta.next`, `$["odd key"].rows`. They consist of
# names only, without wildcards and positions.

PATH_STEPS_MAX = 20
_STEP = re.compile(r"""\.([A-Za-z_][\w-]*)|\["([^"\\]+)"\]|\['([^'\\]+)'\]""")


def json_path(text: str) -> tuple[str, ...] | None:
    """Return a path's names from the root on, empty for `$` itself; None for an invalid path."""
    text = text.strip()
    if not text.startswith("$"):
        return None
    steps: list[str] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or len(steps) == PATH_STEPS_MAX:
            return None
        steps.append(next(filter(None, match.groups())))
        at = match.end()
    return tuple(steps)


# Options of Headrace's own file formats that can't be detected from the bytes alone: `json`, `csv`.

RECORD_MAX = 1_000_000
"""The last line that may be named; the limit of a record's bytes, and of a line's characters."""
SINGLE_BYTE = (
    "latin-1",
    "iso-8859-15",
    "cp1252",
    "cp1250",
    "cp1254",
    "cp1257",
    "iso-8859-2",
    "cp437",
    "cp850",
    "mac-roman",
    "cp1251",
    "koi8-r",
    "cp866",
    "iso-8859-5",
    "cp1253",
    "iso-8859-7",
    "ascii",
    "cp037",
    "cp273",
    "cp500",
    "cp1140",
)
"""Encodings with one byte per character; the EBCDIC ones start at cp037."""
ENCODINGS = ("utf-8", *SINGLE_BYTE)


# how files are read doesn't depend on it
def read_json(fields: Fields, partition: PartitionSpec) -> None:  # noqa: ARG001
    """Validate `json: {records: "$.data.items", flatten: true}`."""
    block = fields.block_of("json")
    if block is None:
        return
    inner = Fields(block, fields.report, ("records", "flatten"), what="`json`")
    records = inner.text("records")
    if records is not None and json_path(records) is None:
        inner.refuse(
            "records",
            f"{shown(records)} isn't a path to records that is understood",
            'write records: "$.data.items"',
        )
    inner.flag("flatten")


def read_csv(fields: Fields, partition: PartitionSpec) -> None:  # noqa: ARG001
    """Validate `csv:`.

    For example `{delimiter: ";", quote: "'", encoding: cp1252, header: false, columns: [a, b],
    null: ["-"], decimal: ","}`.
    """
    block = fields.block_of("csv")
    if block is None:
        return
    known = (
        "delimiter",
        "quote",
        "encoding",
        "header",
        "skip",
        "comment",
        "columns",
        "null",
        "decimal",
    )
    inner = Fields(block, fields.report, known, what="`csv`")
    for name in ("delimiter", "quote", "comment"):
        sign = inner.raw(name)
        if name in inner and (
            not isinstance(sign, str) or len(sign) != 1 or sign in "\r\n\0" or not sign.isascii()
        ):
            inner.refuse(name, f"`{name}` must be one character", f'write {name}: ";"')
    inner.choice("encoding", ENCODINGS, "utf-8")
    inner.choice("decimal", (",", "."), ".")
    _check_null_words(inner)
    inner.whole("skip", minimum=0, maximum=RECORD_MAX)
    header = _header_line(inner)
    columns = inner.texts("columns")
    if header is False and not columns:
        inner.refuse("header", "without a header the columns need names", "add columns: [a, b]")
    if header is not False and columns:
        inner.refuse(
            "columns",
            "`columns` names what a file without a header holds",
            "add header: false",
            code="conflicting_fields",
        )
    _once(inner.report, inner.line("columns"), columns)


def _header_line(fields: Fields) -> bool | int | None:
    """Check `header`, a flag or the header's line; it is returned."""
    at = fields.raw("header")
    if not isinstance(at, int) or isinstance(at, bool):
        return fields.flag("header")
    if "skip" in fields:
        fields.refuse(
            "skip",
            "`skip` counts the lines above the header, whose line `header` says",
            "leave one of them out",
            code="conflicting_fields",
        )
    return fields.whole("header", minimum=1, maximum=RECORD_MAX)


def _check_null_words(fields: Fields) -> None:
    """Check `null`, a list of texts; an empty one makes quoted empty values null, too."""
    words = fields.raw("null")
    if words == "" or (isinstance(words, list) and "" in words):
        words = [word for word in words if word != ""]
        if all(isinstance(word, str) and word.strip() for word in words):
            return
    fields.texts("null")


def _once(report: Report, line: int, names: list[str] | tuple[str, ...]) -> None:
    folded = [name.lower() for name in names]
    twice = next((name for name in folded if folded.count(name) > 1), None)
    if twice is not None:
        report.error(
            "wrong_value",
            line,
            f"the column {shown(twice)} is listed twice",
            "give each column a name of its own",
        )


# The field `http:`: a URL, or a mapping that describes the request.

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
    """Validate `http:` of a source with this partitioning."""
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


# how files are read doesn't depend on it
def read_connection(fields: Fields, partition: PartitionSpec) -> None:  # noqa: ARG001
    """Validate `connection:`, the name of one of `[connections]`."""
    fields.text("connection")
    files = fields.raw("files")
    if isinstance(files, str) and "://" not in files:
        fields.refuse(
            "connection",
            "files of the project need no `connection`",
            "take it out, or write files: s3://…",
            code="conflicting_fields",
        )


# All connector fields with their readers. A source names exactly one origin.

Reader = Callable[[Fields, PartitionSpec], None]
"""Validates one declared field of a source with this partitioning."""

ORIGINS = ("files", "http")
"""Headrace's own fields that define the origin of data; a source has exactly one origin."""

READERS: dict[str, Reader] = {
    "http": read_http,
    "connection": read_connection,
    "json": read_json,
    "csv": read_csv,
}
"""Reader function by field."""
FORMAT_FIELDS = OWN_FORMATS | {*IN_PACKAGES[FORMATS]}
"""Fields with options of file formats."""


def origin_of(source: Source) -> str:
    """Return an identifier of the observed origin: the file pattern, or a hash of the connector.

    An observation of one origin says nothing about the deliveries at another origin.
    """
    if source.files is not None:
        return source.files
    origin = {key: value for key, value in source.connector.items() if key not in FORMAT_FIELDS}
    declared = msgspec.json.encode(origin, order="sorted")
    return hashlib.sha256(declared).hexdigest()[:32]


def added_fields(block: LocatedMapping, known: Collection[str], report: Report) -> frozenset[str]:
    """Return the fields of a source that installed packages add.

    Packages are looked for only if the source has a field that isn't `known`. A field of a package
    that is developed with Headrace, and isn't installed, is reported and returned, too.
    """
    unknown = [name for name in block if name not in known]
    for name in unknown:
        line = block.lines.get(name, block.line)
        for group in (SOURCES, FORMATS):
            report_missing(report, line, shown(name), group, name)
    if not unknown:
        return frozenset()
    shipped = IN_PACKAGES[SOURCES].keys() | IN_PACKAGES[FORMATS].keys()
    names = {*plugin_names(SOURCES), *plugin_names(FORMATS)} - OWN_FORMATS
    return frozenset((names | shipped) & {*unknown})


def read_connectors(
    fields: Fields, partition: PartitionSpec, added: Collection[str] = ()
) -> dict[str, Any]:
    """Return all connector fields of a source, as written; report problems.

    A source must have exactly one origin. `added` are the fields of installed packages.
    """
    plugins = _plugins(fields, added)
    sources = [name for name, field in plugins.items() if isinstance(field, SourceDeclaration)]
    _one_origin(fields, (*ORIGINS, *sources), broken=len(plugins) < len(added))
    results = {}
    for name, field in plugins.items():
        if (value := read_source_field(field, fields, partition)) is not None:
            results[name] = value
    for name, read in READERS.items():
        if name in fields:
            read(fields, partition)
            results[name] = plain(fields.raw(name))
    return results


def origin_field(source: Source) -> str | None:
    """Return the field of an installed package that says where data comes from; None if none does.

    A package that isn't installed is assumed to have the first field that isn't Headrace's own.
    """
    names = [name for name in source.connector if name not in READERS]
    if len(names) < 2:
        return next(iter(names), None)
    return next((name for name in names if isinstance(_usable(name), SourceDeclaration)), names[0])


def _usable(name: str) -> SourceField | None:
    with suppress(BrokenPlugin):  # it is reported where the field is read
        return source_field(name)
    return None


def misused(source: Source, connection: Mapping[str, Any]) -> str:
    """Return why the source can't be read through a connection; empty if it can.

    Also empty if the connection's kind is unknown before secrets are resolved.
    """
    kinds = _declaration(source).connections
    kind = connection_kind(connection)
    if not kinds or kind in kinds:
        return ""
    if kind is not None:
        return (
            f"rows can't be read from a connection of the kind {shown(kind)}, only from"
            f" {one_of(kinds)}"
        )
    return (
        ""
        if "url" in connection
        else "the connection doesn't say what it leads to: add a `url`, or a `type`"
    )


def completed(source: Source) -> Source:
    """Return the source with the fields that a package derives from its others."""
    return _declaration(source).completed(source)


def _declaration(source: Source) -> SourceDeclaration:
    name = origin_field(source) if source.files is None else None
    field = _usable(name) if name is not None else None
    return field if isinstance(field, SourceDeclaration) else SourceDeclaration()


def _plugins(fields: Fields, added: Collection[str]) -> dict[str, SourceField]:
    results: dict[str, SourceField] = {}
    for name in sorted(added):
        try:
            field = source_field(name)
        except BrokenPlugin as error:
            fields.report.error("broken_plugin", fields.line(name), str(error), error.hint)
        else:
            if field is not None:
                results[name] = field
    return results


def _one_origin(fields: Fields, among: Collection[str], *, broken: bool) -> None:
    """Report a source without an origin, unless that may be a broken plugin, or with several."""
    origins = [name for name in among if name in fields]
    if not origins and broken:
        return
    if not origins and "connection" in fields:
        fields.report.error(
            "missing_field",
            fields.line("connection"),
            f"{fields.what} doesn't say what to read there",
            "add table: schema.name, or query: select …",
        )
    elif not origins:
        fields.report.error(
            "missing_field",
            fields.block.line,
            f"{fields.what} doesn't say where data comes from",
            "add files: landing/name_{date:%Y-%m-%d}.csv",
        )
    elif len(origins) > 1:
        fields.refuse(
            origins[1],
            f"{fields.what} names {' and '.join(map(shown, origins))}",
            "keep one of them",
            code="conflicting_fields",
        )
