"""Values of a column that were recorded before it was classified (decision 0214)."""

from __future__ import annotations

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


def hide_earlier_values(
    tx: Transaction, before: Compiled | None, after: Compiled, cache: Path
) -> None:
    """Hide for ever what was quoted of nodes with columns that `after` classifies newly.

    Also of the nodes and consumers that read these or whose checks do, since errors quote values of
    inputs, and of nodes that are no longer declared. Metrics keep no value of such a column. The
    first time in a state of an earlier version, all classified columns count as new.
    """
    earlier = before if quoted_values.are_hidden(tx) else None
    grown = _newly_classified(earlier, after, cache)
    if before is None or not grown:
        return
    for name, columns in grown.items():
        classified = None if ALL_COLUMNS in columns else columns
        quality.rewrite_metrics(tx, name, partial(without_values, classified=classified))
    reads = {
        name: [*(spec.node for spec in node.inputs), *node.check_references]
        for name, node in after.nodes.items()
    }
    reads |= {name: [*consumer.reads] for name, consumer in after.project.consumers.items()}
    others = {name for name, nodes in reads.items() if grown.keys().isdisjoint([name, *nodes])}
    quoted_values.hide(tx, others)


def _newly_classified(
    before: Compiled | None, after: Compiled, cache: Path
) -> dict[str, frozenset[str]]:
    """Return the columns of each node that `after` classifies and `before` didn't, if any."""
    if not all_classified(after.project):
        return {}
    known = {} if before is None else classified_columns(before, compile_lineage(before, cache))
    now = classified_columns(after, compile_lineage(after, cache))
    new = {name: columns - known.get(name, frozenset()) for name, columns in now.items()}
    return {name: columns for name, columns in new.items() if columns}
