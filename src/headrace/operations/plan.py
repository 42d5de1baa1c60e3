"""`plan`: what the files change of what is applied, for whom, and what it takes to make the past follow. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from headrace.model import Asset, Consumer, Refused, Source
from headrace.model.environments import PRODUCTION
from headrace.operations import promotion, staling
from headrace.operations.documents import Affects, ChangeRow, CodeChangeRow, EffectRow, PlanDocument, WeakenedRow
from headrace.operations.environment_diff import differences
from headrace.operations.progress import Progress
from headrace.operations.session import Session, usable
from headrace.operations.staling import Staled
from headrace.plan import Change, Compiled, Lineage, changes, compile_lineage
from headrace.plan.comparing import SETTINGS
from headrace.plan.contract_breaks import broken
from headrace.plan.impact import Impact, impacts
from headrace.plan.weakening import Weakened, weakened
from headrace.store import Store


class Base(msgspec.Struct, frozen=True):
    """What the files are compared with, and the state that says what is published of it."""

    compiled: Compiled | None
    store: Store | None
    version: int | None
    called: str | None


def plan(session: Session, *, against: str | None, progress: Progress) -> PlanDocument:
    """What the files change. In an environment they are compared with production, else with what is applied; `against` names a commit.

    Raises InvalidProject where the files have errors, UsageError for a commit that git doesn't know.
    """
    compiled = usable(session.bindable(progress))
    base = _base(session)
    if against is not None:
        from headrace.operations.against import compiled_at

        base = Base(compiled_at(session, against), base.store, base.version, against)
    found = changes(base.compiled, compiled)
    if session.production is not None:  # an environment has settings of its own; what of them bears on data is in the bodies
        found = [one for one in found if one.node != SETTINGS]
    document = msgspec.structs.replace(plan_document(session, compiled, base, found), next=_next(session, compiled, found))
    return document if session.production is None else msgspec.structs.replace(document, diff=differences(session))


def _next(session: Session, compiled: Compiled, found: Sequence[Change]) -> str:
    """Put it into force here, or, where an environment has it already, in production."""
    if session.compiled is None or changes(session.compiled, compiled):
        return "headrace apply" if session.production is None else f"headrace --env {session.env} apply"
    return f"headrace --env {PRODUCTION} apply" if session.production is not None and found else "headrace status"


def applied(session: Session) -> Base:
    """What is applied here."""
    called = None if session.version is None else f"version {session.version}"
    return Base(session.compiled, session.store, session.version, called)


def _base(session: Session) -> Base:
    if session.production is None or session.production.compiled is None:
        return applied(session)
    found = applied(session.production)
    return msgspec.structs.replace(found, called=f"production, {found.called}")


def plan_document(session: Session, compiled: Compiled, base: Base, found: Sequence[Change] | None = None) -> PlanDocument:
    """What putting `compiled` into force changes."""
    return planned(session, compiled, base, found)[0]


def planned(session: Session, compiled: Compiled, base: Base, found: Sequence[Change] | None = None) -> tuple[PlanDocument, Staled]:
    """The same, with what becomes stale."""
    found = changes(base.compiled, compiled) if found is None else found
    lineage = compile_lineage(compiled, session.data_folder / "cache")
    _keep_contracts(base.compiled, compiled, lineage)
    meant = impacts(base.compiled, compiled, found, lineage)
    effect = _staled(base, compiled, found, session.env)
    known = base.store is not None and base.compiled is not None
    document = PlanDocument(
        changes=[_row(compiled, base.compiled, one, effect if known else None) for one in meant],
        affects=_affects(compiled, base.compiled, meant, effect),
        estimate=None if effect.estimate is None else msgspec.to_builtins(effect.estimate),
        weakens=[_weakened(compiled, one) for one in weakened(base.compiled, compiled)],
        stale=staling.rows(effect.stale),
        repairs=staling.rows(effect.failed),
        bytes_estimate=effect.bytes,
        backfills=list(effect.backfills),
        built=promotion.rows(promotion.offered(session, compiled, promotion.stales(found))),
        against=base.called,
        env=session.env,
        now=session.now(),
        clock=session.clock.kind,
    )
    return document, effect


def _keep_contracts(old: Compiled | None, new: Compiled, lineage: Lineage) -> None:
    """Refuse what takes back a contract's promise without saying so: who relies on it would find out from their data."""
    found = broken(old.project if old is not None else None, new.project, lineage.users)
    if found:
        first = found[0]
        more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
        raise Refused(f"{first.file}: {first.said}{more}", hint=first.hint)


def _staled(base: Base, compiled: Compiled, found: Sequence[Change], env: str) -> Staled:
    if base.store is None or base.compiled is None:
        return Staled()
    with base.store.read() as tx:
        return staling.staled(tx, base.compiled, compiled, found, version=base.version, env=env)


def _row(compiled: Compiled, old: Compiled | None, impact: Impact, effect: Staled | None) -> ChangeRow:
    change = impact.change
    declared = compiled.project.node(change.node) or (old.project.node(change.node) if old is not None else None)
    return ChangeRow(
        node=change.node,
        change=change.change,
        breaking=impact.breaking,
        columns=[one.column for one in impact.columns] or list(change.columns),
        partitions_stale=None if effect is None else effect.of(change.node) if change.stale else 0,
        effects=[EffectRow(column=one.column, effect=one.effect, read_by=list(one.read_by)) for one in impact.columns],
        consumers=list(impact.consumers),
        file=declared.place.file if declared is not None else None,
        line=declared.place.line if declared is not None else None,
        code=[CodeChangeRow(path=one.path, change=one.change, via=one.via) for one in change.files],
    )


def _affects(compiled: Compiled, old: Compiled | None, meant: Iterable[Impact], effect: Staled) -> Affects:
    """Whose data, or whose promise, becomes another one; and who answers for what changes."""
    meant = list(meant)
    consumers = {name for one in meant for name in one.consumers}
    stale = {one.node for one in effect.stale if one.why == staling.OWN_CODE}
    nodes = {one.change.node for one in meant} | {name for one in meant for name in one.assets} | stale
    owners = {node.owner for name in nodes | consumers if (node := _declared(compiled, old, name)) is not None}
    return Affects(consumers=sorted(consumers), owners=sorted(owners))


def _declared(compiled: Compiled, old: Compiled | None, name: str) -> Source | Asset | Consumer | None:
    return compiled.project.node(name) or (old.project.node(name) if old is not None else None)


def _weakened(compiled: Compiled, one: Weakened) -> WeakenedRow:
    node = compiled.project.node(one.node)
    place = node.place if node is not None else None
    return WeakenedRow(
        node=one.node, what=one.what, before=one.before, after=one.after,
        file=place.file if place else None, line=place.line if place else None,
    )  # fmt: skip
