"""The assets of a world and who reads them: cleaned, joined with the reference data, summed up, set
side by side.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from lab.shapes import Measure, Names, Source, World

ASSETS = (12, 20)
"""As few as that, or as many."""
DAY = "day"


@dataclass(frozen=True)
class Asset:
    """One asset. `body` is SQL, or Python if `python`."""

    name: str
    owner: str
    inputs: tuple[str, ...]
    body: str
    checks: tuple[str, ...] = ()
    python: bool = False
    measure: str = ""
    """A column of numbers that it hands on."""
    root: str = ""
    """Of what is made of one source alone: which."""


@dataclass(frozen=True)
class Consumer:
    name: str
    owner: str
    reads: tuple[str, ...]
    promise: str
    export: bool


@dataclass(frozen=True)
class Graph:
    assets: tuple[Asset, ...]
    consumers: tuple[Consumer, ...]
    teams: tuple[str, ...]

    def asset(self, name: str) -> Asset:
        return next(asset for asset in self.assets if asset.name == name)

    def above(self, node: str) -> set[str]:
        """All that a node is made of, itself included."""
        known = {asset.name: asset.inputs for asset in self.assets} | {
            consumer.name: consumer.reads for consumer in self.consumers
        }
        result, todo = {node}, [node]
        while todo:
            new = [item for item in known.get(todo.pop(), ()) if item not in result]
            result.update(new)
            todo += new
        return result

    def below(self, node: str) -> set[str]:
        """The consumers that read something made of a node."""
        return {consumer.name for consumer in self.consumers if node in self.above(consumer.name)}


class Builder:
    """Makes the graph of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = random.Random(f"lab graph {world.seed}")
        self.names = Names(
            self.chance, [world.reference.name, *(event.name for event in world.events)]
        )
        self.teams = tuple(f"{self.names.new()}-team" for _ in range(3))
        self.assets: list[Asset] = []

    def build(self) -> Graph:
        cleaned = {source.name: self.add(self.cleaned(source)) for source in self.world.events}
        joined = {
            source.name: self.add(self.joined(source, cleaned[source.name]))
            for source in self.world.events[: self.world.joined]
        }
        sums = [
            self.add(self.by_region(joined[source.name], source))
            for source in self.world.events[: self.world.joined]
        ]
        sums += [
            self.add(self.by_category(cleaned[source.name], source)) for source in self.world.events
        ]
        self.add(self.scored(self.world.events[self.chance.randrange(self.world.joined)], cleaned))
        wanted = max(self.chance.randint(*ASSETS), len(self.assets) + 2)
        while len(self.assets) < wanted:
            self.add(self.together(self.chance.sample(sums, 2)))
            if len(self.assets) < wanted - 1 and self.chance.random() < 0.4:
                self.add(self.over(self.assets[-1]))
        return Graph(tuple(self.assets), self.consumers(), self.teams)

    def add(self, asset: Asset) -> Asset:
        self.assets.append(asset)
        return asset

    def team(self) -> str:
        return self.chance.choice(self.teams)

    def cleaned(self, source: Source) -> Asset:
        columns = [
            f'"{source.key}" as id',
            f'"{source.entity}" as entity',
            f'"{source.day}" as {DAY}',
            f'"{source.category}" as category',
        ]
        columns += [
            f'extract(hour from "{source.time}") as hour',
            *(f'"{measure.name}"' for measure in source.measures),
        ]
        checks = ["not_null: [id]", *(["unique: [id]"] if self.chance.random() < 0.5 else [])]
        if self.chance.random() < 0.3:
            checks.append(
                "accepted_values: {column: category, values:"
                f" [{', '.join(name for name, _ in source.categories)}]}}"
            )
        body = f"select {', '.join(columns)} from {source.name} where {between(source.day)}"
        return Asset(
            self.names.new(),
            self.team(),
            (source.name,),
            body,
            tuple(checks),
            measure=self.measure(source).name,
            root=source.name,
        )

    def measure(self, source: Source) -> Measure:
        return self.chance.choice(source.measures)

    def joined(self, source: Source, cleaned: Asset) -> Asset:
        known = self.world.reference
        on = f'c.entity = r."{known.entity}"' + (f" and r.as_of = c.{DAY}" if known.daily else "")
        body = (
            f'select c.id, c.{DAY}, c.category, r."{known.region}" as region, c."{cleaned.measure}"'
            f' * r."{known.weight}" as weighted\nfrom {cleaned.name} c left join {known.name} r on'
            f" {on}\nwhere c.{between(DAY)}"
        )
        return Asset(
            self.names.new(),
            self.team(),
            (cleaned.name, known.name),
            body,
            measure="weighted",
            root=source.name,
        )

    def by_region(self, joined: Asset, source: Source) -> Asset:
        columns = (
            f"{DAY}, coalesce(region, 'none') as bucket, count(*) as n, round(sum(weighted), 4) as"
            " total"
        )
        body = f"select {columns}\nfrom {joined.name} where {between(DAY)} group by all"
        return Asset(
            self.names.new(),
            self.team(),
            (joined.name,),
            body,
            ("row_count: {min: 1}",),
            measure="total",
            root=source.name,
        )

    def by_category(self, cleaned: Asset, source: Source) -> Asset:
        columns = (
            f'{DAY}, category as bucket, count(*) as n, round(sum("{cleaned.measure}"), 4) as total'
        )
        body = f"select {columns}\nfrom {cleaned.name} where {between(DAY)} group by all"
        return Asset(
            self.names.new(), self.team(), (cleaned.name,), body, measure="total", root=source.name
        )

    def together(self, two: list[Asset]) -> Asset:
        a, b = two
        sums = [
            f"(select {DAY}, sum(n) as n, round(sum(total), 4) as total from {item.name} where"
            f" {between(DAY)} group by all)"
            for item in two
        ]
        columns = f"a.{DAY}, a.n as n_a, b.n as n_b, a.total as total_a, b.total as total_b"
        body = f"select {columns}\nfrom {sums[0]} a\njoin {sums[1]} b using ({DAY})"
        return Asset(self.names.new(), self.team(), (a.name, b.name), body, measure="total_a")

    def over(self, item: Asset) -> Asset:
        body = (
            f"select {DAY}, n_a + n_b as n, total_a / nullif(n_a, 0) as rate from {item.name} where"
            f" {between(DAY)}"
        )
        return Asset(
            self.names.new(), self.team(), (item.name,), body, measure="rate", root=item.root
        )

    def scored(self, source: Source, cleaned: dict[str, Asset]) -> Asset:
        item = cleaned[source.name]
        name = self.names.new()
        return Asset(
            name,
            self.team(),
            (item.name,),
            PYTHON.format(name=name, team="{team}", read=item.name, day=DAY),
            python=True,
            root=source.name,
        )

    def consumers(self) -> tuple[Consumer, ...]:
        read = {name for asset in self.assets for name in asset.inputs}
        last = [asset.name for asset in self.assets if asset.name not in read]
        self.chance.shuffle(last)
        promises = ["due: '07:00'", "due: '07:30'", "max_age: 32h", "due: '08:00'"]
        self.chance.shuffle(promises)
        reads = [tuple(last[number::4]) for number in range(4)]
        reads = [own or (self.chance.choice(self.assets).name,) for own in reads]
        exporting = self.chance.randrange(4)
        return tuple(
            Consumer(
                f"{self.names.new()}-report",
                self.team(),
                own,
                promises[number],
                number == exporting,
            )
            for number, own in enumerate(reads)
        )


def between(column: str) -> str:
    """The rows of the partition."""
    return f'"{column}" >= $partition_start and "{column}" < $partition_end'.replace('"day"', "day")


def changed(graph: Graph, name: str, body: str) -> Graph:
    """The graph with another body of one asset."""
    return replace(
        graph,
        assets=tuple(
            replace(asset, body=body) if asset.name == name else asset for asset in graph.assets
        ),
    )


PYTHON = """from headrace import asset, Context
import os
from pathlib import Path

@asset(owner="{{team}}", partition={{{{"by": "day", "column": "{day}"}}}}, inputs=["{read}"])
def {name}(ctx: Context, {read}):
    machine = Path(os.environ["LAB_MACHINE"])
    for trouble in sorted(machine.glob("*.py")):
        exec(trouble.read_text())
    return {read}.select(["id", "{day}", "entity"])
"""
