"""`headrace status`: the consumers' states first; figures with the rows they are computed from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from headrace.cli import output
from headrace.cli.declared_commands import ExitCode, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, seconds
from headrace.cli.run_results import render_past_changes, render_repairs
from headrace.cli.terminal import ColumnLayout, StyledCell, plural
from headrace.model.partitions import command_line
from headrace.project.lake_files import CORRECT, moved_now
from headrace.project.parameters import Option
from headrace.project.status_facts import WINDOW
from headrace.responses import ConsumerRow, StatusResponse
from headrace.responses.figures import FIGURES, FigureResponse
from headrace.responses.retention import RetentionRow
from headrace.services.status import status

PATHS_SHOWN_MAX = 5
PAUSED_SHOWN_MAX = 5
MUTED_SHOWN_MAX = 5
REPAIRS_SHOWN_MAX = 3
RETENTION_SHOWN_MAX = 3


@terminal_command(
    "status:status", group="start", summary="show each consumer: served or not, since when, why"
)
def status_command(
    invocation: Invocation,
    select: list[str],
    window: str | None = None,
    explain: Annotated[
        str | None,
        Option("--explain", metavar="FIGURE", help="a figure and its rows: " + ", ".join(FIGURES)),
    ] = None,
    exit_code: ExitCode = False,
) -> int:
    """Show each consumer: served or not, since when, why; and the command to type next."""
    if explain is not None:
        from headrace.services import figures

        invocation.show(
            figures.explain(invocation.session, explain, select, window=window), render_figure
        )
        return 0
    response = status(invocation.session, select, window=window or WINDOW)
    invocation.show(response, _render_status)
    if text := moved_now(invocation.session):
        invocation.note(f"{text}; {CORRECT}")
    return int(exit_code and any(consumer.state != "served" for consumer in response.consumers))


CONSUMER_COLUMNS = [
    ColumnLayout("consumer", gives=1, least=18),
    ColumnLayout("needs", drops=2),
    ColumnLayout("state"),
    ColumnLayout("since", drops=1),
    ColumnLayout("data through", drops=3),
    ColumnLayout("why", gives=2, least=24),
]

FACT_COLUMNS = [ColumnLayout("", least=10), ColumnLayout("", gives=1, least=20)]


def _render_status(response: StatusResponse, page: CommandOutput) -> None:
    replay_clause = (
        " (replay stands still)"
        if response.clock == "replay" and response.runtime == "running"
        else ""
    )
    page.facts(
        response.project,
        response.env,
        page.times.clock(),
        f"runtime {response.runtime}{replay_clause}",
        style="bold",
    )
    page.say()
    if response.consumers:
        rows = [_consumer_row(consumer, page) for consumer in response.consumers]
        page.table(CONSUMER_COLUMNS, rows)
        page.say()
    page.table(FACT_COLUMNS, _fact_rows(response, page), header=False)
    _render_files(response, page)
    repairs = [row for row in response.repairs if row.incident is None]
    render_repairs(repairs, page, REPAIRS_SHOWN_MAX)
    render_past_changes(response.restated, response.proposed, page)
    page.say()
    page.say(response.headline)
    page.next(response.next, None if response.holding is None else response.holding.command)


def _consumer_row(consumer: ConsumerRow, page: CommandOutput) -> list[str | StyledCell]:
    why = consumer.reason
    if consumer.missing_besides:
        more = "more " if consumer.state in ("late", "never") else ""
        why += f" (and {plural(consumer.missing_besides, f'{more}interval')} missing)"
    return [
        StyledCell(consumer.name, "bold"),
        consumer.needs,
        output.state_cell(consumer.state),
        page.times.time_text(consumer.since),
        page.times.partition(consumer.data_through),
        why,
    ]


def _fact_rows(  # complexipy: ignore (a page: a line for each thing there is to say)
    response: StatusResponse,
    page: CommandOutput,
) -> list[list[str | StyledCell]]:
    counts = response.assets
    state_counts = [
        f"{n} {state}"
        for state, n in (
            ("fresh", counts.fresh),
            ("behind", counts.behind),
            ("stale", counts.stale),
            ("never", counts.never),
        )
        if n
    ]
    again = " · ".join(
        f"{n} {state}"
        for state, n in (("in quarantine", counts.quarantined), ("unchecked", counts.unchecked))
        if n
    )
    assets: list[str | StyledCell] = [
        StyledCell("assets".ljust(_label_width(response)), "dim"),
        f"{' · '.join(state_counts) or 'none'}{again and f'; of these {again}'}",
    ]
    rows = [*_availability_rows(response), assets]
    waiting = response.quarantine
    if waiting.partitions:
        rows.append(
            [
                StyledCell("quarantine", "dim"),
                _waiting_text(waiting.deliveries, waiting.partitions, waiting.rows),
            ]
        )
    if response.incidents_open > (0 if response.holding is None else response.holding.causes):
        rows.append(
            [StyledCell("incidents", "dim"), f"{response.incidents_open} open: headrace incidents"]
        )
    if response.warned:
        count, last = plural(len(response.warned), "partition"), response.warned[0]
        text = f"{count} published with a warning within 7 days, last {last}"
        rows.append([StyledCell("warned", "dim"), f"{text}: {command_line('why', last)}"])
    for outage in response.outages:
        over = f"{outage.text} (over; {command_line('incident', outage.incident)})"
        rows.append([StyledCell("outage", "dim"), StyledCell(over, "warn")])
    if response.lake is not None and response.lake.damaged:
        checked = (
            f"{response.lake.looked_at_24h} of {plural(response.lake.files, 'file')} looked at"
            " within 24 h"
        )
        rows.append(
            [
                StyledCell("lake", "dim"),
                StyledCell(f"{response.lake.damaged} damaged; {checked}", "bad"),
            ]
        )
    if response.undelivered:
        rows.append(
            [
                StyledCell("messages", "dim"),
                StyledCell(f"{response.undelivered} couldn't be sent: headrace notify", "warn"),
            ]
        )
    for row in response.paused[:PAUSED_SHOWN_MAX]:
        until = f", until {page.times.time_text(row.until)}" if row.until else ""
        rows.append([StyledCell("paused", "dim"), f"{row.node}: {row.reason} (by {row.by}{until})"])
    if len(response.paused) > PAUSED_SHOWN_MAX:
        rows.append(
            [
                StyledCell("", "dim"),
                f"and {len(response.paused) - PAUSED_SHOWN_MAX} more: headrace pause",
            ]
        )
    return [*rows, *_muted_rows(response, page), *_retention_rows(response)]


def _muted_rows(response: StatusResponse, page: CommandOutput) -> list[list[str | StyledCell]]:
    rows: list[list[str | StyledCell]] = []
    for row in response.muted[:MUTED_SHOWN_MAX]:
        until = f", until {page.times.time_text(row.until)}" if row.until else ""
        text = f"{row.incident} {row.node}: {row.reason} (by {row.by}{until})"
        rows.append([StyledCell("muted", "dim"), text])
    if len(response.muted) > MUTED_SHOWN_MAX:
        more = len(response.muted) - MUTED_SHOWN_MAX
        rows.append([StyledCell("", "dim"), f"and {more} more: headrace incidents"])
    return rows


def _retention_rows(response: StatusResponse) -> Iterator[list[str | StyledCell]]:
    """Yield what `retain:` removes next, and the legal holds that stop it."""
    for text in [*_removed_next(response.retention)][: RETENTION_SHOWN_MAX + 1]:
        yield [StyledCell("retention", "dim"), text]
    for text in _rebuildable_texts(response):
        yield [StyledCell("retention", "dim"), text]
    for hold in response.holds[:RETENTION_SHOWN_MAX]:
        name = "everything" if hold.node == "*" else hold.node
        yield [StyledCell("legal hold", "dim"), f"{name}: {hold.reason} (by {hold.by})"]
    if len(response.holds) > RETENTION_SHOWN_MAX:
        more = len(response.holds) - RETENTION_SHOWN_MAX
        yield [StyledCell("", "dim"), f"and {more} more: headrace hold"]


def _rebuildable_texts(response: StatusResponse) -> Iterator[str]:
    """Yield what `retain_rebuildable` lets go, and removed partitions with other rows since."""
    old = [row for row in response.rebuildable if row.partitions and row.hold is None]
    for row in old[:RETENTION_SHOWN_MAX]:
        count = plural(row.partitions, "partition")
        yield (
            f"{row.node}: {count} before {row.kept_from} may go where it gives the same rows"
            f" again (retain_rebuildable {row.retain_rebuildable}): headrace db gc"
        )
    if len(old) > RETENTION_SHOWN_MAX:
        yield f"and of {plural(len(old) - RETENTION_SHOWN_MAX, 'more asset')}; --json has all"
    differing = [row for row in response.not_rebuilt if row.state == "differs"]
    for item in differing[:RETENTION_SHOWN_MAX]:
        yield (
            f"{item.node}@{item.partition} was rebuilt, and has other rows than the"
            f" {item.rows:,} that were removed (version {item.version}, {item.engine})"
        )
    more = len(differing) - RETENTION_SHOWN_MAX
    if more > 0:
        yield f"and {plural(more, 'more partition')}; --json has all"


def _removed_next(rows: Sequence[RetentionRow]) -> Iterator[str]:
    """Yield what the next cleanup removes, or else what goes first after it."""
    free = [row for row in rows if row.hold is None]
    going = [row for row in free if row.partitions]
    for row in going[:RETENTION_SHOWN_MAX]:
        span = row.from_ if row.from_ == row.to else f"{row.from_} … {row.to}"
        count = plural(row.partitions, "partition")
        yield f"{row.node}: the next cleanup removes {count}, {span} (retain {row.retain})"
    if len(going) > RETENTION_SHOWN_MAX:
        left = plural(len(going) - RETENTION_SHOWN_MAX, "more node")
        yield f"and {left}: headrace db gc --dry-run"
    later = [(row.next_on, row.node, row) for row in free if row.next_on is not None]
    if later and not going:
        day, _, first = min(later, key=lambda item: item[:2])
        yield f"{first.node}@{first.next} goes next, on {day} (retain {first.retain})"


def _availability_rows(response: StatusResponse) -> list[list[str | StyledCell]]:
    """Return honest availability, next to the uptime that other tools would report."""
    rows: list[list[str | StyledCell]] = []
    if response.availability_text:
        rows.append([StyledCell("honest availability", "dim"), response.availability_text])
        rows += [[StyledCell("", "dim"), correction] for correction in response.corrections]
    if response.classic_uptime is not None:
        rows.append([StyledCell("classic uptime", "dim"), response.uptime_text])
    if response.promises_weakened:
        text = (
            f"{plural(response.promises_weakened, 'promise')} weakened within {response.window};"
            " the past is evaluated by those before"
        )
        rows.append([StyledCell("promises", "dim"), text])
    return rows


def _label_width(response: StatusResponse) -> int:
    """Return the width of labels, which aligns paths with the other facts."""
    labels = ["assets", *(files.asset for files in response.files)]
    labels += ["honest availability"] if response.availability_text else []
    labels += ["quarantine"] if response.quarantine.partitions else []
    return max(map(len, labels))


def _render_files(response: StatusResponse, page: CommandOutput) -> None:
    """Print the paths of `files` assets, uncut, because people paste them."""
    for files in response.files:
        for path in files.paths[:PATHS_SHOWN_MAX]:
            page.raw(f"  {files.asset.ljust(_label_width(response))}  {path}")
        page.rest(len(files.paths) - PATHS_SHOWN_MAX, "more file", indent=4)


def _waiting_text(deliveries: int, partitions: int, rows: int) -> str:
    count_texts = [plural(deliveries, "delivery", "deliveries")] if deliveries else []
    if partitions > deliveries:
        count_texts.append(plural(partitions, "partition"))
    return ", ".join([*count_texts, plural(rows, "row")] if rows else count_texts)


# `status --explain FIGURE`: a figure in words, and the rows that it is computed from.

FIGURE_ROWS_MAX = 200
"""Maximum number of printed rows; --json has all."""
_FIELDS_OF_FIGURE: Mapping[str, Sequence[str]] = {
    "availability": ("consumer", "state", "by_exception", "claimed", "since", "until", "seconds"),
    "promises": ("consumer", "interval", "due_at", "met_at", "kept", "waived"),
    "nodes": ("of", "kind", "owner", "honest", "lost_minutes", "classic"),
    "owners": ("of", "honest", "mean", "worst", "lost_minutes"),
    "domains": ("of", "honest", "mean", "worst", "lost_minutes"),
    "uptime": ("kind", "state", "runs", "succeeded"),
    "weakened": ("node", "what", "before", "after", "by", "at"),
    "goodput": (
        "node",
        "goodput",
        "delivered",
        "good",
        "held",
        "rejected",
        "rows_per_second",
        "slowest",
        "bytes_per_second",
        "retry",
        "superseded",
        "identical",
        "wrong",
        "waiting",
    ),
    "throughput": (
        "of",
        "kind",
        "processed_rows_per_second",
        "published_rows_per_second",
        "good_rows_per_second",
        "good_bytes_per_second",
        "rework_percent",
        "delivered_rows_per_second",
        "delivered_bytes_per_second",
        "work_seconds",
    ),
    "incidents": (
        "id",
        "kind",
        "node",
        "owner",
        "began_at",
        "detect_seconds",
        "restore_seconds",
        "open",
        "recurrence_of",
    ),
    "sources": (
        "source",
        "owner",
        "deliveries",
        "stability",
        "quality",
        "on_time",
        "expected",
        "missing",
        "changed",
        "consumers",
        "reads",
    ),
    "use": ("node", "reader", "via", "reads", "last_at", "seconds", "said"),
}
_PERCENT_FIELDS = frozenset({"honest", "mean", "classic", "goodput", "rework_percent"})
_BOLD_FIELDS = frozenset({"consumer", "of", "node", "id", "source"})


def render_figure(response: FigureResponse, page: CommandOutput) -> None:
    """Print a figure: its window, its value in words, and its rows."""
    began, until = page.times.time_text(response.began), page.times.time_text(response.until)
    page.head(response.figure, f"{response.window}: {began} to {until}")
    for text in response.said:
        page.say(text, indent=2)
    page.say()
    fields = _FIELDS_OF_FIGURE[response.figure]
    rows = response.rows[:FIGURE_ROWS_MAX]
    cells = [_figure_cells([getattr(row, field) for row in rows], field, page) for field in fields]
    page.table(
        [_figure_column(place, field) for place, field in enumerate(fields)],
        list(zip(*cells, strict=True)),
    )
    if not response.rows:
        page.say("no data", indent=2)
    page.rest(
        len(response.rows) - FIGURE_ROWS_MAX, "more row", then="; --json has all", style="dim"
    )


def _figure_column(place: int, field: str) -> ColumnLayout:
    if field in _BOLD_FIELDS:
        return ColumnLayout(field.replace("_", " "), gives=1, least=10)
    title = (
        field.removesuffix("_at")
        .removesuffix("_percent")
        .removesuffix("_seconds")
        .replace("_per_second", "/s")
        .replace("seconds", "duration")
    )
    return ColumnLayout(title.replace("_", " "), drops=place, gives=2 if field == "said" else 0)


def _figure_cells(values: list[Any], field: str, page: CommandOutput) -> list[StyledCell]:
    longest = max((abs(value) for value in values if isinstance(value, float)), default=0)
    style = "bold" if field in _BOLD_FIELDS else ""
    return [StyledCell(_field_text(value, field, page, longest), style) for value in values]


def _field_text(value: Any, field: str, page: CommandOutput, longest: float) -> str:
    if value is None:
        return "no data" if field in _PERCENT_FIELDS else ""
    if isinstance(value, datetime):
        return page.times.time_text(value)
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:,.1f}" if field.endswith("per_second") else seconds(value, longest)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value} %" if field in _PERCENT_FIELDS else str(value)
