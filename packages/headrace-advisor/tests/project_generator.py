"""Random projects with unread columns, copies, duplicates and full recomputation by construction."""

from __future__ import annotations

import random
from typing import NamedTuple

from query_generator import GeneratedTable, QueryGenerator, tables

DAILY = "daily"
_CONTRACT = """\
apiVersion: v3.0.2
kind: DataContract
id: {name}
name: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
"""


class Planted(NamedTuple):
    """A finding that is right by construction."""

    asset: str
    rule: str


class GeneratedProject(NamedTuple):
    """The files of a project, its sources, the queries of its assets in order, and what is read."""

    files: dict[str, str]
    sources: list[GeneratedTable]
    queries: dict[str, str]
    reads: list[str]
    planted: list[Planted]


def project(rng: random.Random, drawn: int = 5) -> GeneratedProject:
    """Return a project with a number of drawn queries, and as many planted assets around them."""
    return _Generator(rng).project(drawn)


class _Generator:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sources = tables(rng)
        columns = (("day", "date"), ("c", "varchar"), ("n", "int"))
        self.sources.append(GeneratedTable(DAILY, columns, (), (), frozenset({"day"})))
        self.readable = list(self.sources)
        self.queries: dict[str, str] = {}
        self.planted: list[Planted] = []
        self.reads: list[str] = []

    def project(self, drawn: int) -> GeneratedProject:
        for _ in range(drawn):
            query = QueryGenerator(self.rng, self.readable).query()
            self._add(query.sql, query.columns)
            self.rng.choice((self._copy, self._duplicate, self._unread_column, self._by_day))()
        unread = self._add("select a from t", (("a", "int"),), readable=False)
        self.planted.append(Planted(unread, "unread_asset"))
        self.reads.append(self.rng.choice(list(self.queries)[:-1]))
        files = {f"assets/{name}.sql": f"head\n{sql}\n" for name, sql in self.queries.items()}
        for table in self.sources:
            files |= _source(table)
        files["consumers"] = " ".join(dict.fromkeys(self.reads))
        return GeneratedProject(files, self.sources, self.queries, self.reads, self.planted)

    def _add(self, sql: str, columns: tuple[tuple[str, str], ...], *, readable: bool = True) -> str:
        """Add an asset. Who reads it sees only the `columns` that are given here."""
        name = f"q{len(self.queries)}"
        self.queries[name] = sql
        if readable:
            self.readable.append(GeneratedTable(name, columns, (), (), frozenset()))
        return name

    def _reader(self, table: GeneratedTable) -> None:
        """Add an asset for a consumer that reads a column of a table."""
        name, type_ = self.rng.choice(table.columns)
        sql = f"select {name} as k, count(*) as n from {table.name} group by {name}"
        self.reads.append(self._add(sql, (("k", type_), ("n", "int"))))

    def _copy(self) -> None:
        table = self.rng.choice(self.readable)
        listed = ", ".join(column for column, _ in table.columns)
        name = self._add(f"select {listed} from {table.name}", table.columns)
        self._reader(self.readable[-1])
        self.planted.append(Planted(name, "pass_through"))

    def _duplicate(self) -> None:
        table = self.rng.choice(self.sources)
        (column, type_), (other, _) = self.rng.sample(table.columns, 2)
        text = f"select {column}, count(distinct {other}) as n from {table.name} group by {column}"
        self._add(text, ((column, type_), ("n", "int")))
        self._reader(self.readable[-1])
        again = text.replace(" group", "\n  group").replace("select", "SELECT")
        name = self._add(again, ((column, type_), ("n", "int")))
        self._reader(self.readable[-1])
        self.planted.append(Planted(name, "duplicate"))

    def _unread_column(self) -> None:
        table = self.rng.choice(self.readable)
        kept, type_ = self.rng.choice(table.columns)
        extra = self.rng.choice(("'note'", kept, f"coalesce({kept}, {kept})"))
        where = self.rng.choice(("", f" where {kept} is not null"))
        sql = f"select {kept}, {extra} as extra from {table.name}{where}"
        sql += self.rng.choice(("", f" union all {sql}"))
        name = self._add(sql, ((kept, type_),))
        self._reader(self.readable[-1])
        self.planted.append(Planted(name, "unread_column"))

    def _by_day(self) -> None:
        sql = self.rng.choice(
            (
                f"select day, c, count(*) as k from {DAILY} group by day, c",
                f"select distinct day, c from {DAILY} where n > 0",
                f"select day, c, rank() over (partition by day order by n) as k from {DAILY}",
                f"select d.day, e.c from {DAILY} as d join {DAILY} as e using (day, n)",
            )
        )
        name = self._add(sql, (("day", "date"), ("c", "varchar")))
        self._reader(self.readable[-1])
        self.planted.append(Planted(name, "incremental"))


def _source(table: GeneratedTable) -> dict[str, str]:
    """Return the files of a source: its checks are the keys of its table."""
    name = table.name
    checks = [f"  - not_null: [{c}]\n" for c in sorted(table.not_null | set(table.primary))]
    keys = [key for key in (table.primary, table.unique) if key]
    checks += [f"  - unique: [{', '.join(key)}]\n" for key in keys]
    daily = name == DAILY
    files = f"landing/{name}_{{date:%Y-%m-%d}}.csv" if daily else f"landing/{name}.csv"
    lines = [f"source: {name}\nowner: core\nfiles: {files}\n"]
    lines += ["partition: {by: day, column: day}\n"] if daily else []
    lines += ["checks:\n", *checks] if checks else []
    properties = "".join(
        f"      - {{name: {column}, physicalType: {type_.upper()}}}\n"
        for column, type_ in table.columns
    )
    return {
        f"sources/{name}.yaml": "".join(lines),
        f"contracts/{name}.odcs.yaml": _CONTRACT.format(name=name) + properties,
    }
