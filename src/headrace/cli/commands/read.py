"""`headrace read ASSET`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from headrace.cli.data import grid
from headrace.cli.invocation import Invocation
from headrace.cli.output import BINARY, FORMATS, format_of, replace_file, write_out
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.text import plural
from headrace.model.errors import NotBuilt
from headrace.operations.read import ReadQuery, read, write
from headrace.operations.responses import ReadResponse

TABLE_ROWS = 100


def command(
    invocation: Invocation,
    asset: Annotated[str, Argument("ASSET", help="an asset or a source")],
    partition: Annotated[list[str] | None, Option("--partition", metavar="K,…", help="only these partitions")] = None,
    at: Annotated[str | None, Option("--at", metavar="T", help="as it was at a time")] = None,
    version: Annotated[int | None, Option("--version", metavar="N", least=0, help="as it was in a snapshot")] = None,
    limit: Annotated[int | None, Option("--limit", metavar="N", least=0, help="at most so many rows (a table: 100)")] = None,
    form: Annotated[str | None, Option("--format", metavar="|".join(FORMATS), help="how (default: a table)")] = None,
    out: Annotated[Path | None, Option("--out", metavar="FILE", help="into a file, replaced whole")] = None,
    role: Annotated[str | None, Option("--as", metavar="ROLE", help="not built yet: there are no roles")] = None,
) -> int:
    """Published data: as a table, or all rows as CSV, JSON, Parquet or Arrow."""
    if role is not None:
        raise NotBuilt("roles and masking are not built yet", hint="leave --as away: nothing is masked")
    name, _, key = asset.partition("@")
    keys = tuple(item.strip() for text in [*([key] if key else []), *(partition or [])] for item in text.split(",") if item.strip())
    chosen = format_of(form, out, json=invocation.options.json)
    query = ReadQuery(asset=name, partitions=keys, at=at, version=version, limit=limit)
    if chosen in ("csv", *BINARY):
        _write(invocation, query, chosen, out)
        return 0
    read_query = (
        query if chosen == "json" or limit is not None else ReadQuery(asset=name, partitions=keys, at=at, version=version, limit=TABLE_ROWS)
    )
    response = read(invocation.session, read_query)
    if chosen == "json":
        _json(invocation, response, out)
    else:
        _render(response, CommandOutput(invocation.screen, invocation.reader, invocation.suffix))
    return 0


def _write(invocation: Invocation, query: ReadQuery, form: str, out: Path | None) -> None:
    write_out(lambda file: write(invocation.session, query, file, form), out)
    if out is not None:
        invocation.note(f"{out}: {query.asset} as {form}")
    if invocation.session.replay:
        invocation.note(invocation.reader.clock())


def _json(invocation: Invocation, response: ReadResponse, out: Path | None) -> None:
    if out is None:
        invocation.json(response)
        return
    from headrace.operations.encoding import encoded

    replace_file(out, lambda file: file.write(encoded(response) + b"\n"))
    invocation.note(f"{out}: {response.asset} as json")


def _render(response: ReadResponse, page: CommandOutput) -> None:
    page.head(response.asset, response.state)
    if response.published_at is None and not response.rows:
        page.say("nothing is published of what was asked: there are no rows", "warn")
        page.next("headrace status")
        return
    page.say()
    grid(page, response.columns, response.rows)
    page.say()
    total = response.rows_total if response.rows_total is not None else len(response.rows)
    rows = plural(total, "row") if len(response.rows) == total else f"{len(response.rows):,} of {plural(total, 'row')}"
    facts = [rows, f"snapshot {response.snapshot}", f"published {page.reader.moment(response.published_at)}"]
    if response.data_through is not None:
        facts.append(f"data through {page.reader.partition(response.data_through)}")
    page.facts(*facts)
    more = len(response.rows) < total
    page.next(f"headrace read {response.asset} --format csv --out {response.asset}.csv" if more else f"headrace lineage {response.asset}")
