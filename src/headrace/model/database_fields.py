"""Sources whose rows come from a database: `connection:`, `table:`, `query:` and `cursor:`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace.model.connections import DATABASES, connection_kind
from headrace.model.errors import one_of, shown
from headrace.model.fields import Fields
from headrace.model.nodes import PartitionSpec, Source

# Placeholders in the query of a database source. The query is in the database's own dialect, so
# nothing else in it is parsed.

PLACEHOLDERS = ("partition_start", "partition_end")
_TOKENS = (
    r"(?P<skip>"
    r"{string}|\"(?:[^\"]|\"\")*\"|`[^`]*`"
    r"|--[^\n]*|/\*.*?\*/"
    r"|\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$)"
    r"|\$(?P<name>\w+)"
    r"|(?P<sign>[;()])"
)
_STANDARD = re.compile(_TOKENS.replace("{string}", "'(?:[^']|'')*'"), re.DOTALL)
_BACKSLASHES = re.compile(_TOKENS.replace("{string}", r"'(?:[^'\\]|\\.|'')*'"), re.DOTALL)
_QUERY_START = re.compile(
    r"(?:\s|\(|--[^\n]*\n|/\*(?:(?!\*/).)*\*/)*(select|with|values|table)\b",
    re.IGNORECASE | re.DOTALL,
)


def placeholders(query: str) -> list[str]:
    """Return the names after `$`, in order, except in strings, quoted names and comments."""
    return [match["name"] for match in _STANDARD.finditer(query) if match["name"]]


def with_parameters(
    query: str, replace: Callable[[str], str], *, percent: bool, backslashes: bool = False
) -> str:
    """Replace each `$name` in a query by the driver's placeholder from `replace`, never by a value.

    `percent` doubles all other `%`, as drivers with `%s` placeholders require. `backslashes` parses
    strings as MySQL does.
    """

    def text(part: str) -> str:
        return part.replace("%", "%%") if percent else part

    out, at = [], 0
    for match in (_BACKSLASHES if backslashes else _STANDARD).finditer(query):
        if match["name"]:
            out += [text(query[at : match.start()]), replace(match["name"])]
            at = match.end()
    return "".join([*out, text(query[at:])])


def one_select(query: str) -> str | None:
    """Return the query without trailing `;` and comments, so that it can be put in parentheses.

    Returns None if it isn't a single SELECT.
    """
    text = query[: _end_of(query)]
    depth = 0
    for match in _STANDARD.finditer(text):
        sign = match["sign"]
        depth += {"(": 1, ")": -1}.get(sign or "", 0)
        if sign == ";" or depth < 0:
            return None
    return text if depth == 0 and _QUERY_START.match(text) else None


def _end_of(query: str) -> int:
    """Return the end of the statement, before trailing blanks, comments and semicolons."""
    end = len(query.rstrip())
    for match in reversed(list(_STANDARD.finditer(query))):
        if match.end() < end or not match[0].startswith((";", "--", "/*")):
            break
        end = len(query[: match.start()].rstrip())
    return end


# `connection:` of a source with `table:` or `query:`, and `cursor:`: rows of a database.

READ_EVERY = "1d"
"""Default of `every:` for unpartitioned tables and queries without change detection."""
NAME_CHARACTERS_MAX = 128
NAME_PARTS_MAX = 3
QUERY_CHARACTERS_MAX = 100_000


def is_database(fields: Fields) -> bool:
    """Return whether `connection` is the origin of the data, not just the access to it."""
    return "connection" in fields and "http" not in fields and "files" not in fields


def read_connection(fields: Fields, partition: PartitionSpec) -> None:
    """Validate `connection:` and the fields that belong to it."""
    fields.text("connection")
    files = fields.raw("files")
    if isinstance(files, str) and "://" not in files:
        hint = "take it out, or write files: s3://…"
        fields.refuse(
            "connection",
            "files of the project need no `connection`",
            hint,
            code="conflicting_fields",
        )
    if not is_database(fields):
        return
    if "query" in fields and "table" in fields:
        fields.refuse(
            "table",
            f"{fields.what} has a `query` and a `table`",
            "keep one of them",
            code="conflicting_fields",
        )
    elif "query" not in fields and "table" not in fields:
        hint = "add table: schema.name, or query: select …"
        fields.report.error(
            "missing_field",
            fields.line("connection"),
            f"{fields.what} doesn't say what to read there",
            hint,
        )
    elif partition.key is not None:
        fields.refuse(
            "partition",
            "rows of a database can't be partitioned by key",
            "partition it by time or not at all",
        )
    elif (
        partition.grain is not None and partition.column is None and not _asks_for_interval(fields)
    ):
        fields.refuse(
            "partition",
            f"{fields.what} doesn't say which rows a {partition.grain} has",
            f"write partition: {{by: {partition.grain}, column: …}}, or a query with"
            " $partition_start and $partition_end",
        )


# all readers of fields are alike
def read_table(fields: Fields, partition: PartitionSpec) -> None:  # noqa: ARG001
    """Validate `table:`."""
    table = fields.text("table")
    if table is not None and parts_of(table) is None:
        fields.refuse(
            "table",
            f"{shown(table)} can't name a table",
            "write table: orders, or table: schema.orders; anything else is a `query`",
        )


def parts_of(table: str) -> tuple[str, ...] | None:
    """Return the parts of a table's name, at most 3; None if it is invalid."""
    parts = tuple(part.strip() for part in table.split("."))
    usable = all(part and len(part) <= NAME_CHARACTERS_MAX and part.isprintable() for part in parts)
    return parts if usable and len(parts) <= NAME_PARTS_MAX else None


def read_query(fields: Fields, partition: PartitionSpec) -> None:
    """Validate `query:`."""
    query = fields.text("query")
    if query is None:
        return
    unknown = [name for name in placeholders(query) if name not in PLACEHOLDERS]
    if len(query) > QUERY_CHARACTERS_MAX or "\0" in query or one_select(query) is None:
        fields.refuse(
            "query",
            "`query` isn't one SELECT",
            "write one statement that begins with `select` or `with`, without `;` inside",
        )
    elif unknown:
        fields.refuse(
            "query",
            f"`query` has {shown(f'${unknown[0]}')}",
            "known here: $partition_start and $partition_end",
        )
    elif placeholders(query) and partition.grain is None:
        fields.refuse(
            "query",
            "`query` asks for an interval, and the source isn't partitioned by time",
            "add `partition: day`",
        )


# all readers of fields are alike
def read_cursor(fields: Fields, partition: PartitionSpec) -> None:  # noqa: ARG001
    """Validate `cursor:`."""
    cursor = fields.text("cursor")
    if not is_database(fields):
        fields.refuse(
            "cursor",
            "`cursor` is for rows of a database",
            "add `connection`, with `table` or `query`",
            code="conflicting_fields",
        )
    elif cursor is not None and (len(cursor) > NAME_CHARACTERS_MAX or not cursor.isprintable()):
        fields.refuse("cursor", f"{shown(cursor)} can't name a column", "write cursor: updated_at")


def _asks_for_interval(fields: Fields) -> bool:
    query = fields.raw("query")
    return isinstance(query, str) and "partition_start" in placeholders(query)


def misused(source: Source, connection: Mapping[str, Any]) -> str:
    """Return why rows can't be read from a connection; empty if they can.

    Also empty if the connection's kind is unknown before secrets are resolved.
    """
    kind = connection_kind(connection)
    if not ({"table", "query"} & source.connector.keys()) or kind in DATABASES:
        return ""
    if kind is not None:
        return (
            f"rows can't be read from a connection of the kind {shown(kind)}, only from"
            f" {one_of(DATABASES)}"
        )
    return (
        ""
        if "url" in connection
        else "the connection doesn't say what it leads to: add a `url`, or a `type`"
    )


def as_delivered(source: Source) -> Source:
    """Return a database source with its derived fields.

    An unpartitioned source with `cursor:` gets one partition per delivery; without `cursor:` it is
    re-read daily unless `every:` is declared.
    """
    if not ({"table", "query"} & source.connector.keys()) or not source.partition.whole:
        return source
    if "cursor" in source.connector:
        return msgspec.structs.replace(source, partition=PartitionSpec(by_delivery=True))
    return msgspec.structs.replace(source, every=source.every or READ_EVERY)
