"""`headrace status [SELECT…]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from headrace.cli import states
from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import ExitCode, Option, Select, Selection
from headrace.cli.running import past, repair
from headrace.cli.tables import ColumnLayout, StyledCell
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
    response = status(invocation.session, chosen, window=window or WINDOW)
    invocation.show(response, _render)
    if text := elsewhere(invocation.session):
        invocation.note(f"{text}; {CORRECT}")
    return int(exit_code and any(consumer.state != "served" for consumer in response.consumers))


COLUMNS = [
    ColumnLayout("consumer", gives=1, least=18),
    ColumnLayout("needs", drops=2),
    ColumnLayout("state"),
    ColumnLayout("since", drops=1),
    ColumnLayout("data through", drops=3),
    ColumnLayout("why", gives=2, least=24),
]

FACTS = [ColumnLayout("", least=10), ColumnLayout("", gives=1, least=20)]


def _render(response: StatusResponse, page: CommandOutput) -> None:
    stands = " (replay stands still)" if response.clock == "replay" and response.runtime == "running" else ""
    page.facts(response.project, response.env, page.reader.clock(), f"runtime {response.runtime}{stands}", style="bold")
    page.say()
    page.table(COLUMNS, [_row(consumer, page) for consumer in response.consumers])
    if not response.consumers:
        page.say("no consumers: nobody has said who needs what by when (consumers.yaml)", indent=2)
    page.say()
    page.table(FACTS, _facts(response, page), header=False)
    _files(response, page)
    _repairs([row for row in response.repairs if row.incident is None], page)
    past(response.restated, response.proposed, page)
    page.say()
    page.say(response.headline)
    page.next(response.next, None if response.holding is None else response.holding.command)


def _repairs(rows: Sequence[RepairRow], page: CommandOutput) -> None:
    """What repairs that of which there is no incident."""
    for row in rows[:REPAIRS_SHOWN_MAX]:
        repair(row, page)
    if len(rows) > REPAIRS_SHOWN_MAX:
        page.say(f"and {plural(len(rows) - REPAIRS_SHOWN_MAX, 'more repair')}; --json has all", "dim", indent=2)


def _row(consumer: ConsumerRow, page: CommandOutput) -> list[str | StyledCell]:
    why = consumer.reason
    if consumer.missing_besides:
        more = "more " if consumer.state in ("late", "never") else ""
        why += f" (and {plural(consumer.missing_besides, f'{more}interval')} missing)"
    return [
        StyledCell(consumer.name, "bold"), consumer.needs, states.cell(consumer.state), page.reader.moment(consumer.since),
        page.reader.partition(consumer.data_through), why,
    ]  # fmt: skip


def _facts(response: StatusResponse, page: CommandOutput) -> list[list[str | StyledCell]]:
    counts = response.assets
    said = [
        f"{n} {state}"
        for state, n in (("fresh", counts.fresh), ("behind", counts.behind), ("stale", counts.stale), ("never", counts.never))
        if n
    ]
    said += [f"{n} {state}" for state, n in (("in quarantine", counts.quarantined), ("unchecked", counts.unchecked)) if n]
    assets: list[str | StyledCell] = [StyledCell("assets".ljust(_label_width(response)), "dim"), " · ".join(said) or "none"]
    rows = [*_availability(response), assets]
    waiting = response.quarantine
    if waiting.partitions:
        rows.append([StyledCell("quarantine", "dim"), _waiting(waiting.deliveries, waiting.partitions, waiting.rows)])
    if response.incidents_open > (0 if response.holding is None else response.holding.causes):
        rows.append([StyledCell("incidents", "dim"), f"{response.incidents_open} open: headrace incidents"])
    for outage in response.outages:
        over = f"{outage.text} (over; {command_line('incident', outage.incident)})"
        rows.append([StyledCell("outage", "dim"), StyledCell(over, "warn")])
    if response.lake is not None and response.lake.damaged:
        looked = f"{response.lake.looked_at_24h} of {plural(response.lake.files, 'file')} looked at within 24 h"
        rows.append([StyledCell("lake", "dim"), StyledCell(f"{response.lake.damaged} damaged; {looked}", "bad")])
    if response.undelivered:
        rows.append([StyledCell("messages", "dim"), StyledCell(f"{response.undelivered} couldn't be sent: headrace notify", "warn")])
    for row in response.paused[:PAUSED_SHOWN_MAX]:
        until = f", until {page.reader.moment(row.until)}" if row.until else ""
        rows.append([StyledCell("paused", "dim"), f"{row.node}: {row.reason} (by {row.by}{until})"])
    if len(response.paused) > PAUSED_SHOWN_MAX:
        rows.append([StyledCell("", "dim"), f"and {len(response.paused) - PAUSED_SHOWN_MAX} more: headrace pause"])
    return rows


def _availability(response: StatusResponse) -> list[list[str | StyledCell]]:
    """Served, next to what other tools would say."""
    rows: list[list[str | StyledCell]] = []
    if response.availability_text:
        rows.append([StyledCell("honest availability", "dim"), response.availability_text])
        rows += [[StyledCell("", "dim"), correction] for correction in response.corrections]
    if response.classic_uptime is not None:
        rows.append([StyledCell("classic uptime", "dim"), response.uptime_text])
    if response.promises_weakened:
        text = f"{plural(response.promises_weakened, 'promise')} weakened within {response.window}; the past is evaluated by those before"
        rows.append([StyledCell("promises", "dim"), text])
    return rows


def _label_width(response: StatusResponse) -> int:
    """Labels are as wide as the widest asset whose path is shown, so that what they say stands in one column."""
    labels = ["assets", *(files.asset for files in response.files)]
    labels += ["honest availability"] if response.availability_text else []
    labels += ["quarantine"] if response.quarantine.partitions else []
    return max(map(len, labels))


def _files(response: StatusResponse, page: CommandOutput) -> None:
    """Where what was written can be opened; never cut, people paste it."""
    for files in response.files:
        for path in files.paths[:PATHS_SHOWN_MAX]:
            page.raw(f"  {files.asset.ljust(_label_width(response))}  {path}")
        if len(files.paths) > PATHS_SHOWN_MAX:
            page.say(f"and {len(files.paths) - PATHS_SHOWN_MAX} more files", indent=4)


def _waiting(deliveries: int, partitions: int, rows: int) -> str:
    said = [plural(deliveries, "delivery", "deliveries")] if deliveries else []
    if partitions > deliveries:
        said.append(plural(partitions - deliveries, "partition"))
    return ", ".join([*said, plural(rows, "row")] if rows else said)
