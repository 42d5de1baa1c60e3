"""Faults that reach a later table as they are, and are noticed there. By lineage: a column that is handed on, or cast, has the same
fault there; rows do where both tables have as many."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from headrace.plan.lineage import Lineage
from headrace.sql.values import Transformation

if TYPE_CHECKING:
    from headrace.quality.challenge.trying import Challenged, MutationTrial

AS_IT_IS = (Transformation.IDENTITY, Transformation.CAST)


class Downstream:
    """What all challenged nodes noticed, asked about the faults of one."""

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._known: dict[str, Challenged] = {}
        self._noticed: dict[str, set[tuple[str, tuple[str, ...]]]] = {}
        self._handed: dict[tuple[str, str], list[tuple[str, str]]] = {}

    def add(self, node: str, challenged: Challenged) -> None:
        """What one node noticed. Later nodes come before those that they read."""
        self._known[node] = challenged
        self._noticed[node] = {(tried.mutation.form, _lower(tried.mutation.columns)) for tried in challenged.noticed}

    def notifications(self, node: str, result: Challenged, tried: MutationTrial) -> bool:
        """Whether a later node notices what its own node doesn't."""
        mutation = tried.mutation
        if not mutation.columns:
            return any((mutation.form, ()) in self._noticed[other] for other in self._whole(node, result))
        if len(mutation.columns) > 1:
            return False
        return any((mutation.form, (column,)) in self._noticed.get(other, ()) for other, column in self._to(node, mutation.columns[0]))

    def _whole(self, node: str, result: Challenged) -> Collection[str]:
        """The nodes that have a column of this one as it is, and as many rows."""
        reached = {other for column in result.facts for other, _ in self._to(node, column.name)}
        return [other for other in reached if other in self._known and self._known[other].rows == result.rows]

    def _to(self, node: str, column: str) -> list[tuple[str, str]]:
        """The (node, column in lower case) that have this column's values."""
        results = self._handed.get((node, column))
        if results is None:
            reached = {f"{node}.{column}"}
            for step in self._lineage.downstream(node, column):
                if step.via in reached and step.transformation in AS_IT_IS:
                    reached.add(step.column)
            pairs = (item.partition(".") for item in sorted(reached - {f"{node}.{column}"}))
            results = self._handed[node, column] = [(name, own.lower()) for name, _, own in pairs]
        return results


def _lower(columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(column.lower() for column in columns)
