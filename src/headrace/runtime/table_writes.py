"""Register staged partitions in a table, with what its other files need for that."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headrace.lake import LakeTable, StagedFile, reshaped
from headrace.lake.catalog import CatalogChange, Rewrite
from headrace.runtime.messages import RewrittenFile
from headrace.runtime.tasks.older_columns import refuse_lost
from headrace.store import Transaction
from headrace.store.queries import leader_writes


def set_columns(
    tx: Transaction, change: CatalogChange, table: LakeTable, keys: Collection[str]
) -> bool:
    """Create the table, or give it these columns; return whether a column changes its type.

    `keys` are published with them. Raises LakeError if others lose a column for a new one.
    """
    known = change.table(table.name)
    if known is None:
        change.create_table(table)
        return False
    refuse_lost(tx, known, table, keys)
    change.evolve_table(table)
    return reshaped(known, table).retyped


def write_partitions(
    tx: Transaction,
    change: CatalogChange,
    node: str,
    keys: Collection[str],
    staged: Sequence[StagedFile],
    rewritten: Sequence[RewrittenFile],
    table: LakeTable | None,
) -> None:
    """Register staged files as the rows of a node's partitions, and the copies of shared files.

    `table` has the columns that they were staged for, if these are new. Where a column gets another
    type, the publications of the copied partitions get the content hashes that their values have in
    it, so that the same rows delivered again are recognised. Raises as `CatalogChange.replace`.
    """
    retyped = table is not None and set_columns(tx, change, table, keys)
    rewrites = [Rewrite(file.path, file.staged) for file in rewritten]
    change.replace(node, keys, staged, rewrites=rewrites)
    if retyped:
        carried = [file.staged for file in rewritten if file.staged is not None]
        hashes = {part.key: part.content_hash for file in carried for part in file.partitions}
        leader_writes.rehash(tx, node, hashes)
