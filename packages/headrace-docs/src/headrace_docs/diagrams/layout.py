"""Where the boxes and lines of a flow are: layers from left to right, lines around boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headrace_docs.diagrams.words import label, style, volume
from headrace_docs.responses.flow import FlowResponse

LETTERS_MAX = 34
"""Letters of a name that a box shows."""
_LETTER, _LINE, _ROOM = 7.5, 18, 20
"""Width of a letter, height of a line, and what is free around them, in px."""
_SPACING = {"layer_gap": 60, "node_gap": 24, "dummy_gap": 20, "edge_label_margin": 12}


class PlacedBox(NamedTuple):
    """A node by its upper left corner. `name` is whole, `lines` are as they fit."""

    name: str
    lines: Sequence[str]
    kind: str
    style: str
    x: float
    y: float
    width: float
    height: float


class PlacedLine(NamedTuple):
    """An edge from the border of one box to that of another, with the place of its text."""

    begin: int
    end: int
    points: Sequence[tuple[float, float]]
    ran: bool
    text: str
    at: tuple[float, float] | None


class Placed(NamedTuple):
    """All boxes and lines; the upper left corner is at (0, 0)."""

    boxes: Sequence[PlacedBox]
    lines: Sequence[PlacedLine]
    width: float
    height: float


def placed(flow: FlowResponse) -> Placed:
    """Return the boxes of a flow in the order of its nodes, and the lines in that of its edges."""
    import graphlay  # takes 50 ms, which the formats of text don't need

    texts = [[_shortened(name), *rest] for name, *rest in map(label, flow.nodes)]
    graph = graphlay.Graph()
    for node, lines in zip(flow.nodes, texts, strict=True):
        width = max(len(line) for line in lines) * _LETTER + 2 * _ROOM
        graph.node(node.node, width=width, height=len(lines) * _LINE + _ROOM)
    for edge in flow.edges:
        letters = len(volume(edge)) if edge.ran else 0
        size = {"width": letters * _LETTER, "height": _LINE} if letters else None
        graph.edge(edge.from_, edge.to, label_size=size)
    drawing = graphlay.layout(graph, options={"direction": "leftright", "spacing": _SPACING})
    left, top = drawing.bounds["min"]["x"], drawing.bounds["min"]["y"]
    boxes = [
        PlacedBox(
            name=node.node,
            lines=lines,
            kind=node.kind,
            style=style(node),
            x=round(box["center"]["x"] - box["size"]["width"] / 2 - left, 1),
            y=round(box["center"]["y"] - box["size"]["height"] / 2 - top, 1),
            width=box["size"]["width"],
            height=box["size"]["height"],
        )
        for node, lines, box in zip(flow.nodes, texts, drawing.nodes, strict=True)
    ]
    places = {node.node: at for at, node in enumerate(flow.nodes)}

    def moved(point: dict[str, float]) -> tuple[float, float]:
        return round(point["x"] - left, 1), round(point["y"] - top, 1)

    lines_of = [
        PlacedLine(
            begin=places[edge.from_],
            end=places[edge.to],
            points=[moved(point) for point in line["points"]],
            ran=edge.ran,
            text=volume(edge) if edge.ran else "",
            at=moved(line["label_anchor"]) if line.get("label_anchor") else None,
        )
        for edge, line in zip(flow.edges, drawing.edges, strict=True)
    ]
    size = drawing.bounds["max"]
    return Placed(boxes, lines_of, round(size["x"] - left, 1), round(size["y"] - top, 1))


def _shortened(line: str) -> str:
    return line if len(line) <= LETTERS_MAX else f"{line[: LETTERS_MAX - 1]}…"
