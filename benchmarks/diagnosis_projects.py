"""Large projects for `benchmarks/diagnosis.py`, and what may be seen in them at once."""

from __future__ import annotations

from random import Random
from typing import Any

from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.diagnosis.graph import CauseGraph, CauseNode
from headrace.model import Grain, InputSpec, PartitionSpec, Place
from headrace.model.causes import CauseKind
from headrace.plan.schemas import ColumnLineage
from headrace.sql.values import Edge, Transformation

SOURCES = 200
COLUMNS = 20
NEAR = 300
"""An asset reads what stands at most so far before it: projects are deeper than they are wide."""
DAY = PartitionSpec(grain=Grain.DAY)
AT = 1_700_000_000_000_000
SECOND_US = 1_000_000


def project(assets: int) -> CauseGraph:
    """Assets that read one to three others, twenty columns each; the lines of a node are made when
    they are asked for.
    """
    random, nodes = (
        Random(7),
        [
            CauseNode(f"s{number}", (), True, DAY, "UTC", f"vendor{number % 20}")
            for number in range(SOURCES)
        ],
    )
    for number in range(assets):
        near = nodes[-NEAR:] if random.random() < 0.9 else nodes
        above = random.sample(near, random.choice((1, 2, 3)))
        inputs = tuple(InputSpec(node=item.name, place=Place(file="x")) for item in above)
        nodes.append(CauseNode(f"a{number}", inputs, False, DAY, "UTC", f"team{number % 30}"))
    by_name = {node.name: node for node in nodes}
    return CauseGraph(nodes, lambda name: _lines(by_name[name]))


def _lines(node: CauseNode) -> ColumnLineage:
    names = [spec.node for spec in node.inputs]
    columns: dict[str, tuple[Edge, ...]] = {
        f"c{at}": (
            Edge(
                names[at % len(names)],
                f"c{(at * 7 + len(node.name)) % COLUMNS}",
                Transformation.IDENTITY,
            ),
        )
        for at in range(COLUMNS)
    }
    return ColumnLineage(columns)


def failing(node: str, number: int, **more: Any) -> Evidence:
    """A check that failed at a node."""
    given: dict[str, Any] = {
        "family": Family.CHECK,
        "kind": "null_spike",
        "strength": 30.0,
        "detail": "complete",
        "partition": "2024-03-04",
    } | more
    return Evidence(id=f"e{number}", node=node, at_us=AT + number * SECOND_US // 100, **given)


def of_one_cause(graph: CauseGraph) -> list[Evidence]:
    """Nulls in a source, published with a warning, and a failed check at each asset."""
    warned = failing(
        "s0", 0, family=Family.NULLS, kind="null_spike", column="c0", held=False, detail=""
    )
    return [
        warned,
        *(failing(name, number + 1) for number, name in enumerate(graph.nodes) if name[0] == "a"),
    ]


def equal_failures(graph: CauseGraph) -> list[Evidence]:
    """The same error in every asset."""
    error: dict[str, Any] = {
        "family": Family.ERROR,
        "kind": "",
        "observed": "ImportError: no module named pandas",
        "error_kind": "deterministic",
    }
    return [
        failing(name, number, **error) for number, name in enumerate(graph.nodes) if name[0] == "a"
    ]


def unlike_failures(graph: CauseGraph) -> list[Evidence]:
    """Another error in every asset: nothing that they share."""
    return [
        failing(
            name,
            number,
            family=Family.ERROR,
            kind="",
            observed=f"{'x' * (number % 70)}Error{name}",
            partition=f"2024-03-{number % 28 + 1:02}",
        )
        for number, name in enumerate(graph.nodes)
        if name[0] == "a"
    ]


def of_many_causes(graph: CauseGraph, random: Random) -> list[Evidence]:
    """A busy morning: 50 sources with something odd, 500 assets that fail, 500 warnings."""
    assets = [name for name in graph.nodes if name[0] == "a"]
    odd = [
        failing(
            f"s{number}",
            number,
            family=Family.DISTRIBUTION,
            kind=CauseKind.DISTRIBUTION_SHIFT.value,
            column=f"c{number % COLUMNS}",
            held=bool(number % 2),
        )
        for number in range(50)
    ]
    failed = [failing(name, 100 + number) for number, name in enumerate(random.sample(assets, 500))]
    warned = [
        failing(
            name,
            1_000 + number,
            family=Family.NULLS,
            column=f"c{random.randrange(COLUMNS)}",
            held=False,
        )
        for number, name in enumerate(random.sample(assets, 500))
    ]
    return [*odd, *failed, *warned]
