"""What a name means in a scope: a column, a field of a struct, an alias, a whole row; or a problem that says what is near."""

from __future__ import annotations

import difflib

from sqlglot import exp

from headrace.sql.binding import (
    CONSTANT,
    EXPRESSION,
    NOTHING,
    OPAQUE,
    BindingContext,
    BoundExpression,
    FromItem,
    NameScope,
    Output,
    raised,
    union,
)
from headrace.sql.types import struct_fields
from headrace.sql.values import UNKNOWN

_CONSTANT_NAMES = {"current_user", "current_role", "session_user", "user", "current_schema", "current_catalog", "current_database"}
"""DuckDB calls these without brackets; all are text."""


def bind_column(context: BindingContext, scope: NameScope, node: exp.Column) -> BoundExpression:
    """The column, struct field or row that a name stands for. An unknown name is a problem and counts as a constant."""
    parts = [part.name for part in node.parts]
    at: NameScope | None = scope
    while at is not None:
        expression = _in_scope(context, at, node, parts)
        if expression is not None:
            return expression
        at = at.parent
    if len(parts) == 1 and parts[0].lower() in _CONSTANT_NAMES:
        return BoundExpression("VARCHAR", NOTHING)
    _say_unknown(context, scope, node, parts)
    return CONSTANT


def _in_scope(context: BindingContext, scope: NameScope, node: exp.Column, parts: list[str]) -> BoundExpression | None:
    first = parts[0].lower()
    if len(parts) > 1:
        source = next((source for source in scope.sources if source.alias == first), None)
        if source is not None:
            return _qualified(context, source, node, parts[1:])
    expression = _unqualified(context, scope, node, first)
    if expression is None:
        return None
    return _field_of(expression, parts[1:])


def _qualified(context: BindingContext, source: FromItem, node: exp.Column, rest: list[str]) -> BoundExpression:
    name = rest[0].lower()
    column = source.relation.get(name) or source.relation.unlisted(name)
    if column is None:
        _say_no_column(context, node, rest[0], [source])
        return CONSTANT
    return _field_of(BoundExpression(column.type, column.edges), rest[1:])


def _unqualified(context: BindingContext, scope: NameScope, node: exp.Column, name: str) -> BoundExpression | None:
    local = scope.locals.get(name) or scope.using.get(name)
    if local is not None:
        return local
    listed = _listed(scope, name)
    if len(listed) > 1:
        _say_ambiguous(context, node, name, listed)
    if listed:
        return BoundExpression(listed[0][1].type, listed[0][1].edges)
    alias = scope.aliases.get(name)
    if alias is not None:
        return alias
    return _unlisted(scope, name) or _row(scope, name)


def _listed(scope: NameScope, name: str) -> list[tuple[FromItem, Output]]:
    results = []
    for source in scope.sources:
        column = None if name in source.merged else source.relation.get(name)
        if column is not None:
            results.append((source, column))
    return results


def _unlisted(scope: NameScope, name: str) -> BoundExpression | None:
    """A column of one of the sources whose columns aren't known; of which, can't be told where there are several."""
    possible = [column for source in scope.sources if (column := source.relation.unlisted(name)) is not None]
    if not possible:
        return None
    if len(possible) == 1:
        return BoundExpression(possible[0].type, possible[0].edges)
    return BoundExpression(UNKNOWN, union([column.edges for column in possible], OPAQUE))


def _row(scope: NameScope, name: str) -> BoundExpression | None:
    """A table's name used as a value: all its columns as a struct."""
    for source in scope.sources:
        if source.alias == name:
            return BoundExpression(UNKNOWN, raised(source.relation.everything(), EXPRESSION))
    return None


def _field_of(value: BoundExpression, path: list[str]) -> BoundExpression:
    for name in path:
        fields = struct_fields(value.type) or []
        type_ = next((type_ for field, type_ in fields if field.lower() == name.lower()), UNKNOWN)
        value = BoundExpression(type_, raised(value.edges, EXPRESSION))
    return value


def _say_unknown(context: BindingContext, scope: NameScope, node: exp.Column, parts: list[str]) -> None:
    if len(parts) > 1:
        aliases = [source.alias for source in scope.sources]
        hint = near(parts[0].lower(), aliases) or _tables_hint(aliases)
        context.say("unknown_column", f"`{'.'.join(parts)}`: nothing in FROM is called `{parts[0]}`", node, hint)
    else:
        _say_no_column(context, node, parts[0], scope.sources, [*scope.aliases, *scope.using])


def _say_no_column(context: BindingContext, node: exp.Column, name: str, sources: list[FromItem], more: list[str] | None = None) -> None:
    columns = [column.name for source in sources for column in source.relation.columns if column.name]
    where = ", ".join(source.alias for source in sources[:4]) or "nothing: there is no FROM"
    suggestion = near(name, [*columns, *(more or [])])
    some = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
    context.say(
        "unknown_column", f"unknown column `{name}` (looked in {where})", node, suggestion or (f"there are: {some}" if some else "")
    )


def _say_ambiguous(context: BindingContext, node: exp.Column, name: str, results: list[tuple[FromItem, Output]]) -> None:
    choices = " or ".join(f"`{source.alias}.{name}`" for source, _ in results[:3])
    context.say("ambiguous_column", f"`{name}` is in several tables", node, f"write {choices}")


def _tables_hint(aliases: list[str]) -> str:
    return f"there are: {', '.join(aliases[:8])}" if aliases else ""


def near(name: str, known: list[str]) -> str:
    """`did you mean …?` where something known is close, else nothing."""
    lowered = {candidate.lower(): candidate for candidate in known}
    results = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return f"did you mean `{lowered[results[0]]}`?" if results else ""
