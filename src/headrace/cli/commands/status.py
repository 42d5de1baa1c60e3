"""`headrace status [SELECT…]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import states
from headrace.cli.invocation import Invocation
from headrace.cli.page import Page
from headrace.cli.parsing import ExitCode, Option, Select, Selection
from headrace.cli.tables import Cell, Column
from headrace.cli.text import joined, plural
from headrace.operations.documents import ConsumerRow, StatusDocument
from headrace.operations.status import WINDOW, status

PATHS_SHOWN_MAX = 5
PAUSED_SHOWN_MAX = 5


def command(
    invocation: Invocation,
    select: Selection = None,
    also: Select = None,
    window: Annotated[str, Option("--window", metavar="D", help="of the figures about the past (none are built yet)")] = WINDOW,
    exit_code: ExitCode = False,
) -> int:
    """Consumers first: served or not, since when, why; and the command to type next."""
    document = status(invocation.session, [*(select or []), *(also or [])], window=window)
    invocation.show(document, _render)
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


def _render(document: StatusDocument, page: Page) -> None:
    stands = " (replay stands still)" if document.clock == "replay" and document.runtime == "running" else ""
    page.facts(document.project, document.env, page.reader.clock(), f"runtime {document.runtime}{stands}", style="bold")
    page.say()
    page.table(COLUMNS, [_row(consumer, page) for consumer in document.consumers])
    if not document.consumers:
        page.say("no consumers: nobody has said who needs what by when (consumers.yaml)", indent=2)
    page.say()
    page.table(FACTS, _facts(document, page), header=False)
    _files(document, page)
    page.say()
    page.say(_sum(document))
    page.next(document.next)


def _row(consumer: ConsumerRow, page: Page) -> list[str | Cell]:
    why = consumer.reason
    if consumer.backlog and consumer.state != "served":
        why += f" (and {len(consumer.backlog)} older missing)"
    return [
        Cell(consumer.name, "bold"), consumer.needs, states.cell(consumer.state), page.reader.moment(consumer.since),
        page.reader.partition(consumer.data_through), why,
    ]  # fmt: skip


def _facts(document: StatusDocument, page: Page) -> list[list[str | Cell]]:
    counts = document.assets
    said = [
        f"{n} {state}"
        for state, n in (("fresh", counts.fresh), ("behind", counts.behind), ("stale", counts.stale), ("never", counts.never))
        if n
    ]
    said += [f"{n} {state}" for state, n in (("in quarantine", counts.quarantined), ("unchecked", counts.unchecked)) if n]
    rows: list[list[str | Cell]] = [[Cell("assets".ljust(_label_width(document)), "dim"), " · ".join(said) or "none"]]
    waiting = document.quarantine
    if waiting.partitions:
        rows.append([Cell("quarantine", "dim"), _waiting(waiting.deliveries, waiting.partitions, waiting.rows)])
    for one in document.paused[:PAUSED_SHOWN_MAX]:
        until = f", until {page.reader.moment(one.until)}" if one.until else ""
        rows.append([Cell("paused", "dim"), f"{one.node}: {one.reason} (by {one.by}{until})"])
    if len(document.paused) > PAUSED_SHOWN_MAX:
        rows.append([Cell("", "dim"), f"and {len(document.paused) - PAUSED_SHOWN_MAX} more: headrace pause"])
    return rows


def _label_width(document: StatusDocument) -> int:
    """Labels are as wide as the widest asset whose path is shown, so that what they say stands in one column."""
    labels = ["assets", *(["quarantine"] if document.quarantine.partitions else []), *(files.asset for files in document.files)]
    return max(map(len, labels))


def _files(document: StatusDocument, page: Page) -> None:
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


def _sum(document: StatusDocument) -> str:
    wrong = [consumer.name for consumer in document.consumers if consumer.state != "served"]
    said = []
    if not document.consumers:
        said.append("Nothing is judged.")
    elif not wrong:
        said.append("Nothing is late or wrong.")
    else:
        said.append(f"{len(wrong)} of {plural(len(document.consumers), 'consumer')} not served: {joined(wrong, 4)}.")
        if document.quarantine.partitions:
            said.append("Nothing wrong was published.")
    if document.not_applied is None:
        said.append("The files have errors; what was applied goes on.")
    elif document.not_applied:
        said.append(f"{plural(document.not_applied, 'node')} not applied.")
    return " ".join(said)
