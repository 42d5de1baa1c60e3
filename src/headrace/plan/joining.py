"""Which columns of a node are joined by, further down and under whatever name they get there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from headrace.plan.bodies import ColumnLineage
from headrace.sql.values import Edge, Transformation

PLACES_MAX = 500
"""A column whose origin isn't found within this number of columns counts as not joined."""
_AS_IT_IS = (Transformation.IDENTITY, Transformation.CAST)


def joined_by(
    node: str, columns: Iterable[str], readers: Callable[[str], Iterable[str]], lines: Callable[[str], ColumnLineage | None]
) -> bool:  # fmt: skip
    """Whether something that is made of `node` is joined by one of these columns of it. `readers` gives the nodes that read one, `lines`
    what the columns of one come from; where that is None, nothing is known to be joined."""
    seen, waiting = set[tuple[str, str]](), [(node, column.lower()) for column in columns]
    while waiting and len(seen) < PLACES_MAX:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        for reader in readers(at[0]):
            lineage = lines(reader)
            if lineage is None:
                continue
            if any(_is_of(edge, at, Transformation.JOIN_KEY) for edge in lineage.filters):
                return True
            taken = (name for name, edges in lineage.columns.items() if any(_is_of(edge, at, *_AS_IT_IS) for edge in edges))
            waiting += [(reader, name.lower()) for name in taken]
    return False


def _is_of(edge: Edge, at: tuple[str, str], *how: Transformation) -> bool:
    return (edge.input, edge.column.lower()) == (at[0].lower(), at[1]) and edge.transformation in how
