"""The delay ledger on a page: its segments, who took how much, what it was a week before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headrace.cli.moments import seconds
from headrace.cli.page import CommandOutput
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.operations.interventions import ComparedRow, LedgerRow, SegmentRow, ShareRow

ROWS_MAX = 14
"""Where there are more segments, neighbours that are short are one line."""
SHORT = 0.005
"""Of the whole wait."""
SHARES_MAX = 4
WIDE = 100
_STYLES = {"hold": "bad", "retry": "bad", "approval": "warn", "paused": "warn", "unattributed": "warn"}
_APART = {"hold": "could have decided", "approval": "could have approved", "paused": "could have resumed", "queue": "queued"}
"""What is said of the time that counts apart from an owner's other time, by its kind."""
_COLUMNS = [
    ColumnLayout("took"),
    ColumnLayout("where", gives=2, least=12),
    ColumnLayout("what", gives=3, least=10),
    ColumnLayout("from", gives=1, least=5),
    ColumnLayout("to", gives=1, least=5),
    ColumnLayout("seconds", right=True),
]


def show(ledger: LedgerRow, page: CommandOutput) -> None:
    """The sentence, the table and what belongs to it."""
    page.say(ledger.said)
    if ledger.segments:
        page.say()
        page.say(_head(ledger, page), "dim", indent=2)
        _table([*_rows(ledger, page), _sum(ledger)], page)
        page.say()
    _line("shares", _shares(ledger)[:SHARES_MAX], page)
    _line("Headrace", [f"{name} {seconds(took)}" for name, took in ledger.overhead.items() if took], page)
    if ledger.compared is not None:
        _line(f"the week before ({ledger.compared.interval})", [_compared(ledger.compared)], page)
    if ledger.frozen:
        page.say("kept when the rows that it was made of went", "dim", indent=2)
    if ledger.read is not None:
        page.say(ledger.read, "dim", indent=2)


def _table(rows: list[list[str | StyledCell]], page: CommandOutput) -> None:
    """Each segment begins when the one above it ends: where there is little room, that is said once."""
    if page.screen.width < WIDE:
        page.table(_COLUMNS[:3] + _COLUMNS[4:], [row[:3] + row[4:] for row in rows])
    else:
        page.table(_COLUMNS, rows)


def _head(ledger: LedgerRow, page: CommandOutput) -> str:
    began = "recomputed because of what came" if ledger.rebuild else "ended"
    return f"interval {ledger.interval} ({began} {page.reader.moment(ledger.from_)})"


def _rows(ledger: LedgerRow, page: CommandOutput) -> list[list[str | StyledCell]]:
    return [_row(group, ledger, page) for group in _grouped(ledger)]


def _grouped(ledger: LedgerRow) -> list[list[SegmentRow]]:
    """Each segment; neighbours that are short together, where there are many."""
    short = ledger.wait_seconds * SHORT if len(ledger.segments) > ROWS_MAX else -1.0
    groups: list[list[SegmentRow]] = []
    for segment in ledger.segments:
        if groups and segment.seconds < short and groups[-1][-1].seconds < short:
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return groups


def _row(group: Sequence[SegmentRow], ledger: LedgerRow, page: CommandOutput) -> list[str | StyledCell]:
    first, last = group[0], group[-1]
    now = ledger.open and last.to == ledger.to
    ends = "now" if now else _moment(last.to, page)
    took = f"{(_ms(last.to, ledger) - _ms(first.from_, ledger)) / 1000:,.3f}"
    if len(group) > 1:
        nodes, longest = {row.node for row in group}, max(group, key=lambda segment_row: segment_row.seconds)
        where = first.node if len(nodes) == 1 else plural(len(nodes), "node")
        text = f"mostly {longest.kind} of {longest.node}" if len(nodes) > 1 else f"mostly {longest.kind}"
        return [f"{len(group)} short ones", where, text, _moment(first.from_, page), ends, took]
    where = f"{first.incident} {first.node}" if first.incident and first.kind == "hold" else first.node
    note = f"{first.note}; {first.lacking} kept it waiting as well" if first.lacking else first.note
    return [StyledCell(first.kind, _STYLES.get(first.kind, "")), where, note, _moment(first.from_, page), ends, took]


def _moment(at: datetime, page: CommandOutput) -> str:
    return page.reader.moment(at)


def _ms(at: datetime, ledger: LedgerRow) -> int:
    """Whole milliseconds from the beginning: differences of these add up."""
    return round((at - ledger.from_).total_seconds() * 1000)


def _sum(ledger: LedgerRow) -> list[str | StyledCell]:
    waited = "waited until now" if ledger.open else "waited"
    return [StyledCell("sum", "bold"), waited, "", "", "", StyledCell(f"{_ms(ledger.to, ledger) / 1000:,.3f}", "bold")]


def _shares(ledger: LedgerRow) -> list[str]:
    """Each owner once, the largest share first, with the time that counts apart: in which they could have ended the wait,
    or in which it queued."""
    owners: dict[str, list[ShareRow]] = {}
    for share in ledger.shares:
        owners.setdefault(share.owner, []).append(share)
    return [_share(owner, rows) for owner, rows in sorted(owners.items(), key=lambda it: -sum(row.seconds for row in it[1]))]


def _share(owner: str, rows: Sequence[ShareRow]) -> str:
    whole = sum(row.seconds for row in rows)
    apart = [(_APART[row.kind], row.seconds) for row in rows if row.kind in _APART]
    of_it = [text if took == whole else f"{text} {seconds(took)} of it" for text, took in apart]
    text = ", ".join([seconds(whole), *of_it])
    return f"{owner or 'nobody'} {sum(row.share for row in rows) * 100:.1f} % ({text})"


def _compared(row: ComparedRow) -> str:
    changes = sorted(row.changed.items(), key=lambda change: -abs(change[1]))[:3]
    text = ", ".join(f"{kind} {'+' if by > 0 else '−'}{seconds(abs(by))}" for kind, by in changes if abs(by) >= 1)
    return f"{seconds(row.wait_seconds)}; since then {text or 'no change of a second'}"


def _line(name: str, parts: Sequence[str], page: CommandOutput) -> None:
    if parts:
        page.say(f"{name}: {' · '.join(parts)}", indent=2)
