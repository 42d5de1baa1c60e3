"""What rows of earlier code limit, of the nodes that a session reads."""

from __future__ import annotations

import msgspec

from headrace.plan import Compiled
from headrace.plan import earlier_code as plan
from headrace.plan.column_limits import LimitRoots
from headrace.plan.earlier_code import Code, StoredCode, changed_nodes
from headrace.services.caches import cached_by_version
from headrace.services.session import ProjectSession
from headrace.services.snapshots import node_graph
from headrace.store import Store
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
    above = node_graph(session, compiled).upstream([node])
    for name in above.keys() & compiled.project.assets.keys():
        holder = rows_from(session, name)
        if holder.store is not None and holder.compiled is not None:
            columns |= plan.limited_by_earlier_code(
                Code(holder.compiled, holder.lineage),
                node_graph(holder, holder.compiled),
                _stored(holder, holder.store, holder.compiled, past=past),
                name,
                roots,
            )
    return frozenset(columns)


def rows_from(session: ProjectSession, name: str) -> ProjectSession:
    """Return the session of the environment that a node's rows are read from.

    A role in a test environment says nothing about rows that it borrows from production.
    """
    borrowed = session.production is not None and name in session.borrowed
    return session.production if borrowed and session.production is not None else session


def _stored(session: ProjectSession, store: Store, compiled: Compiled, *, past: bool) -> StoredCode:
    def versions(name: str) -> list[int]:
        with store.read() as tx:
            return applied_versions.published_versions(tx, name, past=past)

    def compared(version: int) -> frozenset[str]:
        with store.read() as tx:
            return changed_nodes(compiled, applied_versions.fingerprints(tx, version))

    def changed(version: int) -> frozenset[str]:
        if version == session.version:
            return frozenset()
        word = f"nodes changed since {version}"
        return cached_by_version(session, word, lambda: compared(version))

    def loaded(version: int) -> Code | None:
        from headrace.compiler.lineage import compile_lineage

        with store.read() as tx:
            row = applied_versions.get(tx, version)
        if row is None:
            return None
        earlier = msgspec.msgpack.decode(row.compiled, type=Compiled)
        return Code(earlier, compile_lineage(earlier, session.data_folder / "cache"))

    def load(version: int) -> Code | None:
        return cached_by_version(session, f"code of version {version}", lambda: loaded(version))

    return StoredCode(versions, changed, load)
