"""Screens of `contract show` and `contract diff`."""

from __future__ import annotations

from headrace.cli.learnt import lesson
from headrace.cli.page import CommandOutput
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.model.commands import WHOLE, command_line, place
from headrace.operations.contract_showing import ContractChangeRow, ContractColumnRow, ContractDiffResponse, ContractShowResponse

SHOWN_MAX = 200
COLUMNS = [
    ColumnLayout("column", gives=1, least=14),
    ColumnLayout("type", gives=3, least=7),
    ColumnLayout("promised", gives=4, least=8),
    ColumnLayout("files call it", gives=2, least=12, drops=2),
    ColumnLayout("used by", gives=5, least=8, drops=1),
]
CHANGES = [
    ColumnLayout("what"),
    ColumnLayout("column", gives=1, least=14),
    ColumnLayout("how", gives=2, least=16),
    ColumnLayout("does"),
    ColumnLayout("used by", gives=3, least=8, drops=1),
]
_DOES = {"block": "holds", "map": "read so", "allow": "allowed", "warn": "warned"}


def shown(response: ContractShowResponse, page: CommandOutput) -> None:
    """What a node is held to."""
    page.head(f"{response.node}, {response.kind}")
    if response.version is not None:
        page.say(f"contract {response.contract} {response.version}, {response.status}: {response.file}")
    elif response.columns:
        page.say(f"no contract: held to what {response.pinned_by or 'the first delivery'} had", "dim")
    else:
        page.say("no contract, and nothing was delivered yet", "dim")
    if response.columns:
        page.table(COLUMNS, [_column(row) for row in response.columns[:SHOWN_MAX]])
    if len(response.columns) > SHOWN_MAX:
        page.say(f"and {len(response.columns) - SHOWN_MAX} more; --json has all", "dim")
    if response.learnt is not None:
        lesson(response.learnt, page, columns=False)
    for rule in response.rules:
        page.say(f"rule {rule.name}: {rule.kind.replace('_', ' ')}, {rule.severity}", indent=2)
    for service_row in response.service:
        page.say(f"{service_row.property}: {service_row.value} {service_row.unit}".rstrip(), indent=2)
    page.next(f"headrace contract diff {response.node}" if response.version else f"headrace contract infer {response.node}")


def _column(row: ContractColumnRow) -> list[str | StyledCell]:
    said = [("key", row.primary_key), ("required", row.required and not row.primary_key), ("unique", row.unique)]
    promised = [word for word, holds in said if holds] + ([row.classification] if row.classification else [])
    names = [f"{name['name']} from {name['from']}{f' to {until}' if (until := name.get('to')) else ''}" for name in row.names]
    return [StyledCell(row.name, "bold"), row.type or "any", ", ".join(promised), ", ".join(names), ", ".join(row.used_by)]


def differing(response: ContractDiffResponse, page: CommandOutput) -> None:
    """What differs from it."""
    delivered = [row for row in response.changes if row.takes is None]
    written = [row for row in response.changes if row.takes is not None]
    page.head(response.source if response.partition is None else f"{response.source}@{response.partition}")
    if not response.changes:
        page.say("✓ nothing differs from what is expected", "good")
    if delivered and response.at is not None:
        page.say(f"read {page.reader.moment(response.at)}: {plural(len(delivered), 'change')}")
        page.table(CHANGES, [_change(row, _DOES.get(row.policy or "", "")) for row in delivered[:SHOWN_MAX]])
    if written:
        page.say(f"the files change the contract from {response.applied} to {response.declared}; it takes {response.needs}")
        page.table(CHANGES, [_change(row, row.takes or "") for row in written[:SHOWN_MAX]])
    if response.breaking and any(row.kind == "renamed" and row.policy == "block" for row in delivered):
        page.next(command_line("contract", "accept", place(response.source, response.partition or WHOLE)))
    else:
        page.next("headrace plan" if written else f"headrace contract show {response.source}")


def _change(row: ContractChangeRow, does: str) -> list[str | StyledCell]:
    how = ([f"→ {row.to}"] if row.to else []) + ([f"({float(row.score):.2f})"] if row.score else []) + ["; ".join(row.evidence)]
    return [row.kind, StyledCell(row.column, "bold"), " ".join(how).strip(), does, ", ".join(row.used_by)]
