"""Type and lineage of expressions, by the kind of syntax node.

Other kinds combine the lineage of their parts, with type `UNKNOWN`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from sqlglot import exp

from headrace.sql.scopes import (
    AGGREGATE,
    CAST,
    CONSTANT,
    EXPRESSION,
    FILTER,
    IDENTITY,
    NO_EDGES,
    OPAQUE,
    WINDOW,
    WINDOW_KEY,
    BindingContext,
    BoundExpression,
    Edges,
    FromItem,
    NameScope,
    Output,
    bind_column,
    merge,
    raised,
    union,
)
from headrace.sql.types import (
    AGGREGATES,
    NULL,
    RETURN_TYPES,
    STRING_LITERAL,
    TIMESTAMPTZ,
    arithmetic,
    element,
    function_name,
    of_datatype,
    return_type,
    settled,
    struct_fields,
    unify,
)
from headrace.sql.values import UNKNOWN

_Handler = Callable[[BindingContext, NameScope, exp.Expr], BoundExpression]
PLACE_DIGITS = 6
"""Longer numbers can't be the place of a column."""
_LEAVES = (exp.Identifier, exp.Var, exp.DataType, exp.JSONPath)
_UNIT_OF_A_COLUMN = re.compile(r"\bdate_?trunc\s*\(\s*[^\s']", re.IGNORECASE)


def bind(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    """Return the type and the lineage of an expression."""
    handler = _HANDLERS.get(type(node))
    if handler is not None:
        return handler(context, scope, node)
    if isinstance(node, exp.Query):
        return _scalar(context, scope, node)
    if isinstance(node, exp.Func):
        return _function(context, scope, node)
    if isinstance(node, exp.Predicate):
        return BoundExpression("BOOLEAN", _edges(context, scope, node, EXPRESSION))
    if isinstance(node, _LEAVES):
        return CONSTANT
    return BoundExpression(UNKNOWN, _edges(context, scope, node, EXPRESSION))


def unattributed(context: BindingContext, scope: NameScope, node: exp.Expr) -> Edges:
    """Bind each column and query below `node` that no rule has bound, and return their edges.

    What a rule forgets is used nevertheless: somebody wrote it for a reason.
    """
    edges: list[Edges] = []
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, exp.Star):
            continue  # `exclude` and `rename` pass no values on
        if not isinstance(part, exp.Column | exp.Query):
            stack.extend(part.iter_expressions())
        elif id(part) not in context.bound and not isinstance(part.parent, exp.Pivot):
            quiet, context.quiet = context.quiet, True
            edges.append(bind(context, scope, part).edges)
            context.quiet = quiet
    return union(edges, EXPRESSION)


def _parts(context: BindingContext, scope: NameScope, node: exp.Expr) -> Iterator[BoundExpression]:
    for child in node.iter_expressions():
        if not isinstance(child, _LEAVES):
            yield bind(context, scope, child)


def _edges(context: BindingContext, scope: NameScope, node: exp.Expr, rank: int) -> Edges:
    return union([part.edges for part in _parts(context, scope, node)], rank)


def _column(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    assert isinstance(node, exp.Column)
    if isinstance(node.args["this"], exp.Star):
        context.bound.add(id(node))
        return _whole_rows(context, [s for s in scope.sources if s.alias == node.table.lower()])
    return bind_column(context, scope, node)


def _star(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    """Bind `*` inside an expression."""
    return CONSTANT if isinstance(node.parent, exp.Count) else _whole_rows(context, scope.sources)


def _whole_rows(
    context: BindingContext, sources: list[FromItem], kind: int = EXPRESSION
) -> BoundExpression:
    edges = union([source.relation.everything() for source in sources], kind)
    context.mentions.update(edges)
    return BoundExpression(UNKNOWN, edges)


def _inner(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    return bind(context, scope, node.this)


def _literal(context: BindingContext, _scope: NameScope, node: exp.Expr) -> BoundExpression:
    assert isinstance(node, exp.Literal)
    if node.is_string:
        return BoundExpression(STRING_LITERAL, NO_EDGES)
    text = str(node.this).replace("_", "")
    if text.isdigit() and len(text) <= 40:
        return BoundExpression(f"#{int(text)}", NO_EDGES)
    whole, point, fraction = text.partition(".")
    if whole == "0" and context.bare_point:
        return CONSTANT  # sqlglot parses `.5` as `0.5`, which has one digit more
    if point and (whole + fraction).isdigit() and len(whole + fraction) <= 38:
        return BoundExpression(f"DECIMAL({len(whole) + len(fraction)},{len(fraction)})", NO_EDGES)
    return BoundExpression("DOUBLE" if "e" in text.lower() else UNKNOWN, NO_EDGES)


def _typed(type_: str) -> _Handler:
    """Return a handler for nodes of one type without relevant parts."""
    value = BoundExpression(type_, NO_EDGES)
    return lambda _context, _scope, _node: value


def _of_parts(type_: str) -> _Handler:
    """Return a handler for nodes of one type, whatever the types of their parts."""
    return lambda context, scope, node: BoundExpression(
        type_, _edges(context, scope, node, EXPRESSION)
    )


def _placeholder(context: BindingContext, _scope: NameScope, node: exp.Expr) -> BoundExpression:
    return BoundExpression(context.parameters.get(str(node.name).lower(), UNKNOWN), NO_EDGES)


def _cast(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    value = bind(context, scope, node.this)
    target = of_datatype(node.args.get("to"))
    if isinstance(_innermost(node), exp.Null) and not isinstance(
        node.parent, exp.Select | exp.Alias
    ):
        target = UNKNOWN  # DuckDB folds expressions computed from NULL, whatever their type
    if type(node.this) is exp.Cast and isinstance(_innermost(node), exp.Literal):
        # sqlglot gives `date '2020-01-01'::varchar` the tree of `cast('2020-01-01'::varchar as
        # date)`
        target = UNKNOWN
    return BoundExpression(
        target, value.edges if value.type == target != UNKNOWN else raised(value.edges, CAST)
    )


def _innermost(node: exp.Expr) -> exp.Expr:
    """Return the expression inside any number of casts."""
    while isinstance(node, exp.Cast | exp.TryCast):
        node = node.this
    return node


def _binary(operator: str | None) -> _Handler:
    """Return a handler for arithmetic, or (without an operator) for a condition.

    Long chains nest to the left and are walked without recursion.
    """

    def handle(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
        kind = type(node)
        rights: list[exp.Expr] = []
        while type(node) is kind:
            rights.append(node.args["expression"])
            node = node.this
        value = bind(context, scope, node)
        type_, edges = value.type, [value.edges]
        for right in reversed(rights):
            part = bind(context, scope, right)
            type_ = "BOOLEAN" if operator is None else arithmetic(operator, type_, part.type)
            edges.append(part.edges)
        return BoundExpression(type_, union(edges, EXPRESSION))

    return handle


def _concatenation(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    operands: list[exp.Expr] = []
    while type(node) is exp.DPipe:
        operands.append(node.args["expression"])
        node = node.this
    parts = [bind(context, scope, operand) for operand in [node, *reversed(operands)]]
    if any(part.type == NULL for part in parts):
        return BoundExpression(UNKNOWN, union([part.edges for part in parts], EXPRESSION))
    text = any(settled(part.type) == "VARCHAR" for part in parts) and not any(
        part.type.endswith("[]") or part.type in (UNKNOWN, "BLOB") for part in parts
    )
    return BoundExpression(
        "VARCHAR" if text else UNKNOWN, union([part.edges for part in parts], EXPRESSION)
    )


def _negative(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    value = bind(context, scope, node.this)
    if value.type in (NULL, STRING_LITERAL, "VARCHAR"):
        return BoundExpression(UNKNOWN, raised(value.edges, EXPRESSION))
    literal = value.type[:1] == "#" and value.type[1:2] != "-"
    return BoundExpression(
        f"#-{value.type[1:]}" if literal else settled(value.type), raised(value.edges, EXPRESSION)
    )


def _case(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    edges: list[Edges] = []
    if node.args.get("this") is not None:
        edges.append(bind(context, scope, node.this).edges)
    type_ = NULL
    for branch in node.args["ifs"]:
        edges.append(bind(context, scope, branch.this).edges)
        value = bind(context, scope, branch.args["true"])
        type_ = unify(type_, value.type)
        edges.append(value.edges)
    default = node.args.get("default")
    if default is not None:
        value = bind(context, scope, default)
        type_ = unify(type_, value.type)
        edges.append(value.edges)
    return BoundExpression(type_, union(edges, EXPRESSION))


def _if(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    condition = bind(context, scope, node.this)
    yes = bind(context, scope, node.args["true"])
    otherwise = node.args.get("false")
    no = (
        bind(context, scope, otherwise)
        if otherwise is not None
        else BoundExpression(NULL, NO_EDGES)
    )
    type_ = unify(yes.type, no.type)
    return BoundExpression(
        settled(type_) if NULL in (yes.type, no.type) else type_,
        union([condition.edges, yes.edges, no.edges], EXPRESSION),
    )


def _unified(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    """Bind COALESCE, GREATEST or LEAST."""
    parts = list(_parts(context, scope, node))
    types = [part.type for part in parts]
    if NULL in types:  # then literals have their own type and don't adopt that of other operands
        types = [settled(type_) if type_ != NULL else NULL for type_ in types]
    type_ = types[0] if types else UNKNOWN
    for other in types[1:]:
        type_ = unify(type_, other)
    return BoundExpression(type_, union([part.edges for part in parts], EXPRESSION))


def _nullif(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    parts = list(_parts(context, scope, node))
    return BoundExpression(
        settled(parts[0].type), union([part.edges for part in parts], EXPRESSION)
    )


def _function(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    assert isinstance(node, exp.Func)
    name = function_name(node, context.sql)
    if name in ("date_part", "datepart"):
        return _part_of_date(context, scope, node)
    parts = list(_parts(context, scope, node))
    aggregate = isinstance(node, exp.AggFunc) or name in AGGREGATES
    edges = union([part.edges for part in parts], AGGREGATE if aggregate else EXPRESSION)
    return BoundExpression(return_type(name, [part.type for part in parts]), edges)


def _part_of_date(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    """Bind `date_part('year', x)`: one part gives a number, a list of parts a struct."""
    parts = [child for child in node.iter_expressions() if not isinstance(child, _LEAVES)]
    edges = union([bind(context, scope, part).edges for part in parts], EXPRESSION)
    names = [part for part in parts if isinstance(part, exp.Literal) and part.is_string]
    if len(names) != 1:
        return BoundExpression(UNKNOWN, edges)
    return BoundExpression(
        "DOUBLE" if names[0].name.lower() in ("epoch", "julian") else "BIGINT", edges
    )


def _parsed_time(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    """Bind `strptime(x, format)`: a format with a zone gives another type."""
    value = bind(context, scope, node.this)
    format_ = node.args.get("format")
    plain = isinstance(format_, exp.Literal) and "%z" not in format_.name.lower()
    return BoundExpression("TIMESTAMP" if plain else UNKNOWN, raised(value.edges, EXPRESSION))


def _json_text(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    """Bind `x ->> '$.a'`: one path gives text, a list of paths a list."""
    edges = _edges(context, scope, node, EXPRESSION)
    return BoundExpression(
        "VARCHAR" if isinstance(node.args["expression"], exp.JSONPath | exp.Literal) else UNKNOWN,
        edges,
    )


def _truncated(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    """Bind `date_trunc('day', x)`, for which sqlglot has two nodes."""
    value = bind(context, scope, node.this)
    edges = value.edges
    unit = node.args.get("unit")
    if isinstance(unit, exp.Var | exp.Literal):
        if _UNIT_OF_A_COLUMN.search(context.sql):  # sqlglot has the same unit for `day` and `'day'`
            quiet, context.quiet = context.quiet, True
            edges = union([edges, bind(context, scope, exp.column(unit.name)).edges])
            context.quiet = quiet
    elif unit is not None:
        edges = union([edges, bind(context, scope, unit).edges])
    return BoundExpression(return_type("date_trunc", [value.type]), raised(edges, EXPRESSION))


def _extract(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    value = bind(context, scope, node.args["expression"])
    part = str(node.name).lower()
    return BoundExpression(
        "DOUBLE" if part in ("epoch", "julian") else "BIGINT", raised(value.edges, EXPRESSION)
    )


def _at_zone(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    value = bind(context, scope, node.this)
    return BoundExpression(return_type("timezone", [value.type]), raised(value.edges, EXPRESSION))


def _named(name: str) -> _Handler:
    """Return a handler for a function with a sqlglot node of its own, by DuckDB's name for it."""
    aggregate = name in AGGREGATES

    def handle(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
        parts = list(_parts(context, scope, node))
        edges = union([part.edges for part in parts], AGGREGATE if aggregate else EXPRESSION)
        return BoundExpression(return_type(name, [part.type for part in parts]), edges)

    return handle


def _filtered(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    value = bind(context, scope, node.this)
    condition = bind(context, scope, node.args["expression"].this)
    return BoundExpression(value.type, union([value.edges, raised(condition.edges, FILTER)]))


_SAME_KEY = exp.Lower, exp.Upper, exp.Trim, exp.Cast, exp.TryCast, exp.Paren


def key_columns(
    context: BindingContext, scope: NameScope, node: exp.Expr, edges: Edges
) -> set[tuple[str, str]]:
    """Return the columns that are a key themselves by which rows are taken for the same.

    Also their text in another case, or as another type. A key that is computed, such as a band of
    salaries, has none.
    """
    column = node
    while isinstance(column, _SAME_KEY):
        column = column.this
    if column is not node and isinstance(column, exp.Column):
        edges = bind(context, scope, column).edges
    return {key for key, rank in edges.items() if rank == IDENTITY}


def _of_window(context: BindingContext, scope: NameScope, node: exp.Expr, edges: Edges) -> Edges:
    """Return the edges of a window's part: its function, its order, or a key that partitions it."""
    if node.arg_key != "partition_by":
        return raised(edges, WINDOW)
    keys = key_columns(context, scope, node, edges)
    return {key: WINDOW_KEY if key in keys else max(WINDOW, rank) for key, rank in edges.items()}


def _window(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    type_ = UNKNOWN
    edges: list[Edges] = []
    for child in node.iter_expressions():
        if isinstance(child, _LEAVES):
            continue
        value = bind(context, scope, child)
        edges.append(_of_window(context, scope, child, value.edges))
        if child is node.this:
            type_ = value.type
    name = node.args.get("alias")
    definition = scope.windows.get(name.name.lower()) if isinstance(name, exp.Identifier) else None
    if definition is not None and definition is not node:
        edges.append(_window(context, scope, definition).edges)
    return BoundExpression(type_, union(edges))


def _passing(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    """Bind a wrapper such as IGNORE NULLS, or ORDER BY in an aggregate.

    It has the type of its content.
    """
    parts = list(_parts(context, scope, node))
    return BoundExpression(
        parts[0].type if parts else UNKNOWN, union([part.edges for part in parts])
    )


def _ordered(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    return BoundExpression(UNKNOWN, _edges(context, scope, node, EXPRESSION))


def _scalar(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    relation = context.bind_query(context, node, scope)
    single = len(relation.columns) == 1 and relation.complete
    values = relation.everything() if single else raised(relation.everything(), EXPRESSION)
    type_ = relation.columns[0].type if relation.columns else UNKNOWN
    return BoundExpression(type_, union([values, raised(relation.filters, FILTER)]))


def _exists(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    relation = context.bind_query(context, node.this, scope)
    return BoundExpression("BOOLEAN", raised(relation.filters, FILTER))


def _in(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    edges = [bind(context, scope, node.this).edges]
    edges += [bind(context, scope, item).edges for item in node.expressions]
    query = node.args.get("query")
    if query is not None:
        edges.append(_scalar(context, scope, query).edges)
    for key in ("field", "unnest"):
        part = node.args.get(key)
        if isinstance(part, exp.Expr):
            edges.append(bind(context, scope, part).edges)
    return BoundExpression("BOOLEAN", union(edges, EXPRESSION))


def _array(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    parts = list(_parts(context, scope, node))
    type_ = parts[0].type if parts else UNKNOWN
    for part in parts[1:]:
        type_ = unify(type_, part.type)
    type_ = settled(type_)
    listed = (
        f"{type_}[]"
        if parts
        and type_ != UNKNOWN
        and not isinstance(node.expressions[0], exp.Query | exp.Comprehension)
        else UNKNOWN
    )
    return BoundExpression(listed, union([part.edges for part in parts], EXPRESSION))


def _bracket(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    value = bind(context, scope, node.this)
    inside = [bind(context, scope, part) for part in node.expressions]
    sliced = any(isinstance(part, exp.Slice) for part in node.expressions)
    kind = settled(value.type)
    type_ = (
        (kind if sliced else element(kind))
        if kind.endswith("[]")
        else "VARCHAR"
        if kind == "VARCHAR"
        else UNKNOWN
    )
    return BoundExpression(
        type_, union([value.edges, *(part.edges for part in inside)], EXPRESSION)
    )


def _dot(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    value = bind(context, scope, node.this)
    field = node.args["expression"]
    if not isinstance(field, exp.Identifier):
        return BoundExpression(
            UNKNOWN, union([value.edges, bind(context, scope, field).edges], EXPRESSION)
        )
    fields = struct_fields(value.type) or []
    type_ = next((type_ for name, type_ in fields if name.lower() == field.name.lower()), UNKNOWN)
    return BoundExpression(type_, raised(value.edges, EXPRESSION))


def _property(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    """Bind `name := value`, a field of a struct, or an entry of a map, whose key has a value."""
    value = bind(context, scope, node.args["expression"])
    if isinstance(node.this, _LEAVES):
        return value
    key = bind(context, scope, node.this)
    return BoundExpression(value.type, union([key.edges, value.edges], EXPRESSION))


def _comprehension(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    iterated = bind(context, scope, node.args["iterator"])
    inner = NameScope(scope.ctes, scope)
    for key in ("expression", "position"):
        variable = node.args.get(key)
        if variable is not None:
            inner.locals[variable.name.lower()] = BoundExpression(UNKNOWN, iterated.edges)
    edges = [iterated.edges, bind(context, inner, node.this).edges]
    if node.args.get("condition") is not None:
        edges.append(bind(context, inner, node.args["condition"]).edges)
    return BoundExpression(UNKNOWN, union(edges, EXPRESSION))


def _columns(context: BindingContext, scope: NameScope, _node: exp.Expr) -> BoundExpression:
    """Bind COLUMNS(…) inside an expression, without determining which columns it selects."""
    return _whole_rows(context, scope.sources, OPAQUE)


def _positional(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    """Bind `#2`, the second column of FROM; any column where not all columns are known."""
    columns: list[Output] = []
    for source in scope.sources:
        columns += source.relation.columns
        if not source.relation.complete:
            return _columns(context, scope, node)
    place = int(node.name) if node.name.isdigit() and len(node.name) <= PLACE_DIGITS else 0
    if not 1 <= place <= len(columns) or any(source.merged for source in scope.sources):
        return _columns(context, scope, node)
    context.mentions.update(*(column.edges for column in columns[:place]))  # they count up to it
    return BoundExpression(columns[place - 1].type, columns[place - 1].edges)


def _explode(context: BindingContext, scope: NameScope, node: exp.Expr) -> BoundExpression:
    value = bind(context, scope, node.this)
    merge(scope.filters, raised(value.edges, FILTER))  # a list without elements gives no row
    return BoundExpression(element(value.type), raised(value.edges, EXPRESSION))


_COMPARISONS = (
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.Is,
    exp.Not,
    exp.Between,
    exp.Like,
    exp.ILike,
    exp.SimilarTo,
    exp.Glob,
    exp.NullSafeEQ,
    exp.NullSafeNEQ,
    exp.RegexpLike,
    exp.RegexpFullMatch,
    exp.StartsWith,
    exp.EndsWith,
    exp.Contains,
    exp.ArrayContains,
)
_AGGREGATES_OF_THEIR_OWN: dict[type[exp.Expr], str] = {
    exp.Min: "min",
    exp.Max: "max",
    exp.Quantile: "quantile",
    exp.PercentileCont: "quantile_cont",
    exp.PercentileDisc: "quantile_disc",
    exp.GroupConcat: "string_agg",
    exp.Trim: "trim",
    exp.Substring: "substring",
    exp.StrPosition: "strpos",
}

_HANDLERS: dict[type[exp.Expr], _Handler] = {
    **{kind: _of_parts("BOOLEAN") for kind in _COMPARISONS},
    **{
        kind: _named(name)
        for kind, name in _AGGREGATES_OF_THEIR_OWN.items()
        if name in RETURN_TYPES or name in AGGREGATES
    },
    exp.Column: _column,
    exp.Alias: _inner,
    exp.Paren: _inner,
    exp.Literal: _literal,
    exp.Null: _typed(NULL),
    exp.Boolean: _typed("BOOLEAN"),
    exp.Interval: _of_parts("INTERVAL"),
    exp.CurrentDate: _typed("DATE"),
    exp.CurrentTimestamp: _typed(TIMESTAMPTZ),
    exp.Localtimestamp: _typed("TIMESTAMP"),
    exp.Placeholder: _placeholder,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Add: _binary("+"),
    exp.Sub: _binary("-"),
    exp.Mul: _binary("*"),
    exp.Div: _binary("/"),
    exp.IntDiv: _binary("//"),
    exp.Mod: _binary("%"),
    exp.And: _binary(None),
    exp.Or: _binary(None),
    exp.BitwiseAnd: _named("xor"),
    exp.BitwiseOr: _named("xor"),
    exp.BitwiseXor: _named("xor"),
    exp.BitwiseLeftShift: _named("xor"),
    exp.BitwiseRightShift: _named("xor"),
    exp.BitwiseNot: _named("xor"),
    exp.StrToTime: _parsed_time,
    exp.JSONExtractScalar: _json_text,
    exp.DPipe: _concatenation,
    exp.Neg: _negative,
    exp.Case: _case,
    exp.If: _if,
    exp.Coalesce: _unified,
    exp.Greatest: _unified,
    exp.Least: _unified,
    exp.Nullif: _nullif,
    exp.DateTrunc: _truncated,
    exp.TimestampTrunc: _truncated,
    exp.Extract: _extract,
    exp.AtTimeZone: _at_zone,
    exp.Filter: _filtered,
    exp.Window: _window,
    exp.IgnoreNulls: _passing,
    exp.RespectNulls: _passing,
    exp.Distinct: _passing,
    exp.WithinGroup: _passing,
    exp.Order: _passing,
    exp.Ordered: _ordered,
    exp.Exists: _exists,
    exp.In: _in,
    exp.Array: _array,
    exp.Bracket: _bracket,
    exp.Dot: _dot,
    exp.PropertyEQ: _property,
    exp.Kwarg: _property,
    exp.Comprehension: _comprehension,
    exp.Star: _star,
    exp.Columns: _columns,
    exp.PositionalColumn: _positional,
    exp.Explode: _explode,
}
