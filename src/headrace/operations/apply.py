"""`apply`: what the files say comes into force, after a look at what that changes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headrace.operations.documents import Affects, ApplyDocument, ChangeRow, PlanDocument
from headrace.operations.performing import Context, perform, verb
from headrace.operations.progress import Progress
from headrace.operations.session import Session, usable
from headrace.plan import Change, Compiled, changes
from headrace.run.applying import code_differs
from headrace.store.queries import partitions, versions


class ApplyArguments(msgspec.Struct, frozen=True):
    """Nothing: who asks the leader to apply has already agreed to the changes."""


def apply(session: Session, *, confirm: Callable[[PlanDocument], bool], progress: Progress) -> ApplyDocument:
    """Show what would change, ask, and put it into force.

    Raises InvalidProject where the files have errors, and what `confirm` raises where nobody can be asked.
    """
    compiled = usable(session.declared(progress))
    found = changes(session.compiled, compiled)
    plan = _plan(session, compiled, found)
    if session.compiled is not None and not found and not _code_differs(session, compiled):
        return _document(session, "nothing_to_apply", plan)
    if session.compiled is not None and found and not confirm(plan):
        return _document(session, "declined", plan)
    return perform(session, "apply", ApplyArguments(), progress)  # type: ignore[no-any-return]


@verb("apply", ApplyArguments, ApplyDocument)
def _apply(context: Context, arguments: ApplyArguments, progress: Progress) -> ApplyDocument:
    del arguments
    before = context.applied()
    compiled = usable(context.session.declared(progress))
    plan = _plan(context.session, compiled, changes(before.compiled if before else None, compiled))
    applied = context.apply(progress)
    return ApplyDocument(now=context.now(), state="applied", version=applied.id, plan=plan, clock=context.clock.kind)


def _document(session: Session, state: str, plan: PlanDocument) -> ApplyDocument:
    return ApplyDocument(now=session.now(), state=state, version=_version(session), plan=plan, clock=session.clock.kind)


def _code_differs(session: Session, compiled: Compiled) -> bool:
    """Whether a module that no node's fingerprint knows has changed: nothing becomes stale by that, but what runs is what was applied."""
    if session.store is None:
        return True
    with session.store.read() as tx:
        found = versions.newest(tx)
    return found is None or code_differs(found.manifest, session.root, compiled)


def _version(session: Session) -> int | None:
    if session.store is None:
        return None
    with session.store.read() as tx:
        found = versions.newest(tx)
    return found.id if found else None


def _plan(session: Session, compiled: Compiled, found: list[Change]) -> PlanDocument:
    touched = {change.node for change in found}
    reached = downstream(compiled, touched)
    readers = sorted(name for name, consumer in compiled.project.consumers.items() if name in touched or reached & set(consumer.reads))
    owners = {compiled.project.consumers[name].owner for name in readers}
    owners |= {node.owner for name in reached if (node := compiled.project.node(name)) is not None}
    return PlanDocument(
        changes=[
            ChangeRow(node=c.node, change=c.change, columns=list(c.columns), partitions_stale=_stale(session, c.node) if c.stale else 0)
            for c in found
        ],
        affects=Affects(consumers=readers, owners=sorted(owners)),
    )


def downstream(compiled: Compiled, names: set[str]) -> set[str]:
    """These nodes, and all that read from them."""
    reached = set(names)
    for name in compiled.order:
        if reached & {spec.node for spec in compiled.nodes[name].inputs}:
            reached.add(name)
    return reached


def _stale(session: Session, node: str) -> int:
    """How many published partitions of a node a change of its code makes stale."""
    if session.store is None:
        return 0
    with session.store.read() as tx:
        return partitions.published_count(tx, node)
