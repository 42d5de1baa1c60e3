"""Interventions in one object: `cancel`, `unpublish`, `waive` and `exports take-over`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Annotated

import msgspec

from headrace.access.consequences import of_act
from headrace.access.permissions import DECIDE, OPERATE, command
from headrace.acts import commands
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import evaluate_now, leader_command
from headrace.model import Asset, Project, ProjectError, Refused, Source, UnknownName, UsageError
from headrace.model.exports import export_of
from headrace.model.intervals import parse_key
from headrace.model.partitions import command_line, partition_argument
from headrace.plan import Compiled
from headrace.plan.node_graph import NodeGraph
from headrace.project import targets
from headrace.project.parameters import Argument, Reason, RequiredReason
from headrace.project.session import Progress, ProjectSession
from headrace.responses import Response
from headrace.responses.interventions import (
    CancelResponse,
    StalePartitionsRow,
    WithdrawResponse,
)
from headrace.runtime import publication_decisions
from headrace.runtime.approval_states import UNPUBLISH
from headrace.runtime.file_rewrites import rewritten
from headrace.runtime.messages import RewrittenFile
from headrace.runtime.publication_decisions import RewriteOutdated
from headrace.scheduler import TakenBack
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.services.act_approvals import Act, approved
from headrace.services.runs import number_of, unknown_run
from headrace.slo import obligation_records
from headrace.slo.declared_promises import declared_promises
from headrace.slo.obligation_records import settle_obligations
from headrace.slo.obligations import EvaluationContext, taken_back
from headrace.slo.stored_facts import StoredFacts
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.lease import holder
from headrace.store.queries import obligations, partition_states, publications, runs
from headrace.store.queries.publications import Publication
from headrace.store.queries.runs import Run

# `cancel`: ends a run. Published partitions stay.

BY_ITSELF = "serve"
"""Kind of the runs that a server starts by itself; these can't be cancelled."""


@command(
    "cancel",
    OPERATE,
    http="POST /runs/{run}/cancel do_cancel",
    session="cancel",
    group="act",
    summary="end a run",
)
def cancel(
    session: ProjectSession,
    run: Annotated[str, Argument("RUN", help="`headrace runs` lists them")],
    *,
    reason: Reason = None,
    progress: Progress,
) -> CancelResponse:
    """End a run. Publications stay, pending work isn't started, running attempts are stopped.

    For a run that isn't under way, only return its state (exit code 1). Raise UsageError for an
    unknown run.
    """
    number = number_of(run)
    if session.store is None:
        raise unknown_run(run)
    with session.store.read() as tx:
        result, led = runs.get(tx, number), holder(tx) is not None
    if result is None:
        raise unknown_run(run)
    if result.finished_at is not None or not led:
        return CancelResponse(
            now=session.now(),
            clock=session.clock.kind,
            run_id=str(number),
            by=result.cancelled_by,
            reason=result.reason,
            state="lost" if result.finished_at is None else result.shown_state,
            ended_at=None if result.finished_at is None else session.instant(result.finished_at),
        )
    return _cancel.perform(session, progress, number, (reason or "").strip())


@leader_command("cancel", CancelResponse)
def _cancel(context: CommandContext, run: int, reason: str) -> CancelResponse:
    leader = context.working
    if leader is not None and leader.under_way(run) is not None:
        leader.cancel(run, context.actor, reason)
    with context.store.read() as tx:
        cancelled = runs.get(tx, run)
    if cancelled is None:
        raise UnknownName(f"there is no run {run}", hint="headrace runs lists them")
    if cancelled.kind == BY_ITSELF and cancelled.finished_at is None:
        raise Refused(
            f"run {run} is what the server does by itself: it would start again",
            hint=(
                "headrace pause SELECT --reason TEXT keeps what hasn't begun from it; stopping the"
                " server ends all"
            ),
        )
    return _cancel_response(context, cancelled)


def _cancel_response(context: CommandContext, run: Run) -> CancelResponse:
    ended = (
        None
        if run.finished_at is None
        else instant(run.finished_at).astimezone(context.session.zone)
    )
    return CancelResponse(
        now=context.now(),
        clock=context.clock.kind,
        run_id=str(run.id),
        state=run.shown_state,
        by=run.cancelled_by,
        reason=run.reason,
        ended_at=ended,
    )


# `unpublish`: withdraws a publication. Readers no longer see its partition, and everything computed
# from it is stale.

TRIES = 5
"""Maximum number of times that shared files are rewritten, if the table changes meanwhile."""

REFUSED = {
    "view": ("is a view: it has no data of its own", "unpublish what it reads"),
    "none": (
        "publishes no data: what it did outside can't be undone here",
        "headrace run {name} --again --reason TEXT does it again",
    ),
    "merge": (
        "is merged partition over partition: later ones build on this one",
        "correct its input, then: headrace run {name} --partition {key} --again --reason TEXT",
    ),
    "snapshot": (
        "keeps a history in which later partitions build on this one",
        "correct its input, then: headrace run {name} --partition {key} --again --reason TEXT",
    ),
}
"""Materialisations whose partitions can't be withdrawn: the reason, and what to do."""


class WithdrawArguments(msgspec.Struct, frozen=True):
    """The partition to withdraw, and the files that it shares with others, rewritten without it."""

    node: str
    key: str
    reason: str
    rewritten: tuple[RewrittenFile, ...] = ()
    approved_one: int | None = None
    """The publication that an approval is about; None if none was needed."""


@command(
    "unpublish",
    DECIDE,
    of="target",
    http="POST /withdraw do_withdraw",
    session="unpublish",
    group="act",
    summary="take a publication back: readers no longer see it",
)
def unpublish(
    session: ProjectSession,
    target: Annotated[str, Argument("ASSET@K", help="a published partition")],
    *,
    reason: RequiredReason,
    progress: Progress,
) -> WithdrawResponse:
    """Take a publication back: readers no longer see the partition, and its downstream is stale.

    Raise Refused without a reason or for a materialisation whose partitions can't be withdrawn,
    NeedsApproval if policy requires an approval, UsageError for a partition that isn't published.
    """
    text = commands.required_reason(reason, "unpublish", "readers lose data that they could read")
    act = _unpublishing(session, target, text)
    with approved(session, act, progress) as needed:
        approved_one = act.steps[0]["publication"] if needed else None
        return _unpublished_partition(session, target, text, approved_one, progress)


def _unpublishing(session: ProjectSession, target: str, reason: str) -> Act:
    """Return the act of unpublishing a partition as it is published now. Raise as `unpublish`."""
    node, key = _partition(session.project(), target)
    _refuse_borrowed(session, node)
    if session.store is None or session.compiled is None:
        raise _unpublished(node, key)
    with session.store.read() as tx:
        publication = publications.current(tx, node, key)
    if publication is None:
        raise _unpublished(node, key)
    cache = session.data_folder / "cache"
    return Act(
        kind=UNPUBLISH,
        steps=[{"kind": UNPUBLISH, "node": node, "from": key, "publication": publication.id}],
        consequence=of_act(
            session.compiled, [node], partitions=1, rows=publication.rows, cache=cache
        ),
        command=command_line("unpublish", partition_argument(node, key), "--reason", "TEXT"),
        reason=reason,
        spans=((node, key, key),),
    )


def _unpublished_partition(
    session: ProjectSession, target: str, text: str, approved_one: int | None, progress: Progress
) -> WithdrawResponse:
    for attempt in range(TRIES):
        arguments = _prepared(session, target, text, approved_one)
        try:
            return _withdraw.perform(session, progress, arguments)
        except RewriteOutdated:
            publication_decisions.discard_rewrites(session.folders, arguments.rewritten)
            if attempt == TRIES - 1:
                raise
    raise AssertionError


def _refuse_borrowed(session: ProjectSession, node: str) -> None:
    if node in session.borrowed:
        raise Refused(
            f"{node} is read from production in this environment",
            hint="unpublish it there: without --env",
        )


def _published_again(node: str, key: str) -> Refused:
    return Refused(
        f"{node}@{key} was published again since unpublishing it was approved",
        hint=command_line("unpublish", partition_argument(node, key), "--reason", "TEXT"),
    )


def _prepared(
    session: ProjectSession, target: str, reason: str, approved_one: int | None
) -> WithdrawArguments:
    project = session.project()
    node, key = _partition(project, target)
    if session.store is None:
        raise _unpublished(node, key)
    with session.store.read() as tx:
        current = publications.current(tx, node, key)
        if current is None:
            raise _unpublished(node, key)
        if approved_one not in (None, current.id):
            raise _published_again(node, key)
        table, files = publication_decisions.files_shared_with(tx, node, key)
    rewritten_files = (
        rewritten(session.folders.lake, table, files, [key], project.timezone_of(node))
        if table is not None and files
        else ()
    )
    return WithdrawArguments(node, key, reason, rewritten_files, approved_one)


@leader_command("withdraw", WithdrawResponse)
def _withdraw(context: CommandContext, arguments: WithdrawArguments) -> WithdrawResponse:
    applied = context.applied()
    if applied is None:
        raise _unpublished(arguments.node, arguments.key)
    if context.held.production is not None:
        context.leader()  # some inputs are in production's store
    order = publication_decisions.UnpublishRequest(
        arguments.node, arguments.key, arguments.reason, context.actor.id, arguments.rewritten
    )
    below = _downstream(applied.compiled, arguments.node)
    withdrawals: list[tuple[int, Publication]] = []

    def write(tx: Transaction, now: int) -> None:
        publication = publications.current(tx, order.node, order.key)
        if publication is None:
            raise _unpublished(order.node, order.key)
        if arguments.approved_one not in (None, publication.id):
            raise _published_again(order.node, order.key)
        settle_obligations(
            tx, EvaluationContext(declared_promises(applied.compiled), StoredFacts(tx)), now
        )  # obligations met until now stay met
        withdrawals.append(
            (
                publication_decisions.unpublish(tx, order, publication, context.actor, now),
                publication,
            )
        )
        if context.working is None:
            publication_decisions.apply_without_leader(
                tx, applied, order, context.held.lease.epoch, now
            )
            evaluate_now(tx, context.session, applied, now)

    before = _stale(context, below)
    context.tell(TakenBack(order.node, order.key, order.signed_reason), write=write)
    if context.working is not None:
        context.working.settle()
    snapshot, publication = withdrawals[0]
    return _withdraw_response(
        context,
        order,
        snapshot,
        publication,
        _newly(before, _stale(context, below)),
        _readers(applied.compiled.project, order.node),
    )


def _withdraw_response(
    context: CommandContext,
    order: publication_decisions.UnpublishRequest,
    snapshot: int,
    publication: Publication,
    stale: list[StalePartitionsRow],
    readers: list[str],
) -> WithdrawResponse:
    return WithdrawResponse(
        now=context.now(),
        clock=context.clock.kind,
        asset=order.node,
        partition=order.key,
        state="withdrawn",
        rows=publication.rows,
        snapshot=snapshot,
        published_at=instant(publication.published_at).astimezone(context.session.zone),
        reason=order.reason,
        stale=stale,
        consumers=readers,
    )


def _partition(project: Project, text: str) -> tuple[str, str]:
    name, key = targets.target(text, project)
    node = project.node(name)
    assert isinstance(node, Source | Asset)
    if key is None and not node.partition.whole:
        raise UsageError(
            f"{name} is partitioned: which partition is to be unpublished?",
            hint=f"headrace unpublish {name}@K --reason TEXT",
        )
    if isinstance(node, Asset) and node.materialize in REFUSED:
        why, hint = REFUSED[node.materialize]
        raise Refused(f"{name} {why}", hint=hint.format(name=name, key=key or "*"))
    return name, key or "*"


def _unpublished(node: str, key: str) -> UsageError:
    return UsageError(
        f"{node}@{key} isn't published: readers see nothing of it",
        hint=f"headrace read {node} shows what they see",
    )


def _downstream(compiled: Compiled, node: str) -> list[str]:
    """Return everything downstream of a node, including exports."""
    reached = NodeGraph(compiled, data_only=True).downstream([node])
    names = (*compiled.order, *compiled.project.consumers)
    return [name for name in names if name in reached and name != node]


def _readers(project: Project, node: str) -> list[str]:
    return sorted(name for name, consumer in project.consumers.items() if node in consumer.reads)


def _stale(context: CommandContext, nodes: Iterable[str]) -> dict[str, list[str]]:
    with context.store.read() as tx:
        return {name: partition_states.stale_keys(tx, name) for name in nodes}


def _newly(
    before: dict[str, list[str]], after: dict[str, Collection[str]] | dict[str, list[str]]
) -> list[StalePartitionsRow]:
    rows = [
        StalePartitionsRow(node=name, partitions=[key for key in keys if key not in before[name]])
        for name, keys in after.items()
    ]
    return [row for row in rows if row.partitions]


# `waive`: waives an obligation, so that its interval is no longer awaited.


class WaiveResponse(Response, frozen=True, kw_only=True):
    """`waive`: `backlog` lists the consumer's intervals that are due and neither met nor waived."""

    now: datetime
    clock: str
    consumer: str
    interval: str
    due_at: datetime
    reason: str
    by: str
    backlog: list[str]


@command(
    "waive",
    DECIDE,
    of="target",
    http="POST /waive do_waive",
    session="waive",
    group="act",
    summary="waive an obligation whose interval nobody needs any more",
)
def waive(
    session: ProjectSession,
    target: Annotated[
        str, Argument("CONSUMER@K", help="a consumer, and the interval that it waits for")
    ],
    *,
    reason: RequiredReason,
    progress: Progress,
) -> WaiveResponse:
    """Waive an obligation: its interval is no longer awaited. It still counts as a missed promise.

    Raise Refused without a reason, UsageError for an obligation that isn't due or is met.
    """
    text = commands.required_reason(
        reason, "waive", "it counts as a promise that wasn't kept, and somebody will ask why"
    )
    name, at, key = target.partition("@")
    project = session.project()
    consumer = targets.consumer_of(project, name)
    if not at:
        raise UsageError(
            f"which interval of {name} is waived?", hint=f"headrace waive {name}@K --reason TEXT"
        )
    interval = parse_key(key, consumer.per, consumer.timezone or project.settings.timezone)
    return _waive.perform(session, progress, name, interval, text)


@leader_command("waive", WaiveResponse)
def _waive(context: CommandContext, consumer: str, interval: str, reason: str) -> WaiveResponse:
    applied = context.applied()
    if applied is None:
        raise ProjectError("nothing is applied yet, so nothing is due", hint="headrace apply")
    due: list[int] = []

    def write(tx: Transaction, now: int) -> None:
        evaluation_context = EvaluationContext(declared_promises(applied.compiled), StoredFacts(tx))
        obligation_records.settle_obligations(tx, evaluation_context, now)
        due.append(_let_go(tx, evaluation_context, consumer, interval, now))
        what = AuditEvent(
            action=Action.OBLIGATION_WAIVED,
            actor=context.actor,
            object=Object("obligation", f"{consumer}@{interval}"),
            reason=reason,
        )
        append(tx, now, what)
        evaluate_now(tx, context.session, applied, now)

    context.tell(write=write)
    with context.store.read() as tx:
        now_us = context.clock.now_us()
        backlog = [
            obligation.interval
            for obligation in obligations.unmet(tx, consumer)
            if obligation.due_at <= now_us
        ]
    return WaiveResponse(
        now=context.now(),
        clock=context.clock.kind,
        consumer=consumer,
        interval=interval,
        due_at=context.session.instant(due[0]),
        reason=reason,
        by=context.actor.id,
        backlog=backlog,
    )


def _let_go(
    tx: Transaction, evaluation_context: EvaluationContext, consumer: str, interval: str, now: int
) -> int:
    """Waive the obligation and return its deadline in µs.

    A met obligation can be waived if one of its inputs was withdrawn since.
    """
    place = f"{consumer}@{interval}"
    obligation = obligations.get(tx, consumer, interval)
    if obligation is None or obligation.due_at > now:
        raise UsageError(
            f"{place} isn't due yet, or never was promised",
            hint=f"headrace status consumer:{consumer}",
        )
    terms = next(
        (terms for terms in evaluation_context.declared.consumers if terms.consumer == consumer),
        None,
    )
    if obligation.met_at is not None and (
        terms is None or not taken_back(terms, interval, evaluation_context)
    ):
        raise UsageError(f"{place} is met: there is nothing to waive")
    if obligation.waived_at is not None:
        raise UsageError(f"{place} is waived already")
    obligations.waive(tx, consumer, interval, now)
    return obligation.due_at


# `exports take-over`: from now on this project writes a consumer's target, whichever project did
# before.


class TakeOverResponse(Response, frozen=True, kw_only=True):
    """`exports take-over`: another project's exports are replaced, interval by interval."""

    now: datetime
    clock: str
    consumer: str
    target: str
    reason: str
    by: str


@command("exports take-over", DECIDE, of="consumer", session="take_over_exports")
def take_over(
    session: ProjectSession,
    consumer: Annotated[str, Argument("CONSUMER", help="whose target it is")],
    *,
    reason: RequiredReason,
    progress: Progress,
) -> TakeOverResponse:
    """Take over a consumer's export target.

    Raise Refused without a reason, UsageError for a consumer that isn't exported to a table.
    """
    text = commands.required_reason(
        reason, "exports take-over", "another project may rely on exporting there"
    )
    _target(session.project(), consumer)
    return _take_over.perform(session, progress, consumer, text)


@leader_command("exports", TakeOverResponse)
def _take_over(context: CommandContext, consumer: str, reason: str) -> TakeOverResponse:
    applied = context.applied()
    if applied is None:
        raise ProjectError("nothing is applied yet, so nothing is exported", hint="headrace apply")
    target = _target(applied.compiled.project, consumer)

    def write(tx: Transaction, now: int) -> None:
        obligations.record_take_over(tx, consumer)
        what = AuditEvent(
            action=Action.EXPORT_TAKEN_OVER,
            actor=context.actor,
            object=Object("consumer", consumer),
            reason=reason,
            after={"target": target},
        )
        append(tx, now, what)

    context.tell(write=write)
    return TakeOverResponse(
        now=context.now(),
        clock=context.clock.kind,
        consumer=consumer,
        target=target,
        reason=reason,
        by=context.actor.id,
    )


def _target(project: Project, name: str) -> str:
    """Return the export target of a consumer."""
    consumer = targets.consumer_of(project, name)
    export = export_of(consumer)
    if export is None:
        raise UsageError(
            f"{name} has no export", hint="add `export:` to the consumer, then headrace apply"
        )
    if export.table is None:
        raise UsageError(
            f"{name} is exported to files, which whoever writes last replaces: there is nothing to"
            " take over",
            hint="only tables say which project exports there",
        )
    return export.label
