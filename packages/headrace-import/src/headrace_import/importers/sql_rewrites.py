"""How constructs of `sql_constructs.toml` are written for DuckDB, where sqlglot's way differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlglot import exp

from headrace_import.importers.sql_kinds import Kinds


def plain(tree: exp.Expr) -> exp.Expr:
    """Return a statement with T-SQL's own spellings as those of standard SQL."""
    return tree.transform(_plain)


def _plain(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.National):
        return exp.Literal.string(node.name)
    if isinstance(node, exp.Convert) and not (node.args.get("style") or node.args.get("safe")):
        return exp.Cast(this=node.expression, to=node.this)
    if isinstance(node, exp.If) and "false" in node.args:
        chosen = exp.If(this=node.this, true=node.args["true"])
        return exp.Case(ifs=[chosen], default=node.args["false"])
    if isinstance(node, exp.Case) and node.this:
        for part in node.args["ifs"]:
            part.set("this", exp.EQ(this=node.this.copy(), expression=part.this))
        node.set("this", None)
    if isinstance(node, exp.Fetch) and not node.args["limit_options"].args.get("with_ties"):
        return exp.Limit(expression=node.args["count"])
    return node


def _like(node: exp.Expr, _kinds: Kinds) -> exp.Expr:
    """A backslash escapes, unless the pattern says otherwise."""
    pattern = node.expression
    plain = isinstance(pattern, exp.Literal) and "\\" not in pattern.name
    if plain or isinstance(node.parent, exp.Escape):
        return node
    return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))


def _search(node: exp.Expr, _kinds: Kinds) -> exp.Expr:
    """In the origin, a dot is any character, also the end of a line."""
    if "." in node.expression.name:
        node.set("flag", exp.Literal.string("s"))
    return node


def _cut(node: exp.Expr, _kinds: Kinds) -> exp.Expr:
    """A cast to `varchar(n)` cuts."""
    assert isinstance(node, exp.Cast)
    size = node.to.expressions
    if not size:
        return node
    text = exp.cast(node.this.copy(), exp.DataType.build("text"))
    return exp.Left(this=text, expression=exp.Literal.number(size[0].name))


def _blanks(node: exp.Expr, _kinds: Kinds) -> exp.Expr:
    """Only blanks are trimmed; DuckDB trims other spaces of Unicode, too."""
    if not node.args.get("expression"):
        node.set("expression", exp.Literal.string(" "))
    return node


def _whole(node: exp.Expr, kinds: Kinds) -> exp.Expr:
    """Whole numbers divide to a whole number."""
    assert isinstance(node, exp.Binary)
    if kinds.of(node.left) == "int" and kinds.of(node.right) == "int":
        return exp.IntDiv(this=node.left.copy(), expression=node.right.copy())
    return node


def _midnight(node: exp.Expr, kinds: Kinds) -> exp.Expr:
    """`date_trunc` makes a timestamp with a zone of a date."""
    if kinds.of(node.this) != "date":
        return node
    return exp.cast(node.copy(), exp.DataType.build("timestamptz"))


def _truncated(node: exp.Expr, kinds: Kinds) -> exp.Expr:
    """A cast to a whole number cuts the fraction."""
    if kinds.of(node.this) != "int":
        node.set("this", exp.func("trunc", node.this.copy()))
    return node


def _double(node: exp.Expr, _kinds: Kinds) -> exp.Expr:
    """`float` has 64 bits."""
    return exp.cast(node.this.copy(), exp.DType.DOUBLE)


def _joined(node: exp.Expr, kinds: Kinds) -> exp.Expr:
    """`+` joins texts."""
    if kinds.of(node) != "text":
        return node
    return exp.DPipe(this=node.this.copy(), expression=node.expression.copy(), safe=False)


def _dated(node: exp.Expr, kinds: Kinds) -> exp.Expr:
    """A date that is moved stays a date."""
    return exp.cast(node.copy(), "date") if kinds.of(node.this) == "date" else node


def _padded(node: exp.Expr, kinds: Kinds) -> exp.Expr:
    """Texts of a binary collation are equal if all but the blanks at their ends is."""
    if "binary" in (kinds.of(node.this), kinds.of(node.expression)):
        for side in (node.this, node.expression):
            text = side.this if isinstance(side, exp.Collate) else side
            blank = exp.Literal.string(" ")
            side.replace(exp.Trim(this=text.copy(), expression=blank, position="TRAILING"))
    return node


def _using_first(node: exp.Expr, _kinds: Kinds) -> exp.Expr:
    """`*` has the column of USING before all others."""
    select = node.parent
    joins = select.args.get("joins") or () if isinstance(select, exp.Select) else ()
    columns = [name for join in joins for name in join.args.get("using") or ()]
    if select is not None and columns:
        place = select.expressions.index(node)
        node.set("except_", [columns[0].copy()])
        values = select.expressions
        select.set("expressions", [*values[:place], exp.column(columns[0].copy()), *values[place:]])
    return node


REWRITES: Mapping[str, Callable[[exp.Expr, Kinds], exp.Expr]] = {
    "like": _like,
    "search": _search,
    "cut": _cut,
    "blanks": _blanks,
    "division": _whole,
    "midnight": _midnight,
    "truncated": _truncated,
    "double": _double,
    "joined": _joined,
    "dated": _dated,
    "padded": _padded,
    "using_first": _using_first,
}
