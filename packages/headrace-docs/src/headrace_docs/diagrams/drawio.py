"""A flow as a file of draw.io, which is edited there like any other."""

from __future__ import annotations

from collections.abc import Sequence

from headrace_docs.diagrams.layout import PlacedBox, PlacedLine, placed
from headrace_docs.diagrams.words import head
from headrace_docs.markup import Html, joined, tag
from headrace_docs.responses.flow import FlowResponse

_SHAPES = {"source": "shape=cylinder3;size=6;boundedLbl=1", "consumer": "rounded=1;arcSize=50"}
_STYLES = {
    "ran": "strokeColor=#444444;fontColor=#1c2024",
    "earlier": "strokeColor=#999999;fontColor=#666666",
    "idle": "strokeColor=#444444;fontColor=#1c2024;dashed=1",
    "gone": "strokeColor=#a3201d;fontColor=#a3201d",
}
_PLAIN = "html=0;whiteSpace=wrap;overflow=hidden"
"""Texts are texts, not HTML."""


def drawio(flow: FlowResponse) -> str:
    """Return a flow as one page, uncompressed, with boxes and lines where the layout has them."""
    drawing = placed(flow)
    legend = tag(
        "mxCell",
        _geometry(0, drawing.height + 16, 620, 44),
        id="legend",
        value=_lines(head(flow)),
        style="text;html=0;strokeColor=none;fillColor=none;align=left;verticalAlign=top"
        ";fontColor=#55606b",
        vertex=1,
        parent=1,
    )
    cells = [
        tag("mxCell", id=0),
        tag("mxCell", id=1, parent=0),
        *(_box(at, box) for at, box in enumerate(drawing.boxes)),
        *(
            _line(at, line, drawing.boxes[line.begin], drawing.boxes[line.end])
            for at, line in enumerate(drawing.lines)
        ),
        legend,
    ]
    model = tag("mxGraphModel", tag("root", *cells), grid=1, page=1, math=0)
    page = tag("diagram", model, id="flow", name=flow.subject)
    return f"{tag('mxfile', page, host='Headrace', compressed='false')}\n"


def _lines(lines: Sequence[str]) -> Html:
    """Return lines as an attribute, where only a break that has its number is one."""
    return joined(lines, "&#10;")


def _box(at: int, box: PlacedBox) -> Html:
    shape = _SHAPES.get(box.kind, "rounded=0")
    return tag(
        "mxCell",
        _geometry(box.x, box.y, box.width, box.height),
        id=f"n{at}",
        value=_lines([box.name, *box.lines[1:]]),
        style=f"{shape};{_PLAIN};{_STYLES[box.style]};fillColor=#f3f5f7",
        vertex=1,
        parent=1,
    )


def _line(at: int, line: PlacedLine, begin: PlacedBox, end: PlacedBox) -> Html:
    bends = [tag("mxPoint", x=f"{x:g}", y=f"{y:g}") for x, y in line.points[1:-1]]
    ports = (("exit", begin, line.points[0]), ("entry", end, line.points[-1]))
    style = [
        "edgeStyle=orthogonalEdgeStyle;rounded=0;html=0;strokeColor=#444444",
        "fontColor=#1c2024;labelBackgroundColor=#ffffff",
        *(
            f"{name}X={(x - box.x) / box.width:.3f};{name}Y={(y - box.y) / box.height:.3f}"
            for name, box, (x, y) in ports
        ),
        *([] if line.ran else ["dashed=1"]),
    ]
    return tag(
        "mxCell",
        tag(
            "mxGeometry",
            tag("Array", *bends, as_="points") if bends else None,
            relative=1,
            as_="geometry",
        ),
        id=f"e{at}",
        value=line.text,
        style=";".join(style),
        edge=1,
        parent=1,
        source=f"n{line.begin}",
        target=f"n{line.end}",
    )


def _geometry(x: float, y: float, width: float, height: float) -> Html:
    return tag(
        "mxGeometry",
        x=f"{x:g}",
        y=f"{y:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        as_="geometry",
    )
