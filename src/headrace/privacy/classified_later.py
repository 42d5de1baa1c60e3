"""Values of a column that were recorded before it was classified (decision 0214)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from headrace.checks.metrics import without_values
from headrace.compiler.lineage import compile_lineage
from headrace.plan import Compiled
from headrace.plan.classification import classified_columns
from headrace.plan.column_limits import all_classified
from headrace.plan.impact import ALL_COLUMNS
from headrace.store import Transaction
from headrace.store.queries import quality, quoted_values


def newly_classified(
    tx: Transaction, before: Compiled | None, after: Compiled, cache: Path
) -> dict[str, frozenset[str]]:
    """Return node → its columns that `after` classifies and `before` didn't.

    The first time in a state of an earlier version, these are all classified columns.
    """
    if before is None or not all_classified(after.project):
        return {}
    known = (
        classified_columns(before, compile_lineage(before, cache))
        if quoted_values.are_hidden(tx)
        else {}
    )
    now = classified_columns(after, compile_lineage(after, cache))
    new = {name: columns - known.get(name, frozenset()) for name, columns in now.items()}
    return {name: columns for name, columns in new.items() if columns}


def hide_earlier_values(
    tx: Transaction, classified: Mapping[str, frozenset[str]], after: Compiled
) -> None:
    """Hide for ever what was quoted of nodes with newly `classified` columns.

    Also of the nodes and consumers that read these or whose checks do, since errors quote values of
    inputs, and of nodes that are no longer declared. Metrics keep no value of such a column.
    """
    quoted_values.begin_hiding(tx)
    if not classified:
        return
    for name, columns in classified.items():
        change = partial(without_values, classified=None if ALL_COLUMNS in columns else columns)
        quality.rewrite_metrics(tx, name, change)
    reads = {
        name: [*(spec.node for spec in node.inputs), *node.check_references]
        for name, node in after.nodes.items()
    }
    reads |= {name: [*consumer.reads] for name, consumer in after.project.consumers.items()}
    others = {name for name, nodes in reads.items() if classified.keys().isdisjoint([name, *nodes])}
    quoted_values.hide(tx, others)
