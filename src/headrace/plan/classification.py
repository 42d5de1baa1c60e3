"""Classified columns, and the columns whose values are computed from them."""

from __future__ import annotations

from headrace.model.declassification import declassified
from headrace.model.masks import column_classes
from headrace.plan.column_limits import LimitRoots, all_classified, shows_groups
from headrace.plan.compiled import Compiled
from headrace.plan.impact import ALL_COLUMNS, Lineage, deciding_edges
from headrace.sql.values import Transformation


def classified_columns(compiled: Compiled, lineage: Lineage) -> dict[str, frozenset[str]]:
    """Return each node's columns, in lower case, that are classified or derive from such.

    ALL_COLUMNS stands for all columns of asset code that declares none.
    """
    result = {name: frozenset(column_classes(compiled.project, name)) for name in compiled.nodes}
    if not any(result.values()):
        return result
    roots = LimitRoots(frozenset(), all_classified(compiled.project))
    canonical = {name.lower(): name for name in compiled.nodes}
    for name in compiled.order:
        lines = lineage.of(name)
        derived = {
            column.lower()
            for column in lines.columns
            for edge in deciding_edges(lines, column)
            if _is_among(edge.column, result.get(canonical.get(edge.input, ""), frozenset()))
            and not (
                edge.transformation is Transformation.GROUP_KEY
                and shows_groups(
                    compiled.project, roots, lineage, canonical[edge.input], edge.column.lower()
                )
            )
        }
        result[name] |= derived - declassified(compiled.project.source_or_asset(name)).keys()
    return result


def _is_among(column: str, classified: frozenset[str]) -> bool:
    if column == ALL_COLUMNS or ALL_COLUMNS in classified:
        return bool(classified)
    return column.lower() in classified
