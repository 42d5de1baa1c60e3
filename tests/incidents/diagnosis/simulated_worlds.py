"""Random projects for the simulation of faults: nodes, columns, owners, and what truly reaches
what.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from headrace.incidents.diagnosis.graph import CauseGraph, CauseNode
from headrace.model import Grain, InputMode, InputSpec, PartitionSpec, Place
from headrace.plan.schemas import ColumnLineage
from headrace.sql.values import Edge, Transformation

DAY = PartitionSpec(grain=Grain.DAY)
WHOLE = PartitionSpec()
FIRST = date(2024, 3, 1)
DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24
DAYS = 12


def key(day: int) -> str:
    return (FIRST + timedelta(days=day)).isoformat()


def midnight(day: int) -> int:
    """When a day ended."""
    return (day + 1) * DAY_US + 1_700_000_000_000_000


@dataclass
class Made:
    """One node. `edges`: own column → (input, column); `filters` decide which rows there are;
    `reads`: (input, mode, days looked back).
    """

    name: str
    source: bool
    owner: str
    host: str
    whole: bool
    columns: list[str]
    edges: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    filters: list[tuple[str, str]] = field(default_factory=list)
    reads: list[tuple[str, InputMode, int]] = field(default_factory=list)
    consumer: bool = False


@dataclass
class StateFacts:
    nodes: dict[str, Made]
    graph: CauseGraph

    def of(self, *, source: bool = False, asset: bool = False, consumer: bool = False) -> list[str]:
        return [
            node.name
            for node in self.nodes.values()
            if (source and node.source)
            or (consumer and node.consumer)
            or (asset and not node.source and not node.consumer)
        ]

    def reached(
        self, node: str, day: int, columns: list[str] | None
    ) -> list[tuple[str, int, list[str]]]:
        """(node, day, columns) that are made of some columns (None: of its rows) of one day of a
        node, in the order of flow.
        """
        bad: dict[tuple[str, int], set[str]] = {
            (node, day): set(columns or self.nodes[node].columns)
        }
        rows = {(node, day)} if columns is None else set()
        for item in self.nodes.values():
            for at in range(day, DAYS):
                hit, whole = self._made_of(item, at, bad, rows)
                if hit or whole:
                    bad[item.name, at] = set(item.columns) if whole else hit
                if whole:
                    rows.add((item.name, at))
        del bad[node, day]
        return [(name, at, sorted(result)) for (name, at), result in bad.items()]

    def _made_of(
        self, item: Made, at: int, bad: dict[tuple[str, int], set[str]], rows: set[tuple[str, int]]
    ) -> tuple[set[str], bool]:
        hit: set[str] = set()
        whole = False
        for name, mode, back in item.reads:
            days = [at - 1] if mode is InputMode.PREVIOUS else range(at - back, at + 1)
            if mode is InputMode.ALL or item.whole or self.nodes[name].whole:
                days = range(at + 1)
            for day in days:
                reached = bad.get((name, day), set())
                hit |= {
                    own
                    for own, made in item.edges.items()
                    if any(other == name and column in reached for other, column in made)
                }
                whole |= (name, day) in rows or any(
                    other == name and column in reached for other, column in item.filters
                )
        return hit, whole


def facts(random: Random) -> StateFacts:
    """A project of 3 to 8 sources of 3 vendors, 8 to 40 assets, 2 to 5 consumers; names say
    nothing.
    """
    nodes: dict[str, Made] = {}
    hosts = [f"host{number}.example" for number in range(random.randint(2, 4))]
    owners = [f"vendor{number}" for number in range(3)]
    for number in range(random.randint(3, 8)):
        columns = [f"c{index}" for index in range(random.randint(3, 8))]
        nodes[f"s{number}"] = Made(
            f"s{number}", True, random.choice(owners), random.choice(hosts), False, columns
        )
    for number in range(random.randint(8, 40)):
        _asset(random, nodes, f"a{number}")
    assets = [name for name in nodes if name.startswith("a")]
    for number in range(random.randint(2, 5)):
        reads = [
            (name, InputMode.REQUIRED, 0)
            for name in random.sample(assets, min(len(assets), random.randint(1, 3)))
        ]
        nodes[f"u{number}"] = Made(
            f"u{number}",
            False,
            "reader",
            random.choice(hosts),
            False,
            [],
            reads=reads,
            consumer=True,
        )
    return StateFacts(nodes, _graph(nodes))


def _asset(random: Random, nodes: dict[str, Made], name: str) -> None:
    above = random.sample(list(nodes), min(len(nodes), random.choice((1, 1, 2, 2, 3))))
    whole = random.random() < 0.1
    reads = [(item, *_mode(random)) for item in above]
    columns = [f"c{index}" for index in range(random.randint(2, 8))]
    made = Made(name, False, f"team{random.randint(0, 3)}", "", whole, columns, reads=reads)
    for column in columns:
        made.edges[column] = [
            (item, random.choice(nodes[item].columns))
            for item in random.sample(above, random.choice((1, 1, min(2, len(above)))))
        ]
    if len(above) > 1:
        made.filters = [
            (item, nodes[item].columns[0]) for item in above
        ]  # joined by their first columns
    elif random.random() < 0.3:
        made.filters = [(above[0], random.choice(nodes[above[0]].columns))]
    nodes[name] = made


def _mode(random: Random) -> tuple[InputMode, int]:
    return random.choices(
        [
            (InputMode.REQUIRED, 0),
            (InputMode.REQUIRED, 2),
            (InputMode.PREVIOUS, 0),
            (InputMode.ALL, 0),
        ],
        [80, 8, 4, 8],
    )[0]


def _graph(nodes: dict[str, Made]) -> CauseGraph:
    known = {
        node.name: ColumnLineage(
            {
                own: tuple(Edge(name, column, Transformation.EXPRESSION) for name, column in made)
                for own, made in node.edges.items()
            },
            tuple(Edge(name, column, Transformation.FILTER) for name, column in node.filters),
        )
        for node in nodes.values()
        if not node.source and not node.consumer
    }
    return CauseGraph((_node(node) for node in nodes.values()), known.get)


def _node(item: Made) -> CauseNode:
    place = Place(file="x")
    inputs = tuple(
        InputSpec(node=name, mode=mode, lookback=f"{back}d" if back else None, place=place)
        for name, mode, back in item.reads
    )
    return CauseNode(
        item.name, inputs, item.source, WHOLE if item.whole else DAY, "UTC", item.owner
    )
