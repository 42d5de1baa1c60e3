"""`apply`: show what the declared files change, then apply them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec

from headrace.access import agreements
from headrace.access.agreements import NEEDS_APPROVAL, NeedsApproval, PlanChanged
from headrace.access.apply_scope import require_scope
from headrace.access.contract_agreements import with_agreements
from headrace.access.permissions import CHANGE, command
from headrace.access.visible_plans import VisiblePlan, without_hidden_errors
from headrace.acts import approval_requests, promotions
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command, required_reason
from headrace.model.intervals import to_us
from headrace.model.partitions import command_line
from headrace.plan import Compiled, changes, comparison
from headrace.plan.invalidation import Invalidation
from headrace.plan.project_plan import Plan, decisions
from headrace.plan.steps import Promote
from headrace.project.applied_files import declared_version
from headrace.project.parameters import Argument, Option
from headrace.project.session import Progress, ProjectSession, usable
from headrace.repairs import invalidation
from headrace.repairs.backfill_planning import BackfillArguments
from headrace.responses import (
    ApplyResponse,
    NeededRow,
    PlanResponse,
    PromotedRow,
    RefusedRow,
)
from headrace.responses.backfills import BackfillResponse
from headrace.runtime.approval_states import APPLY
from headrace.runtime.promotion import PendingPromotion
from headrace.services import plans
from headrace.services.backfills import backfill
from headrace.services.plans import (
    Base,
    PreparedPlan,
    Version,
    applied,
    approval_of,
    plan_of_apply,
    prepare,
    tried,
    with_plan,
)
from headrace.store import Store
from headrace.store.queries import applied_versions


class ApplyArguments(msgspec.Struct, frozen=True):
    """Arguments of `apply` to the leader: with a `plan_id`, only that plan is applied."""

    promotions: bytes = b""
    """msgpack of the partitions built in environments that are copied into production's lake."""
    plan_id: str | None = None
    keep: tuple[str, ...] = ()
    """Assets whose published partitions stay fresh under their new code."""
    reason: str = ""
    """Why they stay fresh."""
    version: int | None = None
    """The version whose stored files are applied; None for those of the folder."""


class _Wanted(msgspec.Struct, frozen=True):
    """The compiled files, and the plan of applying them."""

    compiled: Compiled
    prepared: PreparedPlan
    plan: Plan
    response: PlanResponse


@command("apply", CHANGE, anywhere=True)
def apply(
    session: ProjectSession,
    *,
    confirm: Callable[[PlanResponse], bool],
    progress: Progress,
    plan_id: str | None = None,
    keep: Sequence[str] = (),
    reason: str = "",
    version: int | None = None,
) -> ApplyResponse:
    """Show the plan, ask for confirmation, and apply it; with a `plan_id`, only that plan.

    With `version`, the files are those that this version stored; the folder stays as it is. `keep`
    selects assets whose new code is applied while their published partitions stay fresh; it
    requires a `reason`.

    Raise InvalidProject if the files have errors, UsageError for an invalid plan id or a selection
    that keeps nothing, Refused for `keep` without a reason, NotAllowed if a change is beyond the
    caller's roles, and whatever `confirm` raises where no person can be asked.
    """
    agreements.checked_id(plan_id)
    if keep:
        required_reason(reason, "apply --keep", "readers see rows of earlier code")
    request = ApplyArguments(plan_id=plan_id, keep=tuple(keep), reason=reason, version=version)
    with declared_version(session, version):
        return _apply_declared(session, request, confirm, progress)


def _apply_declared(
    session: ProjectSession,
    request: ApplyArguments,
    confirm: Callable[[PlanResponse], bool],
    progress: Progress,
) -> ApplyResponse:
    if request.keep:
        nodes = plans.nodes_to_keep(session, request.keep, progress)
        request = msgspec.structs.replace(request, keep=nodes)
    base = applied(session)
    with without_hidden_errors(session):
        draft = _draft(session, base, progress, request.keep)
    plan = draft.plan
    require_scope(
        session,
        base.compiled,
        draft.compiled,
        files=[file.path for file in plan.files if file.change],
        nodes=[row.node for row in draft.response.changes],
    )
    if session.visible is None:
        return _apply_draft(session, draft, request, confirm, progress)
    projects = [item.project for item in (base.compiled, draft.compiled) if item is not None]
    visible = VisiblePlan(session, projects)
    response = _apply_draft(
        session, draft, request, lambda plan: confirm(visible.plan(plan)), progress
    )
    return visible.applied(response)


def _apply_draft(
    session: ProjectSession,
    draft: _Wanted,
    request: ApplyArguments,
    confirm: Callable[[PlanResponse], bool],
    progress: Progress,
) -> ApplyResponse:
    """Ask for confirmation and apply the plan of a draft, which the caller may apply."""
    plan, plan_id = draft.plan, request.plan_id
    agreements.keep_plan(session, plan.plan_id, decisions(plan))
    if (
        session.compiled is not None
        and not plan.steps
        and plan_id in (None, plan.plan_id, _applied_by(session.store))
    ):
        return _response(session, "nothing", draft.response, plan_id or plan.plan_id)
    if plan_id is not None and plan_id != plan.plan_id:
        refusal = agreements.refusal(session, plan_id, plan.plan_id, decisions(plan))
        return msgspec.structs.replace(
            _response(session, "refused", draft.response, plan_id), refused=refusal
        )
    asks = draft.response.approval is not None and not _approved(session, plan.plan_id)
    response = with_plan(draft.response, tried(session, plan))
    if session.compiled is not None and not asks and not confirm(response):
        return _response(session, "declined", response, plan.plan_id)
    offers = draft.prepared.offers
    copied = msgspec.msgpack.encode(promotions.stage_offers(session, offers)) if offers else b""
    confirmed = msgspec.structs.replace(request, promotions=copied, plan_id=plan.plan_id)
    return _apply.perform(session, progress, confirmed)


def _draft(session: ProjectSession, base: Base, progress: Progress, keep: Sequence[str]) -> _Wanted:
    files, compilation = session.declared_exactly(progress)
    compiled = usable(compilation)
    prepared = prepare(
        session, compiled, base, comparison.keeping(changes(base.compiled, compiled), keep)
    )
    plan = plan_of_apply(session, files, compiled, prepared, base, keep)
    response = msgspec.structs.replace(
        with_plan(prepared.response, plan),
        approval=approval_of(session, compiled, plan, prepared, base),
    )
    return _Wanted(compiled, prepared, plan, with_agreements(session, response))


def _applied_by(store: Store | None) -> str | None:
    """Return the id of the plan by which the version in force was applied."""
    if store is None:
        return None
    with store.read() as tx:
        version = applied_versions.newest(tx)
    return version.plan_id if version is not None else None


@command("apply", CHANGE)
def make_again(
    session: ProjectSession, needed: Sequence[NeededRow], *, reason: str, progress: Progress
) -> list[BackfillResponse]:
    """Run the backfills that a change requires, one after the other.

    The caller has shown them. Stop at the first backfill that needs an approval. Raise Refused
    without a reason.
    """
    opened = session.again(session.actor)  # the version now in force
    done: list[BackfillResponse] = []
    try:
        for row in needed:
            response = backfill(
                opened,
                BackfillArguments(row.select, [], row.from_, row.to, None, row.mode, reason),
                dry_run=False,
                confirm=lambda _: True,
                progress=progress,
            )
            done.append(response)
            if response.state == "awaiting_approval":
                break
    finally:
        opened.close()
    return done


@leader_command("apply", ApplyResponse)
def _apply(context: CommandContext, arguments: ApplyArguments) -> ApplyResponse:
    """Plan from the current files on the leader, and apply the plan if it is the confirmed one."""
    with declared_version(context.session, arguments.version):
        return _apply_confirmed(context, arguments)


def _apply_confirmed(context: CommandContext, arguments: ApplyArguments) -> ApplyResponse:
    before = context.applied()
    base = (
        Base(before.compiled, context.store, before.id, f"version {before.id}")
        if before
        else Base(None, context.store, None, None)
    )
    draft = _draft(context.session, base, context.progress, arguments.keep)
    plan, compiled = draft.plan, draft.compiled
    version = before.id if before else None
    accepted_ids = (None, plan.plan_id, _applied_by(context.store))
    if before is not None and not plan.steps and arguments.plan_id in accepted_ids:
        return _done(context, draft, "nothing", version, arguments.plan_id)
    if arguments.plan_id is not None and arguments.plan_id != plan.plan_id:
        refusal = agreements.refusal(
            context.session, arguments.plan_id, plan.plan_id, decisions(plan)
        )
        refused = _done(context, draft, "refused", version, arguments.plan_id)
        return msgspec.structs.replace(refused, refused=refusal)
    unapproved = _unapproved(context, draft, arguments)
    if unapproved is not None:
        refused = _done(context, draft, "refused", version, plan.plan_id)
        return msgspec.structs.replace(refused, refused=unapproved)
    now_applied = (
        context.apply(plan, _reason(arguments)) if plan.steps or before is None else before
    )
    if draft.response.approval is not None:
        approval_requests.use(context, plan.plan_id)
    built = (
        msgspec.msgpack.decode(arguments.promotions, type=tuple[PendingPromotion, ...])
        if arguments.promotions
        else ()
    )
    promoted = promotions.promote(context, built)
    now_us = to_us(context.now())
    with context.store.read() as tx:
        left = invalidation.still_invalid(
            tx,
            compiled,
            plan.changes.invalidated,
            version=now_applied.id,
            now_us=now_us,
        )
    return msgspec.structs.replace(
        _done(context, draft, "applied", now_applied.id, plan.plan_id),
        promoted=promoted,
        stale=invalidation.stale_rows(left.stale),
        backfills=invalidation.needed_rows(compiled.project, left),
        steps_done=_steps_done(plan, promoted),
    )


def _reason(arguments: ApplyArguments) -> str:
    back = f"the files of version {arguments.version}" if arguments.version else ""
    return arguments.reason or back


def _approved(session: ProjectSession, plan_id: str) -> bool:
    """Whether a plan that needs an approval has it."""
    if session.store is None:
        return False
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        return approval_requests.approved(tx, plan_id, now_us)


def _unapproved(
    context: CommandContext, draft: _Wanted, arguments: ApplyArguments
) -> RefusedRow | None:
    """Return why the plan needs an approval first; None if it doesn't, or has it."""
    if draft.response.approval is None:
        return None
    plan_id = draft.plan.plan_id
    words = [
        "apply",
        plan_id,
        *plans.version_words(arguments.version),
        *(word for name in arguments.keep for word in ("--keep", name)),
    ]
    asked = approval_requests.Asked(
        kind=APPLY,
        plan_id=plan_id,
        approval=draft.response.approval,
        command=command_line(*words, *(["--reason", "TEXT"] if arguments.keep else [])),
        reason=arguments.reason,
        spans=tuple((row.node, row.from_, row.to) for row in draft.response.repairs),
    )
    return approval_requests.refusal(context, asked)


def _steps_done(plan: Plan, promoted: Sequence[PromotedRow]) -> int:
    """Return the number of steps done, without promotions that production couldn't take over.

    The runs compute what those promotions would have published.
    """
    published = {(row.environment, row.node) for row in promoted}
    left = [
        step
        for step in plan.steps
        if isinstance(step, Promote) and (step.environment, step.node) not in published
    ]
    return len(plan.steps) - len(left)


def _done(
    context: CommandContext, draft: _Wanted, state: str, version: int | None, plan_id: str | None
) -> ApplyResponse:
    return ApplyResponse(
        now=context.now(),
        state=state,
        version=version,
        plan=draft.response,
        clock=context.clock.kind,
        plan_id=plan_id,
    )


def _response(
    session: ProjectSession, state: str, plan: PlanResponse, plan_id: str
) -> ApplyResponse:
    """Return the response of an apply that changed nothing.

    It lists stale data if nothing was to apply.
    """
    stale, backfills = Invalidation(), list[NeededRow]()
    if (
        state == "nothing"
        and session.compiled is not None
        and session.store is not None
        and session.version is not None
    ):
        now_us = to_us(session.now())
        with session.store.read() as tx:
            stale = invalidation.outstanding(
                tx, session.compiled, version=session.version, now_us=now_us
            )
        backfills = invalidation.needed_rows(session.compiled.project, stale)
    return ApplyResponse(
        now=session.now(),
        state=state,
        version=session.version,
        plan=plan,
        clock=session.clock.kind,
        plan_id=plan_id,
        stale=invalidation.stale_rows(stale.stale),
        backfills=backfills,
    )


@command("apply", CHANGE, anywhere=True, http="POST /apply do_apply", session="apply")
def apply_plan(
    session: ProjectSession,
    *,
    plan_id: Annotated[
        str, Argument("[PLAN_ID]", help="apply only this plan, as `headrace plan` names it")
    ],
    keep: Annotated[
        Sequence[str],
        Option(
            "--keep",
            metavar="SELECT",
            help="apply new code of these assets, and keep what is published",
        ),
    ] = (),
    reason: Annotated[
        str,
        Option(
            "--reason",
            metavar="TEXT",
            help="why the past is recomputed, or kept; recorded in the audit trail",
        ),
    ] = "",
    version: Version = None,
    progress: Progress,
) -> ApplyResponse:
    """Apply the declared files as planned.

    `plan_id` is the id that `plan` returned for the same `keep`, which needs a `reason`, and the
    same `version`. Raise
    PlanChanged if the plan is another one by now, NeedsApproval if policy requires an approval,
    and what `apply` raises.
    """
    response = apply(
        session,
        confirm=lambda _: True,
        progress=progress,
        plan_id=plan_id,
        keep=keep,
        reason=reason,
        version=version,
    )
    if response.refused is None:
        return response
    if response.refused.code == NEEDS_APPROVAL:
        raise NeedsApproval(response.refused, response, "; ".join(response.refused.changed))
    raise PlanChanged(
        plan_id, response.refused, response, "look at /api/v1/plan again, and agree to that"
    )
