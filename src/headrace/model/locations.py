"""Locations of data: paths, URLs of file systems, connections, and database tables and queries."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace.model.errors import Report, did_you_mean, one_of, shown
from headrace.model.fields import Fields, LocatedMapping
from headrace.model.nodes import Grain, PartitionSpec, Source
from headrace.model.secrets import check_url, is_reference

# `files:` on a remote file system: URLs with a scheme that fsspec knows.

REMOTE_SCHEMES = (
    "s3",
    "s3a",
    "gs",
    "gcs",
    "az",
    "abfs",
    "abfss",
    "adl",
    "sftp",
    "ssh",
    "ftp",
    "smb",
    "hdfs",
    "webhdfs",
    "oss",
    "oci",
)
"""Remote schemes only: `file:`, archives, caches and chains (`zip::s3://…`) access this machine."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def scheme_of(path: str) -> str | None:
    """Return the scheme of a URL in lower case; None for a path."""
    match = _URL.match(path)
    return match[1].lower() if match else None


def is_usable_url(fields: Fields, name: str, url: str, partition: PartitionSpec) -> bool:
    """Return whether files can be found at a URL; report the problem otherwise."""
    scheme = scheme_of(url)
    host, _, path = url.partition("://")[2].partition("/")
    check_url(name, url, fields.line(name), fields.report)
    if "::" in url or scheme not in REMOTE_SCHEMES:
        web = scheme in ("http", "https")
        problem = "can't be read from"
        hint = (
            "write http: with the URL"
            if web
            else "known: s3, gs, abfs, sftp and their like; a path of the project needs no scheme"
        )
    elif not host or any(sign in host for sign in "{}*@ "):
        problem, hint = (
            "doesn't say which bucket or host",
            "s3://bucket/folder/name_{date:%Y-%m-%d}.csv; who asks stands in a connection",
        )
    elif not path or ".." in path.split("/") or "\\" in url or not url.isprintable():
        problem, hint = (
            "has characters that a path can't have, or no path",
            "s3://bucket/folder/name_{date:%Y-%m-%d}.csv",
        )
    elif partition.grain is not None and "{date:" not in url:
        problem, hint = (
            f"doesn't say which {partition.grain} a file holds",
            "put {date:%Y-%m-%d} into the name, or partition: '*'",
        )
    else:
        return True
    fields.refuse(name, f"{shown(url)} {problem}", hint, code="bad_path")
    return False


# Paths in declarations: inside the project, with at most one `{date:…}` and one `{key}`.

PATH_CHARACTERS_MAX = 1_000
KEY_PLACEHOLDER = "{key}"
DATE_PLACEHOLDER = re.compile(r"\{date:([^{}]+)\}")
STARS_MAX = 3
"""At most this number of `*` per path part: each one multiplies the time to match a name."""
_DIRECTIVES = {
    "Y": "year",
    "y": "year",
    "G": "week_year",
    "V": "week",
    "u": "weekday",
    "q": "quarter",
    "m": "month",
    "b": "month",
    "d": "day",
    "j": "day_of_year",
    "H": "hour",
    "M": "minute",
    "S": "second",
    "z": "offset",
}
_DAYS = ({"year", "month", "day"}, {"year", "day_of_year"}, {"week_year", "week", "weekday"})
_MONTHS = ({"year", "month"}, {"year", "day_of_year"})
_ENOUGH: dict[Grain, tuple[set[str], ...]] = {
    Grain.HOUR: tuple(day | {"hour"} for day in _DAYS),
    Grain.DAY: _DAYS,
    Grain.WEEK: (*_DAYS, {"week_year", "week"}),
    Grain.MONTH: _MONTHS,
    Grain.QUARTER: (*_MONTHS, {"year", "quarter"}),
    Grain.YEAR: ({"year"},),
}
"""Sets of date parts in a name that identify an interval, by grain; one set is enough."""


def read_path(fields: Fields, name: str) -> str | None:
    """Return a project-relative path; None, reported, if it leaves the project."""
    path = fields.text(name)
    return path if path is not None and _is_inside(fields, name, path) else None


def read_pattern(  # complexipy: ignore (refusals in a row, each with its hint)
    fields: Fields, name: str, partition: PartitionSpec
) -> str | None:
    """Return a path pattern; None, with a reported problem, if it is invalid.

    `{date:…}` and `{key}` must identify the partition, unless a column assigns rows to partitions.
    """
    path = fields.text(name)
    if path is None or not (
        is_usable_url(fields, name, path, partition)
        if scheme_of(path)
        else _is_inside(fields, name, path)
    ):
        return None
    formats = DATE_PLACEHOLDER.findall(path)
    if (
        "{" in (rest := DATE_PLACEHOLDER.sub("", path).replace(KEY_PLACEHOLDER, "", 1))
        or "}" in rest
    ):
        fields.refuse(
            name,
            f"{shown(path)} has braces that aren't one `{{date:…}}` or one `{{key}}`",
            "write for example flights_{date:%Y-%m-%d}.csv",
            code="bad_path",
        )
    elif len(formats) > 1:
        fields.refuse(
            name,
            f"{shown(path)} has more than one `{{date:…}}`",
            "put it into one: {date:%Y/%m/%d}",
            code="bad_path",
        )
    elif any(part.count("*") > STARS_MAX for part in rest.split("/")):
        fields.refuse(
            name,
            f"{shown(path)} has too many `*`",
            f"at most {STARS_MAX} in one part of a path",
            code="bad_path",
        )
    elif KEY_PLACEHOLDER in path and partition.key is None:
        fields.refuse(
            name,
            "`{key}` needs a partition by key",
            "add `partition: {key: region}`, or write `*`",
            code="bad_path",
        )
    elif formats:
        return path if _names_partition(fields, name, formats[0], partition) else None
    elif partition.grain is not None and partition.column is None:
        fields.refuse(
            name,
            f"{shown(path)} doesn't say which {partition.grain} a file holds",
            "put {date:%Y-%m-%d} into the name, or say which column does: partition: {by: day,"
            " column: …}",
            code="bad_path",
        )
    else:
        return path
    return None


def _is_inside(fields: Fields, name: str, path: str) -> bool:
    hint = "a path inside the project, such as landing/orders.csv"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
        problem = "is a URL"
    elif path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        problem, hint = (
            "is absolute",
            (
                "write it relative to the project; link or mount the folder below it where data"
                " lies elsewhere"
            ),
        )
    elif ".." in DATE_PLACEHOLDER.sub(r"\1", path).replace("\\", "/").split("/"):
        problem = "climbs out with `..`"
    elif "\\" in path or not path.isprintable() or len(path) > PATH_CHARACTERS_MAX:
        problem, hint = (
            "has characters that a path can't have",
            "`/` between folders, nothing that can't be printed",
        )
    else:
        return True
    fields.refuse(name, f"{shown(path)} {problem}", hint, code="bad_path")
    return False


def _names_partition(fields: Fields, name: str, date_format: str, partition: PartitionSpec) -> bool:
    if partition.grain is None:
        fields.refuse(
            name,
            "`{date:…}` needs a partition by time",
            "add `partition: day`, or take `{date:…}` out",
            code="bad_path",
        )
        return False
    return tells_apart(fields, name, date_format, partition.grain)


def tells_apart(fields: Fields, name: str, date_format: str, grain: Grain) -> bool:
    """Return whether a `{date:…}` is valid and differs between intervals of the grain."""
    directives = re.findall(r"%(.)", date_format.replace("%%", ""))
    for directive in directives:
        if directive not in _DIRECTIVES:
            fields.refuse(
                name,
                f"`%{directive}` isn't read in `{{date:…}}`",
                "known: %Y %m %d %H %M %S %z %j %G %V %u %q %y %b",
                code="bad_path",
            )
            return False
    parts = {_DIRECTIVES[directive] for directive in directives}
    if any(needed <= parts for needed in _ENOUGH[grain]):
        return True
    fields.refuse(
        name,
        f"{shown(date_format)} doesn't tell one {grain} from another",
        "write for example {date:%Y-%m-%d}",
        code="bad_path",
    )
    return False


# `[connections.X]`: kinds of connections and their fields.

CONNECTION_SCHEMES = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
    "http": "http",
    "https": "http",
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "sftp": "sftp",
    "ssh": "sftp",
}
"""Kind of connection by URL scheme."""
CONNECTION_KINDS = tuple(dict.fromkeys(CONNECTION_SCHEMES.values()))
DATABASES = ("postgresql", "mysql", "sqlite")
_DATABASE_FIELDS = (
    "type",
    "url",
    "host",
    "port",
    "database",
    "user",
    "password",
    "connect_timeout",
    "timeout",
    "description",
)
_CONNECTION_FIELDS = {
    "postgresql": (*_DATABASE_FIELDS, "sslmode", "sslrootcert", "sslcert", "sslkey", "schema"),
    "mysql": (*_DATABASE_FIELDS, "sslmode", "sslrootcert", "sslcert", "sslkey"),
    "sqlite": ("type", "url", "path", "timeout", "description"),
}
_OTHER_SYSTEMS = (
    "have another system write files to a bucket, or read it in a Python asset or a command"
)
_SCHEMES_SUGGESTED = ("postgresql:", "mysql:", "sqlite:", "https:", "s3:")
PORT_MAX = 65_535


def connection_kind(connection: Mapping[str, Any]) -> str | None:
    """Return a connection's kind, such as `postgresql`, from `type` or the URL's scheme.

    Returns None if it is unknown before secrets are resolved.
    """
    kind = connection.get("type")
    if isinstance(kind, str):
        return CONNECTION_SCHEMES.get(kind, kind) if kind not in CONNECTION_KINDS else kind
    url = connection.get("url")
    if not isinstance(url, str):
        return None
    scheme, colon, _ = url.partition(":")
    return CONNECTION_SCHEMES.get(scheme.lower()) if colon else None


def check_kind(name: str, connection: LocatedMapping, report: Report) -> None:
    """Report a connection of unknown kind, or with fields that its kind doesn't have."""
    kind, where = connection_kind(connection), f"connections.{name}"
    if kind is None:
        _check_unknown(where, connection, report)
    elif kind not in CONNECTION_KINDS:
        hint = (
            did_you_mean(kind, CONNECTION_KINDS)
            or f"write {one_of(CONNECTION_KINDS)}; {_OTHER_SYSTEMS}"
        )
        report.error(
            "wrong_value",
            connection.lines["type"],
            f"{shown(f'{where}.type')}: {shown(kind)} is no kind of connection",
            hint,
        )
    elif kind in _CONNECTION_FIELDS:
        _check_fields(where, connection, kind, report)


def _check_unknown(where: str, connection: LocatedMapping, report: Report) -> None:
    """Report a URL of unknown kind.

    A URL from a secret reference is checked once it is resolved. A connection for
    `files: s3://…` needs no URL.
    """
    url = connection.get("url")
    scheme = url.partition("://")[0] if isinstance(url, str) and "://" in url else ""
    if scheme and scheme != "secret" and "$" not in scheme:
        text = (
            f"{shown(f'{where}.url')}: {shown(scheme)} is no kind of connection that Headrace has"
        )
        report.error("wrong_value", connection.lines["url"], text, _instead(scheme))
    elif isinstance(url, str) and not is_reference(url):
        hint = f"write a URL that begins with {one_of(_SCHEMES_SUGGESTED)}"
        report.error(
            "wrong_value",
            connection.lines["url"],
            f"{shown(f'{where}.url')} doesn't say what it leads to",
            hint,
        )


def _instead(scheme: str) -> str:
    """Return a hint for an unsupported scheme."""
    parts = re.split(r"[+:]", scheme.lower().removeprefix("jdbc:"))
    if parts[0] in CONNECTION_SCHEMES:
        return f"write {parts[0]}://…, without the driver"
    return (
        f"known: {one_of(_SCHEMES_SUGGESTED)} and {one_of(('gs:', 'az:', 'sftp:'))};"
        f" {_OTHER_SYSTEMS}"
    )


def _check_fields(where: str, connection: LocatedMapping, kind: str, report: Report) -> None:
    known = _CONNECTION_FIELDS[kind]
    for field in connection:
        if field not in known:
            hint = did_you_mean(field, known) or f"known here: {', '.join(sorted(known))}"
            report.error(
                "unknown_field",
                connection.lines[field],
                f"unknown field {shown(field)} in {shown(where)}",
                hint,
            )
    port = connection.get("port")
    if (
        port is not None
        and not isinstance(port, str)
        and not (type(port) is int and 0 < port <= PORT_MAX)
    ):
        report.error(
            "wrong_value",
            connection.lines["port"],
            f"{shown(f'{where}.port')} is no port",
            f"a number from 1 to {PORT_MAX}",
        )
    if kind == "sqlite" and not (connection.keys() & {"url", "path"}):
        report.error(
            "missing_field",
            connection.line,
            f"{shown(where)} names no file",
            'add path = "data/erp.db"',
        )


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
