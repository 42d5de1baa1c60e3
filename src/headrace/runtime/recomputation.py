"""Whether recomputing partitions can change anything: new code, new inputs or damaged files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from headrace.lake.catalog import CatalogChange
from headrace.model import InputSpec, UsageError
from headrace.model.partitions import required
from headrace.plan import ChangeKind, Compiled
from headrace.plan.comparison import changes
from headrace.slo.damaged_files import accumulates, damaged_files, partitions_in
from headrace.store import Transaction
from headrace.store.queries import applied_versions, partition_states, publications
from headrace.store.queries.applied_versions import CodeOfVersion
from headrace.store.queries.publications import NewestPublication

# Compares the newest publication with the applied code and the current inputs.


def unchanged(
    tx: Transaction,
    compiled: Compiled,
    node: str,
    keys: Iterable[str],
    *,
    besides: frozenset[str] = frozenset(),
) -> list[str]:
    """Return an asset's partitions whose newest publication still matches code and inputs.

    It was computed by the code of `compiled` from the inputs as they are now, ignoring the inputs
    in `besides`. Readers needn't see it any more. Partitions that were never published are left
    out.
    """
    code = applied_versions.fingerprints_once(tx)
    return [
        key
        for key in keys
        if (newest := publications.computed(tx, node, key)) is not None
        and not differs(code, compiled, node, newest.version)
        and not _input_changed(tx, compiled, node, newest, besides)
    ]


def returned(tx: Transaction, compiled: Compiled, node: str) -> list[str]:
    """Return published partitions of an asset that exactly the code of `compiled` computed.

    Their inputs are unchanged, so they aren't stale once `compiled` is applied again after other
    code. A newer reference makes nothing stale.
    """
    if node not in compiled.project.assets:
        return []
    from headrace.plan.partition_ranges import NodeInput
    from headrace.runtime.graph import graph_of  # it loads the SQL parser, not needed by `status`

    code = applied_versions.fingerprints_once(tx)
    same = [
        version
        for version in applied_versions.published_versions(tx, node)
        if not differs(code, compiled, node, version)
    ]
    if not same:
        return []
    graph = {node.name: node for node in graph_of(compiled).nodes}
    graph_node = graph.get(node)
    if graph_node is None:  # a view has no partitions; its readers compute it
        return []
    reads = [
        NodeInput(output=graph_node, spec=spec, input=graph[spec.node])
        for spec in graph_node.inputs
        if spec.node in graph
    ]
    referred = frozenset(
        node_input.spec.node
        for node_input in reads
        if node_input.reference and not graph_node.rebuild_on_reference
    )
    return unchanged(
        tx, compiled, node, applied_versions.published_keys(tx, node, same), besides=referred
    )


def code_changed(
    tx: Transaction, code: CodeOfVersion, compiled: Compiled, node: str, key: str
) -> bool:
    """Whether an asset's partition was published by other code than the applied one."""
    newest = publications.computed(tx, node, key)
    return newest is not None and differs(code, compiled, node, newest.version)


def differs(code: CodeOfVersion, compiled: Compiled, node: str, version: int) -> bool:
    """Whether an asset's code in a version differs from the applied code."""
    return code(version).get(node) != compiled.nodes[node].fingerprint


def checks_changed(tx: Transaction, compiled: Compiled, node: str, version: int | None) -> bool:
    """Whether a node's checks differ from those of a version; False for an unknown version."""
    applied = None if version is None else applied_versions.get(tx, version)
    if applied is None:
        return False
    before = msgspec.msgpack.decode(applied.compiled, type=Compiled)
    return any(
        change.node == node and change.change is ChangeKind.CHECKS
        for change in changes(before, compiled)
    )


def _input_changed(
    tx: Transaction,
    compiled: Compiled,
    node: str,
    publication: NewestPublication,
    besides: frozenset[str],
) -> bool:
    """Whether a required input, other than those in `besides`, has new rows since it was read."""
    for spec in compiled.nodes[node].inputs:
        if spec.node in besides:
            continue
        changed = publications.changed_since(
            tx,
            spec.node,
            publication.read,
            besides=publication.snapshot if publication.planned else None,
        )
        required_keys = (
            _required(tx, compiled, node, publication.partition, spec) if changed else None
        )
        if changed and (required_keys is None or required_keys & changed):
            return True
    return False


def _required(
    tx: Transaction, compiled: Compiled, node: str, key: str, spec: InputSpec
) -> frozenset[str] | None:
    """Return the input's partitions that a partition is computed from; None for all of them."""
    project = compiled.project
    declared, source = (
        project.assets[node],
        project.sources.get(spec.node) or project.assets[spec.node],
    )
    seen = partial(partition_states.data_keys, tx, spec.node)
    try:
        keys = required(
            declared.partition,
            declared.timezone,
            key,
            source.partition,
            source.timezone,
            spec,
            seen,
        ).keys
    except UsageError:  # its partitioning has changed since
        return None
    return None if keys is None else frozenset(keys)


# Give up damaged files that several partitions share, so that each partition can be published again
# without the rows of the others.


def shared_and_damaged(tx: Transaction, node: str) -> dict[str, dict[str, int]]:
    """Return path → partitions with their rows, for damaged files with several partitions.

    Files that were given up before are left out, as are those of a merge: it recomputes its table
    from the first damaged partition on.
    """
    if accumulates(tx, node):
        return {}
    damaged_paths = {
        file.id: file.path
        for file in damaged_files(tx)
        if file.node == node and file.given_up is None and file.id > 0
    }
    held = partitions_in(tx, node, damaged_paths.keys())
    return {damaged_paths[number]: rows for number, rows in held.items() if len(rows) > 1}


def give_up(
    tx: Transaction,
    node: str,
    now: int,
    *,
    replaced: Callable[[str], bool] | None = None,
) -> None:
    """Register the rows of damaged shared files as lost.

    With `replaced`, only those of files whose every partition is replaced.
    """
    damaged = shared_and_damaged(tx, node)
    if replaced is not None:
        damaged = {path: rows for path, rows in damaged.items() if all(map(replaced, rows))}
    if not damaged:
        return
    change = CatalogChange.begin(tx, now)
    for path, rows in damaged.items():
        change.give_up(node, path, rows)
    change.finish(author="headrace", message=f"give up damaged files of {node}"[:500])
