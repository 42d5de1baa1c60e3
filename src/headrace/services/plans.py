"""`plan`: what the files change, who is affected and what must be recomputed. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from headrace.access import agreements
from headrace.access.consequences import of_apply, of_computation, required, without_readers
from headrace.access.contract_agreements import agreement_rows, with_agreements
from headrace.access.permissions import SEE, command
from headrace.access.visible_plans import VisiblePlan, visible_breaks, without_hidden_errors
from headrace.acts.promotions import find_offers, promoted_rows, promotion_steps
from headrace.compiler.lineage import compile_lineage
from headrace.compiler.project_files import ProjectFiles
from headrace.lake import FileRef, LakeColumn, LakeTable, catalog
from headrace.lake.schema import ValueMismatch, carried
from headrace.lake.sqltext import quote
from headrace.ledger.compute_time import ComputeTime, MonthlyChange
from headrace.model import Asset, Consumer, Refused, Source, UsageError
from headrace.model.intervals import to_us
from headrace.model.partitions import WHOLE, command_line
from headrace.model.policy import Approval
from headrace.model.settings import PRODUCTION
from headrace.plan import (
    ChangeKind,
    Compiled,
    Lineage,
    NodeChange,
    changes,
    comparison,
)
from headrace.plan.column_limits import all_classified
from headrace.plan.comparison import SETTINGS
from headrace.plan.contracts import contract_breaks
from headrace.plan.impact import Impact, impacts
from headrace.plan.invalidation import Invalidation, invalidated_nodes
from headrace.plan.project_plan import (
    Plan,
    PlannedChanges,
    asks,
    decisions,
    needing_approval,
    planned_changes,
    planned_steps,
)
from headrace.plan.steps import Rename, Retype
from headrace.plan.weakening import Weakened
from headrace.privacy.masking import classified_rows
from headrace.privacy.retention import early_removals, pruned_data, removals
from headrace.project.applied_files import declared_version
from headrace.project.parameters import Option
from headrace.project.selection import selected as select
from headrace.project.session import Progress, ProjectSession, usable
from headrace.repairs import invalidation
from headrace.repairs.invalidation import Cost
from headrace.responses import (
    Affects,
    ChangeRow,
    EffectRow,
    PlannedFileRow,
    PlanResponse,
    StepRow,
    WeakenedRow,
)
from headrace.responses.plans import ClassifiedColumnRow, ComputeRow, MonthRow
from headrace.runtime.apply_plans import changes_of, plan_of
from headrace.runtime.promotion import (
    Offer,
)
from headrace.standing.comparisons import differences
from headrace.store import Store, Transaction
from headrace.store.queries import publications

TRIED_ROWS_MAX = 50_000_000
"""Larger tables aren't read for a plan: the next publication tries each value anyway."""

# `apply --keep`: new code is applied, and partitions published by other code stay fresh.


def nodes_to_keep(
    session: ProjectSession, selection: Sequence[str], progress: Progress
) -> tuple[str, ...]:
    """Return the selected assets whose published partitions the new code would invalidate, by name.

    Raise UsageError for a selection without such an asset, or if an asset's old rows can't stay in
    the table that its new code builds.
    """
    compiled = usable(session.declared_exactly(progress)[1])
    names = select(session, selection, compiled=compiled, project=compiled.project)
    stale = invalidated_nodes(changes(session.compiled, compiled)) & compiled.project.assets.keys()
    results = tuple(sorted(stale.intersection(names)))
    if not results:
        text = ", ".join(sorted(stale)[:10]) or "none"
        raise UsageError(
            f"--keep {' '.join(selection)}: the code of none of these assets changed",
            hint=f"changed: {text}",
        )
    old = session.compiled.project if session.compiled is not None else None
    for name in results:
        if new := _new_columns(session, compiled, name):
            raise UsageError(
                f"what is published of {name} can't be kept: its rows have no `{new[0]}`, which the"
                " code returns from now on",
                hint="apply without --keep: then it is stale until it is computed again",
            )
        if not asks(old, compiled.project.assets[name]):
            raise UsageError(
                f"what is published of {name} can't be kept: its table is built in another way from"
                " now on",
                hint="apply without --keep: it is computed again",
            )
    return results


def _new_columns(session: ProjectSession, compiled: Compiled, name: str) -> list[str]:
    """Return the columns of an asset's code that its published table lacks."""
    assert session.store is not None, "what is published is in a store"
    with session.store.read() as tx:
        table = catalog.table(tx, name)
    known = {column.name.lower() for column in table.columns} if table is not None else set()
    columns = compiled.nodes[name].columns if known else None
    return [column for column, _ in columns or () if column.lower() not in known]


# The changes of the files, compared with an applied project or a commit.


class Base(msgspec.Struct, frozen=True):
    """The project that the files are compared with, and the state that holds its publications."""

    compiled: Compiled | None
    store: Store | None
    version: int | None
    called: str | None


Version = Annotated[
    int | None,
    Option(
        "--version", metavar="N", help="the files that version N stored, not the folder's", least=1
    ),
]


def version_words(version: int | None) -> list[str]:
    """Return the words of a command line that name a version."""
    return [] if version is None else ["--version", str(version)]


@command("plan", SEE, lists=True, http="GET /plan plan", of_files=True, session="plan")
def plan(
    session: ProjectSession,
    *,
    against: Annotated[
        str | None,
        Option(
            "--against", metavar="REF", help="a commit, branch or tag instead of what is applied"
        ),
    ] = None,
    keep: Sequence[str] = (),
    version: Version = None,
    progress: Progress,
) -> PlanResponse:
    """Return the changes of the files, or of those that `version` stored.

    They are compared with the applied project, in an environment with production; `against` names a
    commit instead. `keep` selects assets as `apply --keep` does. A role that is limited to nodes
    gets what the plan does to these nodes.

    Raise InvalidProject if the files have errors, UsageError for a commit that git doesn't know or
    a selection that keeps nothing.
    """
    if keep and against is not None:
        hint = "leave out one of `against` and `keep`"
        raise UsageError("a comparison with a commit keeps nothing", hint=hint)
    with declared_version(session, version), without_hidden_errors(session):
        compiled, base, response = _planned(session, against, keep, version, progress)
    if session.visible is None:
        return response
    projects = [item.project for item in (base.compiled, compiled) if item is not None]
    return VisiblePlan(session, projects).plan(response)


def _planned(
    session: ProjectSession,
    against: str | None,
    keep: Sequence[str],
    version: int | None,
    progress: Progress,
) -> tuple[Compiled, Base, PlanResponse]:
    """Return the compiled files, what they are compared with, and the plan with all nodes."""
    kept_nodes = nodes_to_keep(session, keep, progress) if keep else ()
    files, compilation = session.declared_exactly(progress)
    compiled = usable(compilation)
    base = compared_with(session)
    if against is not None:
        from headrace.project.git_revisions import compiled_at

        base = Base(compiled_at(session, against), base.store, base.version, against)
    node_changes = changes(base.compiled, compiled)
    if (
        session.production is not None
    ):  # an environment has its own settings; those that affect data are part of the asset code
        node_changes = [change for change in node_changes if change.node != SETTINGS]
    prepared = prepare(session, compiled, base, comparison.keeping(node_changes, kept_nodes))
    response = prepared.response
    planned = plan_of_apply(session, files, compiled, prepared, base, kept_nodes)
    response = msgspec.structs.replace(
        response, approval=approval_of(session, compiled, planned, prepared, applied(session))
    )
    if against is None:
        agreements.keep_plan(session, planned.plan_id, decisions(planned))
        response = with_plan(response, tried(session, planned))
    response = with_agreements(session, response)
    following = _next(session, response, planned, keep, version)
    response = msgspec.structs.replace(response, next=following)
    if session.production is not None:
        response = msgspec.structs.replace(response, diff=differences(session))
    return compiled, base, response


def _next(
    session: ProjectSession,
    response: PlanResponse,
    plan: Plan,
    keep: Sequence[str],
    version: int | None,
) -> str:
    """Return the next command: apply here, or in production if the environment is up to date."""
    if plan.steps or session.compiled is None:
        return command_line(
            "apply",
            *filter(None, [response.plan_id]),
            *version_words(version),
            *(word for item in keep for word in ("--keep", item)),
            *(("--reason", "TEXT") if keep else ()),
        )
    is_tried = session.production is not None and bool(response.changes)
    return f"headrace --env {PRODUCTION} apply" if is_tried else "headrace status"


def applied(session: ProjectSession) -> Base:
    """Return the applied project of this environment."""
    called = None if session.version is None else f"version {session.version}"
    return Base(session.compiled, session.store, session.version, called)


def compared_with(session: ProjectSession) -> Base:
    """Return what the files are compared with: production, or what is applied here."""
    if session.production is None or session.production.compiled is None:
        return applied(session)
    base = applied(session.production)
    return msgspec.structs.replace(base, called=f"production, {base.called}")


class PreparedPlan(msgspec.Struct, frozen=True):
    """What applying the files does: the plan's changes, their cost, and environments' offers."""

    changes: PlannedChanges
    cost: Cost
    offers: dict[str, list[Offer]]
    response: PlanResponse
    """Without the steps and the id of the plan."""


def prepare(
    session: ProjectSession, compiled: Compiled, base: Base, node_changes: Sequence[NodeChange]
) -> PreparedPlan:
    """Return what applying `compiled` does. Raise Refused if it breaks a contract."""
    lineage = compile_lineage(compiled, session.data_folder / "cache")
    _keep_contracts(session, base.compiled, compiled, lineage)
    planned, cost = _planned_changes(session, compiled, base, node_changes)
    meant = impacts(base.compiled, compiled, planned.nodes, lineage)
    offers = find_offers(session, compiled, _computed_nodes(planned.nodes))
    invalidated = planned.invalidated
    known = base.store is not None and base.compiled is not None
    response = PlanResponse(
        changes=[
            _row(compiled, base.compiled, impact, invalidated if known else None)
            for impact in meant
        ],
        affects=_affects(compiled, base.compiled, meant, invalidated),
        estimate=None if cost.estimate is None else msgspec.to_builtins(cost.estimate),
        weakens=[_weakened(compiled, item) for item in planned.weakened],
        classified=_newly_classified(session, compiled, base.compiled, meant, lineage),
        unclassified=_unclassified(compiled, base.compiled),
        removes=removals(session, compiled),
        pruned=pruned_data(session, compiled),
        rebuildable=early_removals(session, compiled),
        agreements=agreement_rows(session, base.compiled, compiled),
        locks_out=_locked_out(session, compiled),
        stale=invalidation.stale_rows(invalidated.stale),
        repairs=invalidation.stale_rows(invalidated.failed),
        bytes_estimate=cost.size,
        compute=_compute_row(session, cost.compute),
        month=_month_row(session, cost.month),
        backfills=invalidation.needed_rows(compiled.project, invalidated),
        built=promoted_rows(offers),
        against=base.called,
        env=session.env,
        now=session.now(),
        clock=session.clock.kind,
    )
    return PreparedPlan(planned, cost, offers, response)


def _compute_row(session: ProjectSession, compute: ComputeTime | None) -> ComputeRow | None:
    if compute is None or not (compute.partitions or compute.unknown):
        return None
    return ComputeRow(
        partitions=compute.partitions,
        seconds=None if compute.seconds is None else round(compute.seconds, 3),
        cost=_cost(session, compute.seconds),
        unknown=list(compute.unknown),
    )


def _month_row(session: ProjectSession, month: MonthlyChange | None) -> MonthRow | None:
    if month is None or (month.seconds is None and not month.unknown):
        return None
    return MonthRow(
        seconds=None if month.seconds is None else round(month.seconds, 3),
        cost=_cost(session, month.seconds),
        unknown=list(month.unknown),
    )


def _cost(session: ProjectSession, seconds: float | None) -> float | None:
    """Return what busy worker slots cost; None without a rate or a time."""
    rates = session.settings.costs
    return None if rates is None or seconds is None else round(rates.of(seconds * 1e6, 0, 0), 4)


def _locked_out(session: ProjectSession, compiled: Compiled) -> str | None:
    """Return who runs the command if the rules to apply give them no role; else None."""
    from headrace.security.access import roles_of

    rules, identity = compiled.project.access, session.identity
    if rules is None or session.production is not None:
        return None
    return None if roles_of(rules, identity, today=session.now().date()) else identity.who


def _newly_classified(
    session: ProjectSession,
    compiled: Compiled,
    old: Compiled | None,
    meant: Sequence[Impact],
    lineage: Lineage,
) -> list[ClassifiedColumnRow]:
    """Return the columns whose classification or mask is another one after the changes."""
    nodes = _changed_and_below(compiled, {impact.change.node for impact in meant})
    now = classified_rows(compiled, lineage, nodes)
    if not now or old is None:
        return list(now.values())
    before = classified_rows(
        old,
        compile_lineage(old, session.data_folder / "cache"),
        [name for name in nodes if name in old.nodes],
    )
    return [row for name, row in now.items() if before.get(name) != row]


def _unclassified(compiled: Compiled, old: Compiled | None) -> list[str]:
    """Return the declared columns that lose their classification; not those of removed nodes."""
    if old is None:
        return []
    after = all_classified(compiled.project)
    return [
        f"{node}.{column}"
        for node, column in all_classified(old.project)
        if compiled.project.source_or_asset(node) is not None and (node, column) not in after
    ]


def _changed_and_below(compiled: Compiled, changed: set[str]) -> list[str]:
    reached = set(changed)
    for name in compiled.order:
        if any(spec.node in reached for spec in compiled.nodes[name].inputs):
            reached.add(name)
    return [name for name in compiled.order if name in reached]


def _planned_changes(
    session: ProjectSession, compiled: Compiled, base: Base, node_changes: Sequence[NodeChange]
) -> tuple[PlannedChanges, Cost]:
    """Return what the changes do to the state of `base`, and what recomputing costs."""
    if base.store is None or base.compiled is None:
        return planned_changes(base.compiled, compiled, node_changes), Cost()
    # before the transaction: a store runs one read at a time
    now_us, borrowed = to_us(session.now()), session.borrowed
    with base.store.read() as tx:
        planned = changes_of(
            tx,
            base.compiled,
            compiled,
            node_changes,
            version=base.version,
            now_us=now_us,
            borrowed=borrowed,
        )
        return planned, invalidation.cost_of(tx, base.compiled, compiled, planned, now_us)


def _computed_nodes(changes: Collection[NodeChange]) -> frozenset[str]:
    """Return the nodes of which production would compute all partitions."""
    added = {change.node for change in changes if change.change is ChangeKind.ADDED}
    return invalidated_nodes(changes) | added


def plan_of_apply(
    session: ProjectSession,
    files: ProjectFiles,
    compiled: Compiled,
    prepared: PreparedPlan,
    base: Base,
    keep: Collection[str] = (),
) -> Plan:
    """Return the plan of `apply` in this environment.

    `base` is what `prepared` compares with: in an environment's `plan` that is production, and the
    steps start from the environment's own version. `keep` are the nodes whose publications stay
    fresh.
    """
    promoted = promotion_steps(compiled, prepared.offers)
    production = session.production
    if production is None or base.store is not production.store:
        here, planned, cost = base, prepared.changes, prepared.cost
    else:
        here = applied(session)
        node_changes = comparison.keeping(changes(here.compiled, compiled), keep)
        planned, cost = _planned_changes(session, compiled, here, node_changes)
    now_us = session.clock.now_us()
    if here.store is None:
        return plan_of(
            None,
            files,
            here.compiled,
            compiled,
            planned,
            environment=session.env,
            now_us=now_us,
            promoted=promoted,
        )
    with here.store.read() as tx:
        plan = plan_of(
            tx,
            files,
            here.compiled,
            compiled,
            planned,
            environment=session.env,
            now_us=now_us,
            promoted=promoted,
        )
        first = _approved_first(
            tx, compiled, planned.invalidated, cost, session.data_folder / "cache"
        )
        return needing_approval(plan, first)


def _approved_first(
    tx: Transaction, compiled: Compiled, invalidated: Invalidation, cost: Cost, cache: Path
) -> frozenset[str]:
    """Return the invalidated nodes whose recomputation needs an approval by policy."""
    results: set[str] = set()
    rules = compiled.project.settings.policy_rules
    for needed in invalidated.backfills:
        if needed.backfill is None or not rules:
            continue
        consequence = of_computation(
            tx, compiled, needed.backfill.chosen, cache=cache, size=cost.size or 0
        )
        if required(rules, compiled.project, consequence) is not None:
            results.update(needed.nodes)
    return frozenset(results)


def approval_of(
    session: ProjectSession, compiled: Compiled, plan: Plan, prepared: PreparedPlan, base: Base
) -> Approval | None:
    """Return the approval that applying a plan needs by the applied rules; None if it needs none.

    The rules that a plan changes don't decide about it. An environment publishes to nobody, so only
    the amount of work counts there.
    """
    if base.compiled is None or base.store is None:
        return None
    rules = base.compiled.project.settings.policy_rules
    if not rules:
        return None
    response = prepared.response
    with base.store.read() as tx:
        consequence = of_apply(
            tx,
            base.compiled,
            compiled,
            plan,
            consumers=response.affects.consumers,
            breaks=[row.node for row in response.changes if row.breaking],
            cache=session.data_folder / "cache",
        )
    if session.production is not None:
        consequence = without_readers(consequence)
    return required(rules, base.compiled.project, consequence)


def with_plan(response: PlanResponse, plan: Plan) -> PlanResponse:
    """Return the response with the plan that `apply` accepts by its id."""
    return msgspec.structs.replace(
        response,
        plan_id=plan.plan_id,
        base_version=plan.base_version,
        files=[
            PlannedFileRow(path=file.path, sha256=file.sha256, change=file.change or "unchanged")
            for file in plan.files
        ],
        steps=[
            StepRow(
                n=row.n,
                kind=row.kind,
                node=row.node,
                from_=row.first,
                to=row.last,
                partitions=row.partitions,
                detail=row.detail,
                needs_approval=row.needs_approval,
            )
            for row in planned_steps(plan)
        ],
    )


def tried(session: ProjectSession, plan: Plan) -> Plan:
    """Return the same plan, whose steps `retype` name the columns with a value that would change.

    All published values of such columns are read. An unpartitioned table is rewritten as a whole,
    so nothing is converted.
    """
    former = {step.node: step.former for step in plan.steps if isinstance(step, Rename)}
    steps = (
        _tried(session, step, former.get(step.node, step.node))
        if isinstance(step, Retype) and step.range.first != WHOLE
        else step
        for step in plan.steps
    )
    return msgspec.structs.replace(plan, steps=tuple(steps))


def _tried(session: ProjectSession, step: Retype, name: str) -> Retype:
    assert session.store is not None, "a published table is in a store"
    with session.store.read() as tx:
        table = catalog.table(tx, name)
        published = publications.visible(tx, name, catalog.newest_snapshot(tx))
        if table is None or sum(item.rows for item in published.values()) > TRIED_ROWS_MAX:
            return step
        files = catalog.files(tx, name, None)
    types = {column: kind for column, _, kind in step.columns}
    columns = [column for column in table.columns if column.name in types]
    refused = [item.name for item in columns if _changes(session, files, item, types[item.name])]
    return msgspec.structs.replace(step, refused=tuple(refused))


def _changes(
    session: ProjectSession, files: Sequence[FileRef], column: LakeColumn, kind: str
) -> bool:
    """Return whether a published value of a column would be another one in a type."""
    from headrace.lake.reading import QueryTable, absolute, session_over
    from headrace.lake.staging import refused

    table = QueryTable("published", (column,), absolute(files, session.folders.lake))
    target = LakeTable("published", (msgspec.structs.replace(column, type=kind),))
    (value,) = carried({column.id: (quote(column.name), column.type)}, target)
    with (
        suppress(ValueMismatch),
        session_over([table], timezone=session.timezone) as duckdb,
        refused(target),
    ):
        duckdb.connection.execute(f"SELECT count({value}) FROM published").fetchone()
        return False
    return True


def _keep_contracts(
    session: ProjectSession, old: Compiled | None, new: Compiled, lineage: Lineage
) -> None:
    """Raise Refused for an undeclared break of a contract, before consumers see it in the data."""
    before = old.project if old is not None else None
    breaks = visible_breaks(session, contract_breaks(before, new.project, lineage.users))
    if breaks:
        first = breaks[0]
        more = f"; and {len(breaks) - 1} more" if len(breaks) > 1 else ""
        raise Refused(f"{first.file}: {first.said}{more}", hint=first.hint)


def _row(
    compiled: Compiled, old: Compiled | None, impact: Impact, invalidated: Invalidation | None
) -> ChangeRow:
    change = impact.change
    declared = compiled.project.node(change.node) or (
        old.project.node(change.node) if old is not None else None
    )
    return ChangeRow(
        node=change.node,
        change=change.change,
        breaking=impact.breaking,
        columns=[column.column for column in impact.columns] or list(change.columns),
        partitions_stale=None
        if invalidated is None
        else invalidated.of(change.node)
        if change.stale
        else 0,
        effects=[
            EffectRow(column=column.column, effect=column.effect, read_by=list(column.read_by))
            for column in impact.columns
        ],
        consumers=list(impact.consumers),
        file=declared.place.file if declared is not None else None,
        line=declared.place.line if declared is not None else None,
        kept=change.kept,
        code=list(change.files),
    )


def _affects(
    compiled: Compiled, old: Compiled | None, meant: Iterable[Impact], invalidated: Invalidation
) -> Affects:
    """Return the consumers whose data or promises change, and the owners of all that changes."""
    meant = list(meant)
    consumers = {name for impact in meant for name in impact.consumers}
    nodes = (
        {impact.change.node for impact in meant}
        | {name for item in meant for name in item.assets}
        | invalidated.changed_nodes
    )
    owners = {
        node.owner
        for name in nodes | consumers
        if (node := _declared(compiled, old, name)) is not None
    }
    return Affects(consumers=sorted(consumers), owners=sorted(owners))


def _declared(
    compiled: Compiled, old: Compiled | None, name: str
) -> Source | Asset | Consumer | None:
    return compiled.project.node(name) or (old.project.node(name) if old is not None else None)


def _weakened(compiled: Compiled, item: Weakened) -> WeakenedRow:
    node = compiled.project.node(item.node)
    place = node.place if node is not None else None
    return WeakenedRow(
        node=item.node,
        what=item.what,
        before=item.before,
        after=item.after,
        file=place.file if place else None,
        line=place.line if place else None,
    )
