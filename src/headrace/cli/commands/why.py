"""`headrace why`: what an interval waits for, and where the time was spent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headrace.cli import output
from headrace.cli.declared_commands import ServiceCommand
from headrace.cli.output import CommandOutput, seconds
from headrace.cli.run_results import render_past_changes, render_repairs
from headrace.cli.terminal import ColumnLayout, StyledCell, plural
from headrace.model.wording import few
from headrace.responses.interventions import (
    ComparedRow,
    LedgerRow,
    SegmentRow,
    ShareRow,
    WaitingRow,
    WhyResponse,
)

# The delay ledger of one interval: its segments, each owner's share of the wait, and the week
# before.

SEGMENTS_SHOWN_MAX = 14
"""If a ledger has more segments, short neighbours are printed as one line."""
SHORT_SHARE = 0.005
"""A segment below this share of the whole wait is short."""
SHARES_MAX = 4
WIDE_SCREEN = 100
"""From this width in characters, segments are printed with `from`."""
_SEGMENT_STYLES = {
    "hold": "bad",
    "retry": "bad",
    "approval": "warn",
    "paused": "warn",
    "unattributed": "warn",
}
_SHARE_TEXT = {
    "hold": "could have decided",
    "approval": "could have approved",
    "paused": "could have resumed",
    "queue": "queued",
    "schedule": "waited for a trigger",
}
"""Kind of time that is named separately within an owner's share → its text."""
_SEGMENT_COLUMNS = [
    ColumnLayout("took"),
    ColumnLayout("where", gives=2, least=12),
    ColumnLayout("what", gives=3, least=10),
    ColumnLayout("from", gives=1, least=5),
    ColumnLayout("to", gives=1, least=5),
    ColumnLayout("seconds", right=True),
]


def _headrace_parts(ledger: LedgerRow) -> dict[str, float]:
    """Return the seconds of each kind of overhead without waits for triggers of owners."""
    triggers = sum(row.seconds for row in ledger.segments if row.awaits_trigger)
    return {
        name: round(took - triggers, 6) if name == "schedule" else took
        for name, took in ledger.overhead.items()
    }


def render_ledger(ledger: LedgerRow, page: CommandOutput) -> None:
    """Print a delay ledger: a sentence, the segments, the owners' shares and the week before."""
    page.say(ledger.said)
    if ledger.segments:
        page.say()
        page.say(_interval_text(ledger, page), "dim", indent=2)
        _render_segments([*_segment_rows(ledger, page), _sum_row(ledger)], page)
        page.say()
    shares = _share_texts(ledger)
    _render_line("shares", [few(shares, SHARES_MAX, " · ")] if shares else [], page)
    _render_line(
        "Headrace",
        [f"{name} {seconds(took)}" for name, took in _headrace_parts(ledger).items() if took],
        page,
    )
    if ledger.compared is not None:
        _render_line(
            f"the week before ({ledger.compared.interval})", [_compared_text(ledger.compared)], page
        )
    if ledger.frozen:
        page.say("kept when the rows that it was made of went", "dim", indent=2)
    if ledger.read is not None:
        page.say(ledger.read, "dim", indent=2)


def _render_segments(rows: list[list[str | StyledCell]], page: CommandOutput) -> None:
    """Print the segments; a narrow screen leaves out `from`, the end of the segment above."""
    if page.screen.width < WIDE_SCREEN:
        page.table(_SEGMENT_COLUMNS[:3] + _SEGMENT_COLUMNS[4:], [row[:3] + row[4:] for row in rows])
    else:
        page.table(_SEGMENT_COLUMNS, rows)


def _interval_text(ledger: LedgerRow, page: CommandOutput) -> str:
    began = "recomputed because of what came" if ledger.rebuild else "ended"
    return f"interval {ledger.interval} ({began} {page.times.time_text(ledger.from_)})"


def _segment_rows(ledger: LedgerRow, page: CommandOutput) -> list[list[str | StyledCell]]:
    return [_segment_row(group, ledger, page) for group in _grouped_segments(ledger)]


def _grouped_segments(ledger: LedgerRow) -> list[list[SegmentRow]]:
    """Return the segments; if there are many, short neighbours form one group."""
    short = ledger.wait_seconds * SHORT_SHARE if len(ledger.segments) > SEGMENTS_SHOWN_MAX else -1.0
    groups: list[list[SegmentRow]] = []
    for segment in ledger.segments:
        if groups and segment.seconds < short and groups[-1][-1].seconds < short:
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return groups


def _segment_row(
    group: Sequence[SegmentRow], ledger: LedgerRow, page: CommandOutput
) -> list[str | StyledCell]:
    first, last = group[0], group[-1]
    now = ledger.open and last.to == ledger.to
    ends = "now" if now else _time_text(last.to, page)
    took = f"{(_milliseconds(last.to, ledger) - _milliseconds(first.from_, ledger)) / 1000:,.3f}"
    if len(group) > 1:
        nodes, longest = (
            {row.node for row in group},
            max(group, key=lambda segment_row: segment_row.seconds),
        )
        where = first.node if len(nodes) == 1 else plural(len(nodes), "node")
        text = (
            f"mostly {longest.kind} of {longest.node}"
            if len(nodes) > 1
            else f"mostly {longest.kind}"
        )
        return [f"{len(group)} short ones", where, text, _time_text(first.from_, page), ends, took]
    where = (
        f"{first.incident} {first.node}" if first.incident and first.kind == "hold" else first.node
    )
    note = f"{first.note}; {first.lacking} kept it waiting as well" if first.lacking else first.note
    return [
        StyledCell(first.kind, _SEGMENT_STYLES.get(first.kind, "")),
        where,
        note,
        _time_text(first.from_, page),
        ends,
        took,
    ]


def _time_text(at: datetime, page: CommandOutput) -> str:
    return page.times.time_text(at)


def _milliseconds(at: datetime, ledger: LedgerRow) -> int:
    """Return whole milliseconds since the ledger's start, so that differences add up."""
    return round((at - ledger.from_).total_seconds() * 1000)


def _sum_row(ledger: LedgerRow) -> list[str | StyledCell]:
    waited = "waited until now" if ledger.open else "waited"
    return [
        StyledCell("sum", "bold"),
        waited,
        "",
        "",
        "",
        StyledCell(f"{_milliseconds(ledger.to, ledger) / 1000:,.3f}", "bold"),
    ]


def _share_texts(ledger: LedgerRow) -> list[str]:
    """Return a text for each owner, the largest share first.

    Time in which the owner could have ended the wait, or in which it was queued, is named
    separately.
    """
    owners: dict[str, list[ShareRow]] = {}
    for share in ledger.shares:
        owners.setdefault(share.owner, []).append(share)
    return [
        _share_text(owner, rows)
        for owner, rows in sorted(owners.items(), key=lambda it: -sum(row.seconds for row in it[1]))
    ]


def _share_text(owner: str, rows: Sequence[ShareRow]) -> str:
    whole = sum(row.seconds for row in rows)
    apart = [(_SHARE_TEXT[row.kind], row.seconds) for row in rows if row.kind in _SHARE_TEXT]
    of_it = [text if took == whole else f"{text} {seconds(took)} of it" for text, took in apart]
    text = ", ".join([seconds(whole), *of_it])
    return f"{owner or 'nobody'} {sum(row.share for row in rows) * 100:.1f} % ({text})"


def _compared_text(row: ComparedRow) -> str:
    changes = sorted(row.changed.items(), key=lambda change: -abs(change[1]))[:3]
    text = ", ".join(
        f"{kind} {'+' if by > 0 else '−'}{seconds(abs(by))}" for kind, by in changes if abs(by) >= 1
    )
    return f"{seconds(row.wait_seconds)}; since then {text or 'no change of a second'}"


def _render_line(name: str, parts: Sequence[str], page: CommandOutput) -> None:
    if parts:
        page.say(f"{name}: {' · '.join(parts)}", indent=2)


WAITS_SHOWN_MAX = 12


def _render_why(response: WhyResponse, page: CommandOutput) -> None:
    page.head(response.subject, output.state_mark(response.state))
    page.say(response.verdict, "" if response.state in ("published", "served") else "warn")
    ledger = _ledger_of_wait(response)
    if ledger is not None:
        render_ledger(ledger, page)
    _render_waits(response, page, has_ledger=ledger is not None and ledger.open)
    if response.last is not None:
        page.say()
        page.say(
            f"{response.last.subject} {response.last.interval} was there"
            f" {page.times.time_text(response.last.to)}."
        )
        render_ledger(response.last, page)
    if response.also_waiting:
        page.say(
            f"{plural(response.also_waiting, 'other partition')} of it"
            f" {'waits' if response.also_waiting == 1 else 'wait'} too",
            indent=2,
        )
    render_past_changes(response.restated, [], page)
    repairs = {
        (row.node, row.partition): row.repair
        for row in response.waiting_for
        if row.repair is not None and row.repair.incident is None
    }
    render_repairs(list(repairs.values()), page)
    page.next(response.next)


why_command = ServiceCommand("why:why", _render_why)


def _ledger_of_wait(response: WhyResponse) -> LedgerRow | None:
    """Return the ledger of the response's own wait; None if no wait has begun."""
    if response.segments is None:
        return None
    fields = {
        name: getattr(response, name) for name in LedgerRow.__struct_fields__ if name != "interval"
    }
    return LedgerRow(interval=response.interval or "", **fields)


def _render_waits(response: WhyResponse, page: CommandOutput, *, has_ledger: bool) -> None:
    """Print what is waited for; with an open ledger only the last causes, each once."""
    rows = response.waiting_for
    if has_ledger:
        rows = list(
            {
                (row.node, row.partition): row
                for row in rows
                if row.kind not in ("partition", "stopped")
            }.values()
        )
    for row in rows[:WAITS_SHOWN_MAX]:
        _render_waiting(row, page, response.verdict)
    if len(rows) > WAITS_SHOWN_MAX:
        more = plural(len(rows) - WAITS_SHOWN_MAX, "more thing")
        if response.waiting_limited:
            page.say(f"and at least {more}; --json has the first {len(rows):,}", indent=2)
        else:
            page.say(f"and {more}; --json has all", indent=2)


def _render_waiting(row: WaitingRow, page: CommandOutput, verdict: str) -> None:
    """Print one awaited thing, unless the verdict says the same."""
    text = f"{row.waiter} {row.text}" if row.waiter else row.text
    if text != verdict:
        page.say(text, indent=2)
    if row.p95_seconds is not None:
        page.say(
            f"such attempts take {seconds(row.p50_seconds)}, 95 of 100 no more than"
            f" {seconds(row.p95_seconds)}",
            "dim",
            indent=4,
        )
