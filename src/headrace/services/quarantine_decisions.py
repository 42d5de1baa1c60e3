"""`quarantine accept` and `quarantine drop`: decide about one partition or a whole incident."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Annotated

import msgspec

from headrace.access.consequences import of_act
from headrace.access.permissions import DECIDE, command
from headrace.acts import commands
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import PendingRun, leader_command
from headrace.lake import catalog, reshaped
from headrace.model import HeadraceError, Project, Refused, Severity, UsageError
from headrace.model.partitions import WHOLE, command_line, partition_argument
from headrace.project import targets
from headrace.project.parameters import Argument, RequiredReason, Until
from headrace.project.session import Progress, ProjectSession
from headrace.project.snapshots import run_downstream
from headrace.repairs.broken_partitions import failed_checks
from headrace.repairs.incident_partitions import let_through_of
from headrace.repairs.incident_rows import found_in, number_of
from headrace.responses import CountsRow
from headrace.responses.interventions import DecisionResponse, UndecidedRow
from headrace.runtime import publication_decisions
from headrace.runtime.approval_states import RELEASE
from headrace.runtime.file_rewrites import rewritten
from headrace.runtime.leader import Leader
from headrace.runtime.messages import RewrittenFile
from headrace.runtime.publication_decisions import (
    Accepting,
    ExceptionDecision,
    RewriteOutdated,
    put_back,
    record_decision,
    staged_of,
)
from headrace.runtime.runs import RunRequest, RunResult
from headrace.scheduler import Target
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.services.act_approvals import Act, approved
from headrace.services.pause import lapses_at
from headrace.services.quarantine import decided_together, waiting_for
from headrace.services.run import announce, count_recomputed
from headrace.services.run_results import run_response
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.queries import (
    attempts,
    evidence,
    exceptions,
    incidents,
    leader_writes,
    partition_states,
    quality,
    quarantine,
)
from headrace.store.queries import quarantine as stored
from headrace.store.queries.exceptions import Acceptance, ExceptionRecord
from headrace.store.queries.quarantine import Quarantined

# A person decides about data in quarantine by name, with a reason, and for a limited time where
# given. Staged data is published as it is. A delivery that never became rows, and a merge, are
# processed again under looser rules: blocking checks only warn. There is no third way: nothing
# marks the data as a success.

ACCEPT, DROP = "accept", "drop"
TRIES = 5
"""Maximum number of times that shared files are rewritten, if the table changes meanwhile."""


class DecideArguments(msgspec.Struct, frozen=True):
    """A decision, its quarantine record, and rewritten files.

    `rewritten` are the files that other partitions share with it, without its rows.
    """

    action: str
    node: str
    key: str
    waiting: int
    """Id of the quarantine record; 0 to renew an exception in force."""
    reason: str
    until: str | None = None
    rewritten: tuple[RewrittenFile, ...] = ()


def accept_partition(
    session: ProjectSession,
    target: str,
    *,
    reason: str | None,
    until: str | None,
    progress: Progress,
) -> DecisionResponse:
    """Publish one partition's quarantined data as an exception, and compute what is downstream.

    Raise Refused without a reason or for data that can't be published, UsageError if nothing is in
    quarantine.
    """
    text = commands.required_reason(
        reason, "quarantine accept", "readers will see data that was held back, and ask why"
    )
    for attempt in range(TRIES):
        arguments = _prepared(session, target, text, until)
        try:
            return _decide.perform(session, progress, arguments)
        except RewriteOutdated:
            publication_decisions.discard_rewrites(session.folders, arguments.rewritten)
            if attempt == TRIES - 1:
                raise
    raise AssertionError


def drop_partition(
    session: ProjectSession, target: str, *, reason: str | None, progress: Progress
) -> DecisionResponse:
    """Drop one partition's quarantined data, which is then never published.

    Raise Refused without a reason, UsageError if nothing is in quarantine.
    """
    text = commands.required_reason(
        reason, "quarantine drop", "who waits for the data has to know why it doesn't come"
    )
    row = _waiting(session, target)
    arguments = DecideArguments(DROP, row.node, row.partition, row.id, text)
    return _decide.perform(session, progress, arguments)


def _waiting(session: ProjectSession, target: str) -> Quarantined:
    node, key = targets.target(target, session.project())
    if node in session.borrowed:
        raise Refused(
            f"{node} is read from production in this environment",
            hint="decide about it there: without --env",
        )
    rows = []
    if session.store is not None:
        with session.store.read() as tx:
            rows = stored.waiting(tx, node=node, partition=key)
    if not rows:
        raise _nothing(target)
    if len(rows) > 1:
        raise UsageError(
            f"{len(rows)} partitions of {node} wait: which one?",
            hint=f"one of {', '.join(f'{node}@{r.partition}' for r in rows[:5])}",
        )
    return rows[0]


def _renewable(session: ProjectSession, target: str) -> tuple[str, str] | None:
    """Return the partition if it is published, with nothing in quarantine, and can be accepted.

    It is published by an exception, or with anomalies that a policy let through.
    """
    node, key = targets.target(target, session.project())
    if session.store is None or node in session.borrowed:
        return None
    with session.store.read() as tx:
        if stored.waiting(tx, node=node, partition=key or WHOLE):
            return None
        place = (node, key or WHOLE)
        acceptable = _in_force(tx, *place) is not None or quality.let_through_at(tx, *place)
        return place if acceptable else None


def _in_force(tx: Transaction, node: str, key: str) -> ExceptionRecord | None:
    return next(
        (
            record
            for record in exceptions.exceptions_in_force(tx)
            if (record.node, record.partition) == (node, key)
        ),
        None,
    )


def _nothing(target: str) -> UsageError:
    return UsageError(
        f"nothing of {target[:80]} waits in quarantine", hint="headrace quarantine lists what does"
    )


def _prepared(
    session: ProjectSession, target: str, reason: str, until: str | None
) -> DecideArguments:
    """Return the arguments; if staged data is published as it is, with rewritten shared files."""
    if (place := _renewable(session, target)) is not None:
        return DecideArguments(ACCEPT, *place, 0, reason, until)
    row = _waiting(session, target)
    with session.existing_store.read() as tx:
        rows = stored.of_attempt(tx, row.epoch, row.n)
        outcome = staged_of(tx, rows)
        known = catalog.table(tx, row.node)
        keys, files = [row.partition for row in rows], []
        if outcome is not None and known is not None:
            known = reshaped(known, outcome.table)
            files = catalog.shared_files(tx, row.node, keys, retyped=known.retyped)
    assert session.compiled is not None, "what was withheld was computed as applied"
    zone = session.compiled.project.timezone_of(row.node)
    rewritten_files = (
        rewritten(session.folders.lake, known, files, keys, zone)
        if known is not None and files
        else ()
    )
    return DecideArguments(ACCEPT, row.node, row.partition, row.id, reason, until, rewritten_files)


@leader_command("quarantine_deciding", DecisionResponse)
def _decide(context: CommandContext, arguments: DecideArguments) -> DecisionResponse | PendingRun:
    leader = context.leader()
    if not arguments.waiting:
        return _renewed(context, leader, arguments)
    decision = _decision(context, arguments)
    if arguments.action == DROP:
        return _drop(context, leader, decision)
    with context.store.read() as tx:
        outcome = staged_of(tx, decision.rows)
    counts = count_recomputed(
        context, leader, [decision.node], [(key, key) for key in decision.keys], alone=False
    )
    announce(context.progress, "quarantine accept", counts)
    if outcome is None:
        return _made_again(context, leader, decision, counts)
    put_back(context.session.folders, outcome)
    publishing = Accepting(decision, outcome, arguments.rewritten)
    with context.store.read() as tx:
        event = publishing.event(tx)

    def publish(tx: Transaction, now: int) -> None:
        publishing.publish(tx, now)
        leader.took_over(tx, [decision.node])

    leader.tell(event, write=publish)
    return _work(context, leader, decision, counts, retry=False)


def _decision(context: CommandContext, arguments: DecideArguments) -> ExceptionDecision:
    """Return the decision about all quarantined data of the attempt.

    Raise UsageError if the record was decided or replaced meanwhile.
    """
    with context.store.read() as tx:
        results = [
            row
            for row in stored.waiting(tx, node=arguments.node, partition=arguments.key)
            if row.id == arguments.waiting
        ]
        rows = stored.of_attempt(tx, results[0].epoch, results[0].n) if results else []
    if not rows:
        raise _nothing(f"{arguments.node}@{arguments.key}")
    return ExceptionDecision(
        tuple(rows), context.actor, arguments.reason, _until(context, arguments)
    )


def _renewed(
    context: CommandContext, leader: Leader, arguments: DecideArguments
) -> DecisionResponse:
    with context.store.read() as tx:
        before = _in_force(tx, arguments.node, arguments.key)
        let_through = before is None and quality.let_through_at(tx, arguments.node, arguments.key)
        row = stored.get(tx, before.quarantine_id) if before is not None else None
    if let_through:
        return _accepted_as_usual(context, leader, arguments)
    if before is None or row is None:
        raise _nothing(f"{arguments.node}@{arguments.key}")
    decision = ExceptionDecision(
        (row,), context.actor, arguments.reason, _until(context, arguments)
    )

    def write(tx: Transaction, now: int) -> None:
        acceptance = Acceptance(
            row.id, before.publication_id, decision.actor.id, decision.reason, now, decision.until
        )
        exceptions.renew_exception(tx, before, acceptance)
        record_decision(tx, decision, Action.QUARANTINE_ACCEPTED, now)

    leader.tell(write=write)
    leader.settle()
    return _response(context, leader, decision, "published")


def _accepted_as_usual(
    context: CommandContext, leader: Leader, arguments: DecideArguments
) -> DecisionResponse:
    """Accept anomalies of published data that a policy let through: they may be the normal now."""
    if arguments.until is not None:
        raise Refused("published data is accepted for good", hint="leave --until out")
    node, key = arguments.node, arguments.key

    def write(tx: Transaction, now: int) -> None:
        quality.accept_let_through(tx, node, key, now)
        warned = [id_ for id_, _, held in evidence.active_at(tx, node, key) if not held]
        evidence.end(tx, warned, now)
        event = AuditEvent(
            action=Action.QUARANTINE_ACCEPTED,
            actor=context.actor,
            object=Object("partition", f"{node}@{key}"),
            before={"state": "warned"},
            reason=arguments.reason,
        )
        append(tx, now, event)

    leader.tell(write=write)
    leader.settle()
    project = leader.applied.compiled.project
    return DecisionResponse(
        now=context.now(),
        clock=context.clock.kind,
        asset=node,
        partitions=[key],
        state="accepted",
        rows=None,
        by=context.actor.id,
        reason=arguments.reason,
        until=None,
        why="",
        consumers=_readers(project, node),
        next="headrace status",
    )


def _until(context: CommandContext, arguments: DecideArguments) -> int | None:
    return (
        None
        if arguments.until is None
        else lapses_at(context, arguments.until, context.clock.now_us())
    )


# Drop


def _drop(context: CommandContext, leader: Leader, decision: ExceptionDecision) -> DecisionResponse:
    text = f"dropped by {decision.actor.id}: {decision.reason}"
    with context.store.read() as tx:
        states = partition_states.states_at(
            tx, [(row.node, row.partition) for row in decision.rows]
        )
    if due := [place for place, (state, _) in states.items() if state == "waiting"]:
        raise Refused(
            f"{partition_argument(*due[0])} is tried again by the next pass, so"
            " nothing can be said of it yet",
            hint="headrace tick, then decide about what it gives",
        )

    def write(tx: Transaction, now: int) -> None:
        stored.decide(tx, [row.id for row in decision.rows], "dropped", now, text)
        for row in decision.rows:
            stored.say(tx, row.node, row.partition, text)
        numbers = {row.delivery_id for row in decision.rows if row.delivery_id is not None}
        stored.say_of_deliveries(tx, numbers, text)
        record_decision(tx, decision, Action.QUARANTINE_DROPPED, now)

    leader.tell(write=write)
    return _response(context, leader, decision, "dropped")


# Accept, and process again


def _made_again(
    context: CommandContext, leader: Leader, decision: ExceptionDecision, counts: CountsRow
) -> PendingRun:
    """Process data again that can't be published as it is.

    The task then runs under looser rules.
    """

    def write(tx: Transaction, now: int) -> None:
        for row in decision.rows:
            acceptance = Acceptance(
                row.id, None, decision.actor.id, decision.reason, now, decision.until
            )
            exceptions.accept_exception(tx, row.node, row.partition, acceptance)
        record_decision(tx, decision, Action.QUARANTINE_ACCEPTED, now)

    leader.tell(write=write)
    return _work(context, leader, decision, counts, retry=True)


def _work(
    context: CommandContext,
    leader: Leader,
    decision: ExceptionDecision,
    counts: CountsRow,
    *,
    retry: bool,
) -> PendingRun:
    """Return the run that processes the partitions again, if needed, and everything downstream."""
    node = decision.node
    own_targets = [Target(node, key, key) for key in decision.keys]
    below = [
        name
        for name in run_downstream(leader.applied.compiled, node, leader.exported)
        if name != node
    ]
    with context.store.read() as tx:
        seen = retry and leader_writes.published_of(tx, node, decision.keys[0]) is not None
    order = RunRequest(
        kind="run",
        targets=(*(own_targets if retry else ()), *map(Target, below)),
        actor=context.actor,
        request={"quarantine": ACCEPT, "node": node, "partitions": list(decision.keys)},
        reason=decision.reason,
        retry=frozenset([node] if retry else ()),
        again=frozenset([node] if seen else ()),
    )
    return PendingRun(
        leader, order, "quarantine accept", partial(_done, context, leader, decision, counts)
    )


def _done(
    context: CommandContext,
    leader: Leader,
    decision: ExceptionDecision,
    counts: CountsRow,
    result: RunResult,
) -> DecisionResponse:
    """Return the outcome.

    An exception without a publication is given up, so that it doesn't apply to the next delivery.
    """
    with context.store.write(context.held.lease.epoch) as tx:
        now = context.clock.mark(tx)
        given_up = [
            exceptions.give_up_exception(tx, decision.node, key, now) for key in decision.keys
        ]
        current = [partition_states.get(tx, decision.node, key) for key in decision.keys]
    states = {partition.state for partition in current if partition is not None}
    state = states.pop() if len(states) == 1 else "partial"
    state = "held" if any(given_up) and state == "published" else state
    response = _response(context, leader, decision, state)
    run = run_response(context.store, context.clock, context.session.zone, result)
    return msgspec.structs.replace(
        response, run_id=run.run_id, counts=counts, published=run.published, rejected=run.rejected
    )


def _response(
    context: CommandContext, leader: Leader, decision: ExceptionDecision, state: str
) -> DecisionResponse:
    project, zone = leader.applied.compiled.project, context.session.zone
    counts = [row.rows for row in decision.rows[:1]]
    with context.store.read() as tx:
        attempt = attempts.get(tx, decision.rows[0].epoch, decision.rows[0].n)
        waived = _waived(tx, decision) if state == "published" else []
    return DecisionResponse(
        now=context.now(),
        clock=context.clock.kind,
        asset=decision.node,
        partitions=list(decision.keys),
        state=state,
        rows=counts[0],
        by=decision.actor.id,
        reason=decision.reason,
        until=None if decision.until is None else instant(decision.until).astimezone(zone),
        why=decision.rows[0].reason or (attempt.reason or "" if attempt else ""),
        waived=waived,
        consumers=_readers(project, decision.node),
        next=_next(decision, state),
    )


def _waived(tx: Transaction, decision: ExceptionDecision) -> list[str]:
    """Return the blocking checks that the decision's data failed."""
    checks = (
        check
        for row in decision.rows
        for check in failed_checks(tx, (row.epoch, row.n), row.partition)
    )
    return list(
        dict.fromkeys(check.name for check in checks if check.severity == Severity.BLOCKING)
    )


def _next(decision: ExceptionDecision, state: str) -> str:
    if state == "published":
        return "headrace status"
    return (
        f"headrace quarantine {decision.node}"
        if state != "dropped"
        else f"headrace deliveries {decision.node}"
    )


def _readers(project: Project, node: str) -> list[str]:
    return sorted(name for name, consumer in project.consumers.items() if node in consumer.reads)


# `quarantine accept INC-1` and `quarantine drop INC-1`: one decision about everything in quarantine
# because of one incident.

_ID = re.compile(r"inc-\d{1,15}", re.IGNORECASE)
_DECIDED = ("published", "dropped")


Decided = Annotated[str, Argument("ASSET@K|INC-N", help="one partition, or all of an incident")]


@command(
    "quarantine accept",
    DECIDE,
    of="target",
    http="POST /quarantine/accept do_accept",
    session="quarantine_accept",
)
def accept(
    session: ProjectSession,
    target: Decided,
    *,
    reason: RequiredReason,
    until: Until = None,
    progress: Progress,
) -> DecisionResponse:
    """Publish quarantined data of one partition, or of an incident, as an exception.

    Raise as `accept_partition` does, NeedsApproval if policy requires an approval, and UsageError
    if an incident has no data in quarantine.
    """

    def decide(place: str) -> DecisionResponse:
        return accept_partition(
            session,
            place,
            reason=reason,
            until=until,
            progress=progress,
        )

    with _released(session, target, reason, until, progress):
        return _decided(session, "accept", target, reason, decide)


def _released(
    session: ProjectSession, target: str, reason: str, until: str | None, progress: Progress
) -> AbstractContextManager[bool]:
    """Return the context in which held data may be published.

    Entering it raises NeedsApproval if policy requires an approval that is missing.
    """
    rows = _held(session, target)
    if not rows or session.compiled is None or session.production is not None:
        # nothing is released to readers, or `decide` says why it can't be
        return nullcontext(enter_result=False)
    nodes = list(dict.fromkeys(row.node for row in rows))
    lapses = ["--until", until] if until is not None else []
    act = Act(
        kind=RELEASE,
        steps=[
            {"kind": RELEASE, "node": row.node, "from": row.partition, "quarantine": row.id}
            for row in rows
        ]
        + [{"kind": "until", "to": until}],
        consequence=of_act(
            session.compiled,
            nodes,
            partitions=len(rows),
            rows=sum(row.rows or 0 for row in rows),
            cache=session.data_folder / "cache",
        ),
        command=command_line("quarantine", "accept", target, *lapses, "--reason", "TEXT"),
        reason=commands.required_reason(
            reason, "quarantine accept", "readers will see data that was held back, and ask why"
        ),
        spans=tuple((row.node, row.partition, row.partition) for row in rows),
    )
    return approved(session, act, progress)


def _held(session: ProjectSession, target: str) -> list[Quarantined]:
    """Return what an acceptance would release: the whole of each attempt, one row a partition."""
    if session.store is None:
        return []
    of_incident = _ID.fullmatch(target.strip()) is not None
    node, key = ("", None) if of_incident else targets.target(target, session.project())
    with session.store.read() as tx:
        named = (
            waiting_for(tx, found_in(tx, number_of(target)))
            if of_incident
            else stored.waiting(tx, node=node, partition=key)
        )
        attempts_of = dict.fromkeys((row.epoch, row.n) for row in named)
        rows = [row for epoch, n in attempts_of for row in stored.of_attempt(tx, epoch, n)]
    return sorted(rows, key=lambda row: row.id)


@command(
    "quarantine drop",
    DECIDE,
    of="target",
    http="POST /quarantine/drop do_drop",
    session="quarantine_drop",
)
def drop(
    session: ProjectSession,
    target: Decided,
    *,
    reason: RequiredReason,
    progress: Progress,
) -> DecisionResponse:
    """Drop quarantined data of one partition, or of an incident."""

    def decide(place: str) -> DecisionResponse:
        return drop_partition(session, place, reason=reason, progress=progress)

    return _decided(session, "drop", target, reason, decide)


def _require_names(session: ProjectSession, node: str, key: str) -> None:
    """Raise Refused if the delivery has undecided renames of columns."""
    if session.store is None:
        return
    with session.store.read() as tx:
        if not quality.renames_wait(tx, node, key):
            return
        reason = quarantine.waiting(tx, node=node, partition=key)[0].reason.partition(";")[0]
    raise Refused(
        f"the new names of its columns have to be decided first: {reason}",
        hint=command_line("contract", "accept", partition_argument(node, key)),
    )


def _decided(
    session: ProjectSession,
    word: str,
    target: str,
    reason: str | None,
    decide: Callable[[str], DecisionResponse],
) -> DecisionResponse:
    if _ID.fullmatch(target.strip()) is None:
        return _with_others(session, word, decide(target))
    commands.required_reason(reason, f"quarantine {word}", "who waits for the data has to know why")
    places = _places(session, target, lapsed=word == "accept")
    if not places:
        raise UsageError(
            f"nothing waits in quarantine because of {target.upper()}",
            hint="headrace quarantine lists what does",
        )
    documents, done, failed = (
        list[DecisionResponse](),
        set[tuple[str, str]](),
        list[tuple[str, HeadraceError]](),
    )
    for node, key in places:
        if (node, key) in done:  # partitions of the same file are decided together
            continue
        try:
            if word == "accept":
                _require_names(session, node, key)
            documents.append(decide(partition_argument(node, key)))
        except HeadraceError as error:  # earlier decisions are in force, and must be reported
            failed.append((partition_argument(node, key), error))
            continue
        done |= {(node, partition) for partition in documents[-1].partitions}
    if not documents:
        raise failed[0][1]
    return _together(documents, failed)


def _places(session: ProjectSession, target: str, *, lapsed: bool) -> list[tuple[str, str]]:
    """Return (node, partition) of an incident's quarantined data, with `lapsed` also of exceptions.

    Those are exceptions that have lapsed.
    """
    if session.store is None:
        return []
    with session.store.read() as tx:
        incident = found_in(tx, number_of(target))
        places = [(row.node, row.partition) for row in waiting_for(tx, incident)]
        if lapsed:
            again = evidence.excepted_of(tx, incident.id, evidence.LAPSED)
            places += [(node, key or WHOLE) for node, key in again]
            places += let_through_of(tx, incident)
    return list(dict.fromkeys(places))


def _together(
    documents: list[DecisionResponse], failed: Sequence[tuple[str, HeadraceError]]
) -> DecisionResponse:
    """Return one response for several decisions, including the failed ones."""
    states = {response.state for response in documents} | {"partial" for _ in failed}
    nodes = list(dict.fromkeys(response.asset for response in documents))
    counts = [response.rows for response in documents]
    return msgspec.structs.replace(
        documents[-1],
        asset=", ".join(nodes),
        partitions=[key for response in documents for key in response.partitions],
        state=states.pop() if len(states) == 1 else "partial",
        rows=None if None in counts else sum(count or 0 for count in counts),
        why="; ".join(dict.fromkeys(response.why for response in documents if response.why)),
        waived=list(dict.fromkeys(name for response in documents for name in response.waived)),
        published=[row for response in documents for row in response.published],
        rejected=[row for response in documents for row in response.rejected],
        counts=documents[0].counts if len(documents) == 1 else None,
        consumers=sorted({name for response in documents for name in response.consumers}),
        undecided=[
            UndecidedRow(partition=at, reason=str(error), hint=error.hint or "")
            for at, error in failed
        ],
        still_waiting=[at for at, _ in failed] or documents[-1].still_waiting,
        next=_next_of(failed) if failed else documents[-1].next,
    )


def _next_of(failed: Sequence[tuple[str, HeadraceError]]) -> str:
    """Return the next command for the first failed decision: the one that its error names."""
    at, error = failed[0]
    return error.hint if error.hint.startswith("headrace ") else command_line("quarantine", at)


def _with_others(
    session: ProjectSession, word: str, response: DecisionResponse
) -> DecisionResponse:
    """Return the response with the incident's other quarantined data, and the command for it."""
    if session.store is None or response.state not in _DECIDED:
        return response
    with session.store.read() as tx:
        result = (incidents.open_at(tx, response.asset, key) for key in response.partitions)
        incident = next((incident for incident in result if incident is not None), None)
        rows = waiting_for(tx, incident) if incident is not None else []
        together = decided_together(tx, incident, word) if incident is not None else []
    if incident is None or not rows:
        return response
    waiting = list(dict.fromkeys(partition_argument(row.node, row.partition) for row in rows))
    decide = command_line("quarantine", word, incident.label, "--reason", response.reason)
    return msgspec.structs.replace(
        response,
        still_waiting=waiting,
        next=decide if together else command_line("contract", "accept", waiting[0]),
    )
