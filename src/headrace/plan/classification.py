"""Classified columns, and the columns whose values are computed from them."""

from __future__ import annotations

from headrace.plan.compiled import Compiled
from headrace.plan.impact import ALL_COLUMNS, Lineage
from headrace.sql.values import Transformation

_WITHOUT_VALUES = frozenset({Transformation.FILTER, Transformation.JOIN_KEY})
"""Transformations that pass on no values."""


def classified_columns(compiled: Compiled, lineage: Lineage) -> dict[str, frozenset[str]]:
    """Return each node's columns, in lower case, that contracts classify or that derive from such.

    ALL_COLUMNS stands for all columns of asset code that declares none.
    """
    result = {name: _declared(compiled, name) for name in compiled.nodes}
    if not any(result.values()):
        return result
    canonical = {name.lower(): name for name in compiled.nodes}
    for name in compiled.order:
        lines = lineage.of(name)
        derived = {
            column.lower()
            for column, edges in lines.columns.items()
            for edge in (*edges, *lines.filters)
            if edge.transformation not in _WITHOUT_VALUES
            and _is_among(edge.column, result.get(canonical.get(edge.input, ""), frozenset()))
        }
        result[name] |= derived
    return result


def _declared(compiled: Compiled, name: str) -> frozenset[str]:
    node = compiled.project.source_or_asset(name)
    contract = compiled.project.contracts.get(node.contract or name) if node is not None else None
    return frozenset(
        column.name.lower()
        for column in (contract.columns if contract is not None else ())
        if column.classification
    )


def _is_among(column: str, classified: frozenset[str]) -> bool:
    if column == ALL_COLUMNS or ALL_COLUMNS in classified:
        return bool(classified)
    return column.lower() in classified
