"""`headrace sql QUERY`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from headrace.cli.data import grid
from headrace.cli.invocation import Invocation
from headrace.cli.moments import seconds
from headrace.cli.output import BINARY, FORMATS, format_of, replace_file, write_out
from headrace.cli.page import CommandOutput
from headrace.cli.parameters import Set, parameters
from headrace.cli.parsing import Argument, Option
from headrace.cli.text import joined, plural
from headrace.model.commands import command_line
from headrace.model.errors import UsageError
from headrace.operations.inspections import AttachResponse, SqlResponse

if TYPE_CHECKING:
    from headrace.operations.sql import SqlQuery

TABLE_ROWS = 100
QUERY_BYTES_MAX = 4 << 20


def command(
    invocation: Invocation,
    query: Annotated[str | None, Argument("[QUERY]", help="a SELECT, a file FILE.sql, or - for standard input")] = None,
    at: Annotated[str | None, Option("--at", metavar="T", help="over the snapshot of a time")] = None,
    limit: Annotated[int | None, Option("--limit", metavar="N", least=0, help="at most so many rows (a table: 100)")] = None,
    setting: Set = None,
    form: Annotated[str | None, Option("--format", metavar="|".join(FORMATS), help="how (default: a table)")] = None,
    out: Annotated[Path | None, Option("--out", metavar="FILE", help="into a file, replaced whole")] = None,
    attach: Annotated[bool, Option("--attach", help="print the DuckDB statement that attaches the lake")] = False,
) -> int:
    """A query over one snapshot of all that is published: sources and assets are tables. It can't change anything."""
    if attach:
        return _attach(invocation)
    if query is None:
        raise UsageError("missing: QUERY", hint='headrace sql "select count(*) from …"')
    from headrace.operations.sql import SqlQuery

    chosen = format_of(form, out, json=invocation.options.json)
    rows = TABLE_ROWS if limit is None and chosen == "table" else limit
    question = SqlQuery(_text(query), at, rows, parameters(setting))
    if chosen in ("csv", *BINARY):
        _write(invocation, question, chosen, out)
        return 0
    from headrace.operations.sql import query as ask

    response = ask(invocation.session, question)
    if chosen == "json" and out is not None:
        from headrace.operations.encoding import encoded

        replace_file(out, lambda file: file.write(encoded(response) + b"\n"))
    elif chosen == "json":
        invocation.json(response)
    else:
        _render(response, CommandOutput(invocation.screen, invocation.reader, invocation.suffix))
    return 0


def _attach(invocation: Invocation) -> int:
    from headrace.operations.attach import attach

    response = attach(invocation.session)
    if invocation.options.json:
        invocation.json(response)
        return 0
    _statement(response, CommandOutput(invocation.screen, None))
    invocation.note(response.note)
    return 0


def _text(query: str) -> str:
    """The query itself, that of a file, or standard input's."""
    if query == "-":
        return sys.stdin.read(QUERY_BYTES_MAX)
    if query.endswith(".sql") and " " not in query:
        try:
            return Path(query).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{query} can't be read: {error}", hint="a file with one SELECT, as UTF-8") from error
    return query


def _write(invocation: Invocation, question: SqlQuery, form: str, out: Path | None) -> None:
    from headrace.operations.sql import write

    write_out(lambda file: write(invocation.session, question, file, form), out)
    if out is not None:
        invocation.note(f"{out}: as {form}")


def _render(response: SqlResponse, page: CommandOutput) -> None:
    page.head(joined(response.tables))
    page.say()
    grid(page, response.columns, response.rows)
    page.say()
    rows = plural(len(response.rows), "row")
    snapshot = "nothing is published" if response.snapshot is None else f"snapshot {response.snapshot}"
    made = "" if response.at is None else f"of {page.reader.moment(response.at)}"
    text = f"the first {rows}; --limit N shows more" if response.truncated else rows
    page.facts(text, f"{snapshot} {made}".strip(), seconds(response.seconds))
    page.next(command_line("lineage", response.tables[0]) if response.tables else "headrace ls")


def _statement(response: AttachResponse, page: CommandOutput) -> None:
    """Alone on standard output: it is piped into DuckDB."""
    page.raw(response.statement)
