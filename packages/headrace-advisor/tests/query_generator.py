"""Random tables with keys, NULLs and duplicates, and random queries over them."""

from __future__ import annotations

import random
from typing import NamedTuple

TYPES = ("int", "varchar", "date")
VALUES = {
    "int": ("0", "1", "2", "3"),
    "varchar": ("'1'", "'01'", "'2'", "'02'", "'+1'"),  # several of them are one number
    "date": ("date '2020-01-01'", "date '2020-01-02'"),
}
ROWS_MAX = 7


class GeneratedTable(NamedTuple):
    """A table by name: its columns with types, its keys, and which columns are never NULL."""

    name: str
    columns: tuple[tuple[str, str], ...]
    primary: tuple[str, ...]
    unique: tuple[str, ...]
    not_null: frozenset[str]

    @property
    def ddl(self) -> str:
        """The CREATE TABLE statement."""
        parts = [
            f"{name} {type_}{' not null' if name in self.not_null else ''}"
            for name, type_ in self.columns
        ]
        if self.primary:
            parts.append(f"primary key ({', '.join(self.primary)})")
        if self.unique:
            parts.append(f"unique ({', '.join(self.unique)})")
        return f"create table {self.name} ({', '.join(parts)})"

    def rows(self, rng: random.Random) -> list[tuple[str, ...]]:
        """Return rows that keep the table's constraints, as literals."""
        rows: list[tuple[str, ...]] = []
        for _ in range(rng.choice((0, 1, 3, ROWS_MAX, ROWS_MAX))):
            row = tuple(self._value(rng, name, type_) for name, type_ in self.columns)
            if self._fits(row, rows):
                rows.append(row)
                if not self.primary and rng.random() < 0.4 and self._fits(row, rows):
                    rows.append(row)
        return rows

    def _value(self, rng: random.Random, name: str, type_: str) -> str:
        if name not in self.not_null and name not in self.primary and rng.random() < 0.3:
            return "NULL"
        return rng.choice(VALUES[type_])

    def _fits(self, row: tuple[str, ...], rows: list[tuple[str, ...]]) -> bool:
        names = [name for name, _ in self.columns]
        for key in (self.primary, self.unique):
            values = [row[names.index(name)] for name in key]
            repeated = any([other[names.index(name)] for name in key] == values for other in rows)
            if key and repeated and "NULL" not in values:
                return False
        return True


def tables(rng: random.Random) -> list[GeneratedTable]:
    """Return three tables whose names and columns are the same from one to the next."""
    results = []
    for name in ("t", "u", "v"):
        columns = tuple((column, rng.choice(TYPES)) for column in ("a", "b", "c", "d"))
        names = [column for column, _ in columns]
        primary = tuple(rng.sample(names, rng.choice((0, 1, 1, 1, 2))))
        unique = tuple(rng.sample(names, rng.choice((0, 0, 1, 2))))
        not_null = frozenset(column for column in names if rng.random() < 0.3)
        results.append(GeneratedTable(name, columns, primary, unique, not_null))
    return results


class Source(NamedTuple):
    """What FROM may name: its text, alias, and columns with types."""

    text: str
    alias: str
    columns: tuple[tuple[str, str], ...]


class GeneratedQuery(NamedTuple):
    """A query with its columns."""

    sql: str
    columns: tuple[tuple[str, str], ...]


class QueryGenerator:
    """Queries over tables, drawn from a random number generator."""

    def __init__(self, rng: random.Random, known: list[GeneratedTable]) -> None:
        self.rng = rng
        self.tables = known
        self._number = 0

    def query(self, depth: int = 2) -> GeneratedQuery:
        """Return a query with subqueries up to a depth."""
        if depth and self._chance(0.25):
            return self._union(depth)
        if depth and self._chance(0.25):
            return self._with(depth)
        return self._select(depth)

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share

    def _alias(self) -> str:
        self._number += 1
        return f"s{self._number}"

    def _source(self, depth: int, ctes: tuple[Source, ...] = ()) -> Source:
        alias = self._alias()
        if ctes and self._chance(0.6):
            cte = self.rng.choice(ctes)
            return Source(f"{cte.alias} as {alias}", alias, cte.columns)
        if depth and self._chance(0.35):
            inner = self.query(depth - 1)
            return Source(f"({inner.sql}) as {alias}", alias, inner.columns)
        table = self.rng.choice(self.tables)
        return Source(f"{table.name} as {alias}", alias, table.columns)

    def _with(self, depth: int) -> GeneratedQuery:
        inner = self.query(depth - 1)
        cte = Source("", f"w{self._alias()}", inner.columns)
        body = self._select(depth - 1, (cte,))
        return GeneratedQuery(f"with {cte.alias} as ({inner.sql}) {body.sql}", body.columns)

    def _union(self, depth: int) -> GeneratedQuery:
        branches = [self._select(depth - 1) for _ in range(self.rng.choice((2, 2, 3)))]
        width = min(len(branch.columns) for branch in branches)
        sign = self._chance(0.5)
        operators = ("union", "union", "union all", "except", "intersect")
        words = [self.rng.choice(operators) for _ in branches[1:]]
        texts = []
        for number, branch in enumerate(branches):
            columns = [f"cast(x.{name} as varchar) as {name}" for name, _ in branch.columns[:width]]
            if all(b.columns[:width] and [t for _, t in b.columns[:width]] ==
                   [t for _, t in branches[0].columns[:width]] for b in branches):  # fmt: skip
                columns = [f"x.{name}" for name, _ in branch.columns[:width]]
            names = [f"k{n}" for n in range(width)]
            listed = [f"{c.partition(' as ')[0] if ' as varchar' not in c else c.rpartition(' as ')[0]}"
                      f" as {n}" for c, n in zip(columns, names, strict=True)]  # fmt: skip
            if sign:
                listed.append(f"'{self.rng.choice('xy') if self._chance(0.2) else number}' as sign")
            distinct = "distinct " if self._chance(0.4) else ""
            texts.append(f"select {distinct}{', '.join(listed)} from ({branch.sql}) as x")
        sql = texts[0]
        for word, text in zip(words, texts[1:], strict=True):
            sql = f"{sql} {word} {text}"
        same = [t for _, t in branches[0].columns[:width]]
        if any([t for _, t in b.columns[:width]] != same for b in branches):
            same = ["varchar"] * width
        columns = [(f"k{n}", type_) for n, type_ in enumerate(same)]
        return GeneratedQuery(sql, (*columns, *([("sign", "varchar")] if sign else [])))

    def _join(self, left: list[Source], right: Source) -> str:
        kind = self.rng.choice(
            ("join", "join", "join", "left join", "left join", "right join", "full join",
             "cross join", "semi join", "anti join")
        )  # fmt: skip
        if kind == "cross join":
            return f" cross join {right.text}"
        other = self.rng.choice(left)
        shared = {name for name, _ in other.columns} & {name for name, _ in right.columns}
        if len(left) == 1 and shared and kind in ("join", "left join") and self._chance(0.15):
            return f" {kind} {right.text} using ({self.rng.choice(sorted(shared))})"
        conditions = self._equalities(other, right)
        if not conditions:
            return f" cross join {right.text}"
        if self._chance(0.3):
            conditions.append(self._predicate([*left, right], 0))
        return f" {kind} {right.text} on {' and '.join(conditions)}"

    def _equalities(self, left: Source, right: Source) -> list[str]:
        """Return one or two conditions on columns of the same type, or of a number and a text."""
        same = [(a, b) for a, one in left.columns for b, other in right.columns if one == other]
        mixed = [
            (a, b)
            for a, one in left.columns
            for b, other in right.columns
            if {one, other} == {"int", "varchar"}
        ]
        pairs = mixed if mixed and (not same or self._chance(0.12)) else same
        chosen = self.rng.sample(pairs, min(len(pairs), self.rng.choice((1, 1, 2))))
        return [f"{left.alias}.{a} = {right.alias}.{b}" for a, b in chosen]

    def _predicate(self, sources: list[Source], depth: int) -> str:
        source = self.rng.choice(sources)
        name, type_ = self.rng.choice(source.columns)
        column = f"{source.alias}.{name}"
        values = VALUES.get(type_, ("0", "1"))
        draw = self.rng.random()
        if draw < 0.3:
            return f"{column} = {self.rng.choice(values)}"
        if draw < 0.45:
            return f"{column} is not null"
        if draw < 0.5:
            return f"{column} is null"
        if draw < 0.6:
            return f"{column} <> {self.rng.choice(values)}"
        if draw < 0.7:
            return f"({column} = {self.rng.choice(values)} or {self._predicate(sources, 0)})"
        if draw < 0.85 and depth:
            return self._in(column, type_, depth)
        if draw < 0.9:
            return f"not ({self._predicate(sources, 0)})"
        return f"{column} >= {self.rng.choice(values)}"

    def _in(self, column: str, type_: str, depth: int) -> str:
        inner = self.query(depth - 1)
        same = [name for name, its in inner.columns if its == type_]
        if not same:
            return f"{column} is not null"
        distinct = "distinct " if self._chance(0.6) else ""
        negated = "not " if self._chance(0.3) else ""
        text = f"select {distinct}y.{self.rng.choice(same)} from ({inner.sql}) as y"
        if self._chance(0.2):
            return f"{negated}exists ({text} where y.{self.rng.choice(same)} = {column})"
        return f"{column} {negated}in ({text})"

    def _select(self, depth: int, ctes: tuple[Source, ...] = ()) -> GeneratedQuery:
        rng = self.rng
        visible = [self._source(depth, ctes)]
        text = visible[0].text
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            right = self._source(depth, ctes)
            join = self._join(visible, right)
            text += join
            if not join.startswith((" semi", " anti")):
                visible.append(right)
        using = " using (" in text
        where = ""
        if self._chance(0.5):
            parts = [self._predicate(visible, depth) for _ in range(rng.choice((1, 1, 2)))]
            where = f" where {' and '.join(parts)}"
        everything = [(f"{s.alias}.{name}", type_) for s in visible for name, type_ in s.columns]
        if using and self._chance(0.3):
            everything = everything[: len(visible[0].columns)]
        chosen = rng.sample(everything, min(len(everything), rng.choice((1, 1, 2, 2, 3, 4))))
        distinct = "distinct " if self._chance(0.55) else ""
        if self._chance(0.3):
            return self._grouped(chosen, everything, text, where, distinct)
        outputs = [(column, f"c{n}", type_) for n, (column, type_) in enumerate(chosen)]
        if self._chance(0.1):
            parts = rng.sample(everything, min(len(everything), rng.choice((1, 2))))
            by = ", ".join(column for column, _ in parts)
            order = ", ".join(column for column, _ in everything)
            outputs.append((f"row_number() over (partition by {by} order by {order})", "rn", "int"))
        if self._chance(0.1):
            column, type_ = rng.choice(everything)
            outputs.append((f"coalesce({column}, {VALUES[type_][0]})", "e", type_))
        listed = ", ".join(f"{column} as {name}" for column, name, _ in outputs)
        sql = f"select {distinct}{listed} from {text}{where}"
        if depth < 2 and self._chance(0.1):
            sql += f" order by {', '.join(name for _, name, _ in outputs)}"
            sql += " limit 1" if self._chance(0.4) else ""
        return GeneratedQuery(sql, tuple((name, type_) for _, name, type_ in outputs))

    def _grouped(
        self,
        chosen: list[tuple[str, str]],
        everything: list[tuple[str, str]],
        text: str,
        where: str,
        distinct: str,
    ) -> GeneratedQuery:
        rng = self.rng
        given = chosen if self._chance(0.7) else chosen[:-1]
        outputs = [(column, f"g{n}", type_) for n, (column, type_) in enumerate(given)]
        column, type_ = rng.choice(everything)
        aggregate = rng.choice(
            ("count(*)", f"count(distinct {column})", f"max({column})", f"min(distinct {column})")
        )
        outputs.append((aggregate, "m", type_ if aggregate[1] in "ai" else "int"))
        by = ", ".join(column for column, _ in chosen)
        if len(chosen) > 1 and self._chance(0.05):
            by = f"rollup ({by})"
        group = f" group by {by}"
        if self._chance(0.1):
            outputs, group = outputs[-1:], ""
        listed = ", ".join(f"{column} as {name}" for column, name, _ in outputs)
        having = " having count(*) > 1" if self._chance(0.15) and group else ""
        return GeneratedQuery(
            f"select {distinct}{listed} from {text}{where}{group}{having}",
            tuple((name, type_) for _, name, type_ in outputs),
        )
