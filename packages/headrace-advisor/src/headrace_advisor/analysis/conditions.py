"""What the conditions of a query say about its columns: equal, constant, never NULL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlglot import exp

Attribute = tuple[int, str]
"""A column of an item of FROM by the item's number; the number -1 is for expressions."""
Resolve = Callable[[exp.Column], Attribute | None]

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.ILike)
_STRICT = (exp.Cast, exp.Paren, exp.Add, exp.Sub, exp.Mul, exp.Neg, exp.Upper, exp.Lower)
"""Expressions that are NULL if one of their operands is."""


def conjuncts(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    """Yield the parts of a condition that must all be true."""
    stack = [condition] if condition is not None else []
    while stack:
        part = stack.pop()
        if isinstance(part, exp.Paren):
            stack.append(part.this)
        elif isinstance(part, exp.And):
            stack += [part.expression, part.this]
        else:
            yield part


def not_null_columns(condition: exp.Expr, resolve: Resolve) -> set[Attribute]:
    """Return columns that aren't NULL in rows for which a condition is true."""
    if isinstance(condition, exp.Paren):
        return not_null_columns(condition.this, resolve)
    if isinstance(condition, exp.And):
        return not_null_columns(condition.this, resolve) | not_null_columns(
            condition.expression, resolve
        )
    if isinstance(condition, exp.Or):
        return not_null_columns(condition.this, resolve) & not_null_columns(
            condition.expression, resolve
        )
    if isinstance(condition, exp.Not):
        return _not_null_of_negation(condition.this, resolve)
    if isinstance(condition, exp.Column):
        return _strict_columns(condition, resolve)
    return _strict_operands(condition, resolve)


def _not_null_of_negation(inner: exp.Expr, resolve: Resolve) -> set[Attribute]:
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Is):
        is_null = isinstance(inner.expression, exp.Null)
        return _strict_columns(inner.this, resolve) if is_null else set()
    if isinstance(inner, exp.In) and inner.args.get("query") is not None:
        return set()  # NOT IN of an empty subquery is true for NULL
    if isinstance(inner, exp.Column):
        return _strict_columns(inner, resolve)
    return _strict_operands(inner, resolve)


def _strict_operands(condition: exp.Expr, resolve: Resolve) -> set[Attribute]:
    """Return columns that aren't NULL in rows for which a comparison is true or false."""
    if isinstance(condition, _COMPARISONS):
        if isinstance(condition.expression, exp.All | exp.Any):
            return set()  # true or false of an empty subquery, whatever stands before it
        return _strict_columns(condition.this, resolve) | _strict_columns(
            condition.expression, resolve
        )
    if isinstance(condition, exp.In | exp.Between):
        return _strict_columns(condition.this, resolve)
    return set()


def _strict_columns(value: exp.Expr, resolve: Resolve) -> set[Attribute]:
    if isinstance(value, exp.Column):
        attribute = resolve(value)
        return set() if attribute is None else {attribute}
    if isinstance(value, exp.TryCast) or not isinstance(value, _STRICT):
        return set()
    columns: set[Attribute] = set()
    for part in (value.this, value.args.get("expression")):
        if isinstance(part, exp.Expr):
            columns |= _strict_columns(part, resolve)
    return columns


def unparenthesised(value: exp.Expr) -> exp.Expr:
    """Return an expression without the brackets and the alias around it."""
    while isinstance(value, exp.Paren | exp.Alias):
        value = value.this
    return value
