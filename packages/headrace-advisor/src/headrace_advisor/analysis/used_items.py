"""Whether a SELECT names the columns of one of its FROM items. Pure."""

from __future__ import annotations

from sqlglot import exp

from headrace_advisor.analysis.from_items import Item
from headrace_advisor.analysis.selects import SelectScope


def has_open_star(scope: SelectScope) -> bool:
    """Whether `*` stands for columns of all items, or names can't be told."""
    for node in scope.select.expressions:
        inner = node.this if isinstance(node, exp.Column) else node
        if isinstance(inner, exp.Star) and not (isinstance(node, exp.Column) and node.table):
            return True
        if node.find(exp.Columns) is not None:
            return True
    unclear = (
        item.join is not None and (item.join.method == "NATURAL" or item.join.args.get("using"))
        for item in scope.items
    )
    return any(unclear)


def is_used(select: exp.Select, scope: SelectScope, item: Item) -> bool:
    """Whether anything but the item's own condition names it, or may do so."""
    if item.alias.startswith("#") or any(map(item.node.args.get, ("joins", "laterals", "pivots"))):
        return True  # by names that aren't known
    for column in select.find_all(exp.Column):
        if item.join is not None and _is_below(column, item.join):
            continue
        if column.table.lower() == item.alias:
            return True
        if not column.table and not _is_elsewhere(column, scope, item):
            return True
    return any(
        table.name.lower() == item.alias and table is not item.node
        for table in select.find_all(exp.Table)
        if table.parent_select is not select
    ) or any(c.name.lower() == item.alias and not c.table for c in select.find_all(exp.Column))


def _is_elsewhere(column: exp.Column, scope: SelectScope, item: Item) -> bool:
    """Whether an unqualified name certainly isn't a column of an item."""
    name = column.name.lower()
    if item.relation.columns is not None:
        return name not in item.relation.columns
    attribute = scope.resolve(column) if column.parent_select is scope.select else None
    return attribute is not None and attribute[0] != item.number


def _is_below(node: exp.Expr, ancestor: exp.Expr) -> bool:
    parent: exp.Expr | None = node
    while parent is not None and parent is not ancestor:
        parent = parent.parent
    return parent is ancestor
