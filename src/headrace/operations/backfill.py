"""`backfill`: plan it, ask, keep the plan, and work at it until it is published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from headrace.govern.audit import Action, AuditEvent, Object, append
from headrace.model.durations import duration
from headrace.operations import estimates, plan_refusals, reasons
from headrace.operations.agreement import changed, identified
from headrace.operations.backfill_planning import BackfillArguments, DraftBackfill, plan
from headrace.operations.backfill_responses import BackfillResponse
from headrace.operations.backfill_showing import of_planned, of_row, published_of, with_attempts
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.plan_refusals import PlanChanged
from headrace.operations.progress import Progress, Silent
from headrace.operations.request_handler import PendingRun
from headrace.operations.responses import RefusedRow
from headrace.operations.session import ProjectSession, usable
from headrace.plan import Compiled
from headrace.plan.backfills import Backfill, Mode
from headrace.plan.choosing import INGESTED
from headrace.run.applying import contents_of, manifest_of
from headrace.run.orders import RunRequest, RunResult
from headrace.schedule import Target
from headrace.store.queries import plans, versions

Confirm = Callable[[BackfillResponse], bool]
"""Shows a plan and asks for it; raises Refused where nobody is there to be asked."""


def backfill(  # noqa: PLR0913 - as many as the command has options
    session: ProjectSession,
    select: Sequence[str],
    *,
    exclude: Sequence[str],
    first: str | None,
    last: str | None,
    since: str | None,
    mode: str,
    reason: str | None,
    only: bool,
    allow_partial: bool,
    dry_run: bool,
    confirm: Confirm,
    progress: Progress,
    plan_id: str | None = None,
) -> BackfillResponse:
    """Plan a backfill, and, unless it is a `dry_run`, ask and do it; with a `plan_id` only if it is that plan. A dry run writes nothing
    but the cache.

    Raises UsageError for what there isn't, Refused without a reason, PlanChanged for another plan, and what `confirm` raises.
    """
    plan_refusals.checked_id(plan_id)
    text = (reason or "").strip() if dry_run else reasons.given(reason, "backfill", "who sees other figures tomorrow has to know why")
    arguments = BackfillArguments(list(select), list(exclude), first, last, since, mode, text, only, allow_partial)
    compiled, files = session.compiled, {}
    if compiled is None:  # a new project: whoever agrees to the plan agrees to the files that begin it
        contents, compilation = session.declared_exactly(progress)
        compiled = usable(compilation)
        files = manifest_of(contents_of(contents, compiled))
    planned = plan(session, session.store, compiled, session.version, arguments, now=session.now())
    response = of_planned(session, planned, arguments, state=_state(planned), now=session.now(), clock=session.clock.kind)
    response = identified(session, response, session.version, files)
    _same(response, changed(session, response, plan_id, session.version, files), plan_id)
    if dry_run or response.state == "nothing_due":
        return response
    if planned.approval is None and not confirm(response):
        return msgspec.structs.replace(response, state="declined")
    agreed = msgspec.structs.replace(arguments, estimate=planned.estimate, plan_id=response.plan_id)
    done: BackfillResponse = perform(session, "backfill", agreed, progress)
    _same(done, done.refused, response.plan_id)
    return done


def _same(response: BackfillResponse, row: RefusedRow | None, asked: str | None) -> None:
    """Raises PlanChanged where something else would be done than what was asked for."""
    if row is not None:
        refused = msgspec.structs.replace(response, state="refused", refused=row, plan_id=asked)
        raise PlanChanged(asked or "", row, refused, f"{response.command} --dry-run")


def _state(planned: DraftBackfill) -> str:
    return "planned" if planned.backfill.chosen else "nothing_due"


@leader_command("backfill", BackfillArguments, BackfillResponse)
def _backfill(context: CommandContext, arguments: BackfillArguments, progress: Progress) -> PendingRun | BackfillResponse:
    leader = context.leader(progress)
    applied = leader.applied
    planned = plan(context.session, context.store, applied.compiled, applied.id, arguments, now=context.now())
    response = of_planned(context.session, planned, arguments, state=_state(planned), now=context.now(), clock=context.clock.kind)
    response = identified(context.session, response, applied.id)
    if arguments.plan_id not in (None, response.plan_id):
        begun = _of_new_project(context, response, applied.id)
        response = begun if begun is not None and begun.plan_id == arguments.plan_id else response
    refused = changed(context.session, response, arguments.plan_id, applied.id)
    if refused is not None:
        return msgspec.structs.replace(response, state="refused", refused=refused)
    if not planned.backfill.chosen:
        return response
    number = keep(context, arguments, planned, applied.id)
    if planned.approval is not None:
        return kept(context, applied.compiled, number)
    return working(context, order(context, arguments, planned.backfill, number), planned.backfill)


def _of_new_project(context: CommandContext, response: BackfillResponse, version: int) -> BackfillResponse | None:
    """The plan as it was shown before anything was applied: of the files that the first version now
    consists of. None where another version came before."""
    with context.store.read() as tx:
        result = versions.first(tx)
    if result is None or result.id != version:
        return None
    return identified(context.session, response, None, result.manifest)


def working(context: CommandContext, request: RunRequest, backfill: Backfill) -> PendingRun:
    """Work at a plan to its end."""
    leader = context.leader(Silent())
    assert request.plan is not None
    return PendingRun(
        leader, request, "backfill", partial(_done, context, leader.applied.compiled, request.plan), backfill.partitions,
        partial(_ahead, context, leader.applied.compiled, request.plan),
    )  # fmt: skip


def _ahead(context: CommandContext, compiled: Compiled, number: int) -> str:
    """How long a plan still takes, in a few words."""
    with context.store.read() as tx:
        row = plans.get(tx, number)
        left = None if row is None else estimates.remaining(tx, compiled, row, context.clock.now_us())
    return "time to go not known yet" if left is None else f"about {duration(round(left.seconds * 1_000_000))} to go"


def keep(context: CommandContext, arguments: BackfillArguments, planned: DraftBackfill, version: int) -> int:
    """Write a plan down, before anything of it is done; its id."""
    with context.store.write(context.held.lease.epoch) as tx:
        now = context.clock.mark(tx)
        number = plans.add(
            tx,
            state="planned" if planned.approval is None else "awaiting_approval",
            actor=context.actor.id,
            reason=arguments.reason,
            request=msgspec.json.encode(arguments).decode(),
            version=version,
            content=msgspec.msgpack.encode(planned.backfill),
            estimate=msgspec.json.encode(planned.estimate).decode(),
            needs=None if planned.approval is None else msgspec.json.encode(planned.approval).decode(),
            now=now,
        )
        append(tx, now, _made(context, arguments, planned, number))
    return number


def _made(context: CommandContext, arguments: BackfillArguments, planned: DraftBackfill, number: int) -> AuditEvent:
    chosen = {item.node: [item.partitions, item.spans[0].first, item.spans[-1].last] for item in planned.backfill.chosen}
    after: dict[str, Any] = {
        "plan_id": arguments.plan_id,
        "mode": arguments.mode,
        "partitions": planned.backfill.partitions,
        "chosen": chosen,
    }
    if planned.approval is not None:
        after["needs"] = str(planned.approval)
    return AuditEvent(
        action=Action.PLAN_MADE, actor=context.actor, object=Object("backfill", str(number)), reason=arguments.reason, after=after
    )


def order(context: CommandContext, arguments: BackfillArguments, backfill: Backfill, number: int) -> RunRequest:
    """What the leader is asked to do: look at the sources that are ingested, then work at the plan."""
    taken = [chosen for chosen in backfill.chosen if chosen.how == INGESTED]
    return RunRequest(
        kind="backfill",
        targets=tuple(Target(item.node, span.first, span.last) for item in taken for span in item.spans),
        actor=context.actor,
        request=msgspec.to_builtins(arguments),
        reason=arguments.reason,
        retry=frozenset(item.node for item in taken if backfill.mode is Mode.FAILED),
        plan=number,
    )


def _done(context: CommandContext, compiled: Compiled, number: int, result: RunResult) -> BackfillResponse:
    response = kept(context, compiled, number)
    return msgspec.structs.replace(response, notes=list(result.notes))


def kept(context: CommandContext, compiled: Compiled, number: int) -> BackfillResponse:
    """A kept plan, as it stands now."""
    with context.store.read() as tx:
        row = plans.get(tx, number)
        assert row is not None  # plans are never deleted
        published = published_of(tx, row)
    response = of_row(context.session, row, compiled, now=context.now(), clock=context.clock.kind, published=published)
    with context.store.read() as tx:
        return with_attempts(tx, compiled.project, response)
