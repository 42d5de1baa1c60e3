"""All that is up and downstream is one walk: on random projects with views and consumers, every
reader of the graph agrees with the definition, written out here.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from projects import compiled, source, sql, write

from headrace.model.reachability import reachable
from headrace.plan import Compiled
from headrace.plan.compiled import is_view
from headrace.plan.node_graph import NodeGraph
from headrace.project.snapshots import run_downstream
from headrace.runtime.graph import graph_of
from headrace.runtime.overlays.production_state import graph_below
from headrace.services.interventions import _downstream
from headrace.slo.declared_promises import declared_promises
from headrace.slo.incident_impact import DownstreamIndex


def random_project(root: Path, rng: random.Random) -> Compiled:
    files = {f"sources/s{n}.yaml": source(f"s{n}") for n in range(2)}
    names = ["s0", "s1"]
    for n in range(12):
        reads = rng.sample(names, rng.randint(1, min(3, len(names))))
        front = {"materialize": "view"} if rng.random() < 0.25 else {}
        spare = [name for name in names if name.startswith("a") and name not in reads]
        if spare and not front and rng.random() < 0.3:
            front["depends"] = f"[{rng.choice(spare)}]"
        if not front.get("materialize"):
            front["partition"] = "{by: day, column: day}"
        body = " union all ".join(f"select k, v, day from {name}" for name in reads)
        files[f"assets/a{n}.sql"] = sql(body, **front)
        names.append(f"a{n}")
    stored = [
        name for name in names if name.startswith("a") and "view" not in files[f"assets/{name}.sql"]
    ]
    files["consumers.yaml"] = "".join(
        f"- {{consumer: c{n}, owner: core, reads: [{rng.choice(names[2:])}], due: '05:00'}}\n"
        for n in range(3)
    )
    if stored:
        files["consumers.yaml"] += (
            f"- {{consumer: extract, owner: core, reads: [{rng.choice(stored)}], due: '05:00',"
            " export: {to: 'out/e_{date:%Y-%m-%d}.csv'}}\n"
        )
    return compiled(write(root, files))


def closure(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """(node, reader) for every reader, direct or not, by adding pairs until none is missing."""
    while more := {(a, d) for a, b in pairs for c, d in pairs if b == c} - pairs:
        pairs = pairs | more
    return pairs


def edges(project: Compiled, *, data_only: bool) -> set[tuple[str, str]]:
    pairs = {(spec.node, name) for name, node in project.nodes.items() for spec in node.inputs}
    if not data_only:
        pairs |= {(other, name) for name, node in project.nodes.items() for other in node.depends}
    consumers = project.project.consumers.values()
    return pairs | {(read, consumer.name) for consumer in consumers for read in consumer.reads}


@pytest.mark.parametrize("seed", range(6))
def test_every_reader_of_the_graph_agrees(tmp_path: Path, seed: int) -> None:
    """Would catch: a second derivation of what is downstream, or one that loses views, consumers,
    or nodes that only depend on others."""
    project = random_project(tmp_path, random.Random(seed))
    data = closure(edges(project, data_only=True))
    everything = closure(edges(project, data_only=False))
    consumers = project.project.consumers
    views = {name for name in project.order if is_view(project.project, name)}
    promises = declared_promises(project)
    impact = DownstreamIndex(promises)
    by_node = NodeGraph(project, data_only=True).consumers_by_node()
    graph = graph_of(project)
    for name in project.order:
        below = {b for a, b in data if a == name}
        run = {b for a, b in everything if a == name}
        assert NodeGraph(project).downstream([name]).keys() == run | {name}
        assert NodeGraph(project, data_only=True).downstream([name]).keys() == below | {name}
        assert NodeGraph(project).upstream([name]).keys() == {name} | {
            a for a, b in everything if b == name
        }
        assert by_node[name] == below & consumers.keys()
        assert NodeGraph(project, data_only=True).consumers([name]) == sorted(by_node[name])
        assert set(_downstream(project, name)) == below
        if name in views:
            continue
        exported = tuple(consumer for consumer in consumers if consumers[consumer].export)
        names = run_downstream(project, name, exported)
        assert set(names) == ({name} | run) - views - (consumers.keys() - {*exported})
        assert names == [item for item in (*project.order, *exported) if item in names]
        assert set(impact.assets(name)) == below - views - consumers.keys()
        assert set(impact.consumers(name)) == below & consumers.keys()
        assert {node.name for node in promises.upstream([name])} == (
            {name} | {a for a, b in data if b == name}
        ) - views
        needed = {node.name for node in graph_below(graph, [name]).nodes}
        assert needed == ({name} | {a for a, b in everything if b == name}) - views


def test_distances_are_those_of_the_shortest_way() -> None:
    """Would catch: a walk that goes deep first, and says how far a node is by a longer way."""
    edges = {"a": ["b", "d"], "b": ["c"], "c": ["d"], "d": ["e"], "e": ["a"]}
    walk = reachable(["a"], lambda name: edges[name])
    assert walk == {"a": 0, "b": 1, "d": 1, "c": 2, "e": 2}
    assert reachable(["a"], lambda name: edges[name], 1) == {"a": 0, "b": 1, "d": 1}
    assert reachable(["c", "e"], lambda name: edges[name], 0) == {"c": 0, "e": 0}
