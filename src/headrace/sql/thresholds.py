"""Whether a column of a query is an aggregate of as many people as another column counts.

The forms that are accepted are few, so that a count and a value are of the same rows: one SELECT
over tables, a sum, average, count or spread of a table's columns, and `count(DISTINCT …)` of a
column of the same table. A minimum, a median or a list shows single values, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from headrace.sql.parsing import InvalidSelect, parse

_SPREADS = (exp.Stddev, exp.StddevSamp, exp.StddevPop, exp.Variance, exp.VariancePop)
_OF_VALUES = (exp.Sum, exp.Avg, *_SPREADS)
"""Aggregates that a missing value isn't part of."""
_SUMS = (exp.Add, exp.Sub, exp.Neg, exp.Paren)
"""Arithmetic over values that has each of them in the result."""
_OF_AGGREGATES = (
    *_SUMS, exp.Mul, exp.Div, exp.IntDiv, exp.Cast, exp.Round, exp.Coalesce, exp.Nullif
)  # fmt: skip
_SUBTOTALS = (exp.Rollup, exp.Cube, exp.GroupingSets)
_SEVERAL = (exp.Columns, exp.Explode, exp.Unnest)
_FORM = "write count(distinct COLUMN)"


class UnsafeThreshold(Exception):
    """The column may show values of fewer people than are counted, or nobody can say."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint


def check_threshold(sql: str, column: str, people: str) -> None:
    """Raise UnsafeThreshold unless `column` aggregates values of the people that `people` counts.

    Missing values don't count: who has none isn't in a sum.
    """
    select = _select(sql)
    counted, condition = _counted(_output(select, people), people)
    if column.lower() == people.lower():
        return
    columns = list(_aggregated(_output(select, column), column))
    joined = bool(select.args.get("joins"))
    present = {*_present(select.args.get("where")), *_present(condition)}
    for item, of_values in columns:
        if joined and (not item.table or item.table.lower() != counted.table.lower()):
            raise UnsafeThreshold(
                f"`{_text(item)}` and `{_text(counted)}` may be of different tables, so the people"
                " who are counted aren't those of the values",
                "take both from one table, and write its name before each of them: t.column",
            )
        if of_values and _name(item) not in present:
            raise UnsafeThreshold(
                f"`{people[:60]}` counts people whose `{_text(item)}` is missing, too",
                f"write count(distinct {_text(counted)}) filter (where {_text(item)} is not null)",
            )


def _output(select: exp.Select, name: str) -> exp.Expr:
    """Return the expression of an output column. Its name is no other column's."""
    items: list[exp.Expr] = [
        item for item in select.expressions if item.alias_or_name.lower() == name.lower()
    ]
    if not items:
        raise UnsafeThreshold(
            f"the query has no column `{name[:60]}`", "name it with AS in the SELECT"
        )
    if len(items) > 1:
        raise UnsafeThreshold(f"several columns are named `{name[:60]}`", "rename the others")
    return items[0].unalias()


def _select(sql: str) -> exp.Select:
    """Return the query if it is one SELECT whose rows are those of tables."""
    try:
        tree = parse(sql).tree
    except InvalidSelect as error:
        raise UnsafeThreshold("the query can't be read", "headrace validate") from error
    simple = "write one SELECT from tables; what comes before it can be an asset of its own"
    if not isinstance(tree, exp.Select) or tree.args.get("with_") is not None:
        raise UnsafeThreshold("the query isn't one SELECT without WITH", simple)
    _check_names(tree)
    from_ = tree.args.get("from_")
    sources = [] if from_ is None else [from_.this]
    sources += [join.this for join in tree.args.get("joins") or ()]
    if not sources or not all(map(_is_table, sources)) or tree.args.get("laterals"):
        raise UnsafeThreshold("the query reads from more than tables", simple)
    group = tree.args.get("group")
    if group is not None and any(group.find(kind) for kind in _SUBTOTALS):
        raise UnsafeThreshold(
            "the query has subtotals, from which a group that isn't shown can be computed",
            "write an asset for each grouping, and compare what their differences tell",
        )
    return tree


def _check_names(select: exp.Select) -> None:
    """Raise UnsafeThreshold if an item of the SELECT stands for columns that it doesn't name."""
    for item in select.expressions:
        if _is_several(item):
            raise UnsafeThreshold(
                f"`{_text(item)}` may be several columns, and one of them may have the name of the"
                " count",
                "write each column of the SELECT with its name",
            )


def _is_several(item: exp.Expr) -> bool:
    """Whether an item of the SELECT stands for columns that it doesn't name."""
    if any(not isinstance(star.parent, exp.Count) for star in item.find_all(exp.Star)):
        return True
    called = (function.name.lower() for function in item.find_all(exp.Anonymous))
    return item.find(*_SEVERAL) is not None or "unnest" in called


def _is_table(node: exp.Expr) -> bool:
    return (
        isinstance(node, exp.Table)
        and isinstance(node.this, exp.Identifier)
        and not node.args.get("pivots")
        and node.name.lower() != "__self__"
    )


def _counted(node: exp.Expr, name: str) -> tuple[exp.Column, exp.Expr | None]:
    """Return the column of which the people are counted, and the condition of FILTER."""
    condition = None
    if isinstance(node, exp.Filter):
        node, condition = node.this, node.expression
    if isinstance(node, exp.Count) and isinstance(node.this, exp.Distinct):
        counted = _counted_column(node)
        if counted is not None:
            return counted, condition
    raise UnsafeThreshold(
        f"`{name[:60]}` doesn't count people: rows aren't people where somebody has several",
        f"{_FORM}, with the column that says who it is",
    )


def _aggregated(node: exp.Expr, name: str) -> Iterator[tuple[exp.Column, bool]]:
    """Yield each column that is aggregated, and whether the aggregate is of its values.

    Counts of rows, and the values of literals, are nobody's.
    """
    if isinstance(node, exp.Count) and (counted := _counted_column(node)) is not None:
        yield counted, False
    elif isinstance(node, _OF_VALUES):
        for column in _columns(node.this, name):
            yield column, True
    elif type(node) in _OF_AGGREGATES:
        for child in _children(node):
            yield from _aggregated(child, name)
    elif not _is_of_nobody(node):
        raise _not_combined(node, name)


def _is_of_nobody(node: exp.Expr) -> bool:
    rows = isinstance(node, exp.Count) and isinstance(node.this, exp.Star | None)
    return rows or isinstance(node, exp.Literal)


def _counted_column(count: exp.Count) -> exp.Column | None:
    """Return the column of `count(column)` or `count(DISTINCT column)`."""
    counted = count.this
    if isinstance(counted, exp.Distinct) and len(counted.expressions) == 1:
        (counted,) = counted.expressions
    return counted if isinstance(counted, exp.Column) else None


def _columns(node: exp.Expr, name: str) -> Iterator[exp.Column]:
    """Yield the columns of an aggregate's argument, in which each of their values counts.

    A product with another column, or a quotient, may be 0 or missing in all rows but one.
    """
    if isinstance(node, exp.Column):
        yield node
    elif type(node) in _SUMS or _is_scaled(node) or _is_number(node):
        for child in _children(node):
            yield from _columns(child, name)
    elif not isinstance(node, exp.Literal):
        raise _not_combined(node, name)


def _is_scaled(node: exp.Expr) -> bool:
    """Whether a value is multiplied, or divided, by a number that isn't 0."""
    if isinstance(node, exp.Div):
        return _is_factor(node.right)
    return isinstance(node, exp.Mul) and (_is_factor(node.left) or _is_factor(node.right))


def _is_factor(node: exp.Expr) -> bool:
    number = node.unnest()
    number = number.this if isinstance(number, exp.Neg) else number
    return isinstance(number, exp.Literal) and number.is_number and float(number.this) != 0


def _is_number(node: exp.Expr) -> bool:
    """Whether a column is cast to a number, which rounds it at most."""
    return (
        type(node) is exp.Cast
        and isinstance(node.this.unnest(), exp.Column)
        and node.is_type(*exp.DataType.NUMERIC_TYPES)
    )


def _not_combined(node: exp.Expr, name: str) -> UnsafeThreshold:
    return UnsafeThreshold(
        f"`{_text(node)}` in `{name[:60]}` may show single values",
        "use sum, avg, count, stddev or variance of columns: their sums, and products with numbers",
    )


def _children(node: exp.Expr) -> Iterator[exp.Expr]:
    return (child for child in node.iter_expressions() if not isinstance(child, exp.DataType))


def _present(condition: exp.Expr | None) -> Iterator[str]:
    """Yield the names of the columns that a condition says aren't missing in any row."""
    if isinstance(condition, exp.Where | exp.Paren):
        yield from _present(condition.this)
    elif isinstance(condition, exp.And):
        yield from _present(condition.left)
        yield from _present(condition.right)
    elif isinstance(condition, exp.Not):
        test = condition.this.unnest()
        if isinstance(test, exp.Is) and isinstance(test.expression, exp.Null):
            column = test.this.unnest()
            if isinstance(column, exp.Column):
                yield _name(column)


def _name(column: exp.Column) -> str:
    return ".".join(part.name.lower() for part in column.parts)


def _text(node: exp.Expr) -> str:
    return node.sql(dialect="duckdb")[:80]
