"""How long a backfill may take of which too little has run here: by the kind of its code, the bytes of its inputs and the machine."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.model.nodes import Asset, CommandBody, PythonBody, SqlBody
from headrace.plan import Compiled
from headrace.schedule import Graph
from headrace.schedule.estimating import Pace

BYTES_A_SECOND = 20e6
"""Of a delivery that is parsed, profiled and written, and of an input that is read."""
SOURCE = Pace(seconds_attempt=0.0, seconds_partition=0.018, spread=1.0, count=0)
SQL = Pace(seconds_attempt=0.03, seconds_partition=0.0012, spread=1.0, count=0)
PYTHON = Pace(seconds_attempt=0.0, seconds_partition=0.012, spread=1.0, count=0)
COMMAND = Pace(seconds_attempt=0.0, seconds_partition=0.15, spread=1.0, count=0)
"""What attempts at small partitions cost on the reference machine (`operations/machine.py`): a command
starts a process, one of Python is a call in a worker that is there."""
EXPORT = PYTHON
BASIS = "a guess by kind of code, bytes and machine: too little like it has run here"


def paces(compiled: Compiled, graph: Graph, slowness: float, bytes_of: Mapping[str, float]) -> dict[str, Pace]:
    """Node → what attempts at it may take here. `slowness` is that of the machine, `bytes_of` the mean
    bytes of the deliveries that a source ingests, and of what is read of them."""
    results = {}
    largest = max(bytes_of.values(), default=0.0)
    for node in graph.nodes:
        pace = _of_kind(compiled, node.name)
        read = (bytes_of.get(node.name, 0.0) if node.is_source else largest) / BYTES_A_SECOND
        results[node.name] = Pace(pace.seconds_attempt * slowness, (pace.seconds_partition + read) * slowness, 1.0, 0)
    return results


def _of_kind(compiled: Compiled, name: str) -> Pace:
    project = compiled.project
    if name in project.sources:
        return SOURCE
    asset: Asset | None = project.assets.get(name)
    if asset is None:
        return EXPORT
    match asset.body:
        case SqlBody():
            return SQL
        case PythonBody():
            return PYTHON
        case CommandBody():
            return COMMAND
