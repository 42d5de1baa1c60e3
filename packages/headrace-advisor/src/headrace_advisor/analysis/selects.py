"""One SELECT: the dependencies between its columns, and whether they tell its rows apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from sqlglot import exp

from headrace_advisor.analysis.advice import NO_PREMISES, Premise, Premises
from headrace_advisor.analysis.conditions import Attribute
from headrace_advisor.analysis.from_items import EXPRESSION, FromItems, Item, Output
from headrace_advisor.analysis.relations import Reasons, Use, is_allowed, premises_of
from headrace_advisor.analysis.select_clauses import SelectClauses
from headrace_advisor.analysis.tables import LOOSELY_EQUAL

ROW = "#"
"""The attribute that stands for the row of an item."""
Closed = dict[Attribute, Reasons]


class SelectScope(SelectClauses):
    """A SELECT with what its columns determine."""

    def __init__(self, select: exp.Select, items: Sequence[Item], outer: FromItems | None) -> None:
        super().__init__(select, items, outer)
        self._closures: dict[tuple[object, ...], Closed] = {}

    def rows(self) -> list[Attribute]:
        """Return the attributes that stand for a row before grouping: the rows of the items."""
        return [(item.number, ROW) for item in self.items if not item.filters]

    def close(
        self,
        start: Mapping[Attribute, Reasons],
        guarded_only: bool,
        never_null: frozenset[Attribute] = frozenset(),
        without: frozenset[int] = frozenset(),
    ) -> Closed:
        """Return everything that attributes determine, with the reasons.

        Items of `without` give nothing but what is in `start`.
        """
        key = (frozenset(start.items()), guarded_only, never_null, without)
        cached = self._closures.get(key)
        if cached is not None:
            return cached
        closed: Closed = dict(start)
        for attribute, premises in self.constants.items():
            if is_allowed(premises, guarded_only):
                closed.setdefault(attribute, frozenset(premises))
        size = -1
        while size != len(closed):
            size = len(closed)
            self._close_equalities(closed, guarded_only)
            self._close_expressions(closed)
            for item in self.items:
                if not item.filters and item.number not in without:
                    self._close_item(item, closed, guarded_only, never_null)
        self._closures[key] = closed
        return closed

    def _close_equalities(self, closed: Closed, guarded_only: bool) -> None:
        size = -1
        while size != len(closed):
            size = len(closed)
            for left, right, premises in self.equal:
                if (left in closed) == (right in closed) or not is_allowed(premises, guarded_only):
                    continue
                given, other = (left, right) if left in closed else (right, left)
                closed[other] = closed[given] | premises

    def _close_expressions(self, closed: Closed) -> None:
        for attribute, parts in self.expressions.items():
            if attribute not in closed and all(self._is_same(part, closed) for part in parts):
                closed[attribute] = frozenset().union(*(closed[part] for part in parts))
        if self.is_grouped:
            return
        for attribute, parts in self.row_numbers:
            if attribute in closed and all(part in closed for part in parts):
                reasons = closed[attribute].union(*(closed[part] for part in parts))
                for row in self.rows():
                    closed.setdefault(row, reasons)

    def _is_same(self, attribute: Attribute, closed: Closed) -> bool:
        """Whether a closure holds an attribute so that expressions of it are determined, too.

        Of some types different values count as equal: one month and 30 days.
        """
        if attribute not in closed:
            return False
        if attribute[0] == EXPRESSION or (attribute[0], ROW) in closed:
            return True
        return self.item(attribute).relation.type_of(attribute[1]) not in LOOSELY_EQUAL

    def _close_item(
        self, item: Item, closed: Closed, guarded_only: bool, never_null: frozenset[Attribute]
    ) -> None:
        number = item.number
        columns = frozenset(name for of, name in closed if of == number and name != ROW)
        self._close_row(item, closed)
        self._close_match(item, closed, guarded_only)
        extra = _tells_missing(item, columns, guarded_only)
        if extra is None:
            return
        not_null = frozenset(name for of, name in self.never_null | never_null if of == number)
        closure = item.relation.close(columns, not_null, guarded_only)
        rows = {} if closure.row is None else {ROW: closure.row}
        for name, reasons in {**closure.columns, **rows}.items():
            if (number, name) not in closed:
                closed[number, name] = self._substituted(reasons, item, closed) | extra

    @staticmethod
    def _close_row(item: Item, closed: Closed) -> None:
        row = closed.get((item.number, ROW))
        for column in () if row is None else item.relation.columns or ():
            closed.setdefault((item.number, column), closed[item.number, ROW])

    def _close_match(self, item: Item, closed: Closed, guarded_only: bool) -> None:
        """Close a LEFT JOIN's right side that has at most one match for each row of the others."""
        before = [(i.number, ROW) for i in self.items[: item.number] if not i.filters]
        if (item.number, ROW) in closed or not all(row in closed for row in before):
            return
        reasons = self.single_match(item, guarded_only)
        if reasons is not None:
            closed[item.number, ROW] = reasons.union(*(closed[row] for row in before))

    def single_match(self, item: Item, guarded_only: bool) -> Premises | None:
        """Return why a LEFT JOIN finds at most one row for each row; None if it may find more."""
        join = item.join
        if join is None or join.side != "LEFT" or item.filters:
            return None
        row = item.relation.close(item.matched, item.matched, guarded_only).row
        if row is None:
            return None
        used = any(isinstance(reason, Use) for reason in row)
        premises = premises_of(row) | (item.match_premises if used else NO_PREMISES)
        return premises if is_allowed(premises, guarded_only) else None

    @staticmethod
    def _substituted(reasons: Reasons, item: Item, closed: Closed) -> Reasons:
        """Return reasons in which each column of the item stands with its own reasons."""
        result: set[Premise | Use] = set()
        for reason in reasons:
            if isinstance(reason, Use):
                result |= closed[item.number, reason.column]
            else:
                result.add(reason)
        return frozenset(result)

    def rows_of(self, closed: Closed) -> Reasons | None:
        """Return why a closure holds the row before DISTINCT; None if it doesn't."""
        needed = self.groups if self.is_grouped else self.rows()
        if (
            self.multiplies_rows
            or needed is None
            or any(attribute not in closed for attribute in needed)
        ):
            return None
        return frozenset().union(*(closed[attribute] for attribute in needed))

    def start(self, outputs: Iterable[Output], *, marked: bool = False) -> Closed:
        """Return the attributes of output columns; `marked` with the columns as their reasons."""
        start: Closed = {}
        for output in outputs:
            if output.attribute is not None and self.is_of_group(output.attribute):
                reasons = frozenset((Use(output.name),)) if marked else frozenset[Premise | Use]()
                start.setdefault(output.attribute, reasons)
        return start

    def is_of_group(self, attribute: Attribute) -> bool:
        """Whether a value has one value in each group."""
        if not self.is_grouped:
            return True
        return attribute in self._of_groups

    @cached_property
    def _of_groups(self) -> Closed:
        """What the columns of GROUP BY determine."""
        groups = {group: frozenset[Premise | Use]() for group in self.groups or ()}
        return self.close(groups, guarded_only=True) if groups else {}

    def unique(self, guarded_only: bool) -> Premises | None:
        """Return why the SELECT list gives no duplicates even without DISTINCT; None if it may."""
        closed = self.close(self.start(self.outputs), guarded_only)
        reasons = self.rows_of(closed)
        return None if reasons is None else premises_of(reasons)


def _tells_missing(item: Item, columns: frozenset[str], guarded_only: bool) -> Premises | None:
    """Return why columns tell rows without a match from others; None if they may not."""
    if not item.nullable:
        return NO_PREMISES
    reasons = [premises for c in columns if (premises := item.relation.not_null(c)) is not None]
    allowed = [premises for premises in reasons if is_allowed(premises, guarded_only)]
    return min(allowed, key=len) if allowed else None
