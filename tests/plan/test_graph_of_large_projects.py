"""What the leader's graph of a large project costs, counted in calls."""

from __future__ import annotations

from pathlib import Path

from counted_calls import Counting
from projects import compiled, source, sql, write

from headrace.runtime.graph import graph_of


def calls(root: Path, assets: int) -> int:
    """The calls for the graph of so many assets, each with a view whose checks read a source."""
    files = {"sources/s.yaml": source("s"), "sources/codes.yaml": source("codes", "'*'")}
    for n in range(assets):
        files[f"assets/a{n}.sql"] = sql("select * from s", partition="{by: day, column: day}")
        checks = "[{references: {column: k, to: codes.k}}]"
        files[f"assets/v{n}.sql"] = sql(f"select * from a{n}", materialize="view", checks=checks)
    project = compiled(write(root, files))
    with Counting() as counting:
        graph = graph_of(project)
    nodes = {node.name: node for node in graph.nodes}
    assert all(nodes[f"a{n}"].checked_against == ("codes",) for n in range(assets))
    return counting.calls


def test_the_graph_of_four_times_the_assets_takes_four_times_the_calls(tmp_path: Path) -> None:
    """Looking through all nodes for views at each node made the leader of a project with thousands
    of assets start seconds later."""
    assert calls(tmp_path / "large", 80) < 5 * calls(tmp_path / "small", 20)
