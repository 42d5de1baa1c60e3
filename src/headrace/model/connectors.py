"""Validates the fields of a source that define the origin of its data and its file format.

Each field has one reader function. A valid field is stored as written in `Source.connector`, so
code that uses it needs no further validation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from headrace.model.connections import connection_kind
from headrace.model.errors import Report, one_of, shown
from headrace.model.fields import Fields, LocatedMapping, plain
from headrace.model.nodes import PartitionSpec, Source
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
    """Validate `json: {records: "$.data.items", keys: id, flatten: true}`."""
    block = fields.block_of("json")
    if block is None:
        return
    inner = Fields(block, fields.report, ("records", "keys", "flatten"), what="`json`")
    inner.text("keys")
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

READERS: dict[str, Reader] = {
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
    _one_origin(fields, ("files", *sources), broken=len(plugins) < len(added))
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


def request_dates(source: Source) -> Sequence[str]:
    """Return the formats of the dates by which a package's source asks for an interval."""
    return _declaration(source).dates(source)


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
