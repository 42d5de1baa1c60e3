"""The columns of `$self` while nothing of its asset is published: those that its query returns.

The usual filters of incremental assets (`upd > (select max(upd) - interval 1 day from $self)`) can
be bound only if the columns of `$self` have types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp

from headrace.sql.analysis import analyse
from headrace.sql.parsing import parse
from headrace.sql.queries import resolve
from headrace.sql.values import ANY_TYPE, UNKNOWN

if TYPE_CHECKING:
    from headrace.plan.compiled import Columns

_STEPS_MAX = 4
"""Maximum number of bindings until the columns returned are those given as `$self`."""


def columns_of_self(
    described: Callable[[str, Columns], Columns],
    sql: str,
    inputs: Mapping[str, Columns],
    own_columns: Columns,
) -> Columns:
    """Return the columns of `$self`, with the types with which the query `sql` returns them.

    `described` binds a query where `$self` has the given columns, and returns the columns of its
    result; `inputs` are the other tables by lower-case name. `own_columns` are those of the asset's
    table, with `ANY_TYPE` for unknown types and `*` for unknown names. Where the query can't be
    bound yet, its conditions are left out: no column's type depends on them. Raises DuckDB's errors
    if the types can't be derived.
    """
    known = resolve(analyse(sql, file="", line=1, name=""), inputs).columns or ()
    guess = _typed(
        own_columns,
        tuple((name, ANY_TYPE if type_ == UNKNOWN else type_) for name, type_ in known),
    )
    if not guess:
        raise duckdb.BinderException(
            "the columns of $self aren't known: name the query's columns instead of writing *"
        )
    try:
        result = described(sql, guess)
    except duckdb.BinderException:
        result = described(_without_conditions(sql), guess)
    typed = guess
    for _ in range(_STEPS_MAX):
        typed = _typed(own_columns, result)
        returned = described(sql, typed)
        if returned == result:
            break
        result = returned
    return typed


def _typed(own_columns: Columns, result: Columns) -> Columns:
    types, typed = {name.lower(): type_ for name, type_ in result}, list[tuple[str, str]]()
    for name, type_ in own_columns:
        if name == "*":
            typed += result
        else:
            typed.append((name, types.get(name.lower(), type_) if type_ == ANY_TYPE else type_))
    return tuple(typed)


def _without_conditions(sql: str) -> str:
    tree = parse(sql).tree.copy()
    for condition in list(tree.find_all(exp.Where, exp.Having, exp.Qualify)):
        condition.pop()
    for join in tree.find_all(exp.Join):
        if join.args.get("on") is not None:
            join.set("on", exp.true())
    return tree.sql("duckdb", comments=False)
