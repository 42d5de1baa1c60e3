"""What the core starts from: the applied graph, and where each partition stands in the store."""

from __future__ import annotations

from headrace.plan import Compiled
from headrace.run.graph import graph_of
from headrace.schedule import Loaded, LoadedCell, PartitionState
from headrace.store import Transaction
from headrace.store.queries import leading


def load(tx: Transaction, compiled: Compiled, *, borrowed: frozenset[str] = frozenset(), cells: tuple[LoadedCell, ...] = ()) -> Loaded:
    """The event that the core starts from. In an environment the partitions of `borrowed` nodes stand as `cells` say."""
    own = (_cell(row) for row in leading.standings(tx) if row.node not in borrowed)
    return Loaded(graph_of(compiled), (*own, *cells))


def _cell(row: leading.Standing) -> LoadedCell:
    return LoadedCell(
        node=row.node, key=row.partition, state=PartitionState(row.state), stale=row.stale, failures=row.failures,
        not_before=row.not_before, published=row.published, proposed=row.proposed, publication=row.publication,
    )  # fmt: skip
