"""The FROM items of a SELECT, and what names in it mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from headrace_advisor.analysis.advice import NO_PREMISES, Premise, Premises
from headrace_advisor.analysis.conditions import Attribute
from headrace_advisor.analysis.relations import Relation
from headrace_advisor.analysis.tables import LOOSELY_EQUAL
from headrace_advisor.analysis.value_types import type_of

EXPRESSION = -1


@dataclass
class Item:
    """One table, subquery or function in FROM."""

    number: int
    alias: str
    relation: Relation
    node: exp.Expr
    join: exp.Join | None
    nullable: bool = False
    """Whether its columns are NULL in rows without a match."""
    filters: bool = False
    """Whether it only filters rows (SEMI, ANTI), and gives none of its columns."""
    matched: frozenset[str] = frozenset()
    """Columns of a LEFT JOIN's right side that its condition sets equal to other values."""
    match_premises: Premises = NO_PREMISES
    conditions: list[exp.Expr] = field(default_factory=list)

    @property
    def side(self) -> str:
        """LEFT, RIGHT, FULL, or empty for an inner join and the first item."""
        return "" if self.join is None else str(self.join.side)

    @property
    def is_natural(self) -> bool:
        """Whether it is joined on all columns of the same name."""
        return self.join is not None and self.join.method == "NATURAL"

    def has(self, column: str) -> bool:
        """Whether a column is among those that are known."""
        return column in (self.relation.columns or ())

    @property
    def name(self) -> str:
        """The table's name, for people; the alias of a subquery."""
        return self.node.name if isinstance(self.node, exp.Table) else self.alias


@dataclass
class Output:
    """One column of a SELECT list."""

    name: str
    node: exp.Expr
    attribute: Attribute | None
    """What it holds, if it is determined by columns."""


class FromItems:
    """The items of a SELECT, and of the SELECTs around it, as names mean them."""

    def __init__(self, select: exp.Select, items: Sequence[Item], outer: FromItems | None) -> None:
        self.select = select
        self.items = list(items)
        self.outer = outer
        self.merged: dict[str, Attribute | None] = {}
        """Columns that USING merges, by name."""

    # Names

    def resolve(self, column: exp.Column) -> Attribute | None:
        """Return the item's column that a name means; None for one that can't be told."""
        if not isinstance(column.this, exp.Identifier):
            return None
        name, table = column.name.lower(), column.table.lower()
        if table:
            matching = [item for item in self.items if item.alias == table]
            return (matching[0].number, name) if len(matching) == 1 else None
        if name in self.merged:
            return self.merged[name]
        return self._unqualified(name)

    def _unqualified(self, name: str) -> Attribute | None:
        items = [item for item in self.items if not item.filters]
        listed = [item for item in items if name in (item.relation.columns or ())]
        unlisted = [item for item in items if item.relation.columns is None]
        if len(listed) == 1 and not unlisted:
            return listed[0].number, name
        if not listed and len(unlisted) == 1 and len(items) == 1:
            return unlisted[0].number, name
        return None

    def is_outer(self, column: exp.Column) -> bool:
        """Whether a name belongs to a query around this one, and not to a struct or an alias."""
        table, name = column.table.lower(), column.name.lower()
        if self.outer is None:
            return False
        if table:
            here = any(item.alias == table or item.has(table) for item in self.items)
            return not here and self.outer.has_item(table)
        known = all(item.relation.columns is not None for item in self.items)
        return known and not any(item.has(name) for item in self.items) and self.outer.has(name)

    def has_item(self, alias: str) -> bool:
        """Whether an item of this query, or of one around it, has a name."""
        if any(item.alias == alias for item in self.items):
            return True
        return self.outer is not None and self.outer.has_item(alias)

    def has(self, column: str) -> bool:
        """Whether an item of this query, or of one around it, may have a column."""
        if any(item.relation.columns is None or item.has(column) for item in self.items):
            return True
        return self.outer is not None and self.outer.has(column)

    def item(self, attribute: Attribute) -> Item:
        """Return the item that a column belongs to."""
        return self.items[attribute[0]]

    def _comparable(self, left: exp.Expr, right: exp.Expr) -> Premises | None:
        """Return the premises under which `=` holds for one value of each side only.

        `'01' = 1` is true, and so is `'1' = 1`. None if the types are known to differ, or if
        different values of one type are equal.
        """
        types = type_of(left, self.column_type), type_of(right, self.column_type)
        if LOOSELY_EQUAL.intersection(types):
            return None
        if isinstance(right, exp.Literal) and right.is_string:
            return NO_PREMISES
        if types[0] and types[1]:
            return NO_PREMISES if types[0] == types[1] else None
        if self._same_origin(left, right):
            return NO_PREMISES
        text = f"{left.sql()} and {right.sql()} have the same type"
        return frozenset((Premise(text, None),))

    def _same_origin(self, left: exp.Expr, right: exp.Expr) -> bool:
        if not (isinstance(left, exp.Column) and isinstance(right, exp.Column)):
            return False
        origins = [self._origin(column) for column in (left, right)]
        return origins[0] is not None and origins[0] == origins[1]

    def _origin(self, column: exp.Column) -> tuple[str, str] | None:
        attribute = self.resolve(column)
        if attribute is None or attribute[0] == EXPRESSION:
            return None
        return self.item(attribute).relation.origin(attribute[1])

    def column_type(self, column: exp.Column) -> str:
        """Return the family of a column's type; empty if it isn't known."""
        attribute = self.resolve(column)
        if attribute is not None and attribute[0] != EXPRESSION:
            return self.item(attribute).relation.type_of(attribute[1])
        if self.outer is not None and self.is_outer(column):
            return self.outer.column_type(column)
        return ""
