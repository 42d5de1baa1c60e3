"""`headrace contract show|diff|accept|infer`: the contract of a source or an asset."""

from __future__ import annotations

import sys
from typing import Annotated

from headrace.cli.agreement import refusal_as_json
from headrace.cli.declared_commands import CommandGroup, ServiceCommand, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.rename_texts import evidence_text
from headrace.cli.run_results import partition_span, render_learnt_source
from headrace.cli.terminal import ColumnLayout, StyledCell, joined, plural
from headrace.model.partitions import WHOLE, command_line, partition_argument
from headrace.project.parameters import (
    AgreedNames,
    AsIs,
    Conversions,
    Option,
    Pairs,
    Reason,
)
from headrace.responses.repairs import AcceptResponse, InferResponse, MappingRow
from headrace.services.contracts import (
    ContractChangeRow,
    ContractColumnRow,
    ContractDiffResponse,
    ContractShowResponse,
)

# The output of `contract show` and `contract diff`.

ROWS_SHOWN_MAX = 200
CONTRACT_COLUMNS = [
    ColumnLayout("column", gives=1, least=14),
    ColumnLayout("type", gives=3, least=7),
    ColumnLayout("promised", gives=4, least=8),
    ColumnLayout("files call it", gives=2, least=12, drops=2),
    ColumnLayout("used by", gives=5, least=8, drops=1),
]
CHANGE_COLUMNS = [
    ColumnLayout("what"),
    ColumnLayout("column", gives=1, least=14),
    ColumnLayout("how", gives=2, least=16),
    ColumnLayout("does"),
    ColumnLayout("used by", gives=3, least=8, drops=1),
]
_POLICY_TEXT = {"block": "holds", "map": "read so", "allow": "allowed", "warn": "warned"}


def render_contract(response: ContractShowResponse, page: CommandOutput) -> None:
    """Print a node's contract; without one, the columns that its data is checked against."""
    page.head(f"{response.node}, {response.kind}")
    if response.version is not None:
        page.say(
            f"contract {response.contract} {response.version}, {response.status}: {response.file}"
        )
    elif response.columns:
        page.say(
            f"no contract: held to what {response.pinned_by or 'the first delivery'} had", "dim"
        )
    else:
        page.say("no contract, and nothing was delivered yet", "dim")
    if response.columns:
        page.table(
            CONTRACT_COLUMNS, [_column_row(row) for row in response.columns[:ROWS_SHOWN_MAX]]
        )
    page.rest(
        len(response.columns) - ROWS_SHOWN_MAX, then="; --json has all", style="dim", indent=0
    )
    if response.learnt is not None:
        render_learnt_source(response.learnt, page, columns=False)
    _render_statements(response, page)
    page.next(
        f"headrace contract diff {response.node}"
        if response.version
        else f"headrace contract infer {response.node}"
    )


def _render_statements(response: ContractShowResponse, page: CommandOutput) -> None:
    """Print the rules and service levels, what no check covers, and who agreed."""
    for rule in response.rules:
        page.say(f"rule {rule.name}: {rule.kind.replace('_', ' ')}, {rule.severity}", indent=2)
    for service_row in response.service:
        page.say(
            f"{service_row.property}: {service_row.value} {service_row.unit}".rstrip(), indent=2
        )
    for text in response.unenforced:
        page.say(f"not checked: {text}", "warn", indent=2)
    for item in response.agreed:
        text = f"agreed for {joined(item.domains)}: {item.by}, {item.at:%Y-%m-%d}: {item.reason}"
        page.say(text, "dim", indent=2)


def _column_row(row: ContractColumnRow) -> list[str | StyledCell]:
    flags = [
        ("key", row.primary_key),
        ("required", row.required and not row.primary_key),
        ("unique", row.unique),
    ]
    promised = [word for word, holds in flags if holds] + (
        [row.classification] if row.classification else []
    )
    names = [
        f"{name['name']} from {name['from']}{f' to {until}' if (until := name.get('to')) else ''}"
        for name in row.names
    ]
    return [
        StyledCell(row.name, "bold"),
        row.type or "any",
        ", ".join(promised),
        ", ".join(names),
        ", ".join(row.used_by),
    ]


def render_contract_diff(  # complexipy: ignore (a page: a line for each thing there is to say)
    response: ContractDiffResponse,
    page: CommandOutput,
) -> None:
    """Print how deliveries and changed files differ from the contract."""
    delivered = [row for row in response.changes if row.takes is None]
    written = [row for row in response.changes if row.takes is not None]
    page.head(
        response.source if response.partition is None else f"{response.source}@{response.partition}"
    )
    if not response.changes:
        page.say("✓ nothing differs from what is expected", "good")
    if delivered and response.at is not None:
        page.say(f"read {page.times.time_text(response.at)}: {plural(len(delivered), 'change')}")
        page.table(
            CHANGE_COLUMNS,
            [
                _change_row(row, _POLICY_TEXT.get(row.policy or "", ""))
                for row in delivered[:ROWS_SHOWN_MAX]
            ],
        )
        page.rest(len(delivered) - ROWS_SHOWN_MAX, "more change", then="; --json has all")
    if written:
        page.say(
            f"the files change the contract from {response.applied} to {response.declared}; it"
            f" takes {response.needs}"
        )
        page.table(
            CHANGE_COLUMNS, [_change_row(row, row.takes or "") for row in written[:ROWS_SHOWN_MAX]]
        )
        page.rest(len(written) - ROWS_SHOWN_MAX, "more change", then="; --json has all")
    page.next(_command_after_diff(response))


def _command_after_diff(response: ContractDiffResponse) -> str:
    blocked = any(
        row.takes is None and row.kind == "renamed" and row.policy == "block"
        for row in response.changes
    )
    if response.breaking and blocked:
        held = partition_argument(response.source, response.partition or WHOLE)
        return command_line("contract", "accept", held)
    if any(row.takes is not None for row in response.changes):
        return "headrace plan"
    return f"headrace contract show {response.source}"


def _change_row(row: ContractChangeRow, does: str) -> list[str | StyledCell]:
    how = (
        ([f"→ {row.to}"] if row.to else [])
        + ([f"({float(row.score):.2f})"] if row.score else [])
        + [evidence_text(row.evidence, row.rivals)]
    )
    return [
        row.kind,
        StyledCell(row.column, "bold"),
        " ".join(how).strip(),
        does,
        ", ".join(row.used_by),
    ]


# The output of `contract accept` and `contract infer`.


def render_accepted(response: AcceptResponse, page: CommandOutput) -> None:
    """Print the accepted names, the interval from which they hold, and what is recomputed."""
    page.say(
        f"✓ {response.file} says what {response.source} calls its columns"
        + ("" if response.partition == WHOLE else f" from {response.partition} on"),
        "good",
    )
    for mapping in response.mappings:
        page.say(_mapping_text(mapping), indent=2)
    page.say(f"in force as version {response.version}")
    if response.reread:
        page.say(
            f"re-ingested by the next tick: {response.source} {partition_span(response.reread)}"
        )
    if response.counts is not None:
        page.say(f"the next tick makes {response.counts.text}", indent=2)
    for row in response.stale:
        page.say(
            f"follows: {row.node} {row.from_} … {row.to} ({plural(row.partitions, 'partition')})",
            indent=2,
        )
    if response.backfills:
        page.say("what is too old to follow by itself is recomputed by")
        for needed in response.backfills:
            page.command(needed.command, indent=4)
    page.clock_note()
    page.next("headrace tick")


def _mapping_text(row: MappingRow) -> str:
    evidence = evidence_text(row.evidence, row.rivals)
    score = "" if row.score is None else f" ({row.score:.2f}: {evidence})"
    users = f", used by {joined(row.used_by)}" if row.used_by else ""
    return f"{row.column} ← {row.convert or row.to}{score}{users}"


def render_inferred(response: InferResponse, page: CommandOutput) -> None:
    """Print the file of the inferred contract."""
    page.say(
        f"✓ {response.file}, by {plural(response.rows, 'row')} of"
        f" {plural(response.partitions, 'partition')} of {response.source}",
        "good",
    )
    page.next("headrace plan", "headrace apply")


@terminal_command("contract_accept:accept_names")
def _accept(
    invocation: Invocation,
    node: str,
    pairs: Pairs = (),
    patch: Annotated[bool, Option("--patch", help="write nothing, print the difference")] = False,
    yes: Annotated[bool, Option("--yes", help="apply what else the files change, too")] = False,
    agreed: AgreedNames = None,
    convert: Conversions = (),
    as_is: AsIs = False,
    reason: Reason = None,
) -> int:
    """Write the vendor's new column names into the contract, from the held interval on.

    It is applied, and the next tick re-ingests the held deliveries.
    """
    from headrace.repairs.contract_updates import ValueDecision
    from headrace.services.contract_accept import accept

    with refusal_as_json(invocation, render_accepted):
        response = accept(
            invocation.session,
            node,
            pairs=pairs,
            patch=patch,
            yes=yes,
            progress=invocation.progress(),
            plan_id=agreed,
            decision=ValueDecision(tuple(convert), as_is, reason),
        )
    if patch and not invocation.options.json:
        sys.stdout.write(response.diff)
        return 0
    invocation.show(response, render_accepted)
    return 0


@terminal_command("contract_inference:infer")
def _infer(invocation: Invocation, target: str, *, write: bool) -> int:
    """Derive a contract from published data, with the evidence of each rule."""
    from headrace.services.contract_inference import infer

    response = infer(invocation.session, target, write=write)
    if not write and not invocation.options.json:
        sys.stdout.write(response.text)
        return 0
    invocation.show(response, render_inferred)
    return 0


contract_command = CommandGroup(
    "The contract of a source, or of an asset: what its data has to be.",
    {
        "show": ServiceCommand("contracts:show", render_contract, clock=False),
        "diff": ServiceCommand("contracts:diff", render_contract_diff),
        "accept": _accept,
        "infer": _infer,
    },
    group="change",
    summary="show a contract, accept renamed columns, infer a contract",
)
