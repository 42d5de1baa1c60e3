"""One SELECT: its FROM items, the dependencies between their columns, and what it gives out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sqlglot import exp

from headrace.advisor.advice import NO_PREMISES, Premise, Premises
from headrace.advisor.conditions import (
    Attribute,
    conjuncts,
    not_null_columns,
    unparenthesised,
)
from headrace.advisor.determinism import is_repeatable
from headrace.advisor.functions import has_aggregate, is_aggregate, multiplies_rows
from headrace.advisor.relations import (
    Reasons,
    Relation,
    Use,
    is_allowed,
    premises_of,
)
from headrace.advisor.tables import LOOSELY_EQUAL
from headrace.advisor.value_types import constant_text, type_of

EXPRESSION = -1
ROW = "#"
"""The attribute that stands for the row of an item."""
Closed = dict[Attribute, Reasons]


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


class SelectScope:
    """A SELECT with what its clauses say about the columns of its items."""

    def __init__(
        self, select: exp.Select, items: Sequence[Item], outer: SelectScope | None
    ) -> None:
        self.select = select
        self.items = list(items)
        self.outer = outer
        self.merged: dict[str, Attribute | None] = {}
        """Columns that USING merges, by name."""
        self.equal: list[tuple[Attribute, Attribute, Premises]] = []
        self.constants: dict[Attribute, Premises] = {}
        self.literals: dict[Attribute, str] = {}
        """Columns that conditions set equal to a literal of their type, as `constant_text`."""
        self.never_null: set[Attribute] = set()
        self._expressions: dict[Attribute, tuple[Attribute, ...]] = {}
        self._row_numbers: list[tuple[Attribute, tuple[Attribute, ...]]] = []
        self._has_outer_joins = any(item.side in ("RIGHT", "FULL") for item in items)
        self._join_items()
        self._read_conditions()
        self.outputs, self.is_complete = self._list_outputs()
        self.groups = self._list_groups()
        self._read_row_numbers()
        self._closures: dict[tuple[object, ...], Closed] = {}

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

    def _read_conditions(  # complexipy: ignore (until nothing changes)
        self,
    ) -> None:
        where = self.select.args.get("where")
        inner = list(conjuncts(where.this if where is not None else None))
        if not self._has_outer_joins:
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
        return item.nullable and item.side == "LEFT" and rejected and not self._has_outer_joins

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
        self._expressions.setdefault(attribute, tuple(parts))
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
            self._row_numbers.append((attribute, tuple(parts)))

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
        for attribute, parts in self._expressions.items():
            if attribute not in closed and all(self._is_same(part, closed) for part in parts):
                closed[attribute] = frozenset().union(*(closed[part] for part in parts))
        if self.is_grouped:
            return
        for attribute, parts in self._row_numbers:
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


def _sides(condition: exp.Expr) -> Iterator[tuple[exp.Expr, exp.Expr]]:
    """Yield the sides of an equality, in both orders."""
    if isinstance(condition, exp.EQ):
        left, right = unparenthesised(condition.this), unparenthesised(condition.expression)
        yield left, right
        yield right, left


def _tells_missing(item: Item, columns: frozenset[str], guarded_only: bool) -> Premises | None:
    """Return why columns tell rows without a match from others; None if they may not."""
    if not item.nullable:
        return NO_PREMISES
    reasons = [premises for c in columns if (premises := item.relation.not_null(c)) is not None]
    allowed = [premises for premises in reasons if is_allowed(premises, guarded_only)]
    return min(allowed, key=len) if allowed else None


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
