"""`headrace status [SELECT…]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from headrace.cli import states
from headrace.cli.invocation import Invocation
from headrace.cli.page import Page
from headrace.cli.parsing import ExitCode, Option, Select, Selection
from headrace.cli.running import past, repair
from headrace.cli.tables import Cell, Column
from headrace.cli.text import plural
from headrace.model.commands import command_line
from headrace.operations.availability import WINDOW
from headrace.operations.figure_responses import FIGURES
from headrace.operations.moved import CORRECT, elsewhere
from headrace.operations.responses import ConsumerRow, RepairRow, StatusResponse
from headrace.operations.status import status

PATHS_SHOWN_MAX = 5
PAUSED_SHOWN_MAX = 5
REPAIRS_SHOWN_MAX = 3


def command(
    invocation: Invocation,
    select: Selection = None,
    also: Select = None,
    window: Annotated[str | None, Option("--window", metavar="D", help="of the figures about the past, until now (30d)")] = None,
    explain: Annotated[str | None, Option("--explain", metavar="FIGURE", help="a figure and its rows: " + ", ".join(FIGURES))] = None,
    exit_code: ExitCode = False,
) -> int:
    """Consumers first: served or not, since when, why; and the command to type next."""
    chosen = [*(select or []), *(also or [])]
    if explain is not None:
        from headrace.cli import figure_page
        from headrace.operations import figures

        invocation.show(figures.explain(invocation.session, explain, chosen, window=window), figure_page.render)
        return 0
    document = status(invocation.session, chosen, window=window or WINDOW)
    invocation.show(document, _render)
    if said := elsewhere(invocation.session):
        invocation.note(f"{said}; {CORRECT}")
    return int(exit_code and any(consumer.state != "served" for consumer in document.consumers))


COLUMNS = [
    Column("consumer", gives=1, least=18),
    Column("needs", drops=2),
    Column("state"),
    Column("since", drops=1),
    Column("data through", drops=3),
    Column("why", gives=2, least=24),
]

FACTS = [Column("", least=10), Column("", gives=1, least=20)]


def _render(document: StatusResponse, page: Page) -> None:
    stands = " (replay stands still)" if document.clock == "replay" and document.runtime == "running" else ""
    page.facts(document.project, document.env, page.reader.clock(), f"runtime {document.runtime}{stands}", style="bold")
    page.say()
    page.table(COLUMNS, [_row(consumer, page) for consumer in document.consumers])
    if not document.consumers:
        page.say("no consumers: nobody has said who needs what by when (consumers.yaml)", indent=2)
    page.say()
    page.table(FACTS, _facts(document, page), header=False)
    _files(document, page)
    _repairs([row for row in document.repairs if row.incident is None], page)
    past(document.restated, document.proposed, page)
    page.say()
    page.say(document.headline)
    page.next(document.next, None if document.holding is None else document.holding.command)


def _repairs(rows: Sequence[RepairRow], page: Page) -> None:
    """What repairs that of which there is no incident."""
    for row in rows[:REPAIRS_SHOWN_MAX]:
        repair(row, page)
    if len(rows) > REPAIRS_SHOWN_MAX:
        page.say(f"and {plural(len(rows) - REPAIRS_SHOWN_MAX, 'more repair')}; --json has all", "dim", indent=2)


def _row(consumer: ConsumerRow, page: Page) -> list[str | Cell]:
    why = consumer.reason
    if consumer.missing_besides:
        more = "more " if consumer.state in ("late", "never") else ""
        why += f" (and {plural(consumer.missing_besides, f'{more}interval')} missing)"
    return [
        Cell(consumer.name, "bold"), consumer.needs, states.cell(consumer.state), page.reader.moment(consumer.since),
        page.reader.partition(consumer.data_through), why,
    ]  # fmt: skip


def _facts(document: StatusResponse, page: Page) -> list[list[str | Cell]]:
    counts = document.assets
    said = [
        f"{n} {state}"
        for state, n in (("fresh", counts.fresh), ("behind", counts.behind), ("stale", counts.stale), ("never", counts.never))
        if n
    ]
    said += [f"{n} {state}" for state, n in (("in quarantine", counts.quarantined), ("unchecked", counts.unchecked)) if n]
    assets: list[str | Cell] = [Cell("assets".ljust(_label_width(document)), "dim"), " · ".join(said) or "none"]
    rows = [*_availability(document), assets]
    waiting = document.quarantine
    if waiting.partitions:
        rows.append([Cell("quarantine", "dim"), _waiting(waiting.deliveries, waiting.partitions, waiting.rows)])
    if document.incidents_open > (0 if document.holding is None else document.holding.causes):
        rows.append([Cell("incidents", "dim"), f"{document.incidents_open} open: headrace incidents"])
    for outage in document.outages:
        over = f"{outage.text} (over; {command_line('incident', outage.incident)})"
        rows.append([Cell("outage", "dim"), Cell(over, "warn")])
    if document.lake is not None and document.lake.damaged:
        looked = f"{document.lake.looked_at_24h} of {plural(document.lake.files, 'file')} looked at within 24 h"
        rows.append([Cell("lake", "dim"), Cell(f"{document.lake.damaged} damaged; {looked}", "bad")])
    if document.undelivered:
        rows.append([Cell("messages", "dim"), Cell(f"{document.undelivered} couldn't be sent: headrace notify", "warn")])
    for one in document.paused[:PAUSED_SHOWN_MAX]:
        until = f", until {page.reader.moment(one.until)}" if one.until else ""
        rows.append([Cell("paused", "dim"), f"{one.node}: {one.reason} (by {one.by}{until})"])
    if len(document.paused) > PAUSED_SHOWN_MAX:
        rows.append([Cell("", "dim"), f"and {len(document.paused) - PAUSED_SHOWN_MAX} more: headrace pause"])
    return rows


def _availability(document: StatusResponse) -> list[list[str | Cell]]:
    """Served, next to what other tools would say."""
    rows: list[list[str | Cell]] = []
    if document.availability_text:
        rows.append([Cell("honest availability", "dim"), document.availability_text])
        rows += [[Cell("", "dim"), said] for said in document.corrections]
    if document.classic_uptime is not None:
        rows.append([Cell("classic uptime", "dim"), document.uptime_text])
    if document.promises_weakened:
        said = f"{plural(document.promises_weakened, 'promise')} weakened within {document.window}; the past is evaluated by those before"
        rows.append([Cell("promises", "dim"), said])
    return rows


def _label_width(document: StatusResponse) -> int:
    """Labels are as wide as the widest asset whose path is shown, so that what they say stands in one column."""
    labels = ["assets", *(files.asset for files in document.files)]
    labels += ["honest availability"] if document.availability_text else []
    labels += ["quarantine"] if document.quarantine.partitions else []
    return max(map(len, labels))


def _files(document: StatusResponse, page: Page) -> None:
    """Where what was written can be opened; never cut, people paste it."""
    for files in document.files:
        for path in files.paths[:PATHS_SHOWN_MAX]:
            page.raw(f"  {files.asset.ljust(_label_width(document))}  {path}")
        if len(files.paths) > PATHS_SHOWN_MAX:
            page.say(f"and {len(files.paths) - PATHS_SHOWN_MAX} more files", indent=4)


def _waiting(deliveries: int, partitions: int, rows: int) -> str:
    said = [plural(deliveries, "delivery", "deliveries")] if deliveries else []
    if partitions > deliveries:
        said.append(plural(partitions - deliveries, "partition"))
    return ", ".join([*said, plural(rows, "row")] if rows else said)
