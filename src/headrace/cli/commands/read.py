"""`headrace read` and `headrace sql`: published rows as a table, CSV, JSON, Parquet or Arrow."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Annotated, BinaryIO

from headrace.cli.declared_commands import terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, data_table, seconds
from headrace.cli.terminal import clean_lines, joined, plural
from headrace.model.errors import UsageError
from headrace.model.partitions import command_line
from headrace.project.parameters import Argument, Option
from headrace.project.read_queries import ReadQuery
from headrace.responses import ReadResponse
from headrace.responses.inspections import AttachResponse, SqlResponse
from headrace.responses.rows import DataStateRow
from headrace.services.read import read, write

if TYPE_CHECKING:
    from headrace.services.sql import SqlQuery


# Rows written to a file or a pipe. A file is replaced as a whole, or not at all.

FORMATS = ("table", "csv", "json", "parquet", "arrow")
BINARY_FORMATS = ("parquet", "arrow")


def chosen_format(form: str | None, out: Path | None, *, json: bool) -> str:
    """Return the output format: that of --format or --json, else that of the file's suffix.

    Raises UsageError for unknown or contradictory formats, and for binary formats on a terminal.
    """
    if form is not None and form not in FORMATS:
        raise UsageError(f"--format {form} isn't known", hint=f"one of {', '.join(FORMATS)}")
    chosen = form or (
        "json" if json else (out.suffix.lstrip(".").lower() if out is not None else "table")
    )
    if json and chosen != "json":
        raise UsageError(
            f"--json and --format {chosen} exclude each other", hint="leave one of them out"
        )
    if out is not None and (chosen == "table" or chosen not in FORMATS):
        raise UsageError(
            f"--out {out} doesn't say in which format", hint="--format csv, json, parquet or arrow"
        )
    if out is None and chosen in BINARY_FORMATS and sys.stdout.isatty():
        raise UsageError(f"{chosen} isn't for terminals", hint="--out FILE")
    return chosen


def replace_file(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write a temporary file and rename it to `path`: readers see the old file or the new one."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def write_out(fill: Callable[[BinaryIO], object], out: Path | None) -> None:
    """Write rows to a file or to standard output; on a terminal, escape control characters."""
    if out is not None:
        replace_file(out, fill)
    elif sys.stdout.isatty():
        buffer = io.BytesIO()
        fill(buffer)
        sys.stdout.write(clean_lines(buffer.getvalue().decode(errors="backslashreplace")))
    else:
        fill(sys.stdout.buffer)
        sys.stdout.buffer.flush()


# `headrace read ASSET`

TABLE_ROWS = 100


DataFormat = Annotated[
    str | None, Option("--format", metavar="|".join(FORMATS), help="how (default: a table)")
]
Out = Annotated[Path | None, Option("--out", metavar="FILE", help="into a file, replaced whole")]


@terminal_command(
    "read:read", group="look", summary="read published data as a table, CSV, JSON, Parquet or Arrow"
)
def read_command(
    invocation: Invocation,
    asset: str,
    *,
    partitions: list[str],
    at: str | None,
    version: int | None,
    limit: int | None,
    only_sound: bool,
    form: DataFormat = None,
    out: Out = None,
    role: Annotated[
        str | None,
        Option("--as", metavar="ROLE", help="what this role would read; for owners and admins"),
    ] = None,
) -> int:
    """Read published data as a table, or all rows as CSV, JSON, Parquet or Arrow."""
    name, at_key, key = asset.partition("@")
    keys = (*([key] if at_key else []), *partitions)
    chosen = chosen_format(form, out, json=invocation.options.json)
    query = ReadQuery(name, keys, at, version, limit, only_sound)
    if chosen in ("csv", *BINARY_FORMATS):
        _write_rows(invocation, query, chosen, out, role)
        return 0
    read_query = (
        query
        if chosen == "json" or limit is not None
        else ReadQuery(name, keys, at, version, TABLE_ROWS, only_sound)
    )
    response = read(invocation.session, read_query, None, role)
    _warn_of(response.states, invocation)
    if chosen == "json":
        _write_json(invocation, response, out)
    else:
        _render_rows(response, invocation.output())
    return 0


def _write_rows(
    invocation: Invocation, query: ReadQuery, form: str, out: Path | None, role: str | None
) -> None:
    states: list[DataStateRow] = []
    write_out(
        lambda file: states.extend(write(invocation.session, query, file, form, None, role)), out
    )
    _warn_of(states, invocation)
    if out is not None:
        invocation.note(f"{out}: {query.asset} as {form}")
    if invocation.session.replay:
        invocation.note(invocation.times.clock())


def _warn_of(states: list[DataStateRow], invocation: Invocation) -> None:
    """Say on standard error what has to be known of the rows."""
    from headrace.standing.data_states import sentence

    for row in states:
        invocation.note(f"warning: {sentence(row)}")
    if command := next((row.command for row in states if row.command), None):
        invocation.note(f"  next: {command}")


def _write_json(invocation: Invocation, response: ReadResponse, out: Path | None) -> None:
    if out is None:
        invocation.json(response)
        return
    from headrace.responses.base import encoded

    replace_file(out, lambda file: file.write(encoded(response) + b"\n"))
    invocation.note(f"{out}: {response.asset} as json")


def _render_rows(response: ReadResponse, page: CommandOutput) -> None:
    page.head(response.asset, response.state)
    if response.reason:
        page.say(response.reason, "warn")
    if response.published_at is None and not response.rows:
        page.say("nothing is published of what was asked: there are no rows", "warn")
        page.next("headrace status")
        return
    page.say()
    data_table(page, response.columns, response.rows)
    page.say()
    total = response.rows_total if response.rows_total is not None else len(response.rows)
    rows = (
        plural(total, "row")
        if len(response.rows) == total
        else f"{len(response.rows):,} of {plural(total, 'row')}"
    )
    facts = [
        rows,
        f"snapshot {response.snapshot}",
        f"published {page.times.time_text(response.published_at)}",
    ]
    if response.data_through is not None:
        facts.append(f"data through {page.times.partition(response.data_through)}")
    page.facts(*facts)
    _say_masked(response, page)
    _say_not_rebuilt(response, page)
    more = len(response.rows) < total
    page.next(
        f"headrace read {response.asset} --format csv --out {response.asset}.csv"
        if more
        else f"headrace lineage {response.asset}"
    )


def _say_not_rebuilt(response: ReadResponse, page: CommandOutput) -> None:
    """Say which partitions are removed, how to rebuild them, and which have other rows since."""
    removed = [row for row in response.not_rebuilt if row.state == "removed"]
    if removed:
        count = plural(len(removed), "partition")
        page.say(f"without the rows of {count}, which can be rebuilt: {removed[0].command}", "warn")
    for row in response.not_rebuilt:
        if row.state == "differs":
            page.say(f"{row.partition} was rebuilt, and has other rows than before", "warn")


def _say_masked(response: ReadResponse, page: CommandOutput) -> None:
    visible = {column.name.lower() for column in response.columns}
    masked = [name for name in response.masked if name in visible]
    left_out = [name for name in response.masked if name not in visible]
    if masked:
        page.say(f"masked: {', '.join(masked)}", "dim")
    if left_out:
        them = "them" if len(left_out) > 1 else "it"
        page.say(f"left out, because you may not read {them}: {', '.join(left_out)}", "dim")


# `headrace sql QUERY`

QUERY_BYTES_MAX = 4 << 20
LONG_QUERY_SECONDS = 10.0


@terminal_command("sql:run_query", group="look", summary="query one snapshot of all published data")
def sql_command(
    invocation: Invocation,
    query: Annotated[
        str | None, Argument("[QUERY]", help="a SELECT, a file FILE.sql, or - for standard input")
    ] = None,
    *,
    at: str | None,
    limit: int | None,
    parameters: dict[str, str],
    only_sound: bool,
    form: DataFormat = None,
    out: Out = None,
    attach: Annotated[
        bool, Option("--attach", help="print the DuckDB statement that attaches the lake")
    ] = False,
) -> int:
    """Query one snapshot of all published data; sources and assets are tables.

    `headrace.runs`, `headrace.incidents` and others are the project's own state. A query can't
    change anything.
    """
    if attach:
        return _attach_lake(invocation)
    if query is None:
        raise UsageError("missing: QUERY", hint='headrace sql "select count(*) from …"')
    from headrace.services.sql import SqlQuery

    chosen = chosen_format(form, out, json=invocation.options.json)
    rows = TABLE_ROWS if limit is None and chosen == "table" else limit
    sql_query = SqlQuery(_query_text(query), at, rows, parameters, only_sound=only_sound)
    if chosen in ("csv", *BINARY_FORMATS):
        _write_result(invocation, sql_query, chosen, out)
        return 0
    from headrace.services.sql import run_query

    with _told_how_to_stop(invocation):
        response = run_query(invocation.session, sql_query)
    _warn_of(response.states, invocation)
    if chosen == "json" and out is not None:
        from headrace.responses.base import encoded

        replace_file(out, lambda file: file.write(encoded(response) + b"\n"))
    elif chosen == "json":
        invocation.json(response)
    else:
        _render_result(response, invocation.output())
    return 0


def _attach_lake(invocation: Invocation) -> int:
    from headrace.services.sql import attach

    response = attach(invocation.session)
    if invocation.options.json:
        invocation.json(response)
        return 0
    _render_attach_statement(response, CommandOutput(invocation.screen, None))
    invocation.note(response.note)
    return 0


def _query_text(query: str) -> str:
    """Return the SQL text: the argument itself, a file's content, or standard input for `-`.

    Raises UsageError for a file that can't be read.
    """
    if query == "-":
        return sys.stdin.read(QUERY_BYTES_MAX)
    if query.endswith(".sql") and " " not in query:
        try:
            return Path(query).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{query} can't be read: {error}", hint="a file with one SELECT, as UTF-8"
            ) from error
    return query


def _write_result(invocation: Invocation, sql_query: SqlQuery, form: str, out: Path | None) -> None:
    from headrace.services.sql import write

    states: list[DataStateRow] = []
    with _told_how_to_stop(invocation):
        write_out(lambda file: states.extend(write(invocation.session, sql_query, file, form)), out)
    _warn_of(states, invocation)
    if out is not None:
        invocation.note(f"{out}: as {form}")


@contextmanager
def _told_how_to_stop(invocation: Invocation) -> Iterator[None]:
    """Say on standard error how a query is stopped that runs for long: perhaps it never ends."""
    text = (
        f"the query still runs after {LONG_QUERY_SECONDS:.0f} s; Ctrl+C stops it, and nothing is"
        " changed. `with recursive` needs a condition that ends it: --limit doesn't"
    )
    timer = Timer(LONG_QUERY_SECONDS, invocation.note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _render_result(response: SqlResponse, page: CommandOutput) -> None:
    page.head(joined(response.tables))
    page.say()
    data_table(page, response.columns, response.rows)
    page.say()
    rows = plural(len(response.rows), "row")
    nodes = [name for name in response.tables if "." not in name]
    text = f"the first {rows}; --limit N shows more" if response.truncated else rows
    page.facts(text, _as_of(response, page), seconds(response.seconds))
    if response.masked:
        page.say(f"the query saw masked, or not at all: {joined(response.masked)}", "dim")
    page.next(command_line("lineage", nodes[0]) if nodes else "headrace status")


def _as_of(response: SqlResponse, page: CommandOutput) -> str:
    """Return as of when the rows are."""
    if response.snapshot is None:
        return "the state as it is now" if response.tables else "nothing is published"
    as_of = "" if response.at is None else f" of {page.times.time_text(response.at)}"
    return f"snapshot {response.snapshot}{as_of}"


def _render_attach_statement(response: AttachResponse, page: CommandOutput) -> None:
    """Print only the statement on standard output, so that it can be piped into DuckDB."""
    page.raw(response.statement)
