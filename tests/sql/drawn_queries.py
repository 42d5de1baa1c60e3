"""Queries drawn at random over three small tables, for comparing lineage with what DuckDB gives."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

TABLES = {
    "t": {
        "id": "integer", "a": "integer", "b": "integer", "c": "integer", "s": "varchar",
        "w": "integer", "l": "integer[]", "st": "struct(x integer, y varchar)",
    },
    "u": {
        "id": "integer", "a": "integer", "x": "integer", "y": "varchar", "z": "integer",
        "w": "integer",
    },
    "v": {"k": "integer", "m": "integer", "n": "varchar", "z": "integer", "w": "integer"},
}  # fmt: skip
INT, TEXT, LIST, STRUCT = "integer", "varchar", "integer[]", "struct"
Columns = list[tuple[str, str]]


class Drawn(NamedTuple):
    """A query, and its columns with their types."""

    sql: str
    columns: Columns


class Item(NamedTuple):
    """An item of FROM, as the expressions beside it see it."""

    alias: str
    columns: Columns


Scope = Sequence[Item]


class Draw:
    """A grammar of queries; `depth` is how many levels of queries may still be nested."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.ctes: dict[str, Columns] = {}
        self._names = 0

    def one(self, *choices: Callable[[], str]) -> str:
        return self.rng.choice(choices)()

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"

    # Expressions

    def column(self, scope: Scope, kind: str) -> str:
        found = [(i.alias, n) for i in scope for n, t in i.columns if t.split("(")[0] == kind]
        if not found:
            return {INT: "3", TEXT: "'p'", LIST: "[1, 2]"}.get(kind, "{'x': 1, 'y': 'q'}")
        alias, name = self.rng.choice(found)
        alone = sum(name == column for item in scope for column, _ in item.columns) == 1
        return name if alone and self.chance(0.5) else f"{alias}.{name}"

    def integer(self, scope: Scope, depth: int) -> str:
        def column() -> str:
            return self.column(scope, INT)

        def other() -> str:
            return self.integer(scope, depth - 1)

        simple = (column, column, column, lambda: str(self.rng.randrange(5)))
        if depth <= 0:
            return self.one(*simple)
        return self.one(
            *simple,
            lambda: f"({other()} + {other()})",
            lambda: f"coalesce({other()}, {other()})",
            lambda: f"case when {self.truth(scope, depth - 1)} then {other()} else {other()} end",
            lambda: f"case {column()} when {other()} then {other()} end",
            lambda: f"greatest({column()}, {other()})",
            lambda: f"length({self.text(scope, depth - 1)})",
            lambda: f"{self.column(scope, LIST)}[{column()}]",
            lambda: f"({self.column(scope, STRUCT)}).x",
            lambda: f"list_sum(list_transform({self.column(scope, LIST)}, lambda q: q + {column()}))",
            lambda: f"len([q for q in {self.column(scope, LIST)} if q > {column()}])",
            lambda: f"map {{{column()}: {column()}}}[{column()}]",
            lambda: f"doubled({column()})",
            lambda: f"({self.scalar(scope, depth, INT)})",
        )  # fmt: skip

    def text(self, scope: Scope, depth: int) -> str:
        if depth <= 0:
            return self.column(scope, TEXT)
        return self.one(
            lambda: self.column(scope, TEXT),
            lambda: f"upper({self.column(scope, TEXT)})",
            lambda: f"({self.column(scope, TEXT)} || {self.integer(scope, depth - 1)})",
            lambda: f"({self.column(scope, STRUCT)}).y",
            lambda: f"array_to_string(array({self.scalar(scope, depth, TEXT, many=True)}), '-')",
        )

    def truth(self, scope: Scope, depth: int) -> str:
        def number() -> str:
            return self.integer(scope, depth - 1)

        simple = (
            lambda: f"{number()} {self.rng.choice(['>', '<', '=', '<>', '>='])} {number()}",
            lambda: f"{self.column(scope, TEXT)} like '%{self.rng.choice('pqr')}%'",
            lambda: f"{number()} is not null",
            lambda: f"{number()} between {number()} and {number()}",
            lambda: f"{number()} in ({number()}, 2)",
        )
        if depth <= 0:
            return self.one(*simple)

        def pair() -> str:
            return f"(select {self.integer(scope, 0)}, z from {self.rng.choice('uv')})"

        return self.one(
            *simple,
            lambda: f"exists ({self.query(depth - 1, scope).sql})",
            lambda: f"not exists (select 1 from u where {self.inner_truth(scope, 'u', depth)})",
            lambda: f"{number()} in ({self.scalar(scope, depth, INT, many=True)})",
            lambda: f"{number()} not in ({self.scalar(scope, depth, INT, many=True)})",
            lambda: f"({number()}, {number()}) in {pair()}",
            lambda: f"{number()} > all({self.scalar(scope, depth, INT, many=True)})",
            lambda: f"{number()} = any({self.scalar(scope, depth, INT, many=True)})",
            lambda: f"{number()} in {self.column(scope, LIST)}",
            lambda: f"({self.truth(scope, depth - 1)} or {self.truth(scope, depth - 1)})",
            lambda: f"({self.truth(scope, depth - 1)} and not {self.truth(scope, depth - 1)})",
        )

    def inner_truth(self, scope: Scope, table: str, depth: int) -> str:
        inside = [Item(table, list(TABLES[table].items()))]
        outside = [item for item in scope if item.alias != table]
        return self.truth([*inside, *outside], depth - 2)

    def scalar(self, scope: Scope, depth: int, kind: str, *, many: bool = False) -> str:
        """Draw a query of one column; of one row, unless `many`."""
        from_, inside = self.from_(depth - 1)
        seen = [*inside, *(o for o in scope if o.alias not in {i.alias for i in inside})]
        where = f" where {self.truth(seen, depth - 2)}" if self.chance(0.6) else ""
        value = self.integer(inside, 0) if kind == INT else self.text(inside, 0)
        order = f" order by {self.integer(inside, depth - 2)}, {value}"
        if many:
            limit = f"{order} limit {self.limit(depth - 1)}" if self.chance(0.4) else ""
            return f"select {value} from {from_}{where}{limit}"
        if self.chance(0.5):
            return f"select {value} from {from_}{where}{order} limit 1"
        return f"select {self.rng.choice(['max', 'min'])}({value}) from {from_}{where}"

    def aggregate(self, scope: Scope, depth: int) -> str:
        def number() -> str:
            return self.integer(scope, 0)

        value, text = number(), self.column(scope, TEXT)  # last in an order, which is total then
        function = self.one(
            lambda: f"sum({number()})",
            lambda: "count(*)",
            lambda: f"count(distinct {number()})",
            lambda: f"max({number()})",
            lambda: f"list({value} order by {number()}, {value})",
            lambda: f"string_agg({text}, ',' order by {number()}, {text})",
            lambda: f"arg_max({value}, ({number()}, {value}))",
            lambda: f"first({value} order by {number()}, {value})",
            lambda: f"quantile_disc({number()}, 0.5)",
        )
        if self.chance(0.3):
            return f"{function} filter (where {self.truth(scope, depth - 1)})"
        return function

    def window(self, scope: Scope, depth: int, names: Sequence[str]) -> str:
        function = self.one(
            lambda: f"sum({self.integer(scope, 0)})",
            lambda: "row_number()",
            lambda: f"lag({self.integer(scope, 0)})",
            lambda: f"first_value({self.integer(scope, 0)} ignore nulls)",
            lambda: "rank()",
            lambda: f"count(*) filter (where {self.truth(scope, 0)})",
        )
        if names and self.chance(0.6):
            name = self.rng.choice(names)
            return f"{function} over {name}"
        return f"{function} over ({self.window_of(scope, depth)})"

    def window_of(self, scope: Scope, depth: int) -> str:
        parts = []
        if self.chance(0.5):
            parts.append(f"partition by {self.integer(scope, depth - 1)}")
        if self.chance(0.8):
            parts.append(f"order by {self.integer(scope, depth - 1)}, {self.integer(scope, 0)}")
            if self.chance(0.3):
                least = self.one(
                    lambda: "1", lambda: "unbounded", lambda: "(select max(z) + 1 from v)"
                )
                parts.append(f"rows between {least} preceding and current row")
        return " ".join(parts)

    # FROM

    def from_(self, depth: int) -> tuple[str, list[Item]]:
        sql, items = self.source(depth, [])
        for _ in range(self.rng.choice((0, 0, 1, 1, 2))):
            sql, items = self.joined(sql, items, depth)
        return sql, items

    def source(self, depth: int, before: Scope) -> tuple[str, list[Item]]:
        alias = self.name("r")

        name = self.rng.choice([*TABLES, *self.ctes, *self.ctes])
        columns = self.ctes[name] if name in self.ctes else list(TABLES[name].items())
        kind = self.rng.random()
        if kind < 0.05 and columns:
            named = [(self.name("n"), type_) for _, type_ in columns]
            return f"{name} as {alias}({', '.join(n for n, _ in named)})", [Item(alias, named)]
        if kind < 0.1:
            return (
                f"{name} as {alias} tablesample reservoir(4 rows) repeatable (7)",
                [Item(alias, columns)],
            )
        if depth > 0 and kind < 0.3:
            drawn = self.query(depth - 1, ())
            return f"({drawn.sql}) as {alias}", [Item(alias, drawn.columns)]
        if kind < 0.36:
            drawn = self.shaped(alias)
            return drawn.sql, [Item(alias, drawn.columns)]
        if kind < 0.42:
            column = self.name("n")
            least = self.integer(before, 0) if before else "2"
            return f"range(0, {least} + 1) as {alias}({column})", [
                Item(alias, [(column, "bigint")])
            ]
        return f"{name} as {alias}", [Item(alias, columns)]

    def shaped(self, alias: str) -> Drawn:
        """Draw a pivot, an unpivot or VALUES."""
        one, two = self.rng.sample(["a", "b", "c", "w"], 2)
        text = self.one(
            lambda: f"(pivot (select {one}, {two}, s from t) on s in ('p', 'q') using max({one}))",
            lambda: (
                f"(unpivot (select id, {one}, {two} from t) on {one}, {two} into name n value q)"
            ),
            lambda: f"(select id, {one}, s from t) pivot (sum({one}) for s in ('p', 'q'))",
            lambda: f"(values ({one!r}, (select max({two}) from t)))",
        )
        if text.startswith("(select"):
            return Drawn(f"(from {text}) as {alias}", [("id", INT)])
        if text.startswith("(values"):
            return Drawn(f"{text} as {alias}(n, q)", [("n", TEXT), ("q", INT)])
        columns = [("q", "bigint")] if text.startswith("(pivot") else [("id", INT), ("q", INT)]
        return Drawn(f"{text} as {alias}", columns)

    def joined(self, sql: str, items: list[Item], depth: int) -> tuple[str, list[Item]]:
        if depth > 0 and self.chance(0.15):
            drawn = self.query(depth - 1, items)
            alias = self.name("r")
            kind = self.rng.choice((", lateral", " left join lateral", " cross join lateral"))
            on = " on true" if "left" in kind else ""
            return f"{sql}{kind} ({drawn.sql}) as {alias}{on}", [*items, Item(alias, drawn.columns)]
        if self.chance(0.1):
            alias, column = self.name("r"), self.name("n")
            text = f"unnest({self.column(items, LIST)}) as {alias}({column})"
            return f"{sql}, {text}", [*items, Item(alias, [(column, INT)])]
        right, added = self.source(depth, items)
        both = [*items, *added]
        left_names = {name for item in items for name, _ in item.columns}
        shared = [name for item in added for name, _ in item.columns if name in left_names]
        condition = self.truth(both, min(depth, 1))
        keys = f"{self.integer(items, 0)} = {self.integer(added, 0)}"
        kind = self.rng.choice(
            ("join", "left join", "right join", "full join", "cross join", "semi join", "anti join",
             "asof", "natural join", "positional join", "using", "left using", "full using")
        )  # fmt: skip
        if "using" in kind:
            if not shared or "w" in shared[:1]:
                kind = "left join"
            else:
                side = kind.removesuffix("using")
                return f"{sql} {side}join {right} using ({shared[0]})", both
        if kind == "asof":
            order = f"{self.integer(items, 0)} >= {self.integer(added, 0)}"
            side = self.rng.choice(("asof join", "asof left join"))
            return f"{sql} {side} {right} on {keys} and {order}", both
        if kind in ("cross join", "natural join", "positional join"):
            return f"{sql} {kind} {right}", both
        if kind in ("semi join", "anti join"):
            return f"{sql} {kind} {right} on {self.rng.choice((keys, condition))}", items
        return f"{sql} {kind} {right} on {self.rng.choice((keys, keys, condition))}", both

    # Queries

    def query(self, depth: int, outside: Scope = ()) -> Drawn:
        if depth > 0 and self.chance(0.15):
            return self.set_operation(depth)
        if depth > 0 and self.chance(0.25):
            return self.with_ctes(depth)
        return self.select(depth, outside)

    def with_ctes(self, depth: int) -> Drawn:
        before = dict(self.ctes)
        parts = []
        for _ in range(self.rng.choice((1, 2))):
            name = self.name("q")
            drawn = self.recursive(name) if self.chance(0.2) else self.query(depth - 1)
            parts.append(f"{name} as ({drawn.sql})")
            self.ctes[name] = drawn.columns
        main = self.select(depth, ())
        self.ctes = before
        return Drawn(f"with recursive {', '.join(parts)} {main.sql}", main.columns)

    def recursive(self, name: str) -> Drawn:
        one, two, three = self.rng.sample(["a", "b", "c", "w"], 3)
        step = self.one(
            lambda: f"select n + 1, q + u.x from {name} join u on {name}.q = u.a where n < 3",
            lambda: f"select n + 1, (select max(z) from v where v.k = n) from {name} where n < 4",
            lambda: f"select n + 1, q from {name} where n < (select min({three}) from t)",
        )
        sql = f"select 1 as n, {one} as q from t where {two} > 1 union all {step}"
        return Drawn(sql, [("n", INT), ("q", INT)])

    def set_operation(self, depth: int) -> Drawn:
        kinds = self.rng.choice(([INT], [INT, TEXT], [INT, INT]))
        names = [self.name("c") for _ in kinds]
        operation = self.rng.choice(
            ("union", "union all", "except", "intersect", "union all by name", "except all")
        )
        branches = []
        for _ in range(2):
            from_, items = self.from_(depth - 1)
            values = [self.integer(items, 1) if k == INT else self.text(items, 1) for k in kinds]
            listed = ", ".join(f"{v} as {n}" for v, n in zip(values, names, strict=True))
            where = f" where {self.truth(items, 0)}" if self.chance(0.4) else ""
            branches.append(f"select {listed} from {from_}{where}")
        sql = f" {operation} ".join(branches)
        if self.chance(0.3):
            sql += f" order by {', '.join(names)} limit {self.limit(depth)}"
        return Drawn(sql, list(zip(names, kinds, strict=True)))

    def limit(self, depth: int) -> str:
        if depth <= 0:
            return str(self.rng.randrange(1, 4))
        return self.one(
            lambda: "2",
            lambda: "3 offset 1",
            lambda: "40%",
            lambda: f"(select max({self.rng.choice('kmz')}) from v)",
            lambda: f"2 offset (select min({self.rng.choice('axz')}) from u)",
        )

    def select(self, depth: int, outside: Scope) -> Drawn:
        from_, items = self.from_(depth)
        seen = [*items, *(o for o in outside if o.alias not in {i.alias for i in items})]
        where = f" where {self.truth(seen, depth)}" if self.chance(0.5) else ""
        if self.chance(0.12):
            return self.starred(from_, items, where)
        if self.chance(0.3):
            return self.grouped(from_, items, where, depth)
        return self.plain(from_, items, seen, where, depth)

    def starred(self, from_: str, items: list[Item], where: str) -> Drawn:
        column = self.column(items, INT).rpartition(".")[2]
        star = self.one(
            lambda: f"* exclude ({column})",
            lambda: f"* replace ({column} + 1 as {column})",
            lambda: f"* rename ({column} as {self.name('n')})",
            lambda: "columns(*)",
            lambda: "columns('[abxz]')",
            lambda: "columns(lambda o: o like 'a%')",
            lambda: "* like 'a%'",
            lambda: "#1 as n1, #2 as n2",
            lambda: f"{items[0].alias}.*",
            lambda: "count(columns(*))",
            lambda: f"{items[0].alias} as n1",
        )
        if not column.isalpha() and "columns" not in star:
            star = "*"
        return Drawn(f"select {star} from {from_}{where}", [])

    def grouped(self, from_: str, items: list[Item], where: str, depth: int) -> Drawn:
        key, other = self.integer(items, depth), self.integer(items, 0)
        names = [self.name("c"), self.name("c"), self.name("c")]
        values = [self.aggregate(items, depth), self.aggregate(items, 0)]
        by = self.one(
            lambda: "1", lambda: names[0], lambda: "all", lambda: key,
            lambda: f"grouping sets (({key}), ({key}, {other}), ())",
            lambda: f"rollup ({key}, {other})", lambda: f"cube ({key})",
        )  # fmt: skip
        having = f" having {self.aggregate(items, 0)} is not null" if self.chance(0.3) else ""
        order = f" order by {names[0]}, 2, 3 limit {self.limit(depth)}" if self.chance(0.3) else ""
        sql = (
            f"select {key} as {names[0]}, {values[0]} as {names[1]}, {values[1]} as {names[2]}"
            f" from {from_}{where} group by {by}{having}{order}"
        )
        kinds = [INT, "any", "any"]
        return Drawn(sql, list(zip(names, kinds, strict=True)))

    def plain(self, from_: str, items: list[Item], seen: Scope, where: str, depth: int) -> Drawn:
        windows, clause = self.windows(items, depth)
        columns: Columns = []
        listed = []
        for _ in range(self.rng.choice((1, 2, 3))):
            name = self.name("c")
            kind = self.rng.random()
            if kind < 0.25:
                value, type_ = self.window(items, depth, windows), "any"
            elif kind < 0.35:
                value, type_ = f"unnest({self.column(items, LIST)})", INT
            elif kind < 0.5:
                value, type_ = self.text(seen, depth), TEXT
            elif columns and kind < 0.6:
                value, type_ = f"{columns[0][0]}", columns[0][1]
            else:
                value, type_ = self.integer(seen, depth), INT
            listed.append(f"{value} as {name}")
            columns.append((name, type_))
        first = self.integer(items, 0)
        distinct = self.one(
            *(lambda: "",) * 6, lambda: "distinct ",
            lambda: f"distinct on ({first}) ",
        )  # fmt: skip
        sql = f"select {distinct}{', '.join(listed)} from {from_}{where}{clause}"
        if self.chance(0.15):
            value = self.window(items, 0, windows)
            sql += f" qualify {value} > {self.rng.choice(('1', '(select min(z) from v)'))}"
        if distinct.startswith("distinct on"):  # without an order, chance chooses the rows
            rest = ", ".join(str(place + 1) for place in range(len(columns)))
            return Drawn(f"{sql} order by {first}, {rest}", columns)
        return Drawn(self.ordered(sql, items, columns, depth), columns)

    def windows(self, items: list[Item], depth: int) -> tuple[list[str], str]:
        if not self.chance(0.35):
            return [], ""
        first, second = self.name("w"), self.name("w")
        text = f" window {first} as (partition by {self.integer(items, depth - 1)})"
        if self.chance(0.5):
            text += f", {second} as ({first} order by {self.integer(items, 0)}, 1)"
            return [first, second], text
        return [first], text

    def ordered(self, sql: str, items: list[Item], columns: Columns, depth: int) -> str:
        if not self.chance(0.45):
            return sql
        key = self.one(
            lambda: self.integer(items, depth - 1),
            lambda: columns[0][0],
            lambda: "1",
            lambda: self.integer(items, 0),
        )
        rest = ", ".join(str(place + 1) for place in range(len(columns)))
        sql += f" order by {key}, {rest}"
        return f"{sql} limit {self.limit(depth)}" if self.chance(0.6) else sql
