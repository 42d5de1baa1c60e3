"""The SELECT list: stars expanded, aliases put in sight of what follows, names that DuckDB would make up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from sqlglot import exp

from headrace.sql.binding import NOTHING, OPAQUE, BindingContext, BoundExpression, FromItem, NameScope, Output, Relation, union
from headrace.sql.expressions import bind
from headrace.sql.names import near
from headrace.sql.types import struct_fields
from headrace.sql.values import UNKNOWN

_SIMPLE_PATTERN = re.compile(r"[\w .|^$*+?\[\]-]{1,100}")
_REPEATS_MAX = 3


class Projection(NamedTuple):
    """One output column. With `unlisted` it stands for columns that can't be listed: those of the inputs in `rest`
    (after the columns in `listed`), or whatever `bound.edges` reach."""

    name: str | None
    bound: BoundExpression
    node: exp.Expr | None
    source: int | None = None
    unlisted: bool = False
    rest: tuple[str, ...] = ()
    listed: tuple[Output, ...] = ()


def project(context: BindingContext, scope: NameScope, select: exp.Expr) -> list[Projection]:
    """The output columns of a SELECT in order."""
    projections: list[Projection] = []
    for item in select.expressions:
        if isinstance(item, exp.Star):
            projections += _star(context, scope, item, None)
        elif isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
            projections += _qualified_star(context, scope, item)
        elif isinstance(item, exp.Columns):
            projections += _columns(context, scope, item)
        elif isinstance(item, exp.Explode) or (isinstance(item, exp.Alias) and isinstance(item.this, exp.Explode)):
            projections.append(_unnest(context, scope, item))
        else:
            projections.append(_expression(context, scope, item))
    return projections


def _expression(context: BindingContext, scope: NameScope, item: exp.Expr) -> Projection:
    bound = bind(context, scope, item)
    if isinstance(item, exp.Alias):
        scope.aliases.setdefault(item.alias.lower(), bound)
        return Projection(item.alias, bound, item.this)
    if item.find(exp.Columns) is not None:
        return Projection(None, bound, item, unlisted=True)
    return Projection(made_up_name(scope, item), bound, item)


def _unnest(context: BindingContext, scope: NameScope, item: exp.Expr) -> Projection:
    """A list gives one column, a struct one a field: which, must be known."""
    bound = bind(context, scope, item)
    inner = item.this if isinstance(item, exp.Alias) else item
    kind = bind(context, scope, inner.this).type
    if not kind.endswith("[]") or kind.startswith("STRUCT") or inner.args.get("expressions"):
        return Projection(None, bound, item, unlisted=True)
    return Projection(item.alias if isinstance(item, exp.Alias) else None, bound, inner)


def made_up_name(scope: NameScope, node: exp.Expr) -> str | None:
    """The name that DuckDB gives a column without alias, where that is simple; else None."""
    if isinstance(node, exp.Paren):
        return made_up_name(scope, node.this)
    if isinstance(node, exp.Column):
        return _spelled(scope, node)
    if isinstance(node, exp.Count) and (node.this is None or isinstance(node.this, exp.Star)):
        return "count_star()"
    return None


def _spelled(scope: NameScope, node: exp.Column) -> str:
    """A column keeps the spelling of where it comes from."""
    name = node.name
    for source in scope.sources:
        if node.args.get("table") is None or node.table.lower() == source.alias:
            column = source.relation.get(name.lower())
            if column is not None and column.name is not None:
                return column.name
    return name


def _names(items: Iterable[exp.Expr] | None) -> dict[str, exp.Expr]:
    return {item.name.lower(): item for item in items or []}


def _qualified_star(context: BindingContext, scope: NameScope, item: exp.Column) -> list[Projection]:
    alias = item.table.lower()
    at = next((at for at, source in enumerate(scope.sources) if source.alias == alias), None)
    if at is not None and item.args.get("db") is None:
        return _star(context, scope, item.this, at)
    struct = exp.Column(this=item.args["table"].copy(), table=item.args["db"].copy() if item.args.get("db") else None)
    bound = bind(context, scope, struct)
    fields = struct_fields(bound.type)
    if fields is None:
        return [Projection(None, bound, item, unlisted=True)]
    return [Projection(name, BoundExpression(type_, union([bound.edges], 2)), item) for name, type_ in fields]


def _star(context: BindingContext, scope: NameScope, star: exp.Expr, only: int | None) -> list[Projection]:
    """`*` or `t.*` with EXCLUDE, REPLACE and RENAME."""
    excluded, replaced, renamed = _names(star.args.get("except_")), _names_of_aliases(star, "replace"), _renamed(star)
    if not scope.sources:
        context.say("unknown_column", "`*` without FROM", star)
        return []
    projections: list[Projection] = []
    for at, source in enumerate(scope.sources):
        if only is None or only == at:
            projections += _of_source(scope, at, source, only is None)
    _say_missing(context, star, projections, [*excluded, *replaced])
    result = []
    for item in projections:
        key = (item.name or "").lower()
        if item.unlisted:
            unchanged = not (replaced or renamed or excluded)
            result.append(item if unchanged else item._replace(rest=(), listed=()))
        elif key in replaced:
            expression = replaced[key].this
            result.append(Projection(item.name, bind(context, scope, expression), expression))
        elif key not in excluded:
            result.append(item._replace(name=renamed[key].alias) if key in renamed else item)
    return result


def _names_of_aliases(star: exp.Expr, key: str) -> dict[str, exp.Expr]:
    return {item.alias.lower(): item for item in star.args.get(key) or [] if isinstance(item, exp.Alias)}


def _renamed(star: exp.Expr) -> dict[str, exp.Expr]:
    return {item.this.name.lower(): item for item in star.args.get("rename") or [] if isinstance(item, exp.Alias)}


def _of_source(scope: NameScope, at: int, source: FromItem, all_of_them: bool) -> list[Projection]:
    relation: Relation = source.relation
    projections = []
    for column in relation.columns:
        name = (column.name or "").lower()
        if all_of_them and name in source.merged:
            continue
        bound = scope.using.get(name) if all_of_them else None
        projections.append(Projection(column.name, bound or BoundExpression(column.type, column.edges), None, at))
    if not relation.complete:
        listed = tuple(relation.columns) if len(scope.sources) == 1 else ()
        rest = relation.rest if len(scope.sources) == 1 and relation.opaque is None else ()
        whole = Projection(None, BoundExpression(UNKNOWN, union([relation.everything()], OPAQUE)), None, at, True, rest, listed)
        return [whole] if rest else [*projections, whole]
    return projections


def _say_missing(context: BindingContext, star: exp.Expr, projections: list[Projection], wanted: list[str]) -> None:
    if any(item.unlisted for item in projections):
        return
    names = [item.name for item in projections if item.name]
    known = {name.lower() for name in names}
    for name in wanted:
        if name not in known:
            context.say("unknown_column", f"`*` has no column `{name}` to leave out or replace", star, near(name, names))


def _columns(context: BindingContext, scope: NameScope, item: exp.Expr) -> list[Projection]:
    """`COLUMNS(*)` and `COLUMNS('pattern')`; anything else isn't followed."""
    what = item.this
    if isinstance(what, exp.Star):
        return _star(context, scope, what, None)
    everything = [projection for at, source in enumerate(scope.sources) for projection in _of_source(scope, at, source, True)]
    pattern = str(what.this) if isinstance(what, exp.Literal) and what.is_string else ""
    simple = _SIMPLE_PATTERN.fullmatch(pattern) and sum(pattern.count(sign) for sign in "*+?") <= _REPEATS_MAX
    if simple and all(not projection.unlisted and projection.name for projection in everything):
        try:
            return [projection for projection in everything if re.search(pattern, projection.name or "")]
        except re.error:
            pass
    return [
        Projection(
            None,
            BoundExpression(UNKNOWN, union([projection.bound.edges for projection in everything], OPAQUE) or NOTHING),
            item,
            unlisted=True,
        )
    ]
