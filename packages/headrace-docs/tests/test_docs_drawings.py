"""`docs diagram --format svg` and `drawio`: pictures with hostile names, and nothing that overlaps."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import msgspec
from documented_shop import LONG, MARKUP, RTL

from headrace_docs.diagrams.languages import LANGUAGES
from headrace_docs.diagrams.layout import PlacedBox, placed
from headrace_docs.responses.flow import FlowEdge, FlowNode, FlowResponse

AT = datetime(2025, 3, 4, 6, 30, tzinfo=UTC)
HOSTILE = [MARKUP, RTL, LONG, "a\nb\x00\x1b]]>&#10;", "</text><script>alert(1)</script>", "%name%"]
SVG = "{http://www.w3.org/2000/svg}"


def node(name: str, kind: str, rows: int) -> FlowNode:
    """A node that ran if it has rows."""
    return FlowNode(
        node=name,
        kind=kind,
        domain=None,
        partitions=min(rows, 1),
        rows=rows,
        published_at=AT if rows else None,
    )


def flow_of(nodes: list[FlowNode], pairs: list[tuple[str, str]]) -> FlowResponse:
    rows = {each.node: each.rows for each in nodes}
    return FlowResponse(
        subject=MARKUP,
        format="svg",
        at=AT,
        since=AT,
        reader=MARKUP,
        nodes=nodes,
        edges=[
            FlowEdge(from_=begin, to=end, ran=rows[begin] > 0, rows=rows[begin])
            for begin, end in pairs
        ],
    )


def hostile_flow() -> FlowResponse:
    kinds = itertools.cycle(("source", "asset", "consumer", "gone"))
    nodes = [node(name, next(kinds), at % 2 * 1234) for at, name in enumerate(HOSTILE)]
    return flow_of(nodes, [*itertools.pairwise(HOSTILE)])


def test_names_are_text_in_pictures() -> None:
    """Would catch: markup of a name that becomes an element, and a file that isn't XML."""
    flow = hostile_flow()
    picture = ET.fromstring(LANGUAGES["svg"](flow))
    elements = {element.tag.removeprefix(SVG) for element in picture.iter()}
    assert elements == {
        *("svg", "title", "desc", "style", "defs", "marker", "path", "rect", "g", "text"),
    }
    titles = [element.text for element in picture.iter(f"{SVG}title")][1:]
    assert titles == [name.replace("\x00", "\ufffd").replace("\x1b", "\ufffd") for name in HOSTILE]
    assert "1,234 rows" in [element.text for element in picture.iter(f"{SVG}text")]
    drawing = ET.fromstring(LANGUAGES["drawio"](flow))
    cells = {cell.get("id"): cell for cell in drawing.iter("mxCell")}
    assert len(cells) == 2 + len(HOSTILE) + len(HOSTILE)
    assert cells["n0"].get("value") == MARKUP
    assert cells["n1"].get("value") == f"{RTL}\n1,234 rows, newest 2025-03-04 06:30"
    assert "html=0" in str(cells["n0"].get("style"))
    assert (cells["e0"].get("source"), cells["e0"].get("target")) == ("n0", "n1")
    assert "dashed=1" in str(cells["e0"].get("style"))
    assert "dashed=1" not in str(cells["e1"].get("style"))


def test_boxes_are_apart_and_lines_end_at_them() -> None:
    """Would catch: a layout whose boxes overlap, or that isn't the same twice."""
    draw = random.Random(7)
    names = [f"asset_{at}" for at in range(40)]
    nodes = [node(name, "asset", at) for at, name in enumerate(names)]
    pairs = sorted(
        {(names[draw.randrange(at)], names[at]) for at in range(1, 40) for _ in range(2)}
    )
    flow = flow_of(nodes, pairs)
    drawing = placed(flow)
    for one, other in itertools.combinations(drawing.boxes, 2):
        assert apart(one, other), (one, other)
    for line in drawing.lines:
        begin, end = drawing.boxes[line.begin], drawing.boxes[line.end]
        assert on_border(begin, line.points[0])
        assert on_border(end, line.points[-1])
        assert begin.x < end.x, "it flows from left to right"
    assert LANGUAGES["svg"](flow) == LANGUAGES["svg"](msgspec.structs.replace(flow))
    assert ET.fromstring(LANGUAGES["svg"](flow_of([], []))) is not None


def on_border(box: PlacedBox, point: tuple[float, float]) -> bool:
    x, y = point
    sides = min(abs(x - box.x), abs(x - box.x - box.width))
    ends = min(abs(y - box.y), abs(y - box.y - box.height))
    return min(sides, ends) < 0.2


def apart(one: PlacedBox, other: PlacedBox) -> bool:
    return (
        one.x + one.width <= other.x
        or other.x + other.width <= one.x
        or one.y + one.height <= other.y
        or other.y + other.height <= one.y
    )
