"""`incidents report`: somebody saw wrong data; what was published of it is wrong from then on, and was since it was published."""

from __future__ import annotations

import msgspec

from headrace.govern.audit import Action, AuditEvent, Object, append
from headrace.model import ProjectError, Refused, UsageError
from headrace.observe.incidents.reports import reported
from headrace.operations import reasons, targets
from headrace.operations.incident_responses import IncidentRow
from headrace.operations.incidents import found_in, row_of
from headrace.operations.judging import judge_now
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.session import ProjectSession
from headrace.store import Transaction
from headrace.store.queries import incidents as stored
from headrace.store.queries import publications
from headrace.store.queries.incidents import Happened

PARTITIONS_MAX = 5_000


class ReportArguments(msgspec.Struct, frozen=True):
    """What is wrong: the partitions of a node from one to another, both included."""

    node: str
    first: str
    last: str
    reason: str


def report(
    session: ProjectSession, target: str, *, first: str | None, last: str | None, reason: str | None, progress: Progress
) -> IncidentRow:
    """Say that published data is wrong; the incident that this is. Refused without a reason, UsageError where nothing is published."""
    text = reasons.given(reason, "incidents report", "who repairs it has to know what is wrong with the data")
    node, key = targets.target(target, session.project())
    if node in session.borrowed:
        raise Refused(f"{node} is read from production in this environment", hint="report it there: without --env")
    declared = session.project().node(node)
    assert declared is not None
    if key is not None and (first or last):
        raise UsageError(f"{target} names a partition already", hint=f"headrace incidents report {node} --from A --to B --reason TEXT")
    if key is None and first is None and not declared.partition.whole:  # type: ignore[union-attr]
        raise UsageError(f"{node} is partitioned: since which partition is it wrong?", hint=f"headrace incidents report {node} --from K …")
    begins = key or (targets.partition(declared, first) if first is not None else "*")  # type: ignore[arg-type]
    ends = key or (targets.partition(declared, last) if last is not None else begins)  # type: ignore[arg-type]
    if ends < begins:
        raise UsageError(f"--to {ends} comes before --from {begins}")
    return perform(session, "report_incident", ReportArguments(node, begins, ends, text), progress)  # type: ignore[no-any-return]


@leader_command("report_incident", ReportArguments, IncidentRow)
def _report(context: CommandContext, arguments: ReportArguments, progress: Progress) -> IncidentRow:
    del progress
    applied = context.applied()
    if applied is None:
        raise ProjectError("nothing is applied yet, so nothing is published", hint="headrace apply")
    told: list[int] = []

    def write(tx: Transaction, now: int) -> None:
        results = publications.shown_between(tx, arguments.node, arguments.first, arguments.last, limit=PARTITIONS_MAX + 1)
        if not results:
            raise UsageError(f"nothing is published of {arguments.node} {_span(arguments)}", hint=f"headrace read {arguments.node}")
        if len(results) > PARTITIONS_MAX:
            raise UsageError(f"more than {PARTITIONS_MAX:,} partitions are published {_span(arguments)}", hint="report fewer at once")
        ids = reported(tx, arguments.node, results, context.actor.id, arguments.reason, now)
        judge_now(tx, context.session, applied, now, reported=True)
        number = stored.of_evidence(tx, ids[0])
        assert number is not None, "what people report is always put down to something"
        line = f"reported as wrong {_span(arguments)}: {arguments.reason}"
        stored.happened(tx, number, [Happened(now, line, context.actor.id)])
        what = AuditEvent(
            action=Action.INCIDENT_REPORTED, actor=context.actor, object=Object("node", arguments.node), reason=arguments.reason,
            after={"incident": stored.shown(number), "from": arguments.first, "to": arguments.last},
        )  # fmt: skip
        append(tx, now, what)
        told.append(number)

    context.tell(write=write)
    with context.store.read() as tx:
        return row_of(context.session, applied.compiled, tx, found_in(tx, told[0]))


def _span(arguments: ReportArguments) -> str:
    if arguments.first == "*":
        return "as a whole"
    return f"for {arguments.first}" if arguments.first == arguments.last else f"from {arguments.first} to {arguments.last}"
