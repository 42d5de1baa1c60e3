"""What rows of earlier code limit, of the nodes that a session reads."""

from __future__ import annotations

from headrace.plan import Compiled
from headrace.plan.column_limits import LimitRoots
from headrace.plan.earlier_code import Code, EarlierCode
from headrace.project.caches import cached_by_version
from headrace.project.session import ProjectSession
from headrace.project.snapshots import node_graph
from headrace.runtime.stored_versions import stored_versions
from headrace.store.queries import applied_versions


def limited_by_earlier_code(
    session: ProjectSession, node: str, roots: LimitRoots, *, past: bool
) -> frozenset[tuple[str, str]]:
    """Return (node, column) of a node and those above it that readable rows of earlier code limit.

    With `past`, rows of older snapshots are readable, too.
    """
    compiled = session.compiled
    if compiled is None:
        return frozenset()
    columns: set[tuple[str, str]] = set()
    limited = bool(roots.forbidden or roots.classified)
    above = node_graph(session, compiled).upstream([node])
    for name in above.keys() & compiled.project.assets.keys():
        holder = rows_from(session, name)
        if holder.store is None or holder.compiled is None:
            continue
        earlier = _earlier_code(holder, holder.compiled)
        if not limited and earlier.ever_classified is False:
            continue
        with holder.store.read() as tx:
            stored = stored_versions(tx, holder.data_folder / "cache")
            if not limited and not earlier.look_for_classes(stored):
                continue
            versions = applied_versions.published_versions(tx, name, past=past)
            columns |= earlier.limited(name, versions, stored, roots)
    return frozenset(columns)


def rows_from(session: ProjectSession, name: str) -> ProjectSession:
    """Return the session of the environment that a node's rows are read from.

    A role in a test environment says nothing about rows that it borrows from production.
    """
    borrowed = session.production is not None and name in session.borrowed
    return session.production if borrowed and session.production is not None else session


def _earlier_code(session: ProjectSession, compiled: Compiled) -> EarlierCode:
    return cached_by_version(
        session,
        "earlier code",
        lambda: EarlierCode(Code(compiled, lambda: session.lineage), node_graph(session, compiled)),
    )
