"""`apply`: what the files say comes into force, after a look at what that changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from headrace.model.contents import ProjectFiles
from headrace.operations import promotion, staling
from headrace.operations.backfill import backfill
from headrace.operations.backfill_documents import BackfillDocument
from headrace.operations.documents import ApplyDocument, NeededRow, PlanDocument
from headrace.operations.performing import Context, perform, verb
from headrace.operations.plan import Base, applied, plan_document, planned
from headrace.operations.progress import Progress
from headrace.operations.session import Session, usable
from headrace.operations.staling import Staled
from headrace.plan import Compiled, changes
from headrace.run.applying import code_differs
from headrace.run.promotion.publishing import Promotion
from headrace.store.queries import versions


class ApplyArguments(msgspec.Struct, frozen=True):
    """Who asks the leader to apply has already agreed to the changes."""

    promotions: bytes = b""
    """msgpack of what environments have built, copied into production's lake."""


def apply(session: Session, *, confirm: Callable[[PlanDocument], bool], progress: Progress) -> ApplyDocument:
    """Show what would change, ask, and put it into force.

    Raises InvalidProject where the files have errors, and what `confirm` raises where nobody can be asked.
    """
    files, compilation = session.declared_exactly(progress)
    compiled = usable(compilation)
    found = changes(session.compiled, compiled)
    plan = plan_document(session, compiled, applied(session), found)
    built = promotion.offered(session, compiled, promotion.stales(found))
    if session.compiled is not None and not found and not built and not _code_differs(session, files, compiled):
        return _document(session, "nothing_to_apply", plan)
    if session.compiled is not None and found and not confirm(plan):
        return _document(session, "declined", plan)
    copied = msgspec.msgpack.encode(promotion.prepared(session, built)) if built else b""
    return perform(session, "apply", ApplyArguments(copied), progress)  # type: ignore[no-any-return]


def make_again(session: Session, needed: Sequence[NeededRow], *, reason: str, progress: Progress) -> list[BackfillDocument]:
    """Do the backfills that a change asks for, one after the other; whoever calls this has shown them. Stops at one that needs an
    approval. Raises Refused without a reason."""
    opened = session.again(session.actor)  # what is in force now
    done: list[BackfillDocument] = []
    try:
        for one in needed:
            made = backfill(
                opened, one.select, exclude=(), first=one.from_, last=one.to, since=None, mode=one.mode, reason=reason,
                only=False, allow_partial=False, dry_run=False, confirm=lambda _: True, progress=progress,
            )  # fmt: skip
            done.append(made)
            if made.state == "awaiting_approval":
                break
    finally:
        opened.close()
    return done


@verb("apply", ApplyArguments, ApplyDocument)
def _apply(context: Context, arguments: ApplyArguments, progress: Progress) -> ApplyDocument:
    before = context.applied()
    files, compilation = context.session.declared_exactly(progress)
    compiled = usable(compilation)
    found = changes(before.compiled if before else None, compiled)
    base = Base(before.compiled, context.store, before.id, f"version {before.id}") if before else Base(None, context.store, None, None)
    plan, effect = planned(context.session, compiled, base, found)
    differs = before is None or found or _code_differs(context.session, files, compiled)
    now_applied = context.apply(progress) if differs or before is None else before
    built = msgspec.msgpack.decode(arguments.promotions, type=tuple[Promotion, ...]) if arguments.promotions else ()
    promoted = promotion.promote(context, built, progress)
    with context.store.read() as tx:
        left = staling.left(tx, compiled, effect, version=now_applied.id, env=context.session.env)
    return ApplyDocument(
        now=context.now(), state="applied", version=now_applied.id, plan=plan, promoted=promoted, clock=context.clock.kind,
        stale=staling.rows(left.stale), backfills=list(left.backfills),
    )  # fmt: skip


def _document(session: Session, state: str, plan: PlanDocument) -> ApplyDocument:
    """Nothing is put into force; where there was nothing to apply, what is stale all the same."""
    stale = Staled()
    if state == "nothing_to_apply" and session.compiled is not None and session.store is not None and session.version is not None:
        with session.store.read() as tx:
            stale = staling.outstanding(tx, session.compiled, version=session.version, env=session.env)
    return ApplyDocument(
        now=session.now(), state=state, version=session.version, plan=plan, clock=session.clock.kind,
        stale=staling.rows(stale.stale), backfills=list(stale.backfills),
    )  # fmt: skip


def _code_differs(session: Session, files: ProjectFiles, compiled: Compiled) -> bool:
    """Whether a module that no node's fingerprint knows has changed: nothing becomes stale by that, but what runs is what was applied."""
    if session.store is None:
        return True
    with session.store.read() as tx:
        found = versions.newest(tx)
    return found is None or code_differs(found.manifest, files, compiled)


def downstream(compiled: Compiled, names: set[str]) -> set[str]:
    """These nodes, and all that read from them."""
    reached = set(names)
    for name in compiled.order:
        if reached & {spec.node for spec in compiled.nodes[name].inputs}:
            reached.add(name)
    return reached
