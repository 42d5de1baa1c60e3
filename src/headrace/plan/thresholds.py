"""The mask of a column of aggregates that is shown for groups of enough people.

Compiling an asset has checked its own query (`sql.thresholds`). Here its inputs are followed:
an average of values that were a maximum before shows that maximum.
"""

from __future__ import annotations

import msgspec

from headrace.model import Project
from headrace.model.declassification import thresholds
from headrace.model.masks import NO_DOMAIN, THRESHOLD, DeclaredMask
from headrace.plan.impact import Lineage
from headrace.sql.values import WITHOUT_VALUES, Transformation

_OF_ONE_ROW = frozenset({Transformation.IDENTITY, Transformation.CAST, Transformation.EXPRESSION})
"""Transformations whose results have values of one row of the input only."""


def threshold_mask(
    project: Project, lineage: Lineage | None, node: str, column: str
) -> DeclaredMask | None:
    """Return the mask of a column, in lower case; None if it has no threshold, or an unsafe one."""
    asset = project.assets.get(node)
    threshold = thresholds(asset).get(column)
    if asset is None or threshold is None or lineage is None:
        return None
    if any(combined_before(lineage, node, name) for name in (column, threshold.people)):
        return None
    mask = {"method": THRESHOLD, "k": threshold.k, "people": threshold.people}
    return DeclaredMask(
        msgspec.json.encode(mask, order="sorted").decode(), asset.domain or NO_DOMAIN, node, column
    )


def combined_before(lineage: Lineage, node: str, column: str) -> str | None:
    """Return NODE.COLUMN that combines rows, or may, before an aggregate does; None if none."""
    above = _values_above(lineage, node, column)
    if Transformation.OPAQUE in above.values():
        return f"{node}.{column}"
    waiting, seen = list(above), set(above)
    while waiting:
        upper, name = waiting.pop()
        above = _values_above(lineage, upper, name)
        if not _OF_ONE_ROW.issuperset(above.values()):
            return f"{upper}.{name}"
        waiting += above.keys() - seen
        seen |= above.keys()
    return None


def _values_above(
    lineage: Lineage, node: str, column: str
) -> dict[tuple[str, str], Transformation]:
    """Return the columns whose values a column has or is computed from."""
    return {
        (upper, name): transformation
        for upper, name, transformation in lineage.above(node, column)
        if transformation not in WITHOUT_VALUES
    }
