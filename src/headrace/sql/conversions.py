"""Conversions of a vendor's column that a person has decided on: one expression over the columns of
a delivery, and nothing else. It is stored in a contract and applied whenever a delivery is ingested,
so only what stands in the list below may be in it: no subquery, no function that isn't arithmetic or
text, nothing that reads a file, a setting or the clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from sqlglot import exp

from headrace.sql.parsing import InvalidSelect, parse

CHARACTERS_MAX = 500
_NODES = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren,
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.DPipe,
    exp.Cast, exp.TryCast, exp.DataType, exp.DataTypeParam, exp.Case, exp.If, exp.Coalesce,
    exp.Nullif, exp.Abs, exp.Round, exp.Floor, exp.Ceil, exp.And, exp.Or, exp.Not, exp.Is,
    exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.In, exp.Between,
    exp.Lower, exp.Upper, exp.Trim, exp.Replace, exp.Substring, exp.Concat, exp.Left, exp.Right,
)  # fmt: skip
"""All that an expression may consist of."""


class Conversion:
    """A checked expression. `columns` are the names in the file that it reads."""

    def __init__(self, tree: exp.Expr, columns: tuple[str, ...]) -> None:
        self._tree, self.columns = tree, columns

    @property
    def is_identity(self) -> bool:
        """Whether it is one column as it is."""
        return isinstance(self._tree.unnest(), exp.Column)

    def over(self, names: Mapping[str, str]) -> str:
        """DuckDB's SQL of it, where the file's names are columns of these names."""

        def own(node: exp.Expr) -> exp.Expr:
            if not isinstance(node, exp.Column):
                return node
            return exp.Column(this=exp.to_identifier(names.get(node.name, node.name), quoted=True))

        return self._tree.copy().transform(own).sql(dialect="duckdb", comments=False)


@lru_cache(256)
def conversion(text: str) -> Conversion:
    """The expression that a text is. Raises `InvalidSelect` for anything else."""
    if len(text) > CHARACTERS_MAX:
        raise InvalidSelect("conversion_invalid", f"it has more than {CHARACTERS_MAX} characters")
    if not text.strip():
        raise InvalidSelect("conversion_invalid", "it is empty")
    tree = parse(f"SELECT (\n{text}\n)").tree
    results = tree.expressions
    if not isinstance(tree, exp.Select) or set(_parts(tree)) != {"expressions"} or len(results) != 1:
        raise InvalidSelect("conversion_invalid", "it isn't one expression")
    inside = results[0]
    if not isinstance(inside, exp.Paren):
        raise InvalidSelect("conversion_invalid", "it isn't one expression")
    for node in inside.walk():
        _require_known(node)
    columns = tuple(dict.fromkeys(node.name for node in inside.find_all(exp.Column)))
    if not columns:
        raise InvalidSelect("conversion_invalid", "it reads no column of the delivery")
    return Conversion(inside, columns)


def _parts(tree: exp.Expr) -> list[str]:
    return [name for name, value in tree.args.items() if value]


def _require_known(node: exp.Expr) -> None:
    if type(node) not in _NODES:
        what = node.name if isinstance(node, exp.Anonymous) else node.key
        raise InvalidSelect(
            "conversion_invalid",
            f"`{what[:40]}` isn't allowed in it",
            hint="arithmetic, CASE, CAST, round, coalesce and texts of the delivery's columns are",
        )
    if isinstance(node, exp.Column) and (node.table or not isinstance(node.this, exp.Identifier)):
        raise InvalidSelect("conversion_invalid", f"`{node.sql()[:40]}` isn't a column's name alone")
    if isinstance(node, exp.In) and (node.args.get("query") or node.args.get("unnest")):
        raise InvalidSelect("conversion_invalid", "a subquery isn't allowed in it")
