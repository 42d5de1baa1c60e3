"""Queries with a part that is superfluous by construction: DISTINCT, UNION, ORDER BY, a join."""

from __future__ import annotations

import random
from collections.abc import Callable

from query_generator import VALUES, GeneratedTable


def redundant_query(rng: random.Random, known: list[GeneratedTable]) -> str:
    """Return such a query."""
    return rng.choice(_SHAPES)(rng, known)


def _keyed(rng: random.Random, known: list[GeneratedTable]) -> GeneratedTable | None:
    keyed = [table for table in known if table.primary]
    return rng.choice(keyed) if keyed else None


def _some(rng: random.Random, table: GeneratedTable, least: tuple[str, ...] = ()) -> list[str]:
    names = [name for name, _ in table.columns]
    chosen = set(least) | set(rng.sample(names, rng.choice((1, 2))))
    return sorted(chosen)


def _where(rng: random.Random, table: GeneratedTable, alias: str) -> str:
    if rng.random() < 0.4:
        return ""
    name, type_ = rng.choice(table.columns)
    operator = rng.choice(("=", "<>", ">="))
    return f" where {alias}.{name} {operator} {rng.choice(VALUES[type_])}"


def _groups(rng: random.Random, known: list[GeneratedTable]) -> str:
    table = rng.choice(known)
    by = ", ".join(f"x.{name}" for name in _some(rng, table))
    where = _where(rng, table, "x")
    return f"select distinct {by}, count(*) as n from {table.name} as x{where} group by {by}"


def _primary_key(rng: random.Random, known: list[GeneratedTable]) -> str:
    table = _keyed(rng, known)
    if table is None:
        return _groups(rng, known)
    listed = ", ".join(f"x.{name}" for name in _some(rng, table, table.primary))
    return f"select distinct {listed} from {table.name} as x{_where(rng, table, 'x')}"


def _join_on_key(rng: random.Random, known: list[GeneratedTable]) -> str:
    left, right = _keyed(rng, known), _keyed(rng, known)
    if left is None or right is None:
        return _groups(rng, known)
    types = dict(right.columns)
    conditions = []
    for column in right.primary:
        same = [name for name, type_ in left.columns if type_ == types[column]]
        if not same:
            return _primary_key(rng, known)
        conditions.append(f"x.{rng.choice(same)} = y.{column}")
    listed = ", ".join(f"x.{name}" for name in _some(rng, left, left.primary))
    more = ", ".join(f"y.{name} as y_{name}" for name in _some(rng, right))
    kind = rng.choice(("join", "left join"))
    return (
        f"select distinct {listed}, {more} from {left.name} as x {kind} {right.name} as y"
        f" on {' and '.join(conditions)}{_where(rng, left, 'x')}"
    )


def _through_cte(rng: random.Random, known: list[GeneratedTable]) -> str:
    table = rng.choice(known)
    names = _some(rng, table)
    by = ", ".join(names)
    inner = rng.choice(
        (f"select {by}, count(*) as n from {table.name} group by {by}",
         f"select distinct {by} from {table.name}")
    )  # fmt: skip
    return f"with w as ({inner}) select distinct {by} from w where {names[0]} is not null"


def _in_subquery(rng: random.Random, known: list[GeneratedTable]) -> str:
    one, other = rng.choice(known), rng.choice(known)
    pairs = [(a, b) for a, its in one.columns for b, type_ in other.columns if its == type_]
    if not pairs:
        return _groups(rng, known)
    a, b = rng.choice(pairs)
    word = rng.choice(("in", "not in"))
    where = _where(rng, other, "y")
    return (
        f"select x.{a} from {one.name} as x"
        f" where x.{a} {word} (select distinct y.{b} from {other.name} as y{where})"
    )


def _below_union(rng: random.Random, known: list[GeneratedTable]) -> str:
    one, other = rng.choice(known), rng.choice(known)
    a, b = _some(rng, one)[0], _some(rng, other)[0]
    return (
        f"select distinct cast({a} as varchar) as k from {one.name}"
        f" union select cast({b} as varchar) from {other.name}"
    )


def _signed_union(rng: random.Random, known: list[GeneratedTable]) -> str:
    parts = []
    for number in range(rng.choice((2, 3))):
        table = _keyed(rng, known)
        if table is None or len(table.primary) > 1:
            return _below_union(rng, known)
        parts.append(f"select {table.primary[0]} as k, '{number}' as sign from {table.name}")
    types = {dict(t.columns)[t.primary[0]] for t in known if len(t.primary) == 1}
    return " union ".join(parts) if len(types) == 1 else _below_union(rng, known)


def _row_numbers(rng: random.Random, known: list[GeneratedTable]) -> str:
    table = rng.choice(known)
    by = ", ".join(_some(rng, table))
    inner = f"select {by}, row_number() over (partition by {by} order by {by}) as rn"
    return f"select distinct {by} from ({inner} from {table.name}) as x where rn = 1"


def _inner_distinct(rng: random.Random, known: list[GeneratedTable]) -> str:
    table = rng.choice(known)
    names = ", ".join(_some(rng, table))
    return f"select distinct {names} from (select distinct {names}, 1 as one from {table.name}) x"


def _unused_left_join(rng: random.Random, known: list[GeneratedTable]) -> str:
    left, right = rng.choice(known), _keyed(rng, known)
    types = {} if right is None else dict(right.columns)
    if right is None:
        return _groups(rng, known)
    conditions = []
    for column in right.primary:
        same = [name for name, type_ in left.columns if type_ == types[column]]
        if not same:
            return _primary_key(rng, known)
        conditions.append(f"x.{rng.choice(same)} = y.{column}")
    listed = ", ".join(f"x.{name}" for name in _some(rng, left))
    return (
        f"select {listed} from {left.name} as x left join {right.name} as y"
        f" on {' and '.join(conditions)}{_where(rng, left, 'x')}"
    )


def _unused_column(rng: random.Random, known: list[GeneratedTable]) -> str:
    table = rng.choice(known)
    one, other = rng.sample([name for name, _ in table.columns], 2)
    value = rng.choice(
        (other, f"coalesce({other}, {other})", f"row_number() over (order by {one})")
    )
    where = rng.choice(("", f" where {one} is not null", f" where {other} is not null"))
    inner = f"select {one}, {value} as other from {table.name}{where}"
    if rng.random() < 0.5:
        return f"with w as ({inner}) select {one} from w"
    return f"select x.{one}, count(*) from ({inner}) as x group by x.{one}"


def _lost_order(rng: random.Random, known: list[GeneratedTable]) -> str:
    table = rng.choice(known)
    names = [name for name, _ in table.columns]
    by = rng.choice(names)
    inner = f"select {', '.join(names)} from {table.name} order by {by}"
    return f"select x.{by}, count(*) from ({inner}) as x group by x.{by}"


def _disjoint_union(rng: random.Random, known: list[GeneratedTable]) -> str:
    table = _keyed(rng, known)
    if table is None:
        return _groups(rng, known)
    name, type_ = rng.choice(table.columns)
    one, other = rng.sample(VALUES[type_][:2] if type_ == "date" else VALUES[type_], 2)
    listed = ", ".join(sorted({name, *table.primary}))
    query = f"select {listed} from {table.name} where {name} = "
    return f"{query}{one} union {query}{other}"


def _distinct_of_groups(rng: random.Random, known: list[GeneratedTable]) -> str:
    table, right = rng.choice(known), _keyed(rng, known)
    by = _some(rng, table)
    inner = f"select {', '.join(by)}, count(*) as n from {table.name} group by {', '.join(by)}"
    if right is None or len(right.primary) > 1:
        return f"select distinct {', '.join(by)}, n from ({inner}) as g where n > 1"
    key = right.primary[0]
    same = [n for n, type_ in table.columns if n in by and type_ == dict(right.columns)[key]]
    if not same:
        return f"select distinct {', '.join(by)}, n from ({inner}) as g where n > 1"
    listed = ", ".join(f"g.{name}" for name in by)
    return (
        f"select distinct {listed}, y.{rng.choice(right.columns)[0]} as z from ({inner}) as g"
        f" join {right.name} as y on y.{key} = g.{rng.choice(same)}"
    )


def _count_of_key(rng: random.Random, known: list[GeneratedTable]) -> str:
    table = _keyed(rng, known)
    if table is None or len(table.primary) > 1:
        return _groups(rng, known)
    by = rng.choice(table.columns)[0]
    return (
        f"select {by}, count(distinct {table.primary[0]}) as n, max(distinct {by}) as m"
        f" from {table.name} group by {by}"
    )


_SHAPES: tuple[Callable[[random.Random, list[GeneratedTable]], str], ...] = (
    _groups,
    _primary_key,
    _join_on_key,
    _through_cte,
    _in_subquery,
    _below_union,
    _signed_union,
    _row_numbers,
    _inner_distinct,
    _unused_left_join,
    _unused_column,
    _lost_order,
    _disjoint_union,
    _distinct_of_groups,
    _count_of_key,
)
