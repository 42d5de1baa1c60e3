"""`plan`: what the files change of what is applied, for whom, and what it takes to make the past follow. Writes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Sequence

import msgspec

from headrace.model import Asset, Consumer, Refused, Source, UsageError
from headrace.model.contents import ProjectFiles
from headrace.model.environments import PRODUCTION
from headrace.model.zones import to_us
from headrace.operations import invalidation, keeping, plan_refusals, policy, promotion
from headrace.operations.environment_diff import differences
from headrace.operations.invalidation import Invalidated
from headrace.operations.progress import Progress
from headrace.operations.responses import Affects, ChangeRow, CodeChangeRow, EffectRow, PlannedFileRow, PlanResponse, StepRow, WeakenedRow
from headrace.operations.session import ProjectSession, usable
from headrace.plan import Compiled, Lineage, NodeChange, changes, comparing, compile_lineage
from headrace.plan.comparing import SETTINGS
from headrace.plan.contract_breaks import broken
from headrace.plan.impact import Impact, impacts
from headrace.plan.project_plan import Plan, decisions, rows
from headrace.plan.weakening import Weakened, weakened
from headrace.run.project_plans import plan_of
from headrace.run.promotion.offers import Offer
from headrace.store import Store


class Base(msgspec.Struct, frozen=True):
    """What the files are compared with, and the state that says what is published of it."""

    compiled: Compiled | None
    store: Store | None
    version: int | None
    called: str | None


def plan(session: ProjectSession, *, against: str | None, progress: Progress, keep: Sequence[str] = ()) -> PlanResponse:
    """What the files change. In an environment they are compared with production, else with what is
    applied; `against` names a commit. `keep` selects assets as `apply --keep` does.

    Raises InvalidProject where the files have errors, UsageError for a commit that git doesn't know, and
    for a selection that keeps nothing.
    """
    if keep and against is not None:
        hint = "leave out one of `against` and `keep`"
        raise UsageError("a comparison with a commit keeps nothing", hint=hint)
    kept = keeping.selected(session, keep, progress) if keep else ()
    files, compilation = session.declared_exactly(progress)
    compiled = usable(compilation)
    base = _base(session)
    if against is not None:
        from headrace.operations.against import compiled_at

        base = Base(compiled_at(session, against), base.store, base.version, against)
    node_changes = changes(base.compiled, compiled)
    if session.production is not None:  # an environment has settings of its own; what of them bears on data is in the bodies
        node_changes = [change for change in node_changes if change.node != SETTINGS]
    prepared = prepare(session, compiled, base, comparing.keeping(node_changes, kept))
    response = prepared.response
    made = plan_of_apply(session, files, compiled, prepared, base, kept)
    if against is None:
        plan_refusals.keep(session, made.plan_id, decisions(made))
        response = with_plan(response, made)
    response = msgspec.structs.replace(response, next=_next(session, response, made, keep))
    return response if session.production is None else msgspec.structs.replace(response, diff=differences(session))


def _next(session: ProjectSession, response: PlanResponse, plan: Plan, keep: Sequence[str]) -> str:
    """Put it into force here, or, where an environment has it already, in production."""
    if plan.steps or session.compiled is None:
        env = [] if session.production is None else ["--env", session.env]
        plan_id = [] if response.plan_id is None else [response.plan_id]
        kept = [word for item in keep for word in ("--keep", item)]
        because = ["--reason", "TEXT"] if kept else []
        return shlex.join(["headrace", *env, "apply", *plan_id, *kept, *because])
    return f"headrace --env {PRODUCTION} apply" if session.production is not None and response.changes else "headrace status"


def applied(session: ProjectSession) -> Base:
    """What is applied here."""
    called = None if session.version is None else f"version {session.version}"
    return Base(session.compiled, session.store, session.version, called)


def _base(session: ProjectSession) -> Base:
    if session.production is None or session.production.compiled is None:
        return applied(session)
    base = applied(session.production)
    return msgspec.structs.replace(base, called=f"production, {base.called}")


class PreparedPlan(msgspec.Struct, frozen=True):
    """What putting files into force changes: for people, what becomes stale, and what environments have built of it."""

    response: PlanResponse
    effect: Invalidated
    offers: dict[str, list[Offer]]


def prepare(session: ProjectSession, compiled: Compiled, base: Base, node_changes: Sequence[NodeChange]) -> PreparedPlan:
    """What putting `compiled` into force changes. Raises Refused where it takes back what a contract promises."""
    lineage = compile_lineage(compiled, session.data_folder / "cache")
    _keep_contracts(base.compiled, compiled, lineage)
    meant = impacts(base.compiled, compiled, node_changes, lineage)
    effect = _staled(base, compiled, node_changes, session)
    offers = promotion.offered(session, compiled, promotion.stales(node_changes))
    known = base.store is not None and base.compiled is not None
    response = PlanResponse(
        changes=[_row(compiled, base.compiled, impact, effect if known else None) for impact in meant],
        affects=_affects(compiled, base.compiled, meant, effect),
        estimate=None if effect.estimate is None else msgspec.to_builtins(effect.estimate),
        weakens=[_weakened(compiled, item) for item in weakened(base.compiled, compiled)],
        stale=invalidation.rows(effect.stale),
        repairs=invalidation.rows(effect.failed),
        bytes_estimate=effect.bytes,
        backfills=list(effect.backfills),
        built=promotion.rows(offers),
        against=base.called,
        env=session.env,
        now=session.now(),
        clock=session.clock.kind,
    )
    return PreparedPlan(response, effect, offers)


def plan_of_apply(
    session: ProjectSession, files: ProjectFiles, compiled: Compiled, prepared: PreparedPlan, base: Base, keep: Collection[str] = ()
) -> Plan:
    """What `apply` does now, here. In an environment that isn't what `plan` compares, which is production. `keep` are the nodes of which
    what is published stays fresh."""
    here = applied(session) if session.production is not None else base
    node_changes = comparing.keeping(changes(here.compiled, compiled), keep)
    promoted = promotion.steps(compiled, prepared.offers)
    if here.store is None:
        return plan_of(None, files, here.compiled, compiled, node_changes, environment=session.env, promoted=promoted)
    approved_first = _approved_first(session, compiled, prepared.effect)
    with here.store.read() as tx:
        return plan_of(
            tx, files, here.compiled, compiled, node_changes, environment=session.env, promoted=promoted, approved_first=approved_first
        )  # fmt: skip


def _approved_first(session: ProjectSession, compiled: Compiled, effect: Invalidated) -> frozenset[str]:
    """The nodes that become stale and of which policy asks for an approval before they, and what reads
    them, are computed again."""
    results: set[str] = set()
    planned = [row for row in effect.backfills if row.counts is not None]
    for row, backfill in zip(planned, effect.planned, strict=True):
        approval = policy.needed(
            session.root,
            compiled.project.settings,
            compiled.project,
            [item.node for item in backfill.chosen],
            partitions=backfill.partitions,
            size=effect.bytes or 0,
        )
        if approval is not None:
            results.update(row.select)
    return frozenset(results)


def with_plan(response: PlanResponse, plan: Plan) -> PlanResponse:
    """The document with the plan that `apply` takes by its id."""
    return msgspec.structs.replace(
        response,
        plan_id=plan.plan_id,
        base_version=plan.base_version,
        files=[PlannedFileRow(path=file.path, sha256=file.sha256, change=file.change or "unchanged") for file in plan.files],
        steps=[StepRow(n=row.n, kind=row.kind, node=row.node, from_=row.first, to=row.last, partitions=row.partitions,
                       detail=row.detail, needs_approval=row.needs_approval) for row in rows(plan)],
    )  # fmt: skip


def _keep_contracts(old: Compiled | None, new: Compiled, lineage: Lineage) -> None:
    """Refuse what takes back a contract's promise without saying so: who relies on it would find out from their data."""
    breaks = broken(old.project if old is not None else None, new.project, lineage.users)
    if breaks:
        first = breaks[0]
        more = f"; and {len(breaks) - 1} more" if len(breaks) > 1 else ""
        raise Refused(f"{first.file}: {first.said}{more}", hint=first.hint)


def _staled(base: Base, compiled: Compiled, node_changes: Sequence[NodeChange], session: ProjectSession) -> Invalidated:
    if base.store is None or base.compiled is None:
        return Invalidated()
    now_us, borrowed = to_us(session.now()), session.borrowed  # asked before: a store reads one transaction at a time
    with base.store.read() as tx:
        return invalidation.staled(
            tx, base.compiled, compiled, node_changes,
            version=base.version, env=session.env, now_us=now_us, borrowed=borrowed,
        )  # fmt: skip


def _row(compiled: Compiled, old: Compiled | None, impact: Impact, effect: Invalidated | None) -> ChangeRow:
    change = impact.change
    declared = compiled.project.node(change.node) or (old.project.node(change.node) if old is not None else None)
    return ChangeRow(
        node=change.node,
        change=change.change,
        breaking=impact.breaking,
        columns=[column.column for column in impact.columns] or list(change.columns),
        partitions_stale=None if effect is None else effect.of(change.node) if change.stale else 0,
        effects=[EffectRow(column=column.column, effect=column.effect, read_by=list(column.read_by)) for column in impact.columns],
        consumers=list(impact.consumers),
        file=declared.place.file if declared is not None else None,
        line=declared.place.line if declared is not None else None,
        kept=change.kept,
        code=[CodeChangeRow(path=file.path, change=file.change, via=file.via) for file in change.files],
    )


def _affects(compiled: Compiled, old: Compiled | None, meant: Iterable[Impact], effect: Invalidated) -> Affects:
    """Whose data, or whose promise, becomes another one; and who answers for what changes."""
    meant = list(meant)
    consumers = {name for impact in meant for name in impact.consumers}
    stale = {item.node for item in effect.stale if item.why == invalidation.OWN_CODE}
    nodes = {impact.change.node for impact in meant} | {name for item in meant for name in item.assets} | stale
    owners = {node.owner for name in nodes | consumers if (node := _declared(compiled, old, name)) is not None}
    return Affects(consumers=sorted(consumers), owners=sorted(owners))


def _declared(compiled: Compiled, old: Compiled | None, name: str) -> Source | Asset | Consumer | None:
    return compiled.project.node(name) or (old.project.node(name) if old is not None else None)


def _weakened(compiled: Compiled, item: Weakened) -> WeakenedRow:
    node = compiled.project.node(item.node)
    place = node.place if node is not None else None
    return WeakenedRow(
        node=item.node, what=item.what, before=item.before, after=item.after,
        file=place.file if place else None, line=place.line if place else None,
    )  # fmt: skip
