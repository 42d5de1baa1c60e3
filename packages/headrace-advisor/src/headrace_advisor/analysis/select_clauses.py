"""What the clauses of a SELECT say: conditions, columns, groups, row numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from sqlglot import exp

from headrace_advisor.analysis.advice import NO_PREMISES, Premise, Premises
from headrace_advisor.analysis.conditions import (
    Attribute,
    conjuncts,
    not_null_columns,
    unparenthesised,
)
from headrace_advisor.analysis.determinism import is_repeatable
from headrace_advisor.analysis.from_items import EXPRESSION, FromItems, Item, Output
from headrace_advisor.analysis.functions import has_aggregate, is_aggregate, multiplies_rows
from headrace_advisor.analysis.value_types import constant_text, type_of


class SelectClauses(FromItems):
    """A SELECT with what its clauses say about the columns of its items."""

    def __init__(self, select: exp.Select, items: Sequence[Item], outer: FromItems | None) -> None:
        super().__init__(select, items, outer)
        self.equal: list[tuple[Attribute, Attribute, Premises]] = []
        self.constants: dict[Attribute, Premises] = {}
        self.literals: dict[Attribute, str] = {}
        """Columns that conditions set equal to a literal of their type, as `constant_text`."""
        self.never_null: set[Attribute] = set()
        self.expressions: dict[Attribute, tuple[Attribute, ...]] = {}
        """Expressions by the columns that they are computed from."""
        self.row_numbers: list[tuple[Attribute, tuple[Attribute, ...]]] = []
        """Row numbers with the columns by which they count."""
        self.has_outer_joins = any(item.side in ("RIGHT", "FULL") for item in items)
        self._join_items()
        self._read_conditions()
        self.outputs, self.is_complete = self._list_outputs()
        self.groups = self._list_groups()
        self._read_row_numbers()

    # Joins and conditions

    def _join_items(self) -> None:
        for item in self.items:
            if item.join is not None:
                self._read_join(item, item.join)
        for item in self.items:
            if item.side == "LEFT" and not item.filters:
                self._read_matches(item)

    def _read_join(self, item: Item, join: exp.Join) -> None:
        item.filters = join.kind in ("SEMI", "ANTI")
        item.nullable = item.nullable or (item.side in ("LEFT", "FULL") and not item.filters)
        before = self.items[: item.number]
        if item.side in ("RIGHT", "FULL"):
            for other in before:
                other.nullable = True
        item.conditions = list(conjuncts(join.args.get("on")))
        for name in join.args.get("using") or []:
            self._using(name, item, before)
        if join.method == "NATURAL":
            self.merged.update(dict.fromkeys(item.relation.columns or ()))

    def _using(self, name: exp.Expr, item: Item, before: list[Item]) -> None:
        column = name.name.lower()
        left = self.merged.get(column)
        if left is None:
            holders = [other for other in before if column in (other.relation.columns or ())]
            if len(before) == 1:
                holders = before
            left = (holders[0].number, column) if len(holders) == 1 else None
        self.merged[column] = left if item.side in ("", "LEFT") else None
        if left is not None:
            condition = exp.EQ(
                this=exp.column(column, self.items[left[0]].alias),
                expression=exp.column(column, item.alias),
            )
            item.conditions.append(condition)

    def _read_matches(self, item: Item) -> None:
        """Note which columns a LEFT JOIN's condition sets equal to values of the other side."""
        pairs = [pair for condition in item.conditions for pair in _sides(condition)]
        matched: set[str] = set()
        premises: set[Premise] = set()
        for inside, other in pairs:
            attribute = self.resolve(inside) if isinstance(inside, exp.Column) else None
            mine = attribute is not None and attribute[0] == item.number
            reasons = self._comparable(inside, other) if mine else None
            if attribute is None or reasons is None or not self._is_before(other, item.number):
                continue
            matched.add(attribute[1])
            premises |= reasons
        item.matched, item.match_premises = frozenset(matched), frozenset(premises)

    def _is_before(self, value: exp.Expr, number: int) -> bool:
        if not is_repeatable(value) or value.find(exp.Query) is not None:
            return False
        attributes = [self.resolve(column) for column in value.find_all(exp.Column)]
        return all(attribute is not None and attribute[0] < number for attribute in attributes)

    def _read_conditions(  # complexipy: ignore (until nothing changes)
        self,
    ) -> None:
        where = self.select.args.get("where")
        inner = list(conjuncts(where.this if where is not None else None))
        if not self.has_outer_joins:
            for item in self.items:
                inner += [] if item.nullable or item.filters else item.conditions
        while inner:
            for condition in inner:
                self._read_condition(condition)
            inner = []
            for item in self.items:
                if self._rejects_null_rows(item):
                    item.nullable = False
                    inner += item.conditions

    def _rejects_null_rows(self, item: Item) -> bool:
        """Whether the conditions drop the rows for which a LEFT JOIN finds no match."""
        rejected = any(number == item.number for number, _ in self.never_null)
        return item.nullable and item.side == "LEFT" and rejected and not self.has_outer_joins

    def _read_condition(self, condition: exp.Expr) -> None:
        self.never_null |= not_null_columns(condition, self.resolve)
        for left, right in _sides(condition):
            attribute = self.attribute(left)
            if attribute is None:
                continue
            premises = self._comparable(left, right)
            if premises is None:
                continue
            if self._is_constant(right):
                self.constants.setdefault(attribute, premises)
                self._read_literal(attribute, left, right)
            elif (other := self.attribute(right)) is not None:
                self.equal.append((attribute, other, premises))
        if isinstance(condition, exp.Is) and isinstance(condition.expression, exp.Null):
            attribute = self.attribute(condition.this)
            if attribute is not None:
                self.constants.setdefault(attribute, NO_PREMISES)

    def _read_literal(self, attribute: Attribute, column: exp.Expr, value: exp.Expr) -> None:
        types = type_of(column, self.column_type), type_of(value, self.column_type)
        text = constant_text(value)
        if text is not None and types[0] and types[0] == types[1]:
            self.literals.setdefault(attribute, text)

    def _is_constant(self, value: exp.Expr) -> bool:
        """Whether a value is the same in all rows: a literal, a parameter, or one from outside."""
        if not is_repeatable(value) or value.find(exp.Query, exp.Window) is not None:
            return False
        if any(map(is_aggregate, value.walk())):
            return False
        return all(self.is_outer(column) for column in value.find_all(exp.Column))

    # Columns and expressions as attributes

    def attribute(self, value: exp.Expr) -> Attribute | None:
        """Return what stands for a value; None for one that columns don't determine."""
        value = unparenthesised(value)
        if isinstance(value, exp.Column):
            return self._column_attribute(value)
        if value.find(exp.Query, exp.Star) is not None or not is_repeatable(value):
            return None
        if multiplies_rows(value) or any(map(is_aggregate, value.walk())):
            return None
        attribute = EXPRESSION, value.sql(comments=False)
        if value.find(exp.Window) is not None:
            return attribute if isinstance(value, exp.Window) else None
        parts = self._all_known(value.find_all(exp.Column))
        if parts is None:
            return None
        self.expressions.setdefault(attribute, tuple(parts))
        return attribute

    def _column_attribute(self, column: exp.Column) -> Attribute:
        attribute = self.resolve(column)
        if attribute is None and self.is_outer(column):
            return self._constant_attribute(column)
        # whichever item it belongs to, the same name means the same column
        return attribute or (EXPRESSION, f"column {column.sql().lower()}")

    def _constant_attribute(self, column: exp.Column) -> Attribute:
        attribute = EXPRESSION, f"outer {column.sql()}"
        self.constants.setdefault(attribute, NO_PREMISES)
        return attribute

    def _list_outputs(self) -> tuple[list[Output], bool]:
        outputs: list[Output] = []
        complete = True
        for node in self.select.expressions:
            inner = unparenthesised(node)
            star = inner.this if isinstance(inner, exp.Column) else inner
            if inner.find(exp.Columns) is not None:
                complete = False
            elif isinstance(star, exp.Star):
                listed = self._star(inner, star, node)
                complete = complete and listed is not None
                outputs += listed or []
            else:
                name = node.alias_or_name.lower()
                outputs.append(Output(name, node, self.attribute(node)))
        return outputs, complete and bool(outputs)

    def _star(  # complexipy: ignore (conditions in order)
        self, inner: exp.Expr, star: exp.Star, node: exp.Expr
    ) -> list[Output] | None:
        """Return the columns that a star stands for; None if they aren't known."""
        table = inner.table.lower() if isinstance(inner, exp.Column) else ""
        items = [item for item in self.items if not item.filters and table in ("", item.alias)]
        unknown = any(item.relation.columns is None or item.is_natural for item in items)
        changed = any(key != "except_" and value for key, value in star.args.items())
        if unknown or changed or not items:
            return None
        gone = {column.name.lower() for column in star.args.get("except_") or []}
        return [
            Output(column, node, (item.number, column))
            for item in items
            for column in item.relation.columns or ()
            if column not in gone and (table or not _is_merged_away(item, column))
        ]

    @cached_property
    def _aliases(self) -> Mapping[str, exp.Expr]:
        return {
            node.alias.lower(): node.this
            for node in self.select.expressions
            if isinstance(node, exp.Alias) and node.alias
        }

    # Groups

    @cached_property
    def multiplies_rows(self) -> bool:
        """Whether a function of the SELECT list gives several rows for one."""
        return any(map(multiplies_rows, self.select.expressions))

    @cached_property
    def is_grouped(self) -> bool:
        """Whether the rows are groups, not combinations of the items' rows."""
        if self.select.args.get("group") or self.select.args.get("having"):
            return True
        return any(has_aggregate(node) for node in self.select.expressions)

    def _list_groups(self) -> list[Attribute] | None:
        """Return the columns of GROUP BY; None if there is none or rows aren't told by them."""
        if not self.is_grouped:
            return None
        group = self.select.args.get("group")
        if group is None:
            return []
        if _has_grouping_sets(group):
            return None
        if not group.args.get("all"):
            return self._all_known(self._grouped_value(value) for value in group.expressions)
        values = [o.node for o in self.outputs if not has_aggregate(o.node)]
        return self._all_known(values) if self.is_complete else None

    def _all_known(self, values: Iterable[exp.Expr | None]) -> list[Attribute] | None:
        attributes = [None if value is None else self.attribute(value) for value in values]
        known = [attribute for attribute in attributes if attribute is not None]
        return known if len(known) == len(attributes) else None

    def _grouped_value(self, value: exp.Expr) -> exp.Expr | None:
        """Return what GROUP BY means by a number or a name; None where that isn't certain."""
        if isinstance(value, exp.Literal) and not value.is_string:
            return self._numbered_value(value.name)
        meant = None
        if isinstance(value, exp.Column) and not value.table:
            meant = self._aliases.get(value.name.lower())
        if meant is None or unparenthesised(meant) == value:
            return value
        name = value.name.lower()
        if any(name in (item.relation.columns or ()) for item in self.items):
            return None  # databases differ in whether they take the column or the alias
        columns = {column.name.lower() for column in meant.find_all(exp.Column)}
        return None if name in columns else meant

    def _numbered_value(self, text: str) -> exp.Expr | None:
        number = int(text) if text.isdigit() else 0
        before = self.select.expressions[:number]
        if not 0 < number <= len(self.select.expressions) or _has_star(before):
            return None
        return unparenthesised(before[-1])

    def _read_row_numbers(self) -> None:
        """`row_number() over (partition by p …)`: p and the number tell rows apart."""
        values = [unparenthesised(node) for node in self.select.expressions]
        for window in self._qualified_windows():
            values.append(window)
            if (attribute := self.attribute(window)) is not None:
                self.constants.setdefault(attribute, NO_PREMISES)
        for value in values:
            if isinstance(value, exp.Window) and isinstance(value.this, exp.RowNumber):
                self._read_row_number(value)

    def _read_row_number(self, window: exp.Window) -> None:
        attribute = self.attribute(window)
        parts = self._all_known(window.args.get("partition_by") or [])
        if attribute is not None and parts is not None and not window.args.get("alias"):
            self.row_numbers.append((attribute, tuple(parts)))

    def _qualified_windows(self) -> Iterator[exp.Window]:
        """Yield the windows that QUALIFY sets equal to a literal."""
        qualify = self.select.args.get("qualify")
        aliases = self._aliases
        for condition in conjuncts(qualify.this if qualify is not None else None):
            for value, right in _sides(condition):
                meant = value
                if isinstance(value, exp.Column) and not value.table:
                    meant = unparenthesised(aliases.get(value.name.lower(), value))
                if isinstance(meant, exp.Window) and isinstance(right, exp.Literal):
                    yield meant


def _sides(condition: exp.Expr) -> Iterator[tuple[exp.Expr, exp.Expr]]:
    """Yield the sides of an equality, in both orders."""
    if isinstance(condition, exp.EQ):
        left, right = unparenthesised(condition.this), unparenthesised(condition.expression)
        yield left, right
        yield right, left


def _is_merged_away(item: Item, column: str) -> bool:
    using = item.join.args.get("using") if item.join is not None else None
    return any(name.name.lower() == column for name in using or [])


def _has_grouping_sets(group: exp.Expr) -> bool:
    extended = ("grouping_sets", "cube", "rollup", "totals")
    kinds = (exp.Rollup, exp.Cube, exp.GroupingSets)
    return any(group.args.get(key) for key in extended) or any(
        isinstance(part, kinds) for part in group.expressions
    )


def _has_star(nodes: Iterable[exp.Expr]) -> bool:
    return any(node.find(exp.Star) is not None and not node.find(exp.Count) for node in nodes)
