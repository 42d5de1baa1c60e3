"""`complexity`: what a project could do without, with counts by version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from headrace.compiler.lineage import compile_lineage
from headrace.extension import SEE, ProjectSession, command, command_line
from headrace.plan import Compiled
from headrace.project.session import usable
from headrace.standing.figure_inputs import Figuring
from headrace.store import Transaction
from headrace.store.queries import applied_versions
from headrace_advisor.analysis.complexity import SEEN_DAYS, Finding, ProjectShape
from headrace_advisor.analysis.costs import MONTH_DAYS, CostAmount, CostItem, sums
from headrace_advisor.analysis.partition_rules import better_grain
from headrace_advisor.analysis.same_content import same_rows
from headrace_advisor.queries import complexity as stored
from headrace_advisor.queries.costs import stored_partitions
from headrace_advisor.responses.advice import (
    ComplexityResponse,
    ComplexityRow,
    ComplexityVersionRow,
    HopsRow,
    SavingRow,
)
from headrace_advisor.services.costs import days_since, figuring_of, plain_items
from headrace_advisor.services.dismissed import Dismissals, dismissals_of, split

FINDINGS_MAX = 1_000
VERSIONS_MAX = 10
"""The trend has at most this many of the newest versions."""
UNSEEN = "reads past Headrace (files, other tools on the same database) can't be seen: ask first"


@command("complexity", SEE, http="GET /complexity complexity", session="complexity")
def complexity(session: ProjectSession) -> ComplexityResponse:
    """Show what the project could do without: what is unread, duplicate, empty of effect.

    Reads past Headrace can't be seen. Raise InvalidProject if nothing is applied and the files have
    errors.
    """
    cache = session.data_folder / "cache"
    if session.store is None or session.compiled is None:
        shape = _shape(usable(session.declared()), cache, frozenset())
        return _response(session, shape, list(shape.findings()), {}, [])
    with figuring_of(session, f"{SEEN_DAYS}d") as figuring:
        seen = frozenset(usage.node for usage in figuring.reads)
        shape = _shape(session.compiled, cache, seen)
        findings = [
            *_with_records(figuring, shape.findings()),
            *_measured(figuring, shape),
        ]
        months = days_since(figuring, figuring.began) / MONTH_DAYS
        amounts = {
            line.of: line.amount.times(1 / months)
            for line in sums(plain_items(figuring, figuring.began), _node_of)
        }
        trend = _trend(figuring.tx, cache)
    return _response(session, shape, findings, amounts, trend)


def _node_of(item: CostItem) -> str:
    return item.node


def _shape(compiled: Compiled, cache: Path, seen: frozenset[str]) -> ProjectShape:
    return ProjectShape(compiled, compile_lineage(compiled, cache), seen)


# Findings that need the history


def _measured(figuring: Figuring, shape: ProjectShape) -> Iterator[Finding]:
    yield from _same_rows(figuring, shape)
    for name, sizes in stored_partitions(figuring.tx).items():
        node = figuring.project.source_or_asset(name)
        if node is None or node.partition.grain is None:
            continue
        better = better_grain(node.partition.grain, sizes)
        if better is not None:
            yield Finding("grain", name, better)


def _same_rows(figuring: Figuring, shape: ProjectShape) -> Iterator[Finding]:
    known = {
        frozenset((name, above)) for name, above in shape.passed.items()
    }  # reported as pass_through
    order = figuring.compiled.order
    for pair in same_rows(content[:3] for content in stored.contents(figuring.tx)):
        both = figuring.compiled.nodes.keys() >= {pair.node, pair.other}
        if both and frozenset((pair.node, pair.other)) not in known:
            earlier, later = sorted((pair.node, pair.other), key=order.index)
            text = f"measured equal: the same rows as {earlier} in all {pair.partitions} partitions"
            yield Finding("duplicate", later, text)


def _with_records(figuring: Figuring, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings; a check that can't fail, and never has, is dead."""
    for finding in findings:
        if finding.kind == "obvious_check":
            node, _, check = finding.node.partition(".")
            record = stored.check_record(figuring.tx, node, check)
            if record.evaluated and not record.failed:
                times = (
                    "1 evaluation" if record.evaluated == 1 else f"{record.evaluated:,} evaluations"
                )
                text = f"{finding.evidence}; it has never failed in {times}"
                yield finding._replace(kind="dead_check", evidence=text)
                continue
        yield finding


# The trend


def _trend(tx: Transaction, cache: Path) -> list[ComplexityVersionRow]:
    """Return the counts of the newest versions, by declarations alone, oldest first."""
    rows = []
    for heading in applied_versions.headings(tx)[:VERSIONS_MAX]:
        version = applied_versions.get(tx, heading.id)
        if version is None:
            continue
        try:
            compiled = msgspec.msgpack.decode(version.compiled, type=Compiled)
        except msgspec.MsgspecError:
            continue  # of a Headrace before this one
        counts = _counts(list(_shape(compiled, cache, frozenset()).findings()))
        rows.append(ComplexityVersionRow(version=heading.id, counts=counts))
    return rows[::-1]


def _counts(findings: list[Finding]) -> dict[str, int]:
    return dict(sorted(Counter(finding.kind for finding in findings).items()))


# The response


def _response(
    session: ProjectSession,
    shape: ProjectShape,
    findings: list[Finding],
    amounts: Mapping[str, CostAmount],
    trend: list[ComplexityVersionRow],
) -> ComplexityResponse:
    unique = list({finding.id: finding for finding in reversed(findings)}.values())[::-1]
    dismissals = dismissals_of(session, shape.compiled)
    rows = [_row(session, finding, amounts, dismissals) for finding in unique]
    rows.sort(key=lambda row: -(row.saves_month.seconds or 0.0))
    open_rows, dismissed = split(rows)
    return ComplexityResponse(
        counts=dict(sorted(Counter(row.kind for row in open_rows).items())),
        findings=open_rows[:FINDINGS_MAX],
        hops={
            name: HopsRow(actual=most, least=least) for name, (most, least) in shape.hops().items()
        },
        trend=trend,
        limited=len(open_rows) > FINDINGS_MAX,
        note=UNSEEN,
        dismissed=dismissed[:FINDINGS_MAX],
    )


def _row(
    session: ProjectSession,
    finding: Finding,
    amounts: Mapping[str, CostAmount],
    dismissals: Dismissals,
) -> ComplexityRow:
    saves = SavingRow(seconds=None, bytes=None, cost=None)
    if finding.kind in ("unread_asset", "unused_source") and (amounts or session.store is not None):
        amount = amounts.get(finding.node, CostAmount())
        cost = amount.cost(session.settings.costs)
        saves = SavingRow(
            seconds=round(amount.slot_us / 1e6, 3),
            bytes=round(amount.byte_months),
            cost=None if cost is None else round(cost, 4),
        )
    return ComplexityRow(
        id=finding.id,
        kind=finding.kind,
        node=finding.node,
        evidence=finding.evidence,
        files=list(finding.files),
        saves_month=saves,
        command=_command(session, finding),
        dismissal=dismissals.of(finding.id),
    )


def _command(session: ProjectSession, finding: Finding) -> str | None:
    node = finding.node.partition(".")[0]
    if finding.files and session.version is not None:
        return command_line("complexity", "prune", finding.id)
    if finding.kind in ("dead_check", "obvious_check"):
        return command_line("checks", "challenge", node)
    if finding.kind == "no_checks":
        return command_line("checks", "suggest", node)
    if finding.kind == "unagreed_contract":
        return command_line("contract", "show", node)
    if finding.kind == "duplicate":
        return command_line("optimize", node)
    if finding.kind in ("unread_column", "pass_through"):
        return command_line("lineage", finding.node)
    return None
