"""Which columns carry what is the matter with others: along the lineage, which is loaded only where columns are named."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.plan import Compiled
    from headrace.plan.bodies import ColumnLineage

ALL = "*"


class Carrying:
    """A `tainted.Carry` of a project's lineage. `load` gives a function: node → its lines, KeyError for one that has none."""

    def __init__(self, load: Callable[[], Callable[[str], ColumnLineage]]) -> None:
        self._load = load

    @cached_property
    def _lines(self) -> Callable[[str], ColumnLineage]:
        return self._load()

    def __call__(self, node: str, columns: frozenset[str], below: str) -> frozenset[str] | None:
        """The columns of `below` that come from these of `node`; all where a row's being there depends on them, or nothing is known."""
        if not columns:
            return columns
        try:
            lines = self._lines(below)
        except KeyError:
            return frozenset()  # an export, which hands on all that it reads
        wanted = {column.lower() for column in columns}
        if any(edge.input.lower() == node.lower() and (edge.column == ALL or edge.column.lower() in wanted) for edge in lines.filters):
            return frozenset()
        results = {
            column
            for column, edges in lines.columns.items()
            for edge in edges
            if edge.input.lower() == node.lower() and (edge.column == ALL or edge.column.lower() in wanted)
        }
        if ALL in results:
            return frozenset()
        return frozenset(results) or None


def lineage_of(compiled: Compiled) -> Callable[[], Callable[[str], ColumnLineage]]:
    """The lineage of what is applied, when it is first needed."""

    def load() -> Callable[[str], ColumnLineage]:
        from headrace.plan.lineage import compile_lineage

        return compile_lineage(compiled).of

    return load
